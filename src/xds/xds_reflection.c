/*
 * gRPC server reflection, v1 and v1alpha (the same bytes on the wire), in workers: what grpcurl
 * needs to list and describe.  Files come from the descriptor pool; it must never reveal more than
 * that.
 */
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "pb/pb_guard.h"
#include "xds/xds_engine_int.h"

#define REQUEST(what)  GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define RESPONSE(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what
#define ELEMENTS_MAX   64
typedef Grpc__Reflection__V1__ServerReflectionRequest request;
typedef Grpc__Reflection__V1__ServerReflectionResponse response;

static void put_error(response *out, struct fp_arena *a, enum fp_grpc_status code,
                      const char *message)
{
    out->message_response_case = RESPONSE(ERROR_RESPONSE);
    out->error_response = FP_ARENA_NEW(a, Grpc__Reflection__V1__ErrorResponse);
    grpc__reflection__v1__error_response__init(out->error_response);
    out->error_response->error_code = (int)code;
    out->error_response->error_message = fp_arena_strdup(a, message);
}

static void put_file(response *out, struct fp_arena *a, bool found, struct fp_str file)
{
    if (!found) {
        put_error(out, a, FP_GRPC_NOT_FOUND, "not found");
        return;
    }
    Grpc__Reflection__V1__FileDescriptorResponse *files =
        FP_ARENA_NEW(a, Grpc__Reflection__V1__FileDescriptorResponse);
    grpc__reflection__v1__file_descriptor_response__init(files);
    files->n_file_descriptor_proto = 1;
    files->file_descriptor_proto = FP_ARENA_NEW(a, ProtobufCBinaryData);
    *files->file_descriptor_proto =
        (ProtobufCBinaryData){.len = file.len, .data = (uint8_t *)(uintptr_t)file.data};
    out->message_response_case = RESPONSE(FILE_DESCRIPTOR_RESPONSE);
    out->file_descriptor_response = files;
}

static void put_services(response *out, struct fp_arena *a, const struct fp_grpc_server *server)
{
    Grpc__Reflection__V1__ListServiceResponse *list =
        FP_ARENA_NEW(a, Grpc__Reflection__V1__ListServiceResponse);
    struct fp_str name;
    size_t n = 0;
    grpc__reflection__v1__list_service_response__init(list);
    while (fp_grpc_server_service_at(server, n, &name))
        n++;
    list->service = fp_arena_alloc(a, (n + 1) * sizeof *list->service);
    for (; list->n_service < n; list->n_service++) {
        Grpc__Reflection__V1__ServiceResponse *one =
            FP_ARENA_NEW(a, Grpc__Reflection__V1__ServiceResponse);
        grpc__reflection__v1__service_response__init(one);
        fp_grpc_server_service_at(server, list->n_service, &name);
        one->name = (char *)fp_arena_str(a, name).data;
        list->service[list->n_service] = one;
    }
    out->message_response_case = RESPONSE(LIST_SERVICES_RESPONSE);
    out->list_services_response = list;
}

/* In the set in use; an Envoy's own lacks what only servers have: this very service, say. */
static bool find(const struct fp_xds_engine *e,
                 bool (*in)(const struct fp_pb_pool *, struct fp_str, struct fp_str *),
                 const char *name, struct fp_str *file)
{
    const struct fp_pb_pool *pools[] = {e->options.pool, e->options.builtin_pool};
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++)
        if (pools[i] && in(pools[i], fp_str_of(name), file))
            return true;
    return false;
}

static void answer(const struct fp_xds_engine *e, request *r, response *out, struct fp_arena *a)
{
    struct fp_str file = FP_STR_NULL;
    bool found;
    switch (r->message_request_case) {
    case REQUEST(FILE_BY_FILENAME):
        found = find(e, fp_pb_pool_file, r->file_by_filename, &file);
        put_file(out, a, found, file);
        break;
    case REQUEST(FILE_CONTAINING_SYMBOL):
        found = find(e, fp_pb_pool_file_of_symbol, r->file_containing_symbol, &file);
        put_file(out, a, found, file);
        break;
    case REQUEST(LIST_SERVICES):
        put_services(out, a, e->server);
        break;
    case REQUEST(FILE_CONTAINING_EXTENSION):
    case REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE):
        put_error(out, a, FP_GRPC_NOT_FOUND, "extensions are not indexed");
        break;
    default:
        put_error(out, a, FP_GRPC_INVALID_ARGUMENT, "no request");
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
    if (!e)
        return;
    struct fp_arena *a = fp_arena_new(NULL);
    request *r = fp_pb_unpack(&grpc__reflection__v1__server_reflection_request__descriptor, message,
                              ELEMENTS_MAX, a);
    if (!r) {
        fp_grpc_call_finish(call, FP_GRPC_INVALID_ARGUMENT, "request cannot be decoded");
    } else {
        struct fp_buf out = {0};
        response m = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
        m.valid_host = r->host;
        m.original_request = r;
        answer(e, r, &m, a);
        fp_pb_pack(&m.base, &out);
        fp_grpc_call_send(call, fp_http_chunk_copy(fp_buf_str(&out)), FP_STR(""));
        fp_buf_fini(&out);
    }
    fp_arena_free(&a);
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
