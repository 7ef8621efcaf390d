/*
 * The sandbox of children (design §2): who takes over a worker by its input can use what the worker
 * holds, but not leave it.  Runs once in a child, after the change of user; never in the master.
 */
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "core/core_buf.h"
#include "core/core_err.h"
#include "core/core_log.h"
#include "os/os_sandbox_int.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65 /* Linux 6.3 */
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

struct request {
    enum fp_sandbox_role role;
    const char *const *rw_paths;
};

static int no_new_privs(const struct request *r)
{
    (void)r;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

/* A service manager may have given some to bind low ports.  Root keeps its own: without them it
 * could not read the files of others, which is why somebody runs us as root. */
static int no_capabilities(const struct request *r)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    (void)r;
    if (geteuid() == 0)
        return 0;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &head, none) ? -errno : 0;
}

/* Memory that is or was writable never becomes code. */
static int no_new_code(const struct request *r)
{
    (void)r;
    return prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) ? -errno : 0;
}

static int landlock(const struct request *r)
{
    return fp_landlock_confine(r->rw_paths);
}

static int seccomp(const struct request *r)
{
    return fp_seccomp_confine(r->role);
}

/* In this order: Landlock needs no_new_privs, and seccomp forbids capset. */
static const struct {
    const char *name;
    int (*apply)(const struct request *r);
    bool optional; /* Debian 12's kernel lacks it: no complaint, not even when required */
} layers[] = {
    {"no_new_privs", no_new_privs, false}, {"capabilities", no_capabilities, false},
    {"mdwe", no_new_code, true},           {"landlock", landlock, false},
    {"seccomp", seccomp, false},
};

int fp_process_sandbox(enum fp_sandbox_mode mode, enum fp_sandbox_role role,
                       const char *const *rw_paths)
{
    const struct request r = {role, rw_paths};
    struct fp_buf missing = {0};
    int first = 0;
    if (mode == FP_SANDBOX_OFF)
        return 0;
    for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
        int err = layers[i].apply(&r);
        if (err == 0 || (layers[i].optional && (err == -EINVAL || err == -ENOSYS)))
            continue;
        first = first ? first : err;
        fp_buf_printf(&missing, "%s%s (%s)", missing.len ? ", " : "", layers[i].name,
                      fp_err_text(err));
    }
    if (first)
        fp_log(mode == FP_SANDBOX_REQUIRED ? FP_LOG_ERROR : FP_LOG_WARN, FP_LOG_MASTER,
               "sandbox is incomplete: %s", fp_buf_cstr(&missing));
    fp_buf_fini(&missing);
    return mode == FP_SANDBOX_REQUIRED ? first : 0;
}
