/*
 * seccomp: system calls that a confined child has no use for fail with EPERM.  A list of what is
 * denied, not of what is allowed: libc, libpq and OpenSSL change their harmless calls from version
 * to version, while what an intruder wants is known.  A foreign ABI (32-bit, x32) kills the
 * process.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "os/os_sandbox_int.h"

enum { ALL, WORKER_ONLY, NOT_SANITIZED };

static const struct {
    int who;
    int error;
    const char *calls; /* blank-separated; unknown ones are passed over */
} denied[] = {
    /* programs and processes; clone3 hides its flags in memory, and libc falls back to clone */
    {NOT_SANITIZED, EPERM, "execve execveat fork vfork"},
    {ALL, ENOSYS, "clone3"},
    {ALL, EPERM, "unshare setns"},
    /* other processes */
    {NOT_SANITIZED, EPERM, "ptrace"},
    {ALL, EPERM,
     "process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd "
     "pidfd_send_signal tkill rt_sigqueueinfo rt_tgsigqueueinfo move_pages migrate_pages"},
    /* the kernel's wide flanks */
    {ALL, ENOSYS, "io_uring_setup io_uring_enter io_uring_register userfaultfd"},
    {ALL, EPERM,
     "bpf perf_event_open add_key request_key keyctl fanotify_init open_by_handle_at "
     "name_to_handle_at lookup_dcookie modify_ldt personality vmsplice memfd_secret"},
    /* the machine */
    {ALL, EPERM,
     "init_module finit_module delete_module create_module kexec_load kexec_file_load reboot "
     "swapon swapoff acct quotactl quotactl_fd syslog iopl ioperm settimeofday clock_settime "
     "clock_adjtime adjtimex sethostname setdomainname vhangup nfsservctl uselib _sysctl sysfs"},
    /* mounts and devices */
    {ALL, EPERM,
     "mount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig fsmount "
     "fspick mount_setattr mknod mknodat"},
    /* identity */
    {ALL, EPERM,
     "setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset"},
    /* doors: listeners are inherited */
    {ALL, EPERM, "listen"},
    /* a worker has no files of its own; a second fence where Landlock is missing */
    {WORKER_ONLY, EPERM,
     "creat rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir link linkat symlink "
     "symlinkat truncate chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat setxattr "
     "lsetxattr fsetxattr removexattr lremovexattr fremovexattr utime utimes utimensat futimesat"},
    {WORKER_ONLY, ENOSYS, "openat2"},
};

static struct scmp_arg_cmp arg(unsigned n, enum scmp_compare op, uint64_t a, uint64_t b)
{
    return (struct scmp_arg_cmp){.arg = n, .op = op, .datum_a = a, .datum_b = b};
}

static int deny(scmp_filter_ctx f, int error, const char *name, unsigned n, struct scmp_arg_cmp a,
                struct scmp_arg_cmp b)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number < 0) /* not on this machine, or newer than the library */
        return 0;
    const struct scmp_arg_cmp args[] = {a, b};
    return seccomp_rule_add_array(f, SCMP_ACT_ERRNO((uint32_t)error), number, n, args);
}

#define NO_ARG ((struct scmp_arg_cmp){0})

static int deny_words(scmp_filter_ctx f, int error, const char *calls)
{
    char name[32];
    int err = 0;
    for (size_t n; !err && *calls; calls += n, calls += *calls == ' ') {
        n = strcspn(calls, " ");
        if (n >= sizeof(name))
            return -EINVAL;
        memcpy(name, calls, n);
        name[n] = '\0';
        err = deny(f, error, name, 0, NO_ARG, NO_ARG);
    }
    return err;
}

/* UNIX, IP and the netlink of routing, which getaddrinfo(3) asks for the addresses we have. */
static int deny_families(scmp_filter_ctx f)
{
    int err = deny(f, EAFNOSUPPORT, "socket", 1, arg(0, SCMP_CMP_GT, AF_NETLINK, 0), NO_ARG);
    for (unsigned family = 0; !err && family < AF_NETLINK; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
            err = deny(f, EAFNOSUPPORT, "socket", 1, arg(0, SCMP_CMP_EQ, family, 0), NO_ARG);
    if (!err)
        err = deny(f, EAFNOSUPPORT, "socket", 2, arg(0, SCMP_CMP_EQ, AF_NETLINK, 0),
                   arg(2, SCMP_CMP_NE, 0 /* NETLINK_ROUTE */, 0));
    return err;
}

static int deny_by_argument(scmp_filter_ctx f, enum fp_sandbox_role role)
{
    static const unsigned creating[] = {O_CREAT, O_TRUNC, O_TMPFILE & ~O_DIRECTORY};
    const uint64_t self = (uint64_t)getpid();
    int err = deny_families(f);
    if (!err) /* abort(3) signals its own process */
        err = deny(f, EPERM, "kill", 1, arg(0, SCMP_CMP_NE, self, 0), NO_ARG);
    if (!err)
        err = deny(f, EPERM, "tgkill", 1, arg(0, SCMP_CMP_NE, self, 0), NO_ARG);
    if (!err && !FP_SANDBOX_SANITIZER) /* threads may be, processes not */
        err = deny(f, EPERM, "clone", 1, arg(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0), NO_ARG);
    for (size_t i = 0; !err && role == FP_SANDBOX_WORKER && i < 3; i++) {
        uint64_t bit = creating[i];
        err = deny(f, EPERM, "open", 1, arg(1, SCMP_CMP_MASKED_EQ, bit, bit), NO_ARG);
        if (!err)
            err = deny(f, EPERM, "openat", 1, arg(2, SCMP_CMP_MASKED_EQ, bit, bit), NO_ARG);
    }
    return err;
}

int fp_seccomp_confine(enum fp_sandbox_role role)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    if (!f)
        return -ENOMEM;
    int err = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!err)
        err = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a long list */
    for (size_t i = 0; !err && i < sizeof(denied) / sizeof(denied[0]); i++)
        if ((denied[i].who != WORKER_ONLY || role == FP_SANDBOX_WORKER) &&
            (denied[i].who != NOT_SANITIZED || !FP_SANDBOX_SANITIZER))
            err = deny_words(f, denied[i].error, denied[i].calls);
    if (!err)
        err = deny_by_argument(f, role);
    if (!err)
        err = seccomp_load(f);
    seccomp_release(f);
    return err;
}
