/*
 * A cluster that stays in the set when its generation has it no more, because something names it,
 * it drains, or its new bytes were rejected, keeps its endpoint sets: without them behind it a
 * client that takes it for a change would wait 15 s (O-1, O-10, virtual time).
 */
#include "xds_fake.h"

#define SET(n) "C/c" #n "=1>E/c" #n " E/c" #n "=1 L/l=" #n ">R/r" #n " R/r" #n "=1>C/c" #n " "

static struct fp_xds_subscription *type_of(struct fp_grpc_call *c, enum fp_kind kind)
{
    return &((struct fp_xds_stream *)c->user)->types[kind];
}

static struct fp_grpc_call *started(struct world *w, const char *sets, const char *routes)
{
    struct fp_grpc_call *c = dial(w, "envoy");
    ask(c, 'C', "");
    if (*sets)
        ask(c, 'E', sets);
    ack(c, 'C'), ack(c, 'E');
    ask(c, 'L', "");
    ask(c, 'R', routes);
    ack(c, 'L'), ack(c, 'R');
    got(c);
    return c;
}

/* N-6: c1 was perhaps taken in the rejected bytes, so going back to the old ones is a change. */
static void rejected_meanwhile(bool hold)
{
    const struct fp_xds_options o = {.control_plane_id = "t",
                                     .ordering_timeout_ms = 15000,
                                     .proxy_drain_time_ms = 600000,
                                     .max_streams = 9,
                                     .nack_hold = hold};
    struct world *w = world_open(&o);
    publish(w, SET(1));
    struct fp_grpc_call *c = started(w, "c1", "r1");
    publish(w, "C/c1=2>E/c1 E/c1=1 C/bad=1 L/l=1>R/r1 R/r1=1>C/c1");
    is_str(got(c), "CDS[bad c1] EDS[c1]", "O-1: a changed cluster beside a bad one");
    nack(c, 'C');
    ack(c, 'E');
    publish(w, SET(2));
    is_str(got(c), "CDS[c2 c1] EDS[c1] LDS[l]",
           "O-10, O-1: the replaced set is held, with endpoints");
    ask(c, 'E', "c1 c2");
    is_str(got(c), "EDS[c2]", "those of the new one");
    ack(c, 'E'), ack(c, 'C'), ack(c, 'L');
    is_int((long)type_of(c, FP_KIND_ENDPOINT)->acked_revision, 3,
           "endpoint sets that are held do not hold wait=acked up");
    publish(w, SET(2) "E/c9=1");
    is_str(got(c), "", "nor are they said again");
    hang_up(&c);
    world_close(&w);
}

/* The client subscribes when the set is gone already. */
static void asked_late(void)
{
    struct world *w = world_open(NULL);
    publish(w, SET(1));
    struct fp_grpc_call *c = started(w, "", "r1");
    publish(w, SET(2));
    is_str(got(c), "CDS[c2 c1] LDS[l]", "a replacement");
    ask(c, 'E', "c1 c2");
    is_str(got(c), "EDS[c1 c2]", "O-10: the held one has endpoints too");
    ack(c, 'C'), ack(c, 'E'), ack(c, 'L');
    ask(c, 'R', "r1 r2");
    ack(c, 'C'), ack(c, 'R'), ack(c, 'L');
    is_str(got(c), "RDS[r2]", "O-15: it drains");
    struct fp_xds_state *cds = type_of(c, FP_KIND_CLUSTER)->acked;
    ok(cds->held_n == 1 && cds->held[0].view->extract && cds->held[0].view->behind_n == 1,
       "no generation stays mapped for it");
    publish(w, SET(2) "C/c3=1");
    ack(c, 'C');
    is_str(got(c), "CDS[c2 c3 c1]", "O-10");
    ask(c, 'E', "c2");
    ask(c, 'E', "c1 c2");
    is_str(got(c), "EDS[c1]", "S-8: let go of and asked for again");
    ack(c, 'E');
    struct fp_xds_state *eds = type_of(c, FP_KIND_ENDPOINT)->acked;
    ok(eds->held_n == 1 && eds->held[0].view->extract, "that is of the extract, too");
    ask(c, 'R', "r2");
    is_str(got(c), "CDS[c2 c3]", "O-15: drained");
    ack(c, 'C');
    ask(c, 'E', "c2");
    ask(c, 'E', "c1 c2");
    is_str(got(c), "", "and its endpoints are gone with it");
    ok(!type_of(c, FP_KIND_ENDPOINT)->sent->held_n, "nothing is left");
    hang_up(&c);
    world_close(&w);
}

/* P7: a suspect at its old bytes, which name another set. */
static void kept_apart(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1>E/old E/old=1 C/b=1>E/old C/c=1");
    struct fp_grpc_call *c = dial(w, "envoy");
    ask(c, 'C', "");
    ask(c, 'E', "old");
    ack(c, 'C'), ack(c, 'E');
    got(c);
    publish(w, "C/a=bad>E/new C/b=bad>E/new E/new=1 C/c=2");
    ask(c, 'E', "new");
    is_str(got(c), "CDS[a b c] EDS[new]", "two clusters move to another set, one changes");
    nack(c, 'C');
    ask(c, 'E', "old");
    is_str(got(c), "EDS[old]", "N-6: asked for by a client that went back to the old bytes");
    ack(c, 'E');
    fp_loop_fake_advance(w->loop, 1000);
    is_str(got(c), "CDS[a b c] EDS[old]",
           "P7, O-1: on trial one is new, the endpoints of all follow");
    ack(c, 'C'), ack(c, 'E');
    is_int((long)type_of(c, FP_KIND_ENDPOINT)->acked->held_n, 1, "once, though two name it");
    hang_up(&c);
    world_close(&w);
}

int main(void)
{
    rejected_meanwhile(false);
    rejected_meanwhile(true);
    asked_late();
    kept_apart();
    return done_testing();
}
