/*
 * The table xds_nacks: workers put what their streams say, the API lists it.  One statement for a
 * batch: an entry seen again within 60 s counts on, another one is new, an ACK resolves all open
 * ones of its node and type.
 */
#include "store/store_nack.h"
#include "core/core_buf.h"
#include "core/core_log.h"
#include "store/store_int.h"

#define NAMES_MAX 1000

static const char put_sql[] =
    "WITH e AS MATERIALIZED (SELECT * FROM jsonb_to_recordset($1::jsonb) AS x (\n"
    "  instance text, node_id text, node_cluster text, team text, type_url text, names text[],\n"
    "  rejected text, accepted text, nonce text, code int, message text, first_ms bigint,\n"
    "  last_ms bigint, count bigint, nack boolean, resolved boolean)),\n"
    "u AS (UPDATE xds_nacks n SET count = n.count + e.count,\n"
    "    last_seen = to_timestamp(e.last_ms / 1000.0), resource_names = e.names,\n"
    "    version_rejected = e.rejected, version_accepted = e.accepted, nonce = e.nonce,\n"
    "    code = e.code, message = e.message, resolved_at = CASE WHEN e.resolved THEN now() END\n"
    "  FROM e WHERE e.nack AND n.id = (SELECT max(m.id) FROM xds_nacks m\n"
    "    WHERE m.node_id = e.node_id AND m.type_url = e.type_url AND m.instance = e.instance\n"
    "    AND m.resolved_at IS NULL\n"
    "    AND m.last_seen > to_timestamp(e.first_ms / 1000.0) - interval '60 seconds')\n"
    "  RETURNING n.id, n.node_id, n.type_url),\n"
    "i AS (INSERT INTO xds_nacks (instance, node_id, node_cluster, team, type_url,\n"
    "    resource_names, version_rejected, version_accepted, nonce, code, message, first_seen,\n"
    "    last_seen, count, resolved_at)\n"
    "  SELECT e.instance, e.node_id, e.node_cluster, e.team, e.type_url, e.names, e.rejected,\n"
    "    e.accepted, e.nonce, e.code, e.message, to_timestamp(e.first_ms / 1000.0),\n"
    "    to_timestamp(e.last_ms / 1000.0), e.count, CASE WHEN e.resolved THEN now() END\n"
    "  FROM e WHERE e.nack AND NOT EXISTS (SELECT FROM u\n"
    "    WHERE u.node_id = e.node_id AND u.type_url = e.type_url)),\n"
    "r AS (UPDATE xds_nacks n SET resolved_at = now() FROM e WHERE e.resolved\n"
    "  AND n.node_id = e.node_id AND n.type_url = e.type_url AND n.resolved_at IS NULL\n"
    "  AND NOT EXISTS (SELECT FROM u WHERE u.id = n.id))\n"
    "SELECT count(*) FROM e";

/* $1 open, $2 since, $3 node, $4 type, $5 teams (a JSON list or null), $6 limit */
static const char list_sql[] =
    "SELECT id, instance, node_id, node_cluster, team, type_url, resource_names,\n"
    "  version_rejected, version_accepted, nonce, code, message, first_seen, last_seen, count,\n"
    "  resolved_at, count(*) OVER ()\n"
    "FROM xds_nacks WHERE (NOT $1::boolean OR resolved_at IS NULL)\n"
    "  AND last_seen >= to_timestamp($2::bigint / 1000.0)\n"
    "  AND ($3::text IS NULL OR node_id = $3::text) AND ($4::text IS NULL OR type_url = $4::text)\n"
    "  AND ($5::jsonb IS NULL OR team IN (SELECT jsonb_array_elements_text($5::jsonb)))\n"
    "ORDER BY last_seen DESC, id DESC LIMIT $6::bigint";
enum {
    C_ID,
    C_INSTANCE,
    C_NODE,
    C_CLUSTER,
    C_TEAM,
    C_TYPE,
    C_NAMES,
    C_REJECTED,
    C_ACCEPTED,
    C_NONCE,
    C_CODE,
    C_MESSAGE,
    C_FIRST,
    C_LAST,
    C_COUNT,
    C_RESOLVED,
    C_TOTAL,
};

static void failed(const struct store_answer *a)
{
    if (a->end == STORE_END_SQL)
        fp_log_warn(FP_LOG_STORE, "rejections of nodes: %s (SQLSTATE %s)", a->message, a->sqlstate);
}

/* ---- writing ---- */

struct put {
    const struct store_request *r;
    void (*done)(enum fp_store_outcome how, void *arg);
    void *arg;
};

static void put_done(const struct store_answer *a, void *arg)
{
    struct put *p = arg;
    enum fp_store_outcome how = a->end == STORE_END_OK ? FP_STORE_DONE : FP_STORE_UNAVAILABLE;
    if (a->end == STORE_END_SQL && store_verdict(a->sqlstate) == STORE_REFUSE)
        how = FP_STORE_REFUSED;
    failed(a);
    if (p->done && !p->r->forgotten)
        p->done(how, p->arg);
}

static void member(struct fp_buf *b, const char *key, struct fp_str s)
{
    if (!s.data)
        return;
    fp_buf_printf(b, ",\"%s\":", key);
    fp_buf_append_json(b, s);
}

static void write_item(struct fp_buf *b, const struct fp_store_nack *n)
{
    struct fp_str names = n->names;
    bool first = true;
    fp_buf_printf(b,
                  "{\"nack\":%s,\"resolved\":%s,\"code\":%d,\"count\":%u,\"first_ms\":%lld,"
                  "\"last_ms\":%lld",
                  n->rejected ? "true" : "false", n->resolved ? "true" : "false", (int)n->code,
                  n->count, (long long)n->first_wall_ms, (long long)n->last_wall_ms);
    member(b, "instance", n->instance);
    member(b, "node_id", n->node_id);
    member(b, "node_cluster", n->node_cluster);
    member(b, "team", n->team);
    member(b, "type_url", n->type_url);
    member(b, "rejected", n->version_rejected);
    member(b, "accepted", n->version_accepted);
    member(b, "nonce", n->nonce);
    member(b, "message", n->message);
    fp_buf_append_c(b, ",\"names\":[");
    while (names.len) {
        if (!first)
            fp_buf_append_byte(b, ',');
        first = false;
        fp_buf_append_json(b, fp_str_split(names, '\0', &names));
    }
    fp_buf_append_c(b, "]}");
}

void fp_store_nacks_put(struct fp_store *s, const struct fp_store_nack *items, size_t n,
                        void (*done)(enum fp_store_outcome how, void *arg), void *arg)
{
    struct store_request *r = store_request_new("create nacks", put_sql);
    struct put *p = FP_ARENA_NEW(r->arena, struct put);
    struct fp_buf b = {0};
    *p = (struct put){.r = r, .done = done, .arg = arg};
    fp_buf_append_byte(&b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            fp_buf_append_byte(&b, ',');
        write_item(&b, &items[i]);
    }
    fp_buf_append_byte(&b, ']');
    store_param_json(&r->params, r->arena, fp_buf_str(&b));
    fp_buf_fini(&b);
    r->done = put_done;
    r->arg = p;
    r->owner = arg;
    store_pool_submit(s, r);
}

/* ---- listing ---- */

struct list {
    const struct store_request *r;
    void (*next)(bool ok, const struct fp_store_nack_row *row, void *arg);
    void *arg;
};

static void tell_row(const struct list *l, const PGresult *r, int row)
{
    struct fp_str names[NAMES_MAX];
    struct store_array array = store_array_open(store_cell(r, row, C_NAMES));
    struct fp_store_nack_row out = {
        .id = store_cell_i64(r, row, C_ID),
        .nack =
            {
                .rejected = true,
                .instance = store_cell(r, row, C_INSTANCE),
                .node_id = store_cell(r, row, C_NODE),
                .node_cluster = store_cell(r, row, C_CLUSTER),
                .team = store_cell(r, row, C_TEAM),
                .type_url = store_cell(r, row, C_TYPE),
                .version_rejected = store_cell(r, row, C_REJECTED),
                .version_accepted = store_cell(r, row, C_ACCEPTED),
                .nonce = store_cell(r, row, C_NONCE),
                .message = store_cell(r, row, C_MESSAGE),
                .code = (uint32_t)store_cell_i64(r, row, C_CODE),
                .count = (uint32_t)store_cell_i64(r, row, C_COUNT),
                .first_wall_ms = store_cell_wall_ms(r, row, C_FIRST),
                .last_wall_ms = store_cell_wall_ms(r, row, C_LAST),
            },
        .resources = names,
        .total = (uint64_t)store_cell_i64(r, row, C_TOTAL),
        .resolved_wall_ms = store_cell_wall_ms(r, row, C_RESOLVED),
    };
    while (out.resources_n < NAMES_MAX && store_array_next(&array, &names[out.resources_n]))
        out.resources_n++;
    out.nack.resolved = out.resolved_wall_ms != 0;
    l->next(true, &out, l->arg);
}

static void list_done(const struct store_answer *a, void *arg)
{
    struct list *l = arg;
    bool ok = a->end == STORE_END_OK;
    failed(a);
    if (l->r->forgotten)
        return;
    for (int i = 0; ok && i < PQntuples(a->result); i++)
        tell_row(l, a->result, i);
    l->next(ok, NULL, l->arg);
}

static void param_copy(struct store_request *r, struct fp_str s)
{
    store_param_text(&r->params, s.data ? fp_arena_str(r->arena, s) : FP_STR_NULL);
}

static void param_teams(struct store_request *r, const struct fp_store_nack_filter *f)
{
    struct fp_buf b = {0};
    if (!f->teams) {
        store_param_text(&r->params, FP_STR_NULL);
        return;
    }
    fp_buf_append_byte(&b, '[');
    for (size_t i = 0; i < f->teams_n; i++) {
        if (i)
            fp_buf_append_byte(&b, ',');
        fp_buf_append_json(&b, f->teams[i]);
    }
    fp_buf_append_byte(&b, ']');
    store_param_json(&r->params, r->arena, fp_buf_str(&b));
    fp_buf_fini(&b);
}

void fp_store_nacks_list(struct fp_store *s, const struct fp_store_nack_filter *f,
                         void (*next)(bool ok, const struct fp_store_nack_row *row, void *arg),
                         void *arg)
{
    struct store_request *r = store_request_new("load nacks", list_sql);
    struct list *l = FP_ARENA_NEW(r->arena, struct list);
    *l = (struct list){.r = r, .next = next, .arg = arg};
    store_param_bytes(&r->params, f->open ? fp_str_n("\1", 1) : fp_str_n("\0", 1));
    store_param_i64(&r->params, r->arena, f->since_wall_ms);
    param_copy(r, f->node_id);
    param_copy(r, f->type_url);
    param_teams(r, f);
    store_param_i64(&r->params, r->arena, f->limit);
    r->done = list_done;
    r->arg = l;
    r->owner = arg;
    store_pool_submit(s, r);
}
