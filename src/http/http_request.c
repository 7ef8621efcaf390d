/*
 * Buffered requests, in workers: life of an exchange and what handlers ask of a request.  Never
 * decodes a path twice.
 */
#include "http/http_int.h"

struct fp_http_exchange *fp_http_exchange_new(struct fp_http_conn *c, int version)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_http_exchange *ex = FP_ARENA_NEW(a, struct fp_http_exchange);
    ex->conn = c;
    ex->server = c->server;
    ex->r.arena = a;
    ex->r.peer = c->peer;
    ex->r.tls = c->tls != NULL;
    ex->r.version = version;
    ex->r.start_ns = fp_clock_mono_ns();
    return ex;
}

void fp_http_exchange_free(struct fp_http_exchange *ex)
{
    struct fp_arena *a = ex->r.arena;
    ex->server->bodies_bytes -= ex->body.len;
    fp_buf_fini(&ex->body);
    fp_arena_free(&a);
}

void fp_http_exchange_abort(struct fp_http_exchange *ex)
{
    ex->conn = NULL;
    ex->stream = NULL;
    if (!ex->asked) { /* no handler has seen it */
        fp_http_exchange_free(ex);
    } else if (ex->r.on_abort) {
        ex->r.on_abort(&ex->r);
        fp_http_exchange_free(ex);
    } else if (!ex->working) { /* between headers and body: nobody will respond */
        fp_http_exchange_free(ex);
    } /* else its fp_http_respond frees it */
}

void fp_http_exchange_headers(struct fp_http_exchange *ex, struct fp_http_verdict *v)
{
    const struct fp_http_handlers *h = &ex->conn->server->handlers;
    ex->asked = true;
    if (h->on_headers) {
        *v = h->on_headers(&ex->r, h->arg);
        return;
    }
    /* a port for streams only: whatever no stream handler accepts is not gRPC */
    struct fp_http_response resp = {.status = 415};
    fp_http_respond(&ex->r, &resp);
    *v = (struct fp_http_verdict){.respond_now = true};
}

void fp_http_exchange_too_large(struct fp_http_exchange *ex)
{
    const struct fp_http_handlers *h = &ex->conn->server->handlers;
    ex->working = true;
    if (h->on_too_large) {
        h->on_too_large(&ex->r, ex->body_limit, h->arg);
        return;
    }
    struct fp_http_response resp = {.status = 413};
    fp_http_respond(&ex->r, &resp);
}

bool fp_http_exchange_append(struct fp_http_exchange *ex, struct fp_str piece)
{
    struct fp_http_server *s = ex->server;
    if (piece.len > ex->body_limit - ex->body.len) {
        fp_http_exchange_too_large(ex);
        return false;
    }
    size_t most = ex->body_limit > FP_HTTP_BODIES_MAX ? ex->body_limit : FP_HTTP_BODIES_MAX;
    if (piece.len > most || s->bodies_bytes > most - piece.len) {
        struct fp_http_bad bad;
        struct fp_http_chunk *body =
            fp_http_bad_make(s, 503, "too many request bodies at once", &bad);
        bad.headers_n -= 2; /* date and content-length are fp_http_respond's */
        bad.headers[bad.headers_n++] = (struct fp_http_header){FP_STR("retry-after"), FP_STR("1")};
        struct fp_http_response resp = {.status = 503,
                                        .headers = bad.headers,
                                        .headers_n = bad.headers_n,
                                        .body = body->segments[0]};
        if (ex->r.on_abort) /* its handler will not see this request again */
            ex->r.on_abort(&ex->r);
        fp_http_respond(&ex->r, &resp);
        fp_http_chunk_unref(&body);
        return false;
    }
    fp_buf_append_str(&ex->body, piece);
    s->bodies_bytes += piece.len;
    return true;
}

void fp_http_exchange_complete(struct fp_http_exchange *ex)
{
    const struct fp_http_handlers *h = &ex->conn->server->handlers;
    ex->working = true;
    ex->r.body = fp_buf_str(&ex->body);
    h->on_request(&ex->r, h->arg);
}

void fp_http_exchange_target(struct fp_http_exchange *ex, struct fp_str target)
{
    struct fp_http_request *r = &ex->r;
    r->target = target;
    struct fp_str scheme = fp_str_starts(target, FP_STR("http://"))    ? FP_STR("http://")
                           : fp_str_starts(target, FP_STR("https://")) ? FP_STR("https://")
                                                                       : FP_STR_NULL;
    if (scheme.data) { /* absolute form: its authority wins over Host (RFC 9112 §3.2.2) */
        struct fp_str rest = fp_str_n(target.data + scheme.len, target.len - scheme.len);
        size_t n = 0;
        while (n < rest.len && rest.data[n] != '/' && rest.data[n] != '?')
            n++;
        r->authority = fp_str_n(rest.data, n);
        target = fp_str_n(rest.data + n, rest.len - n);
    }
    r->path = fp_str_split(target, '?', &r->query);
    if (!r->path.len)
        r->path = FP_STR("/");
}

struct fp_str fp_http_header(const struct fp_http_request *r, const char *lower_name)
{
    struct fp_str name = fp_str_of(lower_name);
    for (size_t i = 0; i < r->headers_n; i++)
        if (fp_str_eq(r->headers[i].name, name))
            return r->headers[i].value;
    return FP_STR_NULL;
}

size_t fp_http_header_count(const struct fp_http_request *r, const char *lower_name)
{
    struct fp_str name = fp_str_of(lower_name);
    size_t n = 0;
    for (size_t i = 0; i < r->headers_n; i++)
        n += fp_str_eq(r->headers[i].name, name);
    return n;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct fp_str fp_http_decode(struct fp_arena *a, struct fp_str s, bool plus_is_space)
{
    if (!s.data)
        return FP_STR_NULL;
    char *out = fp_arena_alloc(a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            bool whole = s.len - i > 2;
            int hi = whole ? hex(s.data[i + 1]) : -1;
            int lo = whole ? hex(s.data[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return FP_STR_NULL;
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        out[n++] = c;
    }
    return fp_str_n(out, n);
}

bool fp_http_query_next(struct fp_http_request *r, const char *name, size_t *pos,
                        struct fp_str *value)
{
    while (*pos < r->query.len) {
        struct fp_str rest, raw;
        struct fp_str left = fp_str_n(r->query.data + *pos, r->query.len - *pos);
        struct fp_str pair = fp_str_split(left, '&', &rest);
        struct fp_str key = fp_http_decode(r->arena, fp_str_split(pair, '=', &raw), true);
        *pos = rest.data ? r->query.len - rest.len : r->query.len;
        if (!key.data || !fp_str_eq_c(key, name))
            continue;
        *value = raw.data ? fp_http_decode(r->arena, raw, true) : FP_STR("");
        return true;
    }
    return false;
}

struct fp_str fp_http_query(struct fp_http_request *r, const char *name)
{
    struct fp_str value = FP_STR_NULL;
    size_t pos = 0;
    fp_http_query_next(r, name, &pos, &value);
    return value;
}
