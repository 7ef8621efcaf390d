/*
 * HTTP/2 streams, in workers: buffered requests and the long streams of http_stream.h share one
 * output queue.  Everything here may run inside an nghttp2 callback, so it only submits frames and
 * asks for a flush.
 */
#include <stdio.h>
#include "http/http2_int.h"

struct fp_http2_trailers {
    size_t n;
    struct fp_http_header *items;
    struct fp_arena *arena;
};

static const struct fp_http_stream_handlers *handlers_of(const struct fp_http_stream *st)
{
    return st->c->server->handlers.streams;
}

/* ---- opening: headers come one by one ---- */

struct fp_http_stream *fp_http2_stream_open(struct fp_http_conn *c, int32_t id)
{
    struct fp_http_stream *st = fp_mem_zalloc(sizeof *st);
    struct fp_http2 *h = c->session;
    st->c = c;
    st->id = id;
    st->progress_ms = fp_http_now(c);
    st->ex = fp_http_exchange_new(c, 20);
    st->ex->stream = st;
    fp_list_push_back(&h->streams, &st->link);
    return st;
}

static void take_header(struct fp_http_stream *st, struct fp_str name, struct fp_str value)
{
    struct fp_http_request *r = &st->ex->r;
    if (st->headers_n == st->headers_cap) {
        uint32_t cap = st->headers_cap ? st->headers_cap * 2 : 16;
        struct fp_http_header *grown = fp_arena_alloc(r->arena, cap * sizeof *grown);
        if (st->headers_n)
            memcpy(grown, r->headers, st->headers_n * sizeof *grown);
        r->headers = grown;
        st->headers_cap = cap;
    }
    ((struct fp_http_header *)r->headers)[st->headers_n++] = (struct fp_http_header){name, value};
    r->headers_n = st->headers_n;
}

void fp_http2_stream_header(struct fp_http_stream *st, struct fp_str name, struct fp_str value)
{
    const struct fp_http_limits *l = &st->c->server->limits;
    if (!st->ex || st->refused)
        return;
    struct fp_http_request *r = &st->ex->r;
    st->header_bytes += (uint32_t)(name.len + value.len + 4); /* as HTTP/1 would write it */
    bool is_path = fp_str_eq_c(name, ":path");
    if (is_path && value.len > l->request_line_bytes)
        st->refused = 414;
    else if (st->header_bytes > l->header_bytes || st->headers_n >= l->headers_n)
        st->refused = 431;
    if (st->refused)
        return;
    value = fp_arena_str(r->arena, value);
    if (is_path)
        fp_http_exchange_target(st->ex, value);
    else if (fp_str_eq_c(name, ":method"))
        r->method = value;
    else if (fp_str_eq_c(name, ":authority"))
        r->authority = value;
    else if (name.data[0] != ':')
        take_header(st, fp_arena_str(r->arena, name), value);
}

/* ---- answering ---- */

static nghttp2_nv nv(struct fp_str name, struct fp_str value)
{
    return (nghttp2_nv){(uint8_t *)name.data, (uint8_t *)value.data, name.len, value.len,
                        NGHTTP2_NV_FLAG_NONE}; /* nghttp2 copies them */
}

static ssize_t read_queue(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length,
                          uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct fp_http_stream *st = source->ptr;
    size_t n = st->out.bytes ? fp_http_queue_peek(&st->out, length) : 0;
    if (!n && !st->ended) {
        st->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!st->ended || n < st->out.bytes)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (st->trailers) {
        nghttp2_nv nva[8];
        for (size_t i = 0; i < st->trailers->n; i++)
            nva[i] = nv(st->trailers->items[i].name, st->trailers->items[i].value);
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(ng, id, nva, st->trailers->n))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return (ssize_t)n;
}

int fp_http2_stream_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *framehd,
                              size_t length, nghttp2_data_source *source, void *user)
{
    struct fp_http_stream *st = source->ptr;
    struct fp_http2 *h = fp_http2_of(st);
    if (!fp_http_batch_room(h->batch))
        return NGHTTP2_ERR_WOULDBLOCK;
    fp_http_batch_copy(h->batch, framehd, 9);
    if (!length)
        return 0;
    fp_http_queue_take(&st->out, h->batch, length);
    st->progress_ms = fp_http_now(st->c);
    if (!st->out.bytes) {
        h->queued_n--;
        if (!fp_list_linked(&st->drained_link))
            fp_list_push_back(&h->drained, &st->drained_link);
    }
    return 0;
}

static void submit(struct fp_http_stream *st, int status, const struct fp_http_header *headers,
                   size_t n, bool with_data)
{
    nghttp2_nv small[16], *nva = n < 16 ? small : fp_mem_calloc(n + 1, sizeof *nva);
    char text[16];
    snprintf(text, sizeof text, "%d", status);
    nva[0] = nv(FP_STR(":status"), fp_str_of(text));
    for (size_t i = 0; i < n; i++)
        nva[i + 1] = nv(headers[i].name, headers[i].value);
    nghttp2_data_provider prd = {.source = {.ptr = st}, .read_callback = read_queue};
    int rc =
        nghttp2_submit_response(fp_http2_of(st)->ng, st->id, nva, n + 1, with_data ? &prd : NULL);
    if (rc) /* the stream is on its way out already */
        fp_log_debug(st->c->server->log_target, "HTTP/2 response not sent: %s",
                     nghttp2_strerror(rc));
    st->answered = true;
    if (nva != small)
        fp_mem_free(nva);
    fp_http_conn_kick(st->c);
}

static void queue(struct fp_http_stream *st, struct fp_str head, struct fp_http_chunk *chunk,
                  struct fp_str tail)
{
    bool was_empty = !st->out.bytes;
    fp_http_queue_push(&st->out, head, chunk, tail);
    if (was_empty && st->out.bytes) {
        st->progress_ms = fp_http_now(st->c);
        fp_http2_of(st)->queued_n++;
    }
}

static void resume(struct fp_http_stream *st)
{
    if (st->deferred) {
        st->deferred = false;
        nghttp2_session_resume_data(fp_http2_of(st)->ng, st->id);
    }
    fp_http_conn_kick(st->c);
}

void fp_http2_stream_respond(struct fp_http_exchange *ex, struct fp_http_answer *a)
{
    struct fp_http_stream *st = ex->stream;
    bool with_data = a->body != NULL;
    st->ex = NULL;
    queue(st, FP_STR_NULL, a->body, FP_STR_NULL);
    st->ended = true;
    submit(st, a->status, a->headers, a->headers_n, with_data);
}

static void refuse(struct fp_http_stream *st, int status, const char *why)
{
    struct fp_http_bad bad;
    struct fp_http_chunk *body = fp_http_bad_make(st->c->server, status, why, &bad);
    fp_http_exchange_free(st->ex);
    st->ex = NULL;
    queue(st, FP_STR_NULL, body, FP_STR_NULL);
    st->ended = true;
    submit(st, status, bad.headers, bad.headers_n, true);
}

/* ---- the request goes on ---- */

static void open_stream(struct fp_http_stream *st)
{
    struct fp_http_server *s = st->c->server;
    struct fp_http_exchange *ex = st->ex;
    st->ex = NULL;
    st->is_stream = true;
    fp_list_push_back(&s->streams, &st->server_link);
    s->streams_n++;
    handlers_of(st)->on_open(st, ex->r.path, ex->r.headers, ex->r.headers_n, handlers_of(st)->arg);
    fp_http_exchange_free(ex);
}

void fp_http2_stream_headers_done(struct fp_http_stream *st)
{
    const struct fp_http_stream_handlers *on = handlers_of(st);
    struct fp_http_exchange *ex = st->ex;
    if (st->refused) {
        refuse(st, st->refused,
               st->refused == 414 ? "request line too long" : "header fields too large");
        return;
    }
    if (!ex->r.authority.data)
        ex->r.authority = fp_http_header(&ex->r, "host");
    if (!ex->r.path.data) {
        refuse(st, 400, "CONNECT is not supported");
        return;
    }
    if (on && fp_str_eq_c(ex->r.method, "POST") &&
        on->accepts(ex->r.path, ex->r.headers, ex->r.headers_n, on->arg)) {
        open_stream(st);
        return;
    }
    struct fp_str expect = fp_http_header(&ex->r, "expect");
    if (expect.data && !fp_str_case_eq(expect, FP_STR("100-continue"))) {
        refuse(st, 417, "expectation not supported");
        return;
    }
    struct fp_http_verdict v;
    uint64_t length = 0;
    fp_str_to_u64(fp_http_header(&ex->r, "content-length"), &length);
    fp_http_exchange_headers(ex, &v);
    if (!st->ex || v.respond_now) {
        if (st->ex)
            ex->working = true;
        return;
    }
    ex->body_limit = v.body_limit;
    if (length > v.body_limit)
        fp_http_exchange_too_large(ex);
    else if (!st->peer_ended)
        fp_http2_body_deadline(st->c, st->c->server->limits.request_timeout_ms);
}

void fp_http2_stream_data(struct fp_http_stream *st, struct fp_str bytes)
{
    struct fp_http_exchange *ex = st->ex;
    if (st->is_stream) {
        if (!st->ended)
            handlers_of(st)->on_data(st, bytes, handlers_of(st)->arg);
        return;
    }
    if (!ex || ex->working)
        return; /* answered already, or about to be: of no use */
    fp_http_exchange_append(ex, bytes);
}

void fp_http2_stream_half_close(struct fp_http_stream *st)
{
    if (st->is_stream) {
        if (!st->ended)
            handlers_of(st)->on_half_close(st, handlers_of(st)->arg);
    } else if (st->ex && !st->ex->working) {
        fp_http_exchange_complete(st->ex);
    }
}

static void untell(struct fp_http_stream *st)
{
    if (!fp_list_linked(&st->server_link))
        return;
    fp_list_remove(&st->server_link);
    st->c->server->streams_n--;
}

void fp_http2_stream_close(struct fp_http_stream *st)
{
    struct fp_http2 *h = fp_http2_of(st);
    st->closed = true;
    fp_list_remove(&st->link);
    fp_list_remove(&st->drained_link);
    untell(st);
    h->streams_n--;
    h->queued_n -= st->out.bytes > 0;
    fp_http_queue_clear(&st->out);
    if (st->is_stream)
        handlers_of(st)->on_close(st, handlers_of(st)->arg);
    else if (st->ex)
        fp_http_exchange_abort(st->ex);
    if (st->trailers)
        fp_arena_free(&(struct fp_arena *){st->trailers->arena});
    fp_mem_free(st);
}

void fp_http_stream_drain(struct fp_list *n)
{
    struct fp_http_stream *st = FP_CONTAINER(n, struct fp_http_stream, server_link);
    untell(st);
    if (!st->ended)
        handlers_of(st)->on_drain(st, handlers_of(st)->arg);
}

/* ---- http_stream.h ---- */

void fp_http_stream_user_set(struct fp_http_stream *st, void *user)
{
    st->user = user;
}

void *fp_http_stream_user(const struct fp_http_stream *st)
{
    return st->user;
}

struct fp_loop *fp_http_stream_loop(const struct fp_http_stream *st)
{
    return st->c->server->loop;
}

const struct fp_addr *fp_http_stream_peer(const struct fp_http_stream *st)
{
    return &st->c->peer;
}

struct fp_str fp_http_stream_tls_subject(const struct fp_http_stream *st)
{
    return st->c->tls ? fp_tls_conn_subject(st->c->tls) : FP_STR_NULL;
}

struct fp_str fp_http_stream_tls_sans(const struct fp_http_stream *st)
{
    return st->c->tls ? fp_tls_conn_sans(st->c->tls) : FP_STR_NULL;
}

int64_t fp_http_stream_tls_not_after_ms(const struct fp_http_stream *st)
{
    return st->c->tls ? fp_tls_conn_not_after_ms(st->c->tls) : 0;
}

void fp_http_stream_headers(struct fp_http_stream *st, int status, const struct fp_http_header *h,
                            size_t n)
{
    if (st->closed || st->answered)
        return;
    submit(st, status, h, n, true);
}

void fp_http_stream_headers_only(struct fp_http_stream *st, int status,
                                 const struct fp_http_header *h, size_t n)
{
    if (st->closed || st->answered)
        return;
    st->ended = true;
    submit(st, status, h, n, false);
}

void fp_http_stream_send(struct fp_http_stream *st, struct fp_http_chunk *c)
{
    fp_http_stream_send_framed(st, FP_STR_NULL, c, FP_STR_NULL);
}

void fp_http_stream_send_framed(struct fp_http_stream *st, struct fp_str head,
                                struct fp_http_chunk *c, struct fp_str tail)
{
    if (st->closed || st->ended) {
        fp_http_chunk_unref(&c);
        return;
    }
    FP_ASSERT(st->answered);
    queue(st, head, c, tail);
    resume(st);
}

void fp_http_stream_trailers(struct fp_http_stream *st, const struct fp_http_header *h, size_t n)
{
    if (st->closed || st->ended)
        return;
    FP_ASSERT(st->answered && n <= 8);
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_http2_trailers *t = FP_ARENA_NEW(a, struct fp_http2_trailers);
    t->arena = a;
    t->n = n;
    t->items = fp_arena_alloc(a, n * sizeof *t->items);
    for (size_t i = 0; i < n; i++)
        t->items[i] =
            (struct fp_http_header){fp_arena_str(a, h[i].name), fp_arena_str(a, h[i].value)};
    st->trailers = t;
    st->ended = true;
    resume(st);
}

void fp_http_stream_reset(struct fp_http_stream *st, uint32_t h2_error)
{
    if (st->closed)
        return;
    st->ended = true;
    nghttp2_submit_rst_stream(fp_http2_of(st)->ng, NGHTTP2_FLAG_NONE, st->id, h2_error);
    fp_http_conn_kick(st->c);
}

size_t fp_http_stream_queued(const struct fp_http_stream *st)
{
    if (st->out.bytes)
        return st->out.bytes;
    return fp_list_linked(&st->drained_link); /* on its way to the kernel: on_drained will come */
}
