/*
 * POST /api/v1/apply (contract §7.1): a set of resources, read member by member and in slices, so
 * that neither its size nor its number holds up the worker.  Runs in workers.
 */
#include "api/api_set_int.h"
#include "codec/codec_elements.h"
#include "codec/codec_json.h"
#include "codec/codec_yaml.h"

#define WRAPPER "resources"

struct reading {
    struct api_set *set;
    struct fp_elements *json; /* or */
    struct fp_yaml *yaml;
    struct fp_arena *scratch; /* of one member */
    size_t n;                 /* members read */
};

/* ---- options */

static bool flag(struct fp_api_call *c, const char *name)
{
    struct fp_str v = fp_http_query(c->r, name);
    if (v.data && !fp_str_eq(v, FP_STR("true")) && !fp_str_eq(v, FP_STR("false")))
        fp_problem_add_parameter(c->problems, name, FP_P_INVALID_VALUE, "must be true or false");
    return fp_str_eq(v, FP_STR("true"));
}

static bool is_label(struct fp_str s)
{
    static const char *const reserved[] = {"native_api", "platform_api", "system"};
    if (s.len < 1 || s.len > 63)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!memchr("abcdefghijklmnopqrstuvwxyz0123456789._-", s.data[i], 39))
            return false;
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (fp_str_eq_c(s, reserved[i]))
            return false;
    return true;
}

static void read_options(struct fp_api_call *c, struct fp_store_apply *a)
{
    struct fp_str revision = fp_http_query(c->r, "ifRevision");
    bool prune = flag(c, "prune");
    api_options_read(c);
    a->dry_run = c->options.dry_run;
    a->force = flag(c, "force");
    a->label = fp_http_query(c->r, "source");
    if (a->label.data && !is_label(a->label))
        fp_problem_add_parameter(c->problems, "source", FP_P_INVALID_FORMAT,
                                 "must be 1 to 63 of a-z 0-9 . _ - and no source of the server's");
    if (prune && !a->label.data)
        fp_problem_add_parameter(c->problems, "prune", FP_P_REQUIRED, "prune needs source");
    if (revision.data && (!fp_str_to_i64(revision, &a->if_revision) || a->if_revision < 0))
        fp_problem_add_parameter(c->problems, "ifRevision", FP_P_INVALID_TYPE,
                                 "must be a revision number");
    for (const enum fp_kind *k = api_set_kinds; *k != FP_KIND_N; k++)
        a->prune[*k] = prune;
    if (a->label.data)
        a->metadata =
            fp_str_of(fp_arena_printf(c->r->arena, "{\"source\":\"%.*s\"}", FP_STR_ARG(a->label)));
}

/* ---- members */

/* The problems of one member, with its number in front of their pointers. */
static void take_problems(struct fp_api_call *c, const struct fp_problems *own, const char *at)
{
    for (size_t i = 0; i < own->n; i++)
        fp_problem_add(c->problems, fp_arena_printf(c->r->arena, "%s%s", at, own->items[i].pointer),
                       own->items[i].code, "%s", own->items[i].message);
    c->problems->total += own->total - own->n;
}

static void take(struct reading *rd, json_t *v)
{
    struct fp_api_call *c = rd->set->c;
    struct fp_model_options o = {.pool = c->api->o.pool,
                                 .allow_privileged_ports = c->api->o.allow_privileged_ports};
    const char *at = fp_pointer_push_index(c->r->arena, "", rd->n);
    const char *kind_at = fp_arena_printf(rd->scratch, "%s/kind", at);
    struct fp_str word = fp_json_str(json_object_get(v, "kind"));
    struct fp_model_resource m = {.port = -1};
    if (!json_is_object(v)) {
        fp_problem_add(c->problems, at, FP_P_INVALID_TYPE, "must be an object");
        return;
    }
    if (!json_object_get(v, "kind")) {
        fp_problem_add(c->problems, kind_at, FP_P_REQUIRED, "is required");
        return;
    }
    enum fp_kind kind = word.data ? fp_kind_by_name(word) : FP_KIND_N;
    if (!api_set_kind_ok(rd->set, kind, kind_at))
        return;
    json_object_del(v, "kind");
    struct fp_problems *own = fp_problems_new(rd->scratch);
    if (fp_model_parse(kind, &o, rd->scratch, v, FP_STR_NULL, own, &m) == FP_OK)
        api_set_put(rd->set, &m, FP_STR_NULL, at);
    else
        take_problems(c, own, at);
}

static bool step(void *arg)
{
    struct reading *rd = arg;
    struct fp_api_call *c = rd->set->c;
    json_t *v = NULL;
    int rc = rd->yaml ? fp_yaml_next(rd->yaml, rd->scratch, c->problems, &v)
                      : fp_elements_next(rd->json, rd->scratch, c->problems, &v);
    if (rc > 0 && rd->n == API_SET_MAX) {
        fp_problem_add(c->problems, "", FP_P_TOO_MANY, "a set has at most %d members", API_SET_MAX);
        rc = 0;
    }
    if (rc > 0) {
        take(rd, v);
        rd->n++;
    }
    fp_arena_reset(rd->scratch);
    return rc > 0;
}

static void done(void *arg)
{
    struct reading *rd = arg;
    api_set_send(rd->set);
}

void api_apply(struct fp_api_call *c)
{
    struct fp_arena *a = c->r->arena;
    struct reading *rd = FP_ARENA_NEW(a, struct reading);
    c->grant = FP_AUTH_ALL; /* the scope is looked at for each member */
    rd->set = api_set_new(c);
    read_options(c, &rd->set->apply);
    if (c->problems->n) {
        api_fail_problems(c);
        return;
    }
    rd->scratch = fp_arena_new(a);
    if (api_call_yaml(c))
        rd->yaml = fp_yaml_open(a, c->r->body, WRAPPER, API_JSON_DEPTH);
    else
        rd->json = fp_elements_open(a, c->r->body, WRAPPER, API_JSON_DEPTH);
    rd->set->slices = (struct api_slices){.c = c, .step = step, .done = done, .arg = rd};
    api_slices_run(&rd->set->slices);
}
