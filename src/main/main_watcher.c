/*
 * The watcher's role: wires directives to the watch room, tells the bootstrap token (contract
 * §4.6), judges a start without a database (§12.2 database.startup).  Must never talk to clients or
 * outlive its master.
 */
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "codec/codec_json.h"
#include "core/core_log.h"
#include "os/os_channel.h"
#include "os/os_file.h"
#include "os/os_process.h"
#include "os/os_signal.h"
#include "obs/obs_export.h"
#include "obs/obs_metric.h"
#include "watch/watch.h"
#include "worker/worker.h"
#include "main/main_int.h"

#define SECRET_MAX_BYTES 4096
#define LAST_WORDS_MS    1000
#define TRACES_LINGER_MS 500
#define TOKEN_LINE_BYTES 512 /* §4.1: a secret has at most 256 characters */

struct watcher {
    struct fp_child *child;
    struct fp_arena *arena;
    struct fp_loop *loop;
    struct fp_channel *channel;
    struct fp_io master_io;
    struct fp_timer startup; /* database.startup_timeout */
    struct fp_watch *watch;
    struct fp_export *traces; /* NULL: tracing is off */
    struct fp_store_seed seed;
    const char *seed_why; /* set when prepare refused */
    bool ready;           /* told the master */
    uint64_t pg_restarts; /* of the embedded PostgreSQL, as of the last look */
    int status;
};

static void leave(struct watcher *w, int status)
{
    w->status = status;
    fp_loop_stop(w->loop);
}

/* Also before the loop runs. */
static void fatal(const char *why, void *arg)
{
    struct watcher *w = arg;
    const char *text = w->seed_why ? w->seed_why : why;
    size_t n = strlen(text);
    fp_channel_send(w->channel, FP_FRAME_FATAL, text,
                    n < FP_FRAME_MAX_BYTES ? n : FP_FRAME_MAX_BYTES, -1);
    fp_channel_flush(w->channel, LAST_WORDS_MS);
    leave(w, 1);
}

/* --- bootstrap token ------------------------------------------------------------------------ */

/* systemd tells both; the second is inherited by shells, so it must name our master. */
static bool under_service_manager(void)
{
    char pid[32];
    const char *exec_pid = getenv("SYSTEMD_EXEC_PID");
    snprintf(pid, sizeof pid, "%d", (int)getppid());
    return getenv("NOTIFY_SOCKET") || (exec_pid && strcmp(exec_pid, pid) == 0);
}

static void print_token(const char *token)
{
    static const char bar[] = "========================================"
                              "========================================";
    fprintf(stderr,
            "%s\nBOOTSTRAP ADMIN TOKEN\n%s\nToken: %s\n"
            "It may do everything and is shown only this once: store it in a safe place.\n"
            "Make narrower tokens with it, then revoke it.\n%s\n",
            bar, bar, token, bar);
    /* contract §4.6: the value, then a blank; `docker logs | grep -oP 'token: \K…'` relies on it */
    fp_log_warn(FP_LOG_AUTH, "bootstrap admin token: %s is shown only this once", token);
}

static bool prints(const struct watcher *w)
{
    const struct fp_conf *c = w->child->conf;
    return c->bootstrap.print == FP_CONF_AUTO
               ? c->dev || (w->child->foreground && !under_service_manager())
               : c->bootstrap.print == FP_CONF_TRUE;
}

static int write_line(const char *path, const char *token)
{
    char line[TOKEN_LINE_BYTES];
    snprintf(line, sizeof line, "%s\n", token);
    int err = fp_file_create_new(path, line, strlen(line), 0600);
    explicit_bzero(line, sizeof line);
    return err;
}

/* Before the commit the file has another name: whoever finds token_file can use what is in it. */
static bool prepare(const char *token, void *arg)
{
    struct watcher *w = arg;
    const char *path = w->child->conf->bootstrap.token_file;
    if (prints(w))
        return true;
    const char *beside = fp_arena_printf(w->arena, "%s.new", path);
    unlink(beside); /* of a process that was killed */
    struct stat st; /* of a link itself, wherever it leads */
    int err = lstat(path, &st) == 0 ? -EEXIST : write_line(beside, token);
    if (err < 0)
        w->seed_why = fp_arena_printf(w->arena, "bootstrap.token_file: cannot write %s: %s", path,
                                      fp_err_text(err));
    return err >= 0;
}

static void settle(const char *token, bool made, void *arg)
{
    struct watcher *w = arg;
    const char *path = w->child->conf->bootstrap.token_file;
    if (prints(w)) {
        if (made)
            print_token(token);
        return;
    }
    const char *beside = fp_arena_printf(w->arena, "%s.new", path);
    int err = made ? write_line(path, token) : FP_OK;
    if (err < 0) {
        fp_log_error(FP_LOG_AUTH, "the bootstrap admin token stays in %s: cannot write %s: %s",
                     beside, path, fp_err_text(err));
        return;
    }
    unlink(beside);
    if (made)
        fp_log_warn(FP_LOG_AUTH, "the bootstrap admin token was written to %s", path);
}

static bool open_seed(struct watcher *w)
{
    const struct fp_conf *c = w->child->conf;
    int err;
    struct fp_str s =
        fp_str_trim(fp_child_file_text(w->child->files, w->child->files_n, "bootstrap.secret_file",
                                       SECRET_MAX_BYTES, w->arena, &err));
    if (err < 0) {
        fatal(fp_arena_printf(w->arena, "bootstrap.secret_file: %s", fp_err_text(err)), w);
        return false;
    }
    /* the store judges it, and only when the seed is due */
    const char *secret = c->bootstrap.secret ? c->bootstrap.secret
                         : s.data            ? fp_arena_printf(w->arena, "%.*s", FP_STR_ARG(s))
                                             : NULL;
    w->seed =
        (struct fp_store_seed){.secret = secret, .prepare = prepare, .settle = settle, .arg = w};
    return true;
}

/* --- start without a database --------------------------------------------------------------- */

static bool wants_exit(const struct fp_child *c)
{
    enum fp_conf_startup s = c->conf->database.startup;
    return s == FP_CONF_STARTUP_EXIT || (s == FP_CONF_STARTUP_AUTO && !under_service_manager());
}

/* libpq: `connection to server at "10.0.0.7", port 5432 failed: Connection refused`.  The guide's
 * troubleshooting looks for the plain words (contract §16). */
static const char *cause(struct watcher *w)
{
    const char *text = fp_store_last_error(), *failed;
    while ((failed = strstr(text, "failed: ")))
        text = failed + 8;
    char *out =
        fp_arena_strdup(w->arena, *text ? text : "no answer within database.startup_timeout");
    if (out[0] >= 'A' && out[0] <= 'Z' && out[1] >= 'a' && out[1] <= 'z')
        out[0] += 'a' - 'A';
    return out;
}

/* The start has succeeded: it will not end for want of a database any more. */
static void tell_ready(struct watcher *w)
{
    if (!w->ready)
        fp_channel_send(w->channel, FP_FRAME_READY, NULL, 0, -1);
    w->ready = true;
}

/* Our own database is not away while it is being made or recovers, however long that takes; one
 * that ends again and again is.  (Once it may: one of a master that was killed was still there.) */
static bool is_starting(struct watcher *w)
{
    uint64_t seen = w->pg_restarts;
    w->pg_restarts = atomic_load(&w->child->page->postgres_restarts);
    return w->child->pg_url && (w->pg_restarts < 2 || w->pg_restarts == seen);
}

static void startup_due(struct fp_timer *t)
{
    struct watcher *w = t->arg;
    struct fp_page *page = w->child->page;
    if (!atomic_load(&page->database_up))
        fp_watch_use_cache(w->watch);
    if (atomic_load(&page->database_up) || atomic_load(&page->published_revision))
        tell_ready(w);
    else if (is_starting(w))
        fp_timer_start(w->loop, t, w->child->conf->database.startup_timeout_ms);
    else
        fatal(fp_arena_printf(w->arena, "Failed to connect to database\n%s", cause(w)), w);
}

/* --- channel -------------------------------------------------------------------------------- */

static void publish(int fd, uint64_t generation, uint64_t revision, void *arg)
{
    struct watcher *w = arg;
    uint64_t head[2] = {generation, revision};
    fp_timer_stop(&w->startup);
    fp_channel_send(w->channel, FP_FRAME_SNAPSHOT, head, sizeof head, fd);
    tell_ready(w);
}

static void on_frame(struct fp_channel *ch, enum fp_frame_type type, const void *payload, size_t n,
                     int fd, void *arg)
{
    struct watcher *w = arg;
    (void)ch, (void)payload, (void)n;
    switch (type) {
    case FP_FRAME_LOG:
        fp_log_fd_set(fd);
        return;
    case FP_FRAME_DRAIN:
    case FP_FRAME_STOP:
    case FP_FRAME_GONE:
        leave(w, 0); /* nothing to drain: the next watcher starts from the database */
        break;
    default:
        fp_log_error(FP_LOG_MASTER, "unexpected frame %d from the master", (int)type);
    }
    if (fd >= 0)
        close(fd);
}

static void on_master_gone(struct fp_io *io, unsigned events)
{
    (void)events;
    fp_io_stop(io);
    leave(io->arg, 0);
}

static void on_signal(int sig, void *arg)
{
    (void)sig;
    leave(arg, 0);
}

/* --- life ----------------------------------------------------------------------------------- */

/* Order of design.md §2: ids → no_new_privs → Landlock → seccomp; rlimits are the master's. */
static int confine(struct watcher *w)
{
    const struct fp_conf *c = w->child->conf;
    const char *rw[] = {c->process.state_dir,
                        dirname(fp_arena_strdup(w->arena, c->bootstrap.token_file)), NULL};
    int err = fp_process_drop(c->process.user, c->process.group);
    if (err >= 0)
        err = fp_process_sandbox((enum fp_sandbox_mode)c->sandbox.mode, FP_SANDBOX_WATCHER, rw);
    return err;
}

static bool open_watch(struct watcher *w)
{
    const struct fp_conf *c = w->child->conf;
    const char *why = NULL, *url = fp_child_database_url(w->child, w->arena, &why);
    if (!url) {
        fatal(why, w);
        return false;
    }
    if (!open_seed(w))
        return false;
    struct fp_watch_options o = {
        .follow = {.url = url,
                   .listen_url = w->child->pg_url ? NULL : c->database.listen_url,
                   .starting = w->child->pg_url,
                   .connect_timeout_ms = c->database.connect_timeout_ms,
                   .statement_timeout_ms = c->database.statement_timeout_ms,
                   .poll_interval_ms = c->database.poll_interval_ms,
                   .auto_migrate = c->database.auto_migrate,
                   .audit_retention_ms = c->audit.retention_ms,
                   .history_retention_ms = c->database.history_retention_ms,
                   .hash_chain = c->audit.hash_chain,
                   .default_gateway = c->bootstrap.default_gateway,
                   .seed = &w->seed},
        .pool = w->child->pool,
        .allow_privileged_ports = c->validation.allow_privileged_ports,
        .debounce_min_ms = c->xds.debounce_min_ms,
        .debounce_max_ms = c->xds.debounce_max_ms,
        .state_dir = access(c->process.state_dir, W_OK | X_OK) == 0 ? c->process.state_dir : NULL,
        .page = w->child->page,
        .publish = publish,
        .fatal = fatal,
        .arg = w};
    w->watch = fp_watch_new(w->loop, &o);
    return true;
}

static void run(struct watcher *w)
{
    const struct fp_conf *c = w->child->conf;
    w->startup = (struct fp_timer){.cb = startup_due, .arg = w};
    w->traces = fp_worker_traces_open(w->loop, c);
    if (!open_watch(w))
        return;
    if (wants_exit(w->child) && !atomic_load(&w->child->page->published_revision))
        fp_timer_start(w->loop, &w->startup, c->database.startup_timeout_ms);
    else
        tell_ready(w);
    fp_loop_run(w->loop);
    fp_watch_free(&w->watch);
    fp_timer_stop(&w->startup);
}

int main_watcher_run(struct fp_child *child)
{
    static const int signals[] = {SIGTERM, 0};
    struct watcher w = {.child = child, .arena = fp_arena_new(NULL)};
    fp_log_process_set("watcher");
    fp_metrics_bind(child->page->metrics, FP_METRICS_WATCHER);
    fp_process_title_set("flowplane: watcher");
    w.loop = fp_loop_new();
    struct fp_signals *sig = fp_signals_new(w.loop, signals, on_signal, &w);
    w.channel = fp_channel_new(w.loop, child->channel_fd, on_frame, &w);
    int err = confine(&w);
    fp_json_init();
    w.master_io = (struct fp_io){.fd = child->master_pidfd, .cb = on_master_gone, .arg = &w};
    fp_io_watch(w.loop, &w.master_io, FP_IO_READ);
    if (err < 0)
        fatal(fp_arena_printf(
                  w.arena,
                  "the watcher cannot confine itself (process.user '%s', sandbox.mode): %s",
                  child->conf->process.user, fp_err_text(err)),
              &w);
    else
        run(&w);
    fp_signals_free(&sig);
    fp_io_stop(&w.master_io);
    fp_channel_free(&w.channel);
    fp_export_close(&w.traces, TRACES_LINGER_MS); /* alone on the loop by now */
    fp_loop_free(&w.loop);
    fp_arena_free(&w.arena);
    return w.status;
}
