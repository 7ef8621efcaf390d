/*
 * Snapshot reader: maps a sealed segment and checks every bound and the checksum once, at open;
 * from then on access is plain pointer arithmetic.  Runs in workers (and in the watcher for the
 * last known good).  It must never trust a byte before the check, and never write.
 */
#include "snap/snap_reader.h"
#include "codec/codec_hash.h"
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "os/os_memfd.h"
#include "snap/snap_format_int.h"

struct fp_snap {
    unsigned refs;
    bool mapped; /* by us: unmapped with the last reference */
    const uint8_t *base;
    size_t size;
    struct fp_snap_meta meta;
};

static const struct fp_snap_header *header(const struct fp_snap *s)
{
    return (const void *)s->base;
}

static const struct fp_snap_raw_entry *entries(const struct fp_snap *s, enum fp_kind kind)
{
    return (const void *)(s->base + header(s)->tables[kind].entries_off);
}

uint64_t fp_snap_name_hash(uint64_t seed, struct fp_str name)
{
    uint64_t h = seed ^ (name.len * UINT64_C(0x9e3779b97f4a7c15));
    const char *p = name.data;
    for (size_t left = name.len; left;) {
        uint64_t word = 0;
        size_t n = left < 8 ? left : 8;
        memcpy(&word, p, n);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
        p += n;
        left -= n;
    }
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 29);
}

void fp_snap_digest(const void *segment, size_t size, uint8_t out[FP_SNAP_HASH_BYTES])
{
    struct fp_snap_header h;
    memcpy(&h, segment, sizeof h);
    fp_sha256((const uint8_t *)segment + sizeof h, size - sizeof h, h.digest);
    fp_sha256(&h, sizeof h, out);
}

void fp_snap_set_term(const struct fp_snap_entry *e, uint64_t term[4])
{
    /* the name's digest first: no pair (name, hash) can be read as another one */
    uint8_t in[2 * FP_SNAP_HASH_BYTES];
    fp_sha256(e->name.data, e->name.len, in);
    memcpy(in + FP_SNAP_HASH_BYTES, e->hash, FP_SNAP_HASH_BYTES);
    fp_sha256(in, sizeof in, (uint8_t *)term);
}

/* ---- checks at open ---- */

static bool array_ok(size_t size, uint64_t off, uint64_t n, uint64_t item)
{
    return off % 8 == 0 && off >= sizeof(struct fp_snap_header) && off <= size &&
           n <= (size - off) / item;
}

static bool span_ok(size_t size, const struct fp_snap_span *s)
{
    return s->off >= sizeof(struct fp_snap_header) && s->off <= size && s->len <= size - s->off;
}

static bool slots_ok(const uint8_t *base, const struct fp_snap_table *t)
{
    const uint32_t *slots = (const void *)(base + t->slots_off);
    uint64_t used = 0;
    for (uint32_t i = 0; i < t->slots_n; i++) {
        if (slots[i] == FP_SNAP_SLOT_EMPTY)
            continue;
        if (slots[i] >= t->entries_n)
            return false;
        used++;
    }
    return used == t->entries_n;
}

static bool entry_ok(size_t size, const struct fp_snap_header *h, const struct fp_snap_raw_entry *e)
{
    return span_ok(size, &e->name) && span_ok(size, &e->team) && span_ok(size, &e->blob) &&
           span_ok(size, &e->rest) && e->segment_id == 0 && e->refs_first <= h->refs_n &&
           e->refs_n <= h->refs_n - e->refs_first;
}

static struct fp_str span_str(const uint8_t *base, const struct fp_snap_span *s)
{
    return fp_str_n(base + s->off, s->len);
}

static bool table_ok(const uint8_t *base, size_t size, const struct fp_snap_header *h,
                     const struct fp_snap_table *t)
{
    if (!array_ok(size, t->entries_off, t->entries_n, sizeof(struct fp_snap_raw_entry)) ||
        !array_ok(size, t->slots_off, t->slots_n, sizeof(uint32_t)))
        return false;
    if ((t->slots_n & (t->slots_n - 1)) || t->slots_n < 2 * (uint64_t)t->entries_n)
        return false;
    const struct fp_snap_raw_entry *e = (const void *)(base + t->entries_off);
    for (uint32_t i = 0; i < t->entries_n; i++) {
        if (!entry_ok(size, h, &e[i]))
            return false;
        if (i && fp_str_cmp(span_str(base, &e[i - 1].name), span_str(base, &e[i].name)) >= 0)
            return false;
    }
    return slots_ok(base, t);
}

static bool refs_ok(const uint8_t *base, size_t size, const struct fp_snap_header *h)
{
    if (!array_ok(size, h->refs_off, h->refs_n, sizeof(struct fp_snap_raw_ref)))
        return false;
    const struct fp_snap_raw_ref *r = (const void *)(base + h->refs_off);
    for (uint64_t i = 0; i < h->refs_n; i++)
        if (!span_ok(size, &r[i].name) || r[i].name.reserved >= FP_KIND_N)
            return false;
    return true;
}

static int check(const uint8_t *base, size_t size)
{
    if (size < sizeof(struct fp_snap_header))
        return FP_ERR_CORRUPT;
    const struct fp_snap_header *h = (const void *)base;
    if (h->magic != FP_SNAP_MAGIC)
        return FP_ERR_CORRUPT;
    if (h->major != FP_SNAP_MAJOR || h->kinds_n != FP_KIND_N)
        return FP_ERR_VERSION;
    if (h->size != size || h->generation == 0 || !refs_ok(base, size, h))
        return FP_ERR_CORRUPT;
    for (int k = 0; k < FP_KIND_N; k++)
        if (!table_ok(base, size, h, &h->tables[k]))
            return FP_ERR_CORRUPT;
    return 0;
}

static void adopt(struct fp_snap *s, const void *p, size_t n)
{
    s->refs = 1;
    s->base = p;
    s->size = n;
    const struct fp_snap_header *h = header(s);
    s->meta = (struct fp_snap_meta){
        .generation = h->generation,
        .revision = h->revision,
        .built_wall_ms = h->built_wall_ms,
    };
    memcpy(s->meta.epoch, h->epoch, sizeof h->epoch);
    memcpy(s->meta.commit_id, h->commit_id, sizeof h->commit_id);
}

int fp_snap_open_memory(const void *p, size_t n, struct fp_snap **out)
{
    int err = check(p, n);
    if (err)
        return err;
    *out = fp_mem_zalloc(sizeof **out);
    adopt(*out, p, n);
    return 0;
}

static int open_segment(int fd, bool checksum, struct fp_snap **out)
{
    const void *map;
    size_t size;
    int err = fp_memfd_map(fd, &map, &size);
    if (err)
        return err;
    err = check(map, size);
    if (!err && checksum) {
        uint8_t digest[FP_SNAP_HASH_BYTES];
        fp_snap_digest(map, size, digest);
        if (memcmp(digest, ((const struct fp_snap_header *)map)->digest, sizeof digest) != 0)
            err = FP_ERR_CORRUPT;
    }
    if (err) {
        fp_memfd_unmap(map, size);
        return err;
    }
    *out = fp_mem_zalloc(sizeof **out);
    adopt(*out, map, size);
    (*out)->mapped = true;
    return 0;
}

int fp_snap_open(int fd, struct fp_snap **out)
{
    return open_segment(fd, false, out);
}

int fp_snap_open_checked(int fd, struct fp_snap **out)
{
    return open_segment(fd, true, out);
}

/* ---- one entry by itself ---- */

static struct fp_snap_span put(uint8_t *base, uint64_t *off, struct fp_str s)
{
    struct fp_snap_span span = {.off = *off, .len = (uint32_t)s.len};
    if (s.len)
        memcpy(base + *off, s.data, s.len);
    *off += s.len;
    return span;
}

struct one { /* a segment of one entry */
    struct fp_snap_header header;
    struct fp_snap_raw_entry entry;
    uint32_t slots[2];
    struct fp_snap_raw_ref refs[];
};

struct fp_snap *fp_snap_extract(const struct fp_snap *from, enum fp_kind kind,
                                const struct fp_snap_entry *e, bool with_blob)
{
    size_t bytes = e->name.len + (with_blob ? e->blob.len : 0);
    uint64_t off = sizeof(struct one) + e->refs_n * sizeof(struct fp_snap_raw_ref);
    enum fp_kind to;
    struct fp_str name;
    for (uint32_t i = 0; i < e->refs_n; i++) {
        fp_snap_ref_at(from, e, i, &to, &name);
        bytes += name.len;
    }
    struct fp_snap *s = fp_mem_zalloc(sizeof *s + off + bytes);
    struct one *one = (void *)(s + 1);
    uint8_t *base = (void *)one;
    one->header = (struct fp_snap_header){
        .magic = FP_SNAP_MAGIC,
        .major = FP_SNAP_MAJOR,
        .minor = FP_SNAP_MINOR,
        .kinds_n = FP_KIND_N,
        .generation = from->meta.generation,
        .revision = from->meta.revision,
        .size = off + bytes,
        .refs_off = offsetof(struct one, refs),
        .refs_n = e->refs_n,
    };
    for (int k = 0; k < FP_KIND_N; k++)
        one->header.tables[k] = (struct fp_snap_table){
            .entries_off = offsetof(struct one, entry),
            .slots_off = offsetof(struct one, slots),
        };
    one->header.tables[kind].entries_n = 1;
    one->header.tables[kind].slots_n = 2;
    one->slots[fp_snap_name_hash(0, e->name) & 1 ? 0 : 1] = FP_SNAP_SLOT_EMPTY;
    one->entry.refs_n = e->refs_n;
    memcpy(one->entry.hash, e->hash, sizeof one->entry.hash);
    one->entry.name = put(base, &off, e->name);
    one->entry.blob = put(base, &off, with_blob ? e->blob : FP_STR(""));
    one->entry.team = one->entry.rest = (struct fp_snap_span){.off = off};
    for (uint32_t i = 0; i < e->refs_n; i++) {
        fp_snap_ref_at(from, e, i, &to, &name);
        one->refs[i].name = put(base, &off, name);
        one->refs[i].name.reserved = (uint32_t)to;
    }
    fp_snap_set_term(e, (uint64_t *)one->header.tables[kind].set_hash);
    FP_ASSERT(check(base, off) == 0);
    adopt(s, base, off);
    return s;
}

/* ---- access ---- */

struct fp_snap *fp_snap_ref(struct fp_snap *s)
{
    s->refs++;
    return s;
}

void fp_snap_unref(struct fp_snap **sp)
{
    struct fp_snap *s = *sp;
    *sp = NULL;
    if (!s || --s->refs)
        return;
    if (s->mapped)
        fp_memfd_unmap(s->base, s->size);
    fp_mem_free(s);
}

const struct fp_snap_meta *fp_snap_meta(const struct fp_snap *s)
{
    return &s->meta;
}

size_t fp_snap_bytes(const struct fp_snap *s)
{
    return s->size;
}

uint32_t fp_snap_count(const struct fp_snap *s, enum fp_kind kind)
{
    return header(s)->tables[kind].entries_n;
}

void fp_snap_at(const struct fp_snap *s, enum fp_kind kind, uint32_t index,
                struct fp_snap_entry *out)
{
    FP_ASSERT(index < fp_snap_count(s, kind));
    const struct fp_snap_raw_entry *e = &entries(s, kind)[index];
    *out = (struct fp_snap_entry){
        .name = span_str(s->base, &e->name),
        .team = e->flags & FP_SNAP_TEAM ? span_str(s->base, &e->team) : FP_STR_NULL,
        .blob = span_str(s->base, &e->blob),
        .rest = e->flags & FP_SNAP_REST ? span_str(s->base, &e->rest) : FP_STR_NULL,
        .hash = e->hash,
        .row_version = e->row_version,
        .refs_n = e->refs_n,
        .index = index,
    };
}

bool fp_snap_find(const struct fp_snap *s, enum fp_kind kind, struct fp_str name,
                  struct fp_snap_entry *out)
{
    const struct fp_snap_table *t = &header(s)->tables[kind];
    if (!t->entries_n)
        return false;
    const uint32_t *slots = (const void *)(s->base + t->slots_off);
    const struct fp_snap_raw_entry *e = entries(s, kind);
    uint64_t slot = fp_snap_name_hash(header(s)->hash_seed, name);
    for (;; slot++) {
        uint32_t i = slots[slot & (t->slots_n - 1)];
        if (i == FP_SNAP_SLOT_EMPTY)
            return false;
        if (fp_str_eq(span_str(s->base, &e[i].name), name)) {
            fp_snap_at(s, kind, i, out);
            return true;
        }
    }
}

void fp_snap_ref_at(const struct fp_snap *s, const struct fp_snap_entry *e, uint32_t i,
                    enum fp_kind *kind, struct fp_str *name)
{
    FP_ASSERT(i < e->refs_n);
    /* hash is a member of the raw entry: the way back without one more field in every entry */
    const struct fp_snap_raw_entry *raw =
        (const void *)(e->hash - offsetof(struct fp_snap_raw_entry, hash));
    const struct fp_snap_raw_ref *r = (const void *)(s->base + header(s)->refs_off);
    r += raw->refs_first + i;
    *kind = (enum fp_kind)r->name.reserved;
    *name = span_str(s->base, &r->name);
}

const uint8_t *fp_snap_set_hash(const struct fp_snap *s, enum fp_kind kind)
{
    return header(s)->tables[kind].set_hash;
}
