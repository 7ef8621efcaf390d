/* Other programs: run and waited for, or in place of this process.  Only the master's children do.
 */
#pragma once
#include <sys/types.h>

struct fp_exec {
    const char *const *argv; /* NULL-terminated; argv[0] is the path, PATH is not searched */
    const char *const *env;  /* NULL-terminated; nothing is inherited */
    const char *input;       /* text on stdin, at most what a pipe holds; NULL: /dev/null */
    int out_fd;              /* stdout and stderr */
};
/* Blocks; the program dies with its parent.  Exit status, 128 + signal, or -errno. */
int fp_exec_run(const struct fp_exec *x);
/* Does not return on success; all other descriptors are closed; -errno. */
int fp_exec_replace(const struct fp_exec *x);
/* This process gets `sig` when its parent dies; at once when that is no longer `parent`.  To be
 * called after the ids have changed, which would clear it; survives exec. */
void fp_exec_die_with_parent(int sig, pid_t parent);
