/*
 * os_sandbox: what a confined child can no longer do, and what it still must: each probe runs in a
 * child and leaves its errno in shared memory.  Root and not, worker and watcher.
 */
#include "../lib/tap.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <libpq-fe.h>
#include <seccomp.h>
#include <pthread.h>
#include <openssl/ssl.h>
#include "core/core_arena.h"
#include "os/os_memfd.h"
#include "os/os_sandbox.c"
#include "os/os_socket.h"

static char dir[] = "/tmp/flowplane-sandbox-XXXXXX";
static char outside[64], inside[64], existing[64];
static int listener = -1; /* opened before the confinement */
static struct fp_addr listen_addr;

#define ERRNO_IF(failed) ((failed) ? errno : 0)

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int err = ERRNO_IF(fd < 0);
    if (fd >= 0)
        close(fd);
    return err;
}

static int run_program(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return errno;
}
static int make_process(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return ERRNO_IF(pid < 0);
}
static int kill_parent(void)
{
    return ERRNO_IF(kill(getppid(), 0));
}
static int kill_group(void)
{
    return ERRNO_IF(kill(0, 0));
}
static int kill_self(void)
{
    return ERRNO_IF(kill(getpid(), 0));
}
static int packet_socket(void)
{
    return ERRNO_IF(socket(AF_PACKET, SOCK_RAW, 0) < 0);
}
static int vsock_socket(void)
{
    return ERRNO_IF(socket(AF_VSOCK, SOCK_STREAM, 0) < 0);
}
static int audit_socket(void)
{
    return ERRNO_IF(socket(AF_NETLINK, SOCK_RAW, 9 /* NETLINK_AUDIT */) < 0);
}
static int open_door(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in any = {.sin_family = AF_INET};
    int err = ERRNO_IF(bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 1));
    close(fd);
    return err;
}
static int mount_something(void)
{
    return ERRNO_IF(syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, NULL));
}
static int become_root(void)
{
    return ERRNO_IF(setresuid(0, 0, 0));
}
static int new_namespace(void)
{
    return ERRNO_IF(syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */));
}
static int trace_parent(void)
{
    return ERRNO_IF(syscall(SYS_ptrace, 16 /* ATTACH */, getppid(), 0, 0));
}
static int io_uring(void)
{
    char params[256] = {0};
    return ERRNO_IF(syscall(SYS_io_uring_setup, 1, params) < 0);
}
static int create_outside(void)
{
    return try_open(outside, O_WRONLY | O_CREAT);
}
static int create_inside(void)
{
    return try_open(inside, O_WRONLY | O_CREAT);
}
static int write_existing(void)
{
    return try_open(existing, O_WRONLY);
}
static int remove_existing(void)
{
    return ERRNO_IF(unlink(existing));
}
static int rename_inside(void)
{
    char to[80];
    snprintf(to, sizeof(to), "%s.new", inside);
    return ERRNO_IF(rename(inside, to) || unlink(to));
}
static int writable_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? 0 : ERRNO_IF(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

/* What a worker does all day. */
static int read_files(void)
{
    int err = try_open(existing, O_RDONLY);
    err = err ? err : try_open("/etc/hosts", O_RDONLY);
    return err ? err : try_open("/proc/self/stat", O_RDONLY);
}
static int write_null(void)
{
    return try_open("/dev/null", O_RDWR);
}
static int serve(void)
{
    struct fp_addr peer;
    int ep = epoll_create1(EPOLL_CLOEXEC), client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct epoll_event e = {.events = EPOLLIN};
    if (ep < 0 || client < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) ||
        connect(client, (struct sockaddr *)&listen_addr.ss, listen_addr.len) ||
        epoll_wait(ep, &e, 1, 5000) != 1)
        return errno;
    int fd = fp_socket_accept(listener, &peer);
    char c = 0;
    return fd < 0 || send(client, "x", 1, MSG_NOSIGNAL) != 1 || recv(fd, &c, 1, 0) != 1 ? errno : 0;
}
static int resolve(void)
{
    struct addrinfo *ai = NULL, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    int rc = getaddrinfo("localhost", "5432", &hints, &ai);
    if (ai)
        freeaddrinfo(ai);
    return rc ? 1000 + rc : 0;
}
static int tls_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int err = ctx && SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : EINVAL;
    SSL_CTX_free(ctx);
    return err;
}
/* A server that is not there must be refused, not forbidden. */
static int database(void)
{
    PGconn *c = PQconnectdb("host=127.0.0.1 port=1 connect_timeout=2 user=x dbname=x");
    int err = strstr(PQerrorMessage(c), "onnection refused") ? 0 : EINVAL;
    PQfinish(c);
    return err;
}
static int map_snapshot(void)
{
    struct fp_memfd m;
    const void *map;
    size_t size;
    int err = fp_memfd_create(&m, "t", 4096);
    if (err == 0)
        err = fp_memfd_seal(&m);
    return err ? -err : -fp_memfd_map(m.fd, &map, &size);
}
static void *thread_main(void *arg)
{
    return arg;
}
static int make_thread(void)
{
    pthread_t t;
    int err = pthread_create(&t, NULL, thread_main, NULL);
    if (err == 0)
        pthread_join(t, NULL);
    return err;
}

enum { FREE = 0x20000 /* judged below */, SAN = 0x10000 /* free under the sanitizer */ };

static const struct {
    const char *what;
    int (*probe)(void);
    int worker, watcher; /* errno expected */
} probes[] = {
    {"run a program", run_program, EPERM | SAN, EPERM | SAN},
    {"make a process", make_process, EPERM | SAN, EPERM | SAN},
    {"make a thread", make_thread, 0, 0},
    {"signal the parent", kill_parent, EPERM, EPERM},
    {"signal the group", kill_group, EPERM, EPERM},
    {"signal itself", kill_self, 0, 0},
    {"trace the parent", trace_parent, EPERM, EPERM},
    {"packet socket", packet_socket, EAFNOSUPPORT, EAFNOSUPPORT},
    {"vsock socket", vsock_socket, EAFNOSUPPORT, EAFNOSUPPORT},
    {"audit netlink", audit_socket, EAFNOSUPPORT, EAFNOSUPPORT},
    {"listen", open_door, FREE, FREE},
    {"mount", mount_something, EPERM, EPERM},
    {"become root", become_root, EPERM, EPERM},
    {"a new namespace", new_namespace, EPERM, EPERM},
    {"io_uring", io_uring, ENOSYS, ENOSYS},
    {"create a file outside", create_outside, EPERM, EACCES},
    {"create a file in its directory", create_inside, EPERM, 0},
    {"rename and remove there", rename_inside, EPERM, 0},
    {"write a file", write_existing, EACCES, EACCES},
    {"remove a file", remove_existing, EPERM, EACCES},
    {"turn data into code", writable_code, FREE, FREE},
    {"read files", read_files, 0, 0},
    {"open /dev/null", write_null, 0, 0},
    {"accept, connect, send, receive", serve, 0, 0},
    {"resolve a name", resolve, 0, 0},
    {"a TLS context", tls_context, 0, 0},
    {"reach for a database", database, 0, 0},
    {"seal and map a snapshot", map_snapshot, 0, 0},
};
enum { PROBES = sizeof(probes) / sizeof(probes[0]) };

static int *results; /* shared: what sandbox() returned, then one of each probe */

static void child(enum fp_sandbox_role role, bool unprivileged)
{
    const char *const rw[] = {dir, "/no/such/dir", NULL}, *const none[] = {NULL};
    bool worker = role == FP_SANDBOX_WORKER;
    if (unprivileged && fp_process_drop("12345", "12345") < 0)
        _exit(1);
    results[0] = fp_process_sandbox(FP_SANDBOX_REQUIRED, role, worker ? none : rw);
    for (size_t i = 0; i < PROBES; i++)
        if (!(FP_SANDBOX_SANITIZER && ((worker ? probes[i].worker : probes[i].watcher) & SAN)))
            results[1 + i] = probes[i].probe();
    _exit(0);
}

static void confined(enum fp_sandbox_role role, bool unprivileged)
{
    const char *who = role == FP_SANDBOX_WORKER ? "worker" : "watcher";
    int status = -1;
    memset(results, 0xff, (1 + PROBES) * sizeof(*results));
    pid_t pid = fork();
    if (pid == 0)
        child(role, unprivileged);
    waitpid(pid, &status, 0);
    is_int(status, 0, "%s%s lives", who, unprivileged ? " (not root)" : "");
    is_int(results[0], 0, "%s: the sandbox is complete", who);
    for (size_t i = 0; i < PROBES; i++) {
        int want = role == FP_SANDBOX_WORKER ? probes[i].worker : probes[i].watcher;
        if (want == FREE || (FP_SANDBOX_SANITIZER && (want & SAN)))
            continue;
        is_int(results[1 + i], want & ~SAN, "%s: %s", who, probes[i].what);
    }
    ok(results[11] == EPERM || results[11] == EACCES, "%s: no listening socket", who);
    int code = results[21];
    ok(code == EACCES || code == EPERM || (code == 0 && prctl(66, 0, 0, 0, 0) < 0),
       "%s: no data becomes code (where the kernel can)", who);
}

static void modes(void)
{
    const char *const none[] = {NULL};
    is_int(fp_process_sandbox(FP_SANDBOX_OFF, FP_SANDBOX_WORKER, none), 0, "off");
    is_int(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0, "… changes nothing");
}

/* In a child that already lost landlock_create_ruleset: what an old kernel looks like. */
static void old_kernel(enum fp_sandbox_mode mode, const char *name, bool fails)
{
    char text[4096] = "";
    int status = -1, p[2];
    if (pipe(p))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        const char *const none[] = {NULL};
        scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
        seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0);
        seccomp_load(f);
        seccomp_release(f);
        fp_log_fd_set(p[1]);
        int err = fp_process_sandbox(mode, FP_SANDBOX_WORKER, none);
        _exit(err == -ENOSYS ? 2 : err ? 3 : getpid() && kill(getppid(), 0) == 0 ? 4 : 0);
    }
    close(p[1]);
    ssize_t n = 0, got;
    while ((got = read(p[0], text + n, sizeof(text) - 1 - (size_t)n)) > 0)
        n += got;
    waitpid(pid, &status, 0);
    is_int(WEXITSTATUS(status), fails ? 2 : 0, "no Landlock, %s: %s", name,
           fails ? "refused" : "goes on with the rest");
    ok(strstr(text, "sandbox is incomplete: landlock (Function not implemented)") &&
           strchr(text, '\n') == strrchr(text, '\n'),
       "… and says so in one line");
    ok(strstr(text, fails ? "\"ERROR\"" : "\"WARN\""), "… at the right level");
    close(p[0]);
}

static bool kernel_has_all(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(inside, sizeof(inside), "%s/inside", dir);
    snprintf(outside, sizeof(outside), "/tmp/flowplane-outside-%d", (int)getpid());
    snprintf(existing, sizeof(existing), "/tmp/flowplane-existing-%d", (int)getpid());
    close(open(existing, O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    fp_addr_parse(&listen_addr, "127.0.0.1", 0);
    listener = fp_socket_listen(&listen_addr, 16);
    getsockname(listener, (struct sockaddr *)&listen_addr.ss, &listen_addr.len);
    results = fp_shared_pages_new((1 + PROBES) * sizeof(*results));
    modes();
    if (kernel_has_all()) {
        confined(FP_SANDBOX_WORKER, false);
        confined(FP_SANDBOX_WATCHER, false);
        if (geteuid() == 0 && chmod(dir, 0777) == 0 && chmod(existing, 0666) == 0) {
            confined(FP_SANDBOX_WORKER, true);
            confined(FP_SANDBOX_WATCHER, true);
        }
    } else {
        ok(1, "the whole sandbox # SKIP this kernel has no Landlock");
    }
    old_kernel(FP_SANDBOX_BEST_EFFORT, "best-effort", false);
    old_kernel(FP_SANDBOX_REQUIRED, "required", true);
    unlink(existing);
    unlink(inside);
    rmdir(dir);
    return done_testing();
}
