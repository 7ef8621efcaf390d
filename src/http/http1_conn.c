/*
 * HTTP/1.x on a connection, in workers: one exchange at a time in the order of the requests,
 * keep-alive, 100-continue, limits.  After an error it answers, then closes: what follows a
 * malformed request is never looked at.
 */
#include <stdio.h>
#include "http/http1_parse.h"
#include "http/http_int.h"

#define PIPELINE_BYTES 16384   /* read ahead while a handler works; then reading pauses */
#define ANSWERS_BYTES  65536   /* answered and not sent: the next request waits until it is */
#define TURN_NS        2000000 /* of one connection's pipelined requests, then others get theirs */
#define SKIP_BYTES     65536   /* of a body nobody wants: read over it and keep the connection */

enum state { HEAD, BODY, SKIP, WAIT, OVER };

struct http1 {
    enum state state;
    struct fp_http1_head *head;  /* HEAD, once the first byte is there */
    struct fp_http_exchange *ex; /* BODY and WAIT */
    struct fp_http1_body body;   /* BODY */
    struct fp_http_queue out;
    uint64_t start_ns, turn_ns; /* of the request; of this turn's first one */
    size_t skipped;
    bool expects;    /* 100-continue was asked for and not said */
    bool keep_alive; /* as the request asked */
    bool http10;
    bool running; /* a loop further up goes on when a handler responds */
    bool held;    /* HEAD: requests wait in c->in for answers to leave */
};

static void h1_open(struct fp_http_conn *c)
{
    c->session = fp_mem_zalloc(sizeof(struct http1));
}

static void say(struct http1 *s, struct fp_str text)
{
    fp_http_queue_push(&s->out, text, NULL, FP_STR_NULL);
}

static void put_field(struct fp_buf *b, struct fp_str name, struct fp_str value)
{
    fp_buf_append_str(b, name);
    fp_buf_append(b, ": ", 2);
    fp_buf_append_str(b, value);
    fp_buf_append(b, "\r\n", 2);
}

static void put_answer(struct fp_http_conn *c, const struct fp_http_answer *a, bool keep)
{
    struct http1 *s = c->session;
    struct fp_buf head = {0};
    fp_buf_printf(&head, "HTTP/1.1 %d %s\r\n", a->status, fp_http_reason_phrase(a->status));
    for (size_t i = 0; i < a->headers_n; i++)
        put_field(&head, a->headers[i].name, a->headers[i].value);
    if (!keep)
        put_field(&head, FP_STR("connection"), FP_STR("close"));
    else if (s->http10)
        put_field(&head, FP_STR("connection"), FP_STR("keep-alive"));
    fp_buf_append(&head, "\r\n", 2);
    fp_http_queue_push(&s->out, fp_buf_str(&head), a->body, FP_STR_NULL);
    fp_buf_fini(&head);
}

static void drop_head(struct http1 *s)
{
    fp_mem_free(s->head);
    s->head = NULL;
}

/* Refused before there was a request: answer and close. */
static void bad(struct fp_http_conn *c, int status, const char *why,
                enum fp_http_close_reason reason)
{
    struct http1 *s = c->session;
    struct fp_http_bad bad;
    struct fp_http_answer a = {.status = status};
    a.body = fp_http_bad_make(c->server, status, why, &bad);
    a.headers = bad.headers;
    a.headers_n = bad.headers_n;
    drop_head(s);
    c->why = why;
    put_answer(c, &a, false);
    s->state = OVER;
    fp_buf_fini(&c->in);
    fp_http_conn_finish(c, reason, true);
}

/* Bytes of the next request may be in c->in; what the handler has not read ends the connection. */
static void h1_respond(struct fp_http_exchange *ex, struct fp_http_answer *a)
{
    struct fp_http_conn *c = ex->conn;
    struct http1 *s = c->session;
    bool whole = s->state == WAIT;
    bool skip = s->state == BODY && !s->expects && s->body.left <= SKIP_BYTES;
    bool keep = (whole || skip) && s->keep_alive && !c->draining && (!c->eof || c->in.len);
    put_answer(c, a, keep);
    s->ex = NULL;
    s->state = !keep ? OVER : skip ? SKIP : HEAD;
    s->skipped = 0;
    if (s->state != SKIP)
        fp_http_conn_deadline(c, FP_HTTP_DL_BODY, 0);
    if (!keep) {
        bool unread = !whole || c->in.len;
        fp_buf_fini(&c->in);
        fp_http_conn_finish(c, c->draining ? FP_HTTP_CLOSE_DRAIN : FP_HTTP_CLOSE_DONE, unread);
    }
    if (!s->running)
        fp_http_conn_kick(c);
}

/* ---- head ---- */

static struct fp_http_exchange *make_exchange(struct fp_http_conn *c, struct http1 *s)
{
    const struct fp_http1_head *h = s->head;
    struct fp_http_exchange *ex = fp_http_exchange_new(c, h->version);
    struct fp_http_request *r = &ex->r;
    const char *data = fp_arena_dup(r->arena, c->in.data, h->pos);
    struct fp_http_header *headers = fp_arena_alloc(r->arena, h->fields_n * sizeof *headers);
    for (uint32_t i = 0; i < h->fields_n; i++) {
        headers[i].name = fp_str_n(data + h->name[i].at, h->name[i].n);
        headers[i].value = fp_str_n(data + h->value[i].at, h->value[i].n);
    }
    r->headers = headers;
    r->headers_n = h->fields_n;
    r->start_ns = s->start_ns;
    r->method = fp_str_n(data + h->method.at, h->method.n);
    r->authority = h->host >= 0 ? headers[h->host].value : FP_STR_NULL;
    fp_http_exchange_target(ex, fp_str_n(data + h->target.at, h->target.n));
    return ex;
}

static void body_done(struct fp_http_conn *c, struct http1 *s)
{
    s->state = WAIT;
    fp_http_conn_deadline(c, FP_HTTP_DL_BODY, 0);
    fp_http_exchange_complete(s->ex);
}

static void head_done(struct fp_http_conn *c, struct http1 *s)
{
    struct fp_http_exchange *ex = s->ex = make_exchange(c, s);
    bool chunked = s->head->chunked;
    uint64_t length = s->head->length;
    s->keep_alive = s->head->keep_alive;
    s->expects = s->head->expect_continue && (chunked || length) && c->in.len == s->head->pos;
    s->http10 = s->head->version == 10;
    fp_buf_consume(&c->in, s->head->pos);
    drop_head(s);
    fp_http1_body_init(&s->body, chunked, length);
    /* WAIT: a response now has the whole request behind it, if it has no body */
    s->state = chunked || length ? BODY : WAIT;
    fp_http_conn_deadline(c, FP_HTTP_DL_HEAD, 0);
    fp_http_conn_deadline(c, FP_HTTP_DL_BODY, c->server->limits.request_timeout_ms);
    struct fp_http_verdict v;
    fp_http_exchange_headers(ex, &v);
    if (!s->ex || v.respond_now) {
        if (s->ex)
            ex->working = true; /* it will respond, though not at once */
        return;
    }
    ex->body_limit = v.body_limit;
    if (length > v.body_limit) {
        fp_http_exchange_too_large(ex);
    } else if (s->state == WAIT) {
        body_done(c, s);
    } else if (s->expects) {
        s->expects = false;
        say(s, FP_STR("HTTP/1.1 100 Continue\r\n\r\n"));
    }
}

static bool run_head(struct fp_http_conn *c, struct http1 *s)
{
    const struct fp_http_limits *l = &c->server->limits;
    if (!c->in.len)
        return false;
    if (!s->head) {
        s->head = fp_mem_alloc(sizeof *s->head);
        fp_http1_head_init(s->head);
        s->start_ns = fp_clock_mono_ns();
        fp_http_conn_deadline(c, FP_HTTP_DL_IDLE, 0);
        if (!c->deadline_ms[FP_HTTP_DL_HEAD])
            fp_http_conn_deadline(c, FP_HTTP_DL_HEAD, l->header_timeout_ms);
    }
    const struct fp_http1_limits limits = {l->request_line_bytes, l->header_bytes, l->headers_n};
    int rc = fp_http1_head_parse(s->head, c->in.data, c->in.len, &limits);
    if (rc == FP_HTTP1_MORE)
        return false;
    if (rc == FP_HTTP1_DONE)
        head_done(c, s);
    else
        bad(c, rc, s->head->error, FP_HTTP_CLOSE_PROTOCOL);
    return true;
}

/* ---- body ---- */

static void run_body(struct fp_http_conn *c, struct http1 *s, struct fp_str *in)
{
    struct fp_http_exchange *ex = s->ex;
    for (;;) {
        struct fp_str piece;
        switch (fp_http1_body_feed(&s->body, in, &piece)) {
        case FP_HTTP1_BODY_DATA:
            if (!fp_http_exchange_append(ex, piece))
                return;
            break;
        case FP_HTTP1_BODY_DONE:
            body_done(c, s);
            return;
        case FP_HTTP1_BODY_BAD:
            s->ex = NULL;
            fp_http_exchange_abort(ex);
            bad(c, 400, s->body.error, FP_HTTP_CLOSE_PROTOCOL);
            return;
        default:
            return;
        }
    }
}

static bool run_skip(struct fp_http_conn *c, struct http1 *s)
{
    struct fp_str piece, in = fp_buf_str(&c->in);
    size_t had = in.len;
    int rc;
    while ((rc = fp_http1_body_feed(&s->body, &in, &piece)) == FP_HTTP1_BODY_DATA)
        s->skipped += piece.len;
    fp_buf_consume(&c->in, had - in.len);
    if (rc == FP_HTTP1_BODY_DONE) {
        s->state = HEAD;
        fp_http_conn_deadline(c, FP_HTTP_DL_BODY, 0);
    } else if (rc == FP_HTTP1_BODY_BAD || s->skipped > SKIP_BYTES) {
        s->state = OVER;
        fp_buf_fini(&c->in);
        fp_http_conn_finish(c, FP_HTTP_CLOSE_PROTOCOL, true);
    }
    return rc == FP_HTTP1_BODY_DONE;
}

/* A thousand pipelined requests for a large answer must not become a thousand copies of it. */
static bool hold(struct fp_http_conn *c, struct http1 *s)
{
    bool full = c->blocked || s->out.bytes > ANSWERS_BYTES;
    s->held = c->in.len && !s->head && (full || fp_clock_mono_ns() - s->turn_ns > TURN_NS);
    return s->held;
}

static bool run_step(struct fp_http_conn *c, struct http1 *s)
{
    if (s->state == HEAD)
        return !hold(c, s) && run_head(c, s);
    if (s->state == SKIP)
        return c->in.len && run_skip(c, s);
    if (s->state != BODY || s->ex->working || !c->in.len)
        return false;
    struct fp_str in = fp_buf_str(&c->in);
    size_t had = in.len;
    run_body(c, s, &in);
    if (c->in.len) /* not when an error dropped it */
        fp_buf_consume(&c->in, had - in.len);
    return true;
}

static void run(struct fp_http_conn *c)
{
    struct http1 *s = c->session;
    s->running = true;
    s->turn_ns = fp_clock_mono_ns();
    while (!c->closed && run_step(c, s))
        ;
    s->running = false;
    if (c->closed)
        return;
    if (!c->in.len)
        fp_buf_fini(&c->in);
    if (c->eof && s->state == HEAD && !s->held)
        fp_http_conn_finish(c, FP_HTTP_CLOSE_PEER, false);
}

static void h1_on_bytes(struct fp_http_conn *c, struct fp_str in)
{
    struct http1 *s = c->session;
    if (s->state == OVER)
        return;
    if (s->state == BODY && !s->ex->working && !c->in.len) { /* a body goes past c->in */
        s->running = true;
        run_body(c, s, &in);
        s->running = false;
    }
    if (c->closed || s->state == OVER)
        return;
    fp_buf_append_str(&c->in, in);
    run(c);
}

static void h1_on_eof(struct fp_http_conn *c)
{
    struct http1 *s = c->session;
    if (s->state == HEAD && !s->out.head && !c->blocked && !s->held)
        fp_http_conn_close(c, FP_HTTP_CLOSE_PEER);
    else if (s->state == BODY && !s->ex->working)
        fp_http_conn_close(c, FP_HTTP_CLOSE_PEER); /* the body will never be complete */
    /* else: a half-closed client still gets its answer; keep-alive ends with it */
}

/* ---- output and the rest ---- */

static void h1_produce(struct fp_http_conn *c, struct fp_http_batch *b)
{
    struct http1 *s = c->session;
    while (s->out.bytes && fp_http_batch_room(b)) {
        fp_http_queue_take(&s->out, b, fp_http_queue_next(&s->out));
    }
}

static void h1_on_written(struct fp_http_conn *c)
{
    struct http1 *s = c->session;
    fp_http_conn_deadline(c, FP_HTTP_DL_WRITE, 0);
    if (s->held)
        fp_http_conn_kick(c);
    else if (c->eof && s->state == HEAD)
        fp_http_conn_finish(c, FP_HTTP_CLOSE_PEER, false);
    else if (c->draining && s->state == HEAD && !s->head)
        fp_http_conn_finish(c, FP_HTTP_CLOSE_DRAIN, false);
    else if (s->state == HEAD && !s->head && !c->deadline_ms[FP_HTTP_DL_IDLE] &&
             !c->deadline_ms[FP_HTTP_DL_HEAD]) /* idle only now: a download may take its time */
        fp_http_conn_deadline(c, FP_HTTP_DL_IDLE, c->server->limits.idle_timeout_ms);
}

static void h1_on_deadline(struct fp_http_conn *c, enum fp_http_deadline which)
{
    struct http1 *s = c->session;
    switch (which) {
    case FP_HTTP_DL_HEAD:
        if (s->head)
            bad(c, 408, "the request's header fields did not arrive in time",
                FP_HTTP_CLOSE_SLOW_HEAD);
        else
            fp_http_conn_close(c, FP_HTTP_CLOSE_IDLE);
        return;
    case FP_HTTP_DL_BODY:
        if (s->state == SKIP)
            fp_http_conn_close(c, FP_HTTP_CLOSE_SLOW_BODY);
        if (c->closed || s->state != BODY || s->ex->working)
            return;
        struct fp_http_exchange *ex = s->ex;
        s->ex = NULL;
        fp_http_exchange_abort(ex);
        bad(c, 408, "the request body did not arrive in time", FP_HTTP_CLOSE_SLOW_BODY);
        return;
    case FP_HTTP_DL_IDLE:
        fp_http_conn_close(c, FP_HTTP_CLOSE_IDLE);
        return;
    case FP_HTTP_DL_AGE: /* ends with the current exchange */
        c->draining = true;
        if (s->state == HEAD && !s->head)
            fp_http_conn_close(c, FP_HTTP_CLOSE_AGE);
        return;
    default:
        return;
    }
}

static bool h1_crowded(struct fp_http_conn *c)
{
    const struct http1 *s = c->session;
    bool works = s->held || s->state == WAIT || (s->ex && s->ex->working);
    return works && c->in.len > PIPELINE_BYTES; /* what follows can wait */
}

static void h1_drain(struct fp_http_conn *c)
{
    struct http1 *s = c->session;
    if (s->state == HEAD && !s->head && !s->out.head && !c->blocked && !s->held)
        fp_http_conn_close(c, FP_HTTP_CLOSE_DRAIN);
}

static void h1_close(struct fp_http_conn *c)
{
    struct http1 *s = c->session;
    c->session = NULL;
    c->proto = NULL;
    if (s->ex)
        fp_http_exchange_abort(s->ex);
    drop_head(s);
    fp_http_queue_clear(&s->out);
    fp_mem_free(s);
}

const struct fp_http_proto fp_http1_proto = {
    .open = h1_open,
    .on_bytes = h1_on_bytes,
    .on_eof = h1_on_eof,
    .resume = run,
    .produce = h1_produce,
    .on_written = h1_on_written,
    .respond = h1_respond,
    .on_deadline = h1_on_deadline,
    .crowded = h1_crowded,
    .drain = h1_drain,
    .close = h1_close,
};
