/*
 * The worker process: one loop for REST and gRPC.  Takes snapshots and orders from the master,
 * serves until told to drain.  Must never block, write a snapshot, or outlive its master.
 */
#include "worker/worker.h"
#include <signal.h>
#include <unistd.h>
#include "codec/codec_json.h"
#include "core/core_clock.h"
#include "core/core_mem.h"
#include "core/core_log.h"
#include "obs/obs_commit.h"
#include "obs/obs_export.h"
#include "obs/obs_metric.h"
#include "os/os_process.h"
#include "os/os_signal.h"
#include "worker/worker_int.h"

#define HEARTBEAT_MS     1000
#define TRACES_LINGER_MS 500
#define USAGE_BEATS      10   /* memory is read with every tenth */
#define FAST_STOP_MS     1000 /* contract §13.1: TERM gives running requests up to 1 s */
#define LAST_WORDS_MS    500  /* audit rows that wait; within the master's patience, ... */
#define LAST_STOP_MS     4000 /* ... which is long with a fast stop: the database may be slow */
#define ORPHAN_STOP_MS   4000 /* contract §13.1: end within 5 s of the master's death */

static void said(void *arg)
{
    struct fp_worker *w = arg;
    fp_loop_stop(w->loop);
}

static void last_words_over(struct fp_timer *t)
{
    said(t->arg);
}

static void stopped(void *arg)
{
    struct fp_worker *w = arg;
    if (--w->draining_n > 0)
        return;
    w->last_words = (struct fp_timer){.cb = last_words_over, .arg = w};
    fp_timer_start(w->loop, &w->last_words, w->fast ? LAST_STOP_MS : LAST_WORDS_MS);
    fp_api_flush(w->api, said, w);
}

/* A socket nobody accepts from must not stay in the port's group: the kernel would go on giving it
 * a share of the connects. */
static void close_listeners(const struct fp_child *c)
{
    for (int l = 0; l < FP_LISTEN_N; l++)
        for (size_t i = 0; i < c->listen[l].n; i++)
            close(c->listen[l].fds[i]);
}

static void drain(struct fp_worker *w, uint64_t budget_ms, bool fast)
{
    bool first = !w->draining;
    if (first) {
        w->draining = true;
        w->draining_n = FP_LISTEN_N;
        fp_xds_engine_drain(w->xds);
        fp_status_writer_drain(w->status);
    } else if (w->draining_n == 0) {
        return;
    }
    w->fast = fast;
    /* a second, shorter budget (TERM during QUIT) overrides the first */
    fp_http_server_drain(w->api_server, budget_ms, stopped, w);
    fp_http_server_drain(w->xds_server, budget_ms, stopped, w);
    fp_http_server_drain(w->metrics_server, budget_ms, stopped, w);
    if (first) {
        close_listeners(w->child);
        fp_channel_send(w->channel, FP_FRAME_DRAINING, NULL, 0, -1);
    }
}

/* It answers from now on; later once more, when it was ready without a snapshot and has one. */
static void ready(struct fp_worker *w)
{
    if (!w->ready && !w->draining)
        worker_listen(w);
    w->ready = true;
    fp_channel_send(w->channel, FP_FRAME_READY, NULL, 0, -1);
}

/* How long the oldest of the commits that are served from now on has waited for it. */
static void tell_propagation(struct fp_worker *w, uint64_t before, uint64_t now)
{
    int64_t committed_ms = before ? fp_commits_oldest_ms(w->child->page->commits, before, now) : 0;
    int64_t ms = fp_clock_wall_ms() - committed_ms;
    if (committed_ms)
        fp_metric_observe_ns(FP_METRIC_PROPAGATION, FP_METRIC_PUBLISHED, 0,
                             ms > 0 ? (uint64_t)ms * 1000000 : 0);
}

static void take_snapshot(struct fp_worker *w, int fd)
{
    struct fp_snap *s = NULL;
    int err = fp_snap_open(fd, &s);
    close(fd);
    if (err < 0) {
        fp_log_error(FP_LOG_SNAPSHOT, "snapshot refused, keeping the one before: %s",
                     fp_err_text(err));
        return;
    }
    const struct fp_snap_meta *m = fp_snap_meta(s);
    if (m->revision < w->revision) { /* of a reload's watcher that was slower than the one before */
        fp_snap_unref(&s);
        return;
    }
    uint64_t before = w->revision;
    w->revision = m->revision;
    fp_xds_engine_publish(w->xds, s);
    fp_api_publish(w->api, s);
    tell_propagation(w, before, m->revision);
    fp_log_debug(FP_LOG_SNAPSHOT, "serving generation %llu, revision %llu",
                 (unsigned long long)m->generation, (unsigned long long)m->revision);
    fp_snap_unref(&s);
    fp_store_hurry(w->store); /* the watcher was there: who is ready can write, too */
    if (!w->draining)
        atomic_store(&w->slot->waits, 0);
    if (w->waits || !w->ready)
        ready(w);
    w->waits = false;
}

static void on_frame(struct fp_channel *ch, enum fp_frame_type type, const void *payload, size_t n,
                     int fd, void *arg)
{
    struct fp_worker *w = arg;
    uint64_t budget_ms = w->child->conf->process.worker_shutdown_timeout_ms;
    (void)ch;
    switch (type) {
    case FP_FRAME_SNAPSHOT:
        if (fd >= 0)
            take_snapshot(w, fd);
        return;
    case FP_FRAME_FILE:
        worker_tls_file(w, fp_str_n(payload, n), fd);
        return;
    case FP_FRAME_FILES_END:
        worker_tls_reload(w);
        break;
    case FP_FRAME_LOG:
        if (fd >= 0)
            fp_log_fd_set(fd);
        return;
    case FP_FRAME_DRAIN:
        if (n == sizeof(budget_ms))
            memcpy(&budget_ms, payload, sizeof(budget_ms));
        drain(w, budget_ms, false);
        break;
    case FP_FRAME_STOP:
        drain(w, FAST_STOP_MS, true);
        break;
    case FP_FRAME_GONE:
        drain(w, ORPHAN_STOP_MS, false);
        break;
    default:
        fp_log_error(FP_LOG_MASTER, "unexpected frame %d from the master", (int)type);
    }
    if (fd >= 0)
        close(fd);
}

static void on_master_gone(struct fp_io *io, unsigned events)
{
    struct fp_worker *w = io->arg;
    (void)events;
    fp_io_stop(io);
    fp_log_error(FP_LOG_MASTER, "the master is gone: draining");
    drain(w, ORPHAN_STOP_MS, false);
}

static void on_signal(int sig, void *arg)
{
    (void)sig;
    drain(arg, FAST_STOP_MS, true);
}

static void tell_write_timeouts(struct fp_worker *w)
{
    uint64_t n = fp_http_server_closed(w->xds_server, FP_HTTP_CLOSE_SLOW_READ);
    fp_metric_add(FP_METRIC_XDS_WRITE_TIMEOUTS, 0, 0, 0, n - w->write_timeouts);
    w->write_timeouts = n;
}

static void beat(struct fp_timer *t)
{
    struct fp_worker *w = t->arg;
    unsigned open, busy;
    fp_store_connections(w->store, &open, &busy);
    atomic_store(&w->slot->db_open, open);
    atomic_store(&w->slot->db_busy, busy);
    fp_metric_tell_process();
    tell_write_timeouts(w);
    if (w->beats_n++ % USAGE_BEATS == 0) {
        struct fp_process_usage u;
        fp_process_usage(&u);
        atomic_store(&w->slot->memory_bytes, u.proportional_bytes);
    }
    fp_mem_give_back();
    if (!w->draining)
        atomic_store(&w->slot->heartbeat_ms, fp_clock_mono_ms());
    fp_timer_start(w->loop, t, HEARTBEAT_MS);
}

/* Order of design.md §2: ids → no_new_privs → Landlock → seccomp; rlimits are the master's. */
static int confine(const struct fp_conf *conf)
{
    static const char *const nothing[] = {NULL};
    int err = fp_process_drop(conf->process.user, conf->process.group);
    if (err < 0) {
        fp_log_error(FP_LOG_MASTER, "cannot become user '%s': %s", conf->process.user,
                     fp_err_text(err));
        return err;
    }
    return fp_process_sandbox((enum fp_sandbox_mode)conf->sandbox.mode, FP_SANDBOX_WORKER, nothing);
}

static void watch_master(struct fp_worker *w)
{
    w->channel = fp_channel_new(w->loop, w->child->channel_fd, on_frame, w);
    w->master_io.fd = w->child->master_pidfd;
    w->master_io.cb = on_master_gone;
    w->master_io.arg = w;
    if (w->master_io.fd >= 0)
        fp_io_watch(w->loop, &w->master_io, FP_IO_READ);
}

int fp_worker_run(struct fp_child *child)
{
    static const int signals[] = {SIGTERM, 0};
    const char *why = NULL;
    struct fp_worker w = {.arena = fp_arena_new(NULL), .child = child};
    char role[32];

    snprintf(role, sizeof(role), "worker %u", child->slot);
    fp_log_process_set(role);
    fp_process_title_set("flowplane: %s", role);
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the master decides */
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    w.slot = &child->page->slot[child->slot % FP_PAGE_SLOTS];
    fp_metrics_bind(child->page->metrics, child->slot);
    if (confine(child->conf) < 0)
        return 1;
    fp_json_init();
    w.loop = fp_loop_new();
    struct fp_signals *sig = fp_signals_new(w.loop, signals, on_signal, &w);
    watch_master(&w);
    if (!worker_setup(&w, &why)) {
        fp_log_error(FP_LOG_MASTER, "%s: %s", role, why);
        fp_channel_send(w.channel, FP_FRAME_FATAL, why, strlen(why), -1);
        fp_channel_flush(w.channel, FAST_STOP_MS);
        _exit(1); /* half made: nothing to take down in order */
    }
    w.heartbeat.cb = beat;
    w.heartbeat.arg = &w;
    beat(&w.heartbeat);
    /* With nothing published yet there is no snapshot to wait for: health must answer before the
     * database does. */
    w.waits = atomic_load(&child->page->published_revision) == 0;
    if (w.waits) {
        atomic_store(&w.slot->waits, 1);
        ready(&w);
    }
    fp_loop_run(w.loop);
    tell_write_timeouts(&w);
    fp_metric_tell_process();
    worker_teardown(&w);
    fp_signals_free(&sig);
    fp_channel_free(&w.channel);
    fp_io_stop(&w.master_io);
    fp_timer_stop(&w.heartbeat);
    fp_timer_stop(&w.last_words);
    fp_export_close(&w.traces, TRACES_LINGER_MS); /* alone on the loop by now */
    fp_loop_free(&w.loop);
    fp_arena_free(&w.arena);
    return 0;
}
