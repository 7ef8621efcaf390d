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
#include "xds/xds_journey_int.h"
#include "xds/xds_status_int.h"
#include "xds/xds_wire_int.h"

#define NONE FP_KIND_N
const struct fp_xds_type fp_xds_types[FP_XDS_TYPES_N] = {
    {FP_KIND_CLUSTER, .whole = true, .wildcard = true, .parent = NONE,
     .held_by = {FP_KIND_LISTENER, FP_KIND_ROUTE}},
    {FP_KIND_ENDPOINT, .parent = FP_KIND_CLUSTER, .held_by = {NONE, NONE}},
    {FP_KIND_SECRET, .parent = NONE, .held_by = {NONE, NONE}},
    {FP_KIND_LISTENER, .whole = true, .wildcard = true, .gated = true, .parent = NONE,
     .held_by = {NONE, NONE}, .replaced_drains = true},
    {FP_KIND_ROUTE, .gated = true, .parent = NONE,
     .held_by = {FP_KIND_LISTENER, FP_KIND_SCOPED_ROUTE}, .drains = true},
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
    bool waits, gated;   /* a removal, a new form of the type at hand is held back */
    uint64_t due_ms;     /* loop time at which the first of them has waited enough; 0: none waits */
    bool keeps;          /* something is kept that was removed, held back or not */
    bool moved;          /* a type moved on without an answer: no ACK will wake us for it */
    uint64_t drained_ms; /* loop time at which the next thing has drained; 0: nothing drains */
};

void fp_xds_stream_send(struct fp_xds_stream *st, enum fp_kind kind, struct fp_xds_response *r)
{
    struct fp_xds_subscription *ts = &st->types[kind];
    char tail[FP_XDS_NONCE_BYTES + 2];
    int n = snprintf(tail + 2, sizeof tail - 2, "%x", ++st->last_nonce);
    tail[0] = 5 << 3 | FP_XDS_BYTES; /* DiscoveryResponse.nonce */
    tail[1] = (char)n;
    ts->nonce = st->last_nonce;
    ts->overlaps = ts->in_flight;
    ts->in_flight = true;
    fp_xds_journey_sent(st, kind, r);
    st->engine->counters.responses++;
    fp_metric_add(FP_METRIC_XDS_PUSHES, kind, 0, 0, 1);
    fp_log_trace(FP_LOG_XDS, "response to %.*s: %s resources=%u bytes=%zu nonce=%x",
                 FP_STR_ARG(st->node->id), fp_kinds[kind].xds, r->entries_n, r->chunk.bytes,
                 ts->nonce);
    fp_grpc_call_send(st->call, fp_http_chunk_ref(&r->chunk), fp_str_n(tail, (size_t)n + 2));
}

/*
 * ---- what outlives its removal.  An entry is held back while what the stream was sent or has
 * ACKed names it (O-9, O-10).  When a listener is replaced by one that names something else,
 * connections keep the old one, and it its route configuration, until it has drained; the route
 * stays subscribed (O-15).  So these keep what they name, for the drain time at most.  A listener
 * that is removed keeps nothing: that is the end of its service, and P10's letter. ----
 */

unsigned fp_xds_stream_refers(const struct fp_xds_stream *st, const struct fp_xds_type *type,
                              struct fp_str name)
{
    unsigned how = 0;
    for (size_t i = 0; i < FP_XDS_REFERRERS_N && type->held_by[i] != NONE; i++) {
        const struct fp_xds_subscription *by = &st->types[type->held_by[i]];
        how |= by->acked ? fp_xds_state_refers(by->acked, type->kind, name) : 0;
        how |= by->sent ? fp_xds_state_refers(by->sent, type->kind, name) : 0;
    }
    return how;
}

static uint64_t id_of(const struct fp_xds_state *s)
{
    return s ? s->id : 0;
}

/*
 * ---- how long something is held back (P10): the ordering timeout, for each type's removals and
 * for its new forms from when their own waiting began, so that what waits for an ACK that never
 * comes sets nothing else free.  A removal comes behind what names it: when that had to wait
 * itself, its ACK is given a timeout of its own. ----
 */

static bool referrer_waits(const struct fp_xds_stream *st, const struct fp_xds_type *type)
{
    uint64_t since = st->types[type->kind].keeps_since_ms;
    bool waits = false;
    for (size_t i = 0; i < FP_XDS_REFERRERS_N && type->held_by[i] != NONE; i++) {
        const struct fp_xds_subscription *by = &st->types[type->held_by[i]];
        const uint64_t its[] = {by->keeps_since_ms, by->gated_since_ms};
        for (size_t j = 0; j < 2; j++) /* later ones are about something else */
            waits |= its[j] && its[j] <= since;
    }
    return waits;
}

static uint64_t keeps_until_ms(const struct fp_xds_stream *st, const struct fp_xds_type *type)
{
    const struct fp_xds_subscription *ts = &st->types[type->kind];
    bool twice = ts->keeps_twice || referrer_waits(st, type);
    return ts->keeps_since_ms + st->engine->options.ordering_timeout_ms * (twice ? 2 : 1);
}

static uint64_t gated_until_ms(const struct fp_xds_stream *st, const struct fp_xds_type *type)
{
    return st->types[type->kind].gated_since_ms + st->engine->options.ordering_timeout_ms;
}

static bool is_over(const struct fp_xds_stream *st, uint64_t since_ms, uint64_t until_ms)
{
    return since_ms && fp_loop_now_ms(st->engine->loop) >= until_ms;
}

static void due_at(struct flush *f, uint64_t at_ms)
{
    if (!f->due_ms || at_ms < f->due_ms)
        f->due_ms = at_ms;
}

static void note_waits(struct flush *f, const struct fp_xds_type *type)
{
    struct fp_xds_subscription *ts = &f->st->types[type->kind];
    uint64_t now = fp_loop_now_ms(f->st->engine->loop);
    ts->keeps_since_ms = !f->waits ? 0 : ts->keeps_since_ms ? ts->keeps_since_ms : now;
    ts->gated_since_ms = !f->gated ? 0 : ts->gated_since_ms ? ts->gated_since_ms : now;
    ts->keeps_twice = f->waits && (ts->keeps_twice || referrer_waits(f->st, type));
    if (f->waits)
        due_at(f, keeps_until_ms(f->st, type));
    if (f->gated)
        due_at(f, gated_until_ms(f->st, type));
    f->waits = f->gated = false;
}

struct past { /* fp_xds_past while it is made */
    struct fp_snap_entry *keep;
    struct fp_xds_held *drain;
    uint32_t keep_n, waits_n, drain_n;
};

static void drain(struct flush *f, struct past *p, const struct fp_xds_held *h)
{
    uint64_t end = h->gone_ms + f->st->engine->options.proxy_drain_time_ms;
    if (end <= fp_loop_now_ms(f->st->engine->loop))
        return;
    p->drain[p->drain_n++] = *h;
    if (!f->drained_ms || end < f->drained_ms)
        f->drained_ms = end;
}

static void begin_drain(struct flush *f, struct past *p, const struct fp_xds_state *from,
                        const struct fp_snap_entry *e)
{
    const struct fp_xds_held h = {
        .entry = *e,
        .view = fp_xds_state_view(from, e->name),
        .gone_ms = fp_loop_now_ms(f->st->engine->loop),
    };
    drain(f, p, &h);
}

static bool names(const struct fp_xds_state *s, const struct fp_snap_entry *e, enum fp_kind kind,
                  struct fp_str name)
{
    const struct fp_snap *snap = fp_xds_state_snap(s, e);
    for (uint32_t i = 0; i < e->refs_n; i++) {
        enum fp_kind its_kind;
        struct fp_str its_name;
        fp_snap_ref_at(snap, e, i, &its_kind, &its_name);
        if (its_kind == kind && fp_str_eq(its_name, name))
            return true;
    }
    return false;
}

/* Does the old form name something that the new one does not? */
static bool lets_go(const struct fp_xds_state *from, const struct fp_snap_entry *old,
                    const struct fp_xds_state *to, const struct fp_snap_entry *new)
{
    const struct fp_snap *snap = fp_xds_state_snap(from, old);
    for (uint32_t i = 0; i < old->refs_n; i++) {
        enum fp_kind kind;
        struct fp_str name;
        fp_snap_ref_at(snap, old, i, &kind, &name);
        if (!names(to, new, kind, name))
            return true;
    }
    return false;
}

static void find_past(struct flush *f, const struct fp_xds_type *type, struct past *p,
                      const struct fp_xds_state *plain, const struct fp_xds_state *from,
                      const struct fp_xds_change *c)
{
    struct fp_snap_entry e;
    uint64_t since = f->st->types[type->kind].keeps_since_ms;
    bool late = is_over(f->st, since, keeps_until_ms(f->st, type));
    for (uint32_t i = 0; i < c->removed_n; i++) {
        unsigned how = fp_xds_stream_refers(f->st, type, c->removed[i].name);
        bool waits = how & FP_XDS_REFERS_NOW && !late;
        if (waits || (how & FP_XDS_REFERS_DRAINING && !type->drains))
            p->keep[p->keep_n++] = c->removed[i];
        else if (how & FP_XDS_REFERS_DRAINING)
            begin_drain(f, p, from, &c->removed[i]);
        p->waits_n += waits;
    }
    for (uint32_t i = 0; i < c->changed_n && type->replaced_drains; i++)
        if (fp_xds_state_find(from, c->changed[i].name, &e) &&
            lets_go(from, &e, plain, &c->changed[i]))
            begin_drain(f, p, from, &e);
    for (uint32_t i = 0; i < from->draining_n; i++) { /* a route that is back is another one now */
        const struct fp_xds_held *h = &from->draining[i];
        if (type->replaced_drains || !fp_xds_state_find(plain, h->entry.name, &e))
            drain(f, p, h);
    }
}

static struct fp_xds_state *with_past(struct flush *f, const struct fp_xds_type *type,
                                      struct fp_xds_state *plain, struct fp_xds_state *from)
{
    const struct fp_xds_change *c = fp_xds_state_change(plain, from);
    uint32_t most = c->removed_n + c->changed_n + from->draining_n;
    if (!most)
        return plain;
    struct past p = {
        .keep = fp_mem_calloc((size_t)c->removed_n + 1, sizeof *p.keep),
        .drain = fp_mem_calloc(most, sizeof *p.drain),
    };
    find_past(f, type, &p, plain, from, c);
    f->waits |= p.waits_n > 0;
    f->keeps |= p.keep_n > 0;
    struct fp_xds_state *to = plain;
    if (from->base == plain && from->kept_n == p.keep_n && from->waits_n == p.waits_n &&
        from->draining_n == p.drain_n) {
        to = fp_xds_state_ref(from); /* as it is already */
    } else if (p.keep_n || p.drain_n) {
        struct fp_xds_past past = {p.keep, p.keep_n, p.waits_n, p.drain, p.drain_n, {0}};
        for (size_t i = 0; i < FP_XDS_REFERRERS_N && type->held_by[i] != NONE; i++) {
            past.context[2 * i] = id_of(f->st->types[type->held_by[i]].sent);
            past.context[2 * i + 1] = id_of(f->st->types[type->held_by[i]].acked);
        }
        to = fp_xds_state_get_held(plain, from, &past);
    }
    fp_mem_free(p.keep);
    fp_mem_free(p.drain);
    if (to != plain)
        fp_xds_state_unref(&plain);
    return to;
}

/* Where this type of the stream should be: a new reference. */
static struct fp_xds_state *target(struct flush *f, const struct fp_xds_type *type,
                                   struct fp_xds_subscription *ts)
{
    struct fp_xds_state *to = fp_xds_isolation_state(ts, type->kind, view_of(f->st));
    bool keeps = type->held_by[0] != NONE || type->replaced_drains;
    if (keeps && ts->sent && ts->sent != to)
        to = with_past(f, type, to, ts->sent);
    struct fp_xds_state *parent = type->parent == NONE ? NULL : f->st->types[type->parent].sent;
    if (parent && parent->held_n) {
        struct fp_xds_state *base = to;
        to = fp_xds_state_get_behind(base, parent);
        fp_xds_state_unref(&base);
    }
    return to;
}

/* ---- additions: a route that names a new cluster waits for the ACK of it (O-7) ---- */

static bool is_new_cluster(const struct fp_xds_subscription *cds, struct fp_xds_view *view,
                           struct fp_str name)
{
    struct fp_snap_entry e;
    return fp_xds_names_has(cds->names, name) &&
           fp_xds_view_find(view, FP_KIND_CLUSTER, name, &e) &&
           (cds->regained || !(cds->acked && fp_xds_state_find(cds->acked, name, &e)));
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
    if (!type->gated || !cds->names ||
        is_over(st, st->types[type->kind].gated_since_ms, gated_until_ms(st, type)))
        return false;
    if (!cds->in_flight && !fp_xds_isolation_pending(cds)) /* no ACK will come */
        return false;
    struct fp_xds_change *c = fp_xds_state_change(to, from);
    if (!c->changed_n)
        return false;
    const uint64_t key[3] = {id_of(cds->acked), cds->names->id << 1 | cds->regained,
                             view_of(st)->id};
    if (memcmp(c->gate_key, key, sizeof key) != 0) {
        memcpy(c->gate_key, key, sizeof key);
        c->gate = names_new_cluster(st, to, c);
    }
    f->gated |= c->gate;
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
    ts->moved_on |= ts->in_flight && fp_xds_state_change(to, ts->sent)->removed_n > 0;
    arrive(f->st, type, ts, to);
    ts->doubted &= ts->in_flight;
    if (!ts->in_flight) {
        fp_xds_state_set(&ts->acked, to);
        fp_xds_isolation_passed(ts);
        fp_xds_stream_resolved(f->st, type->kind); /* what was rejected is wanted no more */
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
static void children_keep(struct fp_xds_stream *st, enum fp_kind parent)
{
    for (size_t i = 0; i < FP_XDS_TYPES_N; i++) {
        struct fp_xds_subscription *ts = &st->types[fp_xds_types[i].kind];
        if (fp_xds_types[i].parent == parent && !ts->parent)
            fp_xds_state_set(&ts->parent, st->types[parent].sent);
    }
}

/* What hangs on a changed entry of the parent is said again behind it (O-1). */
static bool parent_moved(const struct fp_xds_stream *st, const struct fp_xds_type *type,
                         const struct fp_xds_state *from)
{
    if (type->parent == NONE || !st->types[type->parent].sent)
        return false;
    return fp_xds_state_change(st->types[type->parent].sent, from)->changed_n > 0;
}

/* N-6; a suspect that is kept apart is said in its trial, and what is astray with the next one. */
static bool is_unsure(const struct fp_xds_subscription *ts)
{
    return ts->doubted || ts->astray || (ts->unsure && !ts->isolation);
}

static bool says_all(const struct fp_xds_subscription *ts)
{
    bool later = !ts->doubted && fp_xds_isolation_resting(ts);
    return is_unsure(ts) && !later && (ts->doubted || !ts->in_flight || !ts->in_full);
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
    if (!c->changed_n && !says_all(ts) &&
        !(parent_moved(st, type, ts->parent) && to->names->n)) /* O-17 */
        return NULL;
    const struct fp_xds_state *from = is_unsure(ts) ? NULL : ts->sent;
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
        children_keep(st, type->kind);
    } else {
        struct fp_xds_response *r = answer_for(st, type, ts, to);
        if (!r) {
            arrive_silently(f, type, ts, to);
        } else if (fp_xds_stream_refuses(ts, to) && !parent_moved(st, type, ts->refused_parent)) {
            ts->asked = false; /* N-3 */
            if (fp_xds_isolation_refused(ts))
                fp_xds_engine_wake(st->engine, st);
        } else if (!gated(f, type, to, ts->sent)) {
            fp_xds_stream_send(st, type->kind, r);
            ts->regained |= ts->shrank;
            ts->shrank |= fp_xds_state_change(to, ts->sent)->removed_n > 0;
            if (ts->unsure) /* N-6: it may be a change of any entry */
                fp_xds_stream_children_follow(st, type->kind, NULL);
            ts->in_full = type->whole || !ts->sent || is_unsure(ts);
            ts->doubted = ts->moved_on = false;
            arrive(st, type, ts, to);
        }
        ts->behind = ts->sent != to;
    }
    fp_xds_state_unref(&to);
}

static void on_drained(struct fp_timer *t)
{
    struct fp_xds_stream *st = t->arg;
    fp_xds_engine_wake(st->engine, st);
}

static void on_overdue(struct fp_timer *t)
{
    struct fp_xds_stream *st = t->arg;
    fp_log_debug(FP_LOG_XDS, "node %.*s: held back for the ordering timeout, sent now",
                 FP_STR_ARG(st->node->id));
    fp_xds_engine_wake(st->engine, st);
}

/* due_ms: loop time; 0: not wanted. */
static void run_timer(struct fp_xds_stream *st, struct fp_timer *t, uint64_t due_ms,
                      void (*cb)(struct fp_timer *t))
{
    uint64_t now = fp_loop_now_ms(st->engine->loop);
    if (fp_timer_running(t) && t->due_ms == due_ms)
        return;
    fp_timer_stop(t);
    if (!due_ms)
        return;
    t->cb = cb;
    t->arg = st;
    fp_timer_start(st->engine->loop, t, due_ms > now ? due_ms - now : 0);
}

/* What was put off before is never sent when something newer came meanwhile. */
static void put_off(struct fp_xds_stream *st)
{
    uint64_t now = st->engine->view->id;
    if (st->put_off && st->put_off != now)
        fp_metric_add(FP_METRIC_XDS_COALESCED, 0, 0, 0, 1);
    st->put_off = now;
}

void fp_xds_stream_flush(struct fp_xds_stream *st)
{
    /* L-1: nothing is made while something is unsent; on_drained wakes us */
    if (st->ended || !st->engine->view || !st->scope)
        return;
    if (fp_grpc_call_queued(st->call)) {
        put_off(st);
        return;
    }
    st->put_off = 0;
    struct flush f = {.st = st};
    for (size_t i = 0; i < FP_XDS_TYPES_N; i++) {
        step(&f, &fp_xds_types[i]);
        note_waits(&f, &fp_xds_types[i]);
    }
    fp_xds_status_report(st);
    if (f.keeps && f.moved)
        fp_xds_engine_wake(st->engine, st);
    run_timer(st, &st->order_timer, f.due_ms, on_overdue);
    run_timer(st, &st->drain_timer, f.keeps ? f.drained_ms : 0, on_drained);
}
