/* Randomness.  Secrets and ids always come from getrandom(2); the cheap generator is for jitter. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/random.h>
#include "core/core_assert.h"
#include "core/core_rand.h"

void fp_rand_bytes(void *out, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t r = getrandom((char *)out + done, n - done, 0);
        if (r < 0 && errno == EINTR)
            continue;
        FP_ASSERT(r > 0);
        done += (size_t)r;
    }
}

/* A Weyl sequence behind a 64-bit mixer (splitmix).  Each process seeds its own: a forked child
 * forgets the parent's state, or workers would jitter in step. */
static uint64_t state;
static bool seeded;

static void forget(void)
{
    seeded = false;
}

uint64_t fp_rand_u64(void)
{
    static bool hooked;
    if (!seeded) {
        if (!hooked)
            hooked = pthread_atfork(NULL, NULL, forget) == 0;
        FP_ASSERT(hooked);
        fp_rand_bytes(&state, sizeof(state));
        seeded = true;
    }
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

uint64_t fp_rand_below(uint64_t n)
{
    FP_ASSERT(n > 0);
    uint64_t v, skip = (0 - n) % n; /* 2^64 mod n: that many low values would be one too often */
    do
        fp_rand_bytes(&v, sizeof(v));
    while (v < skip);
    return v % n;
}

uint64_t fp_rand_jitter(uint64_t base, unsigned percent)
{
    FP_ASSERT(percent <= 100);
    /* divided first: no overflow, at the price of nothing that matters for a timer */
    uint64_t span = base / 100 * percent + base % 100 * percent / 100;
    if (span == 0)
        return base;
    uint64_t low = base - span;
    return low + fp_rand_u64() % (span > UINT64_MAX / 2 ? UINT64_MAX : 2 * span + 1);
}

void fp_rand_alnum(char *out, size_t n)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < n; i++)
        out[i] = alphabet[fp_rand_below(sizeof(alphabet) - 1)];
}
