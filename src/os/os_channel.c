/*
 * Channels between the master and its children.  The kernel keeps frames apart (SEQPACKET); this
 * file checks each against one table, moves at most one descriptor, and queues what does not fit.
 * Never blocks, never leaks a descriptor that a peer slipped in.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "core/core_str.h"
#include "os/os_channel.h"

struct head {
    uint16_t type, reserved;
    uint32_t length; /* of the payload; checked against what arrived */
};

/* What each frame must look like, both when it is sent and when it comes in. */
static const struct {
    size_t min, max;
    bool fd;
} shapes[FP_FRAME_TYPE_N] = {
    [FP_FRAME_READY] = {0, 0, false},
    [FP_FRAME_SNAPSHOT] = {16, 16, true},
    [FP_FRAME_FILE] = {1, 255, true},
    [FP_FRAME_FILES_END] = {0, 0, false},
    [FP_FRAME_LOG] = {0, 0, true},
    [FP_FRAME_DRAIN] = {8, 8, false},
    [FP_FRAME_STOP] = {0, 0, false},
    [FP_FRAME_HEARTBEAT] = {0, 0, false},
    [FP_FRAME_FATAL] = {0, FP_FRAME_MAX_BYTES, false},
    [FP_FRAME_DRAINING] = {0, 0, false},
};

enum {
    FRAMES_PER_TURN = 32, /* then other watchers get their turn */
    FDS_MAX = 4,          /* room for descriptors that should not be there, to close them */
    RETRY_MS = 20,        /* when the kernel lacks memory or has too many descriptors in flight */
};

struct frame { /* queued */
    struct fp_list link;
    int fd;
    struct head head;
    char payload[];
};

struct fp_channel {
    struct fp_loop *loop;
    struct fp_io io; /* fd is -1 once closed */
    struct fp_timer retry;
    fp_channel_cb cb;
    void *arg;
    struct fp_list
        queue;   /* of frames, oldest first; WRITE is watched or retry runs while not empty */
    bool *freed; /* set while a callback runs: tells the reader that the channel is gone */
};

int fp_channel_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) ? -errno : 0;
}

static bool shape_holds(unsigned type, size_t n, bool has_fd)
{
    return type > FP_FRAME_GONE && type < FP_FRAME_TYPE_N && n >= shapes[type].min &&
           n <= shapes[type].max && has_fd == shapes[type].fd;
}

static void drop_front(struct fp_channel *ch)
{
    struct frame *f = FP_CONTAINER(fp_list_pop_front(&ch->queue), struct frame, link);
    if (f->fd >= 0)
        close(f->fd);
    fp_mem_free(f);
}

static void shut(struct fp_channel *ch)
{
    fp_io_stop(&ch->io);
    fp_timer_stop(&ch->retry);
    while (!fp_list_empty(&ch->queue))
        drop_front(ch);
    if (ch->io.fd >= 0)
        close(ch->io.fd);
    ch->io.fd = -1;
}

/* 0 or -errno */
static int send_frame(int sock, const struct frame *f)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec iov = {(void *)(uintptr_t)&f->head, sizeof(f->head) + f->head.length};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (f->fd >= 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &f->fd, sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static bool transient(int err)
{
    return err == -ENOBUFS || err == -ENOMEM || err == -ETOOMANYREFS;
}

/* Sends what the socket takes.  A dead peer is left to the reader, which sees its end. */
static void pump(struct fp_channel *ch)
{
    int err = 0;
    while (!fp_list_empty(&ch->queue)) {
        err = send_frame(ch->io.fd, FP_CONTAINER(ch->queue.next, struct frame, link));
        if (err == -EAGAIN || transient(err))
            break;
        drop_front(ch);
    }
    bool waiting = !fp_list_empty(&ch->queue);
    fp_io_watch(ch->loop, &ch->io, FP_IO_READ | (waiting && err == -EAGAIN ? FP_IO_WRITE : 0));
    if (waiting && transient(err))
        fp_timer_start(ch->loop, &ch->retry, RETRY_MS);
}

static void on_retry(struct fp_timer *t)
{
    pump(t->arg);
}

void fp_channel_send(struct fp_channel *ch, enum fp_frame_type type, const void *payload, size_t n,
                     int fd)
{
    FP_ASSERT(shape_holds(type, n, fd >= 0));
    if (ch->io.fd < 0) { /* closed, and the owner was told */
        if (fd >= 0)
            close(fd);
        return;
    }
    struct frame *f = fp_mem_alloc(sizeof(*f) + n);
    *f = (struct frame){.fd = fd, .head = {(uint16_t)type, 0, (uint32_t)n}};
    if (n)
        memcpy(f->payload, payload, n);
    bool idle = fp_list_empty(&ch->queue);
    fp_list_push_back(&ch->queue, &f->link);
    if (idle)
        pump(ch);
}

void fp_channel_flush(struct fp_channel *ch, unsigned timeout_ms)
{
    uint64_t end = fp_clock_mono_ms() + timeout_ms, now;
    while (ch->io.fd >= 0 && !fp_list_empty(&ch->queue)) {
        pump(ch);
        now = fp_clock_mono_ms();
        if (fp_list_empty(&ch->queue) || now >= end)
            return;
        bool retry = fp_timer_running(&ch->retry);
        struct pollfd p = {ch->io.fd, POLLOUT, 0};
        poll(&p, retry ? 0 : 1, retry ? RETRY_MS : (int)(end - now));
        if (p.revents & (POLLERR | POLLHUP))
            return;
    }
}

/* The descriptors of a message; only a lone one is legal. */
static size_t take_fds(struct msghdr *m, int fds[FDS_MAX])
{
    size_t n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t bytes = c->cmsg_len - CMSG_LEN(0);
        for (size_t at = 0; at + sizeof(int) <= bytes && n < FDS_MAX; at += sizeof(int))
            memcpy(&fds[n++], CMSG_DATA(c) + at, sizeof(int));
    }
    return n;
}

struct incoming {
    struct head head;
    char payload[FP_FRAME_MAX_BYTES];
};

/* One frame.  1: got it; 0: nothing there now; negative: the peer is gone or broke the protocol.
 * A peer that left with frames unread is first reported as a reset, once; what it sent follows. */
static int receive(int sock, struct incoming *in, int *fd)
{
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {in, sizeof(*in)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    int fds[FDS_MAX], resets = 0;
    ssize_t n;
    do
        n = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && (errno == EINTR || (errno == ECONNRESET && resets++ == 0)));
    if (n < 0)
        return errno == EAGAIN ? 0 : -errno;
    size_t fds_n = take_fds(&m, fds);
    *fd = fds_n == 1 ? fds[0] : -1;
    if (n == 0 && fds_n == 0)
        return -ECONNRESET; /* end of file */
    if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || fds_n > 1 || (size_t)n < sizeof(in->head) ||
        in->head.reserved != 0 || in->head.length != (size_t)n - sizeof(in->head) ||
        !shape_holds(in->head.type, in->head.length, fds_n == 1)) {
        for (size_t i = 0; i < fds_n; i++)
            close(fds[i]);
        return -EPROTO;
    }
    return 1;
}

static void on_event(struct fp_io *io, unsigned events)
{
    struct fp_channel *ch = io->arg;
    struct incoming in;
    bool freed = false;
    int fd = -1, got = 1;
    if (events & FP_IO_WRITE)
        pump(ch);
    ch->freed = &freed;
    for (int i = 0; i < FRAMES_PER_TURN && (got = receive(io->fd, &in, &fd)) == 1; i++) {
        ch->cb(ch, in.head.type, in.payload, in.head.length, fd, ch->arg);
        if (freed)
            return;
    }
    if (got == 0 && (events & FP_IO_ERROR))
        got = -ECONNRESET;
    if (got < 0) {
        if (got == -EPROTO)
            fp_log_error(FP_LOG_MASTER, "malformed frame on a channel, closing it");
        shut(ch);
        ch->cb(ch, FP_FRAME_GONE, NULL, 0, -1, ch->arg);
    }
    if (!freed)
        ch->freed = NULL;
}

struct fp_channel *fp_channel_new(struct fp_loop *loop, int fd, fp_channel_cb cb, void *arg)
{
    struct fp_channel *ch = fp_mem_zalloc(sizeof(*ch));
    ch->loop = loop;
    ch->cb = cb;
    ch->arg = arg;
    ch->io = (struct fp_io){.fd = fd, .cb = on_event, .arg = ch};
    ch->retry = (struct fp_timer){.cb = on_retry, .arg = ch};
    fp_list_init(&ch->queue);
    fp_io_watch(loop, &ch->io, FP_IO_READ);
    return ch;
}

void fp_channel_free(struct fp_channel **chp)
{
    struct fp_channel *ch = *chp;
    *chp = NULL;
    if (!ch)
        return;
    if (ch->freed)
        *ch->freed = true;
    shut(ch);
    fp_mem_free(ch);
}
