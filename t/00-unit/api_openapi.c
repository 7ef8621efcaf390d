/* The OpenAPI document (contract §3): made of the route table, and whole. */
#include "../../src/api/api_openapi.c"
#include "tap.h"

static json_t *doc;

static const json_t *resolve(const char *pointer)
{
    struct fp_str rest = fp_str_of(pointer + 2);
    const json_t *at = doc;
    while (at && rest.data) {
        struct fp_str step = fp_str_split(rest, '/', &rest);
        at = json_object_getn(at, step.data, step.len);
    }
    return at;
}

/* Every reference leads somewhere; no null stands in for a schema. */
static void walk(const json_t *v, const char *where)
{
    const char *key;
    json_t *m;
    size_t i;
    json_object_foreach ((json_t *)v, key, m) {
        if (strcmp(key, "$ref") == 0 && !resolve(json_string_value(m)))
            ok(false, "%s refers to %s, which is not there", where, json_string_value(m));
        if (json_is_null(m))
            ok(false, "%s/%s is null", where, key);
        walk(m, key);
    }
    if (json_is_array(v) && strcmp(where, "enum") != 0)
        json_array_foreach ((json_t *)v, i, m) {
            walk(m, where);
        }
}

int main(void)
{
    struct fp_buf text = {0};
    size_t n;
    const struct fp_api_route *routes = api_routes(&n);
    fp_json_init();
    build(&text);
    doc = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    ok(doc != NULL, "it is JSON");
    is_str(json_string_value(json_object_get(doc, "openapi")), "3.1.0", "of OpenAPI 3.1");
    walk(doc, "");
    for (size_t i = 0; i < n; i++) {
        const struct fp_api_route *r = &routes[i];
        char method[8] = "";
        for (size_t k = 0; r->method[k]; k++)
            method[k] = (char)(r->method[k] | 32);
        const json_t *op =
            json_object_get(json_object_get(json_object_get(doc, "paths"), r->pattern), method);
        ok(op && r->doc.summary && r->doc.statuses, "%s %s is described", r->method, r->pattern);
        ok(!json_object_get(op, "requestBody") == !(r->flags & API_BODY),
           "%s %s: a body when it reads one", r->method, r->pattern);
    }
    json_decref(doc);
    fp_buf_fini(&text);
    return done_testing();
}
