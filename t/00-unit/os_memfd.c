/* os_memfd: seals, mapping, what is refused. */
#include "../lib/tap.h"
#include <signal.h>
#include <sys/wait.h>
#include "os/os_memfd.c"

int main(void)
{
    struct fp_memfd m;
    const void *map = NULL;
    size_t size = 0;
    is_int(fp_memfd_create(&m, "test", 10000), 0, "create");
    ok(m.map && m.size == 10000 && ((char *)m.map)[9999] == 0, "mapped and zeroed");
    memcpy(m.map, "generation", 10);
    is_int(fp_memfd_map(m.fd, &map, &size), -EPERM, "not sealed: not mapped");
    is_int(fp_memfd_seal(&m), 0, "seal");
    ok(!m.map && m.fd >= 0, "unmapped, the descriptor stays");
    is_int(fp_memfd_map(m.fd, &map, &size), 0, "sealed: mapped");
    ok(size == 10000 && memcmp(map, "generation", 10) == 0, "same bytes");
    ok(pwrite(m.fd, "x", 1, 0) < 0 && ftruncate(m.fd, 5) < 0 && ftruncate(m.fd, 20000) < 0,
       "neither written, nor shrunk, nor grown");
    ok(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 0) == MAP_FAILED,
       "no writable mapping");
    close(m.fd);
    ok(memcmp(map, "generation", 10) == 0, "the mapping outlives the descriptor");
    fp_memfd_unmap(map, size);
    fp_memfd_unmap(NULL, 0);

    is_int(fp_memfd_create(&m, "test", 4096), 0, "create another");
    fp_memfd_abort(&m);
    ok(m.fd == -1 && !m.map, "abort closes it");
    fp_memfd_abort(&m);
    is_int(fp_memfd_create(&m, "test", FP_MEMFD_MAX_BYTES + 1), -EFBIG, "too big is refused");
    ok(fp_memfd_create(&m, "test", 0) < 0 && m.fd == -1, "size 0 is refused");
    is_int(fp_memfd_map(STDIN_FILENO, &map, &size), -EPERM, "a file without seals");
    is_int(fp_memfd_map(-1, &map, &size), -EBADF, "no file at all");
    int fd = memfd_create("half", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ok(ftruncate(fd, 4096) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE) == 0,
       "half sealed");
    is_int(fp_memfd_map(fd, &map, &size), -EPERM, "three seals are not four");
    close(fd);

    int *shared = fp_shared_pages_new(sizeof(*shared));
    pid_t pid = fork();
    if (pid == 0) {
        *shared = 42;
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    is_int(*shared, 42, "shared pages are shared with children");
    munmap(shared, sizeof(*shared));
    return done_testing();
}
