/*
 * What is sent on a stream, in which order (contract P10): clusters, endpoint sets of changed ones
 * right behind (O-1), listeners, routes, and what is removed last.  Runs in workers, once a turn
 * for each stream that has something to look at.  It must never send a type that was not asked for
 * (L-7), nor wait for an ACK longer than the ordering timeout.
 */
#include <stdio.h>
#include "core/core_assert.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "obs/obs_metric.h"
#include "xds/xds_isolate_int.h"
#include "xds/xds_status_int.h"
#include "xds/xds_wire_int.h"

#define NONE FP_KIND_N
const struct fp_xds_type fp_xds_types[FP_XDS_TYPES_N] = {
    {FP_KIND_CLUSTER, .whole = true, .wildcard = true, .parent = NONE,
     .held_by = {FP_KIND_LISTENER, FP_KIND_ROUTE}},
    {FP_KIND_ENDPOINT, .parent = FP_KIND_CLUSTER, .held_by = {NONE, NONE}},
    {FP_KIND_SECRET, .parent = NONE, .held_by = {NONE, NONE}},
    {FP_KIND_LISTENER, .whole = true, .wildcard = true, .gated = true, .parent = NONE,
     .held_by = {NONE, NONE}},
    {FP_KIND_ROUTE, .gated = true, .parent = NONE,
     .held_by = {FP_KIND_LISTENER, FP_KIND_SCOPED_ROUTE}},
    {FP_KIND_SCOPED_ROUTE, .whole = true, .wildcard = true, .parent = NONE,
     .held_by = {NONE, NONE}},
    {FP_KIND_VIRTUAL_HOST, .gated = true, .parent = NONE, .held_by = {NONE, NONE}},
    {FP_KIND_EXTENSION_CONFIG, .parent = NONE, .held_by = {NONE, NONE}},
    {FP_KIND_RUNTIME, .parent = NONE, .held_by = {NONE, NONE}},
};

const struct fp_xds_type *fp_xds_type_of(enum fp_kind kind)
{
    for (size_t i = 0; i < FP_XDS_TYPES_N; i++)
        if (fp_xds_types[i].kind == kind)
            return &fp_xds_types[i];
    return NULL;
}

static struct fp_xds_view *view_of(const struct fp_xds_stream *st)
{
    return fp_xds_scope_view(st->scope, st->engine->view);
}

struct flush { /* one walk over the types of a stream */
    struct fp_xds_stream *st;
    bool waiting; /* something is held back */
    bool moved;   /* a type moved on without an answer: no ACK will wake us for it */
};

void fp_xds_stream_send(struct fp_xds_stream *st, enum fp_kind kind, struct fp_xds_response *r)
{
    struct fp_xds_subscription *ts = &st->types[kind];
    char tail[FP_XDS_NONCE_BYTES + 2];
    int n = snprintf(tail + 2, sizeof tail - 2, "%x", ++st->last_nonce);
    tail[0] = 5 << 3 | FP_XDS_BYTES; /* DiscoveryResponse.nonce */
    tail[1] = (char)n;
    ts->nonce = st->last_nonce;
    ts->in_flight = true;
    st->engine->counters.responses++;
    fp_metric_add(FP_METRIC_XDS_PUSHES, kind, 0, 0, 1);
    fp_log_trace(FP_LOG_XDS, "response to %.*s: %s resources=%u bytes=%zu nonce=%x",
                 FP_STR_ARG(st->node->id), fp_kinds[kind].xds, r->entries_n, r->chunk.bytes,
                 ts->nonce);
    fp_grpc_call_send(st->call, fp_http_chunk_ref(&r->chunk), fp_str_n(tail, (size_t)n + 2));
}

/* ---- removals: held while what the stream was sent or has ACKed names the entry (O-9, O-10) ----
 */

static bool referred(const struct fp_xds_stream *st, const struct fp_xds_type *type,
                     struct fp_str name)
{
    for (size_t i = 0; i < FP_XDS_REFERRERS_N && type->held_by[i] != NONE; i++) {
        const struct fp_xds_subscription *by = &st->types[type->held_by[i]];
        if ((by->acked && fp_xds_state_refers(by->acked, type->kind, name)) ||
            (by->sent && fp_xds_state_refers(by->sent, type->kind, name)))
            return true;
    }
    return false;
}

static uint64_t id_of(const struct fp_xds_state *s)
{
    return s ? s->id : 0;
}

static struct fp_xds_state *get_held(struct flush *f, const struct fp_xds_type *type,
                                     const struct fp_xds_subscription *ts,
                                     struct fp_xds_state *plain, const struct fp_snap_entry *keep,
                                     uint32_t n)
{
    if (ts->sent->base == plain && ts->sent->kept_n == n)
        return fp_xds_state_ref(ts->sent); /* as it is already */
    const struct fp_xds_subscription *a = &f->st->types[type->held_by[0]],
                                     *b = &f->st->types[type->held_by[1]];
    const uint64_t context[4] = {id_of(a->sent), id_of(a->acked), id_of(b->sent), id_of(b->acked)};
    return fp_xds_state_get_held(plain, ts->sent, keep, n, context);
}

static struct fp_xds_state *with_held(struct flush *f, const struct fp_xds_type *type,
                                      const struct fp_xds_subscription *ts,
                                      struct fp_xds_state *plain)
{
    const struct fp_xds_change *c = fp_xds_state_change(plain, ts->sent);
    if (!c->removed_n)
        return plain;
    struct fp_snap_entry *keep = fp_mem_calloc(c->removed_n, sizeof *keep);
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->removed_n; i++)
        if (referred(f->st, type, c->removed[i].name))
            keep[n++] = c->removed[i];
    struct fp_xds_state *to = plain;
    if (n) {
        to = get_held(f, type, ts, plain, keep, n);
        fp_xds_state_unref(&plain);
        f->waiting = true;
    }
    fp_mem_free(keep);
    return to;
}

/* Where this type of the stream should be: a new reference. */
static struct fp_xds_state *target(struct flush *f, const struct fp_xds_type *type,
                                   struct fp_xds_subscription *ts)
{
    struct fp_xds_state *to = fp_xds_isolation_state(ts, type->kind, view_of(f->st));
    if (type->held_by[0] != NONE && ts->sent && ts->sent != to && !f->st->overdue)
        return with_held(f, type, ts, to);
    return to;
}

/* ---- additions: a route that names a new cluster waits for the ACK of it (O-7) ---- */

static bool is_new_cluster(const struct fp_xds_subscription *cds, struct fp_xds_view *view,
                           struct fp_str name)
{
    struct fp_snap_entry e;
    return fp_xds_names_has(cds->names, name) &&
           fp_xds_view_find(view, FP_KIND_CLUSTER, name, &e) &&
           !(cds->acked && fp_xds_state_find(cds->acked, name, &e));
}

static bool names_new_cluster(const struct fp_xds_stream *st, const struct fp_xds_state *to,
                              const struct fp_xds_change *c)
{
    const struct fp_xds_subscription *cds = &st->types[FP_KIND_CLUSTER];
    struct fp_xds_view *view = view_of(st);
    for (uint32_t i = 0; i < c->changed_n; i++) {
        const struct fp_snap *snap = fp_xds_state_snap(to, &c->changed[i]);
        for (uint32_t j = 0; j < c->changed[i].refs_n; j++) {
            enum fp_kind kind;
            struct fp_str name;
            fp_snap_ref_at(snap, &c->changed[i], j, &kind, &name);
            if (kind == FP_KIND_CLUSTER && is_new_cluster(cds, view, name))
                return true;
        }
    }
    return false;
}

static bool gated(struct flush *f, const struct fp_xds_type *type, struct fp_xds_state *to,
                  const struct fp_xds_state *from)
{
    const struct fp_xds_stream *st = f->st;
    const struct fp_xds_subscription *cds = &st->types[FP_KIND_CLUSTER];
    if (!type->gated || st->overdue || !cds->names)
        return false;
    if (!cds->in_flight && !fp_xds_isolation_pending(cds)) /* no ACK will come */
        return false;
    struct fp_xds_change *c = fp_xds_state_change(to, from);
    if (!c->changed_n)
        return false;
    const uint64_t key[3] = {id_of(cds->acked), cds->names->id, view_of(st)->id};
    if (memcmp(c->gate_key, key, sizeof key) != 0) {
        memcpy(c->gate_key, key, sizeof key);
        c->gate = names_new_cluster(st, to, c);
    }
    f->waiting |= c->gate;
    return c->gate;
}

/* ---- one type ---- */

/* What was sent is now `to`, with or without an answer. */
static void arrive(struct fp_xds_stream *st, const struct fp_xds_type *type,
                   struct fp_xds_subscription *ts, struct fp_xds_state *to)
{
    fp_xds_state_set(&ts->sent, to);
    if (type->parent != NONE)
        fp_xds_state_set(&ts->parent, st->types[type->parent].sent);
    ts->asked = false;
    fp_mem_free(ts->initial_version);
    ts->initial_version = NULL;
}

/* Nothing to say: what is ACKed follows too, unless an answer is under way. */
static void arrive_silently(struct flush *f, const struct fp_xds_type *type,
                            struct fp_xds_subscription *ts, struct fp_xds_state *to)
{
    f->moved |= ts->sent != to;
    arrive(f->st, type, ts, to);
    if (!ts->in_flight) {
        fp_xds_state_set(&ts->acked, to);
        fp_xds_isolation_passed(ts);
    }
}

/* S-16: a reconnecting client that holds the whole set already. */
static bool holds_already(const struct fp_xds_type *type, const struct fp_xds_subscription *ts,
                          const struct fp_xds_state *to)
{
    return type->whole && !ts->sent && !ts->nonce && to->names->wildcard && !to->names->n &&
           ts->initial_version && strcmp(ts->initial_version, to->version) == 0;
}

/* What hangs on this type need not follow what the client held before this stream. */
static void children_follow(struct fp_xds_stream *st, enum fp_kind parent)
{
    for (size_t i = 0; i < FP_XDS_TYPES_N; i++) {
        struct fp_xds_subscription *ts = &st->types[fp_xds_types[i].kind];
        if (fp_xds_types[i].parent == parent && !ts->parent)
            fp_xds_state_set(&ts->parent, st->types[parent].sent);
    }
}

/* What hangs on a changed entry of the parent is said again behind it (O-1). */
static bool parent_moved(const struct fp_xds_stream *st, const struct fp_xds_type *type,
                         const struct fp_xds_subscription *ts)
{
    if (type->parent == NONE || !st->types[type->parent].sent)
        return false;
    return fp_xds_state_change(st->types[type->parent].sent, ts->parent)->changed_n > 0;
}

/* N-6; a suspect that is kept apart is said in its trial. */
static bool says_all(const struct fp_xds_subscription *ts)
{
    return ts->unsure && !ts->isolation;
}

static struct fp_xds_response *answer_for(struct fp_xds_stream *st, const struct fp_xds_type *type,
                                          struct fp_xds_subscription *ts, struct fp_xds_state *to)
{
    struct fp_str id = st->engine->control_plane;
    const struct fp_xds_change *c = fp_xds_state_change(to, ts->sent);
    if (type->whole) {
        bool needed = ts->asked || says_all(ts) || c->changed_n || c->removed_n;
        return needed ? fp_xds_response_whole(to, id) : NULL;
    }
    struct fp_xds_state *parent = type->parent == NONE ? NULL : st->types[type->parent].sent;
    if (!c->changed_n && !says_all(ts) && !(parent_moved(st, type, ts) && to->names->n)) /* O-17 */
        return NULL;
    const struct fp_xds_state *from = says_all(ts) ? NULL : ts->sent;
    struct fp_xds_response *r = fp_xds_response_part(to, from, parent, ts->parent, id);
    return r->entries_n ? r : NULL; /* S-14: a name that does not exist is remembered */
}

static void step(struct flush *f, const struct fp_xds_type *type)
{
    struct fp_xds_stream *st = f->st;
    struct fp_xds_subscription *ts = &st->types[type->kind];
    if (!ts->names) /* L-7 */
        return;
    struct fp_xds_state *to = target(f, type, ts);
    bool parent_same = type->parent == NONE || ts->parent == st->types[type->parent].sent;
    ts->behind = false;
    if (to == ts->sent && !ts->asked && !says_all(ts) && parent_same) {
        fp_xds_state_unref(&to);
        return;
    }
    if (holds_already(type, ts, to)) {
        fp_xds_status_adopt(st, type->kind);
        arrive_silently(f, type, ts, to);
        children_follow(st, type->kind);
    } else {
        struct fp_xds_response *r = answer_for(st, type, ts, to);
        if (!r) {
            arrive_silently(f, type, ts, to);
        } else if (fp_xds_stream_refuses(ts, to) && !parent_moved(st, type, ts)) {
            ts->asked = false; /* N-3 */
        } else if (!gated(f, type, to, ts->sent)) {
            fp_xds_stream_send(st, type->kind, r);
            ts->unsure &= !type->whole && ts->isolation;
            arrive(st, type, ts, to);
        }
        ts->behind = ts->sent != to;
    }
    fp_xds_state_unref(&to);
}

static void on_overdue(struct fp_timer *t)
{
    struct fp_xds_stream *st = t->arg;
    st->overdue = true;
    fp_log_debug(FP_LOG_XDS, "node %.*s: held back for the ordering timeout, sent now",
                 FP_STR_ARG(st->node->id));
    fp_xds_engine_wake(st->engine, st);
}

void fp_xds_stream_flush(struct fp_xds_stream *st)
{
    /* L-1: nothing is made while something is unsent; on_drained wakes us */
    if (st->ended || !st->engine->view || !st->scope || fp_grpc_call_queued(st->call))
        return;
    struct flush f = {.st = st};
    for (size_t i = 0; i < FP_XDS_TYPES_N; i++)
        step(&f, &fp_xds_types[i]);
    st->overdue = false;
    fp_xds_status_report(st);
    if (f.waiting && f.moved)
        fp_xds_engine_wake(st->engine, st);
    if (!f.waiting) {
        fp_timer_stop(&st->order_timer);
    } else if (!fp_timer_running(&st->order_timer)) {
        st->order_timer.cb = on_overdue;
        st->order_timer.arg = st;
        fp_timer_start(st->engine->loop, &st->order_timer, st->engine->options.ordering_timeout_ms);
    }
}
