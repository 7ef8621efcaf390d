/*
 * Snapshot builder: collects entries, then writes one sealed segment.  Runs in the watcher only.
 * It must never publish a segment with a name twice (rule E-10), and never let lack of memory
 * become a SIGBUS: the memfd is allocated before it is written.
 */
#include "snap/snap_builder.h"
#include <stdlib.h>
#include "codec/codec_hash.h"
#include "core/core_arena.h"
#include "core/core_assert.h"
#include "core/core_map.h"
#include "core/core_mem.h"
#include "core/core_rand.h"
#include "os/os_memfd.h"
#include "snap/snap_format_int.h"

struct item {
    struct fp_snap_entry e; /* strings in the builder's arena, or lent */
    uint8_t hash[FP_SNAP_HASH_BYTES];
};

struct items {
    struct item **at; /* n of them; sorted by name in finish */
    size_t n, cap;
    struct fp_map by_name;
};

struct fp_snap_builder {
    struct fp_arena *arena;
    struct items kinds[FP_KIND_N];
    uint64_t refs_n;
};

struct writer { /* positions while a segment is filled */
    uint8_t *base;
    uint64_t bytes_off; /* next free byte for strings and blobs */
    uint64_t refs_next;
};

struct fp_snap_builder *fp_snap_builder_new(void)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_snap_builder *b = FP_ARENA_NEW(a, struct fp_snap_builder);
    b->arena = a;
    return b;
}

void fp_snap_builder_free(struct fp_snap_builder **b)
{
    if (!*b)
        return;
    for (int k = 0; k < FP_KIND_N; k++) {
        fp_map_fini(&(*b)->kinds[k].by_name);
        fp_mem_free((*b)->kinds[k].at);
    }
    struct fp_arena *a = (*b)->arena;
    *b = NULL;
    fp_arena_free(&a);
}

static struct fp_str copy(struct fp_arena *a, struct fp_str s)
{
    return s.data ? fp_arena_str(a, s) : FP_STR_NULL;
}

static bool fits(const struct fp_snap_entry *e)
{
    return e->name.len < UINT32_MAX && e->team.len < UINT32_MAX && e->blob.len < UINT32_MAX &&
           e->rest.len < UINT32_MAX;
}

int fp_snap_builder_lend(struct fp_snap_builder *b, enum fp_kind kind,
                         const struct fp_snap_entry *e)
{
    FP_ASSERT(kind >= 0 && kind < FP_KIND_N && e->name.data);
    struct items *its = &b->kinds[kind];
    if (!fits(e) || its->n >= UINT32_MAX / 4)
        return FP_ERR_LIMIT;
    if (fp_map_get(&its->by_name, e->name))
        return FP_ERR_INVALID;
    struct item *it = FP_ARENA_NEW(b->arena, struct item);
    it->e = *e;
    fp_sha256(e->blob.data ? e->blob.data : "", e->blob.len, it->hash);
    it->e.hash = it->hash;
    b->refs_n += e->refs_n;
    if (its->n == its->cap) {
        its->cap = its->cap ? its->cap * 2 : 64;
        its->at = fp_mem_realloc(its->at, its->cap * sizeof *its->at);
    }
    its->at[its->n++] = it;
    fp_map_set(&its->by_name, it->e.name, it);
    return 0;
}

int fp_snap_builder_add(struct fp_snap_builder *b, enum fp_kind kind, const struct fp_snap_entry *e)
{
    if (!fits(e))
        return FP_ERR_LIMIT;
    struct fp_snap_entry own = *e;
    struct fp_ref *refs = fp_arena_alloc(b->arena, (e->refs_n + 1) * sizeof *refs);
    for (uint32_t i = 0; i < e->refs_n; i++)
        refs[i] = (struct fp_ref){.kind = e->refs[i].kind, .name = copy(b->arena, e->refs[i].name)};
    own.name = copy(b->arena, e->name);
    own.team = copy(b->arena, e->team);
    own.blob = copy(b->arena, e->blob);
    own.rest = copy(b->arena, e->rest);
    own.refs = refs;
    return fp_snap_builder_lend(b, kind, &own);
}

bool fp_snap_builder_has(const struct fp_snap_builder *b, enum fp_kind kind, struct fp_str name)
{
    return fp_map_get(&b->kinds[kind].by_name, name) != NULL;
}

static int by_name(const void *a, const void *b)
{
    return fp_str_cmp((*(struct item *const *)a)->e.name, (*(struct item *const *)b)->e.name);
}

/* The watcher adds in name order: to look costs a tenth of sorting what is sorted. */
static void sort(struct items *its)
{
    for (size_t i = 1; i < its->n; i++)
        if (by_name(&its->at[i - 1], &its->at[i]) > 0) {
            qsort(its->at, its->n, sizeof *its->at, by_name);
            return;
        }
}

static uint32_t slots_for(size_t n)
{
    uint32_t slots = n ? 2 : 0;
    while (slots < 2 * n)
        slots *= 2;
    return slots;
}

static uint64_t aligned(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

/* Lays the tables out and returns the size of the whole segment. */
static uint64_t lay_out(struct fp_snap_builder *b, struct fp_snap_header *h, uint64_t *bytes_off)
{
    uint64_t off = sizeof *h, bytes = 0;
    for (int k = 0; k < FP_KIND_N; k++) {
        struct items *its = &b->kinds[k];
        struct fp_snap_table *t = &h->tables[k];
        t->entries_n = (uint32_t)its->n;
        t->slots_n = slots_for(its->n);
        t->entries_off = off;
        off += its->n * sizeof(struct fp_snap_raw_entry);
        t->slots_off = off;
        off = aligned(off + t->slots_n * sizeof(uint32_t));
        for (size_t i = 0; i < its->n; i++) {
            const struct fp_snap_entry *e = &its->at[i]->e;
            bytes += e->name.len + e->team.len + e->blob.len + e->rest.len;
            for (uint32_t r = 0; r < e->refs_n; r++)
                bytes += e->refs[r].name.len;
        }
    }
    h->refs_off = off;
    h->refs_n = b->refs_n;
    *bytes_off = off + b->refs_n * sizeof(struct fp_snap_raw_ref);
    return aligned(*bytes_off + bytes);
}

static struct fp_snap_span put(struct writer *w, struct fp_str s)
{
    struct fp_snap_span span = {.off = w->bytes_off, .len = (uint32_t)s.len};
    if (s.len)
        memcpy(w->base + w->bytes_off, s.data, s.len);
    w->bytes_off += s.len;
    return span;
}

static void put_entry(struct writer *w, struct fp_snap_header *h, struct fp_snap_raw_entry *raw,
                      const struct fp_snap_entry *e)
{
    raw->name = put(w, e->name);
    raw->team = put(w, e->team);
    raw->rest = put(w, e->rest);
    raw->flags = (e->team.data ? FP_SNAP_TEAM : 0) | (e->rest.data ? FP_SNAP_REST : 0);
    memcpy(raw->hash, e->hash, sizeof raw->hash);
    raw->row_version = e->row_version;
    raw->refs_first = (uint32_t)w->refs_next;
    raw->refs_n = e->refs_n;
    struct fp_snap_raw_ref *refs = (void *)(w->base + h->refs_off);
    for (uint32_t i = 0; i < e->refs_n; i++) {
        struct fp_snap_raw_ref *r = &refs[w->refs_next++];
        r->name = put(w, e->refs[i].name);
        r->name.reserved = (uint32_t)e->refs[i].kind;
    }
}

static void put_kind(struct writer *w, struct fp_snap_header *h, struct fp_snap_table *t,
                     const struct items *its)
{
    struct fp_snap_raw_entry *entries = (void *)(w->base + t->entries_off);
    uint32_t *slots = (void *)(w->base + t->slots_off);
    uint64_t sum[4] = {0};
    for (uint32_t i = 0; i < t->slots_n; i++)
        slots[i] = FP_SNAP_SLOT_EMPTY;
    /* all blobs of a kind back to back: a whole set goes to the wire as one piece */
    for (uint32_t i = 0; i < t->entries_n; i++)
        entries[i].blob = put(w, its->at[i]->e.blob);
    for (uint32_t i = 0; i < t->entries_n; i++) {
        const struct fp_snap_entry *e = &its->at[i]->e;
        put_entry(w, h, &entries[i], e);
        uint64_t slot = fp_snap_name_hash(h->hash_seed, e->name);
        while (slots[slot & (t->slots_n - 1)] != FP_SNAP_SLOT_EMPTY)
            slot++;
        slots[slot & (t->slots_n - 1)] = i;
        uint64_t term[4];
        fp_snap_set_term(e, term);
        for (int j = 0; j < 4; j++)
            sum[j] += term[j];
    }
    memcpy(t->set_hash, sum, sizeof t->set_hash);
}

int fp_snap_builder_finish(struct fp_snap_builder *b, const struct fp_snap_meta *meta, int *fd)
{
    FP_ASSERT(meta->generation != 0);
    if (b->refs_n >= UINT32_MAX)
        return FP_ERR_LIMIT;
    struct fp_snap_header h = {
        .magic = FP_SNAP_MAGIC,
        .major = FP_SNAP_MAJOR,
        .minor = FP_SNAP_MINOR,
        .kinds_n = FP_KIND_N,
        .generation = meta->generation,
        .revision = meta->revision,
        .built_wall_ms = meta->built_wall_ms,
        .hash_seed = fp_rand_u64(),
    };
    memcpy(h.epoch, meta->epoch, sizeof h.epoch);
    memcpy(h.commit_id, meta->commit_id, sizeof h.commit_id);
    for (int k = 0; k < FP_KIND_N; k++)
        sort(&b->kinds[k]);
    struct writer w = {0};
    h.size = lay_out(b, &h, &w.bytes_off);

    struct fp_memfd m;
    int err = fp_memfd_create(&m, "flowplane-snapshot", h.size);
    if (err)
        return err;
    w.base = m.map;
    for (int k = 0; k < FP_KIND_N; k++)
        put_kind(&w, &h, &h.tables[k], &b->kinds[k]);
    FP_ASSERT(aligned(w.bytes_off) == h.size && w.refs_next == b->refs_n);
    memcpy(m.map, &h, sizeof h);
    fp_snap_digest(m.map, h.size, ((struct fp_snap_header *)m.map)->digest);
    err = fp_memfd_seal(&m);
    if (err) {
        fp_memfd_abort(&m);
        return err;
    }
    *fd = m.fd;
    return 0;
}
