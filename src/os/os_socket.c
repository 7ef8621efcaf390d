/* Listening and accepted TCP sockets.  Literal addresses only: nothing here asks a resolver. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include "os/os_socket.h"

int fp_addr_parse(struct fp_addr *out, const char *ip, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->ss;
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        out->len = sizeof(*v4);
        return 0;
    }
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET6, ip, &v6->sin6_addr) != 1)
        return -EINVAL;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    out->len = sizeof(*v6);
    return 0;
}

/* IPv4 clients of a dual-stack socket of others come as ::ffff:a.b.c.d; people read a.b.c.d. */
static uint16_t address_parts(const struct fp_addr *a, char ip[INET6_ADDRSTRLEN], bool *v6)
{
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)&a->ss;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->ss;
    *v6 = a->ss.ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
    if (a->ss.ss_family == AF_INET)
        inet_ntop(AF_INET, &in4->sin_addr, ip, INET6_ADDRSTRLEN);
    else if (*v6)
        inet_ntop(AF_INET6, &in6->sin6_addr, ip, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], ip, INET6_ADDRSTRLEN);
    return ntohs(a->ss.ss_family == AF_INET ? in4->sin_port : in6->sin6_port);
}

static bool is_ip(const struct fp_addr *a)
{
    return a->ss.ss_family == AF_INET || a->ss.ss_family == AF_INET6;
}

char *fp_addr_text(const struct fp_addr *a, char out[FP_ADDR_TEXT_BYTES])
{
    char ip[INET6_ADDRSTRLEN];
    bool v6;
    if (!is_ip(a))
        return memcpy(out, "unix", sizeof("unix"));
    unsigned port = address_parts(a, ip, &v6);
    snprintf(out, FP_ADDR_TEXT_BYTES, v6 ? "[%s]:%u" : "%s:%u", ip, port);
    return out;
}

char *fp_addr_ip_text(const struct fp_addr *a, char out[FP_ADDR_TEXT_BYTES])
{
    char ip[INET6_ADDRSTRLEN];
    bool v6;
    if (!is_ip(a))
        return memcpy(out, "unix", sizeof("unix"));
    address_parts(a, ip, &v6);
    return memcpy(out, ip, strlen(ip) + 1);
}

static int set(int fd, int level, int option)
{
    const int on = 1;
    return setsockopt(fd, level, option, &on, sizeof(on)) ? -errno : 0;
}

/* A socket bound to a; fd or -errno. */
static int bound(const struct fp_addr *a, bool reuse_port)
{
    int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int err = set(fd, SOL_SOCKET, SO_REUSEADDR);
    if (!err && reuse_port)
        err = set(fd, SOL_SOCKET, SO_REUSEPORT);
    if (!err && a->ss.ss_family == AF_INET6)
        err = set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (!err && bind(fd, (const struct sockaddr *)&a->ss, a->len))
        err = -errno;
    if (!err)
        return fd;
    close(fd);
    return err;
}

int fp_socket_listen(const struct fp_addr *a, int backlog)
{
    int fd = bound(a, true);
    if (fd < 0 || listen(fd, backlog) == 0)
        return fd;
    int err = -errno;
    close(fd);
    return err;
}

/* Without SO_REUSEPORT, bind(2) fails while anybody listens, whatever his options; SO_REUSEADDR
 * only forgives connections in TIME_WAIT. */
int fp_socket_probe(const struct fp_addr *a)
{
    int fd = bound(a, false);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

int fp_socket_accept(int listen_fd, struct fp_addr *peer)
{
    int fd;
    do {
        peer->len = sizeof(peer->ss);
        fd = accept4(listen_fd, (struct sockaddr *)&peer->ss, &peer->len,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0)
        return -errno;
    if (is_ip(peer))
        set(fd, IPPROTO_TCP, TCP_NODELAY); /* only latency is lost without it */
    return fd;
}
