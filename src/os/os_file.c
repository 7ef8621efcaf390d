/* Files of ours: whole reads, atomic replacement, locks.  Blocking: start, reload, watcher, ctl. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "core/core_err.h"
#include "core/core_rand.h"
#include "os/os_file.h"

enum { CHUNK_BYTES = 16 * 1024 };

/* pread(2), so that a descriptor passed around can be read again; pipes have no offset. */
static ssize_t read_at(int fd, void *to, size_t n, size_t offset)
{
    ssize_t r;
    do {
        r = pread(fd, to, n, (off_t)offset);
        if (r < 0 && errno == ESPIPE)
            r = read(fd, to, n);
    } while (r < 0 && errno == EINTR);
    return r;
}

int fp_file_read_fd(int fd, size_t max_bytes, struct fp_buf *out)
{
    size_t start = out->len;
    struct stat st;
    int err = 0;
    if (fstat(fd, &st))
        return -errno;
    if (S_ISREG(st.st_mode)) { /* at once: a secret leaves no copies behind in grown buffers */
        if ((uintmax_t)st.st_size > max_bytes)
            return FP_ERR_LIMIT;
        fp_buf_reserve(out, (size_t)st.st_size + 1);
    }
    for (;;) {
        size_t room = out->cap - out->len;
        if (room == 0) {
            fp_buf_reserve(out, CHUNK_BYTES);
            continue;
        }
        ssize_t n = read_at(fd, out->data + out->len, room, out->len - start);
        if (n == 0)
            return 0;
        if (n < 0 || out->len - start + (size_t)n > max_bytes) {
            err = n < 0 ? -errno : FP_ERR_LIMIT;
            break;
        }
        out->len += (size_t)n;
    }
    out->len = start;
    return err;
}

int fp_file_read(const char *path, size_t max_bytes, struct fp_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int err = fp_file_read_fd(fd, max_bytes, out);
    close(fd);
    return err;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -errno;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

/* The name is durable only when its directory is. */
static int sync_dir_of(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof(dir))
        return -ENAMETOOLONG;
    memcpy(dir, path, n);
    dir[n] = '\0';
    int fd = open(n ? dir : slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = fsync(fd) ? -errno : 0;
    close(fd);
    return err;
}

int fp_file_create_new(const char *path, const void *data, size_t n, unsigned mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600);
    if (fd < 0)
        return -errno;
    int err = write_all(fd, data, n);
    if (!err && fchmod(fd, mode)) /* whatever the umask, and only once the content is there */
        err = -errno;
    if (!err && fsync(fd))
        err = -errno;
    if (close(fd) && !err)
        err = -errno;
    if (!err)
        err = sync_dir_of(path);
    if (err)
        unlink(path);
    return err;
}

int fp_file_replace(const char *path, const void *data, size_t n, unsigned mode)
{
    char temp[PATH_MAX];
    int len =
        snprintf(temp, sizeof(temp), "%s.%016llx.tmp", path, (unsigned long long)fp_rand_u64());
    if (len < 0 || (size_t)len >= sizeof(temp))
        return -ENAMETOOLONG;
    int err = fp_file_create_new(temp, data, n, mode);
    if (err)
        return err;
    if (rename(temp, path)) {
        err = -errno;
        unlink(temp);
        return err;
    }
    return sync_dir_of(path);
}

void fp_file_sweep(const char *path, unsigned older_s)
{
    char text[PATH_MAX];
    glob_t found;
    if ((size_t)snprintf(text, sizeof(text), "%s.????????????????.tmp", path) >= sizeof(text) ||
        glob(text, GLOB_NOSORT, NULL, &found))
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct stat st;
        if (lstat(found.gl_pathv[i], &st) == 0 && st.st_mtime + (time_t)older_s <= time(NULL))
            unlink(found.gl_pathv[i]);
    }
    globfree(&found);
}

static int make_dir(const char *path, unsigned mode)
{
    struct stat st;
    if (mkdir(path, mode) == 0)
        return 0;
    int err = -errno;
    if (stat(path, &st)) /* also for a read-only parent of what exists already */
        return err;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int fp_file_mkdirs(const char *path, unsigned mode)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(part))
        return n ? -ENAMETOOLONG : -ENOENT;
    memcpy(part, path, n + 1);
    for (size_t i = 1; i < n; i++) {
        if (part[i] != '/')
            continue;
        part[i] = '\0';
        int err = make_dir(part, mode);
        if (err)
            return err;
        part[i] = '/';
    }
    return make_dir(part, mode);
}

int fp_file_lock(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    int err = -errno;
    close(fd);
    return err;
}
