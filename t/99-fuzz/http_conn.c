/*
 * A whole connection, HTTP/1, HTTP/2 and gRPC, without a kernel clock: whatever a client sends, in
 * whatever pieces, no assert falls, no memory is lost, and every exchange and call that was begun
 * is ended.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "event/event_fake.h"
#include "grpc/grpc_server.h"
#include "http/http_int.h"

#include "../../src/event/event_fake.c"

static long open_requests, open_calls;

static void aborted(struct fp_http_request *r)
{
    open_requests--;
}

static struct fp_http_verdict on_headers(struct fp_http_request *r, void *arg)
{
    open_requests++;
    r->on_abort = aborted;
    if (r->path.len % 5 != 4)
        return (struct fp_http_verdict){.body_limit = 300};
    struct fp_http_response resp = {.status = 401, .body = FP_STR("no")};
    open_requests--;
    fp_http_respond(r, &resp);
    return (struct fp_http_verdict){.respond_now = true};
}

static void on_request(struct fp_http_request *r, void *arg)
{
    struct fp_http_response resp = {.status = 200, .body = r->body};
    open_requests--;
    fp_http_respond(r, &resp);
}

static void on_too_large(struct fp_http_request *r, uint64_t limit, void *arg)
{
    struct fp_http_response resp = {.status = 413};
    open_requests--;
    fp_http_respond(r, &resp);
}

static void *on_open(struct fp_grpc_call *c, void *arg)
{
    open_calls++;
    return c;
}

static void on_message(struct fp_grpc_call *c, void *user, struct fp_str m)
{
    if (m.len % 7 == 6)
        fp_grpc_call_finish(c, FP_GRPC_INVALID_ARGUMENT, "no");
    else
        fp_grpc_call_send(c, fp_http_chunk_copy(m), FP_STR("tail"));
}

static void on_close(struct fp_grpc_call *c, void *user)
{
    open_calls--;
}

static const struct fp_grpc_method method = {
    .path = "/a/b", .on_open = on_open, .on_message = on_message, .on_close = on_close};

static void swallow(int fd)
{
    char sink[65536];
    while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
        ;
}

/* The connection that the server has, NULL once it is closed. */
static struct fp_http_conn *only(struct fp_http_server *s)
{
    return fp_list_empty(&s->conns) ? NULL : FP_CONTAINER(s->conns.next, struct fp_http_conn, link);
}

static void talk(struct fp_loop *loop, struct fp_http_server *s, int fd, const uint8_t *data,
                 size_t n, size_t step, uint64_t ms)
{
    struct fp_http_conn *c;
    for (size_t i = 0; i < n && (c = only(s)); i += step) {
        size_t part = n - i < step ? n - i : step;
        if (send(fd, data + i, part, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            break;
        fp_loop_fake_fire(&c->io, FP_IO_READ | FP_IO_WRITE);
        fp_loop_fake_advance(loop, ms);
        swallow(fd);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct fp_http_limits limits = {.request_line_bytes = 200,
                                                 .header_bytes = 1000,
                                                 .headers_n = 20,
                                                 .h2_max_streams = 8,
                                                 .header_timeout_ms = 100,
                                                 .request_timeout_ms = 100,
                                                 .idle_timeout_ms = 500,
                                                 .keepalive_time_ms = 50,
                                                 .keepalive_timeout_ms = 50,
                                                 .write_timeout_ms = 100,
                                                 .max_age_ms = 800,
                                                 .max_age_grace_ms = 50,
                                                 .gzip = true};
    int fds[2];
    if (n < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds))
        return 0;
    struct fp_loop *loop = fp_loop_fake_new();
    struct fp_grpc_server *grpc = fp_grpc_server_new(200);
    fp_grpc_server_add(grpc, &method);
    struct fp_http_handlers h = {.on_headers = on_headers,
                                 .on_request = on_request,
                                 .on_too_large = on_too_large,
                                 .streams = fp_grpc_server_handlers(grpc)};
    struct fp_http_server *s = fp_http_server_new(loop, &limits, &h);
    fp_http_server_accept(s, fds[0], NULL, NULL);
    talk(loop, s, fds[1], data + 2, n - 2, data[0] ? data[0] * 8u : n, data[1] & 15);
    if (data[1] & 16)
        fp_http_server_drain(s, 100, NULL, NULL);
    if (data[1] & 32)
        shutdown(fds[1], SHUT_WR);
    for (int i = 0; i < 10 && only(s); i++) {
        fp_loop_fake_fire(&only(s)->io, FP_IO_READ | FP_IO_WRITE);
        fp_loop_fake_advance(loop, data[1] & 64 ? 100 : 1);
        swallow(fds[1]);
    }
    fp_http_server_free(&s);
    FP_ASSERT(open_requests == 0 && open_calls == 0);
    fp_grpc_server_free(&grpc);
    fp_loop_free(&loop);
    close(fds[1]);
    return 0;
}
