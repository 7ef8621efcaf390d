/*
 * The listening sockets: one with SO_REUSEPORT per slot and address, held here for as long as the
 * address is configured, so that no connect is lost when a worker dies or a generation changes
 * (design.md §2).  Runs in the master.  Never accepts.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>
#include "core/core_log.h"
#include "core/core_mem.h"
#include "master/master_int.h"

#define BACKLOG        4096
#define PROBE_TRIES    20
#define PROBE_PAUSE_MS 100 /* processes of a master that was killed need a moment to let go */

static int port_of(const struct fp_addr *a)
{
    const void *ss = &a->ss;
    return a->ss.ss_family == AF_INET ? ((const struct sockaddr_in *)ss)->sin_port
                                      : ((const struct sockaddr_in6 *)ss)->sin6_port;
}

static bool same(const struct fp_addr *a, const struct fp_addr *b)
{
    return a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0;
}

static int shared(const struct sockets *s, const struct fp_addr *a, unsigned slot)
{
    for (size_t i = 0; i < s->addrs_n && slot < s->slots_n; i++)
        if (same(&s->addrs[i], a))
            return fcntl(s->fds[slot * s->addrs_n + i], F_DUPFD_CLOEXEC, 3);
    return -1;
}

/* A port that is ours already cannot be probed: the probe would meet ourselves. */
static bool port_is_ours(const struct sockets *s, const struct fp_addr *a)
{
    for (size_t i = 0; i < s->addrs_n; i++)
        if (port_of(&s->addrs[i]) == port_of(a))
            return true;
    return false;
}

static int probe(const struct fp_addr *a)
{
    int err = fp_socket_probe(a);
    for (int i = 0; err == -EADDRINUSE && i < PROBE_TRIES; i++) {
        (void)poll(NULL, 0, PROBE_PAUSE_MS);
        err = fp_socket_probe(a);
    }
    return err;
}

static int open_one(struct sockets *s, size_t i, unsigned slot, const struct generation *prev)
{
    const struct fp_addr *a = &s->addrs[i];
    int fd = prev ? shared(&prev->api, a, slot) : -1;
    if (fd < 0 && prev)
        fd = shared(&prev->xds, a, slot);
    if (fd >= 0)
        return fd;
    bool ours = prev && (port_is_ours(&prev->api, a) || port_is_ours(&prev->xds, a));
    int err = slot == 0 && !ours ? probe(a) : 0;
    return err < 0 ? err : fp_socket_listen(a, BACKLOG);
}

int master_sockets_open(struct master *m, struct sockets *s, const char *what,
                        const struct fp_conf_list *ips, uint16_t port, unsigned slots_n,
                        const struct generation *prev)
{
    char text[FP_ADDR_TEXT_BYTES];
    *s = (struct sockets){.addrs_n = ips->n, .slots_n = slots_n};
    s->addrs = fp_mem_calloc(ips->n, sizeof *s->addrs);
    s->fds = fp_mem_calloc(ips->n * slots_n, sizeof *s->fds);
    for (size_t i = 0; i < ips->n * slots_n; i++)
        s->fds[i] = -1;
    for (size_t i = 0; i < ips->n; i++) {
        int err = fp_addr_parse(&s->addrs[i], ips->items[i], port);
        for (unsigned slot = 0; slot < slots_n && err >= 0; slot++)
            err = s->fds[slot * s->addrs_n + i] = open_one(s, i, slot, prev);
        if (err < 0) {
            master_complain(m, "cannot listen on %s (%s): %s", fp_addr_text(&s->addrs[i], text),
                            what, err == -EADDRINUSE ? "address in use" : fp_err_text(err));
            return err;
        }
    }
    return 0;
}

void master_sockets_close(struct sockets *s)
{
    for (size_t i = 0; i < s->addrs_n * s->slots_n; i++)
        if (s->fds[i] >= 0)
            close(s->fds[i]);
    fp_mem_free(s->fds);
    fp_mem_free(s->addrs);
    *s = (struct sockets){0};
}
