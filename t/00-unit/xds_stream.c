/* A SotW ADS stream by the rules of xds-rules.md: requests, nonces, versions, names, wildcards. */
#include "xds_fake.h"

#define TWO "C/c1=1>E/c1 C/c2=1>E/c2 E/c1=1 E/c2=1 L/l1=1>R/r1 R/r1=1>C/c1 R/r2=1>C/c2"

static struct fp_grpc_call *started(struct world *w, const char *node)
{
    struct fp_grpc_call *c = dial(w, node);
    ask(c, 'C', "");
    ask(c, 'E', "c2 c1");
    ack(c, 'C');
    ask(c, 'L', "");
    ack(c, 'E');
    ask(c, 'R', "r1");
    ack(c, 'L');
    ack(c, 'R');
    return c;
}

/* The recording of xds-rules.md §11, "SotW start". */
static void golden_start(void)
{
    struct world *w = world_open(NULL);
    publish(w, TWO);
    struct fp_grpc_call *c = dial(w, "envoy");
    ask(c, 'C', "");
    is_str(got(c), "CDS[c1 c2]", "§11: CDS, all");
    ask(c, 'E', "c2 c1");
    is_str(got(c), "EDS[c1 c2]", "§11: EDS, those named");
    ack(c, 'C');
    ask(c, 'L', "");
    is_str(got(c), "LDS[l1]", "§11: LDS");
    ack(c, 'E');
    ask(c, 'R', "r1");
    is_str(got(c), "RDS[r1]", "S-12: only what was named");
    ack(c, 'L');
    ack(c, 'R');
    is_str(got(c), "", "S-15: an ACK is not answered");
    hang_up(&c);
    world_close(&w);
}

/* "CDS change of c1": with its endpoints right behind (O-1), and the stale re-request (O-2, S-6).
 */
static void golden_change(void)
{
    struct world *w = world_open(NULL);
    publish(w, TWO);
    struct fp_grpc_call *c = started(w, "envoy");
    got(c);
    char old_version[64], old_nonce[32];
    strcpy(old_version, c->last[FP_KIND_ENDPOINT].version);
    strcpy(old_nonce, c->last[FP_KIND_ENDPOINT].nonce);
    publish(w, "C/c1=2>E/c1 C/c2=1>E/c2 E/c1=1 E/c2=1 L/l1=1>R/r1 R/r1=1>C/c1 R/r2=1>C/c2");
    is_str(got(c), "CDS[c1 c2] EDS[c1]", "O-1: EDS of the changed cluster behind CDS, unchanged");
    is_str(c->last[FP_KIND_ENDPOINT].version, old_version, "O-1: with the same version");
    say(c, 'E', "c1 c2", old_version, old_nonce, NULL);
    turn(w);
    is_str(got(c), "", "O-2, S-6: the re-request with the nonce before is stale");
    ack(c, 'E');
    ack(c, 'C');
    is_str(got(c), "", "nothing more");
    publish(w, "C/c1=2>E/c1 C/c2=1>E/c2 E/c1=2 E/c2=1 L/l1=1>R/r1 R/r1=1>C/c1 R/r2=1>C/c2");
    is_str(got(c), "EDS[c1]", "L-4: an EDS change moves only EDS, only the changed set");
    ack(c, 'E');
    publish(w, "C/c1=2>E/c1 C/c2=1>E/c2 E/c1=2 E/c2=1 L/l1=1>R/r1 R/r1=1>C/c1 R/r2=1>C/c2");
    is_str(got(c), "", "L-5: equal bytes, nothing is sent");
    publish(w, "C/c1=2>E/c1 C/c2=1>E/c2 E/c1=2 E/c2=1 L/l1=2>R/r1 R/r1=1>C/c1 R/r2=2>C/c2");
    is_str(got(c), "LDS[l1]", "O-14: a listener that keeps its routes; r2 was not named (S-12)");
    ack(c, 'L');
    is_str(got(c), "", "and no more");
    hang_up(&c);
    world_close(&w);
}

static void nonces_and_versions(void)
{
    struct world *w = world_open(NULL), *other = world_open(NULL);
    publish(w, TWO);
    publish(other, "R/r2=1>C/c2 C/c2=1>E/c2 C/c1=1>E/c1 E/c2=1 E/c1=1 R/r1=1>C/c1 L/l1=1>R/r1");
    struct fp_grpc_call *c = started(w, "a"), *d = started(other, "b");
    for (int k = 0; k <= FP_KIND_ROUTE; k++) {
        ok(*c->last[k].version, "S-3: %s has a version", fp_kinds[k].xds);
        is_str(c->last[k].version, d->last[k].version, "S-17: the same on another instance, %s",
               fp_kinds[k].xds);
        for (int j = 0; j < k; j++)
            ok(strcmp(c->last[k].nonce, c->last[j].nonce) != 0, "S-2: nonces differ");
    }
    char v1[64];
    strcpy(v1, c->last[FP_KIND_CLUSTER].version);
    publish(w, "C/c1=2");
    ok(strcmp(v1, c->last[FP_KIND_CLUSTER].version) != 0, "S-18: other contents, other version");
    struct fp_str id = field_of(field_of(fp_buf_str(&c->raw), 6), 1);
    ok(fp_str_eq_c(id, "flowplane/test"), "S-19: control_plane.identifier");
    hang_up(&c);
    hang_up(&d);
    world_close(&w);
    world_close(&other);
}

static void initial_requests(void)
{
    struct world *w = world_open(NULL);
    publish(w, TWO);
    struct fp_grpc_call *c = dial(w, "n");
    say(c, 'C', "", "other", "77", NULL);
    turn(w);
    is_str(got(c), "CDS[c1 c2]", "S-1: the first request is initial whatever its nonce says");
    say(c, 'L', "", "x", "9", "NACK from an older stream");
    turn(w);
    is_str(got(c), "LDS[l1]", "S-1: and whatever its error says");
    hang_up(&c);

    c = dial(w, "n");
    say(c, 'R', "r9", "", "old", NULL);
    say(c, 'R', "r9 r1", "", "old", NULL);
    turn(w);
    is_str(got(c), "RDS[r1]", "S-1: a nonce carried over, as long as nothing was answered");
    hang_up(&c);

    c = started(w, "n");
    struct last l[FP_KIND_N];
    memcpy(l, c->last, sizeof l);
    hang_up(&c);
    c = dial(w, "n");
    say(c, 'C', "", l[FP_KIND_CLUSTER].version, "", NULL);
    say(c, 'E', "c1 c2", l[FP_KIND_ENDPOINT].version, "", NULL);
    say(c, 'L', "", l[FP_KIND_LISTENER].version, "", NULL);
    say(c, 'R', "r1", l[FP_KIND_ROUTE].version, "", NULL);
    turn(w);
    is_str(got(c), "EDS[c1 c2] RDS[r1]", "S-16: reconnect with current versions: only named types");
    ack(c, 'E');
    ack(c, 'R');
    publish(w, "C/c1=2>E/c1 C/c2=1>E/c2 E/c1=1 E/c2=1 L/l1=1>R/r1 R/r1=1>C/c1");
    is_str(got(c), "CDS[c1 c2] EDS[c1]", "S-16: what comes later is compared with what it held");
    hang_up(&c);

    c = dial(w, "n");
    say(c, 'E', "c1 c2", "", "", NULL);
    say(c, 'C', "", "stale", "", NULL);
    turn(w);
    is_str(got(c), "CDS[c1 c2] EDS[c1 c2]", "O-11: EDS asked first is answered behind CDS");
    hang_up(&c);

    c = dial(w, "n");
    ask(c, 'E', "c1 c2");
    got(c);
    ask(c, 'C', "");
    is_str(got(c), "CDS[c1 c2] EDS[c1 c2]", "O-4: EDS from before does not count");
    hang_up(&c);
    world_close(&w);
}

static void names(void)
{
    struct world *w = world_open(NULL);
    publish(w, TWO " R/r3=1 R/r4=1");
    struct fp_grpc_call *c = dial(w, "n");
    ask(c, 'R', "r9 r2 r1");
    is_str(got(c), "RDS[r1 r2]", "S-14: what exists of the named");
    ack(c, 'R');
    ask(c, 'R', "r1 r2 r9 r2");
    is_str(got(c), "", "S-9: order and duplicates mean nothing");
    ask(c, 'R', "r1 r2 r9 r3");
    is_str(got(c), "RDS[r3]", "S-8: the gained name");
    say(c, 'R', "r1 r2 r9 r3 r4", "old version", c->last[FP_KIND_ROUTE].nonce, NULL);
    turn(w);
    is_str(got(c), "RDS[r4]", "S-5: an older version is no NACK");
    ack(c, 'R');
    ask(c, 'R', "r1 r9");
    is_str(got(c), "", "S-10: lost names, no answer");
    publish(w, "R/r1=1 R/r2=2 R/r3=1 R/r4=1 R/r9=1");
    is_str(got(c), "RDS[r9]",
           "S-14: sent when it comes to exist; S-10: lost names are not updated");
    ack(c, 'R');
    ask(c, 'R', "r1 r9 r2");
    is_str(got(c), "RDS[r2]", "S-8: asked for again, sent again");
    ack(c, 'R');
    say(c, 'R', "r1 r9", c->last[FP_KIND_ROUTE].version, c->last[FP_KIND_ROUTE].nonce, NULL);
    say(c, 'R', "r1 r9 r2", c->last[FP_KIND_ROUTE].version, c->last[FP_KIND_ROUTE].nonce, NULL);
    turn(w);
    is_str(got(c), "RDS[r2]", "S-8: let go and asked for in one turn: sent again, unchanged");
    publish(w, "R/r1=1 R/r9=1 R/r2=3");
    got(c);
    say(c, 'R', "r1 r2 r9 r3 r4", "", "1", NULL);
    turn(w);
    is_str(got(c), "", "S-6: a stale nonce gets no answer");
    publish(w, "R/r1=1 R/r2=3 R/r3=7 R/r4=7 R/r9=1");
    is_str(got(c), "", "S-6: and its names do not count");
    ask(c, 'R', "r1 r9 r2");
    publish(w, "R/r1=1");
    is_str(got(c), "", "S-13: a removed route needs no answer");
    publish(w, "R/r1=1 R/r2=3");
    is_str(got(c), "RDS[r2]", "and comes back when it exists again");
    hang_up(&c);
    world_close(&w);
}

static void wildcards(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/A=1 C/B=1 E/A=1 R/A=1 L/l=1");
    struct fp_grpc_call *c = dial(w, "n");
    ask(c, 'C', "");
    is_str(got(c), "CDS[A B]", "W-1: naming nothing at first is the wildcard");
    ask(c, 'C', "* A");
    is_str(got(c), "CDS[A B]", "W-4: [*, A] still all");
    ask(c, 'C', "A");
    is_str(got(c), "", "W-4: [A], a loss");
    publish(w, "C/A=2 C/B=2 E/A=1 R/A=1 L/l=1");
    is_str(got(c), "CDS[A]", "W-4: A only");
    ask(c, 'C', "");
    publish(w, "C/A=3 C/B=3 E/A=1 R/A=1 L/l=1");
    is_str(got(c), "", "W-3, W-4: naming nothing later is nothing");
    ask(c, 'C', "*");
    is_str(got(c), "CDS[A B]", "W-2: * is the wildcard");
    ask(c, 'E', "");
    ask(c, 'R', "");
    is_str(got(c), "", "W-8: no wildcard for EDS and RDS");
    ask(c, 'E', "*");
    is_str(got(c), "", "W-8: * is only a name for them");
    hang_up(&c);

    c = dial(w, "n");
    ask(c, 'C', "*");
    is_str(got(c), "CDS[A B]", "W-2: * at first");
    ask(c, 'C', "''");
    is_str(got(c), "CDS[]", "W-9: [\"\"] is a name that does not exist");
    publish(w, "C/A=4 E/A=1 R/A=1 L/l=1");
    is_str(got(c), "", "W-9: and not the wildcard");
    hang_up(&c);

    c = dial(w, "grpc client");
    ask(c, 'L', "l missing");
    is_str(got(c), "LDS[l]", "S-11: the whole subscribed set");
    ask(c, 'L', "l missing gone");
    is_str(got(c), "LDS[l]", "K-3: a new name is answered, what is missing does not exist");
    ack(c, 'L');
    publish(w, "L/m=1");
    is_str(got(c), "LDS[]", "S-11: zero resources delete all");
    hang_up(&c);
    world_close(&w);
}

static void empty_and_early(void)
{
    struct world *w = world_open(NULL);
    struct fp_grpc_call *c = dial(w, "n");
    ask(c, 'C', "");
    ask(c, 'L', "");
    is_str(got(c), "", "E-9: no answer before the first snapshot");
    publish(w, "R/r=1");
    is_str(got(c), "CDS[] LDS[]", "O-12: empty sets are answered then");
    ok(*c->last[FP_KIND_CLUSTER].version, "S-3: an empty set has a version");
    hang_up(&c);
    world_close(&w);
}

static void supersede(void)
{
    struct world *w = world_open(NULL);
    publish(w, TWO);
    struct fp_grpc_call *c = dial(w, "n");
    say(c, 'R', "r1", "", "", NULL);
    say(c, 'R', "r1 r2", "", "", NULL);
    turn(w);
    is_str(got(c), "RDS[r1 r2]", "S-20: of queued requests only the newest is answered");
    c->stuck = true;
    publish(w, TWO " R/r3=1 C/c3=1");
    is_str(got(c), "", "nothing it asked for changed");
    publish(w, "R/r1=2 R/r2=1");
    is_str(got(c), "RDS[r1]", "sent, but not read by the client");
    for (int i = 3; i < 10; i++) {
        char text[64];
        snprintf(text, sizeof text, "R/r1=%d R/r2=%d", i, i);
        publish(w, text);
    }
    is_str(got(c), "", "L-1: one answer is unsent, no other is made");
    unsigned before = c->sends;
    c->stuck = false;
    drain(c);
    is_str(got(c), "RDS[r1 r2]", "L-1: then the newest");
    is_int(c->sends - before, 1, "once");
    hang_up(&c);
    world_close(&w);
}

int main(void)
{
    golden_start();
    golden_change();
    nonces_and_versions();
    initial_requests();
    names();
    wildcards();
    empty_and_early();
    supersede();
    return done_testing();
}
