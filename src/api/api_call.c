/*
 * One request from its headers to its handler: the checks of contract §2.1 in their order (path,
 * authentication, method, scope, content type, size, syntax).  Runs in workers; reads the snapshot
 * only.
 */
#include "api/api_int.h"
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "core/core_log.h"

static bool request_id_ok(struct fp_str id)
{
    if (id.len < 1 || id.len > 128)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char ch = id.data[i];
        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
              strchr("._:-", ch)) ||
            !ch)
            return false;
    }
    return true;
}

static void release(void *arg)
{
    struct fp_api_call *c = arg;
    api_wait_leave(c);
    fp_snap_unref(&c->snap);
}

static void aborted(struct fp_http_request *r)
{
    struct fp_api_call *c = r->user;
    api_wait_leave(c);
    fp_store_forget(c->api->o.store, c);
}

static struct fp_api_call *call_new(struct fp_api *api, struct fp_http_request *r)
{
    struct fp_api_call *c = FP_ARENA_NEW(r->arena, struct fp_api_call);
    c->api = api;
    c->r = r;
    c->problems = fp_problems_new(r->arena);
    c->request_id = fp_http_header(r, "x-request-id");
    if (!request_id_ok(c->request_id)) {
        char *id = fp_arena_alloc(r->arena, FP_UUID_TEXT_BYTES);
        fp_uuid_v4(id);
        c->request_id = fp_str_of(id);
    }
    if (api->snap)
        c->snap = fp_snap_ref(api->snap);
    c->client = api_client_of(api, r);
    fp_arena_cleanup(r->arena, release, c);
    r->user = c;
    r->on_abort = aborted;
    return c;
}

static bool json_media(struct fp_str type)
{
    struct fp_str rest;
    type = fp_str_trim(fp_str_split(type, ';', &rest));
    if (type.len == 0 || fp_str_case_eq(type, FP_STR("application/json")))
        return true;
    struct fp_str app = FP_STR("application/"), json = FP_STR("+json");
    return type.len > app.len + json.len && fp_str_case_eq(fp_str_n(type.data, app.len), app) &&
           fp_str_case_eq(fp_str_n(type.data + type.len - json.len, json.len), json);
}

bool api_call_yaml(const struct fp_api_call *c)
{
    struct fp_str rest;
    struct fp_str type =
        fp_str_trim(fp_str_split(fp_http_header(c->r, "content-type"), ';', &rest));
    return fp_str_case_eq(type, FP_STR("application/yaml")) ||
           fp_str_case_eq(type, FP_STR("application/x-yaml"));
}

/* No field of that name says anything else. */
static bool encoding_ok(struct fp_api_call *c)
{
    for (size_t i = 0; i < c->r->headers_n; i++) {
        struct fp_str encoding = fp_str_trim(c->r->headers[i].value);
        if (!fp_str_eq_c(c->r->headers[i].name, "content-encoding") || !encoding.len ||
            fp_str_case_eq(encoding, FP_STR("identity")))
            continue;
        api_fail(c, 415, NULL, NULL, "content encoding '%.*s' is not supported; send identity",
                 FP_STR_ARG(encoding));
        return false;
    }
    return true;
}

static bool media_ok(struct fp_api_call *c)
{
    if (!encoding_ok(c))
        return false;
    struct fp_str type = fp_http_header(c->r, "content-type");
    if (!(c->route->flags & API_BODY))
        return true;
    if (fp_http_header_count(c->r, "content-type") > 1) {
        api_fail(c, 415, NULL, NULL, "more than one content type");
        return false;
    }
    if (json_media(type) || (c->route->flags & API_YAML && api_call_yaml(c)))
        return true;
    api_fail(c, 415, NULL, NULL, "content type '%.*s' is not supported; send application/json%s",
             FP_STR_ARG(type), c->route->flags & API_YAML ? " or application/yaml" : "");
    return false;
}

static bool under_api(struct fp_str path)
{
    return fp_str_eq(path, FP_STR("/api/v1")) || fp_str_starts(path, FP_STR("/api/v1/"));
}

/* What the token must hold for this operation. */
static bool allowed(struct fp_api_call *c)
{
    const struct fp_api_route *route = c->route;
    if (!route->resource)
        return true;
    c->grant = fp_auth_scope(&c->token, route->resource, route->action);
    if (c->grant != FP_AUTH_NONE)
        return true;
    api_audit_forbidden(c, fp_arena_printf(c->r->arena, "%s:%s", route->resource, route->action));
    api_fail(c, 403, NULL, NULL, "forbidden: missing required scope");
    return false;
}

/* Who calls is known: method, scope, rate, path parameter, content type. */
static bool admitted_known(struct fp_api_call *c)
{
    struct api_headers h = {.n = 0};
    if (!c->known) {
        api_fail(c, 404, NULL, NULL, "no such path");
        return false;
    }
    c->route = api_route_method(c->known, c->r->method);
    if (!c->route) {
        const char *allow = api_route_allow(c->known, c->r->arena);
        api_header_add(&h, "allow", fp_str_of(allow));
        api_fail(c, 405, &h, NULL, "method not allowed; this path takes %s", allow);
        return false;
    }
    if (!allowed(c))
        return false;
    if (c->route->action && strcmp(c->route->action, "write") == 0 && api_limit_write(c))
        return false;
    return media_ok(c);
}

static void read_name(struct fp_api_call *c)
{
    if (!c->raw_name.data)
        return;
    c->name = fp_http_decode(c->r->arena, c->raw_name, false);
    if (!c->name.data || !fp_str_is_utf8(c->name) || memchr(c->name.data, 0, c->name.len))
        fp_problem_add_parameter(c->problems, API_NAME_PARAMETER, FP_P_INVALID_FORMAT,
                                 "not a percent-encoded UTF-8 name");
}

/* The body's syntax, then path and query; a set of resources is read in slices by its handler. */
static void handle(struct fp_api_call *c)
{
    if ((c->route->flags & (API_BODY | API_BULK)) == API_BODY)
        c->json = fp_json_parse(c->r->arena, c->r->body, API_JSON_DEPTH, c->problems);
    if (!c->problems->n) {
        read_name(c);
        api_query_check(c);
    }
    if (c->problems->n)
        api_fail_problems(c);
    else
        c->route->handler(c);
}

/* Path and authentication, then all the rest.  true: go on and read the body. */
static bool admitted(struct fp_api_call *c)
{
    struct fp_http_request *r = c->r;
    struct api_headers h = {.n = 0};
    const struct fp_api_route *path = c->known = api_route_path(r->path, &c->raw_name);
    api_trace_begin(c);

    if (!path && !under_api(r->path)) {
        api_fail(c, 404, NULL, NULL, "no such path");
        return false;
    }
    if (path && fp_str_eq(r->method, FP_STR("OPTIONS"))) {
        const char *allow = api_route_allow(path, r->arena);
        api_header_add(&h, "allow", fp_str_of(allow));
        api_cors_preflight(c, &h, allow);
        api_respond(c, 204, &h, FP_STR_NULL);
        return false;
    }
    if (path && (path->flags & API_PUBLIC))
        return admitted_known(c);
    switch (api_auth_check(c)) {
    case API_AUTH_OK:
        return admitted_known(c);
    case API_AUTH_UNKNOWN: /* the database is asked when the body is here */
        c->unknown = true;
        return true;
    default:
        return false;
    }
}

struct fp_http_verdict api_call_headers(struct fp_http_request *r, void *arg)
{
    struct fp_api *api = arg;
    struct fp_api_call *c = call_new(api, r);
    if (!admitted(c))
        return (struct fp_http_verdict){.respond_now = true};
    return (struct fp_http_verdict){.body_limit = c->route && c->route->flags & API_BULK
                                                      ? api->o.bulk_body_limit_bytes
                                                      : api->o.body_limit_bytes};
}

/* What is logged until the loop goes on is about this request; statements carry it further. */
static struct fp_log_scope enter(const struct fp_api_call *c)
{
    return fp_log_scope_set((struct fp_log_scope){c->request_id, api_trace_id(c)});
}

struct fp_http_verdict api_call_metrics_headers(struct fp_http_request *r, void *arg)
{
    if (fp_str_eq(r->path, FP_STR("/metrics")))
        return api_call_headers(r, arg);
    api_fail(call_new(arg, r), 404, NULL, NULL, "no such path; this port has /metrics");
    return (struct fp_http_verdict){.respond_now = true};
}

static void found(struct fp_api_call *c)
{
    if (admitted_known(c))
        handle(c);
}

void api_call_request(struct fp_http_request *r, void *api)
{
    struct fp_api_call *c = r->user;
    (void)api;
    struct fp_log_scope before = enter(c);
    if (c->unknown)
        api_auth_look_up(c, found);
    else
        handle(c);
    fp_log_scope_set(before);
}

bool api_call_sees(const struct fp_api_call *c, struct fp_str team)
{
    return c->grant == FP_AUTH_ALL ||
           fp_auth_team(&c->token, c->route->resource, c->route->action, team);
}

bool api_call_reads(const struct fp_api_call *c, struct fp_str user)
{
    struct fp_str name;
    enum fp_kind kind = fp_kind_by_name(fp_str_split(user, '/', &name));
    struct fp_snap_entry e;
    if (kind == FP_KIND_N || !name.data)
        return false;
    switch (fp_auth_scope(&c->token, fp_kinds[kind].table, "read")) {
    case FP_AUTH_ALL:
        return true;
    case FP_AUTH_TEAMS:
        return c->api->snap && fp_snap_find(c->api->snap, kind, name, &e) &&
               fp_auth_team(&c->token, fp_kinds[kind].table, "read", e.team);
    default:
        return false;
    }
}
