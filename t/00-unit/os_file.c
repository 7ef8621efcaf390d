/* os_file: reading, atomic replacement, directories, locks. */
#include "../lib/tap.h"
#include <dirent.h>
#include <stdlib.h>
#include "core/core_arena.h"
#include "os/os_file.c"

static struct fp_arena *a;
static char dir[] = "/tmp/flowplane-os-file-XXXXXX";

static const char *in_dir(const char *name)
{
    return fp_arena_printf(a, "%s/%s", dir, name);
}

static int entries(void)
{
    int n = 0;
    DIR *d = opendir(dir);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : st.st_mode & 07777;
}

static void reading(void)
{
    struct fp_buf b = {0};
    const char *path = in_dir("read");
    is_int(fp_file_create_new(path, "0123456789", 10, 0600), 0, "create");
    fp_buf_append_c(&b, ">");
    is_int(fp_file_read(path, 10, &b), 0, "a file of the most bytes allowed");
    is_str(fp_buf_cstr(&b), ">0123456789", "is appended");
    is_int(fp_file_read(path, 9, &b), FP_ERR_LIMIT, "one more is refused");
    is_int(b.len, 11, "… and leaves the buffer alone");
    is_int(fp_file_read(in_dir("none"), 9, &b), -ENOENT, "no such file");
    ok(fp_file_read(dir, 9, &b) < 0, "a directory");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char c;
    is_int(read(fd, &c, 1), 1, "moved on by one");
    fp_buf_clear(&b);
    is_int(fp_file_read_fd(fd, 100, &b), 0, "read_fd");
    is_str(fp_buf_cstr(&b), "0123456789", "starts at 0");
    close(fd);
    fp_buf_clear(&b);
    ok(fp_file_read("/proc/self/status", 1 << 20, &b) == 0 && b.len > 100, "a file of size 0");
    fp_buf_clear(&b);
    is_int(fp_file_read("/dev/zero", 100000, &b), FP_ERR_LIMIT, "a file without end");
    is_int(b.len, 0, "… leaves nothing");
    int p[2];
    if (pipe2(p, O_CLOEXEC) == 0 && write(p[1], "piped", 5) == 5) {
        close(p[1]);
        ok(fp_file_read_fd(p[0], 100, &b) == 0 && strcmp(fp_buf_cstr(&b), "piped") == 0, "a pipe");
        close(p[0]);
    }
    fp_buf_fini(&b);
    unlink(path);
}

static void writing(void)
{
    struct fp_buf b = {0};
    const char *path = in_dir("state");
    mode_t old = umask(077);
    is_int(fp_file_replace(path, "one", 3, 0644), 0, "replace creates");
    is_int(mode_of(path), 0644, "the mode is as asked, whatever the umask");
    umask(old);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    is_int(fp_file_replace(path, "second", 6, 0600), 0, "replace replaces");
    is_int(fp_file_read_fd(fd, 10, &b), 0, "who has the old file open …");
    is_str(fp_buf_cstr(&b), "one", "… keeps the old content");
    close(fd);
    fp_buf_clear(&b);
    fp_file_read(path, 10, &b);
    is_str(fp_buf_cstr(&b), "second", "others see the new one");
    is_int(mode_of(path), 0600, "and the new mode");
    is_int(fp_file_create_new(path, "x", 1, 0600), -EEXIST, "create_new does not overwrite");
    is_int(symlink(path, in_dir("link")), 0, "a link");
    is_int(fp_file_create_new(in_dir("link"), "x", 1, 0600), -EEXIST, "nor follow a link");
    is_int(fp_file_replace(in_dir("no/such"), "x", 1, 0600), -ENOENT, "no directory");
    is_int(fp_file_mkdirs(in_dir("taken"), 0700), 0, "a directory in the way");
    ok(fp_file_replace(in_dir("taken"), "x", 1, 0600) < 0, "… is not replaced");
    is_int(entries(), 3, "no temporary file is left");
    unlink(in_dir("link"));
    unlink(path);
    rmdir(in_dir("taken"));
    fp_buf_fini(&b);
}

static void directories(void)
{
    is_int(fp_file_mkdirs(in_dir("a/b//c/"), 0750), 0, "mkdirs");
    is_int(mode_of(in_dir("a/b/c")), 0750, "with mode");
    is_int(fp_file_mkdirs(in_dir("a/b/c"), 0700), 0, "again");
    fp_file_create_new(in_dir("a/file"), "", 0, 0600);
    is_int(fp_file_mkdirs(in_dir("a/file"), 0700), -ENOTDIR, "a file is no directory");
    is_int(fp_file_mkdirs(in_dir("a/file/x"), 0700), -ENOTDIR, "nor below it");
    is_int(fp_file_mkdirs("", 0700), -ENOENT, "the empty path");
    is_int(fp_file_mkdirs("/", 0700), 0, "the root");
    unlink(in_dir("a/file"));
    rmdir(in_dir("a/b/c"));
    rmdir(in_dir("a/b"));
    rmdir(in_dir("a"));
}

static void locks(void)
{
    const char *path = in_dir("lock");
    int fd = fp_file_lock(path);
    ok(fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC, "locked");
    is_int(fp_file_lock(path), -EWOULDBLOCK, "not twice");
    close(fd);
    fd = fp_file_lock(path);
    ok(fd >= 0, "free again after close");
    close(fd);
    unlink(path);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    a = fp_arena_new(NULL);
    reading();
    writing();
    directories();
    locks();
    is_int(rmdir(dir), 0, "nothing is left behind");
    fp_arena_free(&a);
    return done_testing();
}
