/* Isolation of suspects (contract P7, N-3, N-9 to N-12), with virtual time. */
#include "xds_fake.h"
#include "xds/xds_isolate.c"

static void wait_s(struct world *w, unsigned ms)
{
    fp_loop_fake_advance(w->loop, ms);
}

static struct fp_grpc_call *holder(struct world *w)
{
    struct fp_grpc_call *c = dial(w, "envoy");
    ask(c, 'C', "");
    ask(c, 'R', "r1 r2 r3");
    ack(c, 'C');
    ack(c, 'R');
    got(c);
    return c;
}

static const struct fp_xds_subscription *of(const struct fp_grpc_call *c, enum fp_kind kind)
{
    return &((const struct fp_xds_stream *)c->user)->types[kind];
}

/* The version that a set with these contents has. */
static const char *version_of(const char *text, char letter)
{
    static char version[64];
    struct world *w = world_open(NULL);
    publish(w, text);
    struct fp_grpc_call *c = dial(w, "n");
    ask(c, letter, letter == 'C' ? "" : "r1 r2 r3");
    strcpy(version, c->last[kind_of(letter)].version);
    hang_up(&c);
    world_close(&w);
    return version;
}

static void whole_sets(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 C/b=1 C/gone=1");
    struct fp_grpc_call *c = holder(w), *other = holder(w);
    publish(w, "C/a=2 C/b=bad C/c=1");
    is_str(got(c), "CDS[a b c]", "two changes, a new one, one removed");
    ack(other, 'C');
    got(other);
    nack(c, 'C');
    is_str(got(c), "CDS[a b]", "P7: suspects stay as they were or absent, the removal flows");
    is_str(c->last[FP_KIND_CLUSTER].version, version_of("C/a=1 C/b=1", 'C'),
           "§9.2: its version is that of such a set");
    ack(c, 'C');
    ok(of(c, FP_KIND_CLUSTER)->nack->open,
       "N-8: the rejection stays open while suspects are apart");
    wait_s(w, 999);
    is_str(got(c), "", "P7: a second before the first trial");
    wait_s(w, 1);
    is_str(got(c), "CDS[a b]", "P7: the first alone, in the whole set");
    is_str(c->last[FP_KIND_CLUSTER].version, version_of("C/a=2 C/b=1", 'C'), "at its new bytes");
    wait_s(w, 5000);
    is_str(got(c), "", "P7: one trial at a time");
    ack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a b]", "the next one");
    is_str(c->last[FP_KIND_CLUSTER].version, version_of("C/a=2 C/b=bad", 'C'),
           "the one before has passed and stays");
    nack(c, 'C');
    is_str(got(c), "", "N-3: it is rejected");
    wait_s(w, 1000);
    is_str(got(c), "CDS[a b c]", "and the next");
    is_str(c->last[FP_KIND_CLUSTER].version, version_of("C/a=2 C/b=1 C/c=1", 'C'),
           "the rejected one is back at the bytes that were ACKed");
    ack(c, 'C');
    wait_s(w, 60000);
    is_str(got(c), "", "N-3: the culprit is not tried again");
    is_str(got(other), "", "N-9: another node noticed nothing");
    publish(w, "C/a=2 C/b=bad C/c=1 C/d=1");
    is_str(got(c), "CDS[a b c d]", "N-11: everything else flows");
    is_str(c->last[FP_KIND_CLUSTER].version, version_of("C/a=2 C/b=1 C/c=1 C/d=1", 'C'),
           "without it");
    ack(c, 'C');
    publish(w, "C/a=3 C/b=bad C/c=1");
    is_str(got(c), "CDS[a b c]", "one that has passed is an ordinary one");
    ack(c, 'C');
    publish(w, "C/a=3 C/b=good C/c=1");
    is_str(got(c), "CDS[a b c]", "N-10: the fix arrives");
    is_str(c->last[FP_KIND_CLUSTER].version, version_of("C/a=3 C/b=good C/c=1", 'C'), "whole");
    ack(c, 'C');
    ok(!of(c, FP_KIND_CLUSTER)->isolation && !of(c, FP_KIND_CLUSTER)->nack->open, "N-8: resolved");
    hang_up(&c);
    hang_up(&other);
    world_close(&w);
}

static void named_sets(void)
{
    struct world *w = world_open(NULL);
    publish(w, "R/r1=1 R/r2=1");
    struct fp_grpc_call *c = holder(w);
    publish(w, "R/r1=bad R/r2=2 R/r3=1");
    is_str(got(c), "RDS[r1 r2 r3]", "three");
    nack(c, 'R');
    wait_s(w, 1000);
    is_str(got(c), "RDS[r1]", "P7: alone");
    nack(c, 'R');
    wait_s(w, 1000);
    is_str(got(c), "RDS[r2 r3]", "the other half");
    nack(c, 'R');
    wait_s(w, 1000);
    is_str(got(c), "RDS[r2]", "halved");
    ack(c, 'R');
    publish(w, "C/x=1 R/r1=bad R/r2=2 R/r3=1");
    is_str(got(c), "CDS[x]", "N-9: other types");
    ack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "RDS[r3]", "what failed in a group is tried alone before it is given up");
    ack(c, 'R');
    wait_s(w, 60000);
    is_str(got(c), "", "done");
    ask(c, 'R', "r2 r3");
    ask(c, 'R', "r1 r2 r3");
    is_str(got(c), "RDS[r1]", "S-8: asked for again, it comes as it was before");
    ack(c, 'R');
    publish(w, "C/x=1 R/r1=worse R/r2=3 R/r3=1");
    is_str(got(c), "RDS[r1 r2 r3]", "P7: its change brings it back; N-6: and all is said again");
    nack(c, 'R');
    publish(w, "C/x=1 R/r1=worse R/r2=4 R/r3=1");
    is_str(got(c), "RDS[r1 r2 r3]", "P7: a change of any suspect brings all of them back");
    nack(c, 'R');
    publish(w, "C/x=1 R/r1=good R/r2=4 R/r3=1");
    is_str(got(c), "RDS[r1 r2 r3]", "once more");
    ack(c, 'R');
    hang_up(&c);
    world_close(&w);
}

/* N-6: a client that says whom it rejected runs the others: no set without them may follow. */
static void culprits(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 C/b=bad C/c=1 C/cluster=1 C/d=bad R/r1=1>C/c");
    struct fp_grpc_call *c = dial(w, "n");
    ask(c, 'C', "");
    is_str(got(c), "CDS[a b c cluster d]", "the first answer");
    say(c, 'C', "", "", c->last[FP_KIND_CLUSTER].nonce,
        "Error adding/updating cluster(s) b: cluster provided no LB, d: cluster 'd' is odd");
    turn(w);
    is_str(got(c), "CDS[a c cluster]", "N-12: the others at once and together");
    ask(c, 'R', "r1");
    is_str(got(c), "", "O-7: a route to one of them waits for its ACK");
    ack(c, 'C');
    is_str(got(c), "RDS[r1]", "which comes");
    ack(c, 'R');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a b c cluster]", "P7: a culprit alone");
    nack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a c cluster d]", "and the other");
    nack(c, 'C');
    wait_s(w, 60000);
    is_str(got(c), "", "N-3");
    publish(w, "C/a=2 C/b=bad C/c=2 C/cluster=1 C/d=bad R/r1=1>C/c");
    is_str(got(c), "CDS[a c cluster]", "two changes");
    say(c, 'C', "", "", c->last[FP_KIND_CLUSTER].nonce, "something about a");
    turn(w);
    is_str(got(c), "CDS[a c cluster]", "any word, when none stands out: c is tried at once");
    say(c, 'C', "", "", c->last[FP_KIND_CLUSTER].nonce, "a, c and x");
    wait_s(w, 1000);
    is_str(got(c), "CDS[a c cluster]", "after a second rejection: one by one, a");
    ack(c, 'C');
    wait_s(w, 60000);
    is_str(got(c), "", "c was alone in what was rejected");
    hang_up(&c);
    world_close(&w);
}

/* Envoy prints names as they are (recorded from 1.40): who is found in its words? */
static void names_in_words(void)
{
    static const char *const words[][3] = {
        {"Error adding/updating cluster(s) odd one: cluster 'odd one' is odd, 2: no", "odd one",
         "2"},
        {"Error adding/updating listener(s) apo's: cannot bind '::1': no\ncom,ma: no\n", "apo's",
         "com,ma"},
        {"Only a single wildcard domain is permitted in route odd one", "odd one", NULL},
        {"Only a single wildcard domain is permitted in route odd", "odd", NULL},
        {"x(s) col:on: no, gr\xc3\xbcn: no", "col:on", "gr\xc3\xbcn"},
        {"x(s) back\\slash: no, quo\"te: cluster 'quo\"te' is odd.", "back\\slash", "quo\"te"},
        {"x 'oddly' one-armed cols", NULL, NULL},
        {"x(s) odd one more: no, one: no", "one", NULL},
        {"x(s) odd one: one", "odd one", NULL}, /* who stands out, before any word */
        {"'' \"\" : , (", NULL, NULL},
        {"", NULL, NULL},
    };
    struct world *w = world_open(NULL);
    publish(w, "C/odd~one=1 C/odd=1 C/one=1 C/2=1 C/apo's=1 C/com,ma=1 C/com=1 C/col:on=1 "
               "C/gr\xc3\xbcn=1 C/back\\slash=1 C/quo\"te=1 C/cluster=1");
    struct fp_grpc_call *c = holder(w);
    struct fp_xds_state *held = of(c, FP_KIND_CLUSTER)->acked;
    struct fp_xds_suspects *s = shared(held, NULL, fp_xds_state_change(held, NULL));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        uint8_t named[12] = {0};
        uint32_t n = find_named(s, fp_str_of(words[i][0]), named), right = 0;
        for (size_t k = 1; k < 3 && words[i][k]; k++) {
            uint32_t at = index_of(s, fp_str_of(words[i][k]));
            right += at != NOBODY && named[at];
        }
        is_int(n * 10 + right, (words[i][1] ? 11 : 0) + (words[i][2] ? 11 : 0),
               "whom words name, %zu", i);
    }
    fp_xds_suspects_unref(&s);
    hang_up(&c);
    world_close(&w);
}

/* A group that is rejected again, with other words. */
static void culprits_again(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 C/b=1 C/c=1 C/d=1");
    struct fp_grpc_call *c = dial(w, "n");
    ask(c, 'C', "");
    got(c);
    say(c, 'C', "", "", c->last[FP_KIND_CLUSTER].nonce, "x(s) (b): no");
    turn(w);
    is_str(got(c), "CDS[a c d]", "without b");
    say(c, 'C', "", "", c->last[FP_KIND_CLUSTER].nonce, "'a' is bad");
    turn(w);
    is_str(got(c), "CDS[c d]", "without a");
    nack(c, 'C');
    is_str(got(c), "", "nobody is named: halves, then those named before");
    for (int i = 0; i < 4; i++) {
        wait_s(w, 1000);
        ack(c, 'C');
    }
    is_str(got(c), "CDS[c] CDS[c d] CDS[a c d] CDS[a b c d]", "all pass alone");
    ok(!of(c, FP_KIND_CLUSTER)->isolation, "and the isolation ends");
    hang_up(&c);
    world_close(&w);
}

static void alone(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1");
    struct fp_grpc_call *c = holder(w);
    publish(w, "C/a=bad");
    got(c);
    nack(c, 'C');
    wait_s(w, 60000);
    is_str(got(c), "", "N-3: a single suspect has had its trial");
    nack(c, 'C');
    nack(c, 'C');
    wait_s(w, 60000);
    is_str(got(c), "", "however often it is said");
    is_int((int)of(c, FP_KIND_CLUSTER)->nack->said.count, 3, "it is counted");
    publish(w, "C/a=bad C/b=1");
    is_str(got(c), "CDS[a b]", "the next set goes without it");
    is_str(c->last[FP_KIND_CLUSTER].version, version_of("C/a=1 C/b=1", 'C'), "at the old bytes");
    nack(c, 'C');
    wait_s(w, 60000);
    is_str(got(c), "", "that one was alone, too");
    publish(w, "C/a=bad C/b=1 C/c=1 C/d=1");
    is_str(got(c), "CDS[a c d]", "two more");
    publish(w, "C/a=bad C/b=1 C/c=1 C/d=1 C/e=1");
    is_str(got(c), "CDS[a c d e]", "and one before the verdict");
    nack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a c]", "c");
    publish(w, "C/a=bad C/b=1 C/c=1 C/d=1 C/e=1 C/f=1");
    is_str(got(c), "CDS[a c f]", "a change while one is on trial");
    nack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a c d]", "none of both is judged by it: in halves again");
    ack(c, 'C');
    for (int i = 0; i < 2; i++) {
        wait_s(w, 1000);
        ack(c, 'C');
    }
    is_str(got(c), "CDS[a c d e] CDS[a c d e f]", "the others");
    wait_s(w, 60000);
    is_str(got(c), "", "but for those that failed");
    publish(w, "C/a=2");
    is_str(got(c), "CDS[a]", "all gone but the fixed one");
    ack(c, 'C');
    hang_up(&c);
    world_close(&w);
}

static void fresh_streams(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=bad>E/a C/b=1>E/b E/a=1 E/b=1 R/r1=1>C/a R/r2=1>C/b");
    struct fp_grpc_call *c = dial(w, "n");
    ask(c, 'C', "");
    nack(c, 'C');
    is_str(got(c), "CDS[a b]", "N-12: the first answer is rejected");
    wait_s(w, 1000);
    is_str(got(c), "CDS[a]", "a");
    nack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[b]", "N-12: and a set without the culprit is served");
    ask(c, 'E', "b");
    is_str(got(c), "EDS[b]", "with its endpoints");
    ack(c, 'C'), ack(c, 'E');
    ask(c, 'R', "r1 r2");
    wait_s(w, 15000);
    is_str(got(c), "RDS[r1 r2]",
           "P10: a route to what is kept apart waits for the ordering timeout only");
    hang_up(&c);
    world_close(&w);
}

/* N-6, N-12: what an Envoy brings along from an older stream nobody here knows the bytes of. */
static void reconnected(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 C/b=bad C/c=1 R/r1=1>C/c");
    struct fp_grpc_call *c = dial(w, "n");
    say(c, 'C', "", "what it holds", "", NULL);
    turn(w);
    is_str(got(c), "CDS[a b c]", "the whole set");
    say(c, 'C', "", "what it holds", c->last[FP_KIND_CLUSTER].nonce, "cluster(s) b: no");
    ask(c, 'R', "r1");
    wait_s(w, 60000);
    is_str(got(c), "RDS[r1]", "N-6: no set without the culprit, which may run in older bytes");
    ack(c, 'R');
    publish(w, "C/a=2 C/b=bad C/c=1 R/r1=1>C/c");
    is_str(got(c), "CDS[a b c]", "N-11: a change of another one is sent with it");
    nack(c, 'C');
    wait_s(w, 60000);
    is_str(got(c), "", "N-3");
    publish(w, "C/a=2 C/b=1 C/c=1 R/r1=1>C/c");
    is_str(got(c), "CDS[a b c]", "N-10: the fix");
    ack(c, 'C');
    publish(w, "C/a=2 C/b=bad C/c=bad R/r1=1>C/c");
    got(c);
    nack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a b c]", "from then on suspects are kept apart");
    is_str(c->last[FP_KIND_CLUSTER].version, version_of("C/a=2 C/b=bad C/c=1", 'C'), "and tried");
    hang_up(&c);
    world_close(&w);
}

/* k bad ones of n are found in O(k log n) trials, a second apart, and all others are delivered. */
static void halving(unsigned n, unsigned k, unsigned seed)
{
    struct world *w = world_open(NULL);
    struct fp_buf text = {0};
    char bad[256] = {0};
    unsigned trials = 0, log = 1, seconds = 0, bad_n = 0, entries = 0;
    srand(seed);
    while (bad_n < k) {
        unsigned at = (unsigned)rand() % n;
        bad_n += !bad[at];
        bad[at] = 1;
    }
    for (unsigned i = 0; i < n; i++)
        fp_buf_printf(&text, "C/%03u=%s ", i, bad[i] ? "X" : "ok");
    fp_buf_append_byte(&text, 0);
    while (1u << log < n)
        log++;
    publish(w, "C/000=old");
    struct fp_grpc_call *c = holder(w);
    publish(w, text.data);
    for (; seconds < 10 * n && (!seconds || of(c, FP_KIND_CLUSTER)->nack->open); seconds++) {
        unsigned sends = c->sends;
        bool good = true;
        struct fp_str m = fp_buf_str(&c->raw);
        struct fp_xds_field f;
        for (entries = 0; *c->text && fp_xds_wire_next(&m, &f) > 0;)
            if (f.number == 2) {
                good &= !fp_str_eq_c(field_of(field_of(f.bytes, 2), 2), "X");
                entries++;
            }
        if (*c->text && !good)
            nack(c, 'C');
        else if (*c->text)
            ack(c, 'C');
        got(c);
        wait_s(w, 1000);
        if (c->sends == sends)
            break;
        trials++;
    }
    struct fp_xds_state *held = of(c, FP_KIND_CLUSTER)->acked;
    struct fp_snap_entry e;
    unsigned wrong = 0;
    for (unsigned i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "%03u", i);
        bool is = fp_xds_state_find(held, fp_str_of(name), &e);
        wrong += is != (!bad[i] || i == 0);
    }
    is_int(wrong, 0, "P7: %u bad of %u: all others arrived", k, n);
    ok(trials <= 2 * k * log + 2, "in %u trials (one by one: %u)", trials, n);
    fp_buf_fini(&text);
    hang_up(&c);
    world_close(&w);
}

/* N-3: a half on trial that is just what was rejected before is known not to pass. */
static void known_half(void)
{
    struct world *w = world_open(NULL);
    publish(w, "R/r1=1 R/r2=1 R/r3=1 R/r4=1");
    struct fp_grpc_call *c = dial(w, "envoy");
    ask(c, 'R', "r1 r2 r3 r4");
    ack(c, 'R');
    got(c);
    publish(w, "R/r1=1 R/r2=1 R/r3=bad R/r4=2");
    nack(c, 'R');
    publish(w, "R/r1=bad R/r2=2 R/r3=bad R/r4=2");
    nack(c, 'R');
    is_str(got(c), "RDS[r3 r4] RDS[r1 r2]", "two, and two more before the first trial");
    wait_s(w, 1000);
    is_str(got(c), "", "the first half of all is what was rejected");
    static const char *const trials[] = {"RDS[r1]", "RDS[r2]", "RDS[r3 r4]", "RDS[r3]", "RDS[r4]"};
    for (int i = 0; i < 5; i++) {
        wait_s(w, 1000);
        is_str(got(c), trials[i], "P7: each of them is tried");
        if (i == 1 || i == 4)
            ack(c, 'R');
        else
            nack(c, 'R');
    }
    hang_up(&c);
    world_close(&w);
}

/* N-6, P7: what is in use stays in the set, but if that is what is bad, it is tried like others. */
static void bad_in_use(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 R/r1=1>C/a R/r2=1>C/a");
    struct fp_grpc_call *c = holder(w);
    ask(c, 'R', "r1 r2");
    publish(w, "C/a=1 C/b=bad C/c=1 C/d=1 R/r1=2>C/b R/r2=2>C/c");
    wait_s(w, 15001);
    ack(c, 'R');
    got(c);
    nack(c, 'C');
    is_str(got(c), "CDS[a b c]", "N-6: two are in use");
    nack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a b]", "P7: one of them is bad: they are tried like the others");
    nack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a c d]", "the good ones arrive");
    ack(c, 'C');
    wait_s(w, 60000);
    is_str(got(c), "", "and there is an end of it");
    hang_up(&c);
    world_close(&w);
}

/* N-6: Envoy runs what was new in an answer that it rejected, and by now its routes name it. */
static void in_use(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1 R/r1=1>C/a");
    struct fp_grpc_call *c = holder(w);
    ask(c, 'R', "r1");
    publish(w, "C/a=1 C/b=1 C/c=1 C/x=bad R/r1=2>C/b");
    is_str(got(c), "CDS[a b c x]", "new ones, a route to one of them waits");
    wait_s(w, 15001);
    is_str(got(c), "RDS[r1]", "P10: not longer than the ordering timeout");
    ack(c, 'R');
    nack(c, 'C');
    is_str(got(c), "CDS[a b]", "nobody is named: what is in use is in every set");
    ack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a b c]", "the others are tried");
    ack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a b c x]", "the culprit's trial");
    nack(c, 'C');
    publish(w, "C/a=1 C/b=1 C/c=1 R/r1=2>C/b");
    is_str(got(c), "", "it is removed: nothing is left to say");
    ok(!of(c, FP_KIND_CLUSTER)->nack->open, "N-8: and its rejection is resolved");
    publish(w, "C/a=1 C/b=1 C/c=1 C/d=bad R/r1=3>C/d");
    got(c);
    wait_s(w, 15001);
    is_str(got(c), "RDS[r1]", "a route to what is bad");
    ack(c, 'R');
    publish(w, "C/a=1 C/b=1 C/c=1 C/d=bad C/e=1 R/r1=3>C/d");
    is_str(got(c), "CDS[a b c d e]", "and another one");
    nack(c, 'C');
    is_str(got(c), "CDS[a b c d]", "the bad one is in use");
    nack(c, 'C');
    wait_s(w, 1000);
    is_str(got(c), "CDS[a b c e]", "and was alone in what is rejected: it does not run");
    ack(c, 'C');
    wait_s(w, 60000);
    is_str(got(c), "", "N-3");
    publish(w, "C/a=1 C/b=1 C/c=1 C/d=good C/e=1 R/r1=3>C/d");
    is_str(got(c), "CDS[a b c d e]", "N-10");
    ack(c, 'C');
    ok(!of(c, FP_KIND_CLUSTER)->isolation && !of(c, FP_KIND_CLUSTER)->nack->open, "N-8");
    hang_up(&c);
    world_close(&w);
}

static void policy_hold(void)
{
    struct fp_xds_options o = {
        .control_plane_id = "t", .ordering_timeout_ms = 15000, .max_streams = 9, .nack_hold = true};
    struct world *w = world_open(&o);
    publish(w, "C/a=1 C/b=1");
    struct fp_grpc_call *c = holder(w);
    publish(w, "C/a=2 C/b=bad");
    got(c);
    nack(c, 'C');
    wait_s(w, 60000);
    is_str(got(c), "", "P7 hold: nothing of that type");
    publish(w, "C/a=2 C/b=good");
    is_str(got(c), "CDS[a b]", "until the set changes");
    hang_up(&c);
    world_close(&w);
}

/* ---- many changes, a client that refuses some contents ---- */

struct client {
    struct fp_grpc_call *call;
    char held[26]; /* body by name a … z, 0: none */
    unsigned nacks;
};

static bool take(struct client *cl, char held[26])
{
    struct fp_str m = fp_buf_str(&cl->call->raw);
    struct fp_xds_field f;
    bool good = true;
    memset(held, 0, 26);
    while (fp_xds_wire_next(&m, &f) > 0)
        if (f.number == 2) {
            struct fp_str value = field_of(f.bytes, 2);
            char body = field_of(value, 2).data[0];
            held[field_of(value, 1).data[0] - 'a'] = body;
            good &= body < 'X';
        }
    return good;
}

static void turn_client(struct client *cl)
{
    while (*cl->call->text) {
        char held[26];
        got(cl->call);
        if (take(cl, held)) {
            memcpy(cl->held, held, sizeof held);
            ack(cl->call, 'C');
        } else {
            cl->nacks++;
            nack(cl->call, 'C');
        }
    }
}

static void random_changes(unsigned seed)
{
    struct world *w = world_open(NULL);
    struct client cl = {.call = NULL};
    char body[26] = {0};
    unsigned publishes = 0;
    srand(seed);
    publish(w, "C/a=A");
    cl.call = dial(w, "n");
    ask(cl.call, 'C', "");
    turn_client(&cl);
    for (int round = 0; round < 60; round++) {
        char text[512] = "R/r=1";
        for (int i = 0; i < 8; i++) {
            if (rand() % 3 == 0)
                body[i] = rand() % 5 == 0   ? 0
                          : rand() % 4 == 0 ? (char)('X' + rand() % 3)
                                            : (char)('A' + rand() % 20);
            if (body[i])
                sprintf(text + strlen(text), " C/%c=%c", 'a' + i, body[i]);
        }
        publish(w, text);
        publishes++;
        turn_client(&cl);
        for (int s = rand() % 6; s > 0; s--) {
            wait_s(w, 700);
            turn_client(&cl);
        }
    }
    for (int s = 0; s < 40; s++) {
        wait_s(w, 1000);
        turn_client(&cl);
    }
    unsigned wrong = 0;
    for (int i = 0; i < 8; i++)
        wrong += body[i] && body[i] < 'X' ? cl.held[i] != body[i] : cl.held[i] >= 'X';
    for (int i = 0; i < 8; i++)
        wrong += !body[i] && cl.held[i];
    is_int((int)wrong, 0, "seed %u: every good one arrived, no bad one is believed held", seed);
    ok(cl.nacks < publishes * 9, "seed %u: %u rejections of %u sets", seed, cl.nacks, publishes);
    unsigned before = cl.call->sends;
    wait_s(w, 600000);
    is_int((long)(cl.call->sends - before), 0, "seed %u: N-3: then silence", seed);
    hang_up(&cl.call);
    world_close(&w);
}

/* A fleet that rejects the same shares what is known of it. */
static void sharing(void)
{
    enum { N = 50 };
    struct world *w = world_open(NULL);
    struct fp_grpc_call *c[N];
    publish(w, "C/a=1 C/b=1");
    for (int i = 0; i < N; i++)
        c[i] = holder(w);
    publish(w, "C/a=2 C/b=bad");
    for (int i = 0; i < N; i++)
        nack(c[i], 'C');
    wait_s(w, 1000);
    bool same = true;
    for (int i = 1; i < N; i++)
        same &= of(c[i], FP_KIND_CLUSTER)->sent == of(c[0], FP_KIND_CLUSTER)->sent;
    ok(same, "streams on the same trial share a state");
    for (int i = 0; i < N; i++)
        hang_up(&c[i]);
    world_close(&w);
}

int main(void)
{
    whole_sets();
    named_sets();
    culprits();
    names_in_words();
    culprits_again();
    alone();
    fresh_streams();
    reconnected();
    in_use();
    bad_in_use();
    known_half();
    for (unsigned k = 0; k < 6; k++)
        halving(k % 2 ? 200 : 64, k, k + 1);
    halving(100, 100, 1);
    policy_hold();
    sharing();
    for (unsigned seed = 1; seed <= 20; seed++)
        random_changes(seed);
    return done_testing();
}
