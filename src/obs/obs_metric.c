/*
 * Counting.  A slot is an open-addressed table of {key, value} words; a key packs the family and
 * its label numbers.  Written by the process of the slot (and the old generation while it drains),
 * read by whoever is scraped.  Runs in all processes; must never block or grow.
 */
#include "obs/obs_metric_int.h"
#include <time.h>
#include "core/core_assert.h"
#include "core/core_log.h"
#include "os/os_memfd.h"

static struct metric_slot *slot; /* of this process */
static struct {
    uint64_t dropped, cpu_ns;
} told; /* by fp_metric_tell_process */

/* in microseconds, the last one is +Inf */
const uint64_t obs_metric_bounds_us[METRIC_BUCKETS] = {
    1000,   2500,    5000,    10000,   25000,    50000,    100000,   250000,
    500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, UINT64_MAX,
};

struct fp_metrics *fp_metrics_new(void)
{
    return fp_shared_pages_new(sizeof(struct fp_metrics));
}

void fp_metrics_bind(struct fp_metrics *m, unsigned n)
{
    FP_ASSERT(!m || n < METRIC_SLOTS);
    slot = m ? &m->slots[n] : NULL;
    told.dropped = fp_log_dropped(); /* by the master, before the fork */
    if (m)
        atomic_store(&m->used[n], true);
}

static _Atomic uint64_t *find(uint64_t key)
{
    uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    for (unsigned i = 0; i < METRIC_SERIES; i++) {
        struct metric_series *s = &slot->series[(h + i) % METRIC_SERIES];
        uint64_t have = atomic_load_explicit(&s->key, memory_order_relaxed);
        if (!have && atomic_compare_exchange_strong(&s->key, &have, key))
            return &s->value;
        if (have == key)
            return &s->value;
    }
    return &slot->lost; /* bounded labels keep this from happening; see t/00-unit/obs_metric.c */
}

static void add(uint64_t key, uint64_t n)
{
    if (slot)
        atomic_fetch_add_explicit(find(key), n, memory_order_relaxed);
}

void fp_metric_add(enum fp_metric f, unsigned a, unsigned b, unsigned c, uint64_t n)
{
    add(metric_key(f, a, b, c), n);
}

void fp_metric_observe_ns(enum fp_metric f, unsigned a, unsigned b, uint64_t ns)
{
    unsigned i = 0;
    while (ns / 1000 > obs_metric_bounds_us[i])
        i++;
    add(metric_key(f, a, b, i), 1);
    add(metric_key(f, a, b, METRIC_SUM), ns);
}

static void add_since(enum fp_metric f, uint64_t *before, uint64_t n)
{
    if (n > *before)
        fp_metric_add(f, 0, 0, 0, n - *before);
    *before = n;
}

void fp_metric_tell_process(void)
{
    struct timespec cpu;
    add_since(FP_METRIC_LOG_DROPPED, &told.dropped, fp_log_dropped());
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        add_since(FP_METRIC_CPU, &told.cpu_ns,
                  (uint64_t)cpu.tv_sec * 1000000000 + (uint64_t)cpu.tv_nsec);
}
