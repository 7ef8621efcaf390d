/*
 * The audit trail beside changes: batches of rows about authentication, the query.  Runs in
 * workers. Rows of changes are written by the triggers (sql/0002).  Must never log a row.
 */
#include "store/store_audit.h"
#include "core/core_log.h"
#include "store/store_int.h"

#define ROWS                                                                                       \
    "jsonb_to_recordset($1::jsonb) AS x(event text, id text, name text, metadata jsonb,\n"         \
    "  user_id text, client_ip text, user_agent text, request_id text, at float8)"
#define INSERT                                                                                     \
    "INSERT INTO audit_logs (event_type, resource_type, resource_id, resource_name, metadata,\n"   \
    "  user_id, client_ip, user_agent, request_id, created_at)\n"                                  \
    "SELECT x.event, 'auth.token', x.id, x.name, x.metadata, x.user_id, x.client_ip,\n"            \
    "  x.user_agent, x.request_id, to_timestamp(x.at) FROM "

static const char write_sql[] = INSERT ROWS;
/* Token rows that somebody else holds are skipped: it is only a time.  $2 interval in ms. */
static const char used_sql[] =
    "WITH u AS (UPDATE tokens SET last_used_at = now() WHERE token_id IN (\n"
    "  SELECT t.token_id FROM tokens t WHERE t.token_id IN (SELECT x.id::uuid FROM " ROWS ")\n"
    "  AND (t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 minute')\n"
    "  ORDER BY t.token_id FOR NO KEY UPDATE SKIP LOCKED))\n" INSERT ROWS "\n"
    "WHERE $2::bigint > 0 AND NOT EXISTS (SELECT FROM audit_logs a\n"
    "  WHERE a.resource_type = 'auth.token' AND a.resource_id = x.id\n"
    "  AND a.event_type = 'auth.token.authenticated'\n"
    "  AND a.created_at > now() - $2::bigint * interval '1 millisecond')";

#define WHERE                                                                                      \
    "WHERE ($1::text IS NULL OR a.event_type = $1::text)\n"                                        \
    "  AND ($2::text IS NULL OR a.user_id = $2::text)\n"                                           \
    "  AND ($3::text IS NULL OR a.resource_type = $3::text)\n"                                     \
    "  AND ($4::text IS NULL OR a.resource_name = $4::text)\n"                                     \
    "  AND ($5::bigint IS NULL OR a.created_at >= to_timestamp($5::bigint / 1000.0))\n"            \
    "  AND ($6::bigint IS NULL OR a.created_at < to_timestamp($6::bigint / 1000.0))"
static const char list_sql[] =
    "SELECT (SELECT count(*) FROM audit_logs a " WHERE "), coalesce(string_agg(x.record, ','\n"
    "  ORDER BY x.created_at DESC, x.id DESC), '') FROM (\n"
    "SELECT a.created_at, a.id, json_build_object('id', a.id, 'eventType', a.event_type,\n"
    "  'resourceType', a.resource_type, 'resourceId', a.resource_id,\n"
    "  'resourceName', a.resource_name, 'oldConfiguration', a.old_configuration,\n"
    "  'newConfiguration', a.new_configuration, 'metadata', a.metadata, 'userId', a.user_id,\n"
    "  'clientIp', a.client_ip, 'userAgent', a.user_agent, 'requestId', a.request_id,\n"
    "  'revision', a.revision, 'createdAt',\n"
    "  to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'))::text AS "
    "record\n"
    "FROM audit_logs a " WHERE "\n"
    "ORDER BY a.created_at DESC, a.id DESC LIMIT $7::bigint OFFSET $8::bigint) x";

static const char verify_sql[] =
    "SELECT rows_n, outside_n, coalesce(bad_id, 0), coalesce(problem, '')\n"
    "FROM flowplane_audit_verify()";

struct call {
    const struct store_request *r;
    union {
        fp_audit_cb write;
        fp_audit_list_cb list;
        fp_audit_chain_cb chain;
    } cb;
    void *arg;
};

static struct store_request *request(const char *name, const char *sql, store_answer_cb done,
                                     void *owner, struct call **call)
{
    struct store_request *r = store_request_new(name, sql);
    *call = FP_ARENA_NEW(r->arena, struct call);
    **call = (struct call){.r = r, .arg = owner};
    r->table = "audit_logs";
    r->done = done;
    r->arg = *call;
    r->owner = owner;
    return r;
}

static void written(const struct store_answer *a, void *arg)
{
    struct call *call = arg;
    enum fp_store_outcome outcome = FP_STORE_UNAVAILABLE;
    uint64_t rows_n = 0;
    if (a->end == STORE_END_OK) {
        outcome = FP_STORE_DONE;
        fp_str_to_u64(fp_str_of(PQcmdTuples((PGresult *)(uintptr_t)a->result)), &rows_n);
    } else if (a->end == STORE_END_SQL && store_verdict(a->sqlstate) == STORE_REFUSE) {
        outcome = FP_STORE_REFUSED;
        fp_log_error(FP_LOG_AUDIT, "audit rows are refused: %s (SQLSTATE %s)", a->message,
                     a->sqlstate);
    }
    if (!call->r->forgotten)
        call->cb.write(outcome, rows_n, call->arg);
}

void fp_store_audit_write(struct fp_store *s, struct fp_str rows, fp_audit_cb done, void *arg)
{
    struct call *call;
    struct store_request *r = request("audit rows", write_sql, written, arg, &call);
    call->cb.write = done;
    store_param_json(&r->params, r->arena, rows);
    store_pool_submit(s, r);
}

void fp_store_audit_used(struct fp_store *s, struct fp_str uses, uint64_t interval_ms,
                         fp_audit_cb done, void *arg)
{
    struct call *call;
    struct store_request *r = request("use token", used_sql, written, arg, &call);
    call->cb.write = done;
    r->table = "tokens";
    store_param_json(&r->params, r->arena, uses);
    store_param_i64(&r->params, r->arena, (int64_t)interval_ms);
    store_pool_submit(s, r);
}

static void listed(const struct store_answer *a, void *arg)
{
    struct call *call = arg;
    struct fp_audit_list l = {.outcome = FP_STORE_UNAVAILABLE};
    if (a->end == STORE_END_OK) {
        l.outcome = FP_STORE_DONE;
        l.total = (uint64_t)store_cell_i64(a->result, 0, 0);
        l.items = store_cell(a->result, 0, 1);
    } else if (a->end == STORE_END_SQL) {
        fp_log_warn(FP_LOG_STORE, "audit query: %s (SQLSTATE %s)", a->message, a->sqlstate);
        if (store_verdict(a->sqlstate) == STORE_REFUSE)
            l.outcome = FP_STORE_REFUSED;
    }
    if (!call->r->forgotten)
        call->cb.list(&l, call->arg);
}

static void param_copy(struct store_request *r, struct fp_str s)
{
    store_param_text(&r->params, s.data ? fp_arena_str(r->arena, s) : FP_STR_NULL);
}

static void param_time(struct store_request *r, int64_t wall_ms)
{
    if (wall_ms == INT64_MIN)
        store_param_text(&r->params, FP_STR_NULL);
    else
        store_param_i64(&r->params, r->arena, wall_ms);
}

void fp_store_audit_list(struct fp_store *s, const struct fp_audit_filter *f, fp_audit_list_cb cb,
                         void *arg)
{
    struct call *call;
    struct store_request *r = request("list audit", list_sql, listed, arg, &call);
    call->cb.list = cb;
    param_copy(r, f->event_type);
    param_copy(r, f->user_id);
    param_copy(r, f->resource_type);
    param_copy(r, f->resource_name);
    param_time(r, f->since_wall_ms);
    param_time(r, f->until_wall_ms);
    store_param_i64(&r->params, r->arena, (int64_t)f->limit);
    store_param_i64(&r->params, r->arena, (int64_t)f->offset);
    store_pool_submit(s, r);
}

static void verified(const struct store_answer *a, void *arg)
{
    struct call *call = arg;
    struct fp_audit_chain c = {.outcome = FP_STORE_UNAVAILABLE};
    if (a->end == STORE_END_OK) {
        c = (struct fp_audit_chain){
            .outcome = FP_STORE_DONE,
            .rows_n = (uint64_t)store_cell_i64(a->result, 0, 0),
            .outside_n = (uint64_t)store_cell_i64(a->result, 0, 1),
            .bad_id = store_cell_i64(a->result, 0, 2),
            .problem = store_cell(a->result, 0, 3),
        };
    } else if (a->end == STORE_END_SQL && store_verdict(a->sqlstate) == STORE_REFUSE) {
        c.outcome = FP_STORE_REFUSED;
        fp_log_error(FP_LOG_AUDIT, "the audit chain: %s (SQLSTATE %s)", a->message, a->sqlstate);
    }
    if (!call->r->forgotten)
        call->cb.chain(&c, call->arg);
}

void fp_store_audit_verify(struct fp_store *s, fp_audit_chain_cb cb, void *arg)
{
    struct call *call;
    struct store_request *r = request("audit verify", verify_sql, verified, arg, &call);
    call->cb.chain = cb;
    store_pool_submit(s, r);
}
