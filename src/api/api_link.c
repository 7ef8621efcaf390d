/*
 * What an answer leads to (OpenAPI's links), from the route table alone: from a collection's path
 * to the operations on one of its members, from a set of changes to the revision it made.  Runs in
 * workers, for the document (api_openapi.c).
 */
#include "api/api_int.h"

/* Where a member of an answer says what {…} of a path stands for. */
static const struct {
    const char *parameter, *member;
} sources[] = {{"name", "name"}, {"id", "id"}, {"n", "revision"}};

/* GET /api/v1/tokens/{id} → getTokensId */
char *api_operation_id(const struct fp_api_route *r, struct fp_arena *a)
{
    const char *p = r->pattern;
    char *out = fp_arena_alloc(a, strlen(r->method) + strlen(p) + sizeof("Slash")), *to = out;
    for (const char *m = r->method; *m; m++)
        *to++ = (char)(*m | 32);
    if (strncmp(p, "/api/v1", 7) == 0)
        p += 7;
    for (bool word = false; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9');
        if (letter)
            *to++ = (char)(word && *p >= 'a' ? *p - 32 : *p);
        word = !letter;
    }
    *to = '\0';
    if (p[-1] == '/')
        memcpy(to, "Slash", sizeof("Slash"));
    return out;
}

/* The path whose members an answer of r names. */
static const char *collection_of(const struct fp_api_route *r, struct fp_arena *a)
{
    if (r->doc.answer && strcmp(r->doc.answer, "Applied") == 0)
        return "/api/v1/revisions";
    return r->flags & API_ALIAS ? fp_arena_printf(a, "/api/v1/%s", r->resource) : r->pattern;
}

static const char *source_of(const char *parameter, size_t len)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
        if (fp_str_eq_c(fp_str_n(parameter, len), sources[i].parameter))
            return sources[i].member;
    return NULL;
}

/* Of a list the first member is read, never changed: somebody else's, perhaps the caller's token.
 */
json_t *api_links_of(const struct fp_api_route *r, struct fp_arena *a)
{
    size_t n, len;
    const struct fp_api_route *all = api_routes(&n);
    const char *path = collection_of(r, a);
    bool list = r->doc.answer && strstr(r->doc.answer, "[]");
    json_t *links = json_object();
    len = strlen(path);
    for (size_t i = 0; i < n; i++) {
        const char *rest = all[i].pattern + len;
        if (strncmp(all[i].pattern, path, len) != 0 || strncmp(rest, "/{", 2) != 0 ||
            (list && strcmp(all[i].method, "GET") != 0))
            continue;
        size_t parameter = strcspn(rest + 2, "}");
        const char *member = source_of(rest + 2, parameter);
        if (!member)
            continue;
        const char *id = api_operation_id(&all[i], a),
                   *from = fp_arena_printf(a, "$response.body#/%s%s", list ? "0/" : "", member),
                   *name = fp_arena_printf(a, "%.*s", (int)parameter, rest + 2);
        json_object_set_new(
            links, id, json_pack("{s:s, s:{s:s}}", "operationId", id, "parameters", name, from));
    }
    if (json_object_size(links))
        return links;
    json_decref(links);
    return NULL;
}
