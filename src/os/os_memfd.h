/* Sealed anonymous memory: made once, mapped read-only by others, never changed. */
#pragma once
#include <stddef.h>

#define FP_MEMFD_MAX_BYTES ((size_t)4 << 30)

struct fp_memfd { /* under construction by one process */
    int fd;
    void *map; /* writable until sealed */
    size_t size;
};
int fp_memfd_create(struct fp_memfd *m, const char *name,
                    size_t size); /* fallocated; 0 or -errno, -EFBIG beyond the maximum */
int fp_memfd_seal(
    struct fp_memfd *m); /* unmaps, seals SHRINK|GROW|WRITE|SEAL; fd stays; 0 or -errno */
void fp_memfd_abort(struct fp_memfd *m);
/* Checks the four seals, maps read-only; 0 or -errno (-EPERM: not sealed); fd stays open, and may
 * be closed by its owner at once */
int fp_memfd_map(int fd, const void **map, size_t *size);
void fp_memfd_unmap(const void *map, size_t size);
/* Anonymous MAP_SHARED pages that children inherit; NULL never (aborts). */
void *fp_shared_pages_new(size_t size);
/* The same for much that will hardly be touched: no memory is set aside.  NULL when refused. */
void *fp_shared_reserve_new(size_t size);
/* Whole pages of it read as zeroes again, and their memory goes back, for all who share it. */
void fp_shared_reserve_clear(void *p, size_t size);
