/*
 * Audit rows about authentication (contract §11.5), gathered and written beside the requests, and
 * the query endpoint.  Runs in workers.  Must never delay a request, grow without bound, or hold
 * what follows a token's id.
 */
#include "api/api_int.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "obs/obs_metric.h"
#include "obs/obs_span.h"
#include "store/store_audit.h"

#define FLUSH_MS       50
#define RETRY_MS       1000
#define SWEEP_MS       5000
#define BATCH_BYTES    (1u << 20) /* waiting; beyond it rows are lost, with a line in the log */
#define TEXT_MAX       1024       /* of what a client sent */
#define SUPPRESSED_N   64
#define LIMIT_DEFAULT  100
#define USE_PER_MINUTE 1
#define TRACED_N       32 /* rows of a batch that have a span */

struct traced { /* requests whose rows are in a batch, and when the row was made */
    unsigned n;
    struct {
        struct fp_trace at;
        uint64_t since_ns;
    } items[TRACED_N];
};

struct batch { /* rows on their way to the database, one statement at a time */
    struct fp_api *api;
    bool uses; /* of tokens: fp_store_audit_used */
    struct fp_buf waiting, sent;
    struct traced waiting_traced, sent_traced;
    bool busy;
    uint64_t lost_n;
    struct fp_timer timer;
};

struct suppressed { /* failures of an address that have no row of their own */
    char key[16], ip[FP_ADDR_TEXT_BYTES], path[256];
    size_t key_len; /* 0: free */
    uint64_t n;
    const char *reason; /* of the last one */
};

struct api_audit {
    struct batch rows, uses;
    void (*flushed)(void *arg); /* set: the process is about to end */
    void *flushed_arg;
    struct suppressed suppressed[SUPPRESSED_N];
    struct fp_timer sweep;
};

/* ---- batches */

static void flush(struct fp_timer *t);

static void soon(struct batch *b, uint64_t ms)
{
    if (!fp_timer_running(&b->timer) && !b->busy)
        fp_timer_start(b->api->loop, &b->timer, ms);
}

static void trace(struct batch *b, const struct fp_trace *at)
{
    struct traced *t = &b->waiting_traced;
    if (at && at->sampled && t->n < TRACED_N) {
        t->items[t->n].at = *at;
        t->items[t->n++].since_ns = fp_clock_mono_ns();
    }
}

/* The spans audit_write: from the row to the answer of the database that took it. */
static void end_spans(struct batch *b, bool failed)
{
    struct traced *t = &b->sent_traced;
    for (unsigned i = 0; i < t->n; i++) {
        struct fp_span s;
        fp_span_begin(&s, FP_SPAN_AUDIT_WRITE, &t->items[i].at);
        fp_span_since(&s, t->items[i].since_ns);
        fp_span_end(&s, failed);
    }
    t->n = 0;
}

/* Nothing waits any more, or nobody takes it. */
static void ending(struct fp_api *api)
{
    struct api_audit *a = api->audit;
    void (*then)(void *) = a->flushed;
    if (!then || a->rows.busy || a->uses.busy || fp_timer_running(&a->rows.timer) ||
        fp_timer_running(&a->uses.timer))
        return;
    a->flushed = NULL;
    then(a->flushed_arg);
}

static void flushed(enum fp_store_outcome outcome, uint64_t rows_n, void *arg)
{
    struct batch *b = arg;
    b->busy = false;
    if (outcome == FP_STORE_DONE)
        fp_metric_add(FP_METRIC_AUDIT_WRITES, 0, 0, 0, rows_n);
    if (outcome == FP_STORE_UNAVAILABLE && b->sent.len + b->waiting.len <= BATCH_BYTES) {
        if (b->waiting.len) {
            fp_buf_append_byte(&b->sent, ',');
            fp_buf_append_str(&b->sent, fp_buf_str(&b->waiting));
        }
        struct fp_buf swap = b->waiting;
        b->waiting = b->sent;
        b->sent = swap;
    }
    end_spans(b, outcome != FP_STORE_DONE);
    fp_buf_clear(&b->sent);
    if (b->waiting.len && !b->api->audit->flushed)
        soon(b, outcome == FP_STORE_UNAVAILABLE ? RETRY_MS : FLUSH_MS);
    else if (b->waiting.len && outcome != FP_STORE_UNAVAILABLE)
        soon(b, 0);
    ending(b->api);
}

static void flush(struct fp_timer *t)
{
    struct batch *b = t->arg;
    struct fp_api *api = b->api;
    struct fp_buf list = {0}, swap = b->sent;
    b->sent = b->waiting;
    b->waiting = swap;
    fp_buf_clear(&b->waiting);
    b->sent_traced = b->waiting_traced;
    b->waiting_traced.n = 0;
    b->busy = true;
    if (b->lost_n)
        fp_log_warn(FP_LOG_AUDIT, "%llu audit rows are lost: the database does not take them",
                    (unsigned long long)b->lost_n);
    b->lost_n = 0;
    fp_buf_printf(&list, "[%.*s]", (int)b->sent.len, b->sent.data);
    if (b->uses)
        fp_store_audit_used(api->o.store, fp_buf_str(&list), api->o.audit_success_interval_ms,
                            flushed, b);
    else
        fp_store_audit_write(api->o.store, fp_buf_str(&list), flushed, b);
    fp_buf_fini(&list);
}

static void append(struct batch *b, struct fp_str row, const struct fp_trace *at)
{
    if (b->waiting.len + row.len > BATCH_BYTES) {
        b->lost_n++;
        return;
    }
    if (b->waiting.len)
        fp_buf_append_byte(&b->waiting, ',');
    fp_buf_append_str(&b->waiting, row);
    trace(b, at);
    soon(b, FLUSH_MS);
}

/* ---- rows */

static void member(struct fp_buf *b, const char *key, struct fp_str s)
{
    if (!s.data)
        return;
    s.len = s.len > TEXT_MAX ? TEXT_MAX : s.len;
    fp_buf_printf(b, "%s\"%s\":", b->len && b->data[b->len - 1] != '{' ? "," : "", key);
    fp_buf_append_json(b, s);
}

/* What every row has; "metadata":{ is left open. */
static void row_begin(struct fp_buf *b, struct fp_api_call *c, const char *event, struct fp_str id,
                      struct fp_str name)
{
    char ip[FP_ADDR_TEXT_BYTES];
    fp_buf_append_byte(b, '{');
    member(b, "event", fp_str_of(event));
    member(b, "id", id);
    member(b, "name", name);
    member(b, "user_id", c->user_id);
    member(b, "client_ip", fp_str_of(fp_addr_ip_text(&c->client, ip)));
    member(b, "user_agent", fp_http_header(c->r, "user-agent"));
    member(b, "request_id", c->request_id);
    fp_buf_printf(b, ",\"at\":%.3f,\"metadata\":{", (double)fp_clock_wall_ms() / 1000);
}

static void row_end(struct batch *batch, struct fp_buf *b, const struct fp_trace *at)
{
    fp_buf_append_c(b, "}}");
    append(batch, fp_buf_str(b), at);
    fp_buf_fini(b);
}

void api_audit_forbidden(struct fp_api_call *c, const char *required)
{
    struct fp_buf b = {0};
    row_begin(&b, c, "auth.forbidden", c->token.id, c->token.name);
    member(&b, "method", c->r->method);
    member(&b, "path", api_masked(c, c->r->path));
    member(&b, "required", fp_str_of(required));
    row_end(&c->api->audit->rows, &b, api_trace_auth_at(c));
}

/* Once a minute and token, whichever worker: the statement decides whether a row is due. */
void api_audit_used(struct fp_api_call *c)
{
    struct fp_buf b = {0};
    struct fp_str scope;
    if (fp_limit_take(c->api->o.page->limits, FP_LIMIT_TOKEN_USES, c->token.id, USE_PER_MINUTE, 1,
                      fp_clock_mono_ms()))
        return;
    row_begin(&b, c, "auth.token.authenticated", c->token.id, c->token.name);
    fp_buf_append_c(&b, "\"scopes\":[");
    for (size_t pos = 0, n = 0; fp_snap_token_scope(&c->token, &pos, &scope); n++) {
        if (n)
            fp_buf_append_byte(&b, ',');
        fp_buf_append_json(&b, scope);
    }
    fp_buf_append_byte(&b, ']');
    row_end(&c->api->audit->uses, &b, api_trace_auth_at(c));
}

/* ---- failures: bounded by address */

/* Half at once and half over the minute: in no minute more than the directive says. */
static bool row_allowed(struct fp_api *api, struct fp_str address)
{
    unsigned most = api->o.audit_failure_rows;
    return most && !fp_limit_take(api->o.page->limits, FP_LIMIT_FAILURE_ROWS, address,
                                  most / 2 ? most / 2 : 1, (most + 1) / 2, fp_clock_mono_ms());
}

static struct suppressed *suppressed_of(struct api_audit *a, struct fp_str key, bool make)
{
    struct suppressed *free_one = NULL;
    for (size_t i = 0; i < SUPPRESSED_N; i++) {
        struct suppressed *s = &a->suppressed[i];
        if (s->key_len && fp_str_eq(fp_str_n(s->key, s->key_len), key))
            return s;
        if (!s->key_len && !free_one)
            free_one = s;
    }
    if (!make || !free_one || key.len > sizeof(free_one->key))
        return NULL;
    memcpy(free_one->key, key.data, key.len);
    free_one->key_len = key.len;
    return free_one;
}

static void suppress(struct fp_api_call *c, const char *reason)
{
    struct api_audit *a = c->api->audit;
    struct suppressed *s = suppressed_of(a, api_limit_address(c), true);
    if (!s || !c->api->o.audit_failure_rows)
        return; /* more addresses at once than are told apart: metrics count them all */
    struct fp_str path = api_masked(c, c->r->path);
    s->n++;
    s->reason = reason;
    fp_addr_ip_text(&c->client, s->ip);
    snprintf(s->path, sizeof(s->path), "%.*s", FP_STR_ARG(path));
    if (!fp_timer_running(&a->sweep))
        fp_timer_start(c->api->loop, &a->sweep, SWEEP_MS);
}

/* Who stopped failing is told too; at the end everybody is. */
static void sweep(struct fp_timer *t)
{
    struct fp_api *api = t->arg;
    struct api_audit *a = api->audit;
    bool left = false;
    for (size_t i = 0; i < SUPPRESSED_N; i++) {
        struct suppressed *s = &a->suppressed[i];
        struct fp_buf b = {0};
        if (!s->key_len)
            continue;
        if (!row_allowed(api, fp_str_n(s->key, s->key_len)) && !a->flushed) {
            left = true;
            continue;
        }
        fp_buf_append_byte(&b, '{');
        member(&b, "event", FP_STR("auth.failed"));
        member(&b, "client_ip", fp_str_of(s->ip));
        fp_buf_printf(&b, ",\"at\":%.3f,\"metadata\":{", (double)fp_clock_wall_ms() / 1000);
        member(&b, "reason", fp_str_of(s->reason));
        member(&b, "path", fp_str_of(s->path));
        fp_buf_printf(&b, ",\"suppressed\":%llu", (unsigned long long)s->n);
        row_end(&a->rows, &b, NULL);
        memset(s, 0, sizeof(*s));
    }
    if (left)
        fp_timer_start(api->loop, t, SWEEP_MS);
}

void api_audit_failed(struct fp_api_call *c, enum fp_auth_verdict v, struct fp_str id)
{
    struct api_audit *a = c->api->audit;
    struct fp_str address = api_limit_address(c);
    struct fp_buf b = {0};
    const char *reason = fp_auth_infos[v].reason;
    if (!row_allowed(c->api, address)) {
        suppress(c, reason);
        return;
    }
    struct suppressed *s = suppressed_of(a, address, false);
    row_begin(&b, c, "auth.failed", id, v >= FP_AUTH_REVOKED ? c->token.name : FP_STR_NULL);
    member(&b, "reason", fp_str_of(reason));
    member(&b, "token_id", id);
    member(&b, "path", api_masked(c, c->r->path));
    if (s)
        fp_buf_printf(&b, ",\"suppressed\":%llu", (unsigned long long)s->n);
    if (s)
        memset(s, 0, sizeof(*s));
    row_end(&a->rows, &b, api_trace_auth_at(c));
}

/* ---- the query */

static void listed(const struct fp_audit_list *l, void *arg)
{
    struct fp_api_call *c = arg;
    struct fp_buf b = {0};
    if (l->outcome == FP_STORE_UNAVAILABLE) {
        api_fail_unavailable(c, "the database is not available");
        return;
    }
    if (l->outcome != FP_STORE_DONE) {
        api_fail(c, 500, NULL, NULL, "internal error");
        return;
    }
    fp_buf_append_byte(&b, '[');
    fp_buf_append_str(&b, l->items);
    fp_buf_append_byte(&b, ']');
    api_header_number(c, "x-total-count", l->total);
    api_respond(c, 200, &c->headers, fp_buf_str(&b));
    fp_buf_fini(&b);
}

static int64_t time_of(struct fp_api_call *c, const char *parameter)
{
    struct fp_str s = fp_http_query(c->r, parameter);
    int64_t ms;
    if (!s.data)
        return INT64_MIN;
    if (fp_clock_parse_rfc3339(s, &ms))
        return ms;
    fp_problem_add_parameter(c->problems, parameter, FP_P_INVALID_FORMAT,
                             "must be a time such as 2031-05-01T00:00:00Z");
    return INT64_MIN;
}

void api_audit_list(struct fp_api_call *c)
{
    struct fp_audit_filter f = {
        .event_type = fp_http_query(c->r, "eventType"),
        .user_id = fp_http_query(c->r, "userId"),
        .resource_type = fp_http_query(c->r, "resourceType"),
        .resource_name = fp_http_query(c->r, "resourceName"),
        .since_wall_ms = time_of(c, "since"),
        .until_wall_ms = time_of(c, "until"),
        .limit = api_query_clamped(c, "limit", 1, API_LIMIT_MAX),
        .offset = api_query_clamped(c, "offset", 0, INT64_MAX),
    };
    if (!f.limit)
        f.limit = LIMIT_DEFAULT;
    if (c->problems->n)
        api_fail_problems(c);
    else
        fp_store_audit_list(c->api->o.store, &f, listed, c);
}

/* ---- life */

void api_audit_init(struct fp_api *api)
{
    struct api_audit *a = api->audit = fp_mem_zalloc(sizeof(*a));
    a->rows = (struct batch){.api = api, .timer = {.cb = flush, .arg = &a->rows}};
    a->uses = (struct batch){.api = api, .uses = true, .timer = {.cb = flush, .arg = &a->uses}};
    a->sweep = (struct fp_timer){.cb = sweep, .arg = api};
}

void fp_api_flush(struct fp_api *api, void (*then)(void *arg), void *arg)
{
    struct api_audit *a = api->audit;
    struct batch *batches[] = {&a->rows, &a->uses};
    a->flushed = then;
    a->flushed_arg = arg;
    fp_timer_stop(&a->sweep);
    sweep(&a->sweep);
    for (size_t i = 0; i < 2; i++) {
        fp_timer_stop(&batches[i]->timer); /* of a retry, perhaps */
        if (batches[i]->waiting.len)
            soon(batches[i], 0);
    }
    ending(api);
}

static void batch_fini(struct batch *b)
{
    fp_timer_stop(&b->timer);
    fp_store_forget(b->api->o.store, b);
    fp_buf_fini(&b->waiting);
    fp_buf_fini(&b->sent);
}

void api_audit_fini(struct fp_api *api)
{
    fp_timer_stop(&api->audit->sweep);
    batch_fini(&api->audit->rows);
    batch_fini(&api->audit->uses);
    fp_mem_free(api->audit);
    api->audit = NULL;
}
