/*
 * A test server: the rooms http, grpc and xds with snapshots made from standard input, no database.
 * Prints its port, then a line for each command.  Fields are separated by tabs:
 *
 *     put KIND[@TEAM] NAME "KIND/NAME KIND/NAME" JSON     (references, Envoy JSON)
 *     del KIND NAME
 *     publish
 *     drain                                        (health, GOAWAY, streams end)
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include "codec/codec_json.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "grpc/grpc_server.h"
#include "os/os_signal.h"
#include "pb/pb_json.h"
#include "snap/snap_builder.h"
#include "xds/xds_engine.h"

#define RESOURCES_MAX 20000

struct resource {
    enum fp_kind kind;
    char *name, *team, *refs, *blob;
    size_t blob_n;
};

static struct fp_loop *loop;
static struct fp_pb_pool *pool;
static struct fp_xds_engine *engine;
static struct fp_http_server *server;
static struct resource resources[RESOURCES_MAX];
static size_t resources_n;
static uint64_t generation;
static struct fp_buf input;

static const char *argument(int argc, char **argv, const char *name, const char *otherwise)
{
    size_t n = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
    return otherwise;
}

_Noreturn static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static enum fp_kind kind_of(const char *name)
{
    enum fp_kind kind = fp_kind_by_name(fp_str_of(name));
    if (kind == FP_KIND_N)
        die("no such kind", name);
    return kind;
}

static struct resource *find(enum fp_kind kind, const char *name)
{
    for (size_t i = 0; i < resources_n; i++)
        if (resources[i].kind == kind && strcmp(resources[i].name, name) == 0)
            return &resources[i];
    return NULL;
}

static void drop(struct resource *r)
{
    free(r->name);
    free(r->team);
    free(r->refs);
    free(r->blob);
    *r = resources[--resources_n];
}

static void put(enum fp_kind kind, const char *team, const char *name, const char *refs,
                const char *json)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_problems *ps = fp_problems_new(a);
    struct fp_buf out = {0};
    json_t *v = fp_json_parse(a, fp_str_of(json), FP_PB_MAX_DEPTH, ps);
    if (!v || fp_pb_element(pool, fp_kinds[kind].message, v, "", ps, &out))
        die(json, ps->n ? ps->items[0].message : "?");
    struct resource *old = find(kind, name);
    if (old)
        drop(old);
    if (resources_n == RESOURCES_MAX)
        die(name, "too many");
    resources[resources_n] = (struct resource){
        .kind = kind, .name = strdup(name), .refs = strdup(refs), .blob_n = out.len};
    resources[resources_n].team = team ? strdup(team) : NULL;
    resources[resources_n].blob = malloc(out.len);
    memcpy(resources[resources_n].blob, out.data, out.len);
    resources_n++;
    fp_buf_fini(&out);
    fp_arena_free(&a);
}

static void add(struct fp_snap_builder *b, const struct resource *r)
{
    struct fp_ref refs[1024];
    uint32_t n = 0;
    char *copy = strdup(r->refs), *save = NULL;
    for (char *t = strtok_r(copy, " ", &save); t && n < 1024; t = strtok_r(NULL, " ", &save)) {
        char *slash = strchr(t, '/');
        if (!slash)
            die("no reference", t);
        *slash = 0;
        refs[n++] = (struct fp_ref){.kind = kind_of(t), .name = fp_str_of(slash + 1)};
    }
    struct fp_snap_entry e = {.name = fp_str_of(r->name),
                              .team = fp_str_of(r->team),
                              .blob = fp_str_n(r->blob, r->blob_n),
                              .refs = refs,
                              .refs_n = n};
    if (fp_snap_builder_add(b, r->kind, &e))
        die("builder", r->name);
    free(copy);
}

static void publish(void)
{
    struct fp_snap_builder *b = fp_snap_builder_new();
    generation++;
    struct fp_snap_meta meta = {.generation = generation, .revision = generation};
    struct fp_snap *s;
    int fd;
    for (size_t i = 0; i < resources_n; i++)
        add(b, &resources[i]);
    if (fp_snap_builder_finish(b, &meta, &fd) || fp_snap_open(fd, &s))
        die("snapshot", "cannot be made");
    close(fd);
    fp_snap_builder_free(&b);
    fp_xds_engine_publish(engine, s);
    fp_snap_unref(&s);
}

static void command(char *line)
{
    char *field[5] = {"", "", "", "", ""};
    for (size_t i = 0; line && i < 5; i++)
        field[i] = strsep(&line, "\t");
    if (strcmp(field[0], "put") == 0) {
        char *team = strchr(field[1], '@');
        if (team)
            *team++ = 0;
        put(kind_of(field[1]), team, field[2], field[3], field[4]);
    } else if (strcmp(field[0], "del") == 0) {
        struct resource *r = find(kind_of(field[1]), field[2]);
        if (r)
            drop(r);
    } else if (strcmp(field[0], "publish") == 0) {
        publish();
    } else if (strcmp(field[0], "drain") == 0) {
        fp_xds_engine_drain(engine);
        fp_http_server_drain(server, 500, NULL, NULL);
    } else {
        die("no such command", field[0]);
    }
    printf("ok %s\n", field[0]);
    fflush(stdout);
}

static void on_input(struct fp_io *io, unsigned events)
{
    char part[65536], *end;
    ssize_t n = read(STDIN_FILENO, part, sizeof part);
    if (n <= 0) {
        fp_loop_stop(loop);
        return;
    }
    fp_buf_append(&input, part, (size_t)n);
    while ((end = memchr(input.data, '\n', input.len))) {
        size_t len = (size_t)(end - input.data);
        char *line = malloc(len + 1);
        memcpy(line, input.data, len);
        line[len] = 0;
        command(line);
        free(line);
        fp_buf_consume(&input, len + 1);
        if (!input.len)
            break;
    }
}

static void on_signal(int sig, void *arg)
{
    fp_loop_stop(loop);
}

static int listen_on(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    a.sin_port = htons(*port);
    if (bind(fd, (struct sockaddr *)&a, n) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&a, &n))
        die("listen", strerror(errno));
    *port = ntohs(a.sin_port);
    return fd;
}

static void release_all(struct fp_grpc_server *grpc, struct fp_signals *signals)
{
    fp_http_server_free(&server);
    fp_xds_engine_free(&engine);
    fp_grpc_server_free(&grpc);
    fp_signals_free(&signals);
    fp_loop_free(&loop);
    fp_pb_pool_free(&pool);
    fp_buf_fini(&input);
    while (resources_n)
        drop(&resources[0]);
}

int main(int argc, char **argv)
{
#define N(name, otherwise) strtoull(argument(argc, argv, name, otherwise), NULL, 10)
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    fp_log_filter_set(argument(argc, argv, "log", "info"));
    fp_log_fd_set(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)); /* stdout is for answers */
    fp_json_init();
    fp_pb_pool_builtin(&pool);
    loop = fp_loop_new();
    struct fp_signals *signals =
        fp_signals_new(loop, (const int[]){SIGTERM, SIGINT, 0}, on_signal, NULL);
    static struct fp_page_slot slot;
    struct fp_xds_options o = {
        .control_plane_id = argument(argc, argv, "id", "flowplane/test"),
        .ordering_timeout_ms = N("ordering_timeout", "3600000"),
        .proxy_drain_time_ms = N("proxy_drain_time", "600000"),
        .max_streams = (uint32_t)N("max_streams", "20000"),
        .first_response_rate = (uint32_t)N("rate", "0"),
        .limits = fp_limits_new(),
        .nack_hold = N("nack_hold", "0"),
        .slot = &slot,
        .pool = pool,
        .reflection = true,
    };
    engine = fp_xds_engine_new(loop, &o);
    struct fp_grpc_server *grpc = fp_grpc_server_new(N("max_request", "4194304"));
    fp_xds_engine_register(engine, grpc);
    struct fp_http_limits limits = {
        .request_line_bytes = 8192,
        .header_bytes = 32768,
        .headers_n = 100,
        .max_connections = 20000,
        .h2_max_streams = 10000,
        .write_timeout_ms = N("write_timeout", "30000"),
        .h2_only = true,
    };
    struct fp_http_handlers handlers = {.streams = fp_grpc_server_handlers(grpc)};
    server = fp_http_server_new(loop, &limits, &handlers);
    uint16_t port = (uint16_t)N("port", "0");
    fp_http_server_listen(server, listen_on(&port), NULL);
    struct fp_io in = {.fd = STDIN_FILENO, .cb = on_input};
    fp_io_watch(loop, &in, FP_IO_READ);
    printf("%u\n", port);
    fflush(stdout);
    fp_loop_run(loop);
    fp_io_stop(&in);
    release_all(grpc, signals);
    return 0;
}
