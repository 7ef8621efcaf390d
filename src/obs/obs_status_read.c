/*
 * Status of nodes, read in any process while workers write it.  Everything found is untrusted until
 * the record's counter has not moved: lengths are bounded before they are used.
 */
#include "core/core_buf.h"
#include "obs/obs_status_int.h"

#define TRIES 100 /* then a killed worker has left it half written */

static bool stable(const struct status_record *r, uint64_t before)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&r->counter, memory_order_relaxed) == before;
}

static bool run_ok(const struct fp_status *s, struct status_run run, size_t bytes)
{
    return run.first < s->blocks_n && run.n <= s->blocks_n - run.first &&
           bytes <= (size_t)run.n * STATUS_BLOCK_BYTES;
}

/* Copies of what a record points to; NULL when it is not consistent now. */
struct copies {
    char *text;
    char *nacks[STATUS_TYPES_N];
};

static char *copy_run(const struct fp_status *s, uint32_t seat, struct status_run run,
                      struct fp_arena *a)
{
    if (!run.n || !run_ok(s, run, 0))
        return NULL;
    return fp_arena_dup(a, status_block_at(s, seat, run.first), (size_t)run.n * STATUS_BLOCK_BYTES);
}

static bool copy_record(const struct fp_status *s, uint32_t seat, uint32_t i, struct fp_arena *a,
                        struct status_record *out, struct copies *c)
{
    const struct status_record *r = status_record_at(s, seat, i);
    for (int t = 0; t < TRIES; t++) {
        uint64_t before = atomic_load_explicit(&r->counter, memory_order_acquire);
        if (before & 1)
            continue;
        if (!r->used)
            return false;
        memcpy((char *)out + sizeof out->counter, (const char *)r + sizeof r->counter,
               sizeof *r - sizeof r->counter);
        if (!stable(r, before)) /* before anything in it is believed */
            continue;
        c->text = copy_run(s, seat, out->text, a);
        for (int k = 0; k < STATUS_TYPES_N; k++)
            c->nacks[k] = copy_run(s, seat, out->types[k].nack, a);
        if (stable(r, before))
            return out->used;
    }
    return false;
}

static void read_node(const struct status_record *r, const char *text, struct fp_status_node *out)
{
    struct fp_str *const to[TEXT_N] = {
        [TEXT_ID] = &out->id,
        [TEXT_CLUSTER] = &out->cluster,
        [TEXT_TEAM] = &out->team,
        [TEXT_SCOPE] = &out->scope,
        [TEXT_AGENT] = &out->user_agent,
        [TEXT_AGENT_VERSION] = &out->user_agent_version,
        [TEXT_PEER] = &out->peer,
        [TEXT_SUBJECT] = &out->tls_subject,
        [TEXT_SANS] = &out->tls_sans,
        [TEXT_METADATA] = &out->metadata,
    };
    size_t at = 0, end = (size_t)r->text.n * STATUS_BLOCK_BYTES;
    *out = (struct fp_status_node){
        .mode = r->mode,
        .tls_not_after_ms = r->tls_not_after_ms,
        .connected_wall_ms = r->connected_wall_ms,
    };
    for (int i = 0; i < TEXT_N; i++) {
        if (r->lengths[i] == STATUS_ABSENT || r->lengths[i] > end - at)
            continue;
        *to[i] = fp_str_n(text ? text + at : "", r->lengths[i]);
        at += r->lengths[i];
    }
}

static bool read_nack(const struct status_type *t, const char *run, struct fp_status_nack *out)
{
    struct status_nack_head h;
    size_t bytes = (size_t)t->nack.n * STATUS_BLOCK_BYTES;
    if (!run || bytes < sizeof h)
        return false;
    memcpy(&h, run, sizeof h);
    if (h.message_n > bytes - sizeof h || h.names_n > bytes - sizeof h - h.message_n)
        return false;
    *out = (struct fp_status_nack){
        .revision = h.revision,
        .nonce = h.nonce,
        .code = h.code,
        .count = h.count,
        .first_wall_ms = h.first_wall_ms,
        .last_wall_ms = h.last_wall_ms,
        .message = fp_str_n(run + sizeof h, h.message_n),
        .names = fp_str_n(run + sizeof h + h.message_n, h.names_n),
    };
    memcpy(out->version, h.version, sizeof h.version);
    memcpy(out->accepted, h.accepted, sizeof h.accepted);
    return true;
}

static void read_type(const struct status_type *t, const char *nack, struct fp_status_type *out)
{
    *out = (struct fp_status_type){
        .subscribed = t->subscribed,
        .wildcard = t->wildcard,
        .pending = t->pending,
        .names_n = t->names_n,
        .held = t->held,
        .kept = t->kept,
        .acked_revision = t->acked_revision,
        .pending_since_ms = t->pending_since_ms,
    };
    memcpy(out->sent_version, t->sent_version, sizeof t->sent_version);
    memcpy(out->acked_version, t->acked_version, sizeof t->acked_version);
    out->nacked = read_nack(t, nack, &out->nack);
}

uint64_t fp_status_streams(const struct fp_status *s)
{
    uint64_t n = 0;
    for (uint32_t i = 0; s && i < s->seats_n; i++)
        n += atomic_load(&s->seats[i].streams);
    return n;
}

static uint32_t records_of(const struct fp_status *s, uint32_t seat)
{
    const struct status_seat *at = &s->seats[seat];
    uint32_t high = atomic_load(&at->taken) ? atomic_load(&at->records_high) : 0;
    return high < s->records_n ? high : s->records_n;
}

bool fp_status_next(const struct fp_status *s, struct fp_status_cursor *c, struct fp_arena *a,
                    struct fp_status_stream *out)
{
    for (; s && c->seat < s->seats_n; c->seat++, c->record = 0)
        while (c->record < records_of(s, c->seat)) {
            struct status_record r;
            struct copies copies;
            if (!copy_record(s, c->seat, c->record++, a, &r, &copies))
                continue;
            *out = (struct fp_status_stream){
                .slot = atomic_load(&s->seats[c->seat].slot),
                .draining = atomic_load(&s->seats[c->seat].draining),
            };
            read_node(&r, copies.text, &out->node);
            for (int k = 0; k < STATUS_TYPES_N; k++)
                read_type(&r.types[k], copies.nacks[k], &out->types[k]);
            return true;
        }
    return false;
}

/* ---- totals ---- */

static void add_record(const struct status_record *r, struct fp_status_totals *out)
{
    for (int t = 0; t < TRIES; t++) {
        struct fp_status_totals sum = *out;
        uint64_t before = atomic_load_explicit(&r->counter, memory_order_acquire);
        if (before & 1)
            continue;
        sum.streams[r->mode == FP_STATUS_DELTA] += r->used;
        for (int k = 0; k < STATUS_TYPES_N; k++) {
            sum.held_removals += r->types[k].kept;
            sum.open_nacks[k] += r->types[k].nack.n || r->types[k].nack_revision;
        }
        if (stable(r, before)) {
            if (r->used)
                *out = sum;
            return;
        }
    }
}

void fp_status_total(const struct fp_status *s, struct fp_status_totals *out)
{
    memset(out, 0, sizeof *out);
    for (uint32_t seat = 0; s && seat < s->seats_n; seat++)
        for (uint32_t i = 0; i < records_of(s, seat); i++)
            add_record(status_record_at(s, seat, i), out);
}

/* ---- waiting for an acknowledgement ---- */

struct glance { /* at one type of a stream */
    bool used, subscribed;
    uint64_t acked_revision, nack_revision;
};

static bool look(const struct status_record *r, int kind, struct glance *g)
{
    for (int t = 0; t < TRIES; t++) {
        uint64_t before = atomic_load_explicit(&r->counter, memory_order_acquire);
        if (before & 1)
            continue;
        *g = (struct glance){
            .used = r->used,
            .subscribed = r->types[kind].subscribed,
            .acked_revision = r->types[kind].acked_revision,
            .nack_revision = r->types[kind].nack_revision,
        };
        if (stable(r, before))
            return g->used;
    }
    return false;
}

static enum fp_status_verdict verdict_of(const struct status_record *r, uint64_t revision,
                                         unsigned kinds)
{
    enum fp_status_verdict v = FP_STATUS_ACKED;
    struct glance g;
    for (int k = 0; k < STATUS_TYPES_N; k++) {
        if (!(kinds >> k & 1) || !look(r, k, &g) || !g.subscribed)
            continue;
        if (g.nack_revision >= revision)
            return FP_STATUS_NACKED;
        if (g.acked_revision < revision)
            v = FP_STATUS_PENDING;
    }
    return v;
}

enum fp_status_verdict fp_status_acked(const struct fp_status *s, uint64_t revision, unsigned kinds)
{
    enum fp_status_verdict all = FP_STATUS_ACKED;
    for (uint32_t seat = 0; s && seat < s->seats_n; seat++) {
        if (atomic_load(&s->seats[seat].draining))
            continue;
        for (uint32_t i = 0; i < records_of(s, seat); i++) {
            enum fp_status_verdict v = verdict_of(status_record_at(s, seat, i), revision, kinds);
            if (v == FP_STATUS_NACKED)
                return v;
            if (v == FP_STATUS_PENDING)
                all = v;
        }
    }
    return all;
}
