/*
 * Status of nodes: the mapping (master) and the writer in its seat (workers).  Nothing here may be
 * needed to serve: without a mapping, a seat or room for a record, nodes are only not shown.
 */
#include "obs/obs_status.h"
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "obs/obs_status_int.h"
#include "os/os_memfd.h"

#define PAGE_BYTES   4096
#define SEATS_MIN    16 /* a reload may ask for more workers */
#define SPARE_SEATS  4  /* generations of workers that overlap, without much thought */
#define RECORDS_MAX  65536u
#define TEXT_MAX     (32u << 10) /* of one text */
#define NACK_RUN_MAX (16u << 10)

struct fp_status_writer {
    struct fp_status *status;
    uint32_t seat;
    uint32_t *free; /* records to use again, free_n of them */
    uint32_t free_n, high;
    uint64_t *used_blocks; /* a bit each */
    uint32_t next_block;
};

/* ---- master ---- */

static size_t round_up(size_t n)
{
    return (n + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

struct fp_status *fp_status_new(unsigned workers, uint32_t streams)
{
    uint32_t seats = workers * SPARE_SEATS;
    uint32_t records = streams < RECORDS_MAX ? streams : RECORDS_MAX;
    if (seats < SEATS_MIN)
        seats = SEATS_MIN;
    if (seats > STATUS_SEATS_MAX)
        seats = STATUS_SEATS_MAX;
    struct fp_status like = {
        .seats_n = seats,
        .records_n = records,
        .blocks_n = records * STATUS_BLOCKS_PER,
        .records_off = round_up(sizeof like),
    };
    like.seat_bytes = round_up(records * sizeof(struct status_record) +
                               (size_t)like.blocks_n * STATUS_BLOCK_BYTES);
    struct fp_status *s = fp_shared_reserve_new(like.records_off + seats * like.seat_bytes);
    if (s) {
        s->seats_n = seats;
        s->records_n = records;
        s->blocks_n = like.blocks_n;
        s->records_off = like.records_off;
        s->seat_bytes = like.seat_bytes;
    }
    return s;
}

uint32_t fp_status_seat_take(struct fp_status *s, unsigned slot)
{
    for (uint32_t i = 0; s && i < s->seats_n; i++) {
        struct status_seat *seat = &s->seats[i];
        if (atomic_load(&seat->taken))
            continue;
        atomic_store(&seat->records_high, 0);
        atomic_store(&seat->draining, 0);
        atomic_store(&seat->slot, slot);
        atomic_store(&seat->taken, 1);
        return i;
    }
    return FP_STATUS_SEAT_NONE;
}

void fp_status_seat_leave(struct fp_status *s, uint32_t seat)
{
    if (!s || seat == FP_STATUS_SEAT_NONE)
        return;
    atomic_store(&s->seats[seat].records_high, 0);
    atomic_store(&s->seats[seat].streams, 0);
    /* readers that still look find nothing used, and give no memory back that they need */
    fp_shared_reserve_clear(status_seat_base(s, seat), s->seat_bytes);
    atomic_store(&s->seats[seat].taken, 0);
}

/* ---- the writer ---- */

struct fp_status_writer *fp_status_writer_new(struct fp_status *s, uint32_t seat)
{
    if (!s || seat == FP_STATUS_SEAT_NONE)
        return NULL;
    struct fp_status_writer *w = fp_mem_zalloc(sizeof *w);
    w->status = s;
    w->seat = seat;
    w->free = fp_mem_calloc(s->records_n, sizeof *w->free);
    w->used_blocks = fp_mem_calloc(s->blocks_n / 64 + 1, sizeof *w->used_blocks);
    return w;
}

void fp_status_writer_free(struct fp_status_writer **wp)
{
    struct fp_status_writer *w = *wp;
    *wp = NULL;
    if (!w)
        return;
    fp_mem_free(w->free);
    fp_mem_free(w->used_blocks);
    fp_mem_free(w);
}

void fp_status_writer_drain(struct fp_status_writer *w)
{
    if (w)
        atomic_store(&w->status->seats[w->seat].draining, 1);
}

uint64_t fp_status_streams_set(struct fp_status_writer *w, uint64_t n)
{
    if (!w)
        return n;
    atomic_store(&w->status->seats[w->seat].streams, n);
    return fp_status_streams(w->status);
}

static bool block_used(const struct fp_status_writer *w, uint32_t i)
{
    return w->used_blocks[i / 64] >> (i % 64) & 1;
}

static void mark(struct fp_status_writer *w, struct status_run run, bool used)
{
    for (uint32_t i = run.first; i < run.first + run.n; i++)
        if (used)
            w->used_blocks[i / 64] |= UINT64_C(1) << (i % 64);
        else
            w->used_blocks[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/* The first n free blocks in a row within [from, to). */
static bool find_run(const struct fp_status_writer *w, uint32_t from, uint32_t to, uint32_t n,
                     uint32_t *first)
{
    uint32_t have = 0;
    for (uint32_t i = from; i < to; i++) {
        have = block_used(w, i) ? 0 : have + 1;
        if (have == n) {
            *first = i + 1 - n;
            return true;
        }
    }
    return false;
}

static bool take_run(struct fp_status_writer *w, size_t bytes, struct status_run *run)
{
    uint32_t all = w->status->blocks_n;
    uint32_t n = (uint32_t)((bytes + STATUS_BLOCK_BYTES - 1) / STATUS_BLOCK_BYTES);
    *run = (struct status_run){.n = n};
    if (n && !find_run(w, w->next_block, all, n, &run->first) &&
        !find_run(w, 0, all, n, &run->first)) {
        run->n = 0;
        return false;
    }
    mark(w, *run, true);
    if (n)
        w->next_block = run->first + n;
    return true;
}

static void give_run(struct fp_status_writer *w, struct status_run *run)
{
    mark(w, *run, false);
    if (run->n && run->first < w->next_block)
        w->next_block = run->first; /* low blocks first: fewer pages are touched */
    *run = (struct status_run){.n = 0};
}

static struct status_record *begin(struct fp_status_writer *w, uint32_t record)
{
    struct status_record *r = status_record_at(w->status, w->seat, record);
    uint64_t counter = atomic_load_explicit(&r->counter, memory_order_relaxed);
    FP_ASSERT(!(counter & 1));
    atomic_store_explicit(&r->counter, counter + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return r;
}

static void commit(struct status_record *r)
{
    atomic_fetch_add_explicit(&r->counter, 1, memory_order_release);
}

static size_t put_texts(const struct fp_str *texts, uint32_t *lengths, char *out)
{
    size_t n = 0;
    for (int i = 0; i < TEXT_N; i++) {
        lengths[i] = texts[i].data ? (uint32_t)texts[i].len : STATUS_ABSENT;
        if (out && texts[i].len)
            memcpy(out + n, texts[i].data, texts[i].len);
        n += texts[i].len;
    }
    return n;
}

uint32_t fp_status_stream_open(struct fp_status_writer *w, const struct fp_status_node *n)
{
    if (!w || (!w->free_n && w->high == w->status->records_n))
        return FP_STATUS_RECORD_NONE;
    struct fp_str texts[TEXT_N] = {
        [TEXT_ID] = n->id,
        [TEXT_CLUSTER] = n->cluster,
        [TEXT_TEAM] = n->team,
        [TEXT_SCOPE] = n->scope,
        [TEXT_AGENT] = n->user_agent,
        [TEXT_AGENT_VERSION] = n->user_agent_version,
        [TEXT_PEER] = n->peer,
        [TEXT_SUBJECT] = n->tls_subject,
        [TEXT_SANS] = n->tls_sans,
        [TEXT_METADATA] = n->metadata,
    };
    uint32_t lengths[TEXT_N];
    struct status_run run;
    if (n->metadata.len > TEXT_MAX)
        texts[TEXT_METADATA] = FP_STR_NULL;
    for (int i = 0; i < TEXT_METADATA; i++)
        if (texts[i].len > TEXT_MAX)
            texts[i].len = TEXT_MAX;
    if (!take_run(w, put_texts(texts, lengths, NULL), &run))
        return FP_STATUS_RECORD_NONE;
    uint32_t record = w->free_n ? w->free[--w->free_n] : w->high++;
    struct status_record *r = begin(w, record);
    if (run.n)
        put_texts(texts, lengths, status_block_at(w->status, w->seat, run.first));
    r->text = run;
    memcpy(r->lengths, lengths, sizeof r->lengths);
    r->mode = (uint8_t)n->mode;
    r->tls_not_after_ms = n->tls_not_after_ms;
    r->connected_wall_ms = n->connected_wall_ms;
    memset(r->types, 0, sizeof r->types);
    r->used = true;
    commit(r);
    atomic_store(&w->status->seats[w->seat].records_high, w->high);
    return record;
}

void fp_status_stream_close(struct fp_status_writer *w, uint32_t record)
{
    if (!w || record == FP_STATUS_RECORD_NONE)
        return;
    struct status_record *r = begin(w, record);
    give_run(w, &r->text);
    for (int k = 0; k < STATUS_TYPES_N; k++)
        give_run(w, &r->types[k].nack);
    r->used = false;
    commit(r);
    w->free[w->free_n++] = record;
}

void fp_status_type_set(struct fp_status_writer *w, uint32_t record, enum fp_kind kind,
                        const struct fp_status_type *t)
{
    if (!w || record == FP_STATUS_RECORD_NONE)
        return;
    FP_ASSERT((unsigned)kind < STATUS_TYPES_N);
    struct status_record *r = begin(w, record);
    struct status_type *to = &r->types[kind];
    memcpy(to->sent_version, t->sent_version, sizeof to->sent_version);
    memcpy(to->acked_version, t->acked_version, sizeof to->acked_version);
    to->acked_revision = t->acked_revision;
    to->pending_since_ms = t->pending_since_ms;
    to->names_n = t->names_n;
    to->held = t->held;
    to->kept = t->kept;
    to->subscribed = t->subscribed;
    to->wildcard = t->wildcard;
    to->pending = t->pending;
    commit(r);
}

static void put_nack(char *out, const struct fp_status_nack *n, struct fp_str message,
                     struct fp_str names)
{
    struct status_nack_head h = {
        .revision = n->revision,
        .first_wall_ms = n->first_wall_ms,
        .last_wall_ms = n->last_wall_ms,
        .nonce = n->nonce,
        .code = n->code,
        .count = n->count,
        .message_n = (uint32_t)message.len,
        .names_n = (uint32_t)names.len,
    };
    memcpy(h.version, n->version, sizeof h.version);
    memcpy(h.accepted, n->accepted, sizeof h.accepted);
    memcpy(out, &h, sizeof h);
    if (message.len)
        memcpy(out + sizeof h, message.data, message.len);
    if (names.len)
        memcpy(out + sizeof h + message.len, names.data, names.len);
}

void fp_status_nack_set(struct fp_status_writer *w, uint32_t record, enum fp_kind kind,
                        const struct fp_status_nack *n)
{
    if (!w || record == FP_STATUS_RECORD_NONE)
        return;
    FP_ASSERT((unsigned)kind < STATUS_TYPES_N);
    struct status_record *r = begin(w, record);
    struct status_type *to = &r->types[kind];
    give_run(w, &to->nack);
    to->nack_revision = 0;
    if (n) {
        struct fp_str message = n->message, names = n->names;
        if (message.len > FP_STATUS_MESSAGE_BYTES)
            message.len = FP_STATUS_MESSAGE_BYTES;
        if (names.len > NACK_RUN_MAX)
            names = FP_STR_NULL;
        size_t need = sizeof(struct status_nack_head) + message.len + names.len;
        to->nack_revision = n->revision;
        if (!take_run(w, need, &to->nack)) { /* full: without its texts */
            message = names = FP_STR_NULL;
            if (!take_run(w, sizeof(struct status_nack_head), &to->nack))
                n = NULL;
        }
        if (n)
            put_nack(status_block_at(w->status, w->seat, to->nack.first), n, message, names);
    }
    commit(r);
}

/* ---- orphans ---- */

static uint64_t orphan_hash(struct fp_str node_id, enum fp_kind kind)
{
    uint64_t h = (fp_str_hash(node_id) + (uint64_t)kind + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return h ? h : 1;
}

void fp_status_orphan_add(struct fp_status_writer *w, struct fp_str node_id, enum fp_kind kind)
{
    if (!w)
        return;
    uint64_t h = orphan_hash(node_id, kind);
    for (unsigned i = 0; i < STATUS_ORPHANS_PROBE; i++) {
        uint64_t free = 0;
        if (atomic_compare_exchange_strong(&w->status->orphans[(h + i) % STATUS_ORPHANS_N], &free,
                                           h) ||
            free == h)
            return;
    }
    atomic_store(&w->status->orphans[h % STATUS_ORPHANS_N], h);
}

bool fp_status_orphan_take(struct fp_status_writer *w, struct fp_str node_id, enum fp_kind kind)
{
    uint64_t h = w ? orphan_hash(node_id, kind) : 0;
    for (unsigned i = 0; w && i < STATUS_ORPHANS_PROBE; i++) {
        uint64_t there = h;
        if (atomic_compare_exchange_strong(&w->status->orphans[(h + i) % STATUS_ORPHANS_N], &there,
                                           0))
            return true;
    }
    return false;
}
