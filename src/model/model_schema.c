/*
 * Bodies and answers of each kind as JSON Schemas (contract §5.1).  Runs in API workers, once each;
 * never does I/O.
 */
#include "model/model_schema.h"
#include "core/core_arena.h"
#include "model/model_shape_int.h"

/* Accepted in a body and ignored (§5.1). */
static const char *const ignored[] = {"id",     "version",    "createdAt",      "updatedAt",
                                      "source", "pathPrefix", "clusterTargets", NULL};

enum body { BODY_CREATE, BODY_REPLACE, BODY_ITEM };

static json_t *string(const char *format)
{
    return json_pack("{s:s, s:s*}", "type", "string", "format", format);
}

static json_t *reference(const char *title, const char *end)
{
    return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s%s", title, end));
}

static void set(json_t *object, const char *key, json_t *v, bool required)
{
    json_object_set_new(json_object_get(object, "properties"), key, v);
    if (required)
        json_array_append_new(json_object_get(object, "required"), json_string(key));
}

/* What every form of a body has besides its fields. */
static void common(enum fp_kind kind, enum body body, json_t *object, bool named, unsigned name_max)
{
    json_t *name = json_object_get(json_object_get(object, "properties"), "name");
    json_object_set_new(name, "maxLength", json_integer(name_max));
    if (body != BODY_REPLACE && named) {
        json_object_set_new(name, "type", json_string("string"));
        json_array_append_new(json_object_get(object, "required"), json_string("name"));
    }
    for (const char *const *key = ignored; *key; key++)
        set(object, *key, json_pack("{s:s}", "description", "of an answer; ignored"), false);
    if (body == BODY_ITEM)
        set(object, "kind", json_pack("{s:s}", "const", fp_kinds[kind].name), true);
}

/* The fields; a former answer, whose config is taken; the raw form (§5.8). */
static json_t *body_of(struct fp_model_shaper *s, enum fp_kind kind, enum body body, bool config)
{
    const struct fp_model_kind *k = fp_model_kind_of(kind);
    json_t *forms = json_array(), *o = fp_model_shape_closed();
    fp_model_shape_members(s, k->schema, o, NULL, true);
    common(kind, body, o, true, k->name_max);
    json_array_append_new(forms, o);
    if (config) {
        o = fp_model_shape_closed();
        fp_model_shape_members(s, k->schema, o, NULL, false);
        set(o, "config", reference(fp_kinds[kind].title, "Config"), true);
        /* a listener's config may hold the name */
        common(kind, body, o, !k->stored_shape, k->name_max);
        json_array_append_new(forms, o);
    }
    o = fp_model_shape_closed();
    fp_model_shape_members(s, fp_model_raw_schema(kind), o, NULL, true);
    set(o, "envoy",
        json_pack("{s:s, s:o}", "type", "object", "description",
                  json_sprintf("canonical proto3 JSON of %s", fp_kinds[kind].message)),
        true);
    common(kind, body, o, true, k->raw_name_max);
    json_array_append_new(forms, o);
    return json_pack("{s:o}", "anyOf", forms);
}

static json_t *answer_of(struct fp_model_shaper *s, enum fp_kind kind, bool config)
{
    const struct fp_model_kind *k = fp_model_kind_of(kind);
    static const char *const columns[] = {"name", "team", "protocol", "port", "address", NULL};
    json_t *o = fp_model_shape_closed();
    set(o, "id", string("uuid"), true);
    set(o, "name", string(NULL), true);
    set(o, "team", fp_model_shape_nullable(string(NULL)), true);
    set(o, "source", string(NULL), true);
    set(o, "version", json_pack("{s:s, s:i}", "type", "integer", "minimum", 1), true);
    set(o, "createdAt", string("date-time"), true);
    set(o, "updatedAt", string("date-time"), true);
    if (kind == FP_KIND_CLUSTER)
        set(o, "serviceName", string(NULL), true);
    if (kind == FP_KIND_ROUTE) {
        set(o, "pathPrefix", string(NULL), true);
        set(o, "clusterTargets", string(NULL), true);
    }
    if (kind == FP_KIND_LISTENER) {
        set(o, "address", string(NULL), true);
        set(o, "port", fp_model_shape_nullable(json_pack("{s:s}", "type", "integer")), true);
        set(o, "protocol", string(NULL), true);
    }
    if (k->stored_shape || !config) /* the fields stand beside it, or instead of it */
        fp_model_shape_members(s, k->schema, o, columns, false);
    if (config)
        set(o, "config", reference(fp_kinds[kind].title, "Config"), false);
    set(o, "envoy", json_pack("{s:s}", "type", "object"), false);
    return o;
}

static json_t *config_of(struct fp_model_shaper *s, enum fp_kind kind)
{
    const struct fp_model_kind *k = fp_model_kind_of(kind);
    json_t *o = fp_model_shape_closed();
    fp_model_shape_members(s, k->schema, o, k->columns, true);
    return o;
}

static void add(json_t *components, const char *title, const char *end, json_t *v)
{
    char name[64];
    snprintf(name, sizeof(name), "%s%s", title, end);
    json_object_set_new(components, name, v);
}

static void schemas_of(struct fp_model_shaper *s, json_t *components, enum fp_kind kind)
{
    const char *title = fp_kinds[kind].title;
    bool config = kind != FP_KIND_ENDPOINT; /* its fields are flat */
    fp_model_shape_spell(s, FP_M_SENT);
    add(components, title, "Create", body_of(s, kind, BODY_CREATE, config));
    add(components, title, "Replace", body_of(s, kind, BODY_REPLACE, config));
    add(components, title, "Item", body_of(s, kind, BODY_ITEM, config));
    fp_model_shape_spell(s, FP_M_SHOWN);
    add(components, title, "", answer_of(s, kind, config));
    if (fp_model_kind_of(kind)->stored_shape)
        fp_model_shape_spell(s, FP_M_STORED);
    if (config)
        add(components, title, "Config", config_of(s, kind));
}

void fp_model_schemas(json_t *components)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_model_shaper *s = fp_model_shaper_new(a, components);
    static const char *const ends[] = {"", "Create", "Replace", "Item", "Config"};
    json_t *items = json_array();
    for (int kind = 0; kind < FP_KIND_N; kind++) { /* their names are theirs */
        for (size_t i = 0; fp_model_kind_of(kind) && i < FP_M_N(ends); i++)
            add(components, fp_kinds[kind].title, ends[i], json_null());
    }
    for (int kind = 0; kind < FP_KIND_N; kind++) {
        if (!fp_model_kind_of(kind))
            continue;
        schemas_of(s, components, kind);
        json_array_append_new(items, reference(fp_kinds[kind].title, "Item"));
    }
    json_object_del(components, "EndpointConfig");
    add(components, "Resource", "", json_pack("{s:o}", "anyOf", items));
    fp_arena_free(&a);
}
