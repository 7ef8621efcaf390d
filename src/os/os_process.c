/* Processes: fork, limits, identity.  The title is os_title.c, the sandbox os_sandbox.c. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "core/core_str.h"
#include "os/os_process.h"

static int pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0); /* Linux 5.3; close-on-exec by itself */
}

static void reset_signals(void)
{
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL); /* fails for KILL, STOP and libc's own two, which is right */
    signal(SIGPIPE, SIG_IGN); /* a peer that hangs up is EPIPE, in TLS and libpq too */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

pid_t fp_process_fork(int *master_pidfd)
{
    sigset_t all, old;
    *master_pidfd = -1;
    /* Opened before the fork: a master that dies in between is already what it refers to. */
    int fd = pidfd_open(getpid());
    if (fd < 0)
        return -errno;
    sigfillset(&all); /* no handler of the parent may run in the child */
    sigprocmask(SIG_SETMASK, &all, &old);
    pid_t pid = fork();
    int err = -errno;
    if (pid == 0) {
        *master_pidfd = fd;
        reset_signals();
        return 0;
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(fd);
    return pid < 0 ? err : pid;
}

int fp_process_nofile(size_t n)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r))
        return -errno;
    struct rlimit want = {.rlim_cur = n, .rlim_max = r.rlim_max < n ? n : r.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &want) == 0) /* a higher hard limit needs CAP_SYS_RESOURCE */
        return (int)n;
    r.rlim_cur = r.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &r) ? -errno : (int)r.rlim_cur;
}

size_t fp_process_nofile_now(void)
{
    struct rlimit r;
    return getrlimit(RLIMIT_NOFILE, &r) ? 0 : (size_t)r.rlim_cur;
}

/* A name, else a number. */
static bool user_of(const char *text, uid_t *uid, gid_t *gid)
{
    uint64_t n;
    const struct passwd *pw = getpwnam(text);
    if (pw) {
        *uid = pw->pw_uid;
        *gid = pw->pw_gid;
        return true;
    }
    if (!fp_str_to_u64(fp_str_of(text), &n) || n >= (uid_t)-1)
        return false;
    pw = getpwuid((uid_t)n);
    *uid = (uid_t)n;
    *gid = pw ? pw->pw_gid : (gid_t)n;
    return true;
}

static bool group_of(const char *text, gid_t *gid)
{
    uint64_t n;
    const struct group *gr = getgrnam(text);
    if (gr)
        *gid = gr->gr_gid;
    else if (fp_str_to_u64(fp_str_of(text), &n) && n < (gid_t)-1)
        *gid = (gid_t)n;
    else
        return false;
    return true;
}

bool fp_process_user_lookup(const char *user, const char *group, uid_t *uid, gid_t *gid)
{
    return user && user_of(user, uid, gid) && (!group || !*group || group_of(group, gid));
}

int fp_process_drop(const char *user, const char *group)
{
    uid_t uid;
    gid_t gid;
    if (geteuid() != 0)
        return 0;
    if (!fp_process_user_lookup(user, group, &uid, &gid))
        return -ENOENT;
    const struct passwd *pw = getpwuid(uid);
    /* the user's further groups count: "ssl-cert" is how packages share keys */
    if (pw ? initgroups(pw->pw_name, gid) : setgroups(1, &gid))
        return -errno;
    if (setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
        return -errno;
    FP_ASSERT(uid == 0 || setuid(0) != 0); /* there is no way back */
    /* libpq looks for certificates there, and takes a home that it may not enter for an error */
    if (pw)
        setenv("HOME", pw->pw_dir, 1);
    else
        unsetenv("HOME");
    return 0;
}
