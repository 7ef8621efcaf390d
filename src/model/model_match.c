/*
 * Rule matches (contract §5.3.1): path, headers, query parameters, methods, fraction.  Runs in API
 * workers and the watcher; never does I/O.
 */
#include "codec/codec_json.h"
#include "model/model_route_int.h"

#define TEMPLATE_MATCH "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"

/* ---- path ---- */
#define VALUE_FIELD(check)                                                                         \
    {                                                                                              \
        .name = "value", FP_M_STRING, FP_M_REQUIRED, .text = (check)                               \
    }
static const struct fp_model_field plain_fields[] = {VALUE_FIELD(fp_model_text_nonblank)};
static const struct fp_model_field separated_fields[] = {VALUE_FIELD(fp_model_text_path_separated)};
static const struct fp_model_field regex_fields[] = {VALUE_FIELD(fp_model_text_regex)};
static const struct fp_model_field template_fields[] = {
    {.name = "template", FP_M_STRING, FP_M_REQUIRED, .text = fp_model_text_template},
};
static const struct fp_model_schema plain = FP_M_SCHEMA(plain_fields, NULL);
static const struct fp_model_schema separated = FP_M_SCHEMA(separated_fields, NULL);
static const struct fp_model_schema regex = FP_M_SCHEMA(regex_fields, NULL);
static const struct fp_model_schema template = FP_M_SCHEMA(template_fields, NULL);

static const struct fp_model_variant paths[] = {
    {"exact", "Exact", "value", &plain},
    {"prefix", "Prefix", "value", &plain},
    {"pathSeparatedPrefix", "PathSeparatedPrefix", "value", &separated},
    {"regex", "Regex", "value", &regex},
    {"template", "Template", "template", &template},
};
static const struct fp_model_choice path_choice = {"type", paths, FP_M_N(paths)};
static json_t *read_path(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    return fp_model_choice_read(r, &path_choice, v, pointer, NULL);
}
static json_t *shape_path(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_choice(s, &path_choice, NULL, NULL, name);
}

/* ---- headers and query parameters: at most one way to match, none means present ---- */
static const struct fp_model_rule header_rules[] = {
    {FP_M_AT_MOST_ONE, {"value", "regex", "present", "prefix", "suffix", "contains"}},
};
static const struct fp_model_field header_fields[] = {
    {.name = "name", FP_M_STRING, FP_M_REQUIRED, .text = fp_model_text_header_name},
    {.name = "value", FP_M_STRING},
    {.name = "regex", FP_M_STRING, .text = fp_model_text_regex},
    {.name = "present", FP_M_BOOL},
    {.name = "prefix", FP_M_STRING, .min = 1},
    {.name = "suffix", FP_M_STRING, .min = 1},
    {.name = "contains", FP_M_STRING, .min = 1},
    {.name = "invert", FP_M_BOOL},
};
const struct fp_model_schema fp_model_header_matcher_schema =
    FP_M_RULED(header_fields, NULL, header_rules);

static const struct fp_model_rule query_rules[] = {
    {FP_M_AT_MOST_ONE, {"value", "regex", "present", "prefix"}},
};
static const struct fp_model_field query_fields[] = {
    {.name = "name", FP_M_STRING, FP_M_REQUIRED, .max = 1024, .text = fp_model_text_nonblank},
    {.name = "value", FP_M_STRING},
    {.name = "regex", FP_M_STRING, .text = fp_model_text_regex},
    {.name = "present", FP_M_BOOL},
    {.name = "prefix", FP_M_STRING, .min = 1},
};
static const struct fp_model_schema query = FP_M_RULED(query_fields, NULL, query_rules);

static const struct fp_model_field match_fields[] = {
    {.name = "path", FP_M_READ, FP_M_REQUIRED, .read = read_path, .shape = shape_path},
    {.name = "headers", FP_M_OBJECT, FP_M_LIST, .object = &fp_model_header_matcher_schema},
    {.name = "queryParameters", FP_M_OBJECT, FP_M_LIST, .object = &query},
    {.name = "methods", FP_M_STRING, FP_M_LIST | FP_M_UNIQUE, .text = fp_model_text_token},
    {.name = "caseSensitive", FP_M_BOOL},
    {.name = "fraction", FP_M_OBJECT, .object = &fp_model_fraction_schema},
};
const struct fp_model_schema fp_model_match_schema = FP_M_SCHEMA(match_fields, NULL);

/* ---- expansion ---- */
static void expand_path(json_t *out, const json_t *path)
{
    static const struct {
        const char *type, *to;
    } simple[] = {
        {"exact", "path"}, {"prefix", "prefix"}, {"pathSeparatedPrefix", "pathSeparatedPrefix"}};
    struct fp_str type = fp_model_str(path, "type");
    json_t *value = json_object_get(path, "value");
    for (size_t i = 0; i < FP_M_N(simple); i++)
        if (fp_str_eq_c(type, simple[i].type))
            json_object_set(out, simple[i].to, value);
    if (fp_str_eq_c(type, "regex"))
        json_object_set_new(out, "safeRegex", json_pack("{s:O}", "regex", value));
    if (fp_str_eq_c(type, "template"))
        json_object_set_new(out, "pathMatchPolicy",
                            json_pack("{s:s, s:{s:s, s:O}}", "name",
                                      "envoy.path.match.uri_template", "typedConfig",
                                      FP_M_TYPED(TEMPLATE_MATCH), "pathTemplate",
                                      json_object_get(path, "template")));
}

/* The StringMatcher of a header or query matcher; NULL when it asks for presence. */
static json_t *value_matcher(const json_t *m)
{
    static const char *const ways[][2] = {
        {"value", "exact"}, {"prefix", "prefix"}, {"suffix", "suffix"}, {"contains", "contains"}};
    for (size_t i = 0; i < FP_M_N(ways); i++)
        if (json_object_get(m, ways[i][0]))
            return json_pack("{s:O}", ways[i][1], json_object_get(m, ways[i][0]));
    json_t *re = json_object_get(m, "regex");
    return re ? json_pack("{s:{s:O}}", "safeRegex", "regex", re) : NULL;
}

static json_t *expand_matcher(const json_t *m)
{
    json_t *out = json_pack("{s:O}", "name", json_object_get(m, "name"));
    json_t *value = value_matcher(m), *present = json_object_get(m, "present");
    if (value)
        json_object_set_new(out, "stringMatch", value);
    else
        json_object_set_new(out, "presentMatch", present ? json_incref(present) : json_true());
    if (json_object_get(m, "invert"))
        json_object_set(out, "invertMatch", json_object_get(m, "invert"));
    return out;
}

json_t *fp_model_header_matchers_expand(const json_t *list)
{
    json_t *out = json_array(), *m;
    size_t i;
    json_array_foreach ((json_t *)list, i, m)
        json_array_append_new(out, expand_matcher(m));
    return out;
}

/* One method is an exact match, several an anchored alternation. */
static json_t *expand_methods(const json_t *methods)
{
    if (json_array_size(methods) == 1)
        return json_pack("{s:s, s:{s:O}}", "name", ":method", "stringMatch", "exact",
                         json_array_get(methods, 0));
    struct fp_buf b = {0};
    json_t *m;
    size_t i;
    json_array_foreach ((json_t *)methods, i, m) {
        fp_buf_append_c(&b, i ? "|" : "^(?:");
        for (const char *p = json_string_value(m); *p; p++) {
            if (strchr(".*+^|$", *p)) /* token characters that mean something to RE2 */
                fp_buf_append_byte(&b, '\\');
            fp_buf_append_byte(&b, (uint8_t)*p);
        }
    }
    fp_buf_append_c(&b, ")$");
    json_t *out = json_pack("{s:s, s:{s:{s:s}}}", "name", ":method", "stringMatch", "safeRegex",
                            "regex", fp_buf_cstr(&b));
    fp_buf_fini(&b);
    return out;
}

json_t *fp_model_match_expand(const json_t *m)
{
    static const struct fp_model_copy copy[] = {{"caseSensitive", "caseSensitive", FP_C_SAME},
                                                {"fraction", "runtimeFraction", FP_C_FRACTION}};
    json_t *out = json_object(), *headers;
    const json_t *methods = json_object_get(m, "methods");
    const json_t *queries = json_object_get(m, "queryParameters");
    expand_path(out, json_object_get(m, "path"));
    fp_model_copy(out, m, copy, FP_M_N(copy));
    headers = fp_model_header_matchers_expand(json_object_get(m, "headers"));
    if (json_array_size(methods))
        json_array_append_new(headers, expand_methods(methods));
    if (json_array_size(headers))
        json_object_set(out, "headers", headers);
    json_decref(headers);
    if (json_array_size(queries))
        json_object_set_new(out, "queryParameters", fp_model_header_matchers_expand(queries));
    return out;
}
