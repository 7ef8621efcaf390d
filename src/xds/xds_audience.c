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
    fp_snap_unref(&v->snap);
    fp_mem_free(v);
}

uint32_t fp_xds_view_count(const struct fp_xds_view *v, enum fp_kind kind)
{
    return fp_snap_count(v->snap, kind);
}

void fp_xds_view_at(const struct fp_xds_view *v, enum fp_kind kind, uint32_t i,
                    struct fp_snap_entry *out)
{
    fp_snap_at(v->snap, kind, i, out);
}

bool fp_xds_view_find(const struct fp_xds_view *v, enum fp_kind kind, struct fp_str name,
                      struct fp_snap_entry *out)
{
    return fp_snap_find(v->snap, kind, name, out);
}

const uint8_t *fp_xds_view_set_hash(const struct fp_xds_view *v, enum fp_kind kind)
{
    return fp_snap_set_hash(v->snap, kind);
}

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
