/* Liveness and readiness (contract §11.1).  Runs in workers; needs no token and no database. */
#include "api/api_int.h"
#include "core/core_clock.h"

#define WORKER_DEAD_MS 3000 /* without a heartbeat */

void api_health(struct fp_api_call *c)
{
    api_respond(c, 200, NULL, FP_STR("{\"status\":\"ok\"}"));
}

/* What keeps this instance from serving; NULL: nothing.  An outage of the database does not.  Ready
 * is ready everywhere: the next request may meet another worker. */
static const char *unready(const struct fp_api *api)
{
    const struct fp_page *page = api->o.page;
    bool waits = !api->snap;
    if (atomic_load(&page->draining))
        return "draining";
    for (size_t i = 0; i < FP_PAGE_SLOTS && !waits; i++)
        waits = atomic_load(&page->slot[i].waits);
    return waits ? "no snapshot yet" : NULL;
}

static uint64_t living_workers(const struct fp_page *page)
{
    uint64_t n = 0, now_ms = fp_clock_mono_ms();
    for (size_t i = 0; i < FP_PAGE_SLOTS; i++) {
        uint64_t beat_ms = atomic_load(&page->slot[i].heartbeat_ms);
        n += beat_ms && beat_ms + WORKER_DEAD_MS > now_ms;
    }
    return n;
}

/* Of those in use: a peer refuses one whose time is over. */
static const char *certificates(const struct fp_page *page)
{
    uint64_t now_s = (uint64_t)fp_clock_wall_ms() / 1000;
    for (size_t i = 0; i < FP_PAGE_CERTIFICATES; i++) {
        uint64_t end_s = atomic_load(&page->certificate_end_s[i]);
        if (end_s && end_s <= now_s)
            return "expired";
    }
    return "ok";
}

/* ?verbose: each part of the instance, and how far it is behind the database. */
static void verbose(struct fp_api_call *c, struct fp_buf *b)
{
    const struct fp_api *api = c->api;
    const struct fp_page *p = api->o.page;
    bool up = atomic_load(&p->database_up), listen = atomic_load(&p->listen_up);
    uint64_t served = api->snap ? fp_snap_meta(api->snap)->revision : 0;
    uint64_t known = atomic_load(&p->database_revision), lag_ms = 0;
    uint64_t since_ms = atomic_load(&p->behind_since_ms);
    if (served < known && since_ms)
        lag_ms = fp_clock_mono_ms() - since_ms;
    fp_buf_printf(b,
                  ",\"checks\":{\"snapshot\":\"%s\",\"database\":\"%s\",\"listen\":\"%s\","
                  "\"migrations\":\"%s\",\"workers\":\"%llu\",\"certificates\":\"%s\"}",
                  api->snap ? "ok" : "missing", up ? "ok" : "degraded", listen ? "ok" : "degraded",
                  known ? "ok" : "unknown", (unsigned long long)living_workers(p), certificates(p));
    fp_buf_printf(b,
                  ",\"revision\":%llu,\"databaseRevision\":%llu,\"lagMs\":%llu,\"source\":\"%s\"",
                  (unsigned long long)served, (unsigned long long)known, (unsigned long long)lag_ms,
                  atomic_load(&p->source_cache) ? "cache" : "database");
}

void api_ready(struct fp_api_call *c)
{
    const char *reason = unready(c->api);
    struct api_headers h = {.n = 0};
    struct fp_buf b = {0};
    fp_buf_printf(&b, "{\"status\":\"%s\"", reason ? "unready" : "ok");
    if (reason) {
        fp_buf_printf(&b, ",\"reason\":\"%s\"", reason);
        api_header_add(&h, "retry-after", FP_STR("2"));
    }
    if (fp_http_query(c->r, "verbose").data)
        verbose(c, &b);
    fp_buf_append_byte(&b, '}');
    api_respond(c, reason ? 503 : 200, &h, fp_buf_str(&b));
    fp_buf_fini(&b);
}
