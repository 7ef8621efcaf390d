/*
 * The body of a create or a change of a token (contract §4.2), checked: all problems at once.  Runs
 * in workers.  What only the server sets is read_only here, never silently dropped.
 */
#include <stdlib.h>
#include "api/api_int.h"
#include "codec/codec_json.h"
#include "core/core_clock.h"

#define NAME_MIN        3
#define NAME_MAX        64
#define DESCRIPTION_MAX 1000
#define SCOPES_MAX      100
#define SCOPE_SHOWN_MAX 80              /* bytes of a scope in a warning */
#define EXPIRES_MIN_MS  -62135596800000 /* 0001-01-01T00:00:00Z */
#define EXPIRES_MAX_MS  253402300799999 /* 9999-12-31T23:59:59.999Z */

struct reader {
    struct fp_api_call *c;
    struct api_token_body *out;
    bool create;
};
typedef void (*field_reader)(struct reader *r, const char *pointer, const json_t *v);

static void bad(struct reader *r, const char *pointer, enum fp_problem_code code, const char *text)
{
    fp_problem_add(r->c->problems, pointer, code, "%s", text);
}

static void set(struct reader *r, const char *key, json_t *v)
{
    json_object_set_new(r->out->fields, key, v);
}

static void warn(struct reader *r, const char *code, const char *pointer, const char *message)
{
    r->out->warnings[r->out->warnings_n].code = code;
    r->out->warnings[r->out->warnings_n].pointer = pointer;
    r->out->warnings[r->out->warnings_n++].message = message;
}

static void read_name(struct reader *r, const char *pointer, const json_t *v)
{
    struct fp_str s = fp_json_str(v);
    if (!s.data)
        bad(r, pointer, FP_P_INVALID_TYPE, "must be a string");
    else if (s.len < NAME_MIN)
        bad(r, pointer, FP_P_TOO_SHORT, "must have at least 3 characters");
    else if (s.len > NAME_MAX)
        bad(r, pointer, FP_P_TOO_LONG, "must have at most 64 characters");
    else
        set(r, "name", json_stringn(s.data, s.len));
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.data[i];
        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
            ch == '_' || ch == '-')
            continue;
        bad(r, pointer, FP_P_INVALID_FORMAT, "may hold A-Z a-z 0-9 _ - only");
        return;
    }
}

static void read_description(struct reader *r, const char *pointer, const json_t *v)
{
    struct fp_str s = fp_json_str(v);
    size_t n = 0;
    if (!s.data && !json_is_null(v)) {
        bad(r, pointer, FP_P_INVALID_TYPE, "must be a string or null");
        return;
    }
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.data[i] & 0xC0) != 0x80; /* characters, not bytes */
    if (n > DESCRIPTION_MAX)
        bad(r, pointer, FP_P_TOO_LONG, "must have at most 1000 characters");
    else
        set(r, "description", s.data ? json_stringn(s.data, s.len) : json_null());
}

static void read_status(struct reader *r, const char *pointer, const json_t *v)
{
    struct fp_str s = fp_json_str(v);
    if (r->create)
        bad(r, pointer, FP_P_READ_ONLY, "is set by the server; a new token is active");
    else if (!s.data)
        bad(r, pointer, FP_P_INVALID_TYPE, "must be a string");
    else if (!fp_str_eq(s, FP_STR("active")) && !fp_str_eq(s, FP_STR("revoked")) &&
             !fp_str_eq(s, FP_STR("expired")))
        bad(r, pointer, FP_P_INVALID_VALUE, "must be active, revoked or expired");
    else
        set(r, "status", json_stringn(s.data, s.len));
}

static void read_expires(struct reader *r, const char *pointer, const json_t *v)
{
    struct fp_str s = fp_json_str(v);
    int64_t ms;
    if (json_is_null(v))
        set(r, "expires", json_null());
    else if (!s.data)
        bad(r, pointer, FP_P_INVALID_TYPE, "must be a string or null");
    else if (!fp_clock_parse_rfc3339(s, &ms))
        bad(r, pointer, FP_P_INVALID_FORMAT, "must be a time such as 2031-05-01T00:00:00Z");
    else if (ms < EXPIRES_MIN_MS || ms > EXPIRES_MAX_MS)
        bad(r, pointer, FP_P_OUT_OF_RANGE, "must be between the years 1 and 9999");
    else
        set(r, "expires", json_real((double)ms / 1000));
}

static int by_text(const void *a, const void *b)
{
    return fp_str_cmp(*(const struct fp_str *)a, *(const struct fp_str *)b);
}

/* Well-formed, but naming nothing that exists: it is kept and grants nothing (contract §4.4). */
static bool scope_known(struct fp_str scope)
{
    static const char *const resources[] = {
        "tokens",          "clusters", "routes",  "listeners", "endpoints", "secrets", "resources",
        "api-definitions", "gateways", "reports", "revisions", "nodes",     "audit"};
    struct fp_str rest, first = fp_str_split(scope, ':', &rest), action;
    if (fp_str_eq(scope, FP_STR("admin:all")) || fp_str_eq(scope, FP_STR("gateways:import")))
        return true;
    bool team = fp_str_eq(first, FP_STR("team"));
    if (team) {
        fp_str_split(rest, ':', &rest);
        first = fp_str_split(rest, ':', &rest);
    }
    action = rest;
    if (!fp_str_eq(action, FP_STR("read")) && !fp_str_eq(action, FP_STR("write")) &&
        !fp_str_eq(action, FP_STR("*")))
        return false;
    if (team && fp_str_eq(first, FP_STR("*")))
        return true;
    for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++)
        if (fp_str_eq_c(first, resources[i]))
            return true;
    return false;
}

static void set_scopes(struct reader *r, const char *pointer, struct fp_str *list, size_t n)
{
    json_t *out = json_array();
    struct fp_str unknown = FP_STR_NULL;
    size_t unknown_n = 0;
    qsort(list, n, sizeof(*list), by_text);
    for (size_t i = 0; i < n; i++) {
        if (i && fp_str_eq(list[i], list[i - 1]))
            continue;
        json_array_append_new(out, json_stringn(list[i].data, list[i].len));
        r->out->admin_all |= fp_str_eq(list[i], FP_STR("admin:all"));
        if (scope_known(list[i]))
            continue;
        unknown = unknown_n++ ? unknown : list[i];
    }
    set(r, "scopes", out);
    if (!unknown_n)
        return;
    unknown.len = unknown.len > SCOPE_SHOWN_MAX ? SCOPE_SHOWN_MAX : unknown.len;
    warn(r, "unknown_scope", pointer,
         fp_arena_printf(r->c->r->arena,
                         unknown_n > 1 ? "'%.*s' and %zu more grant nothing"
                                       : "'%.*s' grants nothing",
                         FP_STR_ARG(unknown), unknown_n - 1));
}

static void read_scopes(struct reader *r, const char *pointer, const json_t *v)
{
    struct fp_arena *a = r->c->r->arena;
    size_t n = json_array_size(v), good = 0;
    if (!json_is_array(v)) {
        bad(r, pointer, FP_P_INVALID_TYPE, "must be an array of strings");
        return;
    }
    if (n < 1 || n > SCOPES_MAX) {
        bad(r, pointer, n ? FP_P_TOO_MANY : FP_P_TOO_FEW, "must have 1 to 100 scopes");
        return;
    }
    struct fp_str *list = fp_arena_alloc(a, n * sizeof(*list));
    for (size_t i = 0; i < n; i++) {
        const char *at = fp_pointer_push_index(a, pointer, i);
        list[i] = fp_json_str(json_array_get(v, i));
        if (!list[i].data)
            bad(r, at, FP_P_INVALID_TYPE, "must be a string");
        else if (!fp_auth_scope_valid(list[i]))
            bad(r, at, FP_P_INVALID_FORMAT,
                "must be <resource>:<action> or team:<team>:<resource>:<action>");
        else
            good++;
    }
    if (good == n)
        set_scopes(r, pointer, list, n);
}

static void read_only(struct reader *r, const char *pointer, const json_t *v)
{
    (void)v;
    bad(r, pointer, FP_P_READ_ONLY, "is set by the server");
}

static const struct {
    const char *name;
    field_reader read;
} fields[] = {
    {"name", read_name},         {"description", read_description},
    {"expiresAt", read_expires}, {"scopes", read_scopes},
    {"status", read_status},     {"createdBy", read_only},
    {"id", read_only},           {"lastUsedAt", read_only},
    {"createdAt", read_only},    {"updatedAt", read_only},
    {"version", read_only},
};
#define FIELDS_N (sizeof(fields) / sizeof(fields[0]))

static void read_field(struct reader *r, struct fp_str key, const json_t *v)
{
    static const char *const settable[] = {"name", "description", "expiresAt", "scopes", "status"};
    const char *pointer = fp_pointer_push(r->c->r->arena, "", key);
    for (size_t i = 0; i < FIELDS_N; i++)
        if (fp_str_eq_c(key, fields[i].name)) {
            fields[i].read(r, pointer, v);
            return;
        }
    fp_problem_add_unknown(r->c->problems, pointer, key, settable,
                           sizeof(settable) / sizeof(settable[0]) - (r->create ? 1 : 0));
}

/* What a new token gets without an expiry of its own (auth.default_lifetime). */
static void default_lifetime(struct reader *r)
{
    uint64_t ms = r->c->api->o.token_lifetime_ms;
    if (ms && !json_is_number(json_object_get(r->out->fields, "expires")))
        set(r, "expires", json_real((double)(fp_clock_wall_ms() + (int64_t)ms) / 1000));
}

static void check_expired(struct reader *r)
{
    const json_t *v = json_object_get(r->out->fields, "expires");
    if (json_is_real(v) && json_real_value(v) * 1000 <= (double)fp_clock_wall_ms())
        warn(r, "already_expired", "/expiresAt", "the time has passed: the token is of no use");
}

bool api_token_body_read(struct fp_api_call *c, bool create, struct api_token_body *out)
{
    struct reader r = {.c = c, .out = out, .create = create};
    json_t *body = c->json;
    const char *key;
    json_t *v;
    *out = (struct api_token_body){.fields = fp_json_own(c->r->arena, json_object())};
    if (body && !json_is_object(body))
        bad(&r, "", FP_P_INVALID_TYPE, "must be an object");
    else if (body && !create && json_object_size(body) == 0)
        bad(&r, "", FP_P_TOO_FEW, "must have at least one field");
    json_object_foreach (body, key, v) {
        read_field(&r, fp_str_of(key), v);
    }
    for (size_t i = 0; create && json_is_object(body) && i < 2; i++) {
        static const char *const required[] = {"name", "scopes"};
        if (!json_object_get(body, required[i]))
            bad(&r, fp_pointer_push(c->r->arena, "", fp_str_of(required[i])), FP_P_REQUIRED,
                "required");
    }
    if (c->problems->n) {
        api_fail_problems(c);
        return false;
    }
    if (create)
        default_lifetime(&r);
    check_expired(&r);
    return true;
}
