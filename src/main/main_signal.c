/*
 * -s: find the running master by its pid file and signal it (contract §13.1).  The master holds a
 * lock on that file for as long as it lives, so a stale pid is never signalled.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>
#include "os/os_file.h"
#include "main/main_int.h"

enum { NONE_RUNNING = 3 };

static const struct {
    const char *name;
    int sig;
} signals[] = {{"stop", SIGTERM}, {"quit", SIGQUIT}, {"reload", SIGHUP}, {"reopen", SIGUSR1}};

/* 0: nobody holds the file */
static pid_t running(const char *pid_file)
{
    struct fp_buf b = {0};
    uint64_t pid = 0;
    int fd = open(pid_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return 0;
    if (flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK &&
        fp_file_read_fd(fd, 32, &b) >= 0 && !fp_str_to_u64(fp_str_trim(fp_buf_str(&b)), &pid))
        pid = 0;
    fp_buf_fini(&b);
    close(fd);
    return (pid_t)pid;
}

/* For a reload the whole configuration is tried, as the server would; else the pid file's name is
 * all that matters. */
static struct fp_conf *load(const struct main_options *o, bool whole)
{
    struct main_options relaxed = *o;
    /* the server's DATABASE_URL may be in its environment only */
    relaxed.sources.relaxed = true;
    struct fp_conf *c = fp_conf_load(&relaxed.sources, stderr);
    if (c && whole && !main_check(c, false, stderr))
        fp_conf_free(&c);
    if (!c && whole)
        fprintf(stderr, "flowplane: configuration %s test failed, nothing was sent\n",
                main_conf_name(o));
    return c;
}

int main_signal(const struct main_options *o)
{
    int sig = 0;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (strcmp(o->signal, signals[i].name) == 0)
            sig = signals[i].sig;
    if (!sig) {
        fprintf(stderr, "flowplane: -s knows stop, quit, reload and reopen\n");
        return 2;
    }
    struct fp_conf *c = load(o, sig == SIGHUP);
    if (!c)
        return 1;
    pid_t pid = running(c->process.pid_file);
    int status = 0;
    if (!pid) {
        fprintf(stderr, "flowplane: no server is running (%s)\n", c->process.pid_file);
        status = NONE_RUNNING;
    } else if (kill(pid, sig) < 0) {
        fprintf(stderr, "flowplane: cannot signal pid %d: %s\n", (int)pid, fp_err_text(-errno));
        status = 1;
    }
    fp_conf_free(&c);
    return status;
}
