/*
 * Landlock: what a confined child may do with files.  Reading stays open (libpq opens certificates
 * that the database URL names, the resolver its own files); file modes protect what is secret.
 * Raw system calls: Debian 12's libc has no wrappers, its headers not all of the bits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "os/os_sandbox_int.h"

#define BIT(n) (UINT64_C(1) << (n))
enum { RULE_PATH_BENEATH = 1, GET_ABI = 1 /* flag of create_ruleset */ };

#define FS_EXECUTE    BIT(0)
#define FS_WRITE_FILE BIT(1)
#define FS_READ       (BIT(2) | BIT(3)) /* files, directories: never handled */
#define FS_TRUNCATE   BIT(14)

struct ruleset_attr { /* grew over time; `size` of the call says how much of it is meant */
    uint64_t fs, net, scoped;
};
struct path_attr {
    uint64_t access;
    int32_t fd;
} __attribute__((packed));

/* What each ABI version brought; the kernel refuses bits that it does not know. */
static const struct {
    uint64_t fs, net, scoped;
    size_t size;
} since[] = {
    [1] = {(BIT(13) - 1) & ~FS_READ, 0, 0, 8}, /* Linux 5.13: execute, write, remove, make */
    [2] = {BIT(13), 0, 0, 8},                  /* 5.19: refer */
    [3] = {FS_TRUNCATE, 0, 0, 8},              /* 6.2: truncate */
    [4] = {0, BIT(0), 0, 16},                  /* 6.7: bind TCP; listeners are inherited */
    [5] = {BIT(15), 0, 0, 16},                 /* 6.10: ioctl of devices */
    [6] = {0, 0, BIT(1), 24},                  /* 6.12: signals to processes outside */
};
enum { ABI_KNOWN = sizeof(since) / sizeof(since[0]) - 1 };

static int allow(int ruleset, const char *path, uint64_t access)
{
    struct stat st;
    struct path_attr attr = {.access = access, .fd = open(path, O_PATH | O_CLOEXEC)};
    if (attr.fd < 0)
        return errno == ENOENT ? 0 : -errno; /* what is not there needs no permission */
    int err = 0;
    if (fstat(attr.fd, &st) == 0 && !S_ISDIR(st.st_mode))
        attr.access &= FS_WRITE_FILE | FS_TRUNCATE; /* other bits are for directories */
    if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0))
        err = -errno;
    close(attr.fd);
    return err;
}

int fp_landlock_confine(const char *const *rw_paths)
{
    struct ruleset_attr attr = {0};
    size_t size = 0;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, GET_ABI);
    if (abi < 0)
        return -errno; /* ENOSYS: not built in; EOPNOTSUPP: not enabled at boot */
    for (long v = 1; v <= abi && v <= ABI_KNOWN; v++) {
        attr.fs |= since[v].fs;
        attr.net |= since[v].net;
        attr.scoped |= since[v].scoped;
        size = since[v].size;
    }
    if (FP_SANDBOX_SANITIZER)
        attr.fs &= ~FS_EXECUTE;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0)
        return -errno;
    int err = allow(ruleset, "/dev/null", attr.fs);
    for (; !err && *rw_paths; rw_paths++)
        err = allow(ruleset, *rw_paths, attr.fs & ~FS_EXECUTE);
    if (!err && syscall(SYS_landlock_restrict_self, ruleset, 0))
        err = -errno;
    close(ruleset);
    return err;
}
