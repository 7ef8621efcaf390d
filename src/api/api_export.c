/*
 * GET /api/v1/export (contract §7.2): the configuration as a set that /apply takes, from the
 * snapshot and in slices.  Runs in workers.  Equal configuration, equal bytes: no ids, times or
 * versions.
 */
#include <stdlib.h>
#include "api/api_set_int.h"
#include "codec/codec_json.h"
#include "codec/codec_yaml.h"
#include "store/store_revision.h"

struct exporting {
    struct fp_api_call *c;
    struct fp_snap *snap; /* stays what it is while slices go on */
    bool kinds[FP_KIND_N];
    struct fp_str team, source; /* data == NULL: any */
    bool json;
    const enum fp_kind *kind; /* the next entry: of this kind, by number */
    uint32_t at;
    /* With revision=n: rows that were changed after it, as they were at its end, by kind and name.
     * They stand in for those of the snapshot. */
    uint64_t revision; /* 0: none asked for */
    struct fp_buf then;
    size_t then_n, then_at;
    struct fp_arena *scratch;
    struct fp_buf body;
    size_t n;
    struct api_slices slices;
};

static void export_free(void *arg)
{
    struct exporting *x = arg;
    fp_snap_unref(&x->snap);
    fp_buf_fini(&x->body);
    fp_buf_fini(&x->then);
}

/* ---- what is asked for */

static struct fp_str one_of(struct fp_api_call *c, const char *parameter, const char *a,
                            const char *b)
{
    struct fp_str v = fp_http_query(c->r, parameter);
    if (v.data && !fp_str_eq_c(v, a) && !fp_str_eq_c(v, b))
        fp_problem_add_parameter(c->problems, parameter, FP_P_INVALID_VALUE, "must be %s or %s", a,
                                 b);
    return v.data ? v : fp_str_of(a);
}

/* A comma list of kinds; without it all. */
static void read_kinds(struct exporting *x)
{
    struct fp_str rest = fp_http_query(x->c->r, "kinds");
    for (const enum fp_kind *k = api_set_kinds; !rest.data && *k != FP_KIND_N; k++)
        x->kinds[*k] = true;
    while (rest.data) {
        enum fp_kind kind = fp_kind_by_name(fp_str_trim(fp_str_split(rest, ',', &rest)));
        if (api_set_kind(kind))
            x->kinds[kind] = true;
        else
            fp_problem_add_parameter(x->c->problems, "kinds", FP_P_INVALID_VALUE,
                                     "must be a list of kinds that can be applied");
    }
}

/* Every kind that is asked for needs its scope: a part of it would pass for the whole. */
static bool may_read(const struct exporting *x)
{
    for (const enum fp_kind *k = api_set_kinds; *k != FP_KIND_N; k++) {
        const char *scope = api_set_scope(*k);
        if (!x->kinds[*k] || fp_auth_scope(&x->c->token, scope, "read") != FP_AUTH_NONE)
            continue;
        api_audit_forbidden(x->c, fp_arena_printf(x->c->r->arena, "%s:read", scope));
        return false;
    }
    return true;
}

/* ---- entries */

static bool wanted(const struct exporting *x, enum fp_kind kind, struct fp_str team,
                   int64_t row_version, const json_t *rest)
{
    struct fp_str source = fp_json_str(json_object_get(rest, "source"));
    if (fp_str_eq(source, FP_STR("platform_api")) ||
        (fp_str_eq(source, FP_STR("system")) && row_version == 1))
        return false; /* generated; the default gateway as it was made */
    if (x->source.data && !fp_str_eq(source, x->source))
        return false;
    if (x->team.data && !(team.data && fp_str_eq(team, x->team)))
        return false;
    return fp_auth_scope(&x->c->token, api_set_scope(kind), "read") == FP_AUTH_ALL ||
           fp_auth_team(&x->c->token, api_set_scope(kind), "read", team);
}

static bool left_out(const char *key)
{
    static const char *const keys[] = {"id",         "name",           "team",       "source",
                                       "version",    "config",         "createdAt",  "updatedAt",
                                       "pathPrefix", "clusterTargets", "serviceName"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

/* Equal values in one order, whatever made them. */
static json_t *sorted(struct fp_arena *a, const json_t *v)
{
    struct fp_buf b = {0};
    fp_json_write(&b, v, true);
    json_t *out = fp_json_parse(a, fp_buf_str(&b), 2 * API_JSON_DEPTH, fp_problems_new(a));
    fp_buf_fini(&b);
    return out;
}

/* What a kind has beside the common keys: its config, or the same in a listener's request shape. */
static json_t *fields(struct fp_arena *a, enum fp_kind kind, json_t *rest)
{
    json_t *out = json_object(), *v, *config = json_object_get(rest, "config");
    const char *key;
    json_object_foreach (rest, key, v) {
        bool implied = config && strcmp(key, "protocol") == 0 && !json_object_get(config, key);
        if (!left_out(key) && !json_is_null(v) && !implied)
            json_object_set(out, key, v);
    }
    if (kind != FP_KIND_LISTENER)
        json_object_update_missing(out, config);
    return sorted(a, fp_json_own(a, out));
}

/* From the REST form to a create body. */
static json_t *member(struct fp_arena *a, enum fp_kind kind, json_t *rest)
{
    json_t *out = fp_json_own(a, json_object()), *name = json_object_get(rest, "name");
    json_t *envoy = json_object_get(rest, "envoy"), *team = json_object_get(rest, "team");
    json_t *service = json_object_get(rest, "serviceName");
    json_object_set_new(out, "kind", json_string(fp_kinds[kind].name));
    json_object_set(out, "name", name);
    if (json_is_string(team))
        json_object_set(out, "team", team);
    if (service && !json_equal(service, name))
        json_object_set(out, "serviceName", service);
    if (envoy)
        json_object_set(out, "envoy", sorted(a, envoy));
    else
        json_object_update(out, fields(a, kind, rest));
    return out;
}

static void write_member(struct exporting *x, const json_t *v)
{
    if (x->json) {
        fp_buf_append_c(&x->body, x->n ? ",\n" : "[\n");
        fp_json_write(&x->body, v, false);
    } else {
        fp_buf_append_c(&x->body, "---\n");
        fp_yaml_write(&x->body, v);
    }
    x->n++;
}

static void export_rest(struct exporting *x, enum fp_kind kind, struct fp_str team,
                        int64_t row_version, struct fp_str text)
{
    json_t *rest = fp_json_parse(x->scratch, text, 2 * API_JSON_DEPTH, fp_problems_new(x->scratch));
    if (rest && wanted(x, kind, team, row_version, rest))
        write_member(x, member(x->scratch, kind, rest));
}

static void export_then(struct exporting *x, enum fp_kind kind, const struct fp_store_then *t)
{
    struct fp_buf b = {0};
    struct fp_model_row row = {
        .name = t->name,
        .team = t->team,
        .source = t->source,
        .form = t->form,
        .service_name = t->service_name,
        .version = t->version,
        .configuration = fp_json_parse(x->scratch, t->configuration, 2 * API_JSON_DEPTH,
                                       fp_problems_new(x->scratch)),
    };
    if (!t->existed || !row.configuration)
        return;
    row.id = row.created_at = row.updated_at = FP_STR("");
    fp_model_render(kind, &row, &b);
    export_rest(x, kind, t->team, t->version, fp_buf_str(&b));
    fp_buf_fini(&b);
}

/* The next row of then, when it is of this kind. */
static const struct fp_store_then *next_then(const struct exporting *x, enum fp_kind kind)
{
    const struct fp_store_then *rows = (const void *)x->then.data;
    bool its = x->then_at < x->then_n && fp_kind_by_name(rows[x->then_at].kind) == kind;
    return its ? &rows[x->then_at] : NULL;
}

static bool step(void *arg)
{
    struct exporting *x = arg;
    struct fp_snap_entry e;
    enum fp_kind kind = *x->kind;
    if (kind == FP_KIND_N)
        return false;
    const struct fp_store_then *t = next_then(x, kind);
    bool some = x->at < fp_snap_count(x->snap, kind);
    if (some)
        fp_snap_at(x->snap, kind, x->at, &e);
    int order = !some ? 1 : !t ? -1 : fp_str_cmp(e.name, t->name);
    if (!some && !t) {
        x->kind++;
        x->at = 0;
        return true;
    }
    x->at += order <= 0;
    x->then_at += order >= 0;
    if (x->kinds[kind] && order >= 0)
        export_then(x, kind, t);
    else if (x->kinds[kind] && e.rest.data) /* else a set that a cluster generates */
        export_rest(x, kind, e.team, e.row_version, e.rest);
    fp_arena_reset(x->scratch);
    return true;
}

static void done(void *arg)
{
    struct exporting *x = arg;
    struct fp_api_call *c = x->c;
    unsigned long long revision = x->revision ? x->revision : fp_snap_meta(x->snap)->revision;
    if (x->json)
        fp_buf_append_c(&x->body, x->n ? "\n]\n" : "[]\n");
    else
        c->media = "application/yaml";
    api_header_number(c, "flowplane-revision", revision);
    api_respond(c, 200, &c->headers, fp_buf_str(&x->body));
}

/* ---- as of a revision */

static struct fp_str keep(struct fp_api_call *c, struct fp_str s)
{
    return s.data ? fp_arena_str(c->r->arena, s) : s;
}

static void take_then(const struct fp_store_then *t, void *arg)
{
    struct fp_api_call *c = arg;
    struct exporting *x = c->user;
    struct fp_store_then own = *t;
    if (!api_set_kind(fp_kind_by_name(t->kind)))
        return;
    own.kind = keep(c, t->kind);
    own.name = keep(c, t->name);
    own.team = keep(c, t->team);
    own.source = keep(c, t->source);
    own.form = keep(c, t->form);
    own.service_name = keep(c, t->service_name);
    own.configuration = keep(c, t->configuration);
    fp_buf_append(&x->then, &own, sizeof(own));
    x->then_n++;
}

static int rank(struct fp_str kind)
{
    int i = 0;
    while (api_set_kinds[i] != FP_KIND_N && !fp_str_eq_c(kind, fp_kinds[api_set_kinds[i]].name))
        i++;
    return i;
}

static int by_kind_and_name(const void *a, const void *b)
{
    const struct fp_store_then *x = a, *y = b;
    int order = rank(x->kind) - rank(y->kind);
    return order ? order : fp_str_cmp(x->name, y->name);
}

static void go(struct exporting *x)
{
    x->kind = api_set_kinds;
    x->slices = (struct api_slices){.c = x->c, .step = step, .done = done, .arg = x};
    api_slices_run(&x->slices);
}

static void then_read(enum fp_store_reading how, uint64_t current, void *arg)
{
    struct fp_api_call *c = arg;
    struct exporting *x = c->user;
    (void)current;
    if (how == FP_READING_AWAY) {
        api_fail_unavailable(c, "the database is not available");
        return;
    }
    if (how == FP_READING_NONE) {
        fp_problem_add_parameter(c->problems, "revision", FP_P_OUT_OF_RANGE,
                                 "not a revision that is known");
        api_fail_problems(c);
        return;
    }
    if (x->then_n)
        qsort(x->then.data, x->then_n, sizeof(struct fp_store_then), by_kind_and_name);
    go(x);
}

static void export_now(struct fp_api_call *c)
{
    struct exporting *x = c->user;
    x->snap = fp_snap_ref(c->api->snap);
    if (x->revision)
        fp_store_revision_state(c->api->o.store, x->revision, fp_snap_meta(x->snap)->revision,
                                FP_STR_NULL, take_then, then_read, c);
    else
        go(x);
}

void api_export(struct fp_api_call *c)
{
    struct exporting *x = FP_ARENA_NEW(c->r->arena, struct exporting);
    x->c = c;
    c->user = x;
    read_kinds(x);
    x->team = fp_http_query(c->r, "team");
    x->source = fp_http_query(c->r, "source");
    x->json = fp_str_eq(one_of(c, "format", "yaml", "json"), FP_STR("json"));
    one_of(c, "secrets", "sealed", "omit");
    struct fp_str revision = fp_http_query(c->r, "revision");
    if (revision.data &&
        (!fp_str_to_u64(revision, &x->revision) || !x->revision || x->revision > INT64_MAX))
        fp_problem_add_parameter(c->problems, "revision", FP_P_INVALID_TYPE,
                                 "must be a revision number");
    if (!may_read(x)) {
        api_fail(c, 403, NULL, NULL, "forbidden: missing required scope");
        return;
    }
    if (c->problems->n) {
        api_fail_problems(c);
        return;
    }
    x->scratch = fp_arena_new(c->r->arena);
    fp_arena_cleanup(c->r->arena, export_free, x);
    api_wait_fresh(c, export_now);
}
