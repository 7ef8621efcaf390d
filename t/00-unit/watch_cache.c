/* The last known good snapshot: saved, loaded, and passed over when it does not hold. */
#include "watch/watch_cache.c"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "tap.h"

static int segment(uint64_t revision)
{
    struct fp_snap_builder *b = fp_snap_builder_new();
    struct fp_snap_meta meta = {.generation = revision, .revision = revision};
    struct fp_snap_entry e = {.name = FP_STR("c"), .blob = FP_STR("bytes")};
    int fd = -1;
    if (fp_snap_builder_add(b, FP_KIND_CLUSTER, &e) < 0 ||
        fp_snap_builder_finish(b, &meta, &fd) < 0)
        diag("no segment");
    fp_snap_builder_free(&b);
    return fd;
}

static void spoil(const char *dir, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r+");
    fseek(f, -3, SEEK_END);
    fputc('!', f);
    fclose(f);
}

int main(void)
{
    char dir[] = "/tmp/fp-cache-XXXXXX", path[256];
    struct fp_snap_meta meta = {0};
    struct stat st;
    int fd = -1, one = segment(1), two = segment(2);
    if (!mkdtemp(dir))
        return 1;
    is_int(watch_cache_load(dir, &fd, &meta), FP_ERR_NOT_FOUND, "an empty directory has no cache");
    is_int(watch_cache_save(dir, one), 0, "save");
    is_int(watch_cache_save(dir, two), 0, "save again");
    snprintf(path, sizeof(path), "%s/snapshot", dir);
    ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600, "mode 0600");
    is_int(watch_cache_load(dir, &fd, &meta), 0, "load");
    is_int(meta.revision, 2, "the newest");
    close(fd);
    spoil(dir, "snapshot");
    is_int(watch_cache_load(dir, &fd, &meta), 0, "a spoilt file is passed over");
    is_int(meta.revision, 1, "for the one before");
    close(fd);
    spoil(dir, "snapshot.previous");
    is_int(watch_cache_load(dir, &fd, &meta), FP_ERR_CORRUPT, "both spoilt: none");
    static const char *const half[] = {"snapshot.0123456789abcdef.tmp",
                                       "snapshot.fedcba9876543210.tmp",
                                       "other.0123456789abcdef.tmp"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, half[i]);
        close(open(path, O_CREAT | O_WRONLY, 0600));
        if (i != 1)
            utimensat(AT_FDCWD, path, (const struct timespec[]){{1}, {1}}, 0);
    }
    watch_cache_sweep(dir);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, half[i]);
        is_int(unlink(path), i ? 0 : -1, "%s: %s", half[i], i ? "stays" : "an old one is swept");
    }
    snprintf(path, sizeof(path), "%s/snapshot", dir);
    is_int(watch_cache_save("/nonexistent", one), -ENOENT, "no directory: an error, not the end");
    close(one);
    close(two);
    unlink(path);
    snprintf(path, sizeof(path), "%s/snapshot.previous", dir);
    unlink(path);
    rmdir(dir);
    return done_testing();
}
