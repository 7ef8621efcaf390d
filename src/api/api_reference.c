/*
 * References of a resource that is written (contract §5.9): looked up in the snapshot for dry runs,
 * and the warning about those that are missing though they may be.  Runs in workers.  For a write
 * both are decided in its transaction, never here.
 */
#include "api/api_int.h"

bool api_reference_found(const struct fp_snap *s, const struct fp_store_write *w,
                         const struct fp_ref *ref)
{
    struct fp_snap_entry e;
    return fp_snap_find(s, ref->kind, ref->name, &e) &&
           (!e.team.data || !w->team.data || fp_str_eq(e.team, w->team));
}

/* For a header: a name in the raw form may have any character. */
static bool is_plain(struct fp_str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] < ' ' || name.data[i] > '~')
            return false;
    return true;
}

const char *api_reference_text(struct fp_arena *a, enum fp_kind kind, struct fp_str name)
{
    return fp_arena_printf(a, "%s '%.*s' does not exist", fp_kinds[kind].title,
                           FP_STR_ARG(is_plain(name) ? name : FP_STR("?")));
}

static void warn(struct fp_api_call *c, enum fp_kind kind, struct fp_str name)
{
    struct fp_model_resource *m = c->resource;
    struct fp_model_warning *all = fp_arena_alloc(c->r->arena, (m->warnings_n + 1) * sizeof(*all));
    if (m->warnings_n)
        memcpy(all, m->warnings, m->warnings_n * sizeof(*all));
    m->warnings = all;
    all[m->warnings_n] = (struct fp_model_warning){
        .code = "missing_reference", .message = api_reference_text(c->r->arena, kind, name)};
    for (size_t i = 0; i < m->refs_n; i++)
        if (m->refs[i].kind == kind && fp_str_eq(m->refs[i].name, name))
            all[m->warnings_n].pointer = m->refs[i].pointer;
    m->warnings_n++;
}

void api_reference_absent(struct fp_api_call *c, const struct fp_store_result *res)
{
    for (size_t i = 0; i < res->names_n; i++) {
        struct fp_str name, kind = fp_str_split(res->names[i], '/', &name);
        warn(c, fp_kind_by_name(kind), name);
    }
}

void api_reference_warn(struct fp_api_call *c, const struct fp_snap *s,
                        const struct fp_store_write *w)
{
    for (size_t i = 0; i < w->refs_n; i++)
        if (fp_store_ref_is_told(w, &w->refs[i]) && !api_reference_found(s, w, &w->refs[i]))
            warn(c, w->refs[i].kind, w->refs[i].name);
}
