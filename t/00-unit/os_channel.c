/* os_channel: frames, descriptors, full sockets, and every way a peer can misbehave. */
#include "../lib/tap.h"
#include <fcntl.h>
#include <sys/wait.h>
#include "event/event_fake.c"
#include "os/os_channel.c"

static struct fp_loop *loop;

struct seen {
    int n, gone, bad;
    enum fp_frame_type type; /* of the last */
    char text[64];
    int fd;
    bool free_it;
    struct fp_channel *ch;
};

static void on_frame(struct fp_channel *ch, enum fp_frame_type type, const void *payload, size_t n,
                     int fd, void *arg)
{
    struct seen *s = arg;
    (void)ch;
    s->type = type;
    if (type == FP_FRAME_GONE) {
        s->gone++;
        return;
    }
    if (type == FP_FRAME_DRAIN) { /* numbered, to check the order */
        uint64_t number;
        memcpy(&number, payload, sizeof(number));
        s->bad += number != (uint64_t)s->n;
    }
    s->n++;
    snprintf(s->text, sizeof(s->text), "%.*s", (int)n, (const char *)payload);
    s->fd = fd;
    if (s->free_it)
        fp_channel_free(&s->ch);
}

/* A channel at one end of a pair, the bare socket at the other. */
static int open_end(struct seen *s)
{
    int fds[2] = {-1, -1};
    *s = (struct seen){.fd = -1};
    if (fp_channel_pair(fds))
        diag("no pair");
    s->ch = fp_channel_new(loop, fds[0], on_frame, s);
    return fds[1];
}

static int fds_open(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void both_ways(void)
{
    struct seen a, b = {.fd = -1};
    int end = open_end(&a), p[2];
    b.ch = fp_channel_new(loop, end, on_frame, &b);
    fp_channel_send(a.ch, FP_FRAME_READY, NULL, 0, -1);
    fp_loop_fake_fire(&b.ch->io, FP_IO_READ);
    ok(b.n == 1 && b.type == FP_FRAME_READY && b.fd == -1, "a frame without payload");
    if (pipe2(p, O_CLOEXEC))
        return;
    fp_channel_send(b.ch, FP_FRAME_FILE, "xds.tls.key_path", 16, p[0]);
    ok(fcntl(p[0], F_GETFD) < 0, "a sent descriptor is taken over");
    fp_loop_fake_fire(&a.ch->io, FP_IO_READ);
    ok(a.n == 1 && a.type == FP_FRAME_FILE && a.fd >= 0, "a frame with a descriptor");
    is_str(a.text, "xds.tls.key_path", "its payload");
    ok(fcntl(a.fd, F_GETFD) & FD_CLOEXEC, "what arrives is close-on-exec");
    char c = 0;
    ok(write(p[1], "x", 1) == 1 && read(a.fd, &c, 1) == 1 && c == 'x', "it is the same pipe");
    close(a.fd);
    close(p[1]);
    fp_channel_free(&a.ch);
    fp_loop_fake_fire(&b.ch->io, FP_IO_READ | FP_IO_ERROR);
    is_int(b.gone, 1, "the end of the peer is told");
    fp_channel_send(b.ch, FP_FRAME_READY, NULL, 0, -1);
    int more = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fp_channel_send(b.ch, FP_FRAME_LOG, NULL, 0, more);
    ok(fcntl(more, F_GETFD) < 0, "sending into a closed channel drops frame and descriptor");
    fp_channel_flush(b.ch, 1000);
    fp_channel_free(&b.ch);
    fp_channel_free(&b.ch);
}

static void full_socket(void)
{
    enum { N = 3000 };
    struct seen a, b = {.fd = -1};
    int end = open_end(&a);
    for (uint64_t i = 0; i < N; i++)
        fp_channel_send(a.ch, FP_FRAME_DRAIN, &i, sizeof(i), -1);
    ok(!fp_list_empty(&a.ch->queue) && (a.ch->io.events & FP_IO_WRITE),
       "a full socket: the rest waits for WRITE");
    b.ch = fp_channel_new(loop, end, on_frame, &b);
    for (int i = 0; i < N && b.n < N; i++) {
        fp_loop_fake_fire(&b.ch->io, FP_IO_READ);
        fp_loop_fake_fire(&a.ch->io, FP_IO_WRITE);
    }
    ok(b.n == N && b.bad == 0, "%d of %d frames arrived, in order", b.n, N);
    is_int(a.ch->io.events, FP_IO_READ, "WRITE is not watched any more");
    fp_channel_free(&a.ch);
    fp_channel_free(&b.ch);
}

/* Another process reads n frames; its exit status is 0 when they came in order. */
static pid_t reader(int end, uint64_t n)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct incoming in;
    for (uint64_t i = 0, number; i < n;) {
        struct pollfd p = {end, POLLIN, 0};
        int fd;
        if (poll(&p, 1, 10000) != 1)
            _exit(1);
        for (; i < n && receive(end, &in, &fd) == 1; i++) {
            memcpy(&number, in.payload, sizeof(number));
            if (number != i)
                _exit(2);
        }
    }
    _exit(0);
}

static void last_words(void)
{
    enum { N = 2000 };
    struct seen a;
    int end = open_end(&a), status = -1;
    for (uint64_t i = 0; i < N; i++)
        fp_channel_send(a.ch, FP_FRAME_DRAIN, &i, sizeof(i), -1);
    fp_channel_flush(a.ch, 10);
    ok(!fp_list_empty(&a.ch->queue), "flush gives up when nobody reads");
    pid_t pid = reader(end, N);
    fp_channel_flush(a.ch, 10000);
    ok(fp_list_empty(&a.ch->queue), "flush waits while somebody reads");
    waitpid(pid, &status, 0);
    is_int(status, 0, "all %d frames arrived in order", N);
    fp_channel_free(&a.ch);
    close(end);
}

/* Who leaves with frames unread is reported by the kernel as a reset, before what it sent. */
static void last_words_unread(void)
{
    struct seen a, b = {.fd = -1};
    int end = open_end(&a);
    b.ch = fp_channel_new(loop, end, on_frame, &b);
    fp_channel_send(a.ch, FP_FRAME_STOP, NULL, 0, -1);
    fp_channel_send(b.ch, FP_FRAME_FATAL, "why", 3, -1);
    fp_channel_free(&b.ch);
    fp_loop_fake_fire(&a.ch->io, FP_IO_READ | FP_IO_ERROR);
    ok(a.n == 1 && a.gone == 1, "last words of a peer that left with frames unread: %d, gone: %d",
       a.n, a.gone);
    is_str(a.text, "why", "are what it said");
    fp_channel_free(&a.ch);
}

static void send_raw(int sock, const void *p, size_t n, int fds_n)
{
    union {
        char bytes[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec iov = {(void *)(uintptr_t)p, n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fds_n) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE((size_t)fds_n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){CMSG_LEN((size_t)fds_n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        for (int i = 0; i < fds_n; i++)
            memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &sock, sizeof(int));
    }
    if (sendmsg(sock, &m, MSG_NOSIGNAL) < 0)
        diag("sendmsg: errno %d", errno);
}

static void malformed(void)
{
    static const struct {
        const char *what;
        struct head head;
        size_t payload;
        int fds;
    } rows[] = {
        {"type 0", {0, 0, 0}, 0, 0},
        {"unknown type", {FP_FRAME_TYPE_N, 0, 0}, 0, 0},
        {"type 65535", {65535, 0, 0}, 0, 0},
        {"reserved not 0", {FP_FRAME_READY, 1, 0}, 0, 0},
        {"length too small", {FP_FRAME_FATAL, 0, 3}, 4, 0},
        {"length too big", {FP_FRAME_FATAL, 0, 5}, 4, 0},
        {"length 4 GiB", {FP_FRAME_FATAL, 0, UINT32_MAX}, 4, 0},
        {"payload where none belongs", {FP_FRAME_READY, 0, 1}, 1, 0},
        {"payload missing", {FP_FRAME_SNAPSHOT, 0, 8}, 8, 1},
        {"more than a frame may hold", {FP_FRAME_FATAL, 0, 5000}, 5000, 0},
        {"descriptor missing", {FP_FRAME_SNAPSHOT, 0, 16}, 16, 0},
        {"descriptor where none belongs", {FP_FRAME_READY, 0, 0}, 0, 1},
        {"two descriptors", {FP_FRAME_LOG, 0, 0}, 0, 2},
        {"eight descriptors", {FP_FRAME_LOG, 0, 0}, 0, 8},
    };
    char bytes[8192] = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct seen a;
        int before = fds_open(), end = open_end(&a);
        memcpy(bytes, &rows[i].head, sizeof(struct head));
        send_raw(end, bytes, sizeof(struct head) + rows[i].payload, rows[i].fds);
        fp_loop_fake_fire(&a.ch->io, FP_IO_READ);
        ok(a.n == 0 && a.gone == 1 && a.ch->io.fd == -1, "closed: %s", rows[i].what);
        fp_channel_free(&a.ch);
        close(end);
        is_int(fds_open(), before, "… and no descriptor leaked");
    }
    struct seen a;
    int end = open_end(&a);
    send_raw(end, bytes, 4, 0);
    fp_loop_fake_fire(&a.ch->io, FP_IO_READ);
    is_int(a.gone, 1, "closed: shorter than a head");
    fp_channel_free(&a.ch);
    close(end);
}

static void freed_in_callback(void)
{
    struct seen a;
    int end = open_end(&a);
    struct head h = {FP_FRAME_READY, 0, 0};
    a.free_it = true;
    send_raw(end, &h, sizeof(h), 0);
    send_raw(end, &h, sizeof(h), 0);
    fp_loop_fake_fire(&a.ch->io, FP_IO_READ);
    ok(a.n == 1 && !a.ch, "freed in its callback: no further call");
    close(end);
}

int main(void)
{
    int before = fds_open();
    fp_log_filter_set("off"); /* the malformed ones are logged */
    loop = fp_loop_fake_new();
    both_ways();
    full_socket();
    last_words();
    last_words_unread();
    malformed();
    freed_in_callback();
    fp_loop_free(&loop);
    is_int(fds_open(), before, "all descriptors are closed");
    return done_testing();
}
