/*
 * Metrics (contract §11.2).  Counters and histograms live in shared memory made before the first
 * fork, a table a slot, so that they outlive workers and reloads; a scrape sums the slots.  Label
 * values are small numbers: indices into lists that are known when the text is written, never user
 * input. Gauges are computed by whoever writes the text (api).
 */
#pragma once
#include <stdint.h>
#include "core/core_buf.h"

enum fp_metric {
    FP_METRIC_HTTP_REQUESTS,  /* method, path, status */
    FP_METRIC_HTTP_RESPONSES, /* status */
    FP_METRIC_HTTP_DURATION,  /* method, path */
    FP_METRIC_XDS_REQUESTS,   /* kind */
    FP_METRIC_XDS_RESPONSES,  /* kind, 0 = success 1 = error */
    FP_METRIC_XDS_STREAM_DURATION,
    FP_METRIC_XDS_PUSHES, /* kind */
    FP_METRIC_XDS_ACKS,   /* kind */
    FP_METRIC_XDS_NACKS,  /* kind */
    FP_METRIC_XDS_STALE_NONCES,
    FP_METRIC_XDS_COALESCED,
    FP_METRIC_XDS_WRITE_TIMEOUTS,
    FP_METRIC_XDS_IDENTITY_MISMATCHES,
    FP_METRIC_XDS_REPEATED_NODES,
    FP_METRIC_DB_QUERIES,     /* operation, table, 0 = success 1 = error */
    FP_METRIC_DB_DURATION,    /* operation */
    FP_METRIC_CONFIG_UPDATES, /* kind, operation */
    FP_METRIC_AUDIT_WRITES,
    FP_METRIC_TOKENS_CREATED,
    FP_METRIC_TOKENS_REVOKED,
    FP_METRIC_TOKENS_ROTATED,
    FP_METRIC_AUTHENTICATIONS, /* status */
    FP_METRIC_PROPAGATION,     /* stage */
    FP_METRIC_LOG_DROPPED,
    FP_METRIC_SPANS_DROPPED,
    FP_METRIC_CPU, /* in nanoseconds */
    FP_METRIC_N
};
enum { FP_METRIC_PUBLISHED, FP_METRIC_ACKED }; /* stages of FP_METRIC_PROPAGATION */

struct fp_metrics;
struct fp_metrics *fp_metrics_new(void); /* shared pages; never NULL */
/* This process writes into slot `slot` of m from now on; NULL: nowhere (tests, tools).  Workers
 * have their numbers. */
#define FP_METRICS_WATCHER 256
void fp_metrics_bind(struct fp_metrics *m, unsigned slot);

/* Adds n to the counter with these label values (0 where the family has fewer).  Never blocks. */
void fp_metric_add(enum fp_metric f, unsigned a, unsigned b, unsigned c, uint64_t n);
/* One observation of a histogram. */
void fp_metric_observe_ns(enum fp_metric f, unsigned a, unsigned b, uint64_t ns);

/* Counts what this process has used and its log has dropped since the last call. */
void fp_metric_tell_process(void);

/* The names of a label's values, by index; NULL ends them.  A number beyond them is "other". */
struct fp_metric_names {
    const char *const *methods, *const *paths, *const *operations, *const *tables;
};
/* All families with at least HELP and TYPE, in Prometheus text 0.0.4; each series has service=, a
 * text that is escaped for a label. */
void fp_metrics_write(struct fp_buf *out, const struct fp_metrics *m, const char *service,
                      const struct fp_metric_names *names);
/* HELP, TYPE and the first series of a family that is kept elsewhere; labels may be NULL. */
void fp_metric_counter(struct fp_buf *out, const char *name, const char *help, const char *service,
                       const char *labels, double value);
void fp_metric_gauge(struct fp_buf *out, const char *name, const char *help, const char *service,
                     const char *labels, double value);
/* Further series of the family before. */
void fp_metric_more(struct fp_buf *out, const char *name, const char *service, const char *labels,
                    double value);
