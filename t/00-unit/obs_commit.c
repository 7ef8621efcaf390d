/* The commits that were served last: times, traces, the ten pushes of each (contract §11.4). */
#include "obs/obs_commit.c"
#include "tap.h"

static void add(struct fp_commits *c, uint64_t revision, int64_t wall_ms, uint8_t span)
{
    struct fp_commit x = {.revision = revision, .wall_ms = wall_ms};
    x.at =
        (struct fp_trace){.known = span != 0, .trace_id = {7, [15] = 9}, .span_id = {[7] = span}};
    fp_commits_add(c, &x);
}

int main(void)
{
    struct fp_commits *c = fp_commits_new();
    struct fp_commit out[4];
    is_int(fp_commits_oldest_ms(c, 0, UINT64_MAX), 0, "nothing yet");
    is_int(fp_commits_sample(c, 0, UINT64_MAX, out, 4), 0, "nothing to trace");
    add(c, 5, 500, 0);
    add(c, 6, 400, 1);
    add(c, 7, 700, 2);
    is_int(fp_commits_oldest_ms(c, 4, 7), 400, "the oldest of all");
    is_int(fp_commits_oldest_ms(c, 6, 7), 700, "after that revision");
    is_int(fp_commits_oldest_ms(c, 4, 5), 500, "up to that one");
    is_int(fp_commits_oldest_ms(c, 7, 9), 0, "none of these");

    is_int(fp_commits_sample(c, 4, 7, out, 4), 2, "two are traced");
    ok(out[0].revision == 6 && out[0].wall_ms == 400 && out[0].at.known && out[0].at.sampled &&
           out[0].at.trace_id[0] == 7 && out[0].at.trace_id[15] == 9 && out[0].at.span_id[7] == 1,
       "with trace and span");
    is_int(fp_commits_sample(c, 4, 7, out, 1), 1, "no more than there is room for");
    unsigned n = 2; /* of revision 6 */
    while (fp_commits_sample(c, 5, 6, out, 4))
        n++;
    is_int(n, FP_COMMIT_PUSHES, "ten pushes, and no more");
    is_int(fp_commits_sample(c, 6, 7, out, 4), 1, "another commit has its own ten");

    for (uint64_t i = 0; i < RING; i++)
        add(c, 100 + i, 1000 + (int64_t)i, 3);
    is_int(fp_commits_oldest_ms(c, 0, 99), 0, "of very many the oldest are forgotten");
    is_int(fp_commits_oldest_ms(c, 0, UINT64_MAX), 1000, "the others are there");
    is_int(fp_commits_sample(c, 99, 100, out, 4), 1, "and a place that is taken again begins anew");
    atomic_store(&c->ring[5].revision, 0); /* its writer was killed */
    is_int(fp_commits_oldest_ms(c, 99, 200) > 0, 1, "a half-written one is passed over");

    fp_commits_add(NULL, out);
    is_int(fp_commits_oldest_ms(NULL, 0, 9), 0, "no ring");
    is_int(fp_commits_sample(NULL, 0, 9, out, 4), 0, "no ring");
    return done_testing();
}
