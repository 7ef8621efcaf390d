/*
 * GET /api/v1/export (contract §7.2): the configuration as a set that /apply takes, from the
 * snapshot and in slices.  Runs in workers.  Equal configuration, equal bytes: no ids, times or
 * versions.
 */
#include "api/api_set_int.h"
#include "codec/codec_json.h"
#include "codec/codec_yaml.h"

struct exporting {
    struct fp_api_call *c;
    struct fp_snap *snap; /* stays what it is while slices go on */
    bool kinds[FP_KIND_N];
    struct fp_str team, source; /* data == NULL: any */
    bool json;
    const enum fp_kind *kind; /* the next entry: of this kind, by number */
    uint32_t at;
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

static bool wanted(const struct exporting *x, enum fp_kind kind, const struct fp_snap_entry *e,
                   const json_t *rest)
{
    struct fp_str source = fp_json_str(json_object_get(rest, "source"));
    if (fp_str_eq(source, FP_STR("platform_api")) ||
        (fp_str_eq(source, FP_STR("system")) && e->row_version == 1))
        return false; /* generated; the default gateway as it was made */
    if (x->source.data && !fp_str_eq(source, x->source))
        return false;
    if (x->team.data && !(e->team.data && fp_str_eq(e->team, x->team)))
        return false;
    return fp_auth_scope(&x->c->token, api_set_scope(kind), "read") == FP_AUTH_ALL ||
           fp_auth_team(&x->c->token, api_set_scope(kind), "read", e->team);
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

static bool step(void *arg)
{
    struct exporting *x = arg;
    struct fp_snap_entry e;
    enum fp_kind kind = *x->kind;
    if (kind == FP_KIND_N)
        return false;
    if (!x->kinds[kind] || x->at == fp_snap_count(x->snap, kind)) {
        x->kind++;
        x->at = 0;
        return true;
    }
    fp_snap_at(x->snap, kind, x->at++, &e);
    if (!e.rest.data) /* a set that a cluster generates */
        return true;
    json_t *rest =
        fp_json_parse(x->scratch, e.rest, 2 * API_JSON_DEPTH, fp_problems_new(x->scratch));
    if (rest && wanted(x, kind, &e, rest))
        write_member(x, member(x->scratch, kind, rest));
    fp_arena_reset(x->scratch);
    return true;
}

static void done(void *arg)
{
    struct exporting *x = arg;
    struct fp_api_call *c = x->c;
    unsigned long long revision = fp_snap_meta(x->snap)->revision;
    if (x->json)
        fp_buf_append_c(&x->body, x->n ? "\n]\n" : "[]\n");
    else
        c->media = "application/yaml";
    api_header_add(&c->headers, "flowplane-revision",
                   fp_str_of(fp_arena_printf(c->r->arena, "%llu", revision)));
    api_respond(c, 200, &c->headers, fp_buf_str(&x->body));
}

static void export_now(struct fp_api_call *c)
{
    struct exporting *x = c->user;
    x->snap = fp_snap_ref(c->api->snap);
    x->kind = api_set_kinds;
    x->slices = (struct api_slices){.c = c, .step = step, .done = done, .arg = x};
    api_slices_run(&x->slices);
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
