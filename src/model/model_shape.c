/*
 * From the field tables to JSON Schemas, so that the API's document says what the reader takes.
 * Runs in API workers, once each; never does I/O.  A schema allows at least what the reader takes
 * in the documented spelling; of rules between fields it says those in tables, what a `check` does
 * stays the reader's.
 */
#include "core/core_arena.h"
#include "core/core_assert.h"
#include "model/model_cluster_int.h"
#include "model/model_shape_int.h"

#define TOKEN_CHARS "!#$%&'*+.^_`|~0-9A-Za-z-"
#define CONTROL     "\\u0000-\\u001f\\u007f-\\u009f"

/* What a string rule of model_text.c says, as far as a regular expression can. */
static const struct {
    fp_model_text *text;
    const char *pattern, *description;
} texts[] = {
    {fp_model_text_nonblank, "[^\\t\\n\\v\\f\\r ]", NULL},
    {fp_model_text_name, "^[^ " CONTROL "]([^" CONTROL "]*[^ " CONTROL "])?$", NULL},
    {fp_model_text_team, "^ *[^ :" CONTROL "][^:" CONTROL "]*$", NULL},
    {fp_model_text_host,
     "^(([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\\.)*[A-Za-z0-9_-]*[A-Za-z_][A-Za-z0-9_-]*\\.?"
     "|(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}"
     "|\\[?[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\\]?)$",
     "a host name, an IPv4 or an IPv6 address"},
    {fp_model_text_ip, "^[0-9A-Fa-f:.]+$", "an IP address"},
    {fp_model_text_slash, "^/", NULL},
    {fp_model_text_regex, NULL, "an RE2 expression"},
    {fp_model_text_header_name, "^:?[" TOKEN_CHARS "]+$", "a header name"},
    {fp_model_text_header_value, "^[^\\u0000-\\u0008\\u000a-\\u001f\\u007f]*$", NULL},
    {fp_model_text_edited_header, "^[" TOKEN_CHARS "]+$", "a header name, not host"},
    {fp_model_text_token, "^[" TOKEN_CHARS "]+$", "an HTTP token"},
    {fp_model_text_template, "^/", "a path template"},
    {fp_model_text_path_separated, "^/[^?#]*[^/?#]$", NULL},
    {fp_model_text_server_name, "^(\\*\\.)?[^ *" CONTROL "]+$", "a name or *.name"},
    {fp_model_text_cidr, "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$", "an address range"},
    {fp_model_text_domain, "^[^ " CONTROL "]([^" CONTROL "]*[^ " CONTROL "])?$", NULL},
};

/* ---- names of components ---- */

struct known {
    const void *what; /* a field table or a choice */
    const char *type; /* of a choice: the variant */
    enum fp_model_spelling spelling;
    const char *name;
};
#define KNOWN_MAX 512

struct fp_model_shaper {
    struct fp_arena *arena;
    json_t *components;
    enum fp_model_spelling spelling;
    const char *parent; /* name of the component being made */
    struct known known[KNOWN_MAX];
    size_t known_n;
};

struct fp_model_shaper *fp_model_shaper_new(struct fp_arena *a, json_t *components)
{
    struct fp_model_shaper *s = FP_ARENA_NEW(a, struct fp_model_shaper);
    s->arena = a;
    s->components = components;
    return s;
}

enum fp_model_spelling fp_model_shape_spelling(const struct fp_model_shaper *s)
{
    return s->spelling;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* "health_checks" → "HealthChecks" */
static char *pascal(struct fp_arena *a, const char *name)
{
    char *out = fp_arena_strdup(a, name), *to = out;
    bool word = true;
    for (const char *p = name; *p; p++) {
        if (*p == '_' || *p == '-') {
            word = true;
            continue;
        }
        *to++ = word ? upper(*p) : *p;
        word = false;
    }
    *to = '\0';
    return out;
}

static json_t *ref(const char *name)
{
    char text[256];
    snprintf(text, sizeof(text), "#/components/schemas/%s", name);
    return json_pack("{s:s}", "$ref", text);
}

static const char *component_find(const struct fp_model_shaper *s, const void *what,
                                  const char *type)
{
    for (size_t i = 0; i < s->known_n; i++) {
        const struct known *k = &s->known[i];
        if (k->what == what && k->spelling == s->spelling &&
            (k->type == type || (k->type && type && strcmp(k->type, type) == 0)))
            return k->name;
    }
    return NULL;
}

/* A free name: its own, else with its parent's in front. */
static const char *component_add(struct fp_model_shaper *s, const void *what, const char *type,
                                 const char *name)
{
    static const char *const ends[] = {
        [FP_M_SENT] = "", [FP_M_SHOWN] = "Shown", [FP_M_STORED] = "Stored"};
    const char *full = fp_arena_printf(s->arena, "%s%s", name, ends[s->spelling]);
    if (json_object_get(s->components, full) && s->parent)
        full = fp_arena_printf(s->arena, "%s%s%s", s->parent, name, ends[s->spelling]);
    for (int i = 2; json_object_get(s->components, full); i++)
        full = fp_arena_printf(s->arena, "%s%s%d", name, ends[s->spelling], i);
    FP_ASSERT(s->known_n < KNOWN_MAX);
    s->known[s->known_n++] = (struct known){what, type, s->spelling, full};
    json_object_set_new(s->components, full, json_null()); /* taken; filled in by the caller */
    return full;
}

/* ---- values ---- */

static json_t *shape_string(const struct fp_model_field *f)
{
    json_t *out = json_pack("{s:s}", "type", "string");
    uint64_t min = f->min;
    for (size_t i = 0; f->text && i < FP_M_N(texts); i++) {
        if (texts[i].text != f->text)
            continue;
        min = min || f->text == fp_model_text_header_value ? min : 1;
        if (texts[i].pattern)
            json_object_set_new(out, "pattern", json_string(texts[i].pattern));
        if (texts[i].description)
            json_object_set_new(out, "description", json_string(texts[i].description));
    }
    if (f->ref)
        json_object_set_new(
            out, "description",
            json_sprintf("name of a %s", fp_kinds[(enum fp_kind)(f->ref - 1)].name));
    if (min)
        json_object_set_new(out, "minLength", json_integer((json_int_t)min));
    if (f->max && !(f->flags & FP_M_TRIM))
        json_object_set_new(out, "maxLength", json_integer((json_int_t)f->max));
    return out;
}

static json_t *shape_enum(const struct fp_model_field *f)
{
    json_t *values = json_array();
    for (const char *const *v = f->values; *v; v++)
        json_array_append_new(values, json_string(*v));
    return json_pack("{s:s, s:o}", "type", "string", "enum", values);
}

static json_t *shape_one(struct fp_model_shaper *s, const struct fp_model_field *f,
                         const char *name)
{
    json_int_t max = (json_int_t)(f->max ? f->max : FP_M_MAX_UINT);
    switch (f->type) {
    case FP_M_STRING:
        return shape_string(f);
    case FP_M_UINT:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)f->min,
                         "maximum", max);
    case FP_M_NUMBER:
        return json_pack("{s:s, s:I, s:I}", "type", "number", "minimum", (json_int_t)f->min,
                         "maximum", max);
    case FP_M_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case FP_M_ENUM:
        return shape_enum(f);
    case FP_M_OBJECT:
        return fp_model_shape_object(s, f->object, name);
    case FP_M_READ:
        return f->shape ? f->shape(s, name) : json_object();
    }
    FP_UNREACHABLE();
}

static json_t *shape_value(struct fp_model_shaper *s, const struct fp_model_field *f)
{
    char *name = pascal(s->arena, f->name);
    size_t n = strlen(name);
    if (!(f->flags & FP_M_LIST))
        return shape_one(s, f, name);
    if (n > 3 && name[n - 1] == 's' && name[n - 2] != 's') /* one of them */
        name[n - 1] = '\0';
    json_t *list = fp_model_shape_list(shape_one(s, f, name));
    if (f->min_items)
        json_object_set_new(list, "minItems", json_integer((json_int_t)f->min_items));
    if (f->max_items)
        json_object_set_new(list, "maxItems", json_integer((json_int_t)f->max_items));
    if (f->flags & FP_M_UNIQUE)
        json_object_set_new(list, "uniqueItems", json_true());
    return list;
}

json_t *fp_model_shape_nullable(json_t *v)
{
    json_t *type = json_object_get(v, "type"), *values = json_object_get(v, "enum");
    if (!json_is_string(type))
        return json_object_size(v) ? fp_model_shape_any_of(v, json_pack("{s:s}", "type", "null"))
                                   : v;
    json_object_set_new(v, "type", json_pack("[O, s]", type, "null"));
    if (values)
        json_array_append_new(values, json_null());
    return v;
}

json_t *fp_model_shape_list(json_t *item)
{
    return json_pack("{s:s, s:o}", "type", "array", "items", item);
}

json_t *fp_model_shape_map(json_t *value)
{
    return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", value);
}

json_t *fp_model_shape_any_of(json_t *a, json_t *b)
{
    return json_pack("{s:[o, o]}", "anyOf", a, b);
}

json_t *fp_model_shape_typed(struct fp_model_shaper *s, const char *name)
{
    (void)name;
    if (!json_object_get(s->components, "TypedConfig"))
        json_object_set_new(
            s->components, "TypedConfig",
            json_pack("{s:s, s:s, s:{s:{s:s}, s:{s:s}, s:{}}, s:[{s:[s]}, {s:[s, s]}]}", "type",
                      "object", "description",
                      "google.protobuf.Any: @type and the members of that message, or type_url and "
                      "its bytes in base64",
                      "properties", "@type", "type", "string", "type_url", "type", "string",
                      "value", "anyOf", "required", "@type", "required", "type_url", "value"));
    return ref("TypedConfig");
}

/* ---- objects ---- */

static const char *key_of(const struct fp_model_shaper *s, const struct fp_model_schema *schema,
                          const struct fp_model_field *f)
{
    char *snake = fp_arena_alloc(s->arena, FP_M_NAME_BYTES);
    if (s->spelling == FP_M_STORED && f->stored)
        return f->stored;
    if (s->spelling == FP_M_STORED) {
        fp_model_snake(snake, f->name);
        return snake;
    }
    /* Health checks are snake_case in answers only (§5.2.6). */
    if (s->spelling == FP_M_SENT && schema == &fp_model_health_check_schema) {
        char *camel = pascal(s->arena, f->name);
        camel[0] = f->name[0];
        return camel;
    }
    return f->name;
}

/* ---- rules between fields ---- */

/* Sent: there and, where null is absent, not null.  The opposite is its negation. */
static json_t *sent(const struct fp_model_shaper *s, const char *key)
{
    json_t *out = json_pack("{s:[s]}", "required", key);
    if (s->spelling == FP_M_SENT)
        json_object_set_new(out, "properties",
                            json_pack("{s:{s:{s:s}}}", key, "not", "type", "null"));
    return out;
}

static json_t *none_sent(const struct fp_model_shaper *s, const char *const *keys, size_t n)
{
    json_t *properties = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(properties, keys[i],
                            s->spelling == FP_M_SENT ? json_pack("{s:s}", "type", "null")
                                                     : json_false());
    return json_pack("{s:o}", "properties", properties);
}

static json_t *shape_rule(const struct fp_model_shaper *s, const struct fp_model_schema *schema,
                          const struct fp_model_rule *rule)
{
    const char *keys[FP_M_RULE_NAMES];
    json_t *ways = json_array();
    size_t n = 0, of = rule->how == FP_M_UNLESS ? 2 : FP_M_RULE_NAMES;
    for (; n < of && rule->names[n]; n++)
        for (size_t i = 0; i < schema->fields_n; i++)
            if (strcmp(schema->fields[i].name, rule->names[n]) == 0)
                keys[n] = key_of(s, schema, &schema->fields[i]);
    for (size_t i = 0; i < (rule->how == FP_M_UNLESS ? 1 : n); i++)
        json_array_append_new(ways, sent(s, keys[i]));
    if (rule->how == FP_M_UNLESS)
        json_array_append_new(ways, json_pack("{s:[s], s:{s:{s:s}}}", "required", keys[1],
                                              "properties", keys[1], "const", rule->names[2]));
    if (rule->how == FP_M_AT_MOST_ONE)
        json_array_append_new(ways, none_sent(s, keys, n));
    bool any = rule->how == FP_M_UNLESS || rule->how == FP_M_AT_LEAST_ONE;
    return json_pack("{s:o}", any ? "anyOf" : "oneOf", ways);
}

static void shape_rules(const struct fp_model_shaper *s, const struct fp_model_schema *schema,
                        json_t *object)
{
    for (size_t i = 0; i < schema->rules_n; i++) {
        json_t *all = json_object_get(object, "allOf");
        if (!all)
            json_object_set_new(object, "allOf", all = json_array());
        json_array_append_new(all, shape_rule(s, schema, &schema->rules[i]));
    }
}

void fp_model_shape_members(struct fp_model_shaper *s, const struct fp_model_schema *schema,
                            json_t *object, const char *const *skip, bool require)
{
    json_t *properties = json_object_get(object, "properties"),
           *required = json_object_get(object, "required");
    for (size_t i = 0; i < schema->fields_n; i++) {
        const struct fp_model_field *f = &schema->fields[i];
        const char *key = key_of(s, schema, f);
        bool must = (f->flags & FP_M_REQUIRED) && require, skipped = false;
        for (const char *const *n = skip; n && *n; n++)
            skipped |= strcmp(*n, f->name) == 0;
        if (skipped)
            continue;
        json_t *v = shape_value(s, f);
        if (!must && s->spelling == FP_M_SENT)
            v = fp_model_shape_nullable(v);
        json_object_set_new(properties, key, v);
        if (must)
            json_array_append_new(required, json_string(key));
        if (f->alias && s->spelling == FP_M_SENT)
            json_object_set_new(
                properties, f->alias,
                fp_model_shape_nullable(shape_one(s, f, pascal(s->arena, f->alias))));
    }
    if (require)
        shape_rules(s, schema, object);
}

json_t *fp_model_shape_closed(void)
{
    return json_pack("{s:s, s:{}, s:[], s:b}", "type", "object", "properties", "required",
                     "additionalProperties", 0);
}

json_t *fp_model_shape_object(struct fp_model_shaper *s, const struct fp_model_schema *schema,
                              const char *name)
{
    const char *full = component_find(s, schema, NULL), *parent = s->parent;
    if (full)
        return ref(full);
    full = component_add(s, schema, NULL, name);
    json_t *object = fp_model_shape_closed();
    s->parent = name;
    fp_model_shape_members(s, schema, object, NULL, true);
    s->parent = parent;
    json_object_set_new(s->components, full, object);
    return ref(full);
}

/* {"type": "prefix", members…} */
static json_t *flat(struct fp_model_shaper *s, const struct fp_model_choice *c,
                    const struct fp_model_variant *v, const struct fp_model_schema *beside)
{
    json_t *object = fp_model_shape_closed();
    if (beside)
        fp_model_shape_members(s, beside, object, NULL, true);
    json_object_set_new(json_object_get(object, "properties"), c->key,
                        json_pack("{s:s}", "const", v->type));
    json_array_append_new(json_object_get(object, "required"), json_string(c->key));
    fp_model_shape_members(s, v->schema, object, NULL, true);
    return object;
}

/* {"Prefix": members | the one member} */
static json_t *tagged(struct fp_model_shaper *s, const struct fp_model_variant *v, const char *name)
{
    json_t *object = fp_model_shape_closed(), *value;
    if (v->member) {
        const struct fp_model_field *f = v->schema->fields;
        FP_ASSERT(strcmp(f->name, v->member) == 0);
        value = shape_value(s, f);
    } else {
        value = fp_model_shape_object(s, v->schema, name);
    }
    json_object_set_new(json_object_get(object, "properties"), v->tag, value);
    json_array_append_new(json_object_get(object, "required"), json_string(v->tag));
    return object;
}

static json_t *wrap(struct fp_model_shaper *s, json_t *value, const char *wrapper,
                    const struct fp_model_schema *beside)
{
    json_t *object = fp_model_shape_closed();
    if (beside)
        fp_model_shape_members(s, beside, object, NULL, true);
    json_object_set_new(json_object_get(object, "properties"), wrapper, value);
    json_array_append_new(json_object_get(object, "required"), json_string(wrapper));
    return object;
}

json_t *fp_model_shape_choice(struct fp_model_shaper *s, const struct fp_model_choice *c,
                              const struct fp_model_schema *beside, const char *wrapper,
                              const char *name)
{
    const char *full = component_find(s, c, NULL), *parent = s->parent;
    if (full)
        return ref(full);
    full = component_add(s, c, NULL, name);
    json_t *list = json_array(), *out;
    s->parent = name;
    for (size_t i = 0; i < c->variants_n; i++) {
        const struct fp_model_variant *v = &c->variants[i];
        const char *own = fp_arena_printf(s->arena, "%s%s", name, pascal(s->arena, v->type));
        if (s->spelling == FP_M_STORED && v->tag) {
            json_array_append_new(list, tagged(s, v, own));
            continue;
        }
        const char *variant = component_add(s, c, v->type, own);
        json_object_set_new(s->components, variant, flat(s, c, v, beside));
        json_array_append_new(list, ref(variant));
    }
    s->parent = parent;
    out = json_pack("{s:o}", "anyOf", list);
    if (s->spelling == FP_M_STORED && wrapper)
        out = wrap(s, out, wrapper, beside);
    json_object_set_new(s->components, full, out);
    return ref(full);
}

void fp_model_shape_spell(struct fp_model_shaper *s, enum fp_model_spelling spelling)
{
    s->spelling = spelling;
    s->parent = NULL;
}
