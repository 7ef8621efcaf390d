/*
 * The spawn table: generations, their processes, respawn with back-off.  Runs in the master.  A
 * child keeps exactly the descriptors it needs; everything else of the master's is closed there.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/core_log.h"
#include "core/core_mem.h"
#include "core/core_rand.h"
#include "os/os_process.h"
#include "master/master_int.h"
#include "obs/obs_status.h"

#define BACKOFF_MIN_MS 100 /* contract §13.1: 0.1..10 s */
#define BACKOFF_MAX_MS 10000
#define STABLE_MS      10000 /* lived this long: its next respawn is at once again */
#define FAST_STOP_MS   15000 /* the child's own limits are 1.5 s, but the machine may be slow */
#define DRAIN_GRACE_MS 2000  /* beyond the budget the child was given */
#define KEEP_MAX       256

static const char *name_of(const struct child *c, char out[32])
{
    if (c->role == ROLE_WATCHER)
        snprintf(out, 32, "watcher");
    else
        snprintf(out, 32, "worker %u", c->slot);
    return out;
}

/* --- in the child --------------------------------------------------------------------------- */

struct keep {
    int fds[KEEP_MAX];
    size_t n;
};

static void keep(struct keep *k, int fd)
{
    if (fd < 0 || k->n == KEEP_MAX)
        return;
    size_t at = k->n++;
    for (; at > 0 && k->fds[at - 1] > fd; at--)
        k->fds[at] = k->fds[at - 1];
    k->fds[at] = fd;
}

/* The master's loop must not be touched here: its epoll set is shared with the master. */
static void close_others(const struct keep *k)
{
    unsigned from = 3;
    for (size_t i = 0; i < k->n; i++) {
        unsigned fd = (unsigned)k->fds[i];
        if (fd > from)
            close_range(from, fd - 1, 0);
        if (fd >= from)
            from = fd + 1;
    }
    close_range(from, ~0U, 0);
}

/* Least privilege: keys are for workers, the bootstrap secret for the watcher, and what was read
 * before the fork for nobody. */
static bool may_have(enum role role, const char *file)
{
    if (strcmp(file, "xds.descriptor_set") == 0)
        return false;
    if (role == ROLE_WATCHER)
        return strncmp(file, "api.", 4) != 0 && strncmp(file, "xds.tls.", 8) != 0;
    return strncmp(file, "bootstrap.", 10) != 0;
}

_Noreturn static void child_main(struct child *c, int channel_fd, int pidfd)
{
    struct generation *g = c->gen;
    struct master *m = g->m;
    struct fp_child_file files[FP_CONF_FILES_MAX];
    struct keep k = {.n = 0};
    struct fp_child fc = {.conf = g->conf,
                          .page = m->page,
                          .pool = g->pools.set ? g->pools.set : g->pools.builtin,
                          .builtin_pool = g->pools.builtin,
                          .channel_fd = channel_fd,
                          .master_pidfd = pidfd,
                          .slot = c->slot,
                          .seat = c->seat,
                          .files = files,
                          .pg_url = m->pg ? master_pg_url(m->pg) : NULL,
                          .foreground = !g->conf->process.daemon};
    int log_fd = master_log_dup(g->log_fd);

    master_log_apply(g->conf, log_fd);
    keep(&k, log_fd);
    if (g->conf->process.daemon)
        master_detach(); /* the terminal is told about the start by the master alone */
    for (size_t i = 0; i < g->files.n; i++)
        if (may_have(c->role, g->files.items[i].name)) {
            keep(&k, g->files.items[i].fd);
            files[fc.files_n++] = g->files.items[i];
        }
    if (c->role == ROLE_WORKER) {
        for (int l = 0; l < FP_LISTEN_N; l++) {
            const struct sockets *s = &g->sockets[l];
            fc.listen[l].fds = s->fds + c->slot * s->addrs_n;
            fc.listen[l].n = s->addrs_n;
            for (size_t i = 0; i < s->addrs_n; i++)
                keep(&k, fc.listen[l].fds[i]);
        }
    }
    keep(&k, channel_fd);
    keep(&k, pidfd);
    close_others(&k);
    (void)fp_process_nofile(g->conf->process.nofile); /* the master has said what cannot be had */
    /* the terminal's signals reach the whole group; the master decides and tells by the channel */
    static const int ignored[] = {SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    exit(c->role == ROLE_WATCHER ? m->o->roles->watcher(&fc) : m->o->roles->worker(&fc));
}

static void died(struct child *c);

/* --- channel -------------------------------------------------------------------------------- */

/* Nobody is waited for in a slot whose last worker has died or drains. */
static void leave_slot(struct child *c)
{
    struct master *m = c->gen->m;
    struct fp_page_slot *s = &m->page->slot[c->slot % FP_PAGE_SLOTS];
    if (!c->accepts)
        return;
    c->accepts = false;
    FP_LIST_FOREACH (it, &m->generations) {
        const struct generation *g = FP_CONTAINER(it, struct generation, link);
        for (size_t i = 0; i < g->children_n; i++)
            if (g->children[i].accepts && &m->page->slot[g->children[i].slot % FP_PAGE_SLOTS] == s)
                return;
    }
    atomic_store(&s->heartbeat_ms, 0);
    atomic_store(&s->waits, 0);
}

static void tell_memory(struct master *m)
{
    struct fp_process_usage u;
    fp_process_usage(&u);
    atomic_store(&m->page->master_memory_bytes, u.proportional_bytes);
}

static void on_frame(struct fp_channel *ch, enum fp_frame_type type, const void *payload, size_t n,
                     int fd, void *arg)
{
    struct child *c = arg;
    char name[32];
    (void)ch;
    if (type == FP_FRAME_GONE) {
        fp_channel_free(&c->channel);
        if (c->exited)
            died(c);
        return;
    }
    switch (type) {
    case FP_FRAME_READY:
        c->ready = true;
        fp_log_debug(FP_LOG_MASTER, "%s (pid %d) is ready", name_of(c, name), (int)c->pid);
        if (master_generation_ready(c->gen)) {
            tell_memory(c->gen->m);
            master_on_ready(c->gen);
        }
        break;
    case FP_FRAME_SNAPSHOT:
        master_relay_snapshot(c, payload, n, fd);
        return;
    case FP_FRAME_HEARTBEAT:
        break;
    case FP_FRAME_DRAINING:
        leave_slot(c);
        master_reload_handed(c->gen);
        break;
    case FP_FRAME_FATAL: {
        char why[FP_FRAME_MAX_BYTES + 1];
        n = n < FP_FRAME_MAX_BYTES ? n : FP_FRAME_MAX_BYTES;
        memcpy(why, payload, n);
        why[n] = '\0';
        c->backoff_ms = BACKOFF_MAX_MS; /* no use in trying again soon */
        master_on_fatal(c, why);
        break;
    }
    default:
        fp_log_error(FP_LOG_MASTER, "unexpected frame %d from %s", (int)type, name_of(c, name));
    }
    if (fd >= 0)
        close(fd);
}

/* --- spawn ---------------------------------------------------------------------------------- */

static void spawn_later(struct child *c)
{
    c->backoff_ms = c->backoff_ms ? c->backoff_ms : BACKOFF_MIN_MS;
    fp_timer_start(c->gen->m->loop, &c->respawn, fp_rand_jitter(c->backoff_ms, 10));
    c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void spawn(struct child *c)
{
    struct master *m = c->gen->m;
    char name[32];
    int pair[2], pidfd = -1;
    int err = fp_channel_pair(pair);
    if (err < 0) {
        fp_log_error(FP_LOG_MASTER, "cannot make a channel: %s", fp_err_text(err));
        spawn_later(c);
        return;
    }
    c->seat = c->role == ROLE_WORKER ? fp_status_seat_take(m->page->status, c->slot)
                                     : FP_STATUS_SEAT_NONE;
    if (c->role == ROLE_WORKER && !m->announced) /* who is told "ready" may meet any of them */
        atomic_store(&m->page->slot[c->slot % FP_PAGE_SLOTS].waits, 1);
    pid_t pid = fp_process_fork(&pidfd);
    if (pid == 0)
        child_main(c, pair[1], pidfd);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        fp_status_seat_leave(m->page->status, c->seat);
        fp_log_error(FP_LOG_MASTER, "cannot fork: %s", fp_err_text((int)pid));
        spawn_later(c);
        return;
    }
    c->pid = pid;
    c->ready = false;
    c->accepts = c->role == ROLE_WORKER;
    c->started_ms = fp_loop_now_ms(m->loop);
    c->channel = fp_channel_new(m->loop, pair[0], on_frame, c);
    fp_log_info(FP_LOG_MASTER, "started %s (pid %d)", name_of(c, name), (int)pid);
    master_relay_latest(c);
}

static void respawn_due(struct fp_timer *t)
{
    struct child *c = t->arg;
    if (!c->gen->draining && !c->pid)
        spawn(c);
}

static void count_restart(struct master *m, enum role role)
{
    atomic_fetch_add(role == ROLE_WATCHER ? &m->page->watcher_restarts : &m->page->worker_restarts,
                     1);
}

static void died(struct child *c)
{
    int status = c->status;
    struct generation *g = c->gen;
    struct master *m = g->m;
    char name[32];
    uint64_t lived_ms = fp_loop_now_ms(m->loop) - c->started_ms;
    name_of(c, name);
    fp_status_seat_leave(m->page->status, c->seat);
    if (g->draining || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        fp_log_info(FP_LOG_MASTER, "%s (pid %d) ended", name, (int)c->pid);
    else if (WIFSIGNALED(status))
        fp_log_error(FP_LOG_MASTER, "%s (pid %d) was killed by signal %d", name, (int)c->pid,
                     WTERMSIG(status));
    else
        fp_log_error(FP_LOG_MASTER, "%s (pid %d) exited with status %d", name, (int)c->pid,
                     WEXITSTATUS(status));
    c->pid = 0;
    c->ready = c->exited = false;
    leave_slot(c);
    if (g->draining) {
        master_reload_handed(g);
        if (master_generation_alive(g) == 0)
            master_on_empty(g);
    } else if (g != m->live) {
        master_on_died(c);
    } else {
        count_restart(m, c->role);
        if (lived_ms >= STABLE_MS)
            c->backoff_ms = 0;
        if (c->backoff_ms == 0) {
            c->backoff_ms = BACKOFF_MIN_MS;
            spawn(c);
        } else {
            spawn_later(c);
        }
    }
}

static struct child *by_pid(struct master *m, pid_t pid)
{
    FP_LIST_FOREACH (it, &m->generations) {
        struct generation *g = FP_CONTAINER(it, struct generation, link);
        for (size_t i = 0; i < g->children_n; i++)
            if (g->children[i].pid == pid && !g->children[i].exited)
                return &g->children[i];
    }
    return NULL;
}

void master_reap(struct master *m)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *c = by_pid(m, pid);
        if (c) {
            c->exited = true;
            c->status = status;
            if (!c->channel) /* else at its end: a last FATAL may still be in it */
                died(c);
        } else if (!m->pg || !master_pg_exited(m->pg, pid, status)) {
            fp_log_debug(FP_LOG_MASTER, "reaped unknown pid %d", (int)pid);
        }
    }
}

/* --- generations ---------------------------------------------------------------------------- */

size_t master_generation_alive(const struct generation *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->children_n; i++)
        n += g->children[i].pid != 0;
    return n;
}

bool master_generation_ready(const struct generation *g)
{
    for (size_t i = 0; i < g->children_n; i++)
        if (!g->children[i].ready)
            return false;
    return true;
}

bool master_generation_accepts(const struct generation *g)
{
    for (size_t i = 0; i < g->children_n; i++)
        if (g->children[i].accepts)
            return true;
    return false;
}

/* Its own sockets, one a slot, are the least that the master needs; what it may not have, no child
 * may. */
static void raise_nofile(const struct fp_conf *c)
{
    size_t n = c->process.nofile, now = fp_process_nofile_now();
    int got = now < n ? fp_process_nofile(n) : (int)n;
    if (got < 0)
        fp_log_warn(FP_LOG_MASTER, "cannot raise the limit of open files: %s", fp_err_text(got));
    else if ((size_t)got < n)
        fp_log_warn(FP_LOG_MASTER,
                    "open files are limited to %d, process.nofile is %zu: a worker may run out of "
                    "them before it has api.max_connections (%u) or xds.max_streams (%u)",
                    got, n, c->api.max_connections, c->xds.max_streams);
}

struct generation *master_generation_new(struct master *m, struct fp_conf *conf,
                                         const struct generation *prev, FILE *err)
{
    struct generation *g = fp_mem_zalloc(sizeof *g);
    unsigned slots_n = conf->process.workers;
    g->m = m;
    g->conf = conf;
    g->id = ++m->generations_made;
    g->children_n = slots_n + 1;
    g->children = fp_mem_calloc(g->children_n, sizeof *g->children);
    for (size_t i = 0; i < g->children_n; i++)
        g->children[i] = (struct child){.gen = g,
                                        .role = i < slots_n ? ROLE_WORKER : ROLE_WATCHER,
                                        .slot = i < slots_n ? (unsigned)i : 0,
                                        .respawn = {.cb = respawn_due, .arg = &g->children[i]}};
    fp_list_push_back(&m->generations, &g->link);
    raise_nofile(conf);
    g->log_fd = master_log_open(conf);
    if (g->log_fd < 0)
        fprintf(err, "observability.log_target: cannot open %s: %s\n",
                conf->observability.log_target, fp_err_text(g->log_fd));
    bool files = fp_conf_files_open(conf, &g->files, err);
    bool pools = files && m->o->roles->pools_open(conf, &g->files, &g->pools, err);
    if (g->log_fd < 0 || !pools || master_sockets_open(g, slots_n, prev) < 0) {
        g->conf = NULL; /* the caller's again */
        master_generation_free(&g);
    }
    return g;
}

void master_generation_spawn(struct generation *g)
{
    for (size_t i = g->children_n; i-- > 0;) /* the watcher first: it has the longer way */
        spawn(&g->children[i]);
}

static void signal_all(const struct generation *g, int sig)
{
    for (size_t i = 0; i < g->children_n; i++)
        if (g->children[i].pid && !g->children[i].exited)
            (void)kill(g->children[i].pid, sig);
}

static void send_all(struct generation *g, enum fp_frame_type type, const void *payload, size_t n)
{
    for (size_t i = 0; i < g->children_n; i++)
        if (g->children[i].channel)
            fp_channel_send(g->children[i].channel, type, payload, n, -1);
}

static void end_due(struct fp_timer *t)
{
    struct generation *g = t->arg;
    if (g->end_step == 0) {
        g->end_step = 1;
        fp_log_warn(FP_LOG_MASTER, "generation %u did not drain in time: stopping it", g->id);
        send_all(g, FP_FRAME_STOP, NULL, 0);
    } else {
        g->end_step = 2;
        fp_log_warn(FP_LOG_MASTER, "generation %u did not stop in time: killing it", g->id);
        signal_all(g, SIGKILL);
    }
    fp_timer_start(g->m->loop, t, FAST_STOP_MS);
}

void master_generation_end(struct generation *g, bool fast)
{
    uint64_t budget_ms = g->conf->process.worker_shutdown_timeout_ms;
    if (g->draining && (!fast || g->end_step > 0))
        return;
    g->draining = true;
    g->end_step = fast;
    for (size_t i = 0; i < g->children_n; i++)
        fp_timer_stop(&g->children[i].respawn);
    if (fast)
        send_all(g, FP_FRAME_STOP, NULL, 0);
    else
        send_all(g, FP_FRAME_DRAIN, &budget_ms, sizeof budget_ms);
    g->deadline.cb = end_due;
    g->deadline.arg = g;
    fp_timer_start(g->m->loop, &g->deadline, fast ? FAST_STOP_MS : budget_ms + DRAIN_GRACE_MS);
    if (master_generation_alive(g) == 0)
        master_on_empty(g);
}

void master_generation_free(struct generation **gp)
{
    struct generation *g = *gp;
    *gp = NULL;
    fp_list_remove(&g->link);
    fp_timer_stop(&g->deadline);
    for (size_t i = 0; i < g->children_n; i++) {
        fp_timer_stop(&g->children[i].respawn);
        if (g->children[i].channel)
            fp_channel_free(&g->children[i].channel);
    }
    master_sockets_close(g);
    fp_conf_files_close(&g->files);
    g->m->o->roles->pools_close(&g->pools);
    if (g->log_fd > STDERR_FILENO)
        close(g->log_fd);
    if (g->conf && g->conf != g->m->o->conf) /* the first one holds what no reload changes */
        fp_conf_free(&g->conf);
    fp_mem_free(g->children);
    fp_mem_free(g);
}
