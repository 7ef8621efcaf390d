/*
 * A POST over HTTP/1.1, one connection each, on the loop.  Only the status of the answer is of
 * interest.  Runs in workers and the watcher; never blocks, never asks the resolver.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "core/core_err.h"
#include "obs/obs_export_int.h"

void obs_post_stop(struct export_post *p)
{
    if (!p->busy)
        return;
    p->busy = false;
    fp_timer_stop(&p->timer);
    fp_io_stop(&p->io);
    if (p->io.fd >= 0)
        close(p->io.fd);
    p->io.fd = -1;
}

static void finish(struct export_post *p, int status)
{
    obs_post_stop(p);
    p->done(status, p->arg);
}

/* "HTTP/1.1 200 …": the status once the line is there, 0 before, negative when it is none. */
static int status_of(struct fp_str answer)
{
    const char *p = answer.data;
    if (answer.len < sizeof("HTTP/1.1 200") - 1)
        return 0;
    if (memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ')
        return FP_ERR_PROTOCOL;
    uint64_t status;
    if (!fp_str_to_u64(fp_str_n(p + 9, 3), &status) || status < 100)
        return FP_ERR_PROTOCOL;
    return (int)status;
}

static void receive(struct export_post *p)
{
    for (;;) {
        ssize_t n = recv(p->io.fd, p->answer + p->got, sizeof(p->answer) - p->got, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            finish(p, -errno);
            return;
        }
        p->got += (size_t)n;
        int status = status_of(fp_str_n(p->answer, p->got));
        /* to the end of the head, or of what fits: the rest says nothing we need */
        if (status < 0 || (status && (n == 0 || p->got == sizeof(p->answer) ||
                                      memmem(p->answer, p->got, "\r\n\r\n", 4)))) {
            finish(p, status);
            return;
        }
        if (n == 0) {
            finish(p, FP_ERR_CLOSED);
            return;
        }
    }
}

static void transmit(struct export_post *p)
{
    while (p->sent < p->request.len) {
        ssize_t n =
            send(p->io.fd, p->request.data + p->sent, p->request.len - p->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            finish(p, -errno);
            return;
        }
        p->sent += (size_t)n;
    }
    fp_io_watch(p->loop, &p->io, FP_IO_READ);
}

static void on_io(struct fp_io *io, unsigned events)
{
    struct export_post *p = io->arg;
    if (!p->connected) {
        int err = 0;
        socklen_t n = sizeof(err);
        if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &err, &n) || err) {
            finish(p, err ? -err : -errno);
            return;
        }
        p->connected = true;
    }
    /* an early answer (413) may come while we still send */
    if (events & (FP_IO_READ | FP_IO_ERROR)) {
        receive(p);
        if (!p->busy)
            return;
    }
    if (events & FP_IO_WRITE)
        transmit(p);
}

static void on_timeout(struct fp_timer *t)
{
    finish(t->arg, -ETIMEDOUT);
}

/* Its owner is told of a failure from the loop, as of any other end. */
static void on_refused(struct fp_timer *t)
{
    struct export_post *p = t->arg;
    finish(p, -(int)p->got);
}

void obs_post_start(struct export_post *p, const struct fp_addr *to, struct fp_str request)
{
    FP_ASSERT(!p->busy);
    p->busy = true;
    p->connected = false;
    p->sent = p->got = 0;
    p->request = request;
    p->timer = (struct fp_timer){.cb = on_timeout, .arg = p};
    p->io = (struct fp_io){.cb = on_io, .arg = p};
    p->io.fd = socket(to->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->io.fd < 0 ||
        (connect(p->io.fd, (const struct sockaddr *)&to->ss, to->len) && errno != EINPROGRESS)) {
        p->got = (size_t)errno;
        p->timer.cb = on_refused;
        fp_timer_start(p->loop, &p->timer, 0);
        return;
    }
    fp_io_watch(p->loop, &p->io, FP_IO_READ | FP_IO_WRITE);
    fp_timer_start(p->loop, &p->timer, p->timeout_ms);
}
