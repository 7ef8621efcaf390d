/* os_socket: literals, listening, REUSEPORT, the probe, accepting. */
#include "../lib/tap.h"
#include <fcntl.h>
#include "os/os_socket.c"

static void literals(void)
{
    static const char *const good[] = {"127.0.0.1:80", "[::1]:80", "0.0.0.0:80",
                                       "[2001:db8::1]:80"};
    static const char *const bad[] = {"",       "localhost", "1.2.3",    "1.2.3.4 ",
                                      "::1%lo", "[::1]",     "1.2.3.256"};
    char text[FP_ADDR_TEXT_BYTES];
    struct fp_addr a;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char ip[64];
        bool v6 = good[i][0] == '[';
        snprintf(ip, sizeof(ip), "%.*s", (int)(strlen(good[i]) - (v6 ? 5 : 3)), good[i] + v6);
        is_int(fp_addr_parse(&a, ip, 80), 0, "%s is a literal", ip);
        is_str(fp_addr_text(&a, text), good[i], "with its port");
        is_str(fp_addr_ip_text(&a, text), ip, "without");
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        is_int(fp_addr_parse(&a, bad[i], 80), -EINVAL, "\"%s\" is none", bad[i]);
    fp_addr_parse(&a, "::ffff:10.1.2.3", 9);
    is_str(fp_addr_text(&a, text), "10.1.2.3:9", "a mapped IPv4 address is shown as IPv4");
    a.ss.ss_family = AF_UNIX;
    is_str(fp_addr_text(&a, text), "unix", "a path is only \"unix\"");
}

/* The address that the kernel chose for port 0. */
static struct fp_addr bound_to(int fd)
{
    struct fp_addr a = {.len = sizeof(a.ss)};
    getsockname(fd, (struct sockaddr *)&a.ss, &a.len);
    return a;
}

static int option(int fd, int level, int name)
{
    int v = -1;
    socklen_t n = sizeof(v);
    getsockopt(fd, level, name, &v, &n);
    return v;
}

static void listening(const char *ip)
{
    struct fp_addr any, peer;
    fp_addr_parse(&any, ip, 0);
    int fd = fp_socket_listen(&any, 16);
    ok(fd >= 0, "listen on %s", ip);
    struct fp_addr a = bound_to(fd);
    int second = fp_socket_listen(&a, 16);
    ok(second >= 0, "a second socket of ours on the same port");
    is_int(fp_socket_probe(&a), -EADDRINUSE, "the probe sees that somebody listens");
    close(second);
    ok(fcntl(fd, F_GETFD) & FD_CLOEXEC && fcntl(fd, F_GETFL) & O_NONBLOCK,
       "close-on-exec, non-blocking");
    is_int(fp_socket_accept(fd, &peer), -EAGAIN, "nobody connects");
    int client = socket(a.ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    is_int(connect(client, (struct sockaddr *)&a.ss, a.len), 0, "connect");
    int got = fp_socket_accept(fd, &peer);
    ok(got >= 0 && option(got, IPPROTO_TCP, TCP_NODELAY) == 1, "accepted, no delay");
    ok(fcntl(got, F_GETFD) & FD_CLOEXEC && fcntl(got, F_GETFL) & O_NONBLOCK,
       "close-on-exec, non-blocking too");
    struct fp_addr mine = bound_to(client);
    char x[FP_ADDR_TEXT_BYTES], y[FP_ADDR_TEXT_BYTES];
    is_str(fp_addr_text(&peer, x), fp_addr_text(&mine, y), "the peer's address");
    close(got); /* the side that closes first keeps TIME_WAIT: ours */
    close(client);
    close(fd);
    is_int(fp_socket_probe(&a), 0, "the probe forgives TIME_WAIT");
    fd = fp_socket_listen(&a, 16);
    ok(fd >= 0, "listen again at once");
    close(fd);
}

int main(void)
{
    struct fp_addr a;
    literals();
    listening("127.0.0.1");
    fp_addr_parse(&a, "::1", 0);
    if (fp_socket_probe(&a) == 0) {
        listening("::1");
        fp_addr_parse(&a, "::", 0);
        int fd = fp_socket_listen(&a, 1);
        is_int(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1, ":: is IPv6 only");
        close(fd);
    } else {
        diag("no IPv6 here");
    }
    fp_addr_parse(&a, "192.0.2.1", 1);
    is_int(fp_socket_listen(&a, 1), -EADDRNOTAVAIL, "an address of others");
    is_int(fp_socket_probe(&a), -EADDRNOTAVAIL, "… is what the probe says too");
    return done_testing();
}
