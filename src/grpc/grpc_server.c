/*
 * gRPC on HTTP/2 streams, in workers: which requests are gRPC, message framing, status.  Knows no
 * message and keeps no bytes between messages; a message is copied only when it spans DATA frames.
 */
#include <stdio.h>
#include "core/core_assert.h"
#include "core/core_map.h"
#include "core/core_mem.h"
#include "grpc/grpc_server.h"

#define PREFIX_BYTES      5
#define PARTIAL_MESSAGES  64   /* times the limit of one: what incomplete ones may hold in sum */
#define STATUS_TEXT_BYTES 1024 /* of grpc-message before encoding: it ends up in a header */

struct fp_grpc_server {
    size_t max_request_bytes;
    size_t partial_bytes;    /* of incomplete messages, all calls together */
    struct fp_map methods;   /* path → const struct fp_grpc_method */
    struct fp_str *services; /* in the order of their first method */
    size_t services_n;
    struct fp_http_stream_handlers handlers;
};

struct fp_grpc_call {
    struct fp_grpc_server *server;
    struct fp_http_stream *stream;
    const struct fp_grpc_method *method; /* NULL: unknown, the answer is on its way */
    void *user;
    struct fp_buf message; /* the part so far of one that spans frames */
    uint8_t prefix[PREFIX_BYTES];
    uint8_t prefix_n;
    bool encoded;  /* the client named a grpc-encoding */
    bool finished; /* status sent */
    uint32_t need; /* length of the current message, once the prefix is complete */
};

/* ---- status ---- */

/* grpc-message: printable ASCII except '%' stands for itself (gRPC over HTTP/2, "Percent-Byte"). */
static size_t percent_encode(char *out, const char *s)
{
    static const char digits[] = "0123456789ABCDEF";
    char *to = out;
    for (size_t i = 0; s && s[i] && i < STATUS_TEXT_BYTES; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    return (size_t)(to - out);
}

static void drop_partial(struct fp_grpc_call *c)
{
    c->server->partial_bytes -= c->message.len;
    fp_buf_fini(&c->message);
}

static void end(struct fp_grpc_call *c, enum fp_grpc_status status, const char *message,
                bool trailers_only)
{
    char code[8], text[3 * STATUS_TEXT_BYTES];
    struct fp_http_header h[4];
    size_t n = 0;
    c->finished = true;
    drop_partial(c);
    snprintf(code, sizeof code, "%d", (int)status);
    if (trailers_only)
        h[n++] = (struct fp_http_header){FP_STR("content-type"), FP_STR("application/grpc")};
    h[n++] = (struct fp_http_header){FP_STR("grpc-status"), fp_str_of(code)};
    size_t text_n = percent_encode(text, message);
    if (text_n)
        h[n++] = (struct fp_http_header){FP_STR("grpc-message"), fp_str_n(text, text_n)};
    if (status == FP_GRPC_UNIMPLEMENTED) /* T-6 */
        h[n++] = (struct fp_http_header){FP_STR("grpc-accept-encoding"), FP_STR("identity")};
    if (trailers_only)
        fp_http_stream_headers_only(c->stream, 200, h, n);
    else
        fp_http_stream_trailers(c->stream, h, n);
}

void fp_grpc_call_finish(struct fp_grpc_call *c, enum fp_grpc_status status, const char *message)
{
    if (!c->finished)
        end(c, status, message, false);
}

/* ---- opening ---- */

static bool is_grpc(struct fp_str type)
{
    struct fp_str prefix = FP_STR("application/grpc");
    return fp_str_starts(type, prefix) &&
           (type.len == prefix.len || strchr("+; ", type.data[prefix.len]));
}

static struct fp_str find(const struct fp_http_header *h, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (fp_str_eq_c(h[i].name, name))
            return h[i].value;
    return FP_STR_NULL;
}

static bool accepts(struct fp_str path, const struct fp_http_header *h, size_t n, void *arg)
{
    return is_grpc(find(h, n, "content-type"));
}

static void on_open(struct fp_http_stream *st, struct fp_str path, const struct fp_http_header *h,
                    size_t n, void *arg)
{
    static const struct fp_http_header answer[] = {
        {{"content-type", 12}, {"application/grpc", 16}},
        {{"grpc-accept-encoding", 20}, {"identity", 8}},
    };
    struct fp_grpc_server *s = arg;
    struct fp_grpc_call *c = fp_mem_zalloc(sizeof *c);
    struct fp_str encoding = find(h, n, "grpc-encoding");
    c->server = s;
    c->stream = st;
    c->encoded = encoding.len && !fp_str_eq_c(encoding, "identity");
    fp_http_stream_user_set(st, c);
    c->method = fp_map_get(&s->methods, path);
    if (!c->method) { /* T-5 */
        end(c, FP_GRPC_UNIMPLEMENTED, "unknown service or method", true);
        return;
    }
    fp_http_stream_headers(st, 200, answer, 2); /* T-1: before any message */
    c->user = c->method->on_open(c, c->method->arg);
}

/* ---- messages ---- */

/* The prefix is complete: is the message one that we take? */
static bool check_prefix(struct fp_grpc_call *c)
{
    const uint8_t *p = c->prefix;
    c->need = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (p[0] == 1 && c->encoded)
        fp_grpc_call_finish(c, FP_GRPC_UNIMPLEMENTED, "message compression is not supported");
    else if (p[0] != 0)
        fp_grpc_call_finish(c, FP_GRPC_INTERNAL, "malformed message prefix");
    else if (c->need > c->server->max_request_bytes) { /* T-8: before a byte of it is kept */
        char text[96];
        snprintf(text, sizeof text, "message of %u bytes exceeds the limit of %zu", c->need,
                 c->server->max_request_bytes);
        fp_grpc_call_finish(c, FP_GRPC_RESOURCE_EXHAUSTED, text);
    }
    return !c->finished;
}

static struct fp_str skip(struct fp_str s, size_t n)
{
    return fp_str_n(s.data + n, s.len - n);
}

static void keep_partial(struct fp_grpc_call *c, struct fp_str bytes)
{
    struct fp_grpc_server *s = c->server;
    if (s->partial_bytes + bytes.len > s->max_request_bytes * PARTIAL_MESSAGES) {
        fp_grpc_call_finish(c, FP_GRPC_RESOURCE_EXHAUSTED, "too many incomplete messages");
        return;
    }
    fp_buf_append_str(&c->message, bytes);
    s->partial_bytes += bytes.len;
}

/* T-7: a message may span frames, a frame may hold many. */
static void on_data(struct fp_http_stream *st, struct fp_str bytes, void *arg)
{
    struct fp_grpc_call *c = fp_http_stream_user(st);
    while (!c->finished) {
        while (c->prefix_n < PREFIX_BYTES && bytes.len) {
            c->prefix[c->prefix_n++] = (uint8_t)bytes.data[0];
            bytes = skip(bytes, 1);
            if (c->prefix_n == PREFIX_BYTES && !check_prefix(c))
                return;
        }
        if (c->prefix_n < PREFIX_BYTES)
            return;
        size_t missing = c->need - c->message.len;
        if (bytes.len < missing) {
            keep_partial(c, bytes);
            return;
        }
        struct fp_buf whole = c->message;
        struct fp_str message = fp_str_n(bytes.data, missing);
        if (whole.len) {
            fp_buf_append_str(&whole, message);
            message = fp_buf_str(&whole);
        }
        c->server->partial_bytes -= c->message.len;
        c->message = (struct fp_buf){0};
        c->prefix_n = 0;
        bytes = skip(bytes, missing);
        c->method->on_message(c, c->user, message);
        fp_buf_fini(&whole);
    }
}

static void on_half_close(struct fp_http_stream *st, void *arg)
{
    struct fp_grpc_call *c = fp_http_stream_user(st);
    if (c->finished)
        return;
    if (c->prefix_n)
        fp_grpc_call_finish(c, FP_GRPC_INTERNAL, "the stream ended inside a message");
    else if (c->method->on_half_close)
        c->method->on_half_close(c, c->user);
    else
        fp_grpc_call_finish(c, FP_GRPC_OK, NULL); /* T-9 */
}

static void on_drained(struct fp_http_stream *st, void *arg)
{
    struct fp_grpc_call *c = fp_http_stream_user(st);
    if (!c->finished && c->method->on_drained)
        c->method->on_drained(c, c->user);
}

static void on_drain(struct fp_http_stream *st, void *arg)
{
    struct fp_grpc_call *c = fp_http_stream_user(st);
    if (!c->finished && c->method->on_drain)
        c->method->on_drain(c, c->user);
    else
        fp_grpc_call_finish(c, FP_GRPC_UNAVAILABLE, "the server is shutting down"); /* T-16 */
}

static void on_close(struct fp_http_stream *st, void *arg)
{
    struct fp_grpc_call *c = fp_http_stream_user(st);
    c->finished = true;
    if (c->method)
        c->method->on_close(c, c->user);
    drop_partial(c);
    fp_mem_free(c);
}

/* ---- calls ---- */

struct fp_http_stream *fp_grpc_call_stream(struct fp_grpc_call *c)
{
    return c->stream;
}

void fp_grpc_call_send(struct fp_grpc_call *c, struct fp_http_chunk *body, struct fp_str tail)
{
    size_t n = (body ? body->bytes : 0) + tail.len;
    FP_ASSERT(n <= UINT32_MAX);
    char prefix[PREFIX_BYTES] = {0, (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    if (c->finished)
        fp_http_chunk_unref(&body);
    else
        fp_http_stream_send_framed(c->stream, fp_str_n(prefix, sizeof prefix), body, tail);
}

size_t fp_grpc_call_queued(const struct fp_grpc_call *c)
{
    return fp_http_stream_queued(c->stream);
}

/* ---- server ---- */

struct fp_grpc_server *fp_grpc_server_new(size_t max_request_bytes)
{
    struct fp_grpc_server *s = fp_mem_zalloc(sizeof *s);
    s->max_request_bytes = max_request_bytes;
    s->handlers = (struct fp_http_stream_handlers){
        .accepts = accepts,
        .on_open = on_open,
        .on_data = on_data,
        .on_half_close = on_half_close,
        .on_drained = on_drained,
        .on_close = on_close,
        .on_drain = on_drain,
        .arg = s,
    };
    return s;
}

void fp_grpc_server_free(struct fp_grpc_server **sp)
{
    struct fp_grpc_server *s = *sp;
    *sp = NULL;
    if (!s)
        return;
    fp_map_fini(&s->methods);
    fp_mem_free(s->services);
    fp_mem_free(s);
}

static struct fp_str service_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    FP_ASSERT(path[0] == '/' && slash > path);
    return fp_str_n(path + 1, (size_t)(slash - path - 1));
}

void fp_grpc_server_add(struct fp_grpc_server *s, const struct fp_grpc_method *m)
{
    struct fp_str service = service_of(m->path);
    FP_ASSERT(!fp_map_set(&s->methods, fp_str_of(m->path), (void *)m));
    for (size_t i = 0; i < s->services_n; i++)
        if (fp_str_eq(s->services[i], service))
            return;
    s->services = fp_mem_realloc(s->services, (s->services_n + 1) * sizeof *s->services);
    s->services[s->services_n++] = service;
}

const struct fp_http_stream_handlers *fp_grpc_server_handlers(struct fp_grpc_server *s)
{
    return &s->handlers;
}

bool fp_grpc_server_service_at(const struct fp_grpc_server *s, size_t i, struct fp_str *name)
{
    if (i >= s->services_n)
        return false;
    *name = s->services[i];
    return true;
}
