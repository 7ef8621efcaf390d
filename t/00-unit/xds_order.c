/* Make before break on a stream (rules O-*, contract P10), with virtual time. */
#include "xds_fake.h"

#define BEFORE "C/c1=1>E/c1 E/c1=1 L/l1=1>R/r1 R/r1=1>C/c1"

static struct fp_grpc_call *started(struct world *w)
{
    struct fp_grpc_call *c = dial(w, "envoy");
    ask(c, 'C', "");
    ask(c, 'E', "c1");
    ack(c, 'C');
    ask(c, 'L', "");
    ack(c, 'E');
    ask(c, 'R', "r1");
    ack(c, 'L');
    ack(c, 'R');
    got(c);
    return c;
}

/* A route moves from c1 to the new c2, and c1 goes, all in one generation. */
static void a_route_moves(void)
{
    struct world *w = world_open(NULL);
    publish(w, BEFORE);
    struct fp_grpc_call *c = started(w);
    publish(w, "C/c2=1>E/c2 E/c2=1 L/l1=1>R/r1 R/r1=2>C/c2");
    is_str(got(c), "CDS[c2 c1]", "O-7, O-10: the new cluster first, the old one still in it");
    ask(c, 'E', "c1 c2");
    is_str(got(c), "EDS[c2]", "its endpoints");
    ack(c, 'E');
    is_str(got(c), "", "O-7: the route waits for the ACK of the cluster");
    ack(c, 'C');
    is_str(got(c), "RDS[r1]", "O-7: and comes with it");
    is_str(got(c), "", "O-9: the old cluster stays until the route is ACKed");
    ack(c, 'R');
    is_str(got(c), "CDS[c2]", "O-9: then it goes");
    ask(c, 'E', "c2");
    ack(c, 'C');
    is_str(got(c), "", "O-16: a dropped EDS name is not answered");
    fp_loop_fake_advance(w->loop, 60000);
    is_str(got(c), "", "no timer is left behind");
    hang_up(&c);
    world_close(&w);
}

static void versions_of_held_sets(void)
{
    struct world *w = world_open(NULL);
    publish(w, BEFORE);
    struct fp_grpc_call *c = started(w), *d = started(w);
    char first[64], held[64];
    strcpy(first, c->last[FP_KIND_CLUSTER].version);
    publish(w, "C/c2=1>E/c2 E/c2=1 L/l1=1>R/r1 R/r1=2>C/c2");
    strcpy(held, c->last[FP_KIND_CLUSTER].version);
    is_str(got(c), got(d), "two streams in the same situation get the same");
    is_str(held, d->last[FP_KIND_CLUSTER].version, "with the same version");
    ask(c, 'E', "c1 c2");
    ack(c, 'E');
    ack(c, 'C');
    ack(c, 'R');
    ok(strcmp(held, c->last[FP_KIND_CLUSTER].version) != 0,
       "S-18: a set with a held cluster is another version");
    publish(w, BEFORE);
    ack(c, 'C');
    ask(c, 'E', "c1 c2");
    ack(c, 'R');
    ok(strstr(got(c), "CDS[c1]"), "back again");
    is_str(c->last[FP_KIND_CLUSTER].version, first, "S-17: contents alone make the version");
    hang_up(&c);
    hang_up(&d);
    world_close(&w);
}

/* Deleted and made anew between two answers: that it was ACKed once says nothing. */
static void a_cluster_comes_back(void)
{
    struct world *w = world_open(NULL);
    publish(w, BEFORE " C/c2=1>E/c2 E/c2=1");
    struct fp_grpc_call *c = started(w);
    publish(w, BEFORE);
    publish(w, "C/c1=1>E/c1 E/c1=1 C/c2=1>E/c2 E/c2=1 L/l1=1>R/r1 R/r1=2>C/c2");
    is_str(got(c), "CDS[c1] CDS[c1 c2]", "O-7: a route to it waits");
    ask(c, 'E', "c1 c2");
    ack(c, 'C');
    is_str(got(c), "EDS[c2] RDS[r1]", "for the ACK of the second");
    hang_up(&c);
    world_close(&w);
}

static void acks_that_never_come(void)
{
    struct world *w = world_open(NULL);
    publish(w, BEFORE);
    struct fp_grpc_call *c = started(w);
    publish(w, "C/c2=1>E/c2 E/c2=1 L/l1=1>R/r1 R/r1=2>C/c2");
    is_str(got(c), "CDS[c2 c1]", "new cluster, no ACK");
    fp_loop_fake_advance(w->loop, 14999);
    is_str(got(c), "", "P10: the route waits");
    fp_loop_fake_advance(w->loop, 2);
    is_str(got(c), "RDS[r1]",
           "P10: after the ordering timeout it goes out, the removal comes behind it");
    fp_loop_fake_advance(w->loop, 14997);
    is_str(got(c), "", "P10: which waits for the ACK of the route");
    fp_loop_fake_advance(w->loop, 2);
    is_str(got(c), "CDS[c2]", "P10: as long again");
    fp_loop_fake_advance(w->loop, 60000);
    is_str(got(c), "", "once");
    hang_up(&c);
    world_close(&w);
}

/* What a listener and a route wait for together comes together. */
static void both_wait(void)
{
    struct world *w = world_open(NULL);
    publish(w, BEFORE);
    struct fp_grpc_call *c = started(w);
    publish(w, "C/c1=1>E/c1 E/c1=1 C/c2=1>E/c2 E/c2=1 L/l1=1>R/r1 L/l2=1>C/c2 R/r1=2>C/c2");
    is_str(got(c), "CDS[c1 c2]", "a new cluster that a listener and a route name, no ACK");
    fp_loop_fake_advance(w->loop, 15001);
    is_str(got(c), "LDS[l1 l2] RDS[r1]", "P10: both after the ordering timeout");
    hang_up(&c);
    world_close(&w);
}

/* A removal of a route that is stuck sets no route free that has begun to wait later. */
static void routes_wait_their_own_time(void)
{
    const struct fp_xds_options o = {/* nothing drains */
                                     .control_plane_id = "t",
                                     .ordering_timeout_ms = 15000,
                                     .max_streams = 9};
    struct world *w = world_open(&o);
    publish(w, BEFORE " L/l2=1>R/r2 R/r2=1>C/c1");
    struct fp_grpc_call *c = started(w);
    ask(c, 'R', "r1 r2");
    ack(c, 'R');
    got(c);
    publish(w, BEFORE " L/l2=2>C/c1");
    is_str(got(c), "LDS[l1 l2]", "a listener lets a route go, no ACK");
    fp_loop_fake_advance(w->loop, 14000);
    publish(w, "C/c2=1>E/c2 E/c2=1 C/c1=1>E/c1 E/c1=1 L/l1=1>R/r1 R/r1=2>C/c2 L/l2=2>C/c1");
    is_str(got(c), "CDS[c1 c2]", "later another moves to a new cluster");
    fp_loop_fake_advance(w->loop, 14999);
    is_str(got(c), "", "O-7: it waits");
    ask(c, 'E', "c1 c2");
    ack(c, 'E');
    ack(c, 'C');
    is_str(got(c), "EDS[c2] RDS[r1]", "O-7: for its cluster");
    hang_up(&c);
    world_close(&w);
}

/* What is stuck sets nothing free that has begun to wait later. */
static void each_waits_its_own_time(void)
{
    const struct fp_xds_options o = {/* nothing drains */
                                     .control_plane_id = "t",
                                     .ordering_timeout_ms = 15000,
                                     .max_streams = 9};
    struct world *w = world_open(&o);
    publish(w, BEFORE " C/old=1>E/old E/old=1 L/l2=1>C/old");
    struct fp_grpc_call *c = started(w);
    ask(c, 'E', "c1 old");
    ack(c, 'E');
    got(c);
    publish(w, BEFORE " L/l2=2>C/c1");
    is_str(got(c), "LDS[l1 l2]", "a listener lets a cluster go, no ACK");
    fp_loop_fake_advance(w->loop, 14000);
    publish(w, "C/c2=1>E/c2 E/c2=1 C/c1=1>E/c1 E/c1=1 L/l1=1>R/r1 R/r1=2>C/c2 L/l2=2>C/c1");
    is_str(got(c), "CDS[c1 c2 old]", "later a route moves to a new cluster");
    fp_loop_fake_advance(w->loop, 1001);
    is_str(got(c), "CDS[c1 c2]", "P10: the removal has waited enough");
    fp_loop_fake_advance(w->loop, 13998);
    is_str(got(c), "", "O-7: the route has not");
    ask(c, 'E', "c1 c2");
    ack(c, 'E');
    ack(c, 'C');
    is_str(got(c), "EDS[c2] RDS[r1]", "O-7: it comes with the ACK of its cluster");
    ack(c, 'R');
    ack(c, 'L');
    hang_up(&c);
    world_close(&w);
}

static void no_wait_without_need(void)
{
    struct world *w = world_open(NULL);
    publish(w, BEFORE " C/c2=1>E/c2 E/c2=1");
    struct fp_grpc_call *c = started(w);
    publish(w, "C/c1=9>E/c1 C/c2=1>E/c2 E/c1=1 E/c2=1 L/l1=1>R/r1 R/r1=2>C/c2");
    is_str(got(c), "CDS[c1 c2] EDS[c1] RDS[r1]",
           "L-6: a route to a cluster the stream has does not wait for another's ACK");
    ack(c, 'C');
    ack(c, 'E');
    ack(c, 'R');
    publish(w, "C/c2=1>E/c2 E/c2=1 L/l1=1>R/r1 R/r1=2>C/c2");
    is_str(got(c), "CDS[c2]", "a cluster that nothing names goes at once");
    publish(w, "C/c2=1>E/c2 E/c2=1 L/l1=1>R/r1 R/r1=3>C/ghost");
    is_str(got(c), "RDS[r1]", "O-8: a cluster that does not exist is not waited for");
    ack(c, 'R');
    hang_up(&c);

    c = dial(w, "grpc client"); /* K-1: LDS, RDS, then the cluster by the name in the route */
    ask(c, 'L', "l1");
    ask(c, 'R', "r1");
    is_str(got(c), "LDS[l1] RDS[r1]", "L-7: without CDS on the stream nothing waits for it");
    ack(c, 'L');
    ack(c, 'R');
    ask(c, 'C', "c2");
    ask(c, 'E', "c2");
    ack(c, 'C');
    ack(c, 'E');
    is_str(got(c), "CDS[c2] EDS[c2]", "clusters by name");
    publish(w, "C/c2=1>E/c2 C/c3=1>E/c3 E/c2=1 E/c3=1 L/l1=1>R/r1 R/r1=4>C/c3");
    is_str(got(c), "RDS[r1]", "K-1: the client learns the new cluster from the route");
    hang_up(&c);
    world_close(&w);
}

static void listeners(void)
{
    struct world *w = world_open(NULL);
    publish(w, BEFORE);
    struct fp_grpc_call *c = started(w);
    publish(w, BEFORE " C/c2=1>E/c2 E/c2=1 L/l2=1>C/c2 L/l3=1>R/r3 R/r3=1>C/c2");
    is_str(got(c), "CDS[c1 c2]", "O-7: a listener that names the new cluster waits too");
    ask(c, 'E', "c1 c2");
    ack(c, 'E');
    ack(c, 'C');
    is_str(got(c), "EDS[c2] LDS[l1 l2 l3]", "and comes");
    ask(c, 'R', "r1 r3");
    is_str(got(c), "RDS[r3]", "O-14: its route is asked for before the ACK of the listener");
    ack(c, 'L');
    ack(c, 'R');
    publish(w, "C/c1=1>E/c1 E/c1=1 L/l1=1>R/r1 R/r1=1>C/c1 R/r3=2>C/c1");
    is_str(got(c), "LDS[l1] RDS[r3]",
           "O-15: a route of a removed listener is still served; c2 held");
    ack(c, 'L');
    is_str(got(c), "", "c2 is held for the route");
    ack(c, 'R');
    is_str(got(c), "CDS[c1]", "O-9: c2 goes when listener and route are ACKed");
    hang_up(&c);
    world_close(&w);
}

/* A route removed with its listener and cluster: SotW says nothing of it (S-13), nobody ACKs it. */
static void routes_that_vanish(void)
{
    struct world *w = world_open(NULL);
    publish(w, BEFORE);
    struct fp_grpc_call *c = started(w);
    publish(w, "R/other=1");
    is_str(got(c), "LDS[]", "listeners first");
    ack(c, 'L');
    is_str(got(c), "CDS[]", "O-9: the cluster with the ACK, without waiting for the timeout");
    ack(c, 'C');
    publish(w, BEFORE);
    is_str(got(c), "CDS[c1] EDS[c1] LDS[l1]", "it all comes back, the route behind its cluster");
    ack(c, 'C');
    is_str(got(c), "RDS[r1]", "O-7");
    hang_up(&c);
    world_close(&w);
}

static void endpoints(void)
{
    struct world *w = world_open(NULL);
    publish(w, BEFORE);
    struct fp_grpc_call *c = started(w);
    ask(c, 'E', "");
    is_str(got(c), "", "no EDS names any more");
    publish(w, "C/c1=2>E/c1 E/c1=2 L/l1=1>R/r1 R/r1=1>C/c1");
    is_str(got(c), "CDS[c1]", "O-17: no EDS to a stream without EDS names");
    ask(c, 'E', "c1");
    is_str(got(c), "EDS[c1]", "until it names one");
    hang_up(&c);

    c = dial(w, "service name");
    publish(w, "C/c1=1>E/svc E/svc=1 E/c1=1");
    ask(c, 'C', "");
    ask(c, 'E', "svc c1");
    ack(c, 'C');
    ack(c, 'E');
    got(c);
    publish(w, "C/c1=2>E/svc E/svc=1 E/c1=1");
    is_str(got(c), "CDS[c1] EDS[svc]",
           "O-1: by the endpoint set the cluster names, not by its name");
    publish(w, "C/c1=3>E/svc E/svc=1 E/c1=1");
    is_str(got(c), "CDS[c1] EDS[svc]", "O-6: a further change while the cluster warms goes out");
    publish(w, "C/c1=3>E/svc C/new=1>E/c1 E/svc=1 E/c1=1");
    is_str(got(c), "CDS[c1 new] EDS[c1]", "O-1: a new cluster with a set the stream has already");
    hang_up(&c);
    world_close(&w);
}

/* O-1 holds when the client was slow: what it gets in the end is complete. */
static void slow_client(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/c1=1>E/c1 C/c2=1>E/c2 E/c1=1 E/c2=1");
    struct fp_grpc_call *c = dial(w, "slow");
    ask(c, 'C', "");
    ask(c, 'E', "c1 c2");
    ack(c, 'C');
    ack(c, 'E');
    got(c);
    c->stuck = true;
    publish(w, "C/c1=2>E/c1 C/c2=1>E/c2 E/c1=1 E/c2=1");
    is_str(got(c), "CDS[c1 c2] EDS[c1]", "in flight");
    publish(w, "C/c1=2>E/c1 C/c2=2>E/c2 E/c1=1 E/c2=1");
    publish(w, "C/c1=3>E/c1 C/c2=2>E/c2 E/c1=1 E/c2=1");
    c->stuck = false;
    drain(c);
    is_str(got(c), "CDS[c1 c2] EDS[c1 c2]", "O-1: EDS of all that changed meanwhile");
    hang_up(&c);
    world_close(&w);
}

int main(void)
{
    a_route_moves();
    versions_of_held_sets();
    a_cluster_comes_back();
    acks_that_never_come();
    each_waits_its_own_time();
    both_wait();
    routes_wait_their_own_time();
    no_wait_without_need();
    listeners();
    routes_that_vanish();
    endpoints();
    slow_client();
    return done_testing();
}
