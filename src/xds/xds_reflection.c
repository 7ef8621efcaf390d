/*
 * gRPC server reflection, v1 and v1alpha (the same bytes on the wire), in workers: what grpcurl
 * needs to list and describe.  Files come from the descriptor pool; it must never reveal more than
 * that.
 */
#include "xds/xds_engine_int.h"
#include "xds/xds_wire_int.h"

enum { /* ServerReflectionRequest */
       BY_FILENAME = 3,
       BY_SYMBOL = 4,
       BY_EXTENSION = 5,
       ALL_EXTENSIONS = 6,
       LIST_SERVICES = 7,
};
enum { /* ServerReflectionResponse */
       VALID_HOST = 1,
       ORIGINAL_REQUEST = 2,
       FILES = 4,
       SERVICES = 6,
       ERROR = 7,
};

struct request {
    struct fp_str host, argument;
    uint32_t what; /* the last member of the oneof that was set; 0: none */
};

static bool parse(struct fp_str in, struct request *out)
{
    struct fp_xds_field f;
    int r;
    *out = (struct request){0};
    while ((r = fp_xds_wire_next(&in, &f)) > 0) {
        if (f.type != FP_XDS_BYTES)
            continue;
        if (f.number == 1) {
            out->host = f.bytes;
        } else if (f.number >= BY_FILENAME && f.number <= LIST_SERVICES) {
            out->what = f.number;
            out->argument = f.bytes;
        }
    }
    return r == 0;
}

static void put_error(struct fp_buf *out, enum fp_grpc_status code, const char *message)
{
    struct fp_buf e = {0};
    fp_xds_wire_uint(&e, 1, code);
    fp_xds_wire_bytes(&e, 2, fp_str_of(message));
    fp_xds_wire_bytes(out, ERROR, fp_buf_str(&e));
    fp_buf_fini(&e);
}

static void put_file(struct fp_buf *out, bool found, struct fp_str file)
{
    if (!found) {
        put_error(out, FP_GRPC_NOT_FOUND, "not found");
        return;
    }
    struct fp_buf files = {0};
    fp_xds_wire_bytes(&files, 1, file);
    fp_xds_wire_bytes(out, FILES, fp_buf_str(&files));
    fp_buf_fini(&files);
}

static void put_services(struct fp_buf *out, const struct fp_grpc_server *server)
{
    struct fp_buf list = {0}, one = {0};
    struct fp_str name;
    for (size_t i = 0; fp_grpc_server_service_at(server, i, &name); i++) {
        fp_buf_clear(&one);
        fp_xds_wire_bytes(&one, 1, name);
        fp_xds_wire_bytes(&list, 1, fp_buf_str(&one));
    }
    fp_xds_wire_bytes(out, SERVICES, fp_buf_str(&list));
    fp_buf_fini(&one);
    fp_buf_fini(&list);
}

static void answer(const struct fp_xds_engine *e, const struct request *r, struct fp_buf *out)
{
    const struct fp_pb_pool *pool = e->options.pool;
    struct fp_str file = FP_STR_NULL;
    switch (r->what) {
    case BY_FILENAME:
        put_file(out, pool && fp_pb_pool_file(pool, r->argument, &file), file);
        break;
    case BY_SYMBOL:
        put_file(out, pool && fp_pb_pool_file_of_symbol(pool, r->argument, &file), file);
        break;
    case LIST_SERVICES:
        put_services(out, e->server);
        break;
    case BY_EXTENSION:
    case ALL_EXTENSIONS:
        put_error(out, FP_GRPC_NOT_FOUND, "extensions are not indexed");
        break;
    default:
        put_error(out, FP_GRPC_INVALID_ARGUMENT, "no request");
    }
}

static void *on_open(struct fp_grpc_call *call, void *arg)
{
    const struct fp_xds_engine *e = arg;
    if (!e->options.require_client_identity || fp_xds_engine_identifies(e, call, NULL))
        return arg; /* the engine: a reflection stream has no state */
    fp_grpc_call_finish(call, FP_GRPC_PERMISSION_DENIED, "the client certificate names no team");
    return NULL;
}

static void on_message(struct fp_grpc_call *call, void *user, struct fp_str message)
{
    struct fp_xds_engine *e = user;
    struct request r;
    if (!e)
        return;
    if (!parse(message, &r)) {
        fp_grpc_call_finish(call, FP_GRPC_INVALID_ARGUMENT, "request cannot be decoded");
        return;
    }
    struct fp_buf out = {0};
    if (r.host.len)
        fp_xds_wire_bytes(&out, VALID_HOST, r.host);
    fp_xds_wire_bytes(&out, ORIGINAL_REQUEST, message);
    answer(e, &r, &out);
    fp_grpc_call_send(call, fp_http_chunk_copy(fp_buf_str(&out)), FP_STR(""));
    fp_buf_fini(&out);
}

static void on_half_close(struct fp_grpc_call *call, void *user)
{
    fp_grpc_call_finish(call, FP_GRPC_OK, "");
}

static void on_close(struct fp_grpc_call *call, void *user)
{
}

#define REFLECTION(version)                                                                        \
    {                                                                                              \
        .path = "/grpc.reflection." version ".ServerReflection/ServerReflectionInfo",              \
        .on_open = on_open, .on_message = on_message, .on_half_close = on_half_close,              \
        .on_close = on_close,                                                                      \
    }
const struct fp_grpc_method fp_xds_reflection_methods[2] = {REFLECTION("v1"),
                                                            REFLECTION("v1alpha")};
