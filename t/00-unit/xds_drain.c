/*
 * What Envoy uses after it ACKed the removal (O-15): connections keep the listener they came by and
 * its routes until they have drained, so the clusters these name stay (contract P10, virtual time).
 */
#include "xds_fake.h"

#define SET(n) "C/c" #n "=1>E/c" #n " E/c" #n "=1 L/l=" #n ">R/r" #n " R/r" #n "=1>C/c" #n " "

static struct fp_xds_subscription *type_of(struct fp_grpc_call *c, enum fp_kind kind)
{
    return &((struct fp_xds_stream *)c->user)->types[kind];
}

static struct fp_grpc_call *started(struct world *w, const char *routes)
{
    struct fp_grpc_call *c = dial(w, "envoy");
    ask(c, 'C', "");
    ask(c, 'E', "c1 c2 c3");
    ack(c, 'C'), ack(c, 'E');
    ask(c, 'L', "");
    ask(c, 'R', routes);
    ack(c, 'L'), ack(c, 'R');
    got(c);
    return c;
}

/* All that the answers to a replacement are ACKed with. */
static void follow(struct fp_grpc_call *c, const char *routes)
{
    ack(c, 'C'), ack(c, 'E'), ack(c, 'L');
    ask(c, 'R', routes);
    ack(c, 'R'), ack(c, 'C'), ack(c, 'L');
}

static void until_let_go(void)
{
    struct world *w = world_open(NULL);
    publish(w, SET(1));
    struct fp_grpc_call *c = started(w, "r1"), *d = started(w, "r1");
    publish(w, SET(2));
    is_str(got(c), "CDS[c2 c1] EDS[c2] LDS[l]", "O-7: a new set replaces the old");
    follow(c, "r1 r2"), follow(d, "r1 r2");
    is_str(got(c), "RDS[r2]",
           "O-15: all is ACKed, the old route is still in use: its cluster stays");
    is_int(type_of(c, FP_KIND_CLUSTER)->acked_revision, 2,
           "what drains does not hold wait=acked up");
    ok(type_of(c, FP_KIND_CLUSTER)->acked->held[0].view->extract &&
           type_of(c, FP_KIND_ROUTE)->acked->draining[0].view->extract,
       "and keeps no generation mapped");
    fp_loop_fake_advance(w->loop, 60000);
    is_str(got(c), "", "no ordering timeout ends that");
    is_str(c->last[FP_KIND_CLUSTER].version, d->last[FP_KIND_CLUSTER].version, "S-17");
    publish(w, SET(2) "C/c3=1>E/c3 E/c3=1");
    is_str(got(c), "CDS[c2 c3 c1] EDS[c3]", "O-10: it is part of later sets");
    ack(c, 'C'), ack(c, 'E');
    ask(c, 'R', "r2");
    is_str(got(c), "CDS[c2 c3]", "it goes when Envoy lets go of the route");
    hang_up(&c);
    hang_up(&d);
    world_close(&w);
}

static void for_the_drain_time(void)
{
    struct world *w = world_open(NULL);
    publish(w, SET(1));
    struct fp_grpc_call *c = started(w, "r1");
    publish(w, SET(2));
    follow(c, "r1 r2");
    fp_loop_fake_advance(w->loop, 300000);
    publish(w, SET(3));
    follow(c, "r1 r2 r3");
    got(c);
    ok(type_of(c, FP_KIND_CLUSTER)->acked->kept_n == 2, "two sets drain");
    fp_loop_fake_advance(w->loop, 299999);
    is_str(got(c), "", "until the drain time is over,");
    fp_loop_fake_advance(w->loop, 1);
    is_str(got(c), "CDS[c3 c2]", "each for itself");
    ack(c, 'C');
    fp_loop_fake_advance(w->loop, 300000);
    is_str(got(c), "CDS[c3]", "however long the routes stay subscribed");
    ack(c, 'C');
    fp_loop_fake_advance(w->loop, 3600000);
    is_str(got(c), "", "once");
    ok(!type_of(c, FP_KIND_ROUTE)->sent->draining_n && !type_of(c, FP_KIND_CLUSTER)->sent->kept_n,
       "nothing is left");
    hang_up(&c);
    world_close(&w);
}

/* No name in the subscriptions tells of these. */
static void listeners(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/c1=1>E/c1 E/c1=1 C/c2=1>E/c2 E/c2=1 L/tcp=1>C/c1 L/l=1>R/r R/r=1>C/c2");
    struct fp_grpc_call *c = started(w, "r");
    publish(w, "C/c2=1>E/c2 E/c2=1 L/tcp=2>C/c2 L/l=1>R/r R/r=1>C/c2");
    is_str(got(c), "LDS[l tcp]", "a listener moves to another cluster");
    ack(c, 'L');
    is_str(got(c), "", "O-15: connections of the old one go on");
    fp_loop_fake_advance(w->loop, 100000);
    publish(w, "C/c2=1>E/c2 E/c2=1 L/tcp=3>C/c2 L/l=1>R/r R/r=1>C/c2");
    ack(c, 'L');
    is_str(got(c), "LDS[l tcp]", "again, with nothing removed");
    publish(w, "C/c2=1>E/c2 E/c2=1 L/tcp=2>C/c2 L/l=1>R/r R/r=1>C/c2");
    ack(c, 'L');
    is_str(got(c), "LDS[l tcp]", "and back");
    fp_loop_fake_advance(w->loop, 500000);
    is_str(got(c), "CDS[c2]", "the first has drained");
    ack(c, 'C');
    publish(w, "C/c2=1>E/c2 E/c2=1 L/tcp=4>C/c2 L/l=2>R/r R/r=1>C/c2");
    ack(c, 'L');
    is_str(got(c), "LDS[l tcp]", "other changes of a listener let go of nothing");
    publish(w, "");
    is_str(got(c), "LDS[]", "all is removed");
    ack(c, 'L');
    is_str(got(c), "CDS[]", "P10: that is the end of its service, though the route is still named");
    hang_up(&c);
    world_close(&w);
}

static void what_comes_back(void)
{
    struct world *w = world_open(NULL);
    publish(w, SET(1));
    struct fp_grpc_call *c = started(w, "r1");
    publish(w, SET(2));
    follow(c, "r1 r2");
    got(c);
    publish(w, SET(2) "R/r1=2>C/c2");
    is_str(got(c), "RDS[r1]", "a draining route is made anew");
    ack(c, 'R');
    is_str(got(c), "CDS[c2]", "and names its old cluster no more");
    ack(c, 'C');
    publish(w, SET(1));
    follow(c, "r1 r2");
    is_str(got(c), "CDS[c1 c2] EDS[c1] LDS[l] RDS[r1]", "back to the first set");
    publish(w, SET(2));
    follow(c, "r1 r2");
    is_str(got(c), "LDS[l] RDS[r2]",
           "and again to the second: its cluster and endpoints are there");
    hang_up(&c);
    world_close(&w);
}

/* An ACK that never comes is waited for as ever; it does not end what drains. */
static void overdue(void)
{
    struct world *w = world_open(NULL);
    publish(w, SET(1));
    struct fp_grpc_call *c = started(w, "r1");
    publish(w, SET(2));
    follow(c, "r1 r2");
    got(c);
    publish(w, SET(3));
    ask(c, 'E', "c1 c2 c3");
    is_str(got(c), "CDS[c3 c1 c2] EDS[c3] LDS[l]", "a third set, and no ACK");
    fp_loop_fake_advance(w->loop, 15001);
    is_str(got(c), "", "c2, too, is in use until the listener that was not ACKed has drained");
    fp_loop_fake_advance(w->loop, 600000 - 15001);
    is_str(got(c), "CDS[c3 c2]", "the first set has drained");
    fp_loop_fake_advance(w->loop, 15001);
    is_str(got(c), "CDS[c3]", "and the second");
    hang_up(&c);
    world_close(&w);
}

static void turned_off(void)
{
    const struct fp_xds_options o = {
        .control_plane_id = "t", .ordering_timeout_ms = 15000, .max_streams = 9};
    struct world *w = world_open(&o);
    publish(w, SET(1));
    struct fp_grpc_call *c = started(w, "r1");
    publish(w, SET(2));
    got(c);
    follow(c, "r1 r2");
    is_str(got(c), "CDS[c2] RDS[r2]", "a drain time of 0: with the last ACK");
    hang_up(&c);
    world_close(&w);
}

int main(void)
{
    until_let_go();
    for_the_drain_time();
    listeners();
    what_comes_back();
    overdue();
    turned_off();
    return done_testing();
}
