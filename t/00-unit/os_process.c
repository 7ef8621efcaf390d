/* os_process and os_title: fork, limits, identity, title. */
#include "../lib/tap.h"
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "core/core_buf.h"
#include "os/os_file.h"
#include "os/os_title.c"
#include "os/os_process.c"

static int exit_of(pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void handler(int sig)
{
    _exit(sig);
}

/* In the child: which promise does not hold, 0 when all do. */
static int broken_promise(int master_pidfd)
{
    sigset_t mask;
    struct sigaction sa;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int sig = 1; sig < NSIG; sig++)
        if (sigismember(&mask, sig) == 1)
            return 1;
    sigaction(SIGUSR1, NULL, &sa);
    if (sa.sa_handler != SIG_DFL)
        return 2;
    sigaction(SIGHUP, NULL, &sa);
    if (sa.sa_handler != SIG_DFL)
        return 3;
    sigaction(SIGPIPE, NULL, &sa);
    if (sa.sa_handler != SIG_IGN)
        return 4;
    struct pollfd p = {master_pidfd, POLLIN, 0};
    return master_pidfd < 0 || !(fcntl(master_pidfd, F_GETFD) & FD_CLOEXEC) ? 5
           : poll(&p, 1, 0) != 0                                            ? 6
                                                                            : 0;
}

static void forking(void)
{
    sigset_t usr1, mask;
    int pidfd = 7;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    signal(SIGUSR1, handler);
    signal(SIGHUP, SIG_IGN);
    pid_t pid = fp_process_fork(&pidfd);
    if (pid == 0)
        _exit(broken_promise(pidfd));
    ok(pid > 0 && pidfd == -1, "parent: a pid and no pidfd");
    is_int(exit_of(pid), 0, "child: no mask, default dispositions, SIGPIPE ignored, a live pidfd");
    sigprocmask(SIG_SETMASK, NULL, &mask);
    ok(sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGTERM) == 0,
       "the parent's mask is as it was");
    signal(SIGUSR1, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &usr1, NULL);
}

/* test → "master" → child; the master dies, the child must see it. */
static void orphans(void)
{
    int p[2];
    char c = 0;
    if (pipe(p))
        return;
    pid_t master = fork();
    if (master == 0) {
        int pidfd;
        if (fp_process_fork(&pidfd) == 0) {
            struct pollfd wait = {pidfd, POLLIN, 0};
            _exit(poll(&wait, 1, 10000) == 1 && write(p[1], "x", 1) == 1 ? 0 : 1);
        }
        raise(SIGKILL);
    }
    close(p[1]);
    is_int(exit_of(master), -SIGKILL, "the master is killed");
    is_int(read(p[0], &c, 1), 1, "its child sees it by the pidfd");
    close(p[0]);
}

static void limits(void)
{
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    pid_t pid = fork();
    if (pid == 0) {
        int got = fp_process_nofile(20);
        struct rlimit low;
        getrlimit(RLIMIT_NOFILE, &low);
        _exit(got != 20 || low.rlim_cur != 20 || low.rlim_max != r.rlim_max);
    }
    is_int(exit_of(pid), 0, "the soft limit is lowered, the hard one left");
    pid = fork();
    if (pid == 0) {
        struct rlimit low = {32, r.rlim_max};
        setrlimit(RLIMIT_NOFILE, &low);
        int err = fp_process_nofile(64);
        getrlimit(RLIMIT_NOFILE, &low);
        _exit(err != 64 || low.rlim_cur != 64 || low.rlim_max != r.rlim_max);
    }
    is_int(exit_of(pid), 0, "the soft limit is raised, the hard one left");
    pid = fork();
    if (pid == 0) {
        struct rlimit low = {32, 48};
        setrlimit(RLIMIT_NOFILE, &low);
        if (geteuid() == 0 && setuid(65534))
            _exit(1);
        int got = fp_process_nofile(64);
        getrlimit(RLIMIT_NOFILE, &low);
        _exit(got != 48 || low.rlim_cur != 48);
    }
    is_int(exit_of(pid), 0, "as far as the hard limit when that must stay");
}

static void identity(void)
{
    uid_t uid = 7;
    gid_t gid = 7;
    ok(fp_process_user_lookup("root", NULL, &uid, &gid) && uid == 0 && gid == 0, "root");
    ok(fp_process_user_lookup("12345", "54321", &uid, &gid) && uid == 12345 && gid == 54321,
       "numbers");
    ok(fp_process_user_lookup("root", "nogroup", &uid, &gid) && gid != 0, "a group by name");
    ok(!fp_process_user_lookup("no such user", NULL, &uid, &gid) &&
           !fp_process_user_lookup("root", "no such group", &uid, &gid) &&
           !fp_process_user_lookup("4294967295", NULL, &uid, &gid) &&
           !fp_process_user_lookup("-1", NULL, &uid, &gid) &&
           !fp_process_user_lookup(NULL, NULL, &uid, &gid),
       "unknown names and the id that means none");
    if (geteuid() != 0) {
        is_int(fp_process_drop("no such user", NULL), 0, "not root: nothing to drop");
        return;
    }
    is_int(fp_process_drop("no such user", NULL), -ENOENT, "unknown user");
    pid_t pid = fork();
    if (pid == 0) {
        gid_t groups[64];
        int err = fp_process_drop("12345", "54321");
        int n = getgroups(64, groups);
        _exit(err                                       ? 1
              : getuid() != 12345 || geteuid() != 12345 ? 2
              : getgid() != 54321                       ? 3
              : n != 1 || groups[0] != 54321            ? 4
              : setuid(0) == 0                          ? 5
                                                        : 0);
    }
    is_int(exit_of(pid), 0, "dropped: ids, groups, no way back");
}

static const char *proc(const char *name, struct fp_buf *b)
{
    char path[64];
    fp_buf_clear(b);
    snprintf(path, sizeof(path), "/proc/self/%s", name);
    fp_file_read(path, 1 << 20, b);
    return fp_buf_cstr(b);
}

static void title(int argc, char **argv)
{
    struct fp_buf b = {0};
    char was[64];
    snprintf(was, sizeof(was), "%s", argv[argc - 1]);
    fp_process_title_set("too early");
    ok(strcmp(proc("cmdline", &b), "too early") != 0, "without title_init nothing happens");
    fp_process_title_init(argc, argv);
    fp_process_title_init(argc, argv);
    is_str(argv[argc - 1], was, "argv is still there");
    is_str(getenv("FP_TEST_SECRET"), "hush", "so is the environment");
    proc("environ", &b);
    ok(!memmem(b.data, b.len, "hush", 4), "/proc/self/environ does not show it");
    fp_process_title_set("flowplane: %s", "worker process");
    is_str(proc("cmdline", &b), "flowplane: worker process", "the title");
    is_str(argv[argc - 1], was, "argv is not touched by it");
    fp_process_title_set("short");
    is_str(proc("cmdline", &b), "short", "a shorter one");
    char *big = fp_mem_zalloc(100000);
    memset(big, 'x', 99999);
    fp_process_title_set("%s", big);
    ok(strncmp(proc("cmdline", &b), "xxx", 3) == 0 && b.len < 90000, "a long one is cut");
    ok(setenv("FP_TEST_NEW", "1", 1) == 0 && getenv("FP_TEST_NEW"), "setenv works");
    fp_mem_free(big);
    fp_buf_fini(&b);
}

int main(int argc, char **argv)
{
    if (!getenv("FP_TEST_SECRET")) { /* into the environment that the kernel knows */
        setenv("FP_TEST_SECRET", "hush", 1);
        execl("/proc/self/exe", argv[0], "--last-argument", (char *)NULL);
        return 1;
    }
    forking();
    orphans();
    limits();
    identity();
    title(argc, argv);
    return done_testing();
}
