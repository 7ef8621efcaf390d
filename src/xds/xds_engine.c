/*
 * The xDS engine of a worker: all streams, the current generation, and the flush that brings
 * streams up to date in slices, so that thousands of them never hold up the loop.  It must never
 * answer before the first snapshot (E-9), nor answer from anything but a snapshot (E-8).
 */
#include <stdio.h>
#include "core/core_assert.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "core/core_rand.h"
#include "xds/xds_stream_int.h"

#define SLICE_N      256 /* streams flushed in one turn of the loop */
#define ADMIT_PERIOD 20  /* ms between admissions while streams queue, more or less */

static void flush(struct fp_task *t)
{
    struct fp_xds_engine *e = t->arg;
    struct fp_list *it;
    for (size_t n = 0; n < SLICE_N && (it = fp_list_pop_front(&e->ready)); n++)
        fp_xds_stream_flush(FP_CONTAINER(it, struct fp_xds_stream, ready));
    if (!fp_list_empty(&e->ready))
        fp_task_defer(e->loop, &e->flush_task);
}

static void make_ready(struct fp_xds_engine *e, struct fp_xds_stream *st)
{
    if (!fp_list_linked(&st->ready))
        fp_list_push_back(&e->ready, &st->ready);
    fp_task_defer(e->loop, &e->flush_task);
}

/* ---- admission of first answers (L-8): a bucket of all workers, of a tenth of a second ---- */

static uint64_t wait_for_token(struct fp_xds_engine *e)
{
    uint32_t rate = e->options.first_response_rate;
    return fp_limit_take(e->options.limits, FP_LIMIT_FIRST_ANSWERS, FP_STR(""), rate * 60,
                         rate / 10 ? rate / 10 : 1, fp_loop_now_ms(e->loop));
}

static void admit(struct fp_xds_engine *e)
{
    struct fp_list *it;
    if (fp_timer_running(&e->admit_timer))
        return;
    while (!fp_list_empty(&e->arrived) && !wait_for_token(e)) {
        it = fp_list_pop_front(&e->arrived);
        struct fp_xds_stream *st = FP_CONTAINER(it, struct fp_xds_stream, ready);
        st->admitted = true;
        make_ready(e, st);
    }
    if (!fp_list_empty(&e->arrived)) /* no worker shall come right behind another for ever */
        fp_timer_start(e->loop, &e->admit_timer, fp_rand_jitter(ADMIT_PERIOD, 50));
}

static void on_admit(struct fp_timer *t)
{
    admit(t->arg);
}

void fp_xds_engine_wake(struct fp_xds_engine *e, struct fp_xds_stream *st)
{
    if (!e->view) /* E-9: the first generation wakes all */
        return;
    if (!e->options.first_response_rate)
        st->admitted = true;
    if (st->admitted) {
        make_ready(e, st);
        return;
    }
    if (!fp_list_linked(&st->ready))
        fp_list_push_back(&e->arrived, &st->ready);
    admit(e);
}

/* ---- generations ---- */

static void check_references(struct fp_xds_engine *e)
{
    char first[256] = "";
    uint32_t dangling = fp_xds_view_dangling(e->view, first, sizeof first);
    if (dangling && dangling != e->dangling) /* O-8: Envoy would ACK it and answer 503 */
        fp_log_info(FP_LOG_XDS, "%u references to clusters that do not exist, one is %s", dangling,
                    first);
    e->dangling = dangling;
}

void fp_xds_engine_publish(struct fp_xds_engine *e, struct fp_snap *s)
{
    struct fp_xds_view *old = e->view;
    e->view = fp_xds_view_new(s);
    e->published_ns = fp_clock_mono_ns();
    fp_xds_view_unref(&old);
    check_references(e);
    if (e->options.slot && !e->draining) { /* else it is another worker's */
        atomic_store(&e->options.slot->generation, fp_snap_meta(s)->generation);
        atomic_store(&e->options.slot->revision, fp_snap_meta(s)->revision);
    }
    FP_LIST_FOREACH (it, &e->streams)
        fp_xds_engine_wake(e, FP_CONTAINER(it, struct fp_xds_stream, link));
    fp_xds_health_changed(e);
}

void fp_xds_engine_drain(struct fp_xds_engine *e)
{
    e->draining = true;
    fp_xds_health_changed(e);
}

/* ---- life ---- */

struct fp_xds_engine *fp_xds_engine_new(struct fp_loop *loop, const struct fp_xds_options *o)
{
    struct fp_xds_engine *e = fp_mem_zalloc(sizeof *e);
    e->loop = loop;
    e->options = *o;
    e->options.control_plane_id = fp_mem_strdup(o->control_plane_id ? o->control_plane_id : "");
    e->options.team_from_san =
        o->team_from_san && *o->team_from_san ? fp_mem_strdup(o->team_from_san) : NULL;
    e->control_plane = fp_str_of(e->options.control_plane_id);
    fp_list_init(&e->streams);
    fp_list_init(&e->ready);
    fp_list_init(&e->arrived);
    fp_list_init(&e->watchers);
    e->flush_task = (struct fp_task){.cb = flush, .arg = e};
    e->admit_timer = (struct fp_timer){.cb = on_admit, .arg = e};
    return e;
}

void fp_xds_engine_free(struct fp_xds_engine **ep)
{
    struct fp_xds_engine *e = *ep;
    *ep = NULL;
    if (!e)
        return;
    FP_ASSERT(fp_list_empty(&e->streams) && fp_list_empty(&e->watchers));
    fp_task_cancel(&e->flush_task);
    fp_timer_stop(&e->admit_timer);
    fp_xds_view_unref(&e->view);
    fp_xds_names_pool_fini(&e->names);
    fp_xds_scopes_fini(&e->scopes);
    fp_mem_free((char *)e->options.control_plane_id);
    fp_mem_free((char *)e->options.team_from_san);
    fp_mem_free(e);
}

static void add(struct fp_grpc_server *g, const struct fp_grpc_method *methods, size_t n,
                struct fp_grpc_method *store, struct fp_xds_engine *e)
{
    for (size_t i = 0; i < n; i++) {
        store[i] = methods[i];
        store[i].arg = e;
        fp_grpc_server_add(g, &store[i]);
    }
}

void fp_xds_engine_register(struct fp_xds_engine *e, struct fp_grpc_server *g)
{
    e->server = g;
    add(g, &fp_xds_ads_method, 1, &e->methods[0], e);
    add(g, fp_xds_health_methods, 2, &e->methods[1], e);
    if (e->options.reflection)
        add(g, fp_xds_reflection_methods, 2, &e->methods[3], e);
}
