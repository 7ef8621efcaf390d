/*
 * Directories, the lock against a second server, the pid file, the way to the background, the
 * service manager.  Runs in the master, mostly before the first fork.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "core/core_log.h"
#include "os/os_file.h"
#include "os/os_process.h"
#include "master/master_int.h"

static const struct fp_conf *conf(const struct master *m)
{
    return m->o->conf;
}

/*
 * Gives a directory to the service user.  By descriptor and without following a link: what lies in
 * a directory of that user may have been put there by it.
 */
int master_directory_own(const struct master *m, const char *path, unsigned mode)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = 0;
    if (uid == 0 &&
        fp_process_user_lookup(conf(m)->process.user, conf(m)->process.group, &uid, &gid) &&
        fchown(fd, uid, gid) < 0)
        err = -errno;
    if (err == 0 && fchmod(fd, mode) < 0)
        err = -errno;
    close(fd);
    return err;
}

/* Parents as usual, so that the service user gets through. */
static int make(const char *path)
{
    return fp_file_mkdirs(path, 0755);
}

/* runtime_dir stays the master's own (its pid file is believed by -s), state_dir is for children.
 */
int master_directories(struct master *m)
{
    const char *run = conf(m)->process.runtime_dir, *state = conf(m)->process.state_dir;
    bool embedded = conf(m)->database.embedded, must = conf(m)->process.daemon || embedded;
    int err = make(run);
    if (err >= 0 && access(run, W_OK | X_OK) < 0)
        err = -errno;
    if (err < 0 && must) {
        master_complain(m, "process.runtime_dir: cannot use %s: %s", run, fp_err_text(err));
        return err;
    }
    bool there = access(state, F_OK) == 0;
    err = make(state);
    if (err >= 0 && !there)
        err = master_directory_own(m, state, 0750);
    if (err >= 0 && access(state, W_OK | X_OK) < 0)
        err = -errno;
    if (err < 0 && embedded) {
        master_complain(m, "process.state_dir: cannot use %s: %s", state, fp_err_text(err));
        return err;
    }
    if (err < 0)
        fp_log_warn(FP_LOG_MASTER, "process.state_dir: cannot use %s: %s; no snapshot cache", state,
                    fp_err_text(err));
    return 0;
}

/* A file that was linked to elsewhere is not written. */
static int write_pid(int fd)
{
    char text[32];
    struct stat st;
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
        return -EPERM;
    return ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n ? -errno : 0;
}

static void holder(const char *path, char out[32])
{
    struct fp_buf b = {0};
    out[0] = '\0';
    if (fp_file_read(path, 31, &b) >= 0)
        snprintf(out, 32, "%.*s", FP_STR_ARG(fp_str_trim(fp_buf_str(&b))));
    fp_buf_fini(&b);
}

int master_lock(struct master *m)
{
    char path[4096], pid[32];
    snprintf(path, sizeof path, "%s/lock", conf(m)->process.state_dir);
    m->lock_fd = fp_file_lock(path);
    if (m->lock_fd == -EWOULDBLOCK) {
        holder(path, pid);
        master_complain(m, "another flowplane (pid %s) uses the state directory %s", pid,
                        conf(m)->process.state_dir);
        return m->lock_fd;
    }
    if (m->lock_fd < 0) {
        fp_log_warn(FP_LOG_MASTER, "process.state_dir: cannot lock %s: %s", path,
                    fp_err_text(m->lock_fd));
        return 0;
    }
    (void)write_pid(m->lock_fd);
    return 0;
}

int master_pid_write(struct master *m)
{
    char pid[32];
    const char *path = conf(m)->process.pid_file;
    m->pid_fd = fp_file_lock(path);
    if (m->pid_fd == -EWOULDBLOCK) {
        holder(path, pid);
        master_complain(m, "already running: pid %s holds %s", pid, path);
        return m->pid_fd;
    }
    struct stat st; /* it is removed at the end of one that was not killed */
    m->orphans = m->pid_fd >= 0 && fstat(m->pid_fd, &st) == 0 && st.st_size > 0;
    int err = m->pid_fd < 0 ? m->pid_fd : write_pid(m->pid_fd);
    if (m->pid_fd >= 0)
        (void)fchmod(m->pid_fd, 0644);
    if (err >= 0)
        return 0;
    if (!conf(m)->process.daemon) {
        fp_log_warn(FP_LOG_MASTER, "process.pid_file: cannot write %s: %s", path, fp_err_text(err));
        return 0;
    }
    master_complain(m, "process.pid_file: cannot write %s: %s", path, fp_err_text(err));
    return err;
}

void master_pid_remove(struct master *m)
{
    if (m->pid_fd >= 0)
        (void)unlink(conf(m)->process.pid_file);
}

/* The parent waits for the verdict, so that `flowplane` returns when the start has succeeded. */
int master_daemonize(struct master *m)
{
    int pair[2], pidfd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid_t pid = fp_process_fork(&pidfd);
    if (pid < 0)
        return (int)pid;
    if (pid > 0) {
        unsigned char status = 1;
        close(pair[1]);
        if (read(pair[0], &status, 1) != 1)
            status = 1; /* it died */
        _exit(status);
    }
    if (pidfd >= 0)
        close(pidfd);
    close(pair[0]);
    m->status_fd = pair[1];
    (void)setsid();
    return 0;
}

void master_detach(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        (void)dup2(null, fd);
    if (null > STDERR_FILENO)
        close(null);
}

void master_daemon_ready(struct master *m, int status)
{
    unsigned char byte = (unsigned char)status;
    if (m->status_fd < 0)
        return;
    if (status == 0)
        master_detach();
    if (write(m->status_fd, &byte, 1) != 1)
        fp_log_debug(FP_LOG_MASTER, "nobody waits for the start");
    close(m->status_fd);
    m->status_fd = -1;
}

/* sd_notify(3) without the library: one datagram. */
void master_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof a.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(a.sun_path, path, n);
    if (a.sun_path[0] == '@')
        a.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        fp_log_warn(FP_LOG_MASTER, "cannot notify the service manager: %s", fp_err_text(-errno));
    close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    (void)remove(path);
    return 0;
}

/* --ephemeral only; does not follow links, does not leave the file system. */
void master_remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
