/*
 * Views of a generation, in workers.  The difference between two of them is computed once, however
 * many streams need it.  A view must never outlive the last answer that points into its mapping
 * (it holds the snapshot), nor keep anything per node.
 */
#include "xds/xds_audience_int.h"
#include <stdio.h>
#include "core/core_assert.h"
#include "core/core_mem.h"

struct fp_xds_view *fp_xds_view_new(struct fp_snap *s)
{
    static uint64_t last_id;
    struct fp_xds_view *v = fp_mem_zalloc(sizeof *v);
    v->refs = 1;
    v->id = ++last_id;
    v->snap = fp_snap_ref(s);
    fp_list_init(&v->diffs);
    return v;
}

struct fp_xds_view *fp_xds_view_ref(struct fp_xds_view *v)
{
    v->refs++;
    return v;
}

void fp_xds_view_unref(struct fp_xds_view **vp)
{
    struct fp_xds_view *v = *vp;
    *vp = NULL;
    if (!v || --v->refs)
        return;
    FP_ASSERT(v->states.n == 0);
    fp_map_fini(&v->states);
    FP_LIST_FOREACH_SAFE (it, &v->diffs)
        fp_mem_free(FP_CONTAINER(it, struct fp_xds_diff, link));
    for (int k = 0; k < FP_KIND_N; k++) {
        fp_mem_free(v->terms[k]);
        if (v->parts) {
            fp_mem_free(v->parts[k].at);
        }
    }
    fp_mem_free(v->parts);
    for (uint32_t i = 0; i < v->behind_n; i++)
        fp_xds_view_unref(&v->behind[i]);
    fp_mem_free(v->behind);
    fp_xds_view_unref(&v->all);
    fp_snap_unref(&v->snap);
    fp_mem_free(v);
}

uint32_t fp_xds_view_count(const struct fp_xds_view *v, enum fp_kind kind)
{
    return v->parts ? v->parts[kind].n : fp_snap_count(v->snap, kind);
}

void fp_xds_view_at(const struct fp_xds_view *v, enum fp_kind kind, uint32_t i,
                    struct fp_snap_entry *out)
{
    FP_ASSERT(!v->parts || i < v->parts[kind].n);
    fp_snap_at(v->snap, kind, v->parts ? v->parts[kind].at[i] : i, out);
}

static bool has(const struct fp_xds_part *part, uint32_t index)
{
    uint32_t lo = 0, hi = part->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (part->at[mid] < index)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < part->n && part->at[lo] == index;
}

bool fp_xds_view_find(const struct fp_xds_view *v, enum fp_kind kind, struct fp_str name,
                      struct fp_snap_entry *out)
{
    return fp_snap_find(v->snap, kind, name, out) &&
           (!v->parts || has(&v->parts[kind], out->index));
}

const uint8_t *fp_xds_view_set_hash(const struct fp_xds_view *v, enum fp_kind kind)
{
    return v->parts ? (const uint8_t *)v->parts[kind].sum : fp_snap_set_hash(v->snap, kind);
}

/* ---- scopes: what is reached from the roots ---- */

struct reached {
    enum fp_kind kind;
    uint32_t index;
};

struct fp_xds_closure { /* while a scoped view is made */
    struct fp_xds_view *v;
    uint64_t *member[FP_KIND_N]; /* a bit for each entry of the snapshot; NULL: none yet */
    struct reached *todo;
    size_t n, cap;
};

static bool is_served(enum fp_kind kind)
{
    return fp_kinds[kind].type_url != NULL;
}

static bool is_member(const struct fp_xds_closure *c, enum fp_kind kind, uint32_t index)
{
    return c->member[kind] && c->member[kind][index / 64] >> (index % 64) & 1;
}

const struct fp_snap *fp_xds_closure_snap(const struct fp_xds_closure *c)
{
    return c->v->snap;
}

void fp_xds_closure_add(struct fp_xds_closure *c, enum fp_kind kind, uint32_t index)
{
    if (is_member(c, kind, index))
        return;
    if (!c->member[kind])
        c->member[kind] = fp_mem_calloc(fp_snap_count(c->v->snap, kind) / 64 + 1, sizeof(uint64_t));
    c->member[kind][index / 64] |= UINT64_C(1) << (index % 64);
    c->v->parts[kind].n++;
    if (c->n == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 64;
        c->todo = fp_mem_realloc(c->todo, c->cap * sizeof *c->todo);
    }
    c->todo[c->n++] = (struct reached){kind, index};
}

static void follow(struct fp_xds_closure *c)
{
    const struct fp_snap *snap = c->v->snap;
    while (c->n) {
        struct reached r = c->todo[--c->n];
        struct fp_snap_entry e, target;
        fp_snap_at(snap, r.kind, r.index, &e);
        for (uint32_t i = 0; i < e.refs_n; i++) {
            enum fp_kind kind;
            struct fp_str name;
            fp_snap_ref_at(snap, &e, i, &kind, &name);
            if (kind != FP_KIND_LISTENER && is_served(kind) &&
                fp_snap_find(snap, kind, name, &target))
                fp_xds_closure_add(c, kind, target.index);
        }
    }
}

/* "<route configuration>/<host>" (D-19); either may hold a slash. */
static bool of_reached_route(const struct fp_xds_closure *c, struct fp_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        struct fp_snap_entry route;
        if (name.data[i] == '/' &&
            fp_snap_find(c->v->snap, FP_KIND_ROUTE, fp_str_n(name.data, i), &route) &&
            is_member(c, FP_KIND_ROUTE, route.index))
            return true;
    }
    return false;
}

static void reach_virtual_hosts(struct fp_xds_closure *c)
{
    struct fp_snap_entry e;
    for (uint32_t i = 0; i < fp_snap_count(c->v->snap, FP_KIND_VIRTUAL_HOST); i++) {
        fp_snap_at(c->v->snap, FP_KIND_VIRTUAL_HOST, i, &e);
        if (of_reached_route(c, e.name))
            fp_xds_closure_add(c, FP_KIND_VIRTUAL_HOST, i);
    }
    follow(c);
}

/* Two digests an entry: shared by all scopes of a generation. */
static const uint64_t *term_of(struct fp_xds_view *all, enum fp_kind kind, uint32_t index)
{
    if (!all->terms[kind])
        all->terms[kind] = fp_mem_calloc(fp_snap_count(all->snap, kind), sizeof *all->terms[kind]);
    uint64_t *term = all->terms[kind][index];
    if (!(term[0] | term[1] | term[2] | term[3])) {
        struct fp_snap_entry e;
        fp_snap_at(all->snap, kind, index, &e);
        fp_snap_set_term(&e, term);
    }
    return term;
}

static void list_members(struct fp_xds_closure *c, enum fp_kind kind)
{
    struct fp_xds_view *v = c->v;
    struct fp_xds_part *part = &v->parts[kind];
    uint32_t words = (fp_snap_count(v->snap, kind) + 63) / 64, n = 0;
    if (!part->n)
        return;
    part->at = fp_mem_calloc(part->n, sizeof *part->at);
    for (uint32_t w = 0; w < words; w++)
        for (uint64_t bits = c->member[kind][w]; bits; bits &= bits - 1) {
            uint32_t index = w * 64 + (uint32_t)__builtin_ctzll(bits);
            const uint64_t *term = term_of(v->all, kind, index);
            part->at[n++] = index;
            for (int j = 0; j < 4; j++)
                part->sum[j] += term[j];
        }
    FP_ASSERT(n == part->n);
    fp_mem_free(c->member[kind]);
}

struct fp_xds_view *fp_xds_view_scoped(struct fp_xds_view *all,
                                       void (*roots)(struct fp_xds_closure *c, const void *arg),
                                       const void *arg)
{
    FP_ASSERT(!all->parts);
    struct fp_xds_closure c = {.v = fp_xds_view_new(all->snap)};
    c.v->all = fp_xds_view_ref(all);
    c.v->parts = fp_mem_calloc(FP_KIND_N, sizeof *c.v->parts);
    roots(&c, arg);
    follow(&c);
    reach_virtual_hosts(&c);
    fp_mem_free(c.todo);
    for (int k = 0; k < FP_KIND_N; k++)
        list_members(&c, (enum fp_kind)k);
    return c.v;
}

/* ---- differences ---- */

/* Both sides are sorted by name: one walk.  With changed == NULL it only counts. */
static void merge(const struct fp_xds_view *to, const struct fp_xds_view *from,
                  struct fp_xds_diff *d)
{
    uint32_t n = fp_xds_view_count(to, d->kind), m = fp_xds_view_count(from, d->kind);
    uint32_t changed_n = 0, removed_n = 0;
    struct fp_snap_entry a, b;
    for (uint32_t i = 0, j = 0; i < n || j < m;) {
        int c = i == n ? 1 : j == m ? -1 : 0;
        if (i < n)
            fp_xds_view_at(to, d->kind, i, &a);
        if (j < m)
            fp_xds_view_at(from, d->kind, j, &b);
        if (!c)
            c = fp_str_cmp(a.name, b.name);
        if (c < 0 || (c == 0 && memcmp(a.hash, b.hash, FP_SNAP_HASH_BYTES) != 0)) {
            if (d->changed)
                d->changed[changed_n] = i;
            changed_n++;
        }
        if (c > 0) {
            if (d->changed)
                d->removed[removed_n] = j;
            removed_n++;
        }
        i += c <= 0;
        j += c >= 0;
    }
    d->changed_n = changed_n;
    d->removed_n = removed_n;
}

const struct fp_xds_diff *fp_xds_view_diff(struct fp_xds_view *to, const struct fp_xds_view *from,
                                           enum fp_kind kind)
{
    FP_LIST_FOREACH (it, &to->diffs) {
        struct fp_xds_diff *d = FP_CONTAINER(it, struct fp_xds_diff, link);
        if (d->from_id == from->id && d->kind == kind)
            return d;
    }
    struct fp_xds_diff count = {.kind = kind};
    merge(to, from, &count);
    size_t indices = (size_t)count.changed_n + count.removed_n;
    struct fp_xds_diff *d = fp_mem_zalloc(sizeof *d + (indices + 1) * sizeof(uint32_t));
    d->from_id = from->id;
    d->kind = kind;
    d->changed = (uint32_t *)(d + 1);
    d->removed = d->changed + count.changed_n;
    merge(to, from, d);
    fp_list_push_front(&to->diffs, &d->link);
    return d;
}

uint32_t fp_xds_view_dangling(const struct fp_xds_view *v, char *first, size_t first_bytes)
{
    static const enum fp_kind referrers[] = {FP_KIND_LISTENER, FP_KIND_ROUTE};
    uint32_t found = 0;
    for (size_t k = 0; k < sizeof referrers / sizeof *referrers; k++)
        for (uint32_t i = 0; i < fp_xds_view_count(v, referrers[k]); i++) {
            struct fp_snap_entry e, target;
            fp_xds_view_at(v, referrers[k], i, &e);
            for (uint32_t r = 0; r < e.refs_n; r++) {
                enum fp_kind kind;
                struct fp_str name;
                fp_snap_ref_at(v->snap, &e, r, &kind, &name);
                if (kind != FP_KIND_CLUSTER || fp_xds_view_find(v, kind, name, &target))
                    continue;
                if (!found++)
                    snprintf(first, first_bytes, "%s %.*s -> %.*s", fp_kinds[referrers[k]].name,
                             FP_STR_ARG(e.name), FP_STR_ARG(name));
            }
        }
    return found;
}
