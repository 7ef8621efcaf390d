/*
 * Writes of native resources: validate, expand and encode first, then one SQL statement, then the
 * answer (contract §2.6).  Runs in workers.  A write becomes visible only through COMMIT and the
 * watcher; this file never touches what is served.
 */
#include "api/api_int.h"
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "obs/obs_metric.h"

#define OWN_TEAMS_MAX 100 /* as many scopes as a token has (contract §4.2) */

/* One path segment: everything but RFC 3986's unreserved characters is percent-encoded. */
static struct fp_str segment(struct fp_arena *a, struct fp_str s)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = fp_arena_alloc(a, s.len * 3 + 1), *p = out;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.data[i];
        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
            (ch && strchr("-._~", ch))) {
            *p++ = (char)ch;
        } else {
            *p++ = '%';
            *p++ = hex[ch >> 4];
            *p++ = hex[ch & 15];
        }
    }
    return fp_str_n(out, (size_t)(p - out));
}

/* If-Match: "7", W/"7", 7 and * are accepted; -1 = none. */
void api_write_if_match(struct fp_api_call *c, int64_t *version)
{
    struct fp_str v = fp_str_trim(fp_http_header(c->r, "if-match"));
    size_t n = fp_http_header_count(c->r, "if-match");
    *version = -1;
    if (n > 1)
        fp_problem_add_parameter(c->problems, "If-Match", FP_P_DUPLICATE, "stands twice");
    if (!n || fp_str_eq(v, FP_STR("*")))
        return; /* but an empty one is a mistake: a script whose variable is not set */
    if (fp_str_starts(v, FP_STR("W/")))
        v = fp_str_n(v.data + 2, v.len - 2);
    if (v.len >= 2 && v.data[0] == '"' && v.data[v.len - 1] == '"')
        v = fp_str_n(v.data + 1, v.len - 2);
    if (!fp_str_to_i64(v, version) || *version <= 0)
        fp_problem_add_parameter(c->problems, "If-Match", FP_P_INVALID_FORMAT,
                                 "must be a version as in ETag, or *");
}

const struct fp_str *api_own_teams(struct fp_api_call *c, const char *resource, size_t *n)
{
    struct fp_str scope, *list = fp_arena_alloc(c->r->arena, OWN_TEAMS_MAX * sizeof(*list));
    *n = 0;
    for (size_t pos = 0; *n < OWN_TEAMS_MAX && fp_snap_token_scope(&c->token, &pos, &scope);) {
        struct fp_str rest, kind = fp_str_split(scope, ':', &rest);
        struct fp_str team = fp_str_split(rest, ':', &rest);
        if (fp_str_eq_c(kind, "team") && fp_auth_team(&c->token, resource, "write", team))
            list[(*n)++] = team;
    }
    return list;
}

struct fp_store_actor api_write_actor(struct fp_api_call *c)
{
    char ip[FP_ADDR_TEXT_BYTES];
    struct fp_store_actor a = {
        .user_id = c->user_id,
        .client_ip = fp_str_of(fp_arena_strdup(c->r->arena, fp_addr_ip_text(&c->client, ip))),
        .user_agent = fp_http_header(c->r, "user-agent"),
        .request_id = c->request_id,
        .trace_context = api_trace_context(c),
    };
    if (!c->options.dry_run)
        api_trace_db(c); /* its statement is what comes next */
    if (c->grant != FP_AUTH_ALL)
        a.teams = api_own_teams(c, c->route->resource, &a.teams_n);
    return a;
}

/* The pointer of the first reference to that name, for the problem that says it is missing. */
static void missing_refs(struct fp_api_call *c, const struct fp_store_result *res)
{
    for (size_t i = 0; i < res->names_n; i++) {
        const char *pointer = "";
        for (size_t k = 0; k < c->resource->refs_n; k++)
            if (fp_str_eq(c->resource->refs[k].name, res->names[i]) && c->resource->refs[k].pointer)
                pointer = c->resource->refs[k].pointer;
        fp_problem_add(c->problems, pointer, FP_P_REFERENCE_NOT_FOUND,
                       "'%.*s' does not exist; create it first", FP_STR_ARG(res->names[i]));
    }
    api_fail_problems(c);
}

/* Names what the token may read, and counts the rest (contract §4.5). */
static void still_referenced(struct fp_api_call *c, const struct fp_store_result *res)
{
    size_t hidden = 0;
    for (size_t i = 0; i < res->names_n; i++)
        if (api_call_reads(c, res->names[i]))
            fp_problem_add(c->problems, "", FP_P_STILL_REFERENCED, "used by %.*s",
                           FP_STR_ARG(res->names[i]));
        else
            hidden++;
    if (hidden)
        fp_problem_add(c->problems, "", FP_P_STILL_REFERENCED,
                       "used by %zu resource%s that this token may not read", hidden,
                       hidden == 1 ? "" : "s");
    api_fail(c, 409, NULL, c->problems, "%s '%.*s' is still in use by %zu resource%s",
             fp_kinds[c->route->kind].title, FP_STR_ARG(c->name), res->names_n,
             res->names_n == 1 ? "" : "s");
}

static void conflict(struct fp_api_call *c, const char *pointer, enum fp_problem_code code,
                     const char *message)
{
    fp_problem_add(c->problems, pointer, code, "%s", message);
    api_fail(c, 409, NULL, c->problems, "%s", message);
}

/* Every outcome that is not a success; true when it has been answered. */
bool api_write_refused(struct fp_api_call *c, const struct fp_store_result *res)
{
    api_trace_db_end(c, res->outcome == FP_STORE_REFUSED || res->outcome == FP_STORE_UNAVAILABLE);
    switch (res->outcome) {
    case FP_STORE_DONE:
    case FP_STORE_UNCHANGED:
        return false;
    case FP_STORE_NOT_FOUND:
        api_fail_not_found(c);
        return true;
    case FP_STORE_NAME_TAKEN:
        conflict(c, "/name", FP_P_ALREADY_EXISTS,
                 fp_arena_printf(c->r->arena, "%s with name '%.*s' already exists",
                                 fp_kinds[c->route->kind].title, FP_STR_ARG(c->resource->name)));
        return true;
    case FP_STORE_ADDRESS_TAKEN:
        conflict(c, "/port", FP_P_ALREADY_EXISTS,
                 fp_arena_printf(c->r->arena, "%.*s:%d is taken by another listener",
                                 FP_STR_ARG(c->resource->address), c->resource->port));
        return true;
    case FP_STORE_SET_TAKEN:
        conflict(c, "/name", FP_P_ALREADY_EXISTS,
                 c->route->kind == FP_KIND_ENDPOINT
                     ? "a cluster generates the endpoint set of this name"
                     : "the endpoint set that this cluster generates exists as a row of its own");
        return true;
    case FP_STORE_TEAM:
        api_fail(c, 403, NULL, NULL,
                 "forbidden: only an unscoped token may change the team of %s '%.*s'",
                 fp_kinds[c->route->kind].name, FP_STR_ARG(c->resource->name));
        return true;
    case FP_STORE_STALE:
        fp_problem_add(c->problems, "", FP_P_STALE_VERSION, "the current version is %lld",
                       (long long)res->version);
        api_fail(c, 412, NULL, c->problems, "the resource has changed since that version");
        return true;
    case FP_STORE_MISSING_REFS:
        missing_refs(c, res);
        return true;
    case FP_STORE_REFERENCED:
        still_referenced(c, res);
        return true;
    case FP_STORE_PROTECTED:
        conflict(c, "", FP_P_PROTECTED,
                 fp_arena_printf(c->r->arena, "%s '%.*s' is protected",
                                 fp_kinds[c->route->kind].title, FP_STR_ARG(c->name)));
        return true;
    case FP_STORE_REFUSED:
        api_fail(c, 500, NULL, NULL, "internal error");
        return true;
    case FP_STORE_UNAVAILABLE:
        api_fail_unavailable(c, "the database is not available");
        return true;
    }
    FP_UNREACHABLE();
}

void api_write_headers(struct fp_api_call *c, const struct fp_store_result *res)
{
    struct api_headers *h = &c->headers;
    const struct fp_model_resource *m = c->resource;
    api_header_number(c, "flowplane-revision", res->revision);
    api_header_add(h, "etag",
                   fp_str_of(fp_arena_printf(c->r->arena, "\"%lld\"", (long long)res->version)));
    for (size_t i = 0; m && i < m->warnings_n && i < API_WARNINGS_MAX; i++)
        api_header_warn(c, m->warnings[i].code, m->warnings[i].message);
}

static void committed(struct fp_api_call *c, const struct fp_store_result *res)
{
    if (res->outcome == FP_STORE_DONE) {
        bool post = strcmp(c->route->method, "POST") == 0 && !c->over;
        fp_metric_add(FP_METRIC_CONFIG_UPDATES, c->route->kind,
                      post                                      ? 0
                      : strcmp(c->route->method, "DELETE") == 0 ? 2
                                                                : 1,
                      0, 1);
        fp_metric_add(FP_METRIC_AUDIT_WRITES, 0, 0, 0, 1);
    }
    fp_page_raise(&c->api->o.page->committed_revision, res->revision);
    api_write_headers(c, res);
}

static void written(const struct fp_store_result *res, void *arg)
{
    struct fp_api_call *c = arg;
    struct fp_model_resource *m = c->resource;
    bool create = strcmp(c->route->method, "POST") == 0 && !c->over;
    struct fp_buf b = {0};

    if (res->outcome == FP_STORE_NAME_TAKEN && (c->route->flags & API_ALIAS) && !c->over) {
        api_alias_taken(c);
        return;
    }
    if (api_write_refused(c, res))
        return;
    api_reference_absent(c, res);
    struct fp_model_row row = {
        .id = res->id,
        .name = m->name,
        .team = m->team,
        .source = FP_STR("native_api"),
        .form = m->form == FP_FORM_ENVOY ? FP_STR("envoy") : FP_STR("model"),
        .service_name = m->service_name,
        .created_at = res->created_at,
        .updated_at = res->updated_at,
        .version = res->version,
        .configuration = m->configuration,
    };
    fp_model_render(m->kind, &row, &b);
    c->body = fp_arena_str(c->r->arena, fp_buf_str(&b));
    fp_buf_fini(&b);
    committed(c, res);
    if (create)
        api_header_add(
            &c->headers, "location",
            fp_str_of(fp_arena_printf(c->r->arena, "/api/v1/%s/%.*s", fp_kinds[m->kind].path,
                                      FP_STR_ARG(segment(c->r->arena, m->name)))));
    c->status = create ? 201 : 200;
    api_wait_written(c, res->revision, res->outcome == FP_STORE_DONE);
}

/* A team-scoped token writes only into its teams; without `team` in the body it takes its own one.
 */
static bool team_ok(struct fp_api_call *c)
{
    struct fp_model_resource *m = c->resource;
    if (c->grant == FP_AUTH_ALL)
        return true;
    if (!m->team.data) {
        m->team = fp_auth_single_team(&c->token, c->route->resource, "write");
        if (m->team.data)
            return true;
        fp_problem_add(c->problems, "/team", FP_P_REQUIRED,
                       "required: the token is scoped to several teams");
        api_fail_problems(c);
        return false;
    }
    if (api_call_sees(c, m->team))
        return true;
    api_fail(c, 403, NULL, NULL, "forbidden: team '%.*s' is not covered by the token",
             FP_STR_ARG(m->team));
    return false;
}

/* Path and query parameters come before the body (the order of contract §2.1). */
static bool read_request(struct fp_api_call *c, int64_t *if_version)
{
    api_options_read(c);
    api_write_if_match(c, if_version);
    if (!c->problems->n)
        return true;
    api_fail_problems(c);
    return false;
}

static bool read_body(struct fp_api_call *c, struct fp_str path_name)
{
    struct fp_model_options o = {.pool = c->api->o.pool,
                                 .allow_privileged_ports = c->api->o.allow_privileged_ports};
    c->resource = FP_ARENA_NEW(c->r->arena, struct fp_model_resource);
    if (fp_model_parse(c->route->kind, &o, c->r->arena, c->json, path_name, c->problems,
                       c->resource) != FP_OK) {
        api_fail_problems(c);
        return false;
    }
    return team_ok(c);
}

struct fp_store_write api_store_write(struct fp_api_call *c, const struct fp_model_resource *m)
{
    const struct fp_api_options *o = &c->api->o;
    struct fp_store_write w = {
        .kind = m->kind,
        .name = m->name,
        .team = m->team,
        .source = FP_STR("native_api"),
        .form = m->form == FP_FORM_ENVOY ? FP_STR("envoy") : FP_STR("model"),
        .configuration = m->configuration_text,
        .service_name = m->service_name,
        .path_prefix = m->path_prefix,
        .cluster_name = m->cluster_name,
        .address = m->address,
        .protocol = m->protocol,
        .port = m->port,
        .encoded = m->encoded,
        .encoder_version = FP_MODEL_ENCODER_VERSION,
        .refs = m->refs,
        .refs_n = m->refs_n,
        .allow_missing = c->options.allow_missing,
        .external_clusters = o->external_clusters,
        .external_clusters_n = o->external_clusters_n,
        .if_version = -1,
        .actor = api_write_actor(c),
    };
    memcpy(w.content_hash, m->content_hash, sizeof(w.content_hash));
    return w;
}

void api_create(struct fp_api_call *c)
{
    int64_t if_version;
    if (!read_request(c, &if_version) || !read_body(c, FP_STR_NULL))
        return;
    struct fp_store_write w = api_store_write(c, c->resource);
    if (c->options.dry_run)
        api_dry_create(c, &w);
    else
        fp_store_create(c->api->o.store, &w, written, c);
}

void api_write_over(struct fp_api_call *c, int64_t version)
{
    struct fp_store_write w = api_store_write(c, c->resource);
    w.if_version = version;
    c->over = true;
    fp_store_replace(c->api->o.store, &w, written, c);
}

void api_replace(struct fp_api_call *c)
{
    int64_t if_version;
    if (!read_request(c, &if_version) || !read_body(c, c->name))
        return;
    struct fp_store_write w = api_store_write(c, c->resource);
    w.if_version = if_version;
    if (c->options.dry_run)
        api_dry_replace(c, &w);
    else
        fp_store_replace(c->api->o.store, &w, written, c);
}

static void deleted(const struct fp_store_result *res, void *arg)
{
    struct fp_api_call *c = arg;
    if (api_write_refused(c, res))
        return;
    committed(c, res);
    c->status = 204;
    api_wait_written(c, res->revision, true);
}

void api_delete(struct fp_api_call *c)
{
    int64_t if_version;
    if (!read_request(c, &if_version))
        return;
    struct fp_store_actor a = api_write_actor(c);
    if (c->options.dry_run)
        api_dry_delete(c, if_version);
    else
        fp_store_delete(c->api->o.store, c->route->kind, c->name, if_version, &a, deleted, c);
}
