/*
 * grpc.health.v1: Check and Watch, in workers.  SERVING once a snapshot is served, NOT_SERVING
 * before and while draining (contract §9.1).  It must never touch a discovery stream.
 */
#include "core/core_mem.h"
#include "grpc/health/v1/health.pb-c.h"
#include "pb/pb_guard.h"
#include "xds/xds_engine_int.h"

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;
#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

struct watcher {
    struct fp_xds_engine *engine;
    struct fp_grpc_call *call;
    struct fp_list link; /* engine->watchers, once the request is here */
    bool known, watch, ended;
    serving_status told; /* 0: nothing yet */
};

static bool is_known(const struct fp_xds_engine *e, struct fp_str service)
{
    struct fp_str name;
    if (!service.len)
        return true;
    for (size_t i = 0; e->server && fp_grpc_server_service_at(e->server, i, &name); i++)
        if (fp_str_eq(name, service))
            return true;
    return false;
}

static serving_status status_of(const struct watcher *w)
{
    if (!w->known)
        return STATUS(SERVICE_UNKNOWN);
    return w->engine->view && !w->engine->draining ? STATUS(SERVING) : STATUS(NOT_SERVING);
}

static void tell(struct watcher *w)
{
    serving_status status = status_of(w);
    if (w->ended || status == w->told)
        return;
    w->told = status;
    Grpc__Health__V1__HealthCheckResponse m = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    struct fp_buf b = {0};
    m.status = status;
    fp_pb_pack(&m.base, &b);
    fp_grpc_call_send(w->call, fp_http_chunk_copy(fp_buf_str(&b)), FP_STR(""));
    fp_buf_fini(&b);
}

static void finish(struct watcher *w, enum fp_grpc_status status, const char *message)
{
    w->ended = true;
    fp_grpc_call_finish(w->call, status, message);
}

static struct watcher *make(struct fp_grpc_call *call, void *arg, bool watch)
{
    struct watcher *w = fp_mem_zalloc(sizeof *w);
    w->engine = arg;
    w->call = call;
    w->watch = watch;
    return w;
}

static void *on_open_check(struct fp_grpc_call *call, void *arg)
{
    return make(call, arg, false);
}

static void *on_open_watch(struct fp_grpc_call *call, void *arg)
{
    return make(call, arg, true);
}

static void take(struct watcher *w, struct fp_str message, struct fp_arena *a)
{
    const Grpc__Health__V1__HealthCheckRequest *r =
        fp_pb_unpack(&grpc__health__v1__health_check_request__descriptor, message, 16, a);
    if (!r) {
        finish(w, FP_GRPC_INVALID_ARGUMENT, "HealthCheckRequest cannot be decoded");
        return;
    }
    w->known = is_known(w->engine, fp_str_of(r->service));
    if (!w->watch && !w->known) {
        finish(w, FP_GRPC_NOT_FOUND, "unknown service");
        return;
    }
    tell(w);
    if (w->watch)
        fp_list_push_back(&w->engine->watchers, &w->link);
    else
        finish(w, FP_GRPC_OK, "");
}

static void on_message(struct fp_grpc_call *call, void *user, struct fp_str message)
{
    struct watcher *w = user;
    if (w->ended || w->told)
        return;
    struct fp_arena *a = fp_arena_new(NULL);
    take(w, message, a);
    fp_arena_free(&a);
}

static void on_half_close(struct fp_grpc_call *call, void *user)
{
    struct watcher *w = user; /* a watch goes on: its client has said all it has to say */
    if (!w->told && !w->ended)
        finish(w, FP_GRPC_INVALID_ARGUMENT, "no request");
}

static void on_close(struct fp_grpc_call *call, void *user)
{
    struct watcher *w = user;
    fp_list_remove(&w->link);
    fp_mem_free(w);
}

void fp_xds_health_changed(struct fp_xds_engine *e)
{
    FP_LIST_FOREACH_SAFE (it, &e->watchers)
        tell(FP_CONTAINER(it, struct watcher, link));
}

const struct fp_grpc_method fp_xds_health_methods[2] = {
    {
        .path = "/grpc.health.v1.Health/Check",
        .on_open = on_open_check,
        .on_message = on_message,
        .on_half_close = on_half_close,
        .on_close = on_close,
    },
    {
        .path = "/grpc.health.v1.Health/Watch",
        .on_open = on_open_watch,
        .on_message = on_message,
        .on_half_close = on_half_close,
        .on_close = on_close,
    },
};
