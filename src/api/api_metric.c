/*
 * GET /metrics (contract §11.2): counters of all workers from shared memory, gauges computed here.
 * Runs in workers; needs no token and no database.  No label holds what a user sent.
 */
#include <stdio.h>
#include <sys/resource.h>
#include "api/api_int.h"
#include "core/core_clock.h"
#include "fp_config.h"
#include "obs/obs_metric.h"
#include "obs/obs_status.h"
#include "os/os_process.h"

static const char *const methods[] = {"GET",   "HEAD",   "POST",    "PUT",
                                      "PATCH", "DELETE", "OPTIONS", NULL};

unsigned api_metric_method(struct fp_str method)
{
    unsigned i = 0;
    while (methods[i] && !fp_str_eq_c(method, methods[i]))
        i++;
    return i; /* beyond the last: other */
}

struct gauges {
    struct fp_buf *out;
    struct fp_api *api;
    const char *service;
};

/* As it stands between the quotes of a label. */
static const char *label_of(const char *s, struct fp_arena *a)
{
    char *out = fp_arena_alloc(a, 2 * strlen(s) + 1), *to = out;
    for (; *s; s++) {
        if (strchr("\\\"\n", *s))
            *to++ = '\\';
        *to++ = *s == '\n' ? 'n' : *s;
    }
    *to = '\0';
    return out;
}

static void gauge(struct gauges *g, const char *name, const char *help, double v)
{
    fp_metric_gauge(g->out, name, help, g->service, NULL, v);
}

/* Active and not expired (contract §16). */
static uint64_t active_tokens(const struct fp_snap *s)
{
    uint64_t n = 0;
    int64_t now_ms = fp_clock_wall_ms();
    for (uint32_t i = 0; i < fp_snap_count(s, FP_KIND_TOKEN); i++) {
        struct fp_snap_entry e;
        struct fp_snap_token t;
        fp_snap_at(s, FP_KIND_TOKEN, i, &e);
        if (fp_snap_token_decode(e.blob, &t) == FP_OK && t.status == FP_TOKEN_ACTIVE)
            n += !t.expires_wall_ms || t.expires_wall_ms > now_ms;
    }
    return n;
}

static void snapshot_gauges(struct gauges *g)
{
    const struct fp_snap *s = g->api->snap;
    char labels[64];
    if (!s)
        return;
    const struct fp_snap_meta *m = fp_snap_meta(s);
    uint64_t tokens = active_tokens(s);
    gauge(g, "flowplane_active_tokens", "Tokens that are active and not expired.", (double)tokens);
    fp_metric_gauge(g->out, "auth_tokens_active_total", "Tokens that are active and not expired.",
                    g->service, "state=\"active\"", (double)tokens);
    gauge(g, "flowplane_snapshot_revision", "Revision that is served.", (double)m->revision);
    gauge(g, "flowplane_snapshot_bytes", "Size of the snapshot.", (double)fp_snap_bytes(s));
    gauge(g, "flowplane_snapshot_age_seconds", "Age of the snapshot.",
          (double)(fp_clock_wall_ms() - m->built_wall_ms) / 1000);
    for (int pass = 0; pass < 2; pass++) {
        const char *name = pass ? "config_objects_total" : "flowplane_snapshot_resources";
        for (int k = 0, first = 1; k < FP_KIND_TOKEN; k++) {
            const char *value = pass ? fp_kinds[k].path : fp_kinds[k].xds;
            if (!value)
                continue;
            snprintf(labels, sizeof(labels), pass ? "resource_type=\"%s\"" : "type=\"%s\"", value);
            if (first)
                fp_metric_gauge(g->out, name, "Resources in the snapshot.", g->service, labels,
                                fp_snap_count(s, k));
            else
                fp_metric_more(g->out, name, g->service, labels, fp_snap_count(s, k));
            first = 0;
        }
    }
}

/* A family with a series for each type. */
static void by_type(struct gauges *g, const char *name, const char *help,
                    double (*value)(const void *arg, int kind), const void *arg)
{
    for (int k = 0, first = 1; k < FP_KIND_TOKEN; k++) {
        char label[64];
        if (!fp_kinds[k].xds)
            continue;
        snprintf(label, sizeof(label), "type=\"%s\"", fp_kinds[k].xds);
        if (first)
            fp_metric_gauge(g->out, name, help, g->service, label, value(arg, k));
        else
            fp_metric_more(g->out, name, g->service, label, value(arg, k));
        first = 0;
    }
}

static double unbuildable(const void *page, int kind)
{
    return (double)atomic_load(&((const struct fp_page *)page)->unbuildable[kind]);
}

static double open_nacks(const void *totals, int kind)
{
    return (double)((const struct fp_status_totals *)totals)->open_nacks[kind];
}

static void xds_gauges(struct gauges *g)
{
    const struct fp_status *status = g->api->o.page->status;
    struct fp_status_totals t;
    double open = (double)fp_status_streams(status);
    fp_status_total(status, &t);
    gauge(g, "flowplane_xds_connections", "Open xDS streams.", open);
    gauge(g, "xds_connections_total", "Open xDS streams.", open);
    fp_metric_gauge(g->out, "flowplane_xds_streams", "Streams of nodes that said who they are.",
                    g->service, "type=\"ADS\",mode=\"sotw\"", (double)t.streams[FP_STATUS_SOTW]);
    fp_metric_more(g->out, "flowplane_xds_streams", g->service, "type=\"ADS\",mode=\"delta\"",
                   (double)t.streams[FP_STATUS_DELTA]);
    gauge(g, "flowplane_xds_held_removals", "Removals that wait until nothing names them.",
          (double)t.held_removals);
    by_type(g, "flowplane_xds_open_nacks", "Rejections that connected nodes have not taken back.",
            open_nacks, &t);
}

static void restarts(struct gauges *g)
{
    static const char name[] = "flowplane_worker_restarts_total";
    const struct fp_page *p = g->api->o.page;
    fp_metric_counter(g->out, name, "Processes that ended by themselves and were started again.",
                      g->service, "role=\"worker\"", (double)atomic_load(&p->worker_restarts));
    fp_metric_more(g->out, name, g->service, "role=\"watcher\"",
                   (double)atomic_load(&p->watcher_restarts));
    fp_metric_more(g->out, name, g->service, "role=\"postgres\"",
                   (double)atomic_load(&p->postgres_restarts));
}

static void page_gauges(struct gauges *g)
{
    const struct fp_page *p = g->api->o.page;
    by_type(g, "flowplane_config_unbuildable_resources",
            "Rows left out or kept at their last good bytes.", unbuildable, p);
    gauge(g, "flowplane_config_last_reload_successful", "1 unless the last reload failed.",
          (double)atomic_load(&p->reload_ok));
    gauge(g, "flowplane_database_up", "1 while the database answers.",
          (double)atomic_load(&p->database_up));
    gauge(g, "flowplane_database_listen_up", "1 while notifications arrive.",
          (double)atomic_load(&p->listen_up));
    gauge(g, "system_uptime_seconds", "Time since the start of the master.",
          (double)(fp_clock_mono_ms() - atomic_load(&p->started_ms)) / 1000);
}

static void certificate_gauges(struct gauges *g)
{
    static const char *const uses[] = {[FP_PAGE_CERT_API] = "use=\"api\"",
                                       [FP_PAGE_CERT_XDS] = "use=\"xds\"",
                                       [FP_PAGE_CERT_XDS_CA] = "use=\"xds_ca\""};
    static const char name[] = "flowplane_certificate_expiry_timestamp_seconds";
    bool first = true;
    for (int i = 0; i < FP_PAGE_CERTIFICATES; i++) {
        uint64_t end_s = atomic_load(&g->api->o.page->certificate_end_s[i]);
        if (!end_s)
            continue;
        if (first)
            fp_metric_gauge(g->out, name, "When certificates in use end.", g->service, uses[i],
                            (double)end_s);
        else
            fp_metric_more(g->out, name, g->service, uses[i], (double)end_s);
        first = false;
    }
}

/* One worker's pool; the instance's other workers have theirs. */
static void pool_gauges(struct gauges *g)
{
    uint64_t open = 0, busy = 0;
    const struct fp_page *p = g->api->o.page;
    for (size_t i = 0; i < FP_PAGE_SLOTS; i++) {
        open += atomic_load(&p->slot[i].db_open);
        busy += atomic_load(&p->slot[i].db_busy);
    }
    gauge(g, "flowplane_db_connection_pool_size", "Open database connections.", (double)open);
    gauge(g, "flowplane_db_connection_pool_max", "Most database connections of this instance.",
          (double)g->api->o.max_db_connections);
    gauge(g, "db_connections_active", "Database connections in use.", (double)busy);
}

static void process_gauges(struct gauges *g)
{
    struct fp_process_usage u;
    struct rlimit fds;
    const struct fp_page *p = g->api->o.page;
    fp_process_usage(&u);
    double memory = (double)(u.proportional_bytes + atomic_load(&p->watcher_memory_bytes) +
                             atomic_load(&p->master_memory_bytes));
    for (size_t i = 0; i < FP_PAGE_SLOTS; i++)
        if (&p->slot[i] != g->api->o.slot)
            memory += (double)atomic_load(&p->slot[i].memory_bytes);
    getrlimit(RLIMIT_NOFILE, &fds);
    gauge(g, "memory_usage_bytes", "Memory of all processes, shared pages once.", memory);
    gauge(g, "process_resident_memory_bytes", "Resident memory of this worker.",
          (double)u.resident_bytes);
    gauge(g, "process_virtual_memory_bytes", "Virtual memory of this worker.",
          (double)u.virtual_bytes);
    gauge(g, "process_open_fds", "Open descriptors of this worker.", u.fds);
    gauge(g, "process_max_fds", "Most descriptors of this worker.", (double)fds.rlim_cur);
    gauge(g, "process_start_time_seconds", "Start of the master since 1970.",
          (double)atomic_load(&p->started_wall_s));
}

void api_metrics(struct fp_api_call *c)
{
    struct fp_api *api = c->api;
    struct fp_buf b = {0};
    struct gauges g = {
        .out = &b, .api = api, .service = label_of(api->o.service_name, c->r->arena)};
    const struct fp_metric_names names = {.methods = methods,
                                          .paths = api_route_patterns(),
                                          .operations = fp_store_operations,
                                          .tables = fp_store_tables};
    char build[256];
    if (!api->o.metrics) {
        api_fail(c, 404, NULL, NULL, "metrics are off (observability.enable_metrics)");
        return;
    }
    fp_metric_tell_process();
    fp_metrics_write(&b, api->o.page->metrics, g.service, &names);
    restarts(&g);
    xds_gauges(&g);
    page_gauges(&g);
    snapshot_gauges(&g);
    pool_gauges(&g);
    certificate_gauges(&g);
    process_gauges(&g);
    snprintf(build, sizeof(build), "version=\"%s\",revision=\"%s\",compiler=\"%s\"", FP_VERSION,
             FP_REVISION, __VERSION__);
    fp_metric_gauge(&b, "flowplane_build_info", "What this is.", g.service, build, 1);
    c->media = "text/plain; version=0.0.4; charset=utf-8";
    api_respond(c, 200, NULL, fp_buf_str(&b));
    fp_buf_fini(&b);
}
