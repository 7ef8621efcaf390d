/*
 * Running other programs: initdb and postgres of the embedded mode.  Called in a child the master
 * has forked for that; never in the master, since it blocks.
 */
#include "os/os_exec.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void fp_exec_die_with_parent(int sig, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, sig);
    if (getppid() != parent)
        raise(sig);
}

static int stdin_of(const char *input)
{
    int pair[2];
    if (!input)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (pipe2(pair, O_CLOEXEC) < 0)
        return -1;
    size_t n = strlen(input);
    ssize_t put = write(pair[1], input, n);
    close(pair[1]);
    if (put == (ssize_t)n)
        return pair[0];
    close(pair[0]);
    errno = EIO;
    return -1;
}

int fp_exec_replace(const struct fp_exec *x)
{
    int in = stdin_of(x->input);
    if (in < 0 || dup2(in, 0) < 0 || dup2(x->out_fd, 1) < 0 || dup2(x->out_fd, 2) < 0)
        return -errno;
    (void)close_range(3, ~0U, 0);
    (void)execve(x->argv[0], (char *const *)(const void *)x->argv,
                 (char *const *)(const void *)x->env);
    return -errno;
}

int fp_exec_run(const struct fp_exec *x)
{
    pid_t self = getpid(), pid = fork();
    int status;
    if (pid == 0) {
        fp_exec_die_with_parent(SIGKILL, self);
        (void)fp_exec_replace(x);
        _exit(127);
    }
    if (pid < 0)
        return -errno;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
