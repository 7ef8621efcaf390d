/* Shared limits (contract §2.9): buckets, penalties that double, a table that stays bounded. */
#include "obs/obs_limit.c"
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tap.h"

#define T0 1000000u

static void buckets(struct fp_limits *l)
{
    struct fp_str k = FP_STR("token-a");
    for (int i = 0; i < 3; i++)
        is_int(fp_limit_take(l, FP_LIMIT_TOKEN_WRITES, k, 60, 3, T0), 0, "write %d of a burst of 3",
               i + 1);
    uint64_t wait = fp_limit_take(l, FP_LIMIT_TOKEN_WRITES, k, 60, 3, T0);
    ok(wait > 900 && wait <= 1001, "then about a second at 60 a minute: %llu ms",
       (unsigned long long)wait);
    is_int(fp_limit_take(l, FP_LIMIT_TOKEN_WRITES, k, 60, 3, T0 + 1001), 0, "after it one more");
    ok(fp_limit_take(l, FP_LIMIT_TOKEN_WRITES, k, 60, 3, T0 + 1001) > 0, "and no second one");
    is_int(fp_limit_take(l, FP_LIMIT_ADDRESS_WRITES, k, 60, 3, T0), 0,
           "another kind has its own bucket");
    is_int(fp_limit_take(l, FP_LIMIT_TOKEN_WRITES, FP_STR("token-b"), 60, 3, T0), 0,
           "another key too");
}

static void penalties(struct fp_limits *l)
{
    struct fp_str k = FP_STR("192.0.2.1");
    uint64_t now = T0;
    for (int i = 0; i < 3; i++)
        is_int(fp_limit_fail(l, k, 3, now), 0, "failure %d of 3", i + 1);
    is_int(fp_limit_fail(l, k, 3, now), 5000, "the next one: 5 s");
    is_int(fp_limit_fail(l, k, 3, now + 1000), 4000, "which run down");
    is_int(fp_limit_fail(l, k, 3, now + 5000), 10000, "still failing: 10 s");
    now += 15000;
    for (int i = 0; i < 12; i++)
        now += fp_limit_fail(l, k, 0, now);
    is_int(fp_limit_fail(l, k, 0, now), 600000, "doubling ends at 10 minutes");
    struct fp_str slow = FP_STR("192.0.2.2");
    int penalised = 0;
    for (int i = 0; i < 20; i++)
        penalised += fp_limit_fail(l, slow, 3, T0 + (uint64_t)i * 25000) > 0;
    is_int(penalised, 0, "three a minute are no penalty");
}

static void shared(struct fp_limits *l)
{
    struct fp_str k = FP_STR("over-processes");
    pid_t pid = fork();
    if (pid == 0) {
        fp_limit_take(l, FP_LIMIT_TOKEN_WRITES, k, 1, 1, T0);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    ok(fp_limit_take(l, FP_LIMIT_TOKEN_WRITES, k, 1, 1, T0) > 0,
       "one worker's write counts in the other");
}

static void peeks(struct fp_limits *l)
{
    struct fp_str k = FP_STR("looked-at");
    for (int i = 0; i < 3; i++)
        is_int(fp_limit_peek(l, FP_LIMIT_TOKEN_UNKNOWN, k, 60, 1, T0), 0, "a look takes nothing");
    is_int(fp_limit_take(l, FP_LIMIT_TOKEN_UNKNOWN, k, 60, 1, T0), 0, "so the token is there");
    ok(fp_limit_peek(l, FP_LIMIT_TOKEN_UNKNOWN, k, 60, 1, T0 + 500) > 0,
       "half a second later none");
    is_int(fp_limit_peek(l, FP_LIMIT_TOKEN_UNKNOWN, k, 60, 1, T0 + 1000), 0,
           "after one it is back");
}

static void bounded(struct fp_limits *l)
{
    char key[32];
    size_t used = 0;
    for (int i = 0; i < 2 * FP_LIMIT_ENTRIES; i++) {
        int n = snprintf(key, sizeof(key), "flood-%d", i);
        fp_limit_take(l, FP_LIMIT_ADDRESS_WRITES, fp_str_n(key, (size_t)n), 1, 1, T0 + (uint64_t)i);
    }
    for (size_t i = 0; i < FP_LIMIT_ENTRIES; i++)
        used += atomic_load(&l->entries[i].key) != 0;
    ok(used <= FP_LIMIT_ENTRIES, "a flood of keys fills the table and no more: %zu", used);
    ok(fp_limit_take(l, FP_LIMIT_ADDRESS_WRITES, fp_str_n(key, strlen(key)), 1, 1, T0) > 0,
       "the newest is still known");
}

int main(void)
{
    struct fp_limits *l = fp_limits_new();
    buckets(l);
    penalties(l);
    shared(l);
    peeks(l);
    bounded(l);
    return done_testing();
}
