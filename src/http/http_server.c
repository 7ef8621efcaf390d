/*
 * The server of one port group, in workers: listeners, accepting, drain.  Never blocks in accept;
 * lack of descriptors pauses accepting and is said once.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "core/core_rand.h"
#include "http/http_int.h"
#include "os/os_process.h"

#define ACCEPTS_PER_TURN 16
#define ACCEPT_PAUSE_MS  500
#define DRAIN_TICKS      100
/* Descriptors that no connection takes, because a worker without one for the next snapshot cannot
 * follow; an eighth of them when there are few. */
#define FDS_KEPT 32

struct listener {
    struct fp_list link;
    struct fp_http_server *server;
    struct fp_io io;
    struct fp_tls_context *tls;
};

static const char *const reason_names[FP_HTTP_CLOSE_N] = {
    [FP_HTTP_CLOSE_PEER] = "peer",
    [FP_HTTP_CLOSE_RESET] = "reset",
    [FP_HTTP_CLOSE_DONE] = "done",
    [FP_HTTP_CLOSE_PROTOCOL] = "protocol",
    [FP_HTTP_CLOSE_TLS] = "tls",
    [FP_HTTP_CLOSE_SLOW_HEAD] = "slow_head",
    [FP_HTTP_CLOSE_SLOW_BODY] = "slow_body",
    [FP_HTTP_CLOSE_IDLE] = "idle",
    [FP_HTTP_CLOSE_SLOW_READ] = "slow_read",
    [FP_HTTP_CLOSE_KEEPALIVE] = "keepalive",
    [FP_HTTP_CLOSE_AGE] = "age",
    [FP_HTTP_CLOSE_DRAIN] = "drain",
    [FP_HTTP_CLOSE_REFUSED] = "refused",
    [FP_HTTP_CLOSE_EXPIRED] = "expired",
    [FP_HTTP_CLOSE_REVOKED] = "revoked",
};

const char *fp_http_close_reason_name(enum fp_http_close_reason r)
{
    FP_ASSERT(r < FP_HTTP_CLOSE_N);
    return reason_names[r];
}

static void reap(struct fp_task *t)
{
    struct fp_http_server *s = t->arg;
    struct fp_list *n;
    while ((n = fp_list_pop_front(&s->dead))) {
        struct fp_http_conn *c = FP_CONTAINER(n, struct fp_http_conn, link);
        fp_http_left_free(&c->left);
        fp_buf_fini(&c->in);
        fp_tls_conn_free(&c->tls);
        fp_mem_free(c);
    }
}

/* ---- accepting ---- */

static void watch_listeners(struct fp_http_server *s, bool on)
{
    FP_LIST_FOREACH (n, &s->listeners) {
        struct listener *l = FP_CONTAINER(n, struct listener, link);
        if (on)
            fp_io_watch(s->loop, &l->io, FP_IO_READ);
        else
            fp_io_stop(&l->io);
    }
}

/* The lowest descriptor that is free is the one that the next connection gets. */
static bool fds_left(const struct fp_http_server *s, int any_fd)
{
    int fd = fcntl(any_fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0 && fd < s->fds_max;
}

static void accept_again(struct fp_timer *t)
{
    struct fp_http_server *s = t->arg;
    struct listener *l = FP_CONTAINER(s->listeners.next, struct listener, link);
    if (s->draining)
        return;
    if (fds_left(s, l->io.fd))
        watch_listeners(s, true);
    else
        fp_timer_start(s->loop, t, ACCEPT_PAUSE_MS);
}

static void pause_accepting(struct fp_http_server *s, int err)
{
    if (!s->accept_failing)
        fp_log_error(s->log_target, "Cannot accept connections: %s; trying again every %d ms",
                     fp_err_text(err), ACCEPT_PAUSE_MS);
    s->accept_failing = true;
    watch_listeners(s, false);
    fp_timer_start(s->loop, &s->accept_timer, ACCEPT_PAUSE_MS);
}

static void recovered(struct fp_http_server *s)
{
    if (!s->accept_failing)
        return;
    s->accept_failing = false;
    fp_log_info(s->log_target, "Accepting connections again");
}

static void refuse(struct fp_http_server *s, int fd)
{
    uint64_t now = fp_loop_now_ms(s->loop);
    s->closed[FP_HTTP_CLOSE_REFUSED]++;
    close(fd);
    if (s->refused_log_ms && now - s->refused_log_ms < 60000)
        return;
    s->refused_log_ms = now;
    fp_log_warn(s->log_target, "Connection refused: max_connections (%zu) reached",
                s->limits.max_connections);
}

static void on_acceptable(struct fp_io *io, unsigned events)
{
    struct listener *l = io->arg;
    struct fp_http_server *s = l->server;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct fp_addr peer;
        int fd = fp_socket_accept(io->fd, &peer);
        if (fd == -EAGAIN) {
            recovered(s); /* not before: a single free descriptor is soon gone again */
            return;
        }
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
            pause_accepting(s, fd);
            return;
        }
        if (fd < 0) /* ECONNABORTED and network errors belong to that one connection */
            continue;
        bool last = fd >= s->fds_max;
        if (s->limits.max_connections && s->conns_n >= s->limits.max_connections)
            refuse(s, fd);
        else
            fp_http_conn_open(s, fd, &peer, l->tls);
        if (last) {
            pause_accepting(s, -EMFILE);
            return;
        }
    }
}

void fp_http_server_listen(struct fp_http_server *s, int listen_fd, struct fp_tls_context *tls)
{
    struct listener *l = fp_mem_zalloc(sizeof *l);
    l->server = s;
    l->tls = tls ? fp_tls_context_ref(tls) : NULL;
    l->io = (struct fp_io){.fd = listen_fd, .cb = on_acceptable, .arg = l};
    fp_list_push_back(&s->listeners, &l->link);
    fp_io_watch(s->loop, &l->io, FP_IO_READ);
}

void fp_http_server_accept(struct fp_http_server *s, int fd, const struct fp_addr *peer,
                           struct fp_tls_context *tls)
{
    fp_http_conn_open(s, fd, peer, tls);
}

size_t fp_http_server_tls_set(struct fp_http_server *s, struct fp_tls_context *tls)
{
    uint64_t before = s->closed[FP_HTTP_CLOSE_REVOKED];
    FP_LIST_FOREACH (n, &s->listeners) {
        struct listener *l = FP_CONTAINER(n, struct listener, link);
        if (!l->tls)
            continue;
        fp_tls_context_unref(&l->tls);
        l->tls = fp_tls_context_ref(tls);
    }
    FP_LIST_FOREACH_SAFE (n, &s->conns) {
        struct fp_http_conn *c = FP_CONTAINER(n, struct fp_http_conn, link);
        if (c->tls && c->handshaking)
            fp_http_conn_close(c, FP_HTTP_CLOSE_TLS);
        else if (c->tls && !fp_tls_conn_still_good(c->tls, tls))
            fp_http_conn_close(c, FP_HTTP_CLOSE_REVOKED);
    }
    return (size_t)(s->closed[FP_HTTP_CLOSE_REVOKED] - before);
}

/* ---- drain ---- */

static void drained(struct fp_task *t)
{
    struct fp_http_server *s = t->arg;
    void (*done)(void *) = s->drain_done;
    s->drain_done = NULL;
    fp_timer_stop(&s->drain_timer);
    if (done)
        done(s->drain_arg);
}

void fp_http_server_left(struct fp_http_server *s)
{
    if (s->accept_failing && fp_timer_running(&s->accept_timer))
        fp_timer_start(s->loop, &s->accept_timer, 1); /* a descriptor is free again */
    if (s->draining && !s->conns_n)
        fp_task_defer(s->loop, &s->drain_task);
}

/* Streams end evenly over nine tenths of the budget: a client reconnects within a moment of its
 * close, so all at once would be a storm on whoever takes over (T-16). */
static void drain_tick(struct fp_timer *t)
{
    struct fp_http_server *s = t->arg;
    if (!s->drain_ticks) {
        FP_LIST_FOREACH_SAFE (n, &s->conns)
            fp_http_conn_close(FP_CONTAINER(n, struct fp_http_conn, link), FP_HTTP_CLOSE_DRAIN);
        return;
    }
    if (s->drain_ticks > DRAIN_TICKS / 10) {
        unsigned left = s->drain_ticks - DRAIN_TICKS / 10;
        size_t n = (s->streams_n + fp_rand_below(left)) / left;
        while (n-- && !fp_list_empty(&s->streams))
            fp_http_stream_drain(s->streams.next);
    }
    s->drain_ticks--;
    fp_timer_start(s->loop, &s->drain_timer, s->drain_step_ms);
}

void fp_http_server_drain(struct fp_http_server *s, uint64_t budget_ms, void (*done)(void *arg),
                          void *arg)
{
    bool again = s->draining; /* TERM during QUIT: the same with another budget */
    if (again && !s->drain_done)
        return;
    s->draining = true;
    s->drain_done = done;
    s->drain_arg = arg;
    fp_timer_stop(&s->accept_timer);
    /* those that are queued here already would be reset with the socket */
    FP_LIST_FOREACH (n, &s->listeners) {
        struct listener *l = FP_CONTAINER(n, struct listener, link);
        size_t before;
        do {
            before = s->conns_n;
            if (!again && l->io.events)
                on_acceptable(&l->io, FP_IO_READ);
        } while (s->conns_n >= before + ACCEPTS_PER_TURN);
    }
    watch_listeners(s, false);
    /* One that has not said a word stays: its first request may be on its way, and would meet a
     * reset at each reload.  Its header timeout ends it. */
    FP_LIST_FOREACH_SAFE (n, &s->conns) {
        struct fp_http_conn *c = FP_CONTAINER(n, struct fp_http_conn, link);
        c->draining = true;
        if (c->proto && !c->closing && !again)
            c->proto->drain(c);
    }
    if (!s->conns_n)
        fp_task_defer(s->loop, &s->drain_task);
    s->drain_ticks = DRAIN_TICKS;
    s->drain_step_ms = budget_ms / DRAIN_TICKS + 1;
    fp_timer_start(s->loop, &s->drain_timer, s->drain_step_ms);
}

/* ---- life ---- */

struct fp_http_server *fp_http_server_new(struct fp_loop *loop, const struct fp_http_limits *limits,
                                          const struct fp_http_handlers *handlers)
{
    struct fp_http_server *s = fp_mem_zalloc(sizeof *s);
    s->loop = loop;
    size_t fds = fp_process_nofile_now();
    s->fds_max = (int)(fds - (fds / 8 < FDS_KEPT ? fds / 8 : FDS_KEPT));
    s->limits = *limits;
    s->handlers = *handlers;
    s->log_target = limits->h2_only ? FP_LOG_XDS : FP_LOG_API;
    fp_list_init(&s->listeners);
    fp_list_init(&s->conns);
    fp_list_init(&s->dead);
    fp_list_init(&s->streams);
    s->reap = (struct fp_task){.cb = reap, .arg = s};
    s->drain_task = (struct fp_task){.cb = drained, .arg = s};
    s->accept_timer = (struct fp_timer){.cb = accept_again, .arg = s};
    s->drain_timer = (struct fp_timer){.cb = drain_tick, .arg = s};
    return s;
}

size_t fp_http_server_connections(const struct fp_http_server *s)
{
    return s->conns_n;
}

uint64_t fp_http_server_closed(const struct fp_http_server *s, enum fp_http_close_reason r)
{
    FP_ASSERT(r < FP_HTTP_CLOSE_N);
    return s->closed[r];
}

void fp_http_server_free(struct fp_http_server **sp)
{
    struct fp_http_server *s = *sp;
    *sp = NULL;
    if (!s)
        return;
    FP_LIST_FOREACH_SAFE (n, &s->conns)
        fp_http_conn_close(FP_CONTAINER(n, struct fp_http_conn, link), FP_HTTP_CLOSE_DRAIN);
    struct fp_list *n;
    while ((n = fp_list_pop_front(&s->listeners))) {
        struct listener *l = FP_CONTAINER(n, struct listener, link);
        fp_io_stop(&l->io);
        fp_tls_context_unref(&l->tls);
        fp_mem_free(l);
    }
    fp_task_cancel(&s->reap);
    fp_task_cancel(&s->drain_task);
    fp_timer_stop(&s->accept_timer);
    fp_timer_stop(&s->drain_timer);
    reap(&s->reap);
    fp_http2_shared_free(&s->http2);
    fp_mem_free(s);
}
