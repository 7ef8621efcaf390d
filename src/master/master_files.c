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

/* Made when missing; as root it then belongs to the service user. */
static int directory(struct master *m, const char *name, const char *path, unsigned mode, bool must)
{
    struct stat st;
    uid_t uid;
    gid_t gid;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && access(path, W_OK | X_OK) == 0)
        return 0;
    const char *slash = strrchr(path, '/');
    int err = 0;
    if (slash && slash != path) { /* parents as usual: the service user must get through */
        char parent[4096];
        snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
        err = fp_file_mkdirs(parent, 0755);
    }
    if (err >= 0)
        err = fp_file_mkdirs(path, mode);
    if (err >= 0 && geteuid() == 0 &&
        fp_process_user_lookup(conf(m)->process.user, conf(m)->process.group, &uid, &gid) &&
        chown(path, uid, gid) < 0)
        err = -errno;
    if (err >= 0 && access(path, W_OK | X_OK) < 0)
        err = -errno;
    if (err >= 0)
        return 0;
    if (must)
        master_complain(m, "%s: cannot use %s: %s", name, path, fp_err_text(err));
    else
        fp_log_warn(FP_LOG_MASTER, "%s: cannot use %s: %s", name, path, fp_err_text(err));
    return must ? err : 0;
}

int master_directories(struct master *m)
{
    bool must = conf(m)->process.daemon || conf(m)->database.embedded;
    int err = directory(m, "process.runtime_dir", conf(m)->process.runtime_dir, 0755, must);
    if (err < 0)
        return err;
    return directory(m, "process.state_dir", conf(m)->process.state_dir, 0750,
                     conf(m)->database.embedded);
}

static int write_pid(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
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
        fp_log_warn(FP_LOG_MASTER, "process.state_dir: cannot lock %s: %s; no snapshot cache", path,
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
