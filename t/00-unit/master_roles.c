/*
 * The master with scripted roles: what a respawned worker gets, what a last word is worth, what a
 * child inherits, back-off.  Real processes, no sockets of importance, no database.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/core_clock.h"
#include "core/core_log.h"
#include "master/master.h"
#include "os/os_channel.h"
#include "os/os_file.h"
#include "os/os_memfd.h"
#include "os/os_socket.h"
#include "tap.h"

/* What children report: shared memory, since they are in other processes. */
static struct notes {
    _Atomic int worker_starts, watcher_starts, snapshots, right_text, fds, drains, master;
    _Atomic uint64_t starts_ms[64];
} * notes;
static enum { GOOD, FATAL, CRASHING, DIES_ONCE } script;
static char top[] = "/tmp/fp-master-XXXXXX";
static char report[8192];

/* --- roles --- */

static struct fp_loop *loop;

static bool pools_open(const struct fp_conf *c, const struct fp_conf_files *f,
                       struct fp_child_pools *out, FILE *err)
{
    return true;
}

static void pools_close(struct fp_child_pools *p)
{
}

static void on_frame(struct fp_channel *ch, enum fp_frame_type type, const void *payload, size_t n,
                     int fd, void *arg)
{
    const void *map;
    size_t size;
    (void)ch, (void)arg;
    if (type == FP_FRAME_SNAPSHOT && fd >= 0 && n == 16) {
        atomic_fetch_add(&notes->snapshots, 1);
        if (((const uint64_t *)payload)[0] == 7 && fp_memfd_map(fd, &map, &size) == 0 &&
            strncmp(map, "a snapshot", 10) == 0)
            atomic_fetch_add(&notes->right_text, 1);
        close(fd);
        if (script == DIES_ONCE && atomic_load(&notes->worker_starts) == 1)
            raise(SIGKILL);
        return;
    }
    if (type == FP_FRAME_DRAIN)
        atomic_fetch_add(&notes->drains, 1);
    if (type == FP_FRAME_DRAIN || type == FP_FRAME_STOP || type == FP_FRAME_GONE)
        fp_loop_stop(loop);
}

static int open_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    closedir(d);
    return n - 3; /* ., .., the directory itself */
}

static void serve(struct fp_channel *ch)
{
    fp_channel_send(ch, FP_FRAME_READY, NULL, 0, -1);
    fp_loop_run(loop);
    fp_channel_free(&ch);
    fp_loop_free(&loop);
}

static int worker(struct fp_child *c)
{
    int n = atomic_fetch_add(&notes->worker_starts, 1);
    atomic_store(&notes->starts_ms[n % 64], fp_clock_mono_ms());
    atomic_store(&notes->fds, open_fds());
    if (script == CRASHING)
        raise(SIGKILL);
    loop = fp_loop_new();
    serve(fp_channel_new(loop, c->channel_fd, on_frame, NULL));
    return 0;
}

static int watcher(struct fp_child *c)
{
    atomic_fetch_add(&notes->watcher_starts, 1);
    loop = fp_loop_new();
    struct fp_channel *ch = fp_channel_new(loop, c->channel_fd, on_frame, NULL);
    if (script == FATAL) { /* and gone: the last word must not be lost with it */
        fp_channel_send(ch, FP_FRAME_FATAL, "first line\nsecond line", 22, -1);
        _exit(1);
    }
    struct fp_memfd m;
    uint64_t head[2] = {7, 9};
    if (fp_memfd_create(&m, "test", 4096) == 0) {
        memcpy(m.map, "a snapshot", 11);
        if (fp_memfd_seal(&m) == 0)
            fp_channel_send(ch, FP_FRAME_SNAPSHOT, head, sizeof head, m.fd);
    }
    serve(ch);
    return 0;
}

/* --- the master, in a process of its own --- */

static uint16_t free_port(void)
{
    /* below the ports that clients and other tests are given; a run beside this one has others */
    static uint16_t port;
    port = port ? port : (uint16_t)(10000 + getpid() % 9000);
    struct fp_addr a;
    for (port++;; port++)
        if (fp_addr_parse(&a, "127.0.0.1", port) == 0 && fp_socket_probe(&a) == 0)
            return port;
}

static pid_t start(int script_now)
{
    static const struct fp_master_roles roles = {
        .worker = worker, .watcher = watcher, .pools_open = pools_open, .pools_close = pools_close};
    static char over[6][128];
    static const char *overs[6];
    uint16_t port = free_port(), xds_port = free_port(); /* a neighbour may be a client's */
    script = script_now;
    memset(notes, 0, sizeof *notes);
    memset(report, 0, sizeof report);
    snprintf(over[0], 128, "process.runtime_dir = %s/run", top);
    snprintf(over[1], 128, "process.state_dir = %s/state", top);
    snprintf(over[2], 128, "api.port = %u", port);
    snprintf(over[3], 128, "xds.port = %u", xds_port);
    snprintf(over[4], 128, "process.workers = 1");
    snprintf(over[5], 128, "observability.log_target = file:%s/log", top);
    for (int i = 0; i < 6; i++)
        overs[i] = over[i];
    struct fp_conf_sources s = {.file = "/dev/null", .overrides = overs, .overrides_n = 6};
    setenv("DATABASE_URL", "postgresql:///none", 1);
    fflush(stdout);
    pid_t pid = fork();
    if (pid)
        return pid;
    char path[128];
    snprintf(path, sizeof path, "%s/err", top);
    FILE *err = fopen(path, "w");
    setvbuf(err, NULL, _IONBF, 0);
    struct fp_master_options o = {.conf = fp_conf_load(&s, err),
                                  .sources = &s,
                                  .roles = &roles,
                                  .page = fp_shared_pages_new(sizeof(struct fp_page)),
                                  .err = err,
                                  .report = ""};
    int status = o.conf ? fp_master_run(&o) : 99;
    fp_conf_free(&o.conf);
    fclose(err);
    exit(status);
}

static bool wait_for(_Atomic int *what, int at_least)
{
    for (int i = 0; i < 12000 && atomic_load(what) < at_least; i++)
        poll(NULL, 0, 10);
    return atomic_load(what) >= at_least;
}

static int ended(pid_t pid, int sig)
{
    int status = -1;
    if (sig)
        kill(pid, sig);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int main(void)
{
    char path[128];
    notes = fp_shared_pages_new(sizeof *notes);
    ok(mkdtemp(top) != NULL, "a directory");
    chmod(top, 0755);

    pid_t pid = start(GOOD);
    ok(wait_for(&notes->right_text, 1),
       "the worker gets the watcher's snapshot, descriptor and head");
    is_int(ended(pid, SIGTERM), 0, "TERM: status 0");
    is_int(notes->fds, 8, "a worker inherits 0 to 2, log, channel, pidfd and its two sockets");
    is_int(notes->drains, 0, "fast stop: no DRAIN");

    pid = start(GOOD);
    ok(wait_for(&notes->right_text, 1), "serving");
    is_int(ended(pid, SIGQUIT), 0, "QUIT: status 0");
    is_int(notes->drains, 2, "graceful stop: worker and watcher are told to drain");

    pid = start(DIES_ONCE);
    ok(wait_for(&notes->right_text, 2), "a respawned worker gets the latest snapshot at once");
    is_int(notes->worker_starts, 2, "it was started twice");
    is_int(notes->watcher_starts, 1, "and the watcher was left alone");
    is_int(ended(pid, SIGTERM), 0, "TERM: status 0");

    pid = start(FATAL);
    is_int(ended(pid, 0), 1, "FATAL while nothing is served: status 1");
    is_int(notes->watcher_starts, 1, "and no second try");
    struct fp_buf b = {0};
    snprintf(path, sizeof path, "%s/err", top);
    fp_file_read(path, 4096, &b);
    ok(strstr(fp_buf_cstr(&b), "Error: first line\nError: second line\n"),
       "its last word is told, line by line");
    fp_buf_fini(&b);

    pid = start(CRASHING);
    ok(wait_for(&notes->worker_starts, 5), "a worker that cannot live is tried again");
    is_int(ended(pid, SIGTERM), 0, "TERM meanwhile: status 0");
    const _Atomic uint64_t *t = notes->starts_ms;
    diag("the first time after %d ms", (int)(t[1] - t[0]));
    ok(t[3] - t[2] >= 150, "then later (%d ms)", (int)(t[3] - t[2]));
    ok(t[4] - t[3] >= 300, "and later (%d ms)", (int)(t[4] - t[3]));

    static const char *const left[] = {"err",   "log", "run/flowplane.pid", "run", "state/lock",
                                       "state", ""};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        snprintf(path, sizeof path, "%s/%s", top, left[i]);
        remove(path);
    }
    ok(access(top, F_OK) != 0, "nothing else was left");
    return done_testing();
}
