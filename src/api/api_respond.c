/*
 * Every answer of the API leaves through here: common headers, the one error form (contract §2.4),
 * the access log line.  Runs in workers.  Never puts SQL text, paths of ours or causes into a body.
 */
#include "api/api_int.h"
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "obs/obs_metric.h"

static const struct {
    int status;
    const char *error;
} errors[] = {
    {401, "unauthorized"},
    {403, "forbidden"},
    {404, "not_found"},
    {405, "method_not_allowed"},
    {409, "conflict"},
    {412, "precondition_failed"},
    {413, "payload_too_large"},
    {415, "unsupported_media_type"},
    {429, "too_many_requests"},
    {500, "internal_error"},
    {503, "service_unavailable"},
};

static const char *error_of(int status)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].status == status)
            return errors[i].error;
    return "bad_request"; /* 400, and 414, 417, 431, 505 */
}

/* A token in a path is a secret: what follows its id is masked (contract §4.1). */
struct fp_str api_masked(struct fp_api_call *c, struct fp_str path)
{
    static const char prefix[] = "fp_pat_";
    const char *p = memmem(path.data, path.len, prefix, sizeof(prefix) - 1);
    size_t head = p ? (size_t)(p - path.data) + sizeof(prefix) - 1 + 36 : path.len;
    if (head >= path.len)
        return path;
    return fp_str_of(fp_arena_printf(c->r->arena, "%.*s***", (int)head, path.data));
}

static void log_access(struct fp_api_call *c, int status)
{
    if (!fp_log_on(FP_LOG_INFO, FP_LOG_API))
        return;
    const struct fp_http_request *r = c->r;
    char ip[FP_ADDR_TEXT_BYTES];
    struct fp_log_field f[] = {
        FP_LOG_S("method", r->method),
        FP_LOG_S("path", api_masked(c, r->path)),
        FP_LOG_I("status", status),
        FP_LOG_I("duration_ms", (int64_t)((fp_clock_mono_ns() - r->start_ns) / 1000000)),
        {.key = "user_id", .type = FP_LOG_F_NULL},
        FP_LOG_S("request_id", c->request_id),
        FP_LOG_S("remote", fp_str_of(fp_addr_ip_text(&c->client, ip))),
        FP_LOG_S("trace_id", api_trace_id(c)),
    };
    if (c->user_id.data)
        f[4] = FP_LOG_S("user_id", c->user_id);
    size_t n = sizeof(f) / sizeof(f[0]) - !c->trace;
    fp_log_write(FP_LOG_INFO, FP_LOG_API, f, n, "API request processed");
}

static void count(const struct fp_api_call *c, int status)
{
    unsigned method = api_metric_method(c->r->method), path = api_route_pattern(c->known);
    fp_metric_add(FP_METRIC_HTTP_REQUESTS, method, path, (unsigned)status, 1);
    fp_metric_add(FP_METRIC_HTTP_RESPONSES, (unsigned)status, 0, 0, 1);
    fp_metric_observe_ns(FP_METRIC_HTTP_DURATION, method, path,
                         fp_clock_mono_ns() - c->r->start_ns);
}

void api_header_add(struct api_headers *h, const char *name, struct fp_str value)
{
    if (h->n < sizeof(h->items) / sizeof(h->items[0]))
        h->items[h->n++] = (struct fp_http_header){fp_str_of(name), value};
}

void api_header_number(struct fp_api_call *c, const char *name, uint64_t v)
{
    api_header_add(&c->headers, name,
                   fp_str_of(fp_arena_printf(c->r->arena, "%llu", (unsigned long long)v)));
}

void api_header_warn(struct fp_api_call *c, const char *code, const char *message)
{
    size_t n = strlen(message);
    if (n > API_WARNING_BYTES)
        n = API_WARNING_BYTES;
    while (n && ((unsigned char)message[n] & 0xC0) == 0x80) /* not amid a character */
        n--;
    api_header_add(&c->headers, "flowplane-warning",
                   fp_str_of(fp_arena_printf(c->r->arena, "%s %.*s", code, (int)n, message)));
}

/* Of every answer (contract §2.2). */
static void add_common(struct api_headers *h, const char *media, struct fp_str request_id)
{
    if (media)
        api_header_add(h, "content-type", fp_str_of(media));
    api_header_add(h, "x-request-id", request_id);
    api_header_add(h, "cache-control", FP_STR("no-store"));
    api_header_add(h, "x-content-type-options", FP_STR("nosniff"));
}

void api_respond(struct fp_api_call *c, int status, struct api_headers *h, struct fp_str body)
{
    struct api_headers own = {.n = 0};
    if (!h)
        h = &own;
    if (status == 200 && fp_str_eq_c(c->r->method, "GET") && !c->page &&
        fp_http_full(c->r, body.len)) {
        c->media = NULL;
        api_fail_unavailable(c, "too many answers wait to be read");
        return;
    }
    const char *media = c->media ? c->media : "application/json; charset=utf-8";
    bool typed = body.len || (c->media && status == 200); /* an empty text is of a type too */
    add_common(h, typed ? media : NULL, c->request_id);
    api_cors_headers(c, h);
    api_trace_end(c, h, api_masked(c, c->r->path), status);
    log_access(c, status);
    count(c, status);
    atomic_fetch_add_explicit(&c->api->o.slot->http_requests, 1, memory_order_relaxed);
    fp_log_scope_set((struct fp_log_scope){.request_id = FP_STR_NULL}); /* the request ends here */
    struct fp_http_response resp = {
        .status = status, .headers = h->items, .headers_n = h->n, .body = body};
    if (c->page && body.len) {
        resp.gzip = fp_buf_str(&c->page->gzip);
        resp.lasting = true;
    }
    fp_http_respond(c->r, &resp);
}

/* Text of an error: a token that was sent as a name or key is not told back (contract §4.1). */
static void write_text(struct fp_buf *b, const char *s)
{
    static const char prefix[] = "fp_pat_", secret[] = "abcdefghijklmnopqrstuvwxyz"
                                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    struct fp_buf masked = {0};
    const char *p;
    while ((p = strstr(s, prefix))) {
        p += sizeof(prefix) - 1;
        bool token = strnlen(p, FP_UUID_TEXT_BYTES) == FP_UUID_TEXT_BYTES &&
                     p[FP_UUID_TEXT_BYTES - 1] == '.';
        p += token ? FP_UUID_TEXT_BYTES - 1 : 0;
        fp_buf_append(&masked, s, (size_t)(p - s));
        fp_buf_append_c(&masked, token ? "***" : "");
        s = token ? p + 1 + strspn(p + 1, secret) : p;
    }
    fp_buf_append_c(&masked, s);
    fp_buf_append_json(b, fp_buf_str(&masked));
    fp_buf_fini(&masked);
}

static void write_problem(struct fp_buf *b, const struct fp_problem *p)
{
    fp_buf_append_c(b, p->pointer ? "{\"pointer\":" : "{\"parameter\":");
    write_text(b, p->pointer ? p->pointer : p->parameter);
    fp_buf_printf(b, ",\"code\":\"%s\",\"message\":", fp_problem_code_name(p->code));
    write_text(b, p->message);
    fp_buf_append_c(b, "}");
}

static void write_error(struct fp_buf *b, int status, const char *message, struct fp_str request_id,
                        const struct fp_problems *ps)
{
    fp_buf_printf(b, "{\"error\":\"%s\",\"message\":", error_of(status));
    write_text(b, message);
    fp_buf_append_c(b, ",\"requestId\":");
    fp_buf_append_json(b, request_id);
    if (ps && ps->n) {
        fp_buf_append_c(b, ",\"details\":[");
        for (size_t i = 0; i < ps->n; i++) {
            if (i)
                fp_buf_append_byte(b, ',');
            write_problem(b, &ps->items[i]);
        }
        fp_buf_append_byte(b, ']');
    }
    fp_buf_append_byte(b, '}');
}

void api_fail(struct fp_api_call *c, int status, struct api_headers *h,
              const struct fp_problems *ps, const char *fmt, ...)
{
    struct fp_buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    char *message = fp_arena_vprintf(c->r->arena, fmt, ap);
    va_end(ap);
    write_error(&b, status, message, c->request_id, ps);
    api_respond(c, status, h, fp_buf_str(&b));
    fp_buf_fini(&b);
}

void api_fail_problems(struct fp_api_call *c)
{
    size_t n = c->problems->total;
    api_fail(c, 400, NULL, c->problems, "%zu problem%s in the request %s", n, n == 1 ? "" : "s",
             c->problems->items[0].pointer ? "body" : "parameters");
}

void api_fail_unavailable(struct fp_api_call *c, const char *message)
{
    struct api_headers h = {.n = 0};
    api_header_add(&h, "retry-after", FP_STR("2"));
    api_fail(c, 503, &h, NULL, "%s", message);
}

void api_fail_not_found(struct fp_api_call *c)
{
    api_fail(c, 404, NULL, NULL, "%s with name '%.*s' not found", fp_kinds[c->route->kind].title,
             FP_STR_ARG(c->name));
}

void api_too_large(struct fp_http_request *r, uint64_t limit, void *api)
{
    struct fp_api_call *c = r->user;
    (void)api;
    if (c->unknown) { /* not looked up: who is not known is told nothing else */
        api_auth_refuse(c, FP_AUTH_NOT_FOUND);
        return;
    }
    api_fail(c, 413, NULL, NULL, "the request body is larger than the limit of %llu bytes",
             (unsigned long long)limit);
}

/* Refused by the HTTP layer: there is no call yet, only a status and a text. */
void api_bad(int status, const char *message, struct fp_http_bad *out, void *api)
{
    struct api_headers h = {.n = 0};
    (void)api;
    fp_uuid_v4(out->id);
    write_error(&out->body, status, message, fp_str_of(out->id), NULL);
    add_common(&h, "application/json; charset=utf-8", fp_str_of(out->id));
    memcpy(out->headers, h.items, h.n * sizeof(h.items[0]));
    out->headers_n = h.n;
    fp_metric_add(FP_METRIC_HTTP_REQUESTS, api_metric_method(FP_STR("")), api_route_pattern(NULL),
                  (unsigned)status, 1);
    fp_metric_add(FP_METRIC_HTTP_RESPONSES, (unsigned)status, 0, 0, 1);
}
