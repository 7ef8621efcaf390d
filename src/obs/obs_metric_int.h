/* Private to the obs room: how metrics lie in shared memory. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include "obs/obs_metric.h"

#define METRIC_SLOTS      (FP_METRICS_WATCHER + 1)
#define METRIC_SERIES     4096
#define METRIC_BUCKETS    16
#define METRIC_LAST_USUAL 12  /* 10 s; what takes longer is told apart for propagation only */
#define METRIC_SUM        100 /* the third label of a histogram: a bucket, or this: the sum in ns */

struct metric_series {
    _Atomic uint64_t key; /* 0 = free */
    _Atomic uint64_t value;
};
struct metric_slot {
    struct metric_series series[METRIC_SERIES];
    _Atomic uint64_t lost;
};
struct fp_metrics {
    _Atomic bool
        used[METRIC_SLOTS]; /* the others are not even read: reading would give them memory */
    struct metric_slot slots[METRIC_SLOTS];
};
extern const uint64_t obs_metric_bounds_us[METRIC_BUCKETS];

/* family + 1 | a | b | c, 16 bits each: never 0 */
static inline uint64_t metric_key(enum fp_metric f, unsigned a, unsigned b, unsigned c)
{
    return (uint64_t)(f + 1) << 48 | (uint64_t)(a & 0xffff) << 32 | (uint64_t)(b & 0xffff) << 16 |
           (c & 0xffff);
}
