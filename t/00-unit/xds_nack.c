/* Rejections (rules N-*): never the same bytes again, the fix arrives, others go on. */
#include "xds_fake.h"

static struct fp_grpc_call *started(struct world *w)
{
    struct fp_grpc_call *c = dial(w, "envoy");
    ask(c, 'C', "");
    ask(c, 'R', "r1 r2");
    ack(c, 'C');
    ack(c, 'R');
    got(c);
    return c;
}

static const struct fp_xds_subscription *of(const struct fp_grpc_call *c, enum fp_kind kind)
{
    return &((const struct fp_xds_stream *)c->user)->types[kind];
}

static void whole_sets(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 C/b=1 R/r1=1 R/r2=1");
    struct fp_grpc_call *c = started(w), *other = started(w);
    publish(w, "C/a=1 C/b=bad R/r1=1 R/r2=1");
    is_str(got(c), "CDS[a b]", "a bad cluster");
    is_str(got(other), "CDS[a b]", "and to another node");
    nack(c, 'C');
    is_str(got(c), "", "N-3: a NACK is not answered");
    ack(other, 'C');
    is_int((long)w->engine->counters.nacks, 1, "N-1: it counts as a NACK by error_detail alone");
    is_int(of(c, FP_KIND_CLUSTER)->nack->said.code, 13, "N-2: its code is kept");
    ok(fp_str_eq_c(of(c, FP_KIND_CLUSTER)->nack->said.message, "no"), "N-2: its message is kept");
    publish(w, "C/a=1 C/b=bad R/r1=2 R/r2=1");
    is_str(got(c), "RDS[r1]", "N-9: other types go on; N-3: the same bytes do not come again");
    is_str(got(other), "RDS[r1]", "N-9: other nodes too");
    ack(c, 'R');
    nack(c, 'C');
    is_str(got(c), "", "N-3: not even when it says it again");
    publish(w, "C/a=1 C/b=good R/r1=2 R/r2=1");
    is_str(got(c), "CDS[a b]", "N-10, N-4: the fix reaches the same stream, as a whole set");
    ack(c, 'C');
    ok(!of(c, FP_KIND_CLUSTER)->refused, "N-8: cleared by the next ACK");
    publish(w, "C/a=1 C/b=bad R/r1=2 R/r2=1");
    got(c);
    nack(c, 'C');
    publish(w, "C/a=1 C/b=good R/r1=2 R/r2=1");
    is_str(got(c), "", "back to what it holds: nothing to send");
    publish(w, "C/a=2 C/b=good R/r1=2 R/r2=1");
    is_str(got(c), "CDS[a b]", "and the next change comes");
    ack(c, 'C');
    publish(w, "C/a=3 C/b=bad R/r1=2 R/r2=1");
    got(c);
    nack(c, 'C');
    is_str(got(c), "", "two changes, rejected");
    publish(w, "C/a=2 C/b=good R/r1=2 R/r2=1");
    is_str(got(c), "CDS[a b]", "N-6: back to what it ACKed, said: it may have taken one of them");
    is_str(got(c), "", "once");
    nack(c, 'C');
    is_str(got(c), "", "N-3: should it reject even that");
    hang_up(&c);
    hang_up(&other);
    world_close(&w);
}

static void named_sets(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 R/r1=1 R/r2=1");
    struct fp_grpc_call *c = started(w);
    publish(w, "C/a=1 R/r1=bad R/r2=2");
    is_str(got(c), "RDS[r1 r2]", "a bad route beside a good one");
    nack(c, 'R');
    is_str(got(c), "", "N-3");
    publish(w, "C/a=1 R/r1=good R/r2=2");
    is_str(got(c), "RDS[r1 r2]", "N-6: the good one was perhaps not taken: both come");
    ack(c, 'R');
    publish(w, "C/a=1 R/r1=good R/r2=3");
    is_str(got(c), "RDS[r2]", "after the ACK only what changes");
    ack(c, 'R');
    publish(w, "C/a=1 R/r1=bad R/r2=4");
    got(c);
    nack(c, 'R');
    publish(w, "C/a=1 R/r1=good R/r2=3");
    is_str(got(c), "RDS[r1 r2]", "N-6: back to what it ACKed");
    ack(c, 'R');
    is_str(got(c), "", "once");
    hang_up(&c);
    world_close(&w);
}

/* Going back, too, is a change for a client that took a part: its endpoints must follow it. */
static void endpoints_follow(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1>E/a E/a=1 C/b=1>E/b E/b=1");
    struct fp_grpc_call *c = dial(w, "envoy");
    ask(c, 'C', "");
    ask(c, 'E', "a b");
    ack(c, 'C'), ack(c, 'E');
    got(c);
    publish(w, "C/a=2>E/a E/a=1 C/b=bad>E/b E/b=1");
    is_str(got(c), "CDS[a b] EDS[a b]", "O-1: two changed clusters, one of them bad");
    nack(c, 'C');
    ack(c, 'E');
    publish(w, "C/a=1>E/a E/a=1 C/b=1>E/b E/b=1");
    is_str(got(c), "CDS[a b] EDS[a b]",
           "N-6, O-1: back to what it ACKed, the endpoints of all behind it");
    ack(c, 'C'), ack(c, 'E');
    publish(w, "C/a=3>E/a E/a=1 C/b=1>E/b E/b=1");
    is_str(got(c), "CDS[a b] EDS[a]", "after the ACK only those of what changes");
    hang_up(&c);
    world_close(&w);
}

static void first_answer(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=bad>E/a E/a=1");
    struct fp_grpc_call *c = dial(w, "n");
    ask(c, 'C', "");
    got(c);
    nack(c, 'C');
    is_str(got(c), "", "N-12: the first answer is rejected");
    publish(w, "C/a=bad>E/a E/a=2");
    is_str(got(c), "", "N-3");
    publish(w, "C/a=good>E/a E/a=2");
    is_str(got(c), "CDS[a]", "N-10: the fix comes");
    ask(c, 'E', "a");
    ack(c, 'C');
    ack(c, 'E');
    got(c);
    publish(w, "C/a=worse>E/a C/b=2 E/a=2");
    is_str(got(c), "CDS[a b] EDS[a]", "a change");
    nack(c, 'C');
    ack(c, 'E');
    is_str(got(c), "", "rejected");
    publish(w, "C/a=worse>E/a C/b=3 E/a=2");
    is_str(got(c), "CDS[a b] EDS[a]",
           "O-1: endpoints follow again, the cluster was not taken before");
    hang_up(&c);
    world_close(&w);
}

/* The rejected answer is not the last: only the last one's nonce tells ACK from NACK. */
static void two_under_way(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 R/r1=1 R/r2=1");
    struct fp_grpc_call *c = started(w);
    char first[32];
    publish(w, "C/a=1 R/r1=2 R/r2=bad");
    is_str(got(c), "RDS[r1 r2]", "a bad route beside a good one");
    snprintf(first, sizeof first, "%s", c->last[FP_KIND_ROUTE].nonce);
    publish(w, "C/a=1 R/r1=2 R/r2=good");
    is_str(got(c), "RDS[r2]", "its fix, before the verdict");
    say(c, 'R', "r1 r2", "1", first, "r2 is bad");
    ack(c, 'R');
    is_str(got(c), "RDS[r1 r2]", "N-5, N-6: r1 was perhaps not taken: both come again");
    ack(c, 'R');
    is_str(got(c), "", "once");
    hang_up(&c);
    world_close(&w);
}

/* S-6: both are rejected, one verdict is late: each is answered once, not each by another answer.
 */
static void two_rejected(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 R/r1=1 R/r2=1");
    struct fp_grpc_call *c = started(w);
    char first[32], second[32];
    publish(w, "C/a=1 R/r1=bad R/r2=1");
    snprintf(first, sizeof first, "%s", c->last[FP_KIND_ROUTE].nonce);
    publish(w, "C/a=1 R/r1=bad R/r2=2");
    snprintf(second, sizeof second, "%s", c->last[FP_KIND_ROUTE].nonce);
    is_str(got(c), "RDS[r1] RDS[r2]", "a bad route, and a good one before the verdict");
    say(c, 'R', "r1 r2", "1", first, "r1 is bad");
    turn(w);
    is_str(got(c), "RDS[r1 r2]", "N-6: all is said again, the rejected one need not be r1");
    say(c, 'R', "r1 r2", "1", second, NULL);
    turn(w);
    nack(c, 'R');
    is_str(got(c), "", "N-3: that is rejected, and not said again");
    ok(of(c, FP_KIND_ROUTE)->isolation != NULL, "P7: what was in both is suspect");
    fp_loop_fake_advance(w->loop, 1000);
    is_str(got(c), "RDS[r1 r2]", "one alone, the other one as it was ACKed");
    nack(c, 'R');
    fp_loop_fake_advance(w->loop, 1000);
    is_str(got(c), "RDS[r1 r2]", "N-11: and the good one arrives");
    hang_up(&c);

    publish(w, "C/a=1>E/a E/a=1");
    c = dial(w, "n");
    ask(c, 'C', "");
    ask(c, 'E', "a");
    ack(c, 'C'), ack(c, 'E');
    got(c);
    publish(w, "C/a=2>E/a C/b=bad E/a=1");
    snprintf(first, sizeof first, "%s", c->last[FP_KIND_CLUSTER].nonce);
    ack(c, 'E');
    publish(w, "C/a=2>E/a C/b=1 E/a=1");
    is_str(got(c), "CDS[a b] EDS[a] CDS[a b]",
           "a bad cluster beside one that changes, and its fix");
    say(c, 'C', "", "1", first, "nothing of it is taken");
    turn(w);
    is_str(got(c), "EDS[a]", "O-1, N-6: only now it is a change, so its endpoints follow again");
    hang_up(&c);
    world_close(&w);
}

/* The first answer was taken, the second not: the client runs what nobody has noted. */
static void back_from_between(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 R/r1=1 R/r2=1");
    struct fp_grpc_call *c = started(w);
    publish(w, "C/a=1 R/r1=2 R/r2=1");
    publish(w, "C/a=1 R/r1=bad R/r2=1");
    is_str(got(c), "RDS[r1] RDS[r1]", "a route changes twice");
    nack(c, 'R');
    publish(w, "C/a=1 R/r1=1 R/r2=1");
    is_str(got(c), "RDS[r1 r2]", "N-6: back to what was ACKed last is a change for it");
    hang_up(&c);
    world_close(&w);
}

static void no_ack_to_wait_for(void)
{
    struct fp_xds_options o = {
        .control_plane_id = "t", .ordering_timeout_ms = 15000, .max_streams = 9, .nack_hold = true};
    struct world *w = world_open(&o);
    publish(w, "C/a=1 R/r1=1>C/a R/r2=1");
    struct fp_grpc_call *c = started(w);
    publish(w, "C/a=1 C/b=bad R/r1=1>C/a R/r2=1");
    got(c);
    nack(c, 'C');
    publish(w, "C/a=1 C/b=bad C/new=1 R/r1=2>C/new R/r2=1");
    is_str(got(c), "CDS[a b new]", "O-7: a route to a new cluster waits for the verdict");
    nack(c, 'C');
    is_str(got(c), "RDS[r1]", "N-6: and not for an ACK that cannot come, b is still rejected");
    hang_up(&c);
    world_close(&w);
}

static void odd_ones(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 R/r1=1 R/r2=1");
    struct fp_grpc_call *c = started(w);
    say(c, 'R', "r1 r2", "", "77", "stale");
    turn(w);
    is_int((long)w->engine->counters.nacks, 0, "S-6: a NACK of something older is stale");
    say(c, 'R', "r1 r2 r3", "", c->last[FP_KIND_ROUTE].nonce, "too late");
    turn(w);
    is_int((long)w->engine->counters.nacks, 1, "a NACK after the ACK counts");
    hang_up(&c);

    c = dial(w, "n");
    ask(c, 'E', "x");
    is_str(got(c), "", "nothing to send");
    say(c, 'E', "x", "", "", "out of the blue");
    turn(w);
    is_str(got(c), "", "a NACK of nothing is ignored");
    char *longest = malloc(100001);
    memset(longest, 'x', 100000);
    longest[100000] = 0;
    ask(c, 'C', "");
    say(c, 'C', "", "", c->last[FP_KIND_CLUSTER].nonce, longest);
    is_int((long)of(c, FP_KIND_CLUSTER)->nack->said.message.len, FP_STATUS_MESSAGE_BYTES,
           "N-8: the message is bounded");
    free(longest);
    hang_up(&c);
    world_close(&w);
}

/* N-5, N-6: what an answer with a late verdict brought, the next one takes back; that is rejected.
 * Nothing that is rejected differs from what was ACKed, but the client has not taken it back. */
static void astray(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 R/r1=1 R/r2=1");
    struct fp_grpc_call *c = started(w);
    publish(w, "C/a=1 R/r1=2 R/r2=1");
    char first[32];
    snprintf(first, sizeof first, "%s", c->last[FP_KIND_ROUTE].nonce);
    publish(w, "C/a=1 R/r1=1 R/r2=bad");
    is_str(got(c), "RDS[r1] RDS[r1 r2]", "a route is back before the first verdict");
    say(c, 'R', "r1 r2", "2", first, NULL);
    turn(w);
    nack(c, 'R');
    is_str(got(c), "RDS[r1 r2]", "N-6: all is said again as it was, though one alone is suspect");
    ack(c, 'R');
    fp_loop_fake_advance(w->loop, 60000);
    is_str(got(c), "", "N-3: and that one not");
    publish(w, "C/a=1 R/r1=3 R/r2=bad");
    is_str(got(c), "RDS[r1]", "nothing is astray any more");
    hang_up(&c);
    world_close(&w);
}

/* What goes with an answer's verdict still to come is no reason to give up the rest of it. */
static void gone_before_the_verdict(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 R/r1=1");
    struct fp_grpc_call *c = started(w);
    publish(w, "C/a=1 R/r1=2 R/r2=bad");
    publish(w, "C/a=1 R/r1=2");
    is_str(got(c), "RDS[r1 r2]", "S-13: the bad one goes without a word");
    nack(c, 'R');
    fp_loop_fake_advance(w->loop, 1000);
    is_str(got(c), "RDS[r1]", "P7: the other one was not alone: it is tried");
    ack(c, 'R');
    hang_up(&c);

    c = started(w);
    publish(w, "C/a=1 R/r1=3 R/r2=bad");
    is_str(got(c), "RDS[r1 r2]", "the same, but the client lets go of the bad one");
    nack(c, 'R');
    say(c, 'R', "r1", "", c->last[FP_KIND_ROUTE].nonce, NULL);
    turn(w);
    is_str(got(c), "", "S-10");
    fp_loop_fake_advance(w->loop, 1000);
    is_str(got(c), "RDS[r1]", "N-3: what is left of it is not what was rejected");
    hang_up(&c);
    world_close(&w);
}

/* N-3: the endpoint sets of a cluster that is held come from an older generation. */
static void behind_what_is_held(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1>E/a C/b=1>E/b E/a=1 E/b=bad R/r1=1>C/b");
    struct fp_grpc_call *c = started(w);
    ask(c, 'E', "a b");
    is_str(got(c), "EDS[a b]", "endpoint sets");
    nack(c, 'E');
    fp_loop_fake_advance(w->loop, 1000);
    ack(c, 'E');
    fp_loop_fake_advance(w->loop, 1000);
    nack(c, 'E');
    is_str(got(c), "EDS[a] EDS[b]", "each was tried");
    publish(w, "C/a=2>E/a E/a=1 R/r1=2>C/a");
    is_str(got(c), "CDS[a b] EDS[a b] RDS[r1]", "O-10: a held cluster, its endpoint set behind it");
    nack(c, 'E');
    is_str(got(c), "EDS[a]", "O-1: that of the changed one comes again, without the rejected one");
    ack(c, 'E');
    fp_loop_fake_advance(w->loop, 1000);
    is_str(got(c), "", "N-3: it was alone in what was rejected");
    ack(c, 'C');
    ack(c, 'R');
    is_str(got(c), "CDS[a]", "O-9: and goes");
    hang_up(&c);
    world_close(&w);
}

/* O-1 against N-3: what is rejected behind a changed cluster does not follow it for ever. */
static void no_end_of_it(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1>E/a C/b=1>E/b E/a=1 E/b=1");
    struct fp_grpc_call *c = started(w);
    ask(c, 'E', "a b");
    ack(c, 'E');
    publish(w, "C/a=1>E/a C/b=1>E/b E/a=1 E/b=bad");
    is_str(got(c), "EDS[a b] EDS[b]", "a bad endpoint set");
    nack(c, 'E');
    publish(w, "C/a=2>E/a C/b=1>E/b E/a=1 E/b=bad");
    for (int i = 0; i < 5; i++)
        nack(c, 'E');
    is_str(got(c), "CDS[a b] EDS[a]", "N-3: another one, fine before, comes once");
    ack(c, 'C');
    publish(w, "C/a=3>E/a C/b=1>E/b E/a=1 E/b=bad");
    is_str(got(c), "CDS[a b] EDS[a]", "O-1: and with the next change again");
    hang_up(&c);
    world_close(&w);
}

int main(void)
{
    whole_sets();
    named_sets();
    endpoints_follow();
    first_answer();
    two_under_way();
    two_rejected();
    back_from_between();
    no_ack_to_wait_for();
    odd_ones();
    astray();
    gone_before_the_verdict();
    behind_what_is_held();
    no_end_of_it();
    return done_testing();
}
