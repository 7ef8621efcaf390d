/*
 * The master process (design.md §2): start, signals, stop.  Parses no network input, maps no
 * snapshot, opens no database connection, parses no key.
 */
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include "core/core_log.h"
#include "os/os_process.h"
#include "os/os_signal.h"
#include "master/master_int.h"

#define ANNOUNCE_MS 5000 /* contract §13.1: ready after the first snapshot, or after 5 s */

/* --- start ---------------------------------------------------------------------------------- */

static void announce(struct master *m)
{
    if (m->announced)
        return;
    m->announced = true;
    fp_timer_stop(&m->announce);
    master_daemon_ready(m, 0);
    master_notify("READY=1");
    fp_log_info(FP_LOG_MASTER, "flowplane is up, API port %u, xDS port %u", m->live->conf->api.port,
                m->live->conf->xds.port);
}

static void announce_due(struct fp_timer *t)
{
    announce(t->arg);
}

/* Who is told of readiness may ask any worker at once: none is without the first snapshot. */
static bool served_by_all(const struct generation *g)
{
    bool all = g->m->latest.fd >= 0;
    for (unsigned i = 0; i < g->conf->process.workers && all; i++)
        all = !atomic_load(&g->m->page->slot[i % FP_PAGE_SLOTS].waits);
    return all;
}

void master_on_ready(struct generation *g)
{
    struct master *m = g->m;
    if (g == m->next)
        master_reload_done(m, true);
    else if (g != m->live || m->announced || m->stopping)
        return;
    else if (served_by_all(g))
        announce(m);
    else if (!fp_timer_running(&m->announce))
        fp_timer_start(m->loop, &m->announce, ANNOUNCE_MS);
}

/* --- stop ----------------------------------------------------------------------------------- */

static void stop(struct master *m, bool fast)
{
    if (!m->stopping)
        master_notify("STOPPING=1");
    m->stopping = true;
    m->next = NULL;
    fp_timer_stop(&m->announce);
    fp_timer_stop(&m->handover);
    atomic_store(&m->page->draining, 1);
    FP_LIST_FOREACH_SAFE (it, &m->generations) {
        struct generation *g = FP_CONTAINER(it, struct generation, link);
        master_sockets_close(g); /* the workers close theirs: no new connections */
        master_generation_end(g, fast);
    }
}

void master_stopped(struct master *m)
{
    fp_loop_stop(m->loop);
}

void master_on_empty(struct generation *g)
{
    struct master *m = g->m;
    master_reload_handed(g);
    if (g == m->live)
        m->live = NULL;
    fp_log_debug(FP_LOG_MASTER, "generation %u is gone", g->id);
    master_generation_free(&g);
    if (!m->stopping || !fp_list_empty(&m->generations))
        return;
    if (m->pg)
        master_pg_stop(m->pg); /* last: everybody else may need it to finish */
    else
        master_stopped(m);
}

/* A process of a generation that is not live yet: the reload has failed. */
void master_on_died(struct child *c)
{
    struct generation *g = c->gen;
    struct master *m = g->m;
    if (g != m->next)
        return;
    fp_log_error(FP_LOG_CONFIG,
                 "reload failed, the configuration stays as it was: a new process ended");
    atomic_store(&m->page->reload_ok, 0);
    master_reload_done(m, false);
}

/* The lines of contract §16: `Error: Failed to connect to database`, `Error: <cause>`; together on
 * the terminal, and each as a line of the log. */
static void report_fatal(struct master *m, const char *why)
{
    struct fp_str rest = fp_str_of(why);
    while (rest.data && m->o->err) {
        struct fp_str line = fp_str_split(rest, '\n', &rest);
        fprintf(m->o->err, "Error: %.*s\n", FP_STR_ARG(line));
    }
    rest = fp_str_of(why);
    while (rest.data) {
        struct fp_str line = fp_str_split(rest, '\n', &rest);
        fp_log_error(FP_LOG_MASTER, "Error: %.*s", FP_STR_ARG(line));
    }
}

void master_start_failed(struct master *m, const char *why)
{
    report_fatal(m, why);
    m->exit_status = 1;
    stop(m, true);
}

void master_on_fatal(struct child *c, const char *why)
{
    struct master *m = c->gen->m;
    bool cannot_live = c->role == ROLE_WORKER && !m->announced; /* though a snapshot came first */
    if (m->stopping || c->gen->draining)
        return;
    if (c->gen == m->next) {
        fp_log_error(FP_LOG_CONFIG, "reload failed, the configuration stays as it was: %s", why);
        atomic_store(&m->page->reload_ok, 0);
        master_reload_done(m, false);
    } else if (m->live->id == 1 && (m->latest.fd < 0 || cannot_live)) {
        master_start_failed(m, why); /* nothing was served yet, or not by all */
    } else {
        fp_log_error(FP_LOG_MASTER, "%s", why); /* serve on with what there is, try again slowly */
    }
}

/* --- signals -------------------------------------------------------------------------------- */

static void on_signal(int sig, void *arg)
{
    struct master *m = arg;
    switch (sig) {
    case SIGCHLD:
        master_reap(m);
        break;
    case SIGTERM:
    case SIGINT:
        fp_log_info(FP_LOG_MASTER, "fast stop");
        stop(m, true);
        break;
    case SIGQUIT:
        fp_log_info(FP_LOG_MASTER, "graceful stop");
        stop(m, false);
        break;
    case SIGHUP:
        master_reload(m);
        break;
    case SIGUSR1:
        master_log_reopen(m);
        break;
    default:
        fp_log_warn(FP_LOG_MASTER, "signal %s is not handled in this version",
                    sig == SIGUSR2 ? "USR2 (binary upgrade)" : "WINCH (drain workers)");
    }
}

/* --- life ----------------------------------------------------------------------------------- */

static int prepare(struct master *m)
{
    struct fp_conf *c = m->o->conf;
    int fd = master_log_open(c);
    if (fd < 0) {
        master_complain(m, "observability.log_target: cannot open %s: %s",
                        c->observability.log_target, fp_err_text(fd));
        return fd;
    }
    master_log_apply(c, fd);
    master_log_lines(m->o->report, false);
    if (c->process.daemon && master_daemonize(m) < 0)
        return -EAGAIN;
    int err = master_directories(m);
    if (err >= 0)
        err = master_lock(m);
    if (err >= 0)
        err = master_pid_write(m);
    return err;
}

static int start(struct master *m)
{
    static const int signals[] = {SIGCHLD, SIGTERM, SIGINT,   SIGQUIT, SIGHUP,
                                  SIGUSR1, SIGUSR2, SIGWINCH, 0};
    char report[8192] = "";
    m->loop = fp_loop_new();
    m->signals = fp_signals_new(m->loop, signals, on_signal, m);
    FILE *err = fmemopen(report, sizeof report - 1, "w");
    if (!err)
        return -ENOMEM;
    m->live = master_generation_new(m, m->o->conf, NULL, err);
    fclose(err);
    struct fp_str rest = fp_str_of(report);
    while (!m->live && rest.data && rest.len) {
        struct fp_str line = fp_str_split(rest, '\n', &rest);
        master_complain(m, "%.*s", FP_STR_ARG(line));
    }
    if (!m->live)
        return -EINVAL;
    if (m->o->conf->database.embedded) {
        m->pg = master_pg_new(m);
        if (!m->pg)
            return -EINVAL;
        master_pg_start(m->pg);
    }
    master_generation_spawn(m->live);
    master_tls_watch(m);
    return 0;
}

int fp_master_run(const struct fp_master_options *o)
{
    struct master m = {.o = o,
                       .page = o->page,
                       .latest = {.fd = -1},
                       .pending = {.fd = -1},
                       .lock_fd = -1,
                       .pid_fd = -1,
                       .status_fd = -1};
    fp_list_init(&m.generations);
    m.announce = (struct fp_timer){.cb = announce_due, .arg = &m};
    fp_log_process_set("master");
    fp_process_title_set("flowplane: master");
    signal(SIGPIPE, SIG_IGN);
    atomic_store(&m.page->reload_ok, 1);
    if (prepare(&m) < 0 || start(&m) < 0)
        m.exit_status = 1;
    else
        fp_loop_run(m.loop);
    fp_log_info(FP_LOG_MASTER, "stopped");
    if (m.live)
        master_generation_free(&m.live);
    fp_signals_free(&m.signals);
    master_daemon_ready(&m, m.exit_status);
    master_pid_remove(&m);
    if (m.pg)
        master_pg_free(&m.pg);
    master_relay_drop(&m.latest);
    fp_timer_stop(&m.announce);
    fp_timer_stop(&m.tls_check);
    if (m.loop)
        fp_loop_free(&m.loop);
    if (o->ephemeral) {
        master_remove_tree(o->conf->process.state_dir);
        master_remove_tree(o->conf->process.runtime_dir);
    }
    return m.exit_status;
}
