/*
 * Who is calling (contract §4.3): from the snapshot, and for a well-formed unknown id by one SQL
 * look-up, so that a token made on another instance works before its snapshot comes.  Runs in
 * workers. Must never block, nor ask the database more than ten times a second for an instance.
 */
#include "api/api_int.h"
#include "core/core_clock.h"
#include "obs/obs_metric.h"
#include "store/store_token.h"

#define LOOKUPS_PER_MINUTE 600 /* ten a second */
#define LOOKUPS_BURST      10
#define UNKNOWN_PER_MINUTE 60 /* the same id once a second: negative answers are kept 1 s */

/* The label value's number in obs_metric_text.c. */
static unsigned auth_number(enum fp_auth_verdict v)
{
    static const unsigned char numbers[] = {
        [FP_AUTH_OK] = 0,        [FP_AUTH_MISSING] = 1,    [FP_AUTH_MALFORMED] = 2,
        [FP_AUTH_NOT_FOUND] = 3, [FP_AUTH_REVOKED] = 4,    [FP_AUTH_INACTIVE] = 4,
        [FP_AUTH_EXPIRED] = 5,   [FP_AUTH_BAD_SECRET] = 6,
    };
    return numbers[v];
}

static void accepted(struct fp_api_call *c)
{
    api_trace_auth_end(c, "ok", false);
    fp_metric_add(FP_METRIC_AUTHENTICATIONS, auth_number(FP_AUTH_OK), 0, 0, 1);
    c->user_id = fp_str_of(fp_arena_printf(c->r->arena, "fp_pat_%.*s", FP_STR_ARG(c->token.id)));
    api_audit_used(c);
}

void api_auth_refuse(struct fp_api_call *c, enum fp_auth_verdict v)
{
    struct api_headers h = {.n = 0};
    struct fp_str id = FP_STR_NULL, secret;
    api_trace_auth_end(c, fp_auth_infos[v].message, true);
    fp_metric_add(FP_METRIC_AUTHENTICATIONS, auth_number(v), 0, 0, 1);
    if (v > FP_AUTH_MALFORMED)
        fp_auth_split(fp_http_header(c->r, "authorization"), &id, &secret);
    api_audit_failed(c, v, id);
    if (api_limit_failure(c))
        return;
    api_header_add(&h, "www-authenticate",
                   v == FP_AUTH_MISSING
                       ? FP_STR("Bearer realm=\"flowplane\"")
                       : FP_STR("Bearer realm=\"flowplane\", error=\"invalid_token\""));
    api_fail(c, 401, &h, NULL, "%s", fp_auth_infos[v].message);
}

/* May the database be asked for this id?  The table is shared by all workers. */
static bool may_look_up(struct fp_api_call *c)
{
    struct fp_limits *l = c->api->o.page->limits;
    struct fp_str id, secret;
    uint64_t now_ms = fp_clock_mono_ms();
    if (!atomic_load(&c->api->o.page->database_up))
        return false;
    fp_auth_split(fp_http_header(c->r, "authorization"), &id, &secret);
    return !fp_limit_peek(l, FP_LIMIT_TOKEN_UNKNOWN, id, UNKNOWN_PER_MINUTE, 1, now_ms) &&
           !fp_limit_take(l, FP_LIMIT_TOKEN_LOOKUPS, FP_STR("instance"), LOOKUPS_PER_MINUTE,
                          LOOKUPS_BURST, now_ms);
}

enum api_auth api_auth_check(struct fp_api_call *c)
{
    if (!c->snap) {
        api_fail_unavailable(c, "auth service unavailable");
        return API_AUTH_ANSWERED;
    }
    struct fp_str header = fp_http_header(c->r, "authorization");
    if (fp_http_header_count(c->r, "authorization") > 1)
        header = FP_STR(","); /* a proxy may have looked at another one than we */
    api_trace_auth(c);
    enum fp_auth_verdict v = fp_auth_check(c->snap, header, fp_clock_wall_ms(), &c->token);
    if (v == FP_AUTH_OK) {
        accepted(c);
        return API_AUTH_OK;
    }
    if (v == FP_AUTH_NOT_FOUND && may_look_up(c))
        return API_AUTH_UNKNOWN;
    api_auth_refuse(c, v);
    return API_AUTH_ANSWERED;
}

/* The row as the snapshot would have it, in the call's arena. */
static void token_of(struct fp_api_call *c, const struct fp_token_secret *t, struct fp_str id)
{
    struct fp_arena *a = c->r->arena;
    struct fp_buf scopes = {0};
    for (size_t i = 0; i < t->scopes_n; i++) {
        fp_buf_append_str(&scopes, t->scopes[i]);
        fp_buf_append_byte(&scopes, 0);
    }
    c->token = (struct fp_snap_token){
        .id = fp_arena_str(a, id),
        .name = fp_arena_str(a, t->name),
        .expires_wall_ms = t->expires_wall_ms,
        .scopes_raw = fp_arena_str(a, fp_buf_str(&scopes)),
    };
    c->token.status = fp_str_eq(t->status, FP_STR("active"))    ? FP_TOKEN_ACTIVE
                      : fp_str_eq(t->status, FP_STR("expired")) ? FP_TOKEN_EXPIRED
                                                                : FP_TOKEN_REVOKED;
    if (t->hash.len == sizeof(c->token.secret_hash))
        memcpy(c->token.secret_hash, t->hash.data, t->hash.len);
    else
        c->token.status = FP_TOKEN_REVOKED;
    fp_buf_fini(&scopes);
}

static void looked_up(const struct fp_token_secret *t, void *arg)
{
    struct fp_api_call *c = arg;
    struct fp_str id, secret;
    bool known = t->outcome == FP_TOKEN_DONE;
    fp_auth_split(fp_http_header(c->r, "authorization"), &id, &secret);
    if (known)
        token_of(c, t, id);
    else if (t->outcome == FP_TOKEN_NOT_FOUND)
        fp_limit_take(c->api->o.page->limits, FP_LIMIT_TOKEN_UNKNOWN, id, UNKNOWN_PER_MINUTE, 1,
                      fp_clock_mono_ms());
    enum fp_auth_verdict v = fp_auth_judge(known ? &c->token : NULL, secret, fp_clock_wall_ms());
    if (v != FP_AUTH_OK) {
        api_auth_refuse(c, v);
        return;
    }
    accepted(c);
    c->looked_up(c);
}

void api_auth_look_up(struct fp_api_call *c, fp_api_handler then)
{
    struct fp_str id, secret;
    fp_auth_split(fp_http_header(c->r, "authorization"), &id, &secret);
    c->looked_up = then;
    fp_store_token_secret(c->api->o.store, id, looked_up, c);
}
