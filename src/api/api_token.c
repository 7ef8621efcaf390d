/*
 * /api/v1/tokens (contract §4.2): records come from the database, authentication from the snapshot.
 * Runs in workers.  A write is answered when this instance serves it; a secret leaves once, in the
 * answer that made it, and is wiped behind it.
 */
#include "api/api_int.h"
#include "codec/codec_diff.h"
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "core/core_clock.h"
#include "core/core_rand.h"
#include "obs/obs_metric.h"
#include "store/store_token.h"

#define SECRET_CHARS 48
#define PREFIX       "fp_pat_"

struct write { /* of one call, in its arena */
    struct fp_api_call *c;
    struct fp_token_write w;
    struct api_token_body body;
    char *secret; /* create and rotate, not in dry runs */
    const char *action;
    enum fp_metric metric; /* FP_METRIC_N: none */
};

/* ---- ids */

/* The UUID or fp_pat_<uuid>; false: no token is called so.  What follows an id is a secret: not
 * echoed. */
static bool read_id(struct fp_api_call *c)
{
    struct fp_str s = c->name;
    if (fp_str_starts(s, FP_STR(PREFIX)))
        s = fp_str_n(s.data + sizeof(PREFIX) - 1, s.len - (sizeof(PREFIX) - 1));
    bool good = fp_uuid_is(s);
    if (!good && s.len > FP_UUID_TEXT_BYTES - 1 && s.data[FP_UUID_TEXT_BYTES - 1] == '.')
        s.len = FP_UUID_TEXT_BYTES - 1;
    c->name = s;
    return good;
}

/* ---- reads */

static bool unavailable(struct fp_api_call *c, enum fp_token_outcome outcome)
{
    if (outcome == FP_TOKEN_UNAVAILABLE)
        api_fail_unavailable(c, "the database is not available");
    else if (outcome == FP_TOKEN_REFUSED)
        api_fail(c, 500, NULL, NULL, "internal error");
    else
        return false;
    return true;
}

static struct fp_str etag_of(struct fp_api_call *c, int64_t version)
{
    return fp_str_of(fp_arena_printf(c->r->arena, "\"%lld\"", (long long)version));
}

static void got(const struct fp_token_result *res, void *arg)
{
    struct fp_api_call *c = arg;
    if (unavailable(c, res->outcome))
        return;
    if (res->outcome != FP_TOKEN_DONE) {
        api_fail_not_found(c);
        return;
    }
    struct fp_str etag = etag_of(c, res->version);
    api_header_add(&c->headers, "etag", etag);
    if (api_read_none_match(c, etag))
        api_respond(c, 304, &c->headers, FP_STR_NULL);
    else
        api_respond(c, 200, &c->headers, res->record);
}

void api_token_get(struct fp_api_call *c)
{
    if (read_id(c))
        fp_store_token_get(c->api->o.store, c->name, got, c);
    else
        api_fail_not_found(c);
}

void api_token_self(struct fp_api_call *c)
{
    c->name = c->token.id;
    fp_store_token_get(c->api->o.store, c->name, got, c);
}

static void listed(const struct fp_token_list *l, void *arg)
{
    struct fp_api_call *c = arg;
    struct fp_buf b = {0};
    if (unavailable(c, l->outcome))
        return;
    fp_buf_append_byte(&b, '[');
    fp_buf_append_str(&b, l->items);
    fp_buf_append_byte(&b, ']');
    api_header_number(c, "x-total-count", l->total);
    api_respond(c, 200, &c->headers, fp_buf_str(&b));
    fp_buf_fini(&b);
}

void api_token_list(struct fp_api_call *c)
{
    uint64_t limit = api_query_clamped(c, "limit", 1, API_LIMIT_MAX);
    uint64_t offset = api_query_clamped(c, "offset", 0, INT64_MAX);
    if (c->problems->n)
        api_fail_problems(c);
    else
        fp_store_token_list(c->api->o.store, limit, offset, listed, c);
}

/* ---- writes: how they end */

static void fail_state(struct fp_api_call *c, enum fp_problem_code code, const char *pointer,
                       const char *message)
{
    fp_problem_add(c->problems, pointer, code, "%s", message);
    api_fail(c, 409, NULL, c->problems, "%s", message);
}

static void admin_only(struct fp_api_call *c)
{
    api_fail(c, 403, NULL, NULL, "forbidden: only a holder of admin:all may grant admin:all");
}

/* true: answered, it was not a success */
static bool refused(struct fp_api_call *c, const struct fp_token_result *res)
{
    if (unavailable(c, res->outcome))
        return true;
    switch (res->outcome) {
    case FP_TOKEN_NOT_FOUND:
        api_fail_not_found(c);
        return true;
    case FP_TOKEN_STALE:
        fp_problem_add(c->problems, "", FP_P_STALE_VERSION, "the current version is %lld",
                       (long long)res->version);
        api_fail(c, 412, NULL, c->problems, "the token has changed since that version");
        return true;
    case FP_TOKEN_NOT_LIVE:
        api_fail(c, 409, NULL, NULL, "only an active token can be rotated");
        return true;
    case FP_TOKEN_NO_SCOPES:
        fail_state(c, FP_P_REQUIRED, "/scopes", "a revoked token needs scopes to become active");
        return true;
    case FP_TOKEN_ADMIN_ONLY:
        admin_only(c);
        return true;
    case FP_TOKEN_LAST_ADMIN:
        fail_state(c, FP_P_LAST_ADMIN_TOKEN, "",
                   "no active token with tokens:write or admin:all would be left; force=true "
                   "does it all the same");
        return true;
    default:
        return false;
    }
}

static void warnings(struct write *w)
{
    for (size_t i = 0; i < w->body.warnings_n; i++)
        api_header_warn(w->c, w->body.warnings[i].code, w->body.warnings[i].message);
}

static void secret_body(struct write *w)
{
    struct fp_arena *a = w->c->r->arena;
    const char *id = fp_arena_printf(a, "%.*s", FP_STR_ARG(w->w.id));
    w->c->body = fp_str_of(
        fp_arena_printf(a, "{\"id\":\"%s\",\"token\":\"" PREFIX "%s.%s\"}", id, id, w->secret));
}

static void written(const struct fp_token_result *res, void *arg)
{
    struct fp_api_call *c = arg;
    struct write *w = c->user;
    bool changed = res->outcome == FP_TOKEN_DONE;
    bool create = strcmp(w->action, "create") == 0;
    api_trace_db_end(c, res->outcome == FP_TOKEN_REFUSED || res->outcome == FP_TOKEN_UNAVAILABLE);
    if (refused(c, res))
        return;
    if (changed) {
        if (w->metric != FP_METRIC_N)
            fp_metric_add(w->metric, 0, 0, 0, 1);
        fp_metric_add(FP_METRIC_AUDIT_WRITES, 0, 0, 0, 1);
    }
    fp_page_raise(&c->api->o.page->committed_revision, res->revision);
    api_header_number(c, "flowplane-revision", res->revision);
    api_header_add(&c->headers, "etag", etag_of(c, res->version));
    if (create)
        api_header_add(
            &c->headers, "location",
            fp_str_of(fp_arena_printf(c->r->arena, "/api/v1/tokens/%.*s", FP_STR_ARG(w->w.id))));
    warnings(w);
    if (w->secret)
        secret_body(w);
    else
        c->body = fp_arena_str(c->r->arena, res->record);
    c->status = create ? 201 : 200;
    api_wait_written(c, res->revision, changed);
}

/* ---- dry runs */

/* Of a record: what a client can set. */
static json_t *settable(struct fp_api_call *c, struct fp_str record)
{
    static const char *const server[] = {"id",        "lastUsedAt", "createdBy",
                                         "createdAt", "updatedAt",  "version"};
    json_t *v =
        record.data ? fp_json_parse(c->r->arena, record, API_JSON_DEPTH, c->problems) : NULL;
    for (size_t i = 0; v && i < sizeof(server) / sizeof(server[0]); i++)
        json_object_del(v, server[i]);
    return v;
}

static void answer_dry(struct write *w, const json_t *from, const json_t *to, int64_t version,
                       const char *action, uint64_t revision)
{
    struct fp_api_call *c = w->c;
    struct fp_buf b = {0};
    json_t *name = json_object_get(to, "name"), *list = json_array();
    for (size_t i = 0; i < w->body.warnings_n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "code", w->body.warnings[i].code,
                                              "pointer", w->body.warnings[i].pointer, "message",
                                              w->body.warnings[i].message));
    json_t *body = json_pack("{s:b, s:[{s:s, s:O, s:s, s:o, s:o}], s:o}", "dryRun", 1, "changes",
                             "kind", "token", "name", name, "action", action, "fromVersion",
                             from ? json_integer((json_int_t)version) : json_null(), "diff",
                             fp_json_diff(from, to), "warnings", list);
    fp_json_write(&b, body, false);
    json_decref(body);
    api_header_number(c, "flowplane-revision", revision);
    api_respond(c, 200, &c->headers, fp_buf_str(&b));
    fp_buf_fini(&b);
}

static void looked(const struct fp_token_result *res, void *arg)
{
    struct fp_api_call *c = arg;
    struct write *w = c->user;
    if (!refused(c, res))
        answer_dry(w, settable(c, res->before), settable(c, res->record), res->version,
                   res->outcome == FP_TOKEN_UNCHANGED && !w->w.rotate ? "unchanged" : "update",
                   res->revision);
}

/* Nothing in the database can forbid a create: the body is the record. */
static void dry_create(struct write *w)
{
    const json_t *f = w->body.fields;
    json_t *expires = json_object_get(f, "expires"),
           *description = json_object_get(f, "description");
    char at[FP_CLOCK_TEXT_BYTES] = "";
    if (json_is_real(expires))
        fp_clock_rfc3339(at, (int64_t)(json_real_value(expires) * 1000), false);
    json_t *to =
        json_pack("{s:O, s:O?, s:s, s:s?, s:O}", "name", json_object_get(f, "name"), "description",
                  json_is_null(description) ? NULL : description, "status", "active", "expiresAt",
                  *at ? at : NULL, "scopes", json_object_get(f, "scopes"));
    answer_dry(w, NULL, fp_json_own(w->c->r->arena, to), 0, "create",
               fp_snap_meta(w->c->api->snap)->revision);
}

/* ---- writes: how they begin */

static void wipe(void *arg)
{
    struct write *w = arg;
    explicit_bzero(w->secret, SECRET_CHARS);
    if (w->c->body.data)
        explicit_bzero((char *)(uintptr_t)w->c->body.data, w->c->body.len);
}

/* Its digest goes into the fields; the text stays until the answer is out. */
static void make_secret(struct write *w)
{
    uint8_t digest[FP_SHA256_BYTES];
    char hex[2 * FP_SHA256_BYTES + 1];
    w->secret = fp_arena_alloc(w->c->r->arena, SECRET_CHARS + 1);
    fp_rand_alnum(w->secret, SECRET_CHARS);
    fp_sha256(w->secret, SECRET_CHARS, digest);
    fp_hex(hex, digest, sizeof(digest));
    json_object_set_new(w->body.fields, "hash", json_string(hex));
    fp_arena_cleanup(w->c->r->arena, wipe, w);
}

static bool holds_admin_all(const struct fp_snap_token *t)
{
    struct fp_str scope;
    for (size_t pos = 0; fp_snap_token_scope(t, &pos, &scope);)
        if (fp_str_eq(scope, FP_STR("admin:all")))
            return true;
    return false;
}

/* Parameters first (the order of contract §2.1); NULL: answered. */
static struct write *begin(struct fp_api_call *c, const char *action, enum fp_metric metric)
{
    struct write *w = FP_ARENA_NEW(c->r->arena, struct write);
    struct fp_str force = fp_http_query(c->r, "force");
    api_options_read(c);
    api_write_if_match(c, &w->w.if_version);
    if (force.data && !fp_str_eq(force, FP_STR("true")) && !fp_str_eq(force, FP_STR("false")))
        fp_problem_add_parameter(c->problems, "force", FP_P_INVALID_VALUE, "must be true or false");
    if (c->problems->n) {
        api_fail_problems(c);
        return NULL;
    }
    if (c->options.wait == API_WAIT_NO) /* contract §2.7: token writes always wait */
        c->options.wait = API_WAIT_PUBLISHED;
    c->user = w;
    w->c = c;
    w->action = action;
    w->metric = metric;
    w->body.fields = fp_json_own(c->r->arena, json_object());
    w->w.id = c->name;
    w->w.force = fp_str_eq(force, FP_STR("true"));
    w->w.admin = holds_admin_all(&c->token);
    w->w.dry = c->options.dry_run;
    w->w.actor = api_write_actor(c);
    return w;
}

static void set_fields(struct write *w)
{
    struct fp_buf b = {0};
    fp_json_write(&b, w->body.fields, false);
    w->w.fields = fp_arena_str(w->c->r->arena, fp_buf_str(&b));
    fp_buf_fini(&b);
}

static void change(struct write *w)
{
    set_fields(w);
    fp_store_token_change(w->c->api->o.store, &w->w, w->w.dry ? looked : written, w->c);
}

void api_token_create(struct fp_api_call *c)
{
    struct write *w = begin(c, "create", FP_METRIC_TOKENS_CREATED);
    if (!w || !api_token_body_read(c, true, &w->body))
        return;
    if (w->body.admin_all && !w->w.admin) {
        admin_only(c);
        return;
    }
    if (w->w.dry) {
        dry_create(w);
        return;
    }
    char *id = fp_arena_alloc(c->r->arena, FP_UUID_TEXT_BYTES);
    fp_uuid_v4(id);
    w->w.id = fp_str_of(id);
    json_object_set_new(w->body.fields, "created_by",
                        json_stringn(c->token.id.data, c->token.id.len));
    make_secret(w);
    set_fields(w);
    fp_store_token_create(c->api->o.store, &w->w, written, c);
}

void api_token_patch(struct fp_api_call *c)
{
    bool good = read_id(c);
    struct write *w = begin(c, "update", FP_METRIC_N);
    if (!w || !api_token_body_read(c, false, &w->body))
        return;
    if (fp_str_eq(fp_json_str(json_object_get(w->body.fields, "status")), FP_STR("revoked")))
        w->metric = FP_METRIC_TOKENS_REVOKED;
    if (w->body.admin_all && !w->w.admin)
        admin_only(c);
    else if (!good)
        api_fail_not_found(c);
    else
        change(w);
}

void api_token_revoke(struct fp_api_call *c)
{
    bool good = read_id(c);
    struct write *w = begin(c, "update", FP_METRIC_TOKENS_REVOKED);
    if (w && !good)
        api_fail_not_found(c);
    if (!w || !good)
        return;
    json_object_set_new(w->body.fields, "status", json_string("revoked"));
    json_object_set_new(w->body.fields, "scopes", json_array());
    change(w);
}

void api_token_rotate(struct fp_api_call *c)
{
    bool good = read_id(c);
    struct write *w = begin(c, "update", FP_METRIC_TOKENS_ROTATED);
    if (w && !good)
        api_fail_not_found(c);
    if (!w || !good)
        return;
    w->w.rotate = true;
    if (!w->w.dry)
        make_secret(w);
    change(w);
}
