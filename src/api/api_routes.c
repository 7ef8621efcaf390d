/*
 * The route table (contract §3): the one place that says which operations exist.  Runs in workers.
 * The dispatcher, 405 with Allow and the scope check read it; nothing else names a path.
 */
#include "api/api_int.h"

/* One line an operation, and below it what the OpenAPI document says of it. */
/* clang-format off */
#define LIST "limit offset team source name"
#define RESOURCE(path, k)                                                                          \
    {"GET", "/api/v1/" path, path, "read", api_list, k, 0,                                         \
     {"List the " path, LIST " If-None-Match Flowplane-Revision", NULL, "*[]", "200 304"}},                           \
    {"POST", "/api/v1/" path, path, "write", api_create, k, API_BODY,                              \
     {"Create one of the " path, NULL, "*Create", "*", "201 409"}},                                \
    {"GET", "/api/v1/" path "/{name}", path, "read", api_get, k, 0,                                \
     {"Read one of the " path, "view If-None-Match Flowplane-Revision", NULL, "*", "200 304 404"}},                   \
    {"PUT", "/api/v1/" path "/{name}", path, "write", api_replace, k, API_BODY,                    \
     {"Replace one of the " path, "If-Match", "*Replace", "*", "200 404 409 412"}},                \
    {"DELETE", "/api/v1/" path "/{name}", path, "write", api_delete, k, 0,                         \
     {"Delete one of the " path, "If-Match", NULL, NULL, "204 404 409 412"}}
#define ALIAS(path, plural, k)                                                                     \
    {"POST", "/api/v1/" path, plural, "write", api_create, k, API_BODY | API_ALIAS,                \
     {"Create a " path ", or leave it when it is the same", NULL, "*Create", "*", "201 409"}}

static const struct fp_api_route routes[] = {
    {"GET", "/healthz", NULL, NULL, api_health, FP_KIND_N, API_PUBLIC,
     {"A worker answers", NULL, NULL, "Health", "200"}},
    {"GET", "/health", NULL, NULL, api_health, FP_KIND_N, API_PUBLIC,
     {"A worker answers (alias of /healthz)", NULL, NULL, "Health", "200"}},
    {"GET", "/livez", NULL, NULL, api_health, FP_KIND_N, API_PUBLIC,
     {"A worker answers", NULL, NULL, "Health", "200"}},
    {"GET", "/readyz", NULL, NULL, api_ready, FP_KIND_N, API_PUBLIC,
     {"A snapshot is served and the instance is not draining", "verbose", NULL, "Ready", "200 503"}},
    {"GET", "/metrics", NULL, NULL, api_metrics, FP_KIND_N, API_PUBLIC,
     {"Metrics as Prometheus text", NULL, NULL, "text/plain", "200 404"}},
    {"GET", "/api-docs/openapi.json", NULL, NULL, api_openapi, FP_KIND_N, API_PUBLIC,
     {"This document", "If-None-Match", NULL, "Document", "200 304"}},
    {"GET", "/swagger-ui", NULL, NULL, api_swagger, FP_KIND_N, API_PUBLIC,
     {"This document, to be read and tried", "If-None-Match", NULL, "text/html", "200 304"}},
    {"GET", "/swagger-ui/", NULL, NULL, api_swagger, FP_KIND_N, API_PUBLIC,
     {"This document, to be read and tried", "If-None-Match", NULL, "text/html", "200 304"}},
    ALIAS("cluster", "clusters", FP_KIND_CLUSTER),
    ALIAS("route", "routes", FP_KIND_ROUTE),
    ALIAS("listener", "listeners", FP_KIND_LISTENER),
    {"POST", "/api/v1/tokens", "tokens", "write", api_token_create, FP_KIND_TOKEN, API_BODY,
     {"Create a token; its value is shown only here", NULL, "TokenCreate", "TokenSecret", "201"}},
    {"GET", "/api/v1/tokens", "tokens", "read", api_token_list, FP_KIND_TOKEN, 0,
     {"List the tokens", "limit offset", NULL, "Token[]", "200"}},
    {"GET", "/api/v1/tokens/self", NULL, NULL, api_token_self, FP_KIND_TOKEN, 0,
     {"Read the token of this request", NULL, NULL, "Token", "200"}},
    {"GET", "/api/v1/tokens/{id}", "tokens", "read", api_token_get, FP_KIND_TOKEN, 0,
     {"Read a token", "If-None-Match", NULL, "Token", "200 304 404"}},
    {"PATCH", "/api/v1/tokens/{id}", "tokens", "write", api_token_patch, FP_KIND_TOKEN, API_BODY,
     {"Change a token", "If-Match force", "TokenChange", "Token", "200 404 409 412"}},
    {"DELETE", "/api/v1/tokens/{id}", "tokens", "write", api_token_revoke, FP_KIND_TOKEN, 0,
     {"Revoke a token", "If-Match force", NULL, "Token", "200 404 409 412"}},
    {"POST", "/api/v1/tokens/{id}/rotate", "tokens", "write", api_token_rotate, FP_KIND_TOKEN, 0,
     {"Give a token a new secret", "If-Match", NULL, "TokenSecret", "200 404 409 412"}},
    {"GET", "/api/v1/audit-logs", "audit", "read", api_audit_list, FP_KIND_N, 0,
     {"List the audit log, newest first",
      "limit offset eventType userId resourceType resourceName since until", NULL, "AuditEntry[]",
      "200"}},
    RESOURCE("clusters", FP_KIND_CLUSTER),
    RESOURCE("routes", FP_KIND_ROUTE),
    RESOURCE("listeners", FP_KIND_LISTENER),
    RESOURCE("endpoints", FP_KIND_ENDPOINT),
    {"POST", "/api/v1/apply", NULL, "write", api_apply, FP_KIND_N, API_BODY | API_BULK | API_YAML,
     {"Apply a set of resources in one revision", "label prune force ifRevision", "Apply", "Applied",
      "200 404 409 412"}},
    {"GET", "/api/v1/export", NULL, "read", api_export, FP_KIND_N, 0,
     {"The configuration as a set that apply takes", "kinds team source format secrets revision Flowplane-Revision", NULL,
      "Export", "200"}},
    {"GET", "/api/v1/revisions", "revisions", "read", api_revisions, FP_KIND_N, 0,
     {"List the revisions, newest first", "limit offset userId kind changed", NULL, "Revision[]",
      "200"}},
    {"GET", "/api/v1/revisions/{n}", "revisions", "read", api_revision, FP_KIND_N, 0,
     {"Read a revision and its changes", NULL, NULL, "RevisionChanges", "200 404"}},
    {"GET", "/api/v1/revisions/{n}/status", "revisions", "read", api_revision_status, FP_KIND_N, 0,
     {"How far a revision has come on this instance", "Flowplane-Revision", NULL, "RevisionStatus", "200 404"}},
    {"POST", "/api/v1/revisions/{n}/rollback", "revisions", "write", api_rollback, FP_KIND_N, 0,
     {"Restore the configuration as of a revision", "kinds-of names-of", NULL, "Applied",
      "200 404 409"}},
    {"GET", "/api/v1/nodes", "nodes", "read", api_nodes, FP_KIND_N, 0,
     {"List the nodes connected to this instance", "limit offset team cluster state Flowplane-Revision", NULL, "Node[]",
      "200"}},
    {"GET", "/api/v1/nodes/{id}", "nodes", "read", api_node, FP_KIND_N, 0,
     {"Read a connected node", "Flowplane-Revision", NULL, "Node", "200 404"}},
    {"GET", "/api/v1/nacks", "nodes", "read", api_nacks, FP_KIND_N, 0,
     {"List the rejections of nodes, newest first", "limit open since nodeId type", NULL, "Nack[]",
      "200"}},
};
/* clang-format on */
#define ROUTES_N (sizeof(routes) / sizeof(routes[0]))

/* Segment by segment; a {name} or {id} takes one non-empty segment, still encoded. */
static bool fits(const char *pattern, struct fp_str path, struct fp_str *name)
{
    struct fp_str p = fp_str_of(pattern), rest_p, rest_path;
    *name = FP_STR_NULL;
    while (p.data && path.data) {
        struct fp_str want = fp_str_split(p, '/', &rest_p);
        struct fp_str have = fp_str_split(path, '/', &rest_path);
        if (fp_str_starts(want, FP_STR("{")) && have.len)
            *name = have;
        else if (!fp_str_eq(want, have))
            return false;
        p = rest_p;
        path = rest_path;
    }
    return !p.data && !path.data;
}

const struct fp_api_route *api_route_path(struct fp_str path, struct fp_str *name)
{
    for (size_t i = 0; i < ROUTES_N; i++)
        if (fits(routes[i].pattern, path, name))
            return &routes[i];
    return NULL;
}

const struct fp_api_route *api_route_method(const struct fp_api_route *path, struct fp_str method)
{
    if (fp_str_eq(method, FP_STR("HEAD")))
        method = FP_STR("GET");
    for (const struct fp_api_route *r = path; r < routes + ROUTES_N; r++)
        if (strcmp(r->pattern, path->pattern) == 0 && fp_str_eq_c(method, r->method))
            return r;
    return NULL;
}

const char *api_route_allow(const struct fp_api_route *path, struct fp_arena *a)
{
    const char *allow = "OPTIONS";
    for (const struct fp_api_route *r = path; r < routes + ROUTES_N; r++)
        if (strcmp(r->pattern, path->pattern) == 0)
            allow = fp_arena_printf(a, "%s, %s%s", allow, r->method,
                                    strcmp(r->method, "GET") == 0 ? ", HEAD" : "");
    return allow;
}

const struct fp_api_route *api_routes(size_t *n)
{
    *n = ROUTES_N;
    return routes;
}

const char *const *api_route_patterns(void)
{
    static const char *patterns[ROUTES_N + 1];
    size_t n = 0;
    if (patterns[0]) /* made at the first call */
        return patterns;
    for (size_t i = 0; i < ROUTES_N; i++) {
        size_t j = 0;
        while (j < n && strcmp(patterns[j], routes[i].pattern) != 0)
            j++;
        if (j == n)
            patterns[n++] = routes[i].pattern;
    }
    return patterns;
}

unsigned api_route_pattern(const struct fp_api_route *r)
{
    const char *const *all = api_route_patterns();
    unsigned i = 0;
    while (all[i] && (!r || strcmp(all[i], r->pattern) != 0))
        i++;
    return i;
}
