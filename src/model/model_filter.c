/*
 * HTTP filters (contract §6.1) and typedPerFilterConfig (§5.3.3): the router and typed
 * configurations.  The other kinds of §6 are known by name and refused as unsupported until their
 * tables are here.  Runs in API workers and the watcher; never does I/O.
 */
#include "codec/codec_json.h"
#include "core/core_map.h"
#include "model/model_int.h"

#define ROUTER      "envoy.extensions.filters.http.router.v3.Router"
#define ROUTER_NAME "envoy.filters.http.router"
#define CUSTOM_NAME "custom.http.filter"
#define FILTER_OFF  "envoy.config.route.v3.FilterConfig"

/* Kinds whose own tables come later; custom and typed configurations already reach them. */
static const char *const later[] = {"cors",
                                    "local_rate_limit",
                                    "jwt_authn",
                                    "rate_limit",
                                    "rate_limit_quota",
                                    "header_mutation",
                                    "health_check",
                                    "credential_injector",
                                    "custom_response",
                                    "ext_proc",
                                    NULL};

/* ---- typed configurations as `custom` writes them ---- */
static const struct fp_model_rule custom_rules[] = {
    {FP_M_EXACTLY_ONE, {"typed_config", "type_url"}},
};
static void check_custom(struct fp_model_reader *r, const struct fp_model_object *o)
{
    static const char *const both[] = {"typed_config", "value", NULL};
    if (fp_model_object_has(o, "typed_config")) {
        fp_model_object_rule(r, o, FP_M_AT_MOST_ONE, both);
        return;
    }
    if (fp_model_object_has(o, "type_url") && !fp_model_object_has(o, "value"))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "value"), FP_P_REQUIRED, "is required");
    if (!json_object_get(o->out, "type_url") || !json_object_get(o->out, "value"))
        return;
    json_t *checked = fp_model_typed_read(r, o->out, o->pointer[0]);
    json_decref(checked);
}
static const struct fp_model_field custom_fields[] = {
    {.name = "typed_config", FP_M_READ, .read = fp_model_typed_read, .shape = fp_model_shape_typed},
    {.name = "type_url", FP_M_STRING, .text = fp_model_text_nonblank},
    {.name = "value", FP_M_STRING},
};
static const struct fp_model_schema custom = FP_M_RULED(custom_fields, check_custom, custom_rules);

static json_t *custom_any(const json_t *c)
{
    json_t *typed = json_object_get(c, "typed_config");
    if (typed)
        return json_incref(typed);
    return json_pack("{s:O, s:O}", "type_url", json_object_get(c, "type_url"), "value",
                     json_object_get(c, "value"));
}

/* ---- the chain ---- */
static const struct fp_model_schema no_fields = {.fields_n = 0};
static const struct fp_model_variant kinds[] = {
    {"router", NULL, NULL, &no_fields},
    {"custom", NULL, NULL, &custom},
};

static const struct fp_model_choice filter_choice = {"type", kinds, FP_M_N(kinds)};

static bool is_later(struct fp_str type)
{
    for (const char *const *n = later; *n; n++)
        if (fp_str_eq_c(type, *n))
            return true;
    return false;
}

static json_t *read_filter(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    struct fp_str type = fp_json_str(json_is_object(v) ? json_object_get(v, "type") : NULL);
    if (type.data && is_later(type)) {
        fp_problem_add(r->ps, fp_model_path_push(r, pointer, "type"), FP_P_UNSUPPORTED,
                       "not available yet; use type custom with typed_config");
        return NULL;
    }
    return fp_model_choice_read(r, &filter_choice, v, pointer, NULL);
}
static json_t *shape_filter(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_choice(s, &filter_choice, NULL, NULL, "HttpFilterConfig");
}

static bool is_router(const json_t *entry)
{
    const json_t *f = json_object_get(entry, "filter"), *typed = json_object_get(f, "typed_config");
    return fp_str_eq_c(fp_model_str(f, "type"), "router") ||
           fp_str_eq_c(fp_model_typed_name(typed ? typed : f), ROUTER);
}

static struct fp_str name_of(const json_t *entry)
{
    struct fp_str name = fp_model_str(entry, "name");
    if (name.data)
        return name;
    return fp_str_eq_c(fp_model_str(json_object_get(entry, "filter"), "type"), "router")
               ? FP_STR(ROUTER_NAME)
               : FP_STR(CUSTOM_NAME);
}

static void check_entry(struct fp_model_reader *r, const struct fp_model_object *o)
{
    if (is_router(o->out) && json_is_true(fp_model_object_get(r, o, "disabled")))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "disabled"), FP_P_INVALID_VALUE,
                       "the router cannot be disabled");
}
static const struct fp_model_field entry_fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .text = fp_model_text_nonblank},
    {.name = "is_optional", FP_M_BOOL},
    {.name = "disabled", FP_M_BOOL},
    {.name = "filter", FP_M_READ, FP_M_REQUIRED, .read = read_filter, .shape = shape_filter},
};
static const struct fp_model_schema entry = FP_M_SCHEMA(entry_fields, check_entry);

static json_t *read_entry(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    return fp_model_object_read(r, &entry, v, pointer);
}

json_t *fp_model_filters_read(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    json_t *out = fp_model_list_read(r, v, pointer, read_entry), *m;
    struct fp_map names = {0};
    size_t i, routers = 0;
    if (r->trusted)
        return out;
    json_array_foreach (out, i, m) {
        const char *at = fp_model_path_push_index(r, pointer, i);
        if (!json_object_get(m, "filter"))
            continue;
        if (is_router(m) && ++routers > 1)
            fp_problem_add(r->ps, at, FP_P_DUPLICATE, "a chain has one router");
        else if (fp_map_set(&names, name_of(m), m))
            fp_problem_add(r->ps, at, FP_P_DUPLICATE, "another filter has the name %.*s",
                           FP_STR_ARG(name_of(m)));
    }
    fp_map_fini(&names);
    return out;
}

json_t *fp_model_filters_shape(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_list(fp_model_shape_object(s, &entry, "HttpFilter"));
}

static json_t *expand_entry(const json_t *e)
{
    static const struct fp_model_copy copy[] = {{"is_optional", "isOptional", FP_C_SAME},
                                                {"disabled", "disabled", FP_C_SAME}};
    const json_t *f = json_object_get(e, "filter");
    struct fp_str name = name_of(e);
    bool plain = fp_str_eq_c(fp_model_str(f, "type"), "router");
    json_t *out = json_pack("{s:s%, s:o}", "name", name.data, name.len, "typedConfig",
                            plain ? json_pack("{s:s}", FP_M_TYPED(ROUTER)) : custom_any(f));
    fp_model_copy(out, e, copy, FP_M_N(copy));
    return out;
}

json_t *fp_model_filters_expand(const json_t *filters)
{
    json_t *out = json_array(), *router = NULL, *m;
    size_t i;
    json_array_foreach ((json_t *)filters, i, m) {
        if (is_router(m))
            router = expand_entry(m);
        else
            json_array_append_new(out, expand_entry(m));
    }
    if (!router)
        router =
            json_pack("{s:s, s:{s:s}}", "name", ROUTER_NAME, "typedConfig", FP_M_TYPED(ROUTER));
    json_array_append_new(out, router); /* Envoy wants it last */
    return out;
}

/* ---- per virtual host, rule and weighted cluster ---- */
static json_t *read_scoped(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    const json_t *off = json_is_object(v) ? json_object_get(v, "disabled") : NULL;
    if (off && json_object_size(v) == 1) {
        const char *at = fp_model_path_push(r, pointer, "disabled");
        if (json_is_true(off))
            return json_incref((json_t *)v);
        if (json_is_false(off))
            fp_problem_add(r->ps, at, FP_P_INVALID_VALUE, "can only be true");
        else
            fp_problem_add(r->ps, at, FP_P_INVALID_TYPE, "must be true");
        return NULL;
    }
    if (json_is_object(v) && json_object_get(v, "@type"))
        return fp_model_typed_read(r, v, pointer);
    if (!json_is_object(v) || fp_model_typed_is(v) || fp_model_key_find(v, "typed_config", NULL))
        return fp_model_object_read(r, &custom, v, pointer);
    fp_problem_add(r->ps, pointer, FP_P_UNSUPPORTED,
                   "not available yet; use a typed configuration or {\"disabled\": true}");
    return NULL;
}

json_t *fp_model_per_filter_read(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    if (!json_is_object(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be an object");
        return NULL;
    }
    json_t *out = json_object(), *m;
    const char *key;
    json_object_foreach ((json_t *)v, key, m) {
        const char *at = fp_model_path_push(r, pointer, key);
        if (fp_str_trim(fp_str_of(key)).len == 0) {
            fp_problem_add(r->ps, at, FP_P_INVALID_VALUE, "a filter name must not be blank");
            continue;
        }
        json_t *c = read_scoped(r, m, at);
        if (c)
            json_object_set_new(out, key, c);
    }
    return out;
}

json_t *fp_model_per_filter_shape(struct fp_model_shaper *s, const char *name)
{
    json_t *off =
        json_pack("{s:s, s:{s:{s:b}}, s:[s], s:b}", "type", "object", "properties", "disabled",
                  "const", 1, "required", "disabled", "additionalProperties", 0);
    return fp_model_shape_map(fp_model_shape_any_of(
        off, fp_model_shape_any_of(fp_model_shape_object(s, &custom, "CustomFilter"),
                                   fp_model_shape_typed(s, name))));
}

json_t *fp_model_per_filter_expand(const json_t *map)
{
    json_t *out = json_object(), *m;
    const char *key;
    json_object_foreach ((json_t *)map, key, m) {
        if (json_is_true(json_object_get(m, "disabled")) && json_object_size(m) == 1)
            json_object_set_new(out, key,
                                json_pack("{s:s, s:b}", FP_M_TYPED(FILTER_OFF), "disabled", 1));
        else if (json_object_get(m, "@type"))
            json_object_set(out, key, m);
        else
            json_object_set_new(out, key, custom_any(m));
    }
    return out;
}
