/*
 * A view: what the nodes of one scope may see of one generation.  The view of scope "all" is the
 * whole snapshot; that of a team or allow-list holds positions in it, behind the same functions.
 */
#pragma once
#include "core/core_list.h"
#include "core/core_map.h"
#include "snap/snap_reader.h"

#define FP_XDS_DEFAULT_LISTENER "default-gateway-listener" /* contract §4.6 */

struct fp_xds_part { /* the entries of one kind in a scoped view */
    uint32_t n;
    uint32_t *at;    /* positions in the snapshot, ascending: by name too */
    uint64_t sum[4]; /* set hash */
};

struct fp_xds_view {
    unsigned refs;
    uint64_t id; /* never used again in this process */
    struct fp_snap *snap;
    struct fp_xds_view *all;         /* scoped views: what they are a part of, a reference */
    struct fp_xds_part *parts;       /* scoped views: by kind */
    uint64_t (*terms[FP_KIND_N])[4]; /* whole views: set terms, each made when first asked */
    bool extract;                    /* of one entry, by itself in memory (fp_snap_extract) */
    struct fp_xds_view **behind; /* extracts: of what hangs on that entry, as endpoint sets do */
    uint32_t behind_n;
    struct fp_map states; /* of xds_state_int.h, by their keys; not owned: a state removes itself */
    struct fp_list diffs; /* owned: differences from older views to this one */
};

/* What differs between two views in one kind; indices are positions by name. */
struct fp_xds_diff {
    struct fp_list link;
    uint64_t from_id;
    enum fp_kind kind;
    uint32_t changed_n, removed_n;
    uint32_t *changed; /* new or other bytes; in the newer view */
    uint32_t *removed; /* in the older view */
};

struct fp_xds_view *fp_xds_view_new(struct fp_snap *s); /* takes its own reference */
/*
 * The part of a whole view that is reached from its roots, which roots() adds: references are
 * followed, except to further listeners, and a virtual host belongs to the route configuration that
 * its name begins with.
 */
struct fp_xds_closure;
struct fp_xds_view *fp_xds_view_scoped(struct fp_xds_view *all,
                                       void (*roots)(struct fp_xds_closure *c, const void *arg),
                                       const void *arg);
const struct fp_snap *fp_xds_closure_snap(const struct fp_xds_closure *c);
void fp_xds_closure_add(struct fp_xds_closure *c, enum fp_kind kind, uint32_t index);
struct fp_xds_view *fp_xds_view_ref(struct fp_xds_view *v);
void fp_xds_view_unref(struct fp_xds_view **v);
uint32_t fp_xds_view_count(const struct fp_xds_view *v, enum fp_kind kind);
void fp_xds_view_at(const struct fp_xds_view *v, enum fp_kind kind, uint32_t i,
                    struct fp_snap_entry *out);
bool fp_xds_view_find(const struct fp_xds_view *v, enum fp_kind kind, struct fp_str name,
                      struct fp_snap_entry *out);
const uint8_t *fp_xds_view_set_hash(const struct fp_xds_view *v, enum fp_kind kind);
/* Computed once and kept in `to`. */
const struct fp_xds_diff *fp_xds_view_diff(struct fp_xds_view *to, const struct fp_xds_view *from,
                                           enum fp_kind kind);
/* References to clusters that do not exist (O-8); *first names one ("route r1 -> ghost"). */
uint32_t fp_xds_view_dangling(const struct fp_xds_view *v, char *first, size_t first_bytes);
