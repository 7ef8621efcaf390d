/*
 * Processes: identity, limits, privilege drop, sandbox, title.  Order in a child: fds → rlimits →
 * groups and uid → no_new_privs → Landlock → seccomp.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Once, first thing in main: moves argv and the environment to the heap (argv stays usable) and
 * wipes the originals, so that /proc/PID/environ shows no secret. */
void fp_process_title_init(int argc, char **argv);
void fp_process_title_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* fork(2); in the child: default signal dispositions but SIGPIPE ignored, signal mask empty,
 * parent-death handled through the pidfd returned in *master_pidfd (readable when the master is
 * gone; -1 in the parent).  pid, 0, or -errno. */
pid_t fp_process_fork(int *master_pidfd);
/* Makes n the soft limit of open files, if need be and allowed the hard one's too, else as far as
 * that goes.  What it is then, at most n, or -errno. */
int fp_process_nofile(size_t n);
size_t fp_process_nofile_now(void); /* the soft limit */
/* Drops to user/group (names or numbers) when euid is 0, else a no-op; 0 or -errno */
int fp_process_drop(const char *user, const char *group);
bool fp_process_user_lookup(const char *user, const char *group, uid_t *uid, gid_t *gid);

struct fp_process_usage { /* of this process */
    double cpu_s;
    uint64_t resident_bytes, virtual_bytes;
    uint64_t proportional_bytes; /* PSS: shared pages divided by those who share them */
    unsigned fds;
};
void fp_process_usage(struct fp_process_usage *u); /* reads /proc/self; what it cannot read is 0 */

enum fp_sandbox_mode { FP_SANDBOX_OFF, FP_SANDBOX_BEST_EFFORT, FP_SANDBOX_REQUIRED };
enum fp_sandbox_role { FP_SANDBOX_WORKER, FP_SANDBOX_WATCHER };
/* rw_paths: directories (NULL-terminated) that stay writable.  0, or -errno when REQUIRED failed.
 */
int fp_process_sandbox(enum fp_sandbox_mode mode, enum fp_sandbox_role role,
                       const char *const *rw_paths);
