/* Listening and connected sockets. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define FP_ADDR_TEXT_BYTES 80
struct fp_addr {
    struct sockaddr_storage ss;
    socklen_t len;
};
/* IPv4/IPv6 literal only, no resolver; 0 or -EINVAL */
int fp_addr_parse(struct fp_addr *out, const char *ip, uint16_t port);
/* "127.0.0.1:8080", "[::1]:8080", "unix"; returns out */
char *fp_addr_text(const struct fp_addr *a, char out[FP_ADDR_TEXT_BYTES]);
char *fp_addr_ip_text(const struct fp_addr *a, char out[FP_ADDR_TEXT_BYTES]); /* without the port */

/* bind + listen, SO_REUSEPORT, SO_REUSEADDR, cloexec, non-blocking, IPV6_V6ONLY; fd or -errno */
int fp_socket_listen(const struct fp_addr *a, int backlog);
/* accept4 with cloexec, non-blocking, TCP_NODELAY; fd, -EAGAIN, or -errno */
int fp_socket_accept(int listen_fd, struct fp_addr *peer);
/* fails with -EADDRINUSE when anyone not of ours listens there: a probe without SO_REUSEPORT */
int fp_socket_probe(const struct fp_addr *a);
