/*
 * A server for the tests of the HTTP and gRPC rooms: one port for requests, one for streams, all
 * limits from the command line (name=value).  Prints its two ports, ends at SIGTERM or after a
 * drain.
 */
#include <arpa/inet.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "core/core_log.h"
#include "core/core_mem.h"
#include "grpc/grpc_server.h"
#include "os/os_file.h"
#include "os/os_signal.h"
#include "tls/tls_context.h"

static struct fp_loop *loop;
static struct fp_http_server *api, *streams;
static struct fp_grpc_server *grpc;
static unsigned long aborts, calls, drained, turns, undrained = 2;

/* Stands before the C library's: a busy loop shows in how often it is called, however slow the
 * machine. */
int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    turns++;
    return epoll_pwait(epfd, events, max, timeout, NULL);
}

static uint64_t number(struct fp_str s, uint64_t otherwise)
{
    uint64_t v;
    return fp_str_to_u64(s, &v) ? v : otherwise;
}

/* ---- requests ---- */

static void answer(struct fp_http_request *r, int status, const char *type, struct fp_str body)
{
    struct fp_http_header h[] = {{FP_STR("content-type"), fp_str_of(type)},
                                 {FP_STR("x-method"), r->method}};
    struct fp_http_response resp = {.status = status, .headers = h, .headers_n = 2, .body = body};
    fp_http_respond(r, &resp);
}

struct wait { /* a handler that answers later */
    struct fp_timer timer;
    struct fp_http_request *r;
};

static void wait_over(struct fp_timer *t)
{
    struct wait *w = t->arg;
    struct fp_http_request *r = w->r;
    fp_mem_free(w);
    answer(r, 200, "text/plain", FP_STR("late\n"));
}

static void wait_aborted(struct fp_http_request *r)
{
    struct wait *w = r->user;
    aborts++;
    fp_timer_stop(&w->timer);
    fp_mem_free(w);
}

static void stats(struct fp_http_request *r)
{
    struct fp_buf b = {0};
    fp_buf_printf(&b, "{\"heap\":%zu,\"aborts\":%lu,\"calls\":%lu,\"drained\":%lu,\"turns\":%lu,",
                  mallinfo2().uordblks, aborts, calls, drained, turns);
    fp_buf_printf(&b, "\"connections\":[%zu,%zu],\"closed\":{", fp_http_server_connections(api),
                  fp_http_server_connections(streams));
    for (unsigned i = 0; i < FP_HTTP_CLOSE_N; i++)
        fp_buf_printf(&b, "%s\"%s\":%llu", i ? "," : "", fp_http_close_reason_name(i),
                      (unsigned long long)(fp_http_server_closed(api, i) +
                                           fp_http_server_closed(streams, i)));
    fp_buf_append_c(&b, "}}");
    answer(r, 200, "application/json", fp_buf_str(&b));
    fp_buf_fini(&b);
}

static void drain_done(void *arg)
{
    if (--undrained == 0)
        fp_loop_stop(loop);
}

static void on_request(struct fp_http_request *r, void *arg)
{
    uint64_t n = number(fp_http_query(r, "n"), 0);
    if (fp_str_eq_c(r->path, "/echo")) {
        answer(r, 200, "text/plain", r->body);
    } else if (fp_str_eq_c(r->path, "/big")) {
        char *p = fp_mem_alloc(n + 1);
        memset(p, 'x', n);
        answer(r, 200, "text/plain", fp_str_n(p, n));
        fp_mem_free(p);
    } else if (fp_str_eq_c(r->path, "/late")) {
        struct wait *w = fp_mem_zalloc(sizeof *w);
        w->r = r;
        w->timer = (struct fp_timer){.cb = wait_over, .arg = w};
        r->user = w;
        r->on_abort = wait_aborted;
        fp_timer_start(loop, &w->timer, n);
    } else if (fp_str_eq_c(r->path, "/status")) {
        answer(r, (int)n, "text/plain", FP_STR("body\n"));
    } else if (fp_str_eq_c(r->path, "/stats")) {
        stats(r);
    } else if (fp_str_eq_c(r->path, "/drain")) {
        answer(r, 200, "text/plain", FP_STR("draining\n"));
        fp_http_server_drain(api, n, drain_done, NULL);
        fp_http_server_drain(streams, n, drain_done, NULL);
    } else {
        struct fp_buf b = {0};
        fp_buf_printf(&b, "%.*s %.*s ?%.*s host=%.*s v=%d body=%zu\n", FP_STR_ARG(r->method),
                      FP_STR_ARG(r->path), FP_STR_ARG(r->query), FP_STR_ARG(r->authority),
                      r->version, r->body.len);
        answer(r, 200, "text/plain", fp_buf_str(&b));
        fp_buf_fini(&b);
    }
}

static struct fp_http_verdict on_headers(struct fp_http_request *r, void *arg)
{
    if (!fp_str_eq_c(r->path, "/refuse"))
        return (struct fp_http_verdict){.body_limit = 1 << 20};
    answer(r, 401, "text/plain", FP_STR("refused\n"));
    return (struct fp_http_verdict){.respond_now = true};
}

static void on_too_large(struct fp_http_request *r, uint64_t limit, void *arg)
{
    answer(r, 413, "text/plain", FP_STR("too large\n"));
}

/* ---- streams ---- */

static void *on_open(struct fp_grpc_call *c, void *arg)
{
    calls++;
    return c;
}

static void on_echo(struct fp_grpc_call *c, void *user, struct fp_str m)
{
    fp_grpc_call_send(c, fp_http_chunk_copy(m), FP_STR_NULL);
}

/* "<messages> <bytes>": all of them share one chunk, a number is the tail. */
static void on_flood(struct fp_grpc_call *c, void *user, struct fp_str m)
{
    char text[64];
    unsigned long n = 0, bytes = 0;
    snprintf(text, sizeof text, "%.*s", FP_STR_ARG(m));
    sscanf(text, "%lu %lu", &n, &bytes);
    char *p = fp_mem_alloc(bytes + 1);
    memset(p, 'y', bytes);
    struct fp_http_chunk *chunk = fp_http_chunk_copy(fp_str_n(p, bytes));
    fp_mem_free(p);
    for (unsigned long i = 0; i < n; i++) {
        int len = snprintf(text, sizeof text, "#%lu", i);
        fp_grpc_call_send(c, fp_http_chunk_ref(chunk), fp_str_n(text, (size_t)len));
    }
    fp_http_chunk_unref(&chunk);
}

static void on_fail(struct fp_grpc_call *c, void *user, struct fp_str m)
{
    fp_grpc_call_finish(c, FP_GRPC_INVALID_ARGUMENT, "100% wrong \xc3\xbc\n");
}

static void on_identity(struct fp_grpc_call *c, void *user, struct fp_str m)
{
    struct fp_http_stream *st = fp_grpc_call_stream(c);
    struct fp_buf b = {0};
    fp_buf_printf(&b, "%.*s\n%.*s", FP_STR_ARG(fp_http_stream_tls_subject(st)),
                  FP_STR_ARG(fp_http_stream_tls_sans(st)));
    fp_grpc_call_send(c, fp_http_chunk_copy(fp_buf_str(&b)), FP_STR_NULL);
    fp_buf_fini(&b);
}

static void on_drained(struct fp_grpc_call *c, void *user)
{
    drained++;
}

static void on_half_close(struct fp_grpc_call *c, void *user)
{
    fp_grpc_call_finish(c, FP_GRPC_OK, NULL);
}

static void on_close(struct fp_grpc_call *c, void *user)
{
    calls--;
}

#define METHOD(name, fn)                                                                           \
    {                                                                                              \
        .path = "/test.Echo/" name, .on_open = on_open, .on_message = fn,                          \
        .on_half_close = on_half_close, .on_drained = on_drained, .on_close = on_close             \
    }
static const struct fp_grpc_method methods[] = {
    METHOD("Echo", on_echo),
    METHOD("Flood", on_flood),
    METHOD("Fail", on_fail),
    METHOD("Identity", on_identity),
};

/* ---- start ---- */

static struct fp_str argument(int argc, char **argv, const char *name)
{
    size_t n = strlen(name);
    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], name, n) && argv[i][n] == '=')
            return fp_str_of(argv[i] + n + 1);
    return FP_STR_NULL;
}

static int listen_on(uint16_t *port)
{
    struct fp_addr a;
    if (fp_addr_parse(&a, "127.0.0.1", *port))
        exit(2);
    int fd = fp_socket_listen(&a, 511);
    socklen_t len = sizeof a.ss;
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&a.ss, &len))
        exit(2);
    *port = ntohs(((struct sockaddr_in *)&a.ss)->sin_port);
    return fd;
}

static struct fp_str pem(struct fp_arena *a, struct fp_str path)
{
    struct fp_buf b = {0};
    if (!path.data || fp_file_read(path.data, 1 << 20, &b))
        return FP_STR_NULL;
    struct fp_str s = fp_arena_str(a, fp_buf_str(&b));
    fp_buf_fini(&b);
    return s;
}

static struct fp_tls_context *tls_from(int argc, char **argv, bool h2_only)
{
    struct fp_str cert = argument(argc, argv, "cert"), key = argument(argc, argv, "key");
    struct fp_str ca = argument(argc, argv, "client_ca"), crl = argument(argc, argv, "crl");
    if (!cert.data)
        return NULL;
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_tls_files f = {
        .cert = pem(a, cert),
        .key = pem(a, key),
        .client_ca = pem(a, ca),
        .crl = pem(a, crl),
        .cert_path = cert.data,
        .key_path = key.data,
        .client_ca_path = ca.data,
        .crl_path = crl.data,
    };
    struct fp_tls_options o = {
        .min_tls13 = argument(argc, argv, "tls13").data != NULL,
        .require_client_cert = !argument(argc, argv, "optional_client").data,
        .h2_only = h2_only,
    };
    const char *why;
    struct fp_tls_context *c = fp_tls_context_new(&f, &o, a, &why);
    if (!c) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    fp_arena_free(&a);
    return c;
}

static void on_signal(int sig, void *arg)
{
    fp_loop_stop(loop);
}

int main(int argc, char **argv)
{
#define N(name, otherwise) number(argument(argc, argv, name), otherwise)
    struct fp_http_limits l = {
        .request_line_bytes = N("line", 8192),
        .header_bytes = N("fields", 32768),
        .headers_n = 100,
        .max_connections = N("connections", 5000),
        .h2_max_streams = (uint32_t)N("streams", 100),
        .header_timeout_ms = N("header_timeout", 60000),
        .request_timeout_ms = N("request_timeout", 60000),
        .idle_timeout_ms = N("idle_timeout", 120000),
        .keepalive_time_ms = N("keepalive_time", 0),
        .keepalive_timeout_ms = N("keepalive_timeout", 1000),
        .write_timeout_ms = N("write_timeout", 60000),
        .max_age_ms = N("max_age", 0),
        .max_age_grace_ms = N("max_age_grace", 100),
        .gzip = true,
    };
    struct fp_http_handlers h = {
        .on_headers = on_headers, .on_request = on_request, .on_too_large = on_too_large};
    uint16_t ports[2] = {0, 0};
    int fds[2] = {listen_on(&ports[0]), listen_on(&ports[1])};
    loop = fp_loop_new();
    fp_log_filter_set(argument(argc, argv, "log").data ? argument(argc, argv, "log").data : "info");
    struct fp_signals *signals =
        fp_signals_new(loop, (const int[]){SIGTERM, SIGINT, 0}, on_signal, NULL);

    struct fp_tls_context *api_tls = tls_from(argc, argv, false);
    struct fp_tls_context *xds_tls = tls_from(argc, argv, true);
    api = fp_http_server_new(loop, &l, &h);
    fp_http_server_listen(api, fds[0], api_tls);

    grpc = fp_grpc_server_new(N("max_message", 4 << 20));
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        fp_grpc_server_add(grpc, &methods[i]);
    h = (struct fp_http_handlers){.streams = fp_grpc_server_handlers(grpc)};
    l.h2_only = true;
    l.idle_timeout_ms = 0;
    l.h2_max_streams = (uint32_t)N("streams", 20000);
    streams = fp_http_server_new(loop, &l, &h);
    fp_http_server_listen(streams, fds[1], xds_tls);

    printf("%u %u\n", ports[0], ports[1]);
    fflush(stdout);
    fp_loop_run(loop);
    fp_http_server_free(&api);
    fp_http_server_free(&streams);
    fp_grpc_server_free(&grpc);
    fp_tls_context_unref(&api_tls);
    fp_tls_context_unref(&xds_tls);
    fp_signals_free(&signals);
    fp_loop_free(&loop);
    return 0;
}
