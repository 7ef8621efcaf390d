/*
 * The last known good snapshot in the state directory: with the database down an instance starts
 * and serves from it.  Runs in the watcher.  A segment carries its own checksum; a file that does
 * not hold is passed over for the one before it.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "core/core_log.h"
#include "os/os_file.h"
#include "os/os_memfd.h"
#include "snap/snap_reader.h"
#include "watch/watch_int.h"

#define CACHE_MAX_BYTES ((size_t)4 << 30)
#define SWEEP_S         60 /* the watcher of the generation before may still be writing */

static const char *const names[] = {"snapshot", "snapshot.previous"};

static void path_of(char *out, size_t n, const char *state_dir, const char *name)
{
    snprintf(out, n, "%s/%s", state_dir, name);
}

int watch_cache_save(const char *state_dir, int fd)
{
    char now[4096], before[4096];
    const void *map;
    size_t size;
    int err = fp_memfd_map(fd, &map, &size);
    if (err < 0)
        return err;
    path_of(now, sizeof(now), state_dir, names[0]);
    path_of(before, sizeof(before), state_dir, names[1]);
    rename(now, before); /* none yet is fine */
    err = fp_file_replace(now, map, size, 0600);
    fp_memfd_unmap(map, size);
    return err;
}

void watch_cache_sweep(const char *state_dir)
{
    char path[4096];
    path_of(path, sizeof(path), state_dir, names[0]);
    fp_file_sweep(path, SWEEP_S);
}

static int load_one(const char *path, int *fd, struct fp_snap_meta *meta)
{
    struct fp_memfd m;
    struct fp_snap *s = NULL;
    struct fp_buf file = {0};
    int err = fp_file_read(path, CACHE_MAX_BYTES, &file);
    if (err == FP_OK)
        err = fp_memfd_create(&m, "flowplane-snapshot", file.len);
    if (err < 0) {
        fp_buf_fini(&file);
        return err;
    }
    memcpy(m.map, file.data, file.len);
    fp_buf_fini(&file);
    err = fp_memfd_seal(&m);
    if (err == FP_OK)
        err = fp_snap_open_checked(m.fd, &s);
    if (err < 0) {
        close(m.fd);
        return err;
    }
    *meta = *fp_snap_meta(s);
    fp_snap_unref(&s);
    *fd = m.fd;
    return FP_OK;
}

int watch_cache_load(const char *state_dir, int *fd, struct fp_snap_meta *meta)
{
    char path[4096];
    int err = FP_ERR_NOT_FOUND;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        path_of(path, sizeof(path), state_dir, names[i]);
        err = load_one(path, fd, meta);
        if (err == FP_OK)
            return FP_OK;
        if (err != -ENOENT)
            fp_log_warn(FP_LOG_SNAPSHOT, "the cached snapshot %s does not hold: %s", path,
                        fp_err_text(err));
    }
    return err == -ENOENT ? FP_ERR_NOT_FOUND : err;
}
