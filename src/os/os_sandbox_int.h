/* The layers of the sandbox, for os_sandbox.c alone.  Each returns 0 or -errno. */
#pragma once
#include "os/os_process.h"

/* No write outside of rw_paths and /dev/null, no execution, no bind, no signal to others. */
int fp_landlock_confine(const char *const *rw_paths);
/* Denies the system calls that the role has no use for. */
int fp_seccomp_confine(enum fp_sandbox_role role);

/* LeakSanitizer stops the process by clone and ptrace, and the symbolizer is a program. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define FP_SANDBOX_SANITIZER 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define FP_SANDBOX_SANITIZER 1
#endif
#ifndef FP_SANDBOX_SANITIZER
#define FP_SANDBOX_SANITIZER 0
#endif
