/* Sealed anonymous memory (design §6) and pages shared with children. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "os/os_memfd.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };

static int create(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* an older kernel */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

/* Takes the pages now: lack of memory is an error here, not SIGBUS later. */
static int allocate(int fd, size_t size)
{
    int r;
    do
        r = fallocate(fd, 0, 0, (off_t)size);
    while (r && errno == EINTR);
    return r ? -errno : 0;
}

int fp_memfd_create(struct fp_memfd *m, const char *name, size_t size)
{
    *m = (struct fp_memfd){.fd = -1, .size = size};
    if (size > FP_MEMFD_MAX_BYTES) /* the kernel would try, and kill somebody for the memory */
        return -EFBIG;
    m->fd = create(name);
    if (m->fd < 0)
        return m->fd;
    int err = allocate(m->fd, size);
    if (!err) {
        m->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
        if (m->map != MAP_FAILED)
            return 0;
        err = -errno;
        m->map = NULL;
    }
    fp_memfd_abort(m);
    return err;
}

int fp_memfd_seal(struct fp_memfd *m)
{
    FP_ASSERT(m->map);
    munmap(m->map, m->size); /* F_SEAL_WRITE is refused while a writable mapping exists */
    m->map = NULL;
    return fcntl(m->fd, F_ADD_SEALS, SEALS) ? -errno : 0;
}

void fp_memfd_abort(struct fp_memfd *m)
{
    if (m->map)
        munmap(m->map, m->size);
    if (m->fd >= 0)
        close(m->fd);
    *m = (struct fp_memfd){.fd = -1};
}

int fp_memfd_map(int fd, const void **map, size_t *size)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0)
        return errno == EINVAL ? -EPERM : -errno; /* a file that cannot have seals */
    if ((seals & SEALS) != SEALS)
        return -EPERM;
    if (fstat(fd, &st))
        return -errno;
    /* Private, not shared: before Linux 6.7 a write-sealed file allows no shared mapping at all.
     * A private one that is only read uses the same pages. */
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    *map = p;
    *size = (size_t)st.st_size;
    return 0;
}

void fp_memfd_unmap(const void *map, size_t size)
{
    if (map)
        munmap((void *)(uintptr_t)map, size);
}

void *fp_shared_pages_new(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FP_ASSERT(p != MAP_FAILED);
    return p;
}

void *fp_shared_reserve_new(size_t size)
{
    void *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void fp_shared_reserve_clear(void *p, size_t size)
{
    if (madvise(p, size, MADV_REMOVE) < 0)
        memset(p, 0, size);
}
