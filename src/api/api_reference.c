/*
 * References of a resource that is written (contract §5.9), looked up in the snapshot.  Runs in
 * workers.  Whether one may be missing is decided in the transaction, never here: this is for dry
 * runs and warnings.
 */
#include "api/api_int.h"

static bool external(const struct fp_store_write *w, struct fp_str name)
{
    for (size_t i = 0; i < w->external_clusters_n; i++)
        if (fp_str_eq(w->external_clusters[i], name))
            return true;
    return false;
}

bool api_reference_found(const struct fp_snap *s, const struct fp_store_write *w,
                         const struct fp_ref *ref)
{
    struct fp_snap_entry e;
    if (ref->kind == FP_KIND_CLUSTER && external(w, ref->name))
        return true;
    return fp_snap_find(s, ref->kind, ref->name, &e) &&
           (!e.team.data || !w->team.data || fp_str_eq(e.team, w->team));
}

bool api_reference_must_exist(const struct fp_store_write *w, const struct fp_ref *ref)
{
    return !w->allow_missing && (ref->kind == FP_KIND_CLUSTER || ref->kind == FP_KIND_SECRET);
}

/* An endpoint set is no such reference: clusters are served without one. */
static bool is_told(const struct fp_ref *ref)
{
    return ref->kind == FP_KIND_CLUSTER || ref->kind == FP_KIND_SECRET ||
           ref->kind == FP_KIND_ROUTE;
}

/* For a header: a name in the raw form may have any character. */
static bool is_plain(struct fp_str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] < ' ' || name.data[i] > '~')
            return false;
    return true;
}

void api_reference_warn(struct fp_api_call *c, const struct fp_store_write *w)
{
    struct fp_model_resource *m = c->resource;
    if (fp_snap_meta(c->snap)->revision < atomic_load(&c->api->o.page->committed_revision))
        return;
    struct fp_model_warning *all =
        fp_arena_alloc(c->r->arena, (m->warnings_n + w->refs_n + 1) * sizeof(*all));
    if (m->warnings_n)
        memcpy(all, m->warnings, m->warnings_n * sizeof(*all));
    m->warnings = all;
    for (size_t i = 0; i < w->refs_n; i++) {
        const struct fp_ref *ref = &w->refs[i];
        if (!is_told(ref) || api_reference_must_exist(w, ref) ||
            api_reference_found(c->snap, w, ref))
            continue;
        all[m->warnings_n++] = (struct fp_model_warning){
            .code = "missing_reference",
            .message =
                fp_arena_printf(c->r->arena, "%s '%.*s' does not exist", fp_kinds[ref->kind].title,
                                FP_STR_ARG(is_plain(ref->name) ? ref->name : FP_STR("?"))),
        };
    }
}
