/*
 * The Prometheus text (0.0.4) of what obs_metric.c counted: slots summed, series sorted, histograms
 * made cumulative.  Runs in workers, on a scrape.
 */
#include <stdio.h>
#include <stdlib.h>
#include "core/core_kind.h"
#include "core/core_mem.h"
#include "obs/obs_metric_int.h"

enum label {
    NONE,
    METHOD,
    PATH,
    STATUS,
    KIND,
    TYPE_URL,
    XDS,
    OUTCOME,
    OPERATION,
    TABLE,
    AUTH,
    STAGE,
    CHANGE
};
static const char *const label_names[] = {
    [METHOD] = "method",     [PATH] = "path",   [STATUS] = "status",  [KIND] = "resource_type",
    [TYPE_URL] = "type_url", [XDS] = "type",    [OUTCOME] = "status", [OPERATION] = "operation",
    [TABLE] = "table",       [AUTH] = "status", [STAGE] = "stage",    [CHANGE] = "operation",
};
static const char *const outcomes[] = {"success", "error", NULL};
static const char *const stages[] = {"published", "acked", NULL};
static const char *const changes[] = {"create", "update", "delete", NULL};
static const char *const auths[] = {"success",        "missing_bearer", "malformed",
                                    "not_found",      "inactive",       "expired",
                                    "invalid_secret", "error",          NULL};

struct family {
    const char *name, *help;
    bool histogram;
    enum label labels[3];
    bool ns; /* counted in nanoseconds, told in seconds */
};
static const struct family families[FP_METRIC_N] = {
    [FP_METRIC_HTTP_REQUESTS] = {"http_requests_total",
                                 "API requests.",
                                 false,
                                 {METHOD, PATH, STATUS}},
    [FP_METRIC_HTTP_RESPONSES] = {"http_responses_total",
                                  "API responses by status.",
                                  false,
                                  {STATUS}},
    [FP_METRIC_HTTP_DURATION] = {"http_request_duration_seconds",
                                 "Time from the first byte of an API request to its answer.",
                                 true,
                                 {METHOD, PATH}},
    [FP_METRIC_XDS_REQUESTS] = {"xds_requests_total", "Discovery requests.", false, {TYPE_URL}},
    [FP_METRIC_XDS_RESPONSES] = {"xds_responses_total",
                                 "Discovery responses; error: those a client rejected.",
                                 false,
                                 {TYPE_URL, OUTCOME}},
    [FP_METRIC_XDS_STREAM_DURATION] = {"xds_stream_duration_seconds",
                                       "Life of ended xDS streams.",
                                       true,
                                       {NONE}},
    [FP_METRIC_XDS_PUSHES] = {"flowplane_xds_pushes_total",
                              "Discovery responses sent because something changed.",
                              false,
                              {XDS}},
    [FP_METRIC_XDS_ACKS] = {"flowplane_xds_acks_total",
                            "Discovery responses that a client acknowledged.",
                            false,
                            {XDS}},
    [FP_METRIC_XDS_NACKS] = {"flowplane_xds_nacks_total",
                             "Discovery responses that a client rejected.",
                             false,
                             {XDS}},
    [FP_METRIC_XDS_STALE_NONCES] = {"flowplane_xds_stale_nonces_total",
                                    "Requests that answered an older response.",
                                    false,
                                    {NONE}},
    [FP_METRIC_XDS_COALESCED] = {"flowplane_xds_coalesced_pushes_total",
                                 "States that a newer one replaced before they were sent.",
                                 false,
                                 {NONE}},
    [FP_METRIC_XDS_WRITE_TIMEOUTS] = {"flowplane_xds_write_timeouts_total",
                                      "Connections closed because the client did not read.",
                                      false,
                                      {NONE}},
    [FP_METRIC_XDS_IDENTITY_MISMATCHES] =
        {"flowplane_xds_identity_mismatches_total",
         "Nodes whose certificate names another team than their metadata.",
         false,
         {NONE}},
    [FP_METRIC_XDS_REPEATED_NODES] =
        {"flowplane_xds_repeated_nodes_total",
         "Requests that carried their node again: Envoy without set_node_on_first_message_only.",
         false,
         {NONE}},
    [FP_METRIC_DB_QUERIES] = {"db_queries_total",
                              "Statements sent to PostgreSQL.",
                              false,
                              {OPERATION, TABLE, OUTCOME}},
    [FP_METRIC_DB_DURATION] = {"db_query_duration_seconds",
                               "Time from sending a statement to its last row.",
                               true,
                               {OPERATION}},
    [FP_METRIC_CONFIG_UPDATES] = {"config_updates_total",
                                  "Changes of configuration through this instance.",
                                  false,
                                  {KIND, CHANGE}},
    [FP_METRIC_AUDIT_WRITES] = {"flowplane_audit_log_writes", "Audit rows written.", false, {NONE}},
    [FP_METRIC_TOKENS_CREATED] = {"auth_tokens_created_total", "Tokens created.", false, {NONE}},
    [FP_METRIC_TOKENS_REVOKED] = {"auth_tokens_revoked_total", "Tokens revoked.", false, {NONE}},
    [FP_METRIC_TOKENS_ROTATED] = {"auth_tokens_rotated_total", "Tokens rotated.", false, {NONE}},
    [FP_METRIC_AUTHENTICATIONS] = {"auth_authentications_total",
                                   "Authentications by outcome.",
                                   false,
                                   {AUTH}},
    [FP_METRIC_PROPAGATION] = {"flowplane_config_propagation_seconds",
                               "Time from the commit of a change.",
                               true,
                               {STAGE}},
    [FP_METRIC_LOG_DROPPED] = {"flowplane_log_lines_dropped_total",
                               "Log lines that nobody took in time.",
                               false,
                               {NONE}},
    [FP_METRIC_SPANS_DROPPED] = {"flowplane_trace_spans_dropped_total",
                                 "Spans not exported: full queue or refused.",
                                 false,
                                 {NONE}},
    [FP_METRIC_CPU] = {"process_cpu_seconds_total",
                       "CPU time of the workers and the watcher.",
                       false,
                       {NONE},
                       .ns = true},
};

struct row { /* one series, summed over the slots */
    uint64_t key, value;
};
struct text {
    struct fp_buf *out;
    const char *service;
    const struct fp_metric_names *names;
    struct row *rows;
    size_t n;
};

static int by_key(const void *a, const void *b)
{
    uint64_t x = ((const struct row *)a)->key, y = ((const struct row *)b)->key;
    return x < y ? -1 : x > y;
}

/* All series of all slots, sorted, those of one key made one. */
static void collect(struct text *t, const struct fp_metrics *m)
{
    size_t cap = 0;
    for (size_t s = 0; s < METRIC_SLOTS; s++) {
        if (!atomic_load(&m->used[s]))
            continue;
        for (size_t i = 0; i < METRIC_SERIES; i++) {
            uint64_t key = atomic_load_explicit(&m->slots[s].series[i].key, memory_order_relaxed);
            if (!key)
                continue;
            if (t->n == cap) {
                cap = cap ? cap * 2 : 1024;
                t->rows = fp_mem_realloc(t->rows, cap * sizeof(*t->rows));
            }
            t->rows[t->n++] = (struct row){
                key, atomic_load_explicit(&m->slots[s].series[i].value, memory_order_relaxed)};
        }
    }
    if (!t->n)
        return;
    qsort(t->rows, t->n, sizeof(*t->rows), by_key);
    size_t n = 0;
    for (size_t i = 1; i < t->n; i++)
        if (t->rows[i].key == t->rows[n].key)
            t->rows[n].value += t->rows[i].value;
        else
            t->rows[++n] = t->rows[i];
    t->n = n + 1;
}

static const char *name_of(const char *const *names, unsigned v)
{
    for (unsigned i = 0; names && names[i]; i++)
        if (i == v)
            return names[i];
    return "other";
}

static const char *value_of(const struct text *t, enum label l, unsigned v, char number[16])
{
    switch (l) {
    case METHOD:
        return name_of(t->names->methods, v);
    case PATH:
        return name_of(t->names->paths, v);
    case OPERATION:
        return name_of(t->names->operations, v);
    case TABLE:
        return name_of(t->names->tables, v);
    case OUTCOME:
        return name_of(outcomes, v);
    case AUTH:
        return name_of(auths, v);
    case STAGE:
        return name_of(stages, v);
    case CHANGE:
        return name_of(changes, v);
    case KIND:
        return v < FP_KIND_N ? fp_kinds[v].path : "other";
    case TYPE_URL:
        return v < FP_KIND_N && fp_kinds[v].type_url ? fp_kinds[v].type_url : "other";
    case XDS:
        return v < FP_KIND_N && fp_kinds[v].xds ? fp_kinds[v].xds : "other";
    case STATUS:
        snprintf(number, 16, "%u", v);
        return number;
    case NONE:
        break;
    }
    return "";
}

/* name{service="…",method="…"  without the closing brace */
static void open_series(struct text *t, const struct family *f, const char *suffix, uint64_t key)
{
    fp_buf_printf(t->out, "%s%s{service=\"%s\"", f->name, suffix, t->service);
    for (unsigned i = 0; i < 3; i++) {
        char number[16];
        if (f->labels[i] != NONE)
            fp_buf_printf(t->out, ",%s=\"%s\"", label_names[f->labels[i]],
                          value_of(t, f->labels[i], key >> (32 - 16 * i) & 0xffff, number));
    }
}

/* One histogram: its rows are neighbours, buckets first, the sum last. */
static size_t histogram(struct text *t, const struct family *f, size_t i)
{
    uint64_t series = t->rows[i].key >> 16, counts[METRIC_BUCKETS] = {0}, sum_ns = 0, count = 0;
    for (; i < t->n && t->rows[i].key >> 16 == series; i++) {
        unsigned c = t->rows[i].key & 0xffff;
        if (c < METRIC_BUCKETS)
            counts[c] = t->rows[i].value;
        else
            sum_ns = t->rows[i].value;
    }
    unsigned last = f->labels[0] == STAGE ? METRIC_BUCKETS - 2 : METRIC_LAST_USUAL;
    for (unsigned b = 0; b < METRIC_BUCKETS; b++) {
        count += counts[b];
        if (b > last && b < METRIC_BUCKETS - 1)
            continue;
        open_series(t, f, "_bucket", series << 16);
        if (b == METRIC_BUCKETS - 1)
            fp_buf_printf(t->out, ",le=\"+Inf\"} %llu\n", (unsigned long long)count);
        else
            fp_buf_printf(t->out, ",le=\"%g\"} %llu\n", (double)obs_metric_bounds_us[b] / 1e6,
                          (unsigned long long)count);
    }
    open_series(t, f, "_sum", series << 16);
    fp_buf_printf(t->out, "} %.9g\n", (double)sum_ns / 1e9);
    open_series(t, f, "_count", series << 16);
    fp_buf_printf(t->out, "} %llu\n", (unsigned long long)count);
    return i;
}

void fp_metrics_write(struct fp_buf *out, const struct fp_metrics *m, const char *service,
                      const struct fp_metric_names *names)
{
    struct text t = {.out = out, .service = service, .names = names};
    size_t i = 0;
    collect(&t, m);
    for (unsigned k = 0; k < FP_METRIC_N; k++) {
        const struct family *f = &families[k];
        size_t first = i;
        fp_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name,
                      f->histogram ? "histogram" : "counter");
        while (i < t.n && t.rows[i].key >> 48 == k + 1) {
            if (f->histogram) {
                i = histogram(&t, f, i);
                continue;
            }
            open_series(&t, f, "", t.rows[i].key);
            if (f->ns)
                fp_buf_printf(out, "} %.6f\n", (double)t.rows[i++].value / 1e9);
            else
                fp_buf_printf(out, "} %llu\n", (unsigned long long)t.rows[i++].value);
        }
        if (i == first && f->labels[0] == NONE && !f->histogram) /* what never happened is 0 */
            fp_buf_printf(out, "%s{service=\"%s\"} 0\n", f->name, service);
    }
    fp_mem_free(t.rows);
}

void fp_metric_more(struct fp_buf *out, const char *name, const char *service, const char *labels,
                    double value)
{
    fp_buf_printf(out, "%s{service=\"%s\"%s%s} %.17g\n", name, service, labels ? "," : "",
                  labels ? labels : "", value);
}

static void first(struct fp_buf *out, const char *type, const char *name, const char *help,
                  const char *service, const char *labels, double value)
{
    fp_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    fp_metric_more(out, name, service, labels, value);
}

void fp_metric_counter(struct fp_buf *out, const char *name, const char *help, const char *service,
                       const char *labels, double value)
{
    first(out, "counter", name, help, service, labels, value);
}

void fp_metric_gauge(struct fp_buf *out, const char *name, const char *help, const char *service,
                     const char *labels, double value)
{
    first(out, "gauge", name, help, service, labels, value);
}
