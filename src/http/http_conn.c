/*
 * One connection, in workers: transport (socket or TLS), choice of the protocol, deadlines, the
 * flush loop, and the single exit.  Knows no HTTP beyond the client preface; never blocks, and
 * holds no buffer while idle.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/core_rand.h"
#include "http/http_int.h"

#define SAID_LINES 5 /* about one reason, in: */
#define SAID_MS    10000

#define HANDSHAKE_FAILED "TLS handshake failed"

#define PREFACE FP_STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

/* ---- deadlines: one timer, due no later than the earliest ---- */

static void arm(struct fp_http_conn *c)
{
    uint64_t first = 0;
    for (int i = 0; i < FP_HTTP_DL_N; i++)
        if (c->deadline_ms[i] && (!first || c->deadline_ms[i] < first))
            first = c->deadline_ms[i];
    if (!first || (fp_timer_running(&c->timer) && c->timer.due_ms <= first))
        return; /* a timer that is early finds nothing due and comes back here */
    uint64_t now = fp_http_now(c);
    fp_timer_start(c->server->loop, &c->timer, first > now ? first - now : 0);
}

void fp_http_conn_deadline(struct fp_http_conn *c, enum fp_http_deadline which, uint64_t after_ms)
{
    if (c->closed)
        return;
    c->deadline_ms[which] = after_ms ? fp_http_now(c) + after_ms : 0;
    if (after_ms)
        arm(c);
}

/* ---- end ---- */

/* May a line about this reason be written?  *more: those that were not since the last one. */
static bool may_say(struct fp_http_conn *c, enum fp_http_close_reason reason, uint64_t *more)
{
    struct fp_http_said *said = &c->server->said[reason];
    uint64_t now = fp_http_now(c);
    if (!said->lines || now - said->since_ms >= SAID_MS)
        *said = (struct fp_http_said){.since_ms = now, .more = said->more};
    if (said->lines >= SAID_LINES) {
        said->more++;
        return false;
    }
    *more = said->more;
    said->more = 0;
    said->lines++;
    return true;
}

static void say(struct fp_http_conn *c, enum fp_http_close_reason reason, const char *message)
{
    char peer[FP_ADDR_TEXT_BYTES];
    uint64_t more;
    size_t n = 1;
    if (!fp_log_on(FP_LOG_WARN, c->server->log_target) || !may_say(c, reason, &more))
        return;
    struct fp_log_field fields[4] = {FP_LOG_S("remote", fp_str_of(fp_addr_text(&c->peer, peer)))};
    if (reason != FP_HTTP_CLOSE_TLS)
        fields[n++] = FP_LOG_S("reason", fp_str_of(fp_http_close_reason_name(reason)));
    if (c->why)
        fields[n++] = FP_LOG_S("error", fp_str_of(c->why));
    if (more)
        fields[n++] = FP_LOG_I("suppressed", (int64_t)more);
    fp_log_write(FP_LOG_WARN, c->server->log_target, fields, n, "%s", message);
}

/* What an operator asks for when a proxy keeps reconnecting, or when somebody plays with us. */
static bool telling(enum fp_http_close_reason reason)
{
    return reason == FP_HTTP_CLOSE_SLOW_READ || reason == FP_HTTP_CLOSE_KEEPALIVE ||
           reason == FP_HTTP_CLOSE_EXPIRED || reason == FP_HTTP_CLOSE_PROTOCOL ||
           reason == FP_HTTP_CLOSE_SLOW_HEAD || reason == FP_HTTP_CLOSE_SLOW_BODY;
}

static void log_close(struct fp_http_conn *c, enum fp_http_close_reason reason)
{
    if (reason == FP_HTTP_CLOSE_TLS && c->handshaking)
        say(c, reason, HANDSHAKE_FAILED);
    else if (telling(reason))
        say(c, reason, "connection closed");
    else
        fp_log_debug(c->server->log_target, "connection closed: %s",
                     fp_http_close_reason_name(reason));
}

void fp_http_conn_close(struct fp_http_conn *c, enum fp_http_close_reason reason)
{
    if (c->closed)
        return;
    struct fp_http_server *s = c->server;
    if (c->closing && reason == FP_HTTP_CLOSE_RESET)
        reason = c->reason; /* it was ending already */
    c->closed = true;
    c->reason = reason;
    s->closed[reason]++;
    log_close(c, reason);
    fp_timer_stop(&c->timer);
    fp_task_cancel(&c->task);
    fp_io_stop(&c->io);
    if (c->proto)
        c->proto->close(c);
    if (c->tls)
        fp_tls_conn_shutdown(c->tls);
    if (reason == FP_HTTP_CLOSE_SLOW_READ) /* else the kernel keeps up to 4 MB for minutes */
        setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
                   sizeof(struct linger));
    close(c->io.fd);
    fp_list_remove(&c->link);
    fp_list_push_back(&s->dead, &c->link);
    s->conns_n--;
    fp_task_defer(s->loop, &s->reap);
    fp_http_server_left(s);
}

void fp_http_conn_finish(struct fp_http_conn *c, enum fp_http_close_reason reason, bool linger)
{
    if (c->closed || c->closing)
        return;
    c->closing = true;
    c->reason = reason;
    c->linger = linger;
    for (int i = 0; i < FP_HTTP_DL_N; i++)
        if (i != FP_HTTP_DL_WRITE)
            c->deadline_ms[i] = 0;
    if (!c->deadline_ms[FP_HTTP_DL_WRITE]) /* the last words, too, must be taken in time */
        fp_http_conn_deadline(c, FP_HTTP_DL_WRITE, c->server->limits.write_timeout_ms);
}

/* ---- writing ---- */

static bool crowded(struct fp_http_conn *c)
{
    return c->proto && !c->closing && c->proto->crowded(c);
}

void fp_http_conn_watch(struct fp_http_conn *c)
{
    unsigned want = c->eof || crowded(c) ? 0 : FP_IO_READ;
    if (c->handshaking)
        want = fp_tls_conn_wants(c->tls);
    else if (c->blocked || c->again || (c->read_again && want))
        want |= FP_IO_WRITE;
    if (want != c->io.events)
        fp_io_watch(c->server->loop, &c->io, want);
}

static void write_failed(struct fp_http_conn *c, int rc)
{
    fp_http_conn_close(c, rc <= FP_ERR_PROTOCOL ? FP_HTTP_CLOSE_TLS : FP_HTTP_CLOSE_RESET);
}

/* Goes on when the socket takes more; also after a turn's worth, for which it may take none. */
static void await_room(struct fp_http_conn *c, bool *state)
{
    if (!*state)
        c->write_ms = fp_http_now(c);
    *state = true;
    if (!c->deadline_ms[FP_HTTP_DL_WRITE])
        fp_http_conn_deadline(c, FP_HTTP_DL_WRITE, c->server->limits.write_timeout_ms);
    fp_http_conn_watch(c);
}

static void written(struct fp_http_conn *c)
{
    c->blocked = false;
    if (c->proto)
        c->proto->on_written(c);
    if (c->closed)
        return;
    if (c->closing && (!c->linger || c->eof)) {
        fp_http_conn_close(c, c->reason);
        return;
    }
    if (c->closing) {
        if (c->tls)
            fp_tls_conn_shutdown(c->tls);
        shutdown(c->io.fd, SHUT_WR);
        c->lingering = true;
        fp_http_conn_deadline(c, FP_HTTP_DL_LINGER, FP_HTTP_LINGER_MS);
    }
    fp_http_conn_watch(c);
}

/* Output that nobody has taken for the whole write timeout ends the connection (L-2). */
static void check_write(struct fp_http_conn *c)
{
    uint64_t timeout = c->server->limits.write_timeout_ms, now = fp_http_now(c);
    bool waits = c->blocked || c->again;
    if (waits && now - c->write_ms >= timeout)
        fp_http_conn_close(c, FP_HTTP_CLOSE_SLOW_READ);
    else if (waits)
        fp_http_conn_deadline(c, FP_HTTP_DL_WRITE, c->write_ms + timeout - now);
    else if (c->proto)
        c->proto->on_deadline(c, FP_HTTP_DL_WRITE);
}

void fp_http_conn_flush(struct fp_http_conn *c)
{
    struct fp_http_batch *b = &c->server->batch;
    size_t total = 0;
    int rc = 0;
    if (c->closed || c->handshaking || c->lingering)
        return;
    c->again = false;
    if (c->left)
        rc = fp_http_conn_send_left(c);
    while (!rc && c->proto && total < FP_HTTP_TURN_BYTES) {
        c->proto->produce(c, b);
        if (c->closed) {
            fp_http_batch_clear(b);
            return;
        }
        if (!b->n)
            break;
        total += b->bytes;
        rc = fp_http_conn_send(c, b);
    }
    if (!rc && c->tls)
        rc = fp_tls_conn_flush(c->tls);
    if (rc == -EAGAIN) {
        await_room(c, &c->blocked);
    } else if (rc) {
        write_failed(c, rc);
    } else if (total >= FP_HTTP_TURN_BYTES) {
        await_room(c, &c->again);
    } else {
        written(c);
    }
}

/* Half a handshake, half a preface, or not a byte. */
static void nothing_said(struct fp_http_conn *c)
{
    bool silent = !c->handshaking && !c->in.len;
    c->why = c->handshaking ? "not complete in time" : "the preface did not arrive in time";
    fp_http_conn_close(c, silent           ? FP_HTTP_CLOSE_IDLE
                          : c->handshaking ? FP_HTTP_CLOSE_TLS
                                           : FP_HTTP_CLOSE_SLOW_HEAD);
}

static void on_timer(struct fp_timer *t)
{
    struct fp_http_conn *c = t->arg;
    uint64_t now = fp_http_now(c);
    for (int i = 0; i < FP_HTTP_DL_N && !c->closed; i++) {
        if (!c->deadline_ms[i] || c->deadline_ms[i] > now)
            continue;
        c->deadline_ms[i] = 0;
        if (i == FP_HTTP_DL_LINGER)
            fp_http_conn_close(c, c->reason);
        else if (i == FP_HTTP_DL_EXPIRY)
            fp_http_conn_close(c, FP_HTTP_CLOSE_EXPIRED);
        else if (i == FP_HTTP_DL_WRITE)
            check_write(c);
        else if (c->proto)
            c->proto->on_deadline(c, (enum fp_http_deadline)i);
        else
            nothing_said(c);
    }
    if (c->closed)
        return;
    arm(c);
    fp_http_conn_flush(c);
}

static void on_task(struct fp_task *t)
{
    struct fp_http_conn *c = t->arg;
    if (!c->closed && c->proto)
        c->proto->resume(c);
    fp_http_conn_flush(c);
}

void fp_http_conn_kick(struct fp_http_conn *c)
{
    if (!c->closed)
        fp_task_defer(c->server->loop, &c->task);
}

/* ---- reading ---- */

static void speak(struct fp_http_conn *c, const struct fp_http_proto *p)
{
    c->proto = p;
    p->open(c);
}

/* Says once, in clear text, that this is the wrong kind of client; then closes. */
static void turn_away(struct fp_http_conn *c, enum fp_http_close_reason reason, int status,
                      const char *why)
{
    struct fp_buf out = {0};
    struct fp_http_bad bad;
    struct fp_http_chunk *body = fp_http_bad_make(c->server, status, why, &bad);
    fp_buf_printf(&out, "HTTP/1.1 %d %s\r\n", status, fp_http_reason_phrase(status));
    for (size_t i = 0; i < bad.headers_n; i++)
        fp_buf_printf(&out, "%.*s: %.*s\r\n", FP_STR_ARG(bad.headers[i].name),
                      FP_STR_ARG(bad.headers[i].value));
    fp_buf_append_c(&out, "connection: close\r\n\r\n");
    struct fp_http_batch *b = &c->server->batch;
    fp_http_batch_copy(b, out.data, out.len);
    for (uint32_t i = 0; i < body->segments_n; i++)
        fp_http_batch_copy(b, body->segments[i].data, body->segments[i].len);
    fp_http_chunk_unref(&body);
    fp_buf_fini(&out);
    c->why = why;
    fp_http_conn_finish(c, reason, true);
    int rc = fp_http_conn_send(c, b);
    if (rc && rc != -EAGAIN)
        write_failed(c, rc);
}

/* Which protocol?  The preface is 24 bytes that no HTTP/1 request can start with in full; its first
 * differing byte decides. */
static void sniff(struct fp_http_conn *c)
{
    size_t n = c->in.len < PREFACE.len ? c->in.len : PREFACE.len;
    bool same = memcmp(c->in.data, PREFACE.data, n) == 0;
    if (same && n < PREFACE.len)
        return;
    if (!same && c->server->limits.h2_only) {
        turn_away(c, FP_HTTP_CLOSE_PROTOCOL, 400, "this port speaks gRPC over HTTP/2 only");
        return;
    }
    speak(c, same ? &fp_http2_proto : &fp_http1_proto);
    struct fp_buf in = c->in;
    c->in = (struct fp_buf){0};
    c->proto->on_bytes(c, fp_buf_str(&in));
    fp_buf_fini(&in);
}

static void take(struct fp_http_conn *c, struct fp_str bytes)
{
    if (c->closing)
        return; /* discarded: the answer is under way (lingering close) */
    if (c->proto) {
        c->proto->on_bytes(c, bytes);
        return;
    }
    fp_buf_append_str(&c->in, bytes);
    sniff(c);
}

static ssize_t read_some(struct fp_http_conn *c)
{
    if (c->tls)
        return fp_tls_conn_read(c->tls, c->server->scratch, FP_HTTP_READ_BYTES);
    ssize_t n;
    do
        n = recv(c->io.fd, c->server->scratch, FP_HTTP_READ_BYTES, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void at_eof(struct fp_http_conn *c)
{
    c->eof = true;
    if (c->lingering)
        fp_http_conn_close(c, c->reason);
    else if (c->closing)
        return; /* the answer is still under way; the flush that follows ends it */
    else if (!c->proto)
        fp_http_conn_close(c, FP_HTTP_CLOSE_PEER);
    else
        c->proto->on_eof(c);
}

static void read_all(struct fp_http_conn *c)
{
    size_t total = 0;
    c->read_again = false;
    while (!c->closed && !c->eof && total < FP_HTTP_TURN_BYTES) {
        if (crowded(c)) {
            c->read_again = c->tls != NULL;
            return;
        }
        ssize_t n = read_some(c);
        if (n == -EAGAIN)
            return;
        if (n < 0) {
            fp_http_conn_close(c, n <= FP_ERR_PROTOCOL ? FP_HTTP_CLOSE_TLS : FP_HTTP_CLOSE_RESET);
            return;
        }
        if (n == 0) {
            at_eof(c);
            return;
        }
        c->last_read_ms = fp_http_now(c);
        c->deadline_ms[FP_HTTP_DL_PONG] = 0; /* it lives */
        total += (size_t)n;
        take(c, fp_str_n(c->server->scratch, (size_t)n));
        if (!c->tls && n < FP_HTTP_READ_BYTES)
            return;
    }
    if (c->tls && total >= FP_HTTP_TURN_BYTES)
        c->read_again = true; /* OpenSSL may hold more: epoll would not tell */
}

/* ---- TLS ---- */

/* A client that speaks HTTP in clear text gets its answer in clear text (contract §2.1). */
static bool is_clear_text(struct fp_http_conn *c)
{
    char first;
    if (c->last_read_ms || recv(c->io.fd, &first, 1, MSG_PEEK) != 1)
        return false;
    c->last_read_ms = fp_http_now(c);
    return first >= 'A' && first <= 'Z';
}

static void watch_expiry(struct fp_http_conn *c)
{
    int64_t end = fp_tls_conn_not_after_ms(c->tls), now = fp_clock_wall_ms();
    if (end)
        fp_http_conn_deadline(c, FP_HTTP_DL_EXPIRY, end > now ? (uint64_t)(end - now) : 1);
}

static bool shake(struct fp_http_conn *c)
{
    if (is_clear_text(c)) {
        fp_tls_conn_free(&c->tls);
        c->handshaking = false;
        c->why = "clear-text HTTP on a TLS port";
        say(c, FP_HTTP_CLOSE_TLS, HANDSHAKE_FAILED);
        turn_away(c, FP_HTTP_CLOSE_TLS, 400, "this port needs TLS");
        return true;
    }
    int rc = fp_tls_conn_handshake(c->tls);
    if (rc == -EAGAIN) {
        fp_http_conn_watch(c);
        return false;
    }
    struct fp_str alpn = rc ? FP_STR_NULL : fp_tls_conn_alpn(c->tls);
    if (rc)
        c->why = fp_tls_conn_why(c->tls);
    else if (!alpn.data && c->server->limits.h2_only)
        c->why = "the client did not offer ALPN h2";
    if (c->why) {
        fp_http_conn_close(c, FP_HTTP_CLOSE_TLS);
        return false;
    }
    c->handshaking = false;
    watch_expiry(c);
    if (fp_str_eq_c(alpn, "h2"))
        speak(c, &fp_http2_proto);
    else if (fp_str_eq_c(alpn, "http/1.1"))
        speak(c, &fp_http1_proto);
    return true;
}

static void on_io(struct fp_io *io, unsigned events)
{
    struct fp_http_conn *c = io->arg;
    if (c->handshaking && !shake(c))
        return;
    if (events & (FP_IO_READ | FP_IO_ERROR) || c->read_again)
        read_all(c);
    if ((events & FP_IO_ERROR) && !c->closed && (!(c->io.events & FP_IO_READ) || c->eof))
        fp_http_conn_close(c, FP_HTTP_CLOSE_RESET); /* both directions are gone */
    fp_http_conn_flush(c);
}

/* ---- start ---- */

void fp_http_conn_open(struct fp_http_server *s, int fd, const struct fp_addr *peer,
                       struct fp_tls_context *tls)
{
    struct fp_http_conn *c = fp_mem_zalloc(sizeof *c);
    c->server = s;
    c->io = (struct fp_io){.fd = fd, .cb = on_io, .arg = c};
    c->timer = (struct fp_timer){.cb = on_timer, .arg = c};
    c->task = (struct fp_task){.cb = on_task, .arg = c};
    c->draining = s->draining;
    if (peer)
        c->peer = *peer;
    if (tls) {
        c->tls = fp_tls_conn_new(tls, fd);
        c->handshaking = true;
    }
    fp_list_push_back(&s->conns, &c->link);
    s->conns_n++;
    fp_http_conn_deadline(c, FP_HTTP_DL_HEAD, s->limits.header_timeout_ms);
    if (s->limits.max_age_ms)
        fp_http_conn_deadline(
            c, FP_HTTP_DL_AGE,
            fp_rand_jitter(s->limits.max_age_ms, s->limits.max_age_jitter_percent));
    fp_http_conn_watch(c);
}
