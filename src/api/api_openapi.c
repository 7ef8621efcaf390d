/*
 * GET /api-docs/openapi.json (contract §3): OpenAPI 3.1, made of the route table that dispatches
 * and of the model's tables.  Runs in workers; built at the first request and kept as text.  What
 * no table says (records of tokens, nodes, …) is written down in api_openapi.json.
 */
#include "api/api_int.h"
#include "codec/codec_gzip.h"
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "fp_config.h"
#include "model/model_schema.h"

extern const char api_openapi_json[];
extern const size_t api_openapi_json_size;

#define DEPTH 64

static const char *const every_status[] = {"400", "405", "413", "414", "415",
                                           "429", "431", "500", "503"};
static const char *const write_options[] = {"dryRun", "wait", "timeout", "allowMissing"};

struct builder {
    struct fp_arena *arena;
    json_t *doc, *paths, *tags;
    const struct fp_api_route *route;
};

static const char *text_of(const struct builder *b, struct fp_str s)
{
    return fp_arena_printf(b->arena, "%.*s", FP_STR_ARG(s));
}

static json_t *component(const char *section, const char *name)
{
    return json_pack("{s:o}", "$ref", json_sprintf("#/components/%s/%s", section, name));
}

/* "*" stands for the title of the kind, "[]" behind a name for a list of it.  That each name exists
 * is what t/00-unit/api_openapi.c looks at: here a wrong one is a reference to nothing. */
static json_t *schema_of(const struct builder *b, const char *name)
{
    const char *star = strchr(name, '*');
    struct fp_str s = fp_str_of(name);
    bool list = fp_str_ends(s, FP_STR("[]"));
    if (star)
        s = fp_str_of(fp_arena_printf(b->arena, "%s%s", fp_kinds[b->route->kind].title, star + 1));
    if (list)
        s.len -= 2;
    const char *full = text_of(b, s);
    json_t *v = component("schemas", full);
    return list ? json_pack("{s:s, s:o}", "type", "array", "items", v) : v;
}

static bool is_write(const struct fp_api_route *r)
{
    return r->action && strcmp(r->action, "write") == 0;
}

/* The segment that names the group of a path. */
static const char *tag_of(const struct builder *b)
{
    const struct fp_api_route *r = b->route;
    struct fp_str s = fp_str_of(r->pattern), prefix = FP_STR("/api/v1/"), rest;
    if (r->flags & API_PUBLIC)
        return "operations";
    if (r->flags & API_ALIAS)
        return r->resource;
    s = fp_str_split(fp_str_n(s.data + prefix.len, s.len - prefix.len), '/', &rest);
    if (fp_str_eq(s, FP_STR("api-definitions")) || fp_str_eq(s, FP_STR("bootstrap")))
        return "platform-api";
    return text_of(b, s);
}

static void add_tag(struct builder *b, const char *tag)
{
    json_t *t;
    size_t i;
    json_array_foreach (b->tags, i, t)
        if (strcmp(json_string_value(json_object_get(t, "name")), tag) == 0)
            return;
    json_array_append_new(b->tags, json_pack("{s:s}", "name", tag));
}

/* ---- parameters and body ---- */

static void add_parameter(const struct builder *b, json_t *list, const char *name)
{
    json_array_append_new(list, component("parameters", name));
}

static json_t *parameters_of(const struct builder *b)
{
    const struct fp_api_route *r = b->route;
    json_t *list = json_array();
    const char *brace = strchr(r->pattern, '{');
    struct fp_str rest = r->doc.parameters ? fp_str_of(r->doc.parameters) : FP_STR_NULL;
    if (brace)
        add_parameter(
            b, list,
            fp_arena_printf(b->arena, "path.%.*s", (int)(strcspn(brace + 1, "}")), brace + 1));
    while (rest.data) {
        struct fp_str name = fp_str_split(rest, ' ', &rest);
        add_parameter(b, list, text_of(b, name));
    }
    for (size_t i = 0; is_write(r) && i < sizeof(write_options) / sizeof(write_options[0]); i++)
        add_parameter(b, list, write_options[i]);
    return list;
}

static json_t *body_of(const struct builder *b)
{
    json_t *schema = schema_of(b, b->route->doc.body);
    json_t *content = json_pack("{s:{s:O}}", "application/json", "schema", schema);
    if (b->route->flags & API_YAML)
        json_object_set_new(content, "application/yaml", json_pack("{s:O}", "schema", schema));
    json_decref(schema);
    return json_pack("{s:b, s:o}", "required", 1, "content", content);
}

/* ---- answers ---- */

static json_t *json_content(json_t *schema)
{
    return json_pack("{s:{s:o}}", "application/json", "schema", schema);
}

static json_t *content_of(const struct builder *b)
{
    const char *answer = b->route->doc.answer;
    if (strncmp(answer, "text/", 5) == 0)
        return json_pack("{s:{s:{s:s}}}", answer, "schema", "type", "string");
    json_t *content = json_content(schema_of(b, answer));
    if (strcmp(answer, "Export") == 0)
        json_object_set_new(content, "application/yaml", json_pack("{s:{}}", "schema"));
    return content;
}

static void add_header(json_t *response, const char *name)
{
    json_object_set_new(json_object_get(response, "headers"), name, component("headers", name));
}

static json_t *response(const char *description, json_t *content)
{
    json_t *out =
        json_pack("{s:s, s:{}, s:o*}", "description", description, "headers", "content", content);
    add_header(out, "X-Request-Id");
    return out;
}

static json_t *not_ready(const struct builder *b)
{
    json_t *out = response("Not ready", content_of(b));
    add_header(out, "Retry-After");
    return out;
}

static json_t *success_of(const struct builder *b, const char *statuses, const char *status)
{
    const struct fp_api_route *r = b->route;
    static const char *const of_writes[] = {"Flowplane-Revision", "Flowplane-Wait",
                                            "Flowplane-Warning"};
    json_t *content = r->doc.answer ? content_of(b) : NULL, *links;
    json_t *out = response(strcmp(status, "201") == 0   ? "Created"
                           : strcmp(status, "204") == 0 ? "Done"
                                                        : "The answer",
                           content);
    for (size_t i = 0; is_write(r) && i < sizeof(of_writes) / sizeof(of_writes[0]); i++)
        add_header(out, of_writes[i]);
    if (r->doc.parameters && strstr(r->doc.parameters, *of_writes)) /* served from the snapshot */
        add_header(out, *of_writes);
    if (strcmp(status, "201") == 0)
        add_header(out, "Location");
    if (strstr(statuses, "304") || strstr(statuses, "412") || strcmp(status, "201") == 0)
        add_header(out, "ETag");
    if (r->doc.answer && strstr(r->doc.answer, "[]"))
        add_header(out, "X-Total-Count");
    if (content && (links = api_links_of(r, b->arena)))
        json_object_set_new(out, "links", links);
    return out;
}

/* Of every write: what a dry run answers.  A create on a singular path may find it the same. */
static void add_dry_run(const struct builder *b, json_t *responses)
{
    json_t *dry = component("schemas", "DryRun"), *same = json_object_get(responses, "200");
    json_t *content = json_object_get(json_object_get(same, "content"), "application/json");
    if (!same) {
        bool alias = b->route->flags & API_ALIAS;
        json_t *schema =
            alias ? json_pack("{s:[o, o]}", "anyOf", schema_of(b, b->route->doc.answer), dry) : dry;
        same = response(alias ? "There already, or the dry run's changes" : "The dry run's changes",
                        json_content(schema));
        add_header(same, "Flowplane-Revision");
        json_object_set_new(responses, "200", same);
        return;
    }
    json_object_set_new(content, "schema",
                        json_pack("{s:[O, o]}", "anyOf", json_object_get(content, "schema"), dry));
}

static json_t *responses_of(const struct builder *b)
{
    const struct fp_api_route *r = b->route;
    json_t *out = json_object();
    const char *statuses = r->doc.statuses ? r->doc.statuses : "200";
    struct fp_str rest, first = fp_str_split(fp_str_of(statuses), ' ', &rest);
    const char *success = text_of(b, first);
    json_object_set_new(out, success, success_of(b, statuses, success));
    while (rest.data) {
        struct fp_str s = fp_str_split(rest, ' ', &rest);
        const char *status = text_of(b, s);
        if (strcmp(status, "304") == 0)
            json_object_set_new(out, status, response("The ETag is still that one", NULL));
        else if (strcmp(status, "503") == 0 && strcmp(r->doc.answer, "Ready") == 0)
            json_object_set_new(out, status, not_ready(b));
        else
            json_object_set_new(out, status, component("responses", status));
    }
    if (is_write(r))
        add_dry_run(b, out);
    for (size_t i = 0; i < sizeof(every_status) / sizeof(every_status[0]); i++)
        if (!json_object_get(out, every_status[i]))
            json_object_set_new(out, every_status[i], component("responses", every_status[i]));
    if (!(r->flags & API_PUBLIC)) {
        json_object_set_new(out, "401", component("responses", "401"));
        json_object_set_new(out, "403", component("responses", "403"));
    }
    return out;
}

/* ---- the document ---- */

static void add_operation(struct builder *b)
{
    const struct fp_api_route *r = b->route;
    json_t *item = json_object_get(b->paths, r->pattern);
    const char *tag = tag_of(b);
    char method[8] = "";
    FP_ASSERT(strlen(r->method) < sizeof(method));
    for (size_t i = 0; r->method[i]; i++)
        method[i] = (char)(r->method[i] | 32);
    if (!item) {
        item = json_object();
        json_object_set_new(b->paths, r->pattern, item);
    }
    json_t *op = json_pack("{s:[s], s:s*, s:s}", "tags", tag, "summary", r->doc.summary,
                           "operationId", api_operation_id(r, b->arena));
    add_tag(b, tag);
    if (r->resource)
        json_object_set_new(op, "description",
                            json_sprintf("Needs the scope `%s:%s`.", r->resource, r->action));
    json_object_set_new(op, "parameters", parameters_of(b));
    if (r->doc.body)
        json_object_set_new(op, "requestBody", body_of(b));
    json_object_set_new(op, "responses", responses_of(b));
    if (r->flags & API_PUBLIC)
        json_object_set_new(op, "security", json_array());
    json_object_set_new(item, method, op);
}

static void build(struct fp_buf *out)
{
    size_t n;
    const struct fp_api_route *routes = api_routes(&n);
    struct fp_arena *a = fp_arena_new(NULL);
    struct builder b = {.arena = a};
    struct fp_problems *ps = fp_problems_new(a);
    b.doc = fp_json_parse(a, fp_str_n(api_openapi_json, api_openapi_json_size), DEPTH, ps);
    FP_ASSERT(b.doc);
    b.paths = json_object_get(b.doc, "paths");
    b.tags = json_object_get(b.doc, "tags");
    json_object_set_new(json_object_get(b.doc, "info"), "version", json_string(FP_VERSION));
    fp_model_schemas(json_object_get(json_object_get(b.doc, "components"), "schemas"));
    for (size_t i = 0; i < n; i++) {
        b.route = &routes[i];
        add_operation(&b);
    }
    fp_json_write(out, b.doc, false);
    fp_arena_free(&a);
}

void api_page_answer(struct fp_api_call *c, const struct api_page *page)
{
    c->page = page;
    api_header_add(&c->headers, "etag", fp_str_of(page->etag));
    if (api_read_none_match(c, fp_str_of(page->etag)))
        api_respond(c, 304, &c->headers, FP_STR_NULL);
    else
        api_respond(c, 200, &c->headers, page->text);
}

void api_page_seal(struct api_page *page, struct fp_str text)
{
    uint8_t digest[FP_SHA256_BYTES];
    char hex[2 * 16 + 1];
    page->text = text;
    fp_sha256(text.data, text.len, digest);
    fp_hex(hex, digest, 16);
    snprintf(page->etag, sizeof(page->etag), "\"%s\"", hex);
    fp_gzip(&page->gzip, text);
}

void api_openapi(struct fp_api_call *c)
{
    struct fp_api *api = c->api;
    if (!api->document.text.data) {
        build(&api->document_text);
        api_page_seal(&api->document, fp_buf_str(&api->document_text));
    }
    api_page_answer(c, &api->document);
}
