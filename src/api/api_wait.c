/*
 * Answers that wait: reads for freshness (contract §2.5), writes for `wait=` (§2.7).  Runs in
 * workers. A wait is a condition that is looked at again with each new generation and each tick. It
 * never turns a committed write into a failure.
 */
#include "api/api_int.h"
#include "core/core_clock.h"
#include "obs/obs_status.h"

#define FRESH_WAIT_MS 5000 /* contract §2.5: at most 5 s, then 503 */
#define FRESH_TICK_MS 250
#define STALLED_MS    3000 /* no generation for so long, one of ours is due; polling takes 2 s */
#define WRITE_TICK_MS 2    /* other workers tell through the control page, which does not ring */

void api_wait_leave(struct fp_api_call *c)
{
    fp_list_remove(&c->wait_link);
    fp_timer_stop(&c->wait_timer);
}

static void tick(struct fp_timer *t)
{
    struct fp_api_call *c = t->arg;
    bool true_now = c->wait_for(c);
    if (!true_now && fp_loop_now_ms(c->api->loop) < c->wait_until_ms) {
        fp_timer_start(c->api->loop, t, c->wait_tick_ms);
        return;
    }
    api_wait_leave(c);
    if (true_now)
        c->wait_then(c);
    else
        c->wait_over(c);
}

static void wait_for(struct fp_api_call *c, bool (*condition)(struct fp_api_call *c),
                     uint64_t timeout_ms, uint64_t tick_ms)
{
    if (condition(c)) {
        c->wait_then(c);
        return;
    }
    c->wait_for = condition;
    c->wait_tick_ms = tick_ms;
    c->wait_until_ms = fp_loop_now_ms(c->api->loop) + timeout_ms;
    c->wait_timer.cb = tick;
    c->wait_timer.arg = c;
    fp_list_push_back(&c->api->waiting, &c->wait_link);
    fp_timer_start(c->api->loop, &c->wait_timer, tick_ms);
}

void api_wait_wake(struct fp_api *api)
{
    FP_LIST_FOREACH_SAFE (it, &api->waiting) {
        struct fp_api_call *c = FP_CONTAINER(it, struct fp_api_call, wait_link);
        if (!c->wait_for(c))
            continue;
        api_wait_leave(c);
        c->wait_then(c);
    }
}

/* ---- reads ---- */

/* Own writes (contract §2.5) as long as they can come: they were committed, but when the database
 * went away or hangs before the watcher read them, the last good snapshot is the answer (§1). */
static bool fresh(struct fp_api_call *c)
{
    struct fp_api *api = c->api;
    uint64_t revision = api->snap ? fp_snap_meta(api->snap)->revision : 0;
    uint64_t now_ms = fp_loop_now_ms(api->loop);
    if (!api->snap || revision < c->wait_revision)
        return false;
    if (revision >= c->wait_own)
        return true;
    if (!api->behind_since_ms)
        api->behind_since_ms = now_ms;
    return now_ms >= api->behind_since_ms + STALLED_MS;
}

static void too_old(struct fp_api_call *c)
{
    api_fail_unavailable(c, "the revision asked for is not served here yet");
}

void api_wait_fresh(struct fp_api_call *c, fp_api_handler then)
{
    struct fp_str header = fp_http_header(c->r, "flowplane-revision");
    if (header.data && !fp_str_to_u64(fp_str_trim(header), &c->wait_revision)) {
        fp_problem_add_parameter(c->problems, "Flowplane-Revision", FP_P_INVALID_TYPE,
                                 "must be a revision number");
        api_fail_problems(c);
        return;
    }
    c->wait_own = atomic_load(&c->api->o.page->committed_revision);
    c->wait_then = then;
    c->wait_over = too_old;
    wait_for(c, fresh, FRESH_WAIT_MS, FRESH_TICK_MS);
}

/* ---- writes ---- */

static void tell(struct fp_api_call *c, const char *how)
{
    api_header_add(&c->headers, "flowplane-wait", fp_str_of(how));
    api_respond(c, c->status, &c->headers, c->body);
}

static void came_true(struct fp_api_call *c)
{
    tell(c, c->wait_news);
}

static void timed_out(struct fp_api_call *c)
{
    tell(c, "timeout");
}

/* Do all workers of this instance serve it?  Each tells in its slot of the control page, where the
 * master strikes out who has died: one that is merely slow is waited for. */
bool api_wait_published(const struct fp_api_call *c, uint64_t revision)
{
    const struct fp_page *page = c->api->o.page;
    for (size_t i = 0; i < FP_PAGE_SLOTS; i++)
        if (atomic_load(&page->slot[i].heartbeat_ms) &&
            atomic_load(&page->slot[i].revision) < revision)
            return false;
    return c->api->snap && fp_snap_meta(c->api->snap)->revision >= revision;
}

static bool published(struct fp_api_call *c)
{
    return api_wait_published(c, c->wait_revision);
}

/* The types of xDS that a write of this kind moves. */
unsigned api_wait_kinds(enum fp_kind kind)
{
    return 1u << kind | (kind == FP_KIND_CLUSTER ? 1u << FP_KIND_ENDPOINT : 0);
}

/* ... until every node that sees the change has acknowledged it, or one has rejected it. */
static bool acked(struct fp_api_call *c)
{
    if (!published(c))
        return false;
    unsigned kinds = c->wait_kinds ? c->wait_kinds : api_wait_kinds(c->route->kind);
    switch (fp_status_acked(c->api->o.page->status, c->wait_revision, kinds)) {
    case FP_STATUS_ACKED:
        c->wait_news = "acked";
        return true;
    case FP_STATUS_NACKED:
        c->wait_news = "nacked";
        return true;
    case FP_STATUS_PENDING:
        break;
    }
    return false;
}

void api_wait_written(struct fp_api_call *c, uint64_t revision, bool changed)
{
    if (c->options.wait == API_WAIT_NO) {
        api_respond(c, c->status, &c->headers, c->body);
        return;
    }
    if (!changed) {
        tell(c, "unchanged");
        return;
    }
    c->wait_revision = revision;
    c->wait_then = came_true;
    c->wait_over = timed_out;
    c->wait_news = "published";
    wait_for(c, c->options.wait == API_WAIT_ACKED ? acked : published, c->options.timeout_ms,
             WRITE_TICK_MS);
}
