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
#define PROBE_PAUSE_MS 100 /* a server that was just stopped may need a moment to let go */
#define PROBE_TRIES    20
#define ORPHANS_TRIES  300 /* the master before us was killed: its workers notice, and drain */

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

static int probe(const struct master *m, const struct fp_addr *a)
{
    int err = fp_socket_probe(a), tries = m->orphans ? ORPHANS_TRIES : PROBE_TRIES;
    for (int i = 0; err == -EADDRINUSE && i < tries; i++) {
        (void)poll(NULL, 0, PROBE_PAUSE_MS);
        err = fp_socket_probe(a);
    }
    return err;
}

static int open_one(const struct master *m, struct sockets *s, size_t i, unsigned slot,
                    const struct generation *prev)
{
    const struct fp_addr *a = &s->addrs[i];
    bool ours = false;
    for (int k = 0; prev && k < FP_LISTEN_N; k++) {
        int fd = shared(&prev->sockets[k], a, slot);
        if (fd >= 0)
            return fd;
        ours = ours || port_is_ours(&prev->sockets[k], a);
    }
    int err = slot == 0 && !ours ? probe(m, a) : 0;
    return err < 0 ? err : fp_socket_listen(a, BACKLOG);
}

static int open_all(struct master *m, struct sockets *s, const char *what,
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
            err = s->fds[slot * s->addrs_n + i] = open_one(m, s, i, slot, prev);
        if (err < 0) {
            master_complain(m, "cannot listen on %s (%s): %s", fp_addr_text(&s->addrs[i], text),
                            what, err == -EADDRINUSE ? "address in use" : fp_err_text(err));
            return err;
        }
    }
    return 0;
}

int master_sockets_open(struct generation *g, unsigned slots_n, const struct generation *prev)
{
    const struct fp_conf *c = g->conf;
    const char *metrics_address = c->observability.metrics_bind_address;
    const struct fp_conf_list metrics = {
        .items = &metrics_address,
        .n = c->observability.enable_metrics && c->observability.metrics_port ? 1 : 0};
    const struct {
        const char *what;
        const struct fp_conf_list *ips;
        uint16_t port;
    } wanted[FP_LISTEN_N] = {
        [FP_LISTEN_API] = {"api.port", &c->api.bind_address, c->api.port},
        [FP_LISTEN_XDS] = {"xds.port", &c->xds.bind_address, c->xds.port},
        [FP_LISTEN_METRICS] = {"observability.metrics_port", &metrics,
                               c->observability.metrics_port},
    };
    int err = 0;
    for (int k = 0; k < FP_LISTEN_N && err == 0; k++)
        err = open_all(g->m, &g->sockets[k], wanted[k].what, wanted[k].ips, wanted[k].port, slots_n,
                       prev);
    return err;
}

void master_sockets_close(struct generation *g)
{
    for (struct sockets *s = g->sockets; s < g->sockets + FP_LISTEN_N; s++) {
        for (size_t i = 0; i < s->addrs_n * s->slots_n; i++)
            if (s->fds[i] >= 0)
                close(s->fds[i]);
        fp_mem_free(s->fds);
        fp_mem_free(s->addrs);
        *s = (struct sockets){0};
    }
}
