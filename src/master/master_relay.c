/*
 * Snapshots on their way from the watcher to the workers: descriptors only, never mapped.  Runs in
 * the master, which keeps the latest for workers to come.
 */
#include <fcntl.h>
#include <unistd.h>
#include "core/core_log.h"
#include "master/master_int.h"

static void send_to(struct child *c, const struct snapshot *s)
{
    if (c->role != ROLE_WORKER || !c->channel || s->fd < 0)
        return;
    int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0)
        fp_channel_send(c->channel, FP_FRAME_SNAPSHOT, s->head, sizeof s->head, fd);
    else
        fp_log_error(FP_LOG_MASTER, "no descriptor left for a snapshot");
}

static void send_all(struct generation *g, const struct snapshot *s)
{
    for (size_t i = 0; i < g->children_n; i++)
        send_to(&g->children[i], s);
}

void master_relay_drop(struct snapshot *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* The watcher of a generation that is not live yet serves its own workers only. */
void master_relay_snapshot(struct child *from, const void *payload, size_t n, int fd)
{
    struct master *m = from->gen->m;
    bool pending = from->gen == m->next;
    if (from->role != ROLE_WATCHER || n != sizeof m->latest.head || fd < 0 ||
        (from->gen != m->live && !pending)) {
        if (from->gen == m->live || pending)
            fp_log_error(FP_LOG_MASTER, "a malformed snapshot frame was dropped");
        if (fd >= 0)
            close(fd);
        return;
    }
    struct snapshot *s = pending ? &m->pending : &m->latest;
    master_relay_drop(s);
    s->fd = fd;
    memcpy(s->head, payload, n);
    if (pending) {
        send_all(from->gen, s);
        return;
    }
    FP_LIST_FOREACH (it, &m->generations)
        send_all(FP_CONTAINER(it, struct generation, link), s);
    if (m->live && master_generation_ready(m->live))
        master_on_ready(m->live); /* the first one completes the start */
}

void master_relay_latest(struct child *to)
{
    struct master *m = to->gen->m;
    send_to(to, to->gen == m->next && m->pending.fd >= 0 ? &m->pending : &m->latest);
}

void master_relay_adopt(struct master *m)
{
    if (m->pending.fd < 0)
        return;
    master_relay_drop(&m->latest);
    m->latest = m->pending;
    m->pending.fd = -1;
}
