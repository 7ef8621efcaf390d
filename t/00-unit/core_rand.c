/* core_rand: bounds, bias, fork safety. */
#include "../lib/tap.h"
#include <sys/wait.h>
#include <unistd.h>
#include "core/core_rand.c"

static void below(void)
{
    enum { N = 6, ROUNDS = 6000 };
    unsigned count[N] = {0};
    for (int i = 0; i < ROUNDS; i++)
        count[fp_rand_below(N)]++;
    bool even = true;
    for (int i = 0; i < N; i++)
        even &= count[i] > 700 && count[i] < 1300; /* ten standard deviations */
    ok(even, "below(%d) is even", N);
    is_int(fp_rand_below(1), 0, "below(1)");
    ok(fp_rand_below(UINT64_MAX) < UINT64_MAX, "below(2^64 - 1)");
}

static void jitter(void)
{
    bool inside = true, low = false, high = false;
    for (int i = 0; i < 2000; i++) {
        uint64_t v = fp_rand_jitter(1000, 10);
        inside &= v >= 900 && v <= 1100;
        low |= v < 920;
        high |= v > 1080;
    }
    ok(inside, "jitter stays within its percentage");
    ok(low && high, "… and uses all of it");
    is_int(fp_rand_jitter(5, 0), 5, "0 percent is exact");
    is_int(fp_rand_jitter(0, 50), 0, "of nothing is nothing");
    ok(fp_rand_jitter(UINT64_MAX / 2, 100) <= UINT64_MAX - 1, "no overflow");
}

static void forked(void)
{
    uint64_t mine, theirs = 0;
    int p[2];
    fp_rand_u64();
    if (pipe(p))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        theirs = fp_rand_u64();
        _exit(write(p[1], &theirs, sizeof(theirs)) != sizeof(theirs));
    }
    mine = fp_rand_u64();
    is_int(read(p[0], &theirs, sizeof(theirs)), sizeof(theirs), "the child reports");
    ok(mine != theirs, "a forked child does not repeat its parent");
    waitpid(pid, NULL, 0);
    close(p[0]);
    close(p[1]);
}

int main(void)
{
    unsigned char a[300] = {0}, zero[300] = {0};
    fp_rand_bytes(a, sizeof(a));
    ok(memcmp(a, zero, sizeof(a)) != 0 && memcmp(a + 280, zero, 20) != 0, "bytes fills all");
    below();
    jitter();
    forked();
    return done_testing();
}
