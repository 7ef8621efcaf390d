/* Files of ours: whole reads, atomic replacement, locks.  These calls block; not for a busy loop.
 */
#pragma once
#include <stddef.h>
#include "core/core_buf.h"

int fp_file_read(const char *path, size_t max_bytes,
                 struct fp_buf *out); /* 0, -errno, FP_ERR_LIMIT */
int fp_file_read_fd(int fd, size_t max_bytes,
                    struct fp_buf *out); /* from offset 0, fd stays open */
/* Removes what fp_file_replace left beside path when its process was killed, once it is so old. */
void fp_file_sweep(const char *path, unsigned older_s);
int fp_file_replace(const char *path, const void *data, size_t n,
                    unsigned mode); /* temp, fsync, rename, fsync dir */
int fp_file_create_new(const char *path, const void *data, size_t n,
                       unsigned mode);               /* O_EXCL, fsync */
int fp_file_mkdirs(const char *path, unsigned mode); /* 0 when it exists */
/* A forked child shares the lock as long as it keeps the descriptor. */
int fp_file_lock(
    const char *path); /* O_CLOEXEC fd holding an exclusive flock, or -EWOULDBLOCK, -errno */
