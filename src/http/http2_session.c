/*
 * HTTP/2 on a connection, in workers: nghttp2 with our memory, our output and our limits.  A
 * connection is never closed from inside an nghttp2 callback; callbacks leave flags and frames, the
 * flush that follows acts on them.
 */
#include "http/http2_int.h"

/* Clients may reset streams; a flood of resets is an attack (CVE-2023-44487), and so are requests
 * that make us reset them (CVE-2025-8671), and frames that say nothing (CVE-2019-9513, 9515, 9518):
 * burst, per second. */
#define FLOOD_BURST       1000
#define FLOOD_RATE        100
#define STREAM_WINDOW     (256 * 1024) /* REST; on the xDS port the usual 64 KiB are enough */
#define CONNECTION_WINDOW (1024 * 1024)
#define FRAMES_MAX        1000 /* of ours waiting to be sent; then the peer has to read first */

struct fp_http2_shared {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
};

/* ---- callbacks ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct fp_http_conn *c = user;
    struct fp_http2 *h = c->session;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct fp_http_stream *st = fp_http2_stream_open(c, frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(ng, st->id, st);
    if (h->streams_n++ == 0)
        fp_http_conn_deadline(c, FP_HTTP_DL_IDLE, 0);
    if (!c->deadline_ms[FP_HTTP_DL_HEAD])
        fp_http_conn_deadline(c, FP_HTTP_DL_HEAD, c->server->limits.header_timeout_ms);
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct fp_http_stream *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (st && frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        fp_http2_stream_header(st, fp_str_n(name, name_n), fp_str_n(value, value_n));
    return 0; /* trailers are of no use to us */
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user)
{
    struct fp_http_stream *st = nghttp2_session_get_stream_user_data(ng, id);
    if (st)
        fp_http2_stream_data(st, fp_str_n(p, n));
    return 0;
}

static void last_goaway(struct fp_http_conn *c)
{
    struct fp_http2 *h = c->session;
    if (h->last_goaway)
        return;
    h->last_goaway = true;
    c->deadline_ms[FP_HTTP_DL_GOAWAY] = 0;
    nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng),
                          NGHTTP2_NO_ERROR, NULL, 0);
}

static void count_nonsense(struct fp_http_conn *c)
{
    struct fp_http2 *h = c->session;
    uint64_t now = fp_http_now(c), each = 1000 / FLOOD_RATE;
    h->nonsense_ms = (h->nonsense_ms > now ? h->nonsense_ms : now) + each;
    if (h->nonsense_ms - now > FLOOD_BURST * each)
        nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
    bool nothing =
        hd->type == NGHTTP2_DATA && !hd->length && !(hd->flags & NGHTTP2_FLAG_END_STREAM);
    bool settings = hd->type == NGHTTP2_SETTINGS && !(hd->flags & NGHTTP2_FLAG_ACK);
    if (nothing || settings || hd->type == NGHTTP2_PRIORITY || hd->type == NGHTTP2_RST_STREAM)
        count_nonsense(user);
    return 0;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct fp_http_conn *c = user;
    struct fp_http2 *h = c->session;
    struct fp_http_stream *st;
    switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
        c->deadline_ms[FP_HTTP_DL_HEAD] = 0;
        return 0;
    case NGHTTP2_PING: /* our only PINGs with a meaning are those behind the first GOAWAY */
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) && h->draining && frame->ping.opaque_data[0])
            last_goaway(c);
        return 0;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        break;
    default:
        return 0;
    }
    if (!(st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id)))
        return 0;
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        c->deadline_ms[FP_HTTP_DL_HEAD] = 0;
        st->peer_ended = end;
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            fp_http2_stream_headers_done(st);
    }
    st->peer_ended = end;
    if (end)
        fp_http2_stream_half_close(st);
    return 0;
}

/* We are done and the client is not: it should stop sending (RFC 9113 §8.1).  A call is over at
 * once; an upload gets a moment, because curl 7.88 drops a response that has a reset behind it. */
static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct fp_http_conn *c = user;
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code)
        c->why = nghttp2_http2_strerror(frame->goaway.error_code);
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code)
        count_nonsense(c);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct fp_http_stream *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (!st || st->peer_ended)
        return 0;
    st->progress_ms = fp_http_now(c);
    if (st->is_stream)
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_NO_ERROR);
    else
        fp_http2_body_deadline(c, FP_HTTP_LINGER_MS);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
    struct fp_http_stream *st = nghttp2_session_get_stream_user_data(ng, id);
    if (!st)
        return 0;
    nghttp2_session_set_stream_user_data(ng, id, NULL);
    fp_http2_stream_close(st);
    return 0;
}

static int on_error(nghttp2_session *ng, int code, const char *msg, size_t n, void *user)
{
    struct fp_http_conn *c = user;
    fp_log_debug(c->server->log_target, "HTTP/2: %.*s", (int)n, msg);
    return 0;
}

static struct fp_http2_shared *shared_new(const struct fp_http_limits *l)
{
    struct fp_http2_shared *h = fp_mem_zalloc(sizeof *h);
    nghttp2_session_callbacks *cb;
    FP_ASSERT(!nghttp2_session_callbacks_new(&cb) && !nghttp2_option_new(&h->option));
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, fp_http2_stream_send_data);
    nghttp2_session_callbacks_set_error_callback2(cb, on_error);
    h->callbacks = cb;
    /* ours comes first, and says what it is */
    nghttp2_option_set_stream_reset_rate_limit(h->option, 2 * FLOOD_BURST, FLOOD_RATE);
    if (l->h2_only) {
        /* thousands of streams: closed ones are forgotten, a late frame for one is ignored */
        nghttp2_option_set_no_closed_streams(h->option, 1);
        /* long streams send few headers: no compression state for them */
        nghttp2_option_set_max_deflate_dynamic_table_size(h->option, 0);
    }
    return h;
}

void fp_http2_shared_free(struct fp_http2_shared **hp)
{
    struct fp_http2_shared *h = *hp;
    *hp = NULL;
    if (!h)
        return;
    nghttp2_session_callbacks_del(h->callbacks);
    nghttp2_option_del(h->option);
    fp_mem_free(h);
}

/* ---- connection ---- */

static void submit_settings(struct fp_http_conn *c, struct fp_http2 *h)
{
    const struct fp_http_limits *l = &c->server->limits;
    nghttp2_settings_entry iv[4];
    size_t n = 0;
    if (l->h2_max_streams)
        iv[n++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->h2_max_streams};
    if (l->header_bytes)
        iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
                                           (uint32_t)(l->header_bytes + 32 * l->headers_n)};
    if (l->h2_only)
        iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0};
    else /* uploads */
        iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW};
    FP_ASSERT(nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, iv, n) == 0);
    if (!l->h2_only)
        nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
}

/* The first GOAWAY lets streams in flight arrive; the second, a round trip later, is exact (T-15).
 */
static void start_drain(struct fp_http_conn *c, enum fp_http_close_reason why)
{
    static const uint8_t opaque[8] = {1};
    struct fp_http2 *h = c->session;
    if (h->draining)
        return;
    h->draining = true;
    h->end = why;
    nghttp2_submit_shutdown_notice(h->ng);
    nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, opaque);
    fp_http_conn_deadline(c, FP_HTTP_DL_GOAWAY, FP_HTTP2_GOAWAY_MS);
}

static void h2_open(struct fp_http_conn *c)
{
    struct fp_http_server *s = c->server;
    if (!s->http2)
        s->http2 = shared_new(&s->limits);
    struct fp_http2 *h = fp_mem_zalloc(sizeof *h);
    c->session = h;
    fp_list_init(&h->streams);
    fp_list_init(&h->drained);
    FP_ASSERT(nghttp2_session_server_new3(&h->ng, s->http2->callbacks, c, s->http2->option,
                                          &fp_http2_memory) == 0);
    submit_settings(c, h);
    fp_http_conn_deadline(c, FP_HTTP_DL_PING, s->limits.keepalive_time_ms);
    fp_http_conn_deadline(c, FP_HTTP_DL_IDLE, s->limits.idle_timeout_ms);
    if (c->draining) /* it was still shaking hands when the drain began */
        start_drain(c, FP_HTTP_CLOSE_DRAIN);
}

static void h2_on_bytes(struct fp_http_conn *c, struct fp_str in)
{
    struct fp_http2 *h = c->session;
    ssize_t rc = nghttp2_session_mem_recv(h->ng, (const uint8_t *)in.data, in.len);
    if (rc >= 0)
        return;
    c->why = nghttp2_strerror((int)rc);
    fp_http_conn_close(c, FP_HTTP_CLOSE_PROTOCOL);
}

static void h2_on_eof(struct fp_http_conn *c)
{
    fp_http_conn_close(c, FP_HTTP_CLOSE_PEER);
}

static void h2_resume(struct fp_http_conn *c)
{
}

static void h2_produce(struct fp_http_conn *c, struct fp_http_batch *b)
{
    struct fp_http2 *h = c->session;
    h->batch = b;
    while (fp_http_batch_room(b)) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->ng, &p);
        if (n < 0) {
            fp_http_conn_close(c, FP_HTTP_CLOSE_PROTOCOL);
            return;
        }
        if (n == 0)
            break;
        fp_http_batch_copy(b, p, (size_t)n);
    }
    h->batch = NULL;
}

static void tell_drained(struct fp_http_conn *c, struct fp_http2 *h)
{
    const struct fp_http_stream_handlers *on = c->server->handlers.streams;
    struct fp_list batch, *n;
    fp_list_init(&batch);
    while ((n = fp_list_pop_front(&h->drained))) /* what a callback sends comes next time */
        fp_list_push_back(&batch, n);
    while ((n = fp_list_pop_front(&batch))) {
        struct fp_http_stream *st = FP_CONTAINER(n, struct fp_http_stream, drained_link);
        if (st->is_stream && !st->out.bytes && !st->ended && on->on_drained)
            on->on_drained(st, on->arg);
    }
}

static void h2_on_written(struct fp_http_conn *c)
{
    struct fp_http2 *h = c->session;
    tell_drained(c, h);
    if (c->closed)
        return;
    if (!nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng))
        fp_http_conn_finish(c, h->draining ? h->end : FP_HTTP_CLOSE_PROTOCOL, true);
    else if (h->last_goaway && !h->streams_n)
        fp_http_conn_finish(c, h->end, true); /* a request may cross our GOAWAY */
    else if (!h->queued_n)
        c->deadline_ms[FP_HTTP_DL_WRITE] = 0;
    else if (!c->deadline_ms[FP_HTTP_DL_WRITE]) /* waits for a WINDOW_UPDATE (T-11, L-2) */
        fp_http_conn_deadline(c, FP_HTTP_DL_WRITE, c->server->limits.write_timeout_ms);
    if (!h->streams_n && !c->closing && !c->deadline_ms[FP_HTTP_DL_IDLE])
        fp_http_conn_deadline(c, FP_HTTP_DL_IDLE, c->server->limits.idle_timeout_ms);
}

/* ---- deadlines and drain ---- */

static void end_now(struct fp_http_conn *c, enum fp_http_close_reason why)
{
    struct fp_http2 *h = c->session;
    h->draining = h->last_goaway = true;
    h->end = why;
    nghttp2_session_terminate_session(h->ng, NGHTTP2_NO_ERROR);
}

static void ping(struct fp_http_conn *c, struct fp_http2 *h)
{
    const struct fp_http_limits *l = &c->server->limits;
    uint64_t silent = fp_http_now(c) - c->last_read_ms;
    if (silent >= l->keepalive_time_ms) {
        silent = 0;
        if (!c->deadline_ms[FP_HTTP_DL_PONG]) { /* else one is under way */
            nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
            fp_http_conn_deadline(c, FP_HTTP_DL_PONG, l->keepalive_timeout_ms);
        }
    }
    fp_http_conn_deadline(c, FP_HTTP_DL_PING, l->keepalive_time_ms - silent);
}

void fp_http2_body_deadline(struct fp_http_conn *c, uint64_t after_ms)
{
    uint64_t at = c->deadline_ms[FP_HTTP_DL_BODY];
    if (after_ms && (!at || fp_http_now(c) + after_ms < at))
        fp_http_conn_deadline(c, FP_HTTP_DL_BODY, after_ms);
}

/* How long the peer may go on sending on this stream; 0 = no limit. */
static uint64_t body_timeout(const struct fp_http_conn *c, const struct fp_http_stream *st)
{
    if (st->peer_ended || st->is_stream)
        return 0;
    if (st->ended)
        return st->out.bytes ? 0 : FP_HTTP_LINGER_MS;
    return st->ex && !st->ex->working ? c->server->limits.request_timeout_ms : 0;
}

/* Bodies that stopped arriving: their streams end, the connection lives on. */
static void check_bodies(struct fp_http_conn *c, struct fp_http2 *h)
{
    uint64_t now = fp_http_now(c);
    FP_LIST_FOREACH (n, &h->streams) {
        struct fp_http_stream *st = FP_CONTAINER(n, struct fp_http_stream, link);
        uint64_t timeout = body_timeout(c, st), waited = now - st->progress_ms;
        if (timeout && waited >= timeout)
            nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, st->id,
                                      st->ended ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
        else if (timeout)
            fp_http2_body_deadline(c, timeout - waited);
    }
}

/* Output that waits for the peer's window for too long: it does not read (L-2). */
static void check_windows(struct fp_http_conn *c, struct fp_http2 *h)
{
    uint64_t timeout = c->server->limits.write_timeout_ms, now = fp_http_now(c), next = 0;
    FP_LIST_FOREACH (n, &h->streams) {
        struct fp_http_stream *st = FP_CONTAINER(n, struct fp_http_stream, link);
        if (!st->out.bytes)
            continue;
        if (now - st->progress_ms >= timeout) {
            fp_http_conn_close(c, FP_HTTP_CLOSE_SLOW_READ);
            return;
        }
        if (!next || st->progress_ms + timeout - now < next)
            next = st->progress_ms + timeout - now;
    }
    fp_http_conn_deadline(c, FP_HTTP_DL_WRITE, next);
}

static void grace_over(struct fp_http_conn *c, struct fp_http2 *h)
{
    FP_LIST_FOREACH_SAFE (n, &h->streams) {
        struct fp_http_stream *st = FP_CONTAINER(n, struct fp_http_stream, link);
        if (st->is_stream && fp_list_linked(&st->server_link))
            fp_http_stream_drain(&st->server_link);
    }
    fp_http_conn_deadline(c, FP_HTTP_DL_FORCE, FP_HTTP_FORCE_MS);
}

static void h2_on_deadline(struct fp_http_conn *c, enum fp_http_deadline which)
{
    struct fp_http2 *h = c->session;
    switch (which) {
    case FP_HTTP_DL_HEAD:
        fp_http_conn_close(c, FP_HTTP_CLOSE_SLOW_HEAD);
        return;
    case FP_HTTP_DL_BODY:
        check_bodies(c, h);
        return;
    case FP_HTTP_DL_IDLE:
        if (!h->streams_n)
            end_now(c, FP_HTTP_CLOSE_IDLE);
        return;
    case FP_HTTP_DL_WRITE:
        check_windows(c, h);
        return;
    case FP_HTTP_DL_PING:
        ping(c, h);
        return;
    case FP_HTTP_DL_PONG:
        fp_http_conn_close(c, FP_HTTP_CLOSE_KEEPALIVE);
        return;
    case FP_HTTP_DL_AGE:
        start_drain(c, FP_HTTP_CLOSE_AGE);
        fp_http_conn_deadline(c, FP_HTTP_DL_GRACE, c->server->limits.max_age_grace_ms + 1);
        return;
    case FP_HTTP_DL_GOAWAY:
        last_goaway(c);
        return;
    case FP_HTTP_DL_GRACE:
        grace_over(c, h);
        return;
    case FP_HTTP_DL_FORCE:
        fp_http_conn_close(c, FP_HTTP_CLOSE_AGE);
        return;
    default:
        FP_UNREACHABLE();
    }
}

static bool h2_crowded(struct fp_http_conn *c)
{
    struct fp_http2 *h = c->session;
    return nghttp2_session_get_outbound_queue_size(h->ng) > FRAMES_MAX;
}

static void h2_drain(struct fp_http_conn *c)
{
    struct fp_http2 *h = c->session;
    if (h->streams_n)
        start_drain(c, FP_HTTP_CLOSE_DRAIN);
    else
        end_now(c, FP_HTTP_CLOSE_DRAIN);
    fp_http_conn_kick(c);
}

static void h2_close(struct fp_http_conn *c)
{
    struct fp_http2 *h = c->session;
    struct fp_list *n;
    while ((n = h->streams.next) != &h->streams)
        fp_http2_stream_close(FP_CONTAINER(n, struct fp_http_stream, link));
    c->session = NULL;
    c->proto = NULL;
    nghttp2_session_del(h->ng);
    fp_mem_free(h);
}

const struct fp_http_proto fp_http2_proto = {
    .open = h2_open,
    .on_bytes = h2_on_bytes,
    .on_eof = h2_on_eof,
    .resume = h2_resume,
    .produce = h2_produce,
    .on_written = h2_on_written,
    .respond = fp_http2_stream_respond,
    .on_deadline = h2_on_deadline,
    .crowded = h2_crowded,
    .drain = h2_drain,
    .close = h2_close,
};
