/*
 * For unit tests of the xDS engine: a gRPC layer that only notes what is sent, snapshots from a
 * line of text, and a client that says exactly what it is told to.
 *
 *     struct world w = world_new(0);
 *     publish(&w, "C/c1=1>E/c1 E/c1=1 L/l1=1>R/r1 R/r1=1>C/c1");     kind/name=body>references
 *     struct fp_grpc_call *c = dial(&w, "node");
 *     ask(c, 'C', "");
 *     is_str(got(c), "CDS[c1]", "S-11");
 *     ack(c, 'C');
 */
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/core_log.h"
#include "core/core_mem.h"
#include "event/event_fake.c"
#include "snap/snap_builder.h"
#include "xds/xds_stream_int.h"
#include "xds/xds_wire_int.h"
#include "tap.h"

#define METHODS_MAX 16
#define TEXT_BYTES  8192

struct fp_grpc_server {
    const struct fp_grpc_method *methods[METHODS_MAX];
    size_t n;
};

struct last { /* what the client knows of one type */
    char version[64], nonce[32];
    char names[1024]; /* subscription, as last said */
};

struct fp_grpc_call {
    struct world *world;
    const struct fp_grpc_method *method;
    void *user;
    const char *node, *subject; /* of the request, of the client certificate */
    const char *sans;           /* of the client certificate, "URI:…" a line */
    struct fp_str metadata;     /* of the node, wire bytes */
    bool node_sent, stuck;      /* stuck: nothing drains */
    size_t queued;
    char text[TEXT_BYTES]; /* answers since the last got() */
    struct fp_buf raw;     /* the last message */
    struct last last[FP_KIND_N];
    unsigned sends;
    uint64_t sent_bytes;
    void (*on_sent)(struct fp_str message, void *arg); /* may be NULL */
    void *on_sent_arg;
    int status; /* -1: open */
    char message[256];
};

struct world {
    struct fp_loop *loop;
    struct fp_grpc_server server;
    struct fp_xds_engine *engine;
    struct fp_page_slot slot;
    uint64_t generation;
};

static const char KIND_LETTERS[FP_KIND_N + 1] = "CELRSOVTXAK"; /* by enum fp_kind */

static enum fp_kind kind_of(char letter)
{
    const char *at = strchr(KIND_LETTERS, letter);
    if (!at)
        abort();
    return (enum fp_kind)(at - KIND_LETTERS);
}

/* ---- the gRPC layer ---- */

void fp_grpc_server_add(struct fp_grpc_server *s, const struct fp_grpc_method *m)
{
    s->methods[s->n++] = m;
}

bool fp_grpc_server_service_at(const struct fp_grpc_server *s, size_t i, struct fp_str *name)
{
    struct fp_str rest;
    if (i >= s->n)
        return false;
    *name = fp_str_split(fp_str_of(s->methods[i]->path + 1), '/', &rest);
    return true;
}

static void note(struct fp_grpc_call *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void note(struct fp_grpc_call *c, const char *fmt, ...)
{
    size_t n = strlen(c->text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->text + n, sizeof c->text - n, fmt, ap);
    va_end(ap);
}

static struct fp_str field_of(struct fp_str in, uint32_t number)
{
    struct fp_xds_field f;
    struct fp_str found = FP_STR_NULL;
    while (fp_xds_wire_next(&in, &f) > 0)
        if (f.number == number && f.type == FP_XDS_BYTES)
            found = f.bytes;
    return found;
}

static void take_response(struct fp_grpc_call *c, struct fp_str m)
{
    enum fp_kind kind = fp_kind_by_type_url(field_of(m, 4));
    struct fp_str version = field_of(m, 1), nonce = field_of(m, 5);
    if (kind == FP_KIND_N)
        return; /* not a DiscoveryResponse */
    snprintf(c->last[kind].version, sizeof c->last[kind].version, "%.*s", FP_STR_ARG(version));
    snprintf(c->last[kind].nonce, sizeof c->last[kind].nonce, "%.*s", FP_STR_ARG(nonce));
    note(c, "%s%s[", *c->text ? " " : "", fp_kinds[kind].xds);
    struct fp_xds_field f;
    bool first = true;
    while (fp_xds_wire_next(&m, &f) > 0)
        if (f.number == 2) {
            struct fp_str value = field_of(f.bytes, 2), name = field_of(value, 1);
            note(c, "%s%.*s", first ? "" : " ", FP_STR_ARG(name));
            first = false;
        }
    note(c, "]");
}

void fp_grpc_call_send(struct fp_grpc_call *c, struct fp_http_chunk *body, struct fp_str tail)
{
    if (c->status >= 0)
        abort();
    fp_buf_clear(&c->raw);
    for (uint32_t i = 0; i < body->segments_n; i++)
        fp_buf_append_str(&c->raw, body->segments[i]);
    if (c->raw.len != body->bytes)
        abort();
    fp_buf_append_str(&c->raw, tail);
    fp_http_chunk_unref(&body);
    c->sends++;
    c->sent_bytes += c->raw.len;
    c->queued += c->stuck ? c->raw.len : 0;
    if (c->on_sent)
        c->on_sent(fp_buf_str(&c->raw), c->on_sent_arg);
    else if (strstr(c->method->path, "Discovery"))
        take_response(c, fp_buf_str(&c->raw));
}

void fp_grpc_call_finish(struct fp_grpc_call *c, enum fp_grpc_status status, const char *message)
{
    if (c->status >= 0)
        return;
    c->status = (int)status;
    snprintf(c->message, sizeof c->message, "%s", message);
}

size_t fp_grpc_call_queued(const struct fp_grpc_call *c)
{
    return c->queued;
}

/* ---- chunks and descriptors, so that http and pb stay out ---- */

void fp_http_chunk_unref(struct fp_http_chunk **c)
{
    if (*c && --(*c)->refs == 0)
        (*c)->release(*c);
    *c = NULL;
}

struct copied {
    struct fp_http_chunk chunk;
    struct fp_str segment;
};

static void free_copied(struct fp_http_chunk *c)
{
    free((char *)c->segments[0].data);
    free(c);
}

struct fp_http_chunk *fp_http_chunk_copy(struct fp_str bytes)
{
    struct copied *c = calloc(1, sizeof *c);
    char *copy = malloc(bytes.len + 1);
    memcpy(copy, bytes.data, bytes.len);
    c->segment = fp_str_n(copy, bytes.len);
    c->chunk = (struct fp_http_chunk){.refs = 1,
                                      .release = free_copied,
                                      .bytes = bytes.len,
                                      .segments_n = 1,
                                      .segments = &c->segment};
    return &c->chunk;
}

bool fp_pb_pool_file(const struct fp_pb_pool *pool, struct fp_str file_name, struct fp_str *bytes)
{
    *bytes = FP_STR("file bytes");
    return fp_str_eq_c(file_name, "known.proto");
}

bool fp_pb_pool_file_of_symbol(const struct fp_pb_pool *pool, struct fp_str symbol,
                               struct fp_str *bytes)
{
    *bytes = FP_STR("file of the symbol");
    return fp_str_eq_c(symbol, "known.Symbol");
}

struct fp_http_stream *fp_grpc_call_stream(struct fp_grpc_call *c)
{
    return (struct fp_http_stream *)c;
}

struct fp_str fp_http_stream_tls_subject(const struct fp_http_stream *st)
{
    return fp_str_of(((const struct fp_grpc_call *)st)->subject);
}

struct fp_str fp_http_stream_tls_sans(const struct fp_http_stream *st)
{
    return fp_str_of(((const struct fp_grpc_call *)st)->sans);
}

int64_t fp_http_stream_tls_not_after_ms(const struct fp_http_stream *st)
{
    return 0;
}

const struct fp_addr *fp_http_stream_peer(const struct fp_http_stream *st)
{
    return NULL;
}

/* ---- the world ---- */

struct fp_pb_pool {
    int unused;
};

static struct world *world_open(const struct fp_xds_options *given)
{
    struct world *w = calloc(1, sizeof *w);
    static struct fp_pb_pool pool;
    struct fp_xds_options o = {
        .pool = &pool,
        .control_plane_id = "flowplane/test",
        .ordering_timeout_ms = 15000,
        .proxy_drain_time_ms = 600000,
        .max_streams = 100000,
        .slot = &w->slot,
        .reflection = true,
    };
    if (given)
        o = *given;
    o.slot = &w->slot;
    if (o.first_response_rate && !o.limits)
        o.limits = fp_limits_new();
    w->loop = fp_loop_fake_new();
    w->engine = fp_xds_engine_new(w->loop, &o);
    fp_xds_engine_register(w->engine, &w->server);
    fp_log_filter_set("error");
    return w;
}

static void world_close(struct world **w)
{
    fp_xds_engine_free(&(*w)->engine);
    fp_loop_free(&(*w)->loop);
    free(*w);
    *w = NULL;
}

static void put_any(struct fp_buf *out, enum fp_kind kind, struct fp_str name, struct fp_str body)
{
    struct fp_buf value = {0}, any = {0};
    fp_xds_wire_bytes(&value, 1, name);
    fp_xds_wire_bytes(&value, 2, body);
    fp_xds_wire_bytes(&any, 1, fp_str_of(fp_kinds[kind].type_url));
    fp_xds_wire_bytes(&any, 2, fp_buf_str(&value));
    fp_xds_wire_bytes(out, 2, fp_buf_str(&any));
    fp_buf_fini(&value);
    fp_buf_fini(&any);
}

/* "C/c1=body>E/c1>S/s", with a team "L@team/l1"; '~' in a name is a blank */
static void add_item(struct fp_snap_builder *b, char *item)
{
    struct fp_ref refs[16];
    uint32_t refs_n = 0;
    enum fp_kind kind = kind_of(item[0]);
    char *slash = strchr(item, '/'), *team = item[1] == '@' ? item + 2 : NULL;
    *slash = 0;
    char *name = slash + 1, *body = strchr(name, '='), *ref = strchr(name, '>');
    if (body)
        *body++ = 0;
    for (; ref; refs_n++) {
        *ref++ = 0;
        char *next = strchr(ref, '>');
        refs[refs_n] = (struct fp_ref){
            .kind = kind_of(ref[0]),
            .name = fp_str_n(ref + 2, next ? (size_t)(next - ref - 2) : strlen(ref + 2)),
        };
        ref = next;
    }
    for (char *c = name; *c; c++)
        *c = *c == '~' ? ' ' : *c;
    struct fp_buf blob = {0};
    put_any(&blob, kind, fp_str_of(name), fp_str_of(body ? body : ""));
    struct fp_snap_entry e = {.name = fp_str_of(name),
                              .team = fp_str_of(team),
                              .blob = fp_buf_str(&blob),
                              .refs = refs,
                              .refs_n = refs_n};
    if (fp_snap_builder_add(b, kind, &e))
        abort();
    fp_buf_fini(&blob);
}

static struct fp_snap *snapshot(uint64_t generation, const char *text)
{
    struct fp_snap_builder *b = fp_snap_builder_new();
    char *copy = strdup(text), *save = NULL;
    for (char *item = strtok_r(copy, " ", &save); item; item = strtok_r(NULL, " ", &save))
        add_item(b, item);
    free(copy);
    struct fp_snap_meta meta = {.generation = generation, .revision = generation};
    struct fp_snap *s;
    int fd;
    if (fp_snap_builder_finish(b, &meta, &fd) || fp_snap_open(fd, &s))
        abort();
    close(fd);
    fp_snap_builder_free(&b);
    return s;
}

static void turn(struct world *w)
{
    fp_loop_fake_advance(w->loop, 0);
}

static void publish(struct world *w, const char *text)
{
    struct fp_snap *s = snapshot(++w->generation, text);
    fp_xds_engine_publish(w->engine, s);
    fp_snap_unref(&s);
    turn(w);
}

/* ---- the client ---- */

static struct fp_grpc_call *call_open(struct world *w, const char *path)
{
    struct fp_grpc_call *c = calloc(1, sizeof *c);
    c->world = w;
    c->status = -1;
    for (size_t i = 0; i < w->server.n; i++)
        if (strcmp(w->server.methods[i]->path, path) == 0)
            c->method = w->server.methods[i];
    if (!c->method)
        abort();
    c->user = c->method->on_open(c, c->method->arg);
    return c;
}

__attribute__((unused)) static struct fp_grpc_call *dial(struct world *w, const char *node)
{
    struct fp_grpc_call *c = call_open(
        w, "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources");
    c->node = node;
    return c;
}

static void hang_up(struct fp_grpc_call **c)
{
    (*c)->method->on_close(*c, (*c)->user);
    fp_buf_fini(&(*c)->raw);
    free(*c);
    *c = NULL;
}

static void deliver(struct fp_grpc_call *c, struct fp_str message)
{
    /* exactly as long, for the sanitizer */
    char *copy = malloc(message.len ? message.len : 1);
    memcpy(copy, message.data ? message.data : "", message.len);
    c->method->on_message(c, c->user, fp_str_n(copy, message.len));
    free(copy);
}

static void put_names(struct fp_buf *b, const char *names)
{
    char *copy = strdup(names), *save = NULL;
    for (char *n = strtok_r(copy, " ", &save); n; n = strtok_r(NULL, " ", &save))
        fp_xds_wire_bytes(b, 3, strcmp(n, "''") == 0 ? FP_STR("") : fp_str_of(n));
    free(copy);
}

/* One request, without letting the loop turn.  error may be NULL. */
static void say(struct fp_grpc_call *c, char letter, const char *names, const char *version,
                const char *nonce, const char *error)
{
    enum fp_kind kind = kind_of(letter);
    struct fp_buf b = {0}, sub = {0};
    if (!c->node_sent && c->node) {
        fp_xds_wire_bytes(&sub, 1, fp_str_of(c->node));
        if (c->metadata.data)
            fp_xds_wire_bytes(&sub, 3, c->metadata);
        fp_xds_wire_bytes(&b, 2, fp_buf_str(&sub));
        fp_buf_clear(&sub);
        c->node_sent = true;
    }
    fp_xds_wire_bytes(&b, 1, fp_str_of(version));
    put_names(&b, names);
    fp_xds_wire_bytes(&b, 4, fp_str_of(fp_kinds[kind].type_url));
    if (*nonce)
        fp_xds_wire_bytes(&b, 5, fp_str_of(nonce));
    if (error) {
        fp_xds_wire_uint(&sub, 1, 13);
        fp_xds_wire_bytes(&sub, 2, fp_str_of(error));
        fp_xds_wire_bytes(&b, 6, fp_buf_str(&sub));
    }
    if (names != c->last[kind].names)
        snprintf(c->last[kind].names, sizeof c->last[kind].names, "%s", names);
    deliver(c, fp_buf_str(&b));
    fp_buf_fini(&b);
    fp_buf_fini(&sub);
}

/* A request with the last nonce and version: the first of a type, or a change of names. */
__attribute__((unused)) static void ask(struct fp_grpc_call *c, char letter, const char *names)
{
    struct last *l = &c->last[kind_of(letter)];
    say(c, letter, names, l->version, l->nonce, NULL);
    turn(c->world);
}

__attribute__((unused)) static void ack(struct fp_grpc_call *c, char letter)
{
    ask(c, letter, c->last[kind_of(letter)].names);
}

__attribute__((unused)) static void nack(struct fp_grpc_call *c, char letter)
{
    struct last *l = &c->last[kind_of(letter)];
    say(c, letter, l->names, "old", l->nonce, "no");
    turn(c->world);
}

/* What was sent since the last time, "CDS[c1 c2] EDS[c1]". */
__attribute__((unused)) static const char *got(struct fp_grpc_call *c)
{
    static char text[TEXT_BYTES];
    memcpy(text, c->text, sizeof text);
    c->text[0] = 0;
    return text;
}

__attribute__((unused)) static void drain(struct fp_grpc_call *c)
{
    c->queued = 0;
    c->method->on_drained(c, c->user);
    turn(c->world);
}
