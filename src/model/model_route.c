/*
 * Route configurations (contract §5.3): virtual hosts, rules and their field tables.  Matches are
 * in model_match.c, actions in model_action.c.  Runs in API workers and the watcher; no I/O.
 */
#include "codec/codec_json.h"
#include "core/core_map.h"
#include "model/model_route_int.h"

/* ---- header edits ---- */
static void check_value(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    fp_model_text_header_value(r, pointer, s);
    fp_model_text_format(r, pointer, s);
}
static const struct fp_model_field header_fields[] = {
    {.name = "key", FP_M_STRING, FP_M_REQUIRED, .min = 1, .text = fp_model_text_edited_header},
    {.name = "value", FP_M_STRING, FP_M_REQUIRED, .text = check_value},
    {.name = "append", FP_M_BOOL},
};
static const struct fp_model_schema header = FP_M_SCHEMA(header_fields, NULL);
#define HEADER_EDITS                                                                               \
    {.name = "requestHeadersToAdd", FP_M_OBJECT, FP_M_LIST, .max_items = 1000, .object = &header}, \
        {.name = "responseHeadersToAdd",                                                           \
         FP_M_OBJECT,                                                                              \
         FP_M_LIST,                                                                                \
         .max_items = 1000,                                                                        \
         .object = &header},                                                                       \
        {.name = "requestHeadersToRemove",                                                         \
         FP_M_STRING,                                                                              \
         FP_M_LIST,                                                                                \
         .min = 1,                                                                                 \
         .text = fp_model_text_edited_header},                                                     \
    {                                                                                              \
        .name = "responseHeadersToRemove", FP_M_STRING, FP_M_LIST, .min = 1,                       \
        .text = fp_model_text_edited_header                                                        \
    }

/* ---- rules ---- */
static void check_rule(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *action = fp_model_object_get(r, o, "action");
    const json_t *path = json_object_get(fp_model_object_get(r, o, "match"), "path");
    struct fp_str type = fp_model_str(action, "type");
    bool routed = fp_str_eq_c(type, "forward") || fp_str_eq_c(type, "weighted");
    if (type.data && !routed && fp_model_object_has(o, "rateLimits"))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "rateLimits"), FP_P_MUTUALLY_EXCLUSIVE,
                       "not with an action of type %.*s", FP_STR_ARG(type));
    if (type.data && json_object_get(path, "type"))
        fp_model_action_check_path(r, action, fp_model_object_sent(o, "action"),
                                   fp_model_object_at(r, o, "action"), path);
}
static const struct fp_model_field rule_fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .max = 100, .text = fp_model_text_name},
    {.name = "match", FP_M_OBJECT, FP_M_REQUIRED, .object = &fp_model_match_schema},
    {.name = "action",
     FP_M_READ,
     FP_M_REQUIRED,
     .read = fp_model_action_read,
     .shape = fp_model_action_shape},
    {.name = "typedPerFilterConfig",
     FP_M_READ,
     .read = fp_model_per_filter_read,
     .shape = fp_model_per_filter_shape},
    {.name = "rateLimits", FP_M_OBJECT, FP_M_LIST, .object = &fp_model_rate_limit_schema},
    HEADER_EDITS,
};
static const struct fp_model_schema rule = FP_M_SCHEMA(rule_fields, check_rule);

/* ---- virtual hosts ---- */
static const char *const tls_requirements[] = {"NONE", "EXTERNAL_ONLY", "ALL", NULL};
static const struct fp_model_field host_fields[] = {
    {.name = "name", FP_M_STRING, FP_M_REQUIRED, .min = 1, .max = 100, .text = fp_model_text_name},
    {.name = "domains",
     FP_M_STRING,
     FP_M_LIST | FP_M_REQUIRED,
     .min_items = 1,
     .text = fp_model_text_domain},
    {.name = "routes", FP_M_OBJECT, FP_M_LIST | FP_M_REQUIRED, .min_items = 1, .object = &rule},
    {.name = "typedPerFilterConfig",
     FP_M_READ,
     .read = fp_model_per_filter_read,
     .shape = fp_model_per_filter_shape},
    {.name = "requireTls", FP_M_ENUM, .values = tls_requirements},
    {.name = "retryPolicy", FP_M_OBJECT, .object = &fp_model_retry_schema},
    {.name = "rateLimits", FP_M_OBJECT, FP_M_LIST, .object = &fp_model_rate_limit_schema},
    HEADER_EDITS,
};
static const struct fp_model_schema host = FP_M_SCHEMA(host_fields, NULL);

static bool seen_before(struct fp_model_reader *r, struct fp_map *seen, struct fp_str s)
{
    char *lower = fp_arena_alloc(r->arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        lower[i] = s.data[i] >= 'A' && s.data[i] <= 'Z' ? (char)(s.data[i] | 32) : s.data[i];
    return fp_map_set(seen, fp_str_n(lower, s.len), seen) != NULL;
}

/* Names and domains are unique over the configuration; domains as Envoy compares them, by case. */
static void check_hosts(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *hosts = fp_model_object_get(r, o, "virtualHosts"), *h, *d;
    const char *at = fp_model_object_at(r, o, "virtualHosts");
    struct fp_map names = {0}, domains = {0};
    for (size_t i = 0; (h = json_array_get(hosts, i)); i++) {
        const char *item = fp_model_path_push_index(r, at, i);
        struct fp_str name = fp_model_str(h, "name");
        if (name.data && fp_map_set(&names, name, &names))
            fp_problem_add(r->ps, fp_model_path_push(r, item, "name"), FP_P_DUPLICATE,
                           "another virtual host has this name");
        const char *list = fp_model_path_push(r, item, "domains");
        for (size_t k = 0; (d = json_array_get(json_object_get(h, "domains"), k)); k++)
            if (json_is_string(d) && seen_before(r, &domains, fp_json_str(d)))
                fp_problem_add(r->ps, fp_model_path_push_index(r, list, k), FP_P_DUPLICATE,
                               "the domain is listed twice");
    }
    fp_map_fini(&names);
    fp_map_fini(&domains);
}

static const struct fp_model_field fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .text = fp_model_text_name},
    {.name = "team", FP_M_STRING, .min = 1, .max = 100, .text = fp_model_text_team},
    {.name = "virtualHosts",
     FP_M_OBJECT,
     FP_M_LIST | FP_M_REQUIRED,
     .min_items = 1,
     .object = &host},
    {.name = "validateClusters", FP_M_BOOL},
    {.name = "vhds", FP_M_BOOL},
    HEADER_EDITS,
};
static const struct fp_model_schema schema = FP_M_SCHEMA(fields, check_hosts);

static void check_inline(struct fp_model_reader *r, const struct fp_model_object *o)
{
    check_hosts(r, o);
    if (json_is_true(fp_model_object_get(r, o, "vhds")))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "vhds"), FP_P_UNSUPPORTED,
                       "virtual host discovery needs a route configuration of its own");
}
static const struct fp_model_field inline_fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .max = 100, .text = fp_model_text_name},
    {.name = "virtualHosts",
     FP_M_OBJECT,
     FP_M_LIST | FP_M_REQUIRED,
     .min_items = 1,
     .object = &host},
    {.name = "validateClusters", FP_M_BOOL},
    {.name = "vhds", FP_M_BOOL},
    HEADER_EDITS,
};
const struct fp_model_schema fp_model_inline_route_schema =
    FP_M_SCHEMA(inline_fields, check_inline);

/* ---- expansion ---- */
static json_t *header_options(const json_t *list)
{
    json_t *out = json_array(), *h;
    size_t i;
    json_array_foreach ((json_t *)list, i, h)
        json_array_append_new(
            out, json_pack("{s:{s:O, s:O}, s:s}", "header", "key", json_object_get(h, "key"),
                           "value", json_object_get(h, "value"), "appendAction",
                           fp_model_true(h, "append") ? "APPEND_IF_EXISTS_OR_ADD"
                                                      : "OVERWRITE_IF_EXISTS_OR_ADD"));
    return out;
}

static void header_edits(json_t *out, const json_t *c)
{
    static const struct fp_model_copy removals[] = {
        {"requestHeadersToRemove", "requestHeadersToRemove", FP_C_SAME},
        {"responseHeadersToRemove", "responseHeadersToRemove", FP_C_SAME}};
    static const char *const adds[] = {"requestHeadersToAdd", "responseHeadersToAdd"};
    for (size_t i = 0; i < FP_M_N(adds); i++)
        if (json_array_size(json_object_get(c, adds[i])))
            json_object_set_new(out, adds[i], header_options(json_object_get(c, adds[i])));
    fp_model_copy(out, c, removals, FP_M_N(removals));
}

static void per_filter(json_t *out, const json_t *c)
{
    const json_t *map = json_object_get(c, "typedPerFilterConfig");
    if (json_object_size(map))
        json_object_set_new(out, "typedPerFilterConfig", fp_model_per_filter_expand(map));
}

static json_t *expand_rule(const json_t *c)
{
    json_t *out = json_pack("{s:o}", "match", fp_model_match_expand(json_object_get(c, "match")));
    const json_t *limits = json_object_get(c, "rateLimits"), *name = json_object_get(c, "name");
    if (name)
        json_object_set(out, "name", (json_t *)name);
    fp_model_action_expand(out, json_object_get(c, "action"));
    if (json_array_size(limits))
        json_object_set_new(json_object_get(out, "route"), "rateLimits",
                            fp_model_rate_limits_expand(limits));
    per_filter(out, c);
    header_edits(out, c);
    return out;
}

static json_t *expand_host(const json_t *c)
{
    static const struct fp_model_copy copy[] = {{"name", "name", FP_C_SAME},
                                                {"domains", "domains", FP_C_SAME},
                                                {"requireTls", "requireTls", FP_C_SAME}};
    json_t *out = json_object(), *routes = json_array(), *m;
    size_t i;
    fp_model_copy(out, c, copy, FP_M_N(copy));
    json_array_foreach (json_object_get(c, "routes"), i, m)
        json_array_append_new(routes, expand_rule(m));
    json_object_set_new(out, "routes", routes);
    const json_t *retry = json_object_get(c, "retryPolicy");
    const json_t *limits = json_object_get(c, "rateLimits");
    if (retry)
        json_object_set_new(out, "retryPolicy", fp_model_retry_expand(retry));
    if (json_array_size(limits))
        json_object_set_new(out, "rateLimits", fp_model_rate_limits_expand(limits));
    per_filter(out, c);
    header_edits(out, c);
    return out;
}

json_t *fp_model_route_expand(const json_t *c, const char *name)
{
    json_t *out = json_pack("{s:s*}", "name", name), *hosts = json_array(), *m;
    size_t i;
    json_array_foreach (json_object_get(c, "virtualHosts"), i, m)
        json_array_append_new(hosts, expand_host(m));
    json_object_set_new(out, "virtualHosts", hosts);
    header_edits(out, c);
    json_t *validate = json_object_get(c, "validateClusters");
    if (validate)
        json_object_set(out, "validateClusters", validate);
    if (fp_model_true(c, "vhds"))
        json_object_set_new(out, "vhds", json_pack("{s:o}", "configSource", fp_model_ads()));
    return out;
}

static void expand(struct fp_model_reader *r, const json_t *c, const char *name,
                   struct fp_str service_name, struct fp_model_expansion *x)
{
    x->message = fp_model_route_expand(c, name);
}

static void summary(struct fp_arena *a, const json_t *message, struct fp_model_resource *out)
{
    struct fp_str path, target;
    fp_model_route_summary(a, FP_FORM_ENVOY, message, &path, &target);
    out->path_prefix = fp_arena_str(a, path);
    out->cluster_name = fp_arena_str(a, target);
}

static const char *const columns[] = {"name", "team", NULL};
const struct fp_model_kind fp_model_kind_route = {.schema = &schema,
                                                  .name_max = 100,
                                                  .raw_name_max = 100,
                                                  .columns = columns,
                                                  .expand = expand,
                                                  .summary = summary,
                                                  .inner_name = "name"};
