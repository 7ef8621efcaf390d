/*
 * Dry runs (contract §2.8): what a write would do, found in the snapshot; nothing is sent to the
 * database.  Runs in workers.  Outcomes go through the same door as those of the real write, so
 * that the errors are its errors.
 */
#include "api/api_int.h"
#include "codec/codec_diff.h"
#include "codec/codec_json.h"

struct dry { /* one write looked at */
    struct fp_api_call *c;
    struct fp_snap *s;
    const struct fp_store_write *w; /* NULL for deletions */
    struct fp_snap_entry now;       /* the row of today */
    bool exists;
    json_t *now_json; /* its REST form */
};

static struct dry look(struct fp_api_call *c, const struct fp_store_write *w, struct fp_str name)
{
    struct dry d = {.c = c, .s = c->api->snap, .w = w};
    d.exists = fp_snap_find(d.s, c->route->kind, name, &d.now) && d.now.rest.data;
    if (d.exists)
        d.now_json = fp_json_parse(c->r->arena, d.now.rest, 2 * API_JSON_DEPTH, c->problems);
    return d;
}

static json_t *stored(const struct dry *d)
{
    json_t *config = json_object_get(d->now_json, "config");
    return config ? config : json_object_get(d->now_json, "envoy");
}

static void answer(const struct dry *d, const char *action)
{
    struct fp_api_call *c = d->c;
    const struct fp_model_resource *m = c->resource;
    struct fp_str name = m ? m->name : c->name;
    json_t *change = json_object(), *body = json_object(), *warnings = json_array();
    struct fp_buf b = {0};
    json_object_set_new(change, "kind", json_string(fp_kinds[c->route->kind].name));
    json_object_set_new(change, "name", json_stringn(name.data, name.len));
    json_object_set_new(change, "action", json_string(action));
    json_object_set_new(change, "fromVersion",
                        d->exists ? json_integer((json_int_t)d->now.row_version) : json_null());
    json_object_set_new(change, "diff",
                        fp_json_diff(d->exists ? stored(d) : NULL, m ? m->configuration : NULL));
    for (size_t i = 0; m && i < m->warnings_n; i++)
        json_array_append_new(warnings,
                              json_pack("{s:s, s:s?, s:s}", "code", m->warnings[i].code, "pointer",
                                        m->warnings[i].pointer, "message", m->warnings[i].message));
    json_object_set_new(body, "dryRun", json_true());
    json_object_set_new(body, "changes", json_pack("[o]", change));
    json_object_set_new(body, "warnings", warnings);
    fp_json_write(&b, body, false);
    json_decref(body);
    api_header_add(&c->headers, "flowplane-revision",
                   fp_str_of(fp_arena_printf(c->r->arena, "%llu",
                                             (unsigned long long)fp_snap_meta(d->s)->revision)));
    api_respond(c, 200, &c->headers, fp_buf_str(&b));
    fp_buf_fini(&b);
}

/* References to clusters and secrets must exist; a foreign team's row counts as missing (§4.5,
 * §5.9). */
static bool missing(const struct dry *d, struct fp_store_result *res)
{
    const struct fp_store_write *w = d->w;
    struct fp_str *names = fp_arena_alloc(d->c->r->arena, (w->refs_n + 1) * sizeof(*names));
    for (size_t i = 0; i < w->refs_n; i++)
        if (api_reference_must_exist(w, &w->refs[i]) && !api_reference_found(d->s, w, &w->refs[i]))
            names[res->names_n++] = w->refs[i].name;
    res->names = names;
    return res->names_n > 0;
}

/* Is the listener's address taken by another one? */
static bool address_taken(const struct dry *d)
{
    struct fp_snap_entry e;
    if (d->c->route->kind != FP_KIND_LISTENER || d->w->port < 0)
        return false;
    for (uint32_t i = 0, n = fp_snap_count(d->s, FP_KIND_LISTENER); i < n; i++) {
        fp_snap_at(d->s, FP_KIND_LISTENER, i, &e);
        if (!e.rest.data || fp_str_eq(e.name, d->w->name))
            continue;
        json_t *l = fp_json_parse(d->c->r->arena, e.rest, 2 * API_JSON_DEPTH, d->c->problems);
        if (fp_str_eq(fp_json_str(json_object_get(l, "address")), d->w->address) &&
            json_integer_value(json_object_get(l, "port")) == d->w->port)
            return true;
    }
    return false;
}

/* Who names this row?  "kind/name" of each, as the store tells it. */
static bool referenced(const struct dry *d, struct fp_store_result *res)
{
    struct fp_arena *a = d->c->r->arena;
    struct fp_str *names = fp_arena_alloc(a, FP_PROBLEMS_MAX * sizeof(*names));
    for (int k = 0; k < FP_KIND_N; k++) {
        for (uint32_t i = 0, n = fp_snap_count(d->s, k); i < n; i++) {
            struct fp_snap_entry e;
            fp_snap_at(d->s, k, i, &e);
            for (uint32_t r = 0; e.rest.data && r < e.refs_n; r++) {
                enum fp_kind kind;
                struct fp_str name;
                fp_snap_ref_at(d->s, &e, r, &kind, &name);
                if (kind == d->c->route->kind && fp_str_eq(name, d->now.name) &&
                    res->names_n < FP_PROBLEMS_MAX)
                    names[res->names_n++] = fp_str_of(
                        fp_arena_printf(a, "%s/%.*s", fp_kinds[k].name, FP_STR_ARG(e.name)));
            }
        }
    }
    res->names = names;
    return res->names_n > 0;
}

static bool has_source(const struct dry *d, const char *source)
{
    return fp_str_eq_c(fp_json_str(json_object_get(d->now_json, "source")), source);
}

/* Tells the outcome through the real write's door; true when it was an error. */
static bool refused(const struct dry *d, struct fp_store_result *res, enum fp_store_outcome outcome)
{
    res->outcome = outcome;
    res->version = d->now.row_version;
    return api_write_refused(d->c, res);
}

static void create_now(struct fp_api_call *c)
{
    struct dry d = look(c, c->dry, c->dry->name);
    struct fp_store_result res = {0};
    enum api_alias how = d.exists && c->route->flags & API_ALIAS
                             ? api_alias_judge(c, &d.now, d.now_json)
                             : API_ALIAS_TAKEN;
    enum fp_store_outcome o = missing(&d, &res)                            ? FP_STORE_MISSING_REFS
                              : d.exists && how == API_ALIAS_TAKEN         ? FP_STORE_NAME_TAKEN
                              : how != API_ALIAS_SAME && address_taken(&d) ? FP_STORE_ADDRESS_TAKEN
                                                                           : FP_STORE_DONE;
    if (!refused(&d, &res, o))
        answer(&d, !d.exists ? "create" : how == API_ALIAS_SAME ? "unchanged" : "update");
}

/* A row of another team is not there for a writer who has teams (contract §4.5). */
static bool visible(const struct dry *d)
{
    return d->exists && api_call_sees(d->c, d->now.team);
}

static void replace_now(struct fp_api_call *c)
{
    struct dry d = look(c, c->dry, c->dry->name);
    struct fp_store_result res = {0};
    bool stale = c->dry->if_version >= 0 && c->dry->if_version != d.now.row_version;
    enum fp_store_outcome o = !visible(&d)                     ? FP_STORE_NOT_FOUND
                              : stale                          ? FP_STORE_STALE
                              : has_source(&d, "platform_api") ? FP_STORE_PROTECTED
                              : missing(&d, &res)              ? FP_STORE_MISSING_REFS
                              : address_taken(&d)              ? FP_STORE_ADDRESS_TAKEN
                                                               : FP_STORE_DONE;
    if (refused(&d, &res, o))
        return;
    bool same = has_source(&d, "native_api") && api_alias_same(c->resource, &d.now, d.now_json);
    answer(&d, same ? "unchanged" : "update");
}

/* The default gateway's rows are known by name, whoever wrote them last (contract §4.6). */
static bool is_default(const struct dry *d)
{
    static const struct {
        enum fp_kind kind;
        const char *name;
    } rows[] = {{FP_KIND_CLUSTER, "default-gateway-cluster"},
                {FP_KIND_ROUTE, "default-gateway-routes"},
                {FP_KIND_LISTENER, "default-gateway-listener"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].kind == d->c->route->kind && fp_str_eq_c(d->c->name, rows[i].name))
            return true;
    return false;
}

static void delete_now(struct fp_api_call *c)
{
    struct dry d = look(c, NULL, c->name);
    struct fp_store_result res = {0};
    bool stale = c->dry_version >= 0 && c->dry_version != d.now.row_version;
    bool locked = has_source(&d, "platform_api") || has_source(&d, "system") || is_default(&d);
    enum fp_store_outcome o = !visible(&d)           ? FP_STORE_NOT_FOUND
                              : stale                ? FP_STORE_STALE
                              : locked               ? FP_STORE_PROTECTED
                              : referenced(&d, &res) ? FP_STORE_REFERENCED
                                                     : FP_STORE_DONE;
    if (!refused(&d, &res, o))
        answer(&d, "delete");
}

void api_dry_create(struct fp_api_call *c, const struct fp_store_write *w)
{
    c->dry = fp_arena_dup(c->r->arena, w, sizeof(*w));
    api_wait_fresh(c, create_now);
}

void api_dry_replace(struct fp_api_call *c, const struct fp_store_write *w)
{
    c->dry = fp_arena_dup(c->r->arena, w, sizeof(*w));
    api_wait_fresh(c, replace_now);
}

void api_dry_delete(struct fp_api_call *c, int64_t if_version)
{
    c->dry_version = if_version;
    api_wait_fresh(c, delete_now);
}
