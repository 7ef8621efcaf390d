/*
 * Shared rate limits: open addressing over a fixed table, keys by digest, state in two words.  Runs
 * in workers.  Must never block and never grow.
 */
#include "obs/obs_limit.h"
#include <stdatomic.h>
#include "codec/codec_hash.h"
#include "core/core_rand.h"
#include "os/os_memfd.h"

#define PROBES        8
#define FAIL_WINDOW_S 60
#define PENALTY_MS    5000
#define PENALTY_MAX   7 /* 5 s << 7 is beyond 10 minutes, where it is cut */
#define PENALTY_END   600000
#define MILLITOKENS   1000

struct entry {
    _Atomic uint64_t key;     /* 0 = free */
    _Atomic uint64_t touched; /* ms, for eviction */
    _Atomic uint64_t a, b;    /* bucket: filled-at ms, millitokens; failures: below */
};
struct fp_limits {
    uint8_t seed[16]; /* so that nobody can aim at one entry */
    struct entry entries[FP_LIMIT_ENTRIES];
};

struct fp_limits *fp_limits_new(void)
{
    struct fp_limits *l = fp_shared_pages_new(sizeof(*l));
    fp_rand_bytes(l->seed, sizeof(l->seed));
    return l;
}

static uint64_t digest(const struct fp_limits *l, enum fp_limit_kind kind, struct fp_str key)
{
    uint8_t in[sizeof(l->seed) + 1 + 64], out[FP_SHA256_BYTES];
    size_t n = key.len < 64 ? key.len : 64; /* token ids and addresses are shorter */
    uint64_t h;
    memcpy(in, l->seed, sizeof(l->seed));
    in[sizeof(l->seed)] = (uint8_t)kind;
    memcpy(in + sizeof(l->seed) + 1, key.data, n);
    fp_sha256(in, sizeof(l->seed) + 1 + n, out);
    memcpy(&h, out, sizeof(h));
    return h ? h : 1;
}

static struct entry *find(struct fp_limits *l, uint64_t key, uint64_t now_ms)
{
    struct entry *oldest = NULL;
    for (unsigned i = 0; i < PROBES; i++) {
        struct entry *e = &l->entries[(key + i) % FP_LIMIT_ENTRIES];
        uint64_t have = atomic_load(&e->key);
        if (have == key || (!have && atomic_compare_exchange_strong(&e->key, &have, key)) ||
            have == key) {
            atomic_store(&e->touched, now_ms);
            return e;
        }
        if (!oldest || atomic_load(&e->touched) < atomic_load(&oldest->touched))
            oldest = e;
    }
    atomic_store(&oldest->key, key);
    atomic_store(&oldest->a, 0);
    atomic_store(&oldest->b, 0);
    atomic_store(&oldest->touched, now_ms);
    return oldest;
}

static uint64_t gained_since(uint64_t since, unsigned per_minute, uint64_t most, uint64_t now_ms)
{
    return !since ? most : now_ms > since ? (now_ms - since) * per_minute / 60 : 0;
}

static uint64_t wait_for(uint64_t left, unsigned per_minute)
{
    return per_minute ? (MILLITOKENS - left) * 60 / per_minute + 1 : PENALTY_END;
}

/* a = when b was right; b = millitokens.  A new entry has a == 0 and is full. */
uint64_t fp_limit_take(struct fp_limits *l, enum fp_limit_kind kind, struct fp_str key,
                       unsigned per_minute, unsigned burst, uint64_t now_ms)
{
    struct entry *e = find(l, digest(l, kind, key), now_ms);
    uint64_t most = (uint64_t)(burst ? burst : 1) * MILLITOKENS;
    uint64_t since = atomic_exchange(&e->a, now_ms);
    uint64_t gained = gained_since(since, per_minute, most, now_ms);
    uint64_t have = atomic_load(&e->b), left;
    do {
        left = have + gained < most ? have + gained : most;
        if (left < MILLITOKENS)
            break;
    } while (!atomic_compare_exchange_weak(&e->b, &have, left - MILLITOKENS));
    if (left >= MILLITOKENS)
        return 0;
    atomic_store(&e->b, left);
    return wait_for(left, per_minute);
}

uint64_t fp_limit_peek(struct fp_limits *l, enum fp_limit_kind kind, struct fp_str key,
                       unsigned per_minute, unsigned burst, uint64_t now_ms)
{
    uint64_t want = digest(l, kind, key), most = (uint64_t)(burst ? burst : 1) * MILLITOKENS;
    for (unsigned i = 0; i < PROBES; i++) {
        struct entry *e = &l->entries[(want + i) % FP_LIMIT_ENTRIES];
        if (atomic_load(&e->key) != want)
            continue;
        uint64_t left =
            atomic_load(&e->b) + gained_since(atomic_load(&e->a), per_minute, most, now_ms);
        return left >= MILLITOKENS ? 0 : wait_for(left, per_minute);
    }
    return 0;
}

/* a = window start in seconds << 32 | failures in it; b = end of the penalty in ms << 8 | times. */
uint64_t fp_limit_fail(struct fp_limits *l, struct fp_str key, unsigned most, uint64_t now_ms)
{
    struct entry *e = find(l, digest(l, FP_LIMIT_AUTH_FAILURES, key), now_ms);
    uint64_t now_s = now_ms / 1000, window = atomic_load(&e->a), next, penalty = atomic_load(&e->b);
    if (penalty >> 8 > now_ms)
        return (penalty >> 8) - now_ms;
    do
        next = now_s - (window >> 32) < FAIL_WINDOW_S ? window + 1 : now_s << 32 | 1;
    while (!atomic_compare_exchange_weak(&e->a, &window, next));
    if ((next & UINT32_MAX) <= most)
        return 0;
    unsigned times = penalty & 0xff;
    uint64_t ms = (uint64_t)PENALTY_MS << times;
    ms = ms < PENALTY_END ? ms : PENALTY_END;
    atomic_store(&e->b, (now_ms + ms) << 8 | (times < PENALTY_MAX ? times + 1 : times));
    return ms;
}
