/*
 * The client of rest.py: N kept HTTP/1.1 connections to 127.0.0.1, one request on each at a time,
 * as fast as answers come.  Prints one JSON object.  It does so little that the server is what is
 * measured: its own part of the CPU is printed too.
 *
 * rest_load PORT CONNECTIONS SECONDS TOKEN METHOD PATH [BODY FIRST]: "%d" in the body is a number,
 * FIRST and up.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 1 << 20, OUT_BYTES = 8192, TIMES_MAX = 4 << 20, CONNECTIONS_MAX = 1024 };

struct conn {
    int fd;
    size_t have; /* bytes of the answer so far */
    size_t want; /* of the whole answer; 0: its head is not complete */
    int status;
    double began;
    char *in;
};

static struct conn conns[CONNECTIONS_MAX];
static float times[TIMES_MAX]; /* ms */
static size_t times_n, errors_n;
static char head[OUT_BYTES / 2];
static const char *body;
static long long number;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int open_one(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* A loopback socket without anything unsent takes a request whole. */
static void ask(struct conn *c)
{
    static char out[OUT_BYTES], text[OUT_BYTES / 2];
    int n = 0;
    if (body) {
        const char *hole = strstr(body, "%d");
        int before = hole ? (int)(hole - body) : (int)strlen(body);
        n = snprintf(text, sizeof text, "%.*s", before, body);
        if (hole)
            n += snprintf(text + n, sizeof text - (size_t)n, "%lld%s", number++, hole + 2);
    }
    int len = body ? snprintf(out, sizeof out, "%sContent-Length: %d\r\n\r\n%s", head, n, text)
                   : snprintf(out, sizeof out, "%s\r\n", head);
    c->have = c->want = 0;
    c->began = now();
    if (send(c->fd, out, (size_t)len, MSG_NOSIGNAL) != len)
        die("send");
}

/* True when the answer is whole. */
static int read_some(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->have, IN_BYTES - 1 - c->have, 0);
    if (n <= 0)
        die("recv");
    c->have += (size_t)n;
    c->in[c->have] = 0;
    if (!c->want) {
        const char *end = strstr(c->in, "\r\n\r\n");
        const char *length = strcasestr(c->in, "\r\ncontent-length:");
        if (!end)
            return 0;
        c->status = atoi(c->in + 9);
        c->want = (size_t)(end + 4 - c->in) +
                  (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
    }
    return c->have >= c->want;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void answered(struct conn *c)
{
    if (c->status < 200 || c->status > 299) {
        if (!errors_n++)
            fprintf(stderr, "%.*s\n", (int)c->have, c->in);
    } else if (times_n < TIMES_MAX) {
        times[times_n++] = (float)((now() - c->began) * 1000);
    }
}

int main(int argc, char **argv)
{
    if (argc != 7 && argc != 9) {
        fputs("usage: rest_load PORT CONNECTIONS SECONDS TOKEN METHOD PATH [BODY FIRST]\n", stderr);
        return 2;
    }
    int n = atoi(argv[2]), epfd = epoll_create1(EPOLL_CLOEXEC);
    double seconds = atof(argv[3]);
    if (n < 1 || n > CONNECTIONS_MAX || epfd < 0)
        return 2;
    snprintf(head, sizeof head,
             "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n%s", argv[5],
             argv[6], argv[4], argc == 9 ? "Content-Type: application/json\r\n" : "");
    body = argc == 9 ? argv[7] : NULL;
    number = argc == 9 ? atoll(argv[8]) : 0;
    for (int i = 0; i < n; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &conns[i]};
        conns[i].fd = open_one(atoi(argv[1]));
        conns[i].in = malloc(IN_BYTES);
        if (!conns[i].in || epoll_ctl(epfd, EPOLL_CTL_ADD, conns[i].fd, &e) != 0)
            die("connection");
    }
    double began = now(), end = began + seconds;
    int running = n;
    for (int i = 0; i < n; i++)
        ask(&conns[i]);
    while (running > 0) {
        struct epoll_event e[64];
        int ready = epoll_wait(epfd, e, 64, -1);
        for (int i = 0; i < ready; i++) {
            struct conn *c = e[i].data.ptr;
            if (!read_some(c))
                continue;
            answered(c);
            if (c->began < end)
                ask(c);
            else
                running--;
        }
    }
    double took = now() - began;
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    double cpu = (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
                 (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
    qsort(times, times_n, sizeof *times, compare);
    printf("{\"n\": %zu, \"errors\": %zu, \"rate\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"client_cpu\": %.2f, \"next\": %lld}\n",
           times_n, errors_n, (double)times_n / took, times_n ? times[times_n / 2] : 0,
           times_n ? times[times_n * 99 / 100] : 0, cpu / took, number);
    return 0;
}
