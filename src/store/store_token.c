/*
 * Tokens: records, changes, the look-up of an unknown id, last use.  Runs in workers.  A change is
 * one statement under the revision lock, as those of store_statement.c; audit rows come from the
 * triggers. Must never see a secret nor log a digest.
 */
#include "store/store_token.h"
#include "core/core_log.h"
#include "store/store_int.h"

#define SCOPES_MAX 256 /* as many as the snapshot takes of a row */

/* The record of contract §4.2, in its order; x holds a row of tokens. */
#define TIME(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
#define RECORD(x, version, updated)                                                                \
    "json_build_object('id', " x ".token_id, 'name', " x ".name, 'description', " x                \
    ".description,\n"                                                                              \
    "  'status', " x ".status, 'expiresAt', " TIME(x ".expires_at") ", 'lastUsedAt', " TIME(       \
        x ".last_used_at") ",\n"                                                                   \
                           "  'createdBy', " x ".created_by, 'createdAt', " TIME(                  \
                               x ".created_at") ", 'updatedAt', " TIME(updated) ",\n"              \
                                                                                "  'scopes', "     \
                                                                                "ARRAY(SELECT s "  \
                                                                                "FROM unnest(" x   \
                                                                                ".scopes) s "      \
                                                                                "ORDER BY s "      \
                                                                                "COLLATE "         \
                                                                                "\"C\"), "         \
                                                                                "'version', "      \
                                                                                "" version ")"     \
                                                                                "::text"

enum { C_OUTCOME, C_BEFORE, C_RECORD, C_VERSION, C_REVISION, C_N };

/* $1 actor, $2 lock timeout, $3 id, $4 fields */
#define BEGIN  "WITH w AS MATERIALIZED (SELECT * FROM flowplane_begin($1::jsonb, $2::int)),\n"
#define EXPIRY "to_timestamp(($4::jsonb ->> 'expires')::float8)"
#define SCOPES "ARRAY(SELECT jsonb_array_elements_text($4::jsonb -> 'scopes'))"

static const char create_sql[] =
    BEGIN "i AS (INSERT INTO tokens (token_id, name, description, secret_hash, scopes, expires_at, "
          "created_by)\n"
          "  SELECT $3::text::uuid, $4::jsonb ->> 'name', $4::jsonb ->> 'description',\n"
          "    decode($4::jsonb ->> 'hash', 'hex'), " SCOPES ", " EXPIRY
          ", $4::jsonb ->> 'created_by' FROM w\n"
          "  RETURNING *)\n"
          "SELECT 'done', NULL::text, " RECORD("i", "i.version", "i.updated_at") ", i.version,\n"
                                                                                 "  "
                                                                                 "w.revision_next "
                                                                                 "FROM w, i";

/* Can it make tokens? */
#define MAKER(x)                                                                                   \
    "(" x ".status = 'active' AND (" x ".expires_at IS NULL OR " x ".expires_at > now())\n"        \
    "      AND " x ".scopes && '{tokens:write,tokens:*,admin:all}')"

/* $5 version asked for, $6 rotate, $7 force, $8 the caller holds admin:all, $9 dry run.
 * c: the row before, n: what it is to become, o: whether it may, u: the row after. */
static const char change_sql[] = BEGIN
    "c AS MATERIALIZED (SELECT t.* FROM w, tokens t WHERE t.token_id = $3::text::uuid\n"
    "  FOR NO KEY UPDATE OF t),\n"
    "n AS MATERIALIZED (SELECT c.token_id, c.last_used_at, c.created_by, c.created_at,\n"
    "    coalesce($4::jsonb ->> 'name', c.name) AS name,\n"
    "    CASE WHEN $4::jsonb ? 'description' THEN $4::jsonb ->> 'description'\n"
    "      ELSE c.description END AS description,\n"
    "    coalesce($4::jsonb ->> 'status', c.status) AS status,\n"
    "    CASE WHEN $4::jsonb ? 'expires' THEN " EXPIRY " ELSE c.expires_at END AS expires_at,\n"
    "    CASE WHEN $4::jsonb ? 'scopes' THEN " SCOPES " ELSE c.scopes END AS scopes,\n"
    "    coalesce(decode($4::jsonb ->> 'hash', 'hex'), c.secret_hash) AS secret_hash FROM c),\n"
    "o AS MATERIALIZED (SELECT CASE\n"
    "    WHEN $5::bigint >= 0 AND c.version <> $5::bigint THEN 'stale'\n"
    "    WHEN $6::boolean AND (c.status <> 'active' OR c.expires_at <= now()) THEN 'not live'\n"
    "    WHEN c.status = 'revoked' AND n.status = 'active' AND n.scopes = '{}' THEN 'no scopes'\n"
    "    WHEN NOT $8::boolean AND n.status = 'active' AND 'admin:all' = ANY (n.scopes) AND (\n"
    "      $6::boolean OR c.status <> 'active' OR NOT 'admin:all' = ANY (c.scopes)\n"
    "      OR coalesce(n.expires_at, 'infinity') > coalesce(c.expires_at, 'infinity'))\n"
    "      THEN 'admin only'\n"
    "    WHEN (n.name, n.description, n.status, n.expires_at, n.scopes, n.secret_hash)\n"
    "      IS NOT DISTINCT FROM (c.name, c.description, c.status, c.expires_at, c.scopes,\n"
    "      c.secret_hash) THEN 'unchanged'\n"
    "    WHEN NOT $7::boolean AND " MAKER("c") " AND NOT " MAKER(
        "n") "\n"
             "      AND NOT flowplane_other_admin(c.token_id) THEN 'last admin'\n"
             "    ELSE 'done' END AS outcome FROM c, n),\n"
             "u AS (UPDATE tokens t SET name = n.name, description = n.description, status = "
             "n.status,\n"
             "    expires_at = n.expires_at, scopes = n.scopes, secret_hash = n.secret_hash\n"
             "  FROM n, o WHERE t.token_id = n.token_id AND o.outcome = 'done' AND NOT "
             "$9::boolean\n"
             "  RETURNING t.version, t.updated_at)\n"
             "SELECT o.outcome, " RECORD(
                 "c", "c.version",
                 "c.updated_at") ",\n"
                                 "  " RECORD(
                                     "n", "coalesce(u.version, c.version)",
                                     "coalesce(u.updated_at, c.updated_at)") ",\n"
                                                                             "  "
                                                                             "coalesce(u.version, "
                                                                             "c.version),\n"
                                                                             "  CASE WHEN "
                                                                             "u.version IS NULL "
                                                                             "THEN w.revision_now "
                                                                             "ELSE w.revision_next "
                                                                             "END\n"
                                                                             "FROM w CROSS JOIN c "
                                                                             "CROSS JOIN n CROSS "
                                                                             "JOIN o LEFT JOIN u "
                                                                             "ON true";

static const char get_sql[] = "SELECT 'done', NULL::text, " RECORD(
    "t", "t.version", "t.updated_at") ", t.version,\n"
                                      "  0::bigint FROM tokens t WHERE t.token_id = $1::text::uuid";
static const char list_sql[] =
    "SELECT (SELECT count(*) FROM tokens), coalesce(string_agg(x.record, ',' ORDER BY\n"
    "  x.created_at, x.token_id), '') FROM (\n"
    "  SELECT t.created_at, t.token_id, " RECORD(
        "t", "t.version", "t.updated_at") " AS record\n"
                                          "  FROM tokens t ORDER BY t.created_at, t.token_id LIMIT "
                                          "$1::bigint OFFSET $2::bigint) x";
static const char secret_sql[] = "SELECT name, status, secret_hash, scopes, expires_at FROM tokens "
                                 "WHERE token_id = $1::text::uuid";

static const struct {
    const char *text;
    enum fp_token_outcome outcome;
} outcomes[] = {
    {"done", FP_TOKEN_DONE},
    {"unchanged", FP_TOKEN_UNCHANGED},
    {"stale", FP_TOKEN_STALE},
    {"not live", FP_TOKEN_NOT_LIVE},
    {"no scopes", FP_TOKEN_NO_SCOPES},
    {"admin only", FP_TOKEN_ADMIN_ONLY},
    {"last admin", FP_TOKEN_LAST_ADMIN},
};

struct call {
    const struct store_request *r;
    union {
        fp_token_cb one;
        fp_token_list_cb list;
        fp_token_secret_cb secret;
    } cb;
    void *arg;
};

static enum fp_token_outcome outcome_of_error(const struct store_answer *a)
{
    if (a->end == STORE_END_LOST)
        return FP_TOKEN_UNAVAILABLE; /* the connection has logged why */
    bool refused = store_verdict(a->sqlstate) == STORE_REFUSE;
    fp_log(refused ? FP_LOG_ERROR : FP_LOG_WARN, FP_LOG_STORE, "tokens: %s (SQLSTATE %s)",
           a->message, a->sqlstate);
    return refused ? FP_TOKEN_REFUSED : FP_TOKEN_UNAVAILABLE;
}

static void answered(const struct store_answer *a, void *arg)
{
    struct call *call = arg;
    struct fp_token_result res = {.outcome = FP_TOKEN_NOT_FOUND};
    if (a->end != STORE_END_OK) {
        res.outcome = outcome_of_error(a);
    } else if (PQntuples(a->result) == 1 && PQnfields(a->result) == C_N) {
        struct fp_str text = store_cell(a->result, 0, C_OUTCOME);
        for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
            if (fp_str_eq_c(text, outcomes[i].text))
                res.outcome = outcomes[i].outcome;
        res.before = store_cell(a->result, 0, C_BEFORE);
        res.record = store_cell(a->result, 0, C_RECORD);
        res.version = store_cell_i64(a->result, 0, C_VERSION);
        res.revision = (uint64_t)store_cell_i64(a->result, 0, C_REVISION);
    }
    if (!call->r->forgotten)
        call->cb.one(&res, call->arg);
}

static struct store_request *request(const char *name, const char *sql, store_answer_cb done,
                                     void *owner, struct call **call)
{
    struct store_request *r = store_request_new(name, sql);
    *call = FP_ARENA_NEW(r->arena, struct call);
    **call = (struct call){.r = r, .arg = owner};
    r->table = "tokens";
    r->done = done;
    r->arg = *call;
    r->owner = owner;
    return r;
}

static struct store_request *write_request(struct fp_store *s, const char *name, const char *sql,
                                           const struct fp_token_write *w, fp_token_cb cb,
                                           void *arg)
{
    struct call *call;
    struct store_request *r = request(name, sql, answered, arg, &call);
    call->cb.one = cb;
    store_param_actor(r, &w->actor);
    store_param_lock_timeout(s, r);
    store_param_text(&r->params, fp_arena_str(r->arena, w->id));
    store_param_json(&r->params, r->arena, w->fields);
    return r;
}

void fp_store_token_create(struct fp_store *s, const struct fp_token_write *w, fp_token_cb cb,
                           void *arg)
{
    store_pool_submit(s, write_request(s, "create token", create_sql, w, cb, arg));
}

static void param_bool(struct store_request *r, bool v)
{
    store_param_text(&r->params, v ? FP_STR("\1") : fp_str_n("\0", 1));
}

void fp_store_token_change(struct fp_store *s, const struct fp_token_write *w, fp_token_cb cb,
                           void *arg)
{
    struct store_request *r = write_request(s, "replace token", change_sql, w, cb, arg);
    store_param_i64(&r->params, r->arena, w->if_version);
    param_bool(r, w->rotate);
    param_bool(r, w->force);
    param_bool(r, w->admin);
    param_bool(r, w->dry);
    store_pool_submit(s, r);
}

void fp_store_token_get(struct fp_store *s, struct fp_str id, fp_token_cb cb, void *arg)
{
    struct call *call;
    struct store_request *r = request("get token", get_sql, answered, arg, &call);
    call->cb.one = cb;
    store_param_text(&r->params, fp_arena_str(r->arena, id));
    store_pool_submit(s, r);
}

static void listed(const struct store_answer *a, void *arg)
{
    struct call *call = arg;
    struct fp_token_list l = {.outcome = FP_TOKEN_DONE};
    if (a->end != STORE_END_OK) {
        l.outcome = outcome_of_error(a);
    } else {
        l.total = (uint64_t)store_cell_i64(a->result, 0, 0);
        l.items = store_cell(a->result, 0, 1);
    }
    if (!call->r->forgotten)
        call->cb.list(&l, call->arg);
}

void fp_store_token_list(struct fp_store *s, uint64_t limit, uint64_t offset, fp_token_list_cb cb,
                         void *arg)
{
    struct call *call;
    struct store_request *r = request("list tokens", list_sql, listed, arg, &call);
    call->cb.list = cb;
    if (limit)
        store_param_i64(&r->params, r->arena, (int64_t)limit);
    else
        store_param_text(&r->params, FP_STR_NULL);
    store_param_i64(&r->params, r->arena, (int64_t)offset);
    store_pool_submit(s, r);
}

static void found_secret(const struct store_answer *a, void *arg)
{
    struct call *call = arg;
    struct fp_token_secret t = {.outcome = FP_TOKEN_NOT_FOUND};
    struct fp_str scopes[SCOPES_MAX];
    if (a->end != STORE_END_OK) {
        t.outcome = outcome_of_error(a);
    } else if (PQntuples(a->result) == 1) {
        struct store_array list = store_array_open(store_cell(a->result, 0, 3));
        t.outcome = FP_TOKEN_DONE;
        t.name = store_cell(a->result, 0, 0);
        t.status = store_cell(a->result, 0, 1);
        t.hash = store_cell(a->result, 0, 2);
        t.scopes = scopes;
        while (t.scopes_n < SCOPES_MAX && store_array_next(&list, &scopes[t.scopes_n]))
            t.scopes_n++;
        t.expires_wall_ms = store_cell_wall_ms(a->result, 0, 4);
    }
    if (!call->r->forgotten)
        call->cb.secret(&t, call->arg);
}

void fp_store_token_secret(struct fp_store *s, struct fp_str id, fp_token_secret_cb cb, void *arg)
{
    struct call *call;
    struct store_request *r = request("get secret", secret_sql, found_secret, arg, &call);
    call->cb.secret = cb;
    store_param_text(&r->params, fp_arena_str(r->arena, id));
    store_pool_submit(s, r);
}
