/*
 * The embedded PostgreSQL (contract §12.2 database.embedded): a private server on a UNIX socket,
 * run as the service user, supervised like a child.  The master never connects to it.  What takes
 * time (initdb) happens in the forked process that becomes the server in the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/core_buf.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "core/core_rand.h"
#include "os/os_exec.h"
#include "os/os_file.h"
#include "os/os_process.h"
#include "master/master_int.h"

#define VERSION_MIN    13
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000
#define STABLE_MS      10000
#define FAST_MS        30000 /* SIGINT: connections are cut, a checkpoint is written, on any disk */
#define IMMEDIATE_MS   3000  /* SIGQUIT: recovery at the next start */
/* exit statuses of a process that did not become the server */
#define SETUP_FAILED 99
#define SETUP_NO_LOG 98

struct master_pg {
    struct master *m;
    struct fp_arena *arena;
    const char *bin_dir, *data_dir, *socket_dir, *log_path, *url;
    pid_t pid;
    uint64_t started_ms, backoff_ms;
    struct fp_timer timer; /* respawn; while stopping: the next, harder signal */
    bool stopping;
    int stop_step;
};

/* --- before the fork ------------------------------------------------------------------------ */

static bool has_programs(struct fp_arena *a, const char *dir)
{
    return access(fp_arena_printf(a, "%s/postgres", dir), X_OK) == 0 &&
           access(fp_arena_printf(a, "%s/initdb", dir), X_OK) == 0;
}

/* The newest of Debian's or of PGDG's layout, else wherever PATH has the programs. */
static const char *find_bin_dir(struct fp_arena *a)
{
    static const char *const patterns[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
                                           "/usr/local/pgsql/bin"};
    const char *best = NULL;
    unsigned long best_version = 0;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        glob_t g = {0};
        if (glob(patterns[i], 0, NULL, &g) == 0)
            for (size_t j = 0; j < g.gl_pathc; j++) {
                const char *p = g.gl_pathv[j] + strcspn(g.gl_pathv[j], "0123456789");
                unsigned long v = *p ? strtoul(p, NULL, 10) : VERSION_MIN;
                if (v >= VERSION_MIN && v > best_version && has_programs(a, g.gl_pathv[j])) {
                    best = fp_arena_strdup(a, g.gl_pathv[j]);
                    best_version = v;
                }
            }
        globfree(&g);
    }
    struct fp_str rest = fp_str_of(getenv("PATH"));
    while (!best && rest.data) {
        struct fp_str dir = fp_str_split(rest, ':', &rest);
        const char *path = fp_arena_printf(a, "%.*s", FP_STR_ARG(dir));
        if (dir.len && has_programs(a, path))
            best = path;
    }
    return best;
}

/* A directory for the service user alone. */
static int private_dir(const struct master_pg *pg, const char *path)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    return master_directory_own(pg->m, path, 0700);
}

static const char *make_url(struct fp_arena *a, const char *dir)
{
    struct fp_buf b = {0};
    fp_buf_append_c(&b, "postgresql://flowplane@/flowplane?host=");
    for (const char *p = dir; *p; p++) {
        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
            strchr("-._~", *p))
            fp_buf_append_byte(&b, (uint8_t)*p);
        else
            fp_buf_printf(&b, "%%%02X", (unsigned char)*p);
    }
    const char *url = fp_arena_strdup(a, fp_buf_cstr(&b));
    fp_buf_fini(&b);
    return url;
}

struct master_pg *master_pg_new(struct master *m)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct master_pg *pg = FP_ARENA_NEW(a, struct master_pg);
    const struct fp_conf *c = m->o->conf;
    pg->m = m;
    pg->arena = a;
    pg->bin_dir = c->database.bin_dir ? c->database.bin_dir : find_bin_dir(a);
    pg->data_dir = c->database.data_dir;
    pg->socket_dir = fp_arena_printf(a, "%s/pg", c->process.runtime_dir);
    pg->log_path = fp_arena_printf(a, "%s.log", pg->data_dir);
    pg->url = make_url(a, pg->socket_dir);
    int err = -ENOENT;
    if (!pg->bin_dir || !has_programs(a, pg->bin_dir))
        master_complain(m,
                        "database.embedded: no PostgreSQL %d or newer found%s%s; set "
                        "database.bin_dir",
                        VERSION_MIN, pg->bin_dir ? " in " : "", pg->bin_dir ? pg->bin_dir : "");
    else if ((err = private_dir(pg, pg->socket_dir)) < 0)
        master_complain(m, "database.embedded: cannot make %s: %s", pg->socket_dir,
                        fp_err_text(err));
    else
        return pg;
    master_pg_free(&pg);
    return NULL;
}

const char *master_pg_url(const struct master_pg *pg)
{
    return pg->url;
}

/* --- in the child --------------------------------------------------------------------------- */

static int open_log(const struct master_pg *pg)
{
    return open(pg->log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static void tell(int fd, const char *what, int status)
{
    dprintf(fd, "flowplane: %s: %s (%d)\n", what, status < 0 ? fp_err_text(status) : "failed",
            status);
}

/* Settings an operator may change later in postgresql.conf; what we rely on is on the command line.
 */
static const char tuning[] = "\n# written once by flowplane\n"
                             "shared_buffers = 16MB\n"
                             "max_wal_size = 128MB\n"
                             "min_wal_size = 32MB\n"
                             "wal_level = minimal\n"
                             "max_wal_senders = 0\n"
                             "max_worker_processes = 2\n"
                             "max_parallel_workers = 0\n"
                             "jit = off\n"
                             "log_line_prefix = '%m [%p] '\n";

static int append_tuning(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/postgresql.conf", dir);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = write(fd, tuning, sizeof tuning - 1) == (ssize_t)sizeof tuning - 1 ? 0 : -EIO;
    close(fd);
    return err;
}

/* initdb beside the final place and a rename: a start that was cut off leaves nothing half made. */
static int make_cluster(const struct master_pg *pg, const char *const *env, int log)
{
    struct fp_arena *a = pg->arena;
    const char *dir = fp_arena_printf(a, "%s.new", pg->data_dir);
    const char *initdb[] = {fp_arena_printf(a, "%s/initdb", pg->bin_dir),
                            "-D",
                            dir,
                            "--username=flowplane",
                            "--auth=peer",
                            "--encoding=UTF8",
                            "--locale=C",
                            "--no-instructions",
                            NULL};
    const char *single[] = {
        fp_arena_printf(a, "%s/postgres", pg->bin_dir), "--single", "-D", dir, "template1", NULL};
    master_remove_tree(dir);
    int err = fp_exec_run(&(struct fp_exec){.argv = initdb, .env = env, .out_fd = log});
    if (err == 0)
        err = fp_exec_run(&(struct fp_exec){
            .argv = single, .env = env, .out_fd = log, .input = "CREATE DATABASE flowplane;\n"});
    if (err == 0)
        err = append_tuning(dir);
    if (err == 0 && rmdir(pg->data_dir) < 0 && errno != ENOENT)
        err = -errno;
    if (err == 0 && rename(dir, pg->data_dir) < 0)
        err = -errno;
    if (err)
        tell(log, "cannot make the database cluster", err);
    return err;
}

/* The service user and root are the role flowplane, whoever made the cluster. */
static int write_access(const struct master_pg *pg, int log)
{
    char hba[4096], ident[4096], text[512];
    const struct passwd *pw = getpwuid(geteuid());
    static const char rule[] = "local all flowplane peer map=flowplane\n";
    snprintf(hba, sizeof hba, "%s/flowplane_hba.conf", pg->data_dir);
    snprintf(ident, sizeof ident, "%s/flowplane_ident.conf", pg->data_dir);
    snprintf(text, sizeof text, "flowplane \"%s\" flowplane\nflowplane root flowplane\n",
             pw ? pw->pw_name : "flowplane");
    int err = fp_file_replace(hba, rule, sizeof rule - 1, 0600);
    if (err >= 0)
        err = fp_file_replace(ident, text, strlen(text), 0600);
    if (err < 0)
        tell(log, "cannot write the access rules", err);
    return err;
}

_Noreturn static void become_server(const struct master_pg *pg, pid_t master)
{
    const struct fp_conf *c = pg->m->o->conf;
    struct fp_arena *a = pg->arena;
    int dropped = fp_process_drop(c->process.user, c->process.group);
    (void)setsid(); /* Ctrl-C must not reach it before the workers are done */
    umask(077);
    fp_exec_die_with_parent(SIGINT, master);
    int log = open_log(pg);
    if (c->process.daemon)
        master_detach();
    if (log < 0)
        _exit(SETUP_NO_LOG);
    if (dropped < 0 || geteuid() == 0) {
        tell(log, "PostgreSQL does not run as root; cannot become process.user", dropped);
        _exit(SETUP_FAILED);
    }
    const char *env[] = {"LC_ALL=C", "PATH=/usr/bin:/bin",
                         fp_arena_printf(a, "HOME=%s", pg->socket_dir), NULL};
    if (access(fp_arena_printf(a, "%s/PG_VERSION", pg->data_dir), F_OK) != 0 &&
        make_cluster(pg, env, log) != 0)
        _exit(SETUP_FAILED);
    if (write_access(pg, log) < 0)
        _exit(SETUP_FAILED);
    /* two generations of an instance, LISTEN and loading included, and a few for the operator */
    unsigned connections = (c->database.max_connections + 4) * 2 + 5;
    const char *argv[] = {fp_arena_printf(a, "%s/postgres", pg->bin_dir),
                          "-D",
                          pg->data_dir,
                          "-k",
                          pg->socket_dir,
                          "-h",
                          "",
                          "-p",
                          "5432",
                          "-c",
                          fp_arena_printf(a, "hba_file=%s/flowplane_hba.conf", pg->data_dir),
                          "-c",
                          fp_arena_printf(a, "ident_file=%s/flowplane_ident.conf", pg->data_dir),
                          "-c",
                          "unix_socket_permissions=0700",
                          "-c", /* in the data directory: a kill -9 leaves nothing in /dev/shm */
                          "dynamic_shared_memory_type=mmap",
                          "-c",
                          fp_arena_printf(a, "max_connections=%u", connections),
                          "-c",
                          pg->m->o->ephemeral ? "fsync=off" : "fsync=on",
                          NULL};
    int err = fp_exec_replace(&(struct fp_exec){.argv = argv, .env = env, .out_fd = log});
    tell(log, "cannot run postgres", err);
    _exit(SETUP_FAILED);
}

/* --- supervision ---------------------------------------------------------------------------- */

static void start_due(struct fp_timer *t)
{
    master_pg_start(t->arg);
}

static void start_later(struct master_pg *pg)
{
    pg->backoff_ms = pg->backoff_ms ? pg->backoff_ms : BACKOFF_MIN_MS;
    pg->timer.cb = start_due;
    fp_timer_start(pg->m->loop, &pg->timer, fp_rand_jitter(pg->backoff_ms, 10));
    pg->backoff_ms = pg->backoff_ms * 2 < BACKOFF_MAX_MS ? pg->backoff_ms * 2 : BACKOFF_MAX_MS;
}

void master_pg_start(struct master_pg *pg)
{
    int pidfd = -1;
    pid_t master = getpid();
    pg->timer.arg = pg;
    pid_t pid = fp_process_fork(&pidfd);
    if (pid == 0)
        become_server(pg, master);
    if (pid < 0) {
        fp_log_error(FP_LOG_MASTER, "cannot fork: %s", fp_err_text((int)pid));
        start_later(pg);
        return;
    }
    pg->pid = pid;
    pg->started_ms = fp_loop_now_ms(pg->m->loop);
    fp_log_info(FP_LOG_MASTER, "started the embedded PostgreSQL (pid %d), its log is %s", (int)pid,
                pg->log_path);
}

bool master_pg_exited(struct master_pg *pg, pid_t pid, int status)
{
    if (pid != pg->pid)
        return false;
    pg->pid = 0;
    if (pg->stopping) {
        fp_timer_stop(&pg->timer);
        fp_log_info(FP_LOG_MASTER, "the embedded PostgreSQL has stopped");
        master_stopped(pg->m);
        return true;
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    const char *why = fp_arena_printf(
        pg->arena,
        code == SETUP_NO_LOG   ? "the embedded PostgreSQL could not be set up: process.user cannot "
                                 "write %s"
        : code == SETUP_FAILED ? "the embedded PostgreSQL could not be set up, see %s"
                               : "the embedded PostgreSQL has ended, see %s",
        pg->log_path);
    fp_log_error(FP_LOG_MASTER, "%s (%s %d)", why, WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : code);
    if ((code == SETUP_FAILED || code == SETUP_NO_LOG) && pg->m->latest.fd < 0 &&
        !pg->m->announced) {
        master_start_failed(pg->m, why);
        return true;
    }
    atomic_fetch_add(&pg->m->page->postgres_restarts, 1);
    if (fp_loop_now_ms(pg->m->loop) - pg->started_ms >= STABLE_MS)
        pg->backoff_ms = 0;
    start_later(pg);
    return true;
}

static void stop_due(struct fp_timer *t)
{
    struct master_pg *pg = t->arg;
    int sig = pg->stop_step++ == 0 ? SIGQUIT : SIGKILL;
    fp_log_warn(FP_LOG_MASTER, "the embedded PostgreSQL does not stop: signal %d", sig);
    (void)kill(pg->pid, sig);
    fp_timer_start(pg->m->loop, t, IMMEDIATE_MS);
}

void master_pg_stop(struct master_pg *pg)
{
    pg->stopping = true;
    fp_timer_stop(&pg->timer);
    if (!pg->pid) {
        master_stopped(pg->m);
        return;
    }
    (void)kill(pg->pid, SIGINT);
    pg->timer.cb = stop_due;
    fp_timer_start(pg->m->loop, &pg->timer, FAST_MS);
}

void master_pg_free(struct master_pg **pgp)
{
    struct fp_arena *a = (*pgp)->arena;
    if ((*pgp)->m->loop)
        fp_timer_stop(&(*pgp)->timer);
    *pgp = NULL;
    fp_arena_free(&a);
}
