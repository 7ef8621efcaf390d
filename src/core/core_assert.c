/* A violated invariant: one ERROR line, then SIGABRT.  All processes; never returns. */
#include <stdlib.h>
#include "core/core_assert.h"
#include "core/core_log.h"

_Noreturn void fp_assert_fail(const char *expr, const char *file, int line)
{
    static int nested; /* an assert inside the log must not recurse */
    if (!nested++)
        fp_log_error(FP_LOG_MASTER, "assertion failed: %s at %s:%d", expr, file, line);
    abort();
}
