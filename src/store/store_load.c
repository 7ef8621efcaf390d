/*
 * Loading: all rows, or those that changed since a known revision, by one statement each, which is
 * one snapshot whatever the isolation level and passes through any pooler.  Rows are taken one by
 * one: memory stays bounded.  Runs in the watcher.
 */
#include "core/core_buf.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "store/store_follow_int.h"

#define LOAD_TIMEOUT_MS 120000
#define REFS_MAX        4096 /* references of one row that are taken; a row has at most 4 MiB */
#define SCOPES_MAX      64000

/* Columns of every branch.  The head row has kind '' and: status (whether the triple asked about is
 * part of this database's history), version = the revision, and the last two. */
enum {
    C_KIND,
    C_ID,
    C_NAME,
    C_TEAM,
    C_SOURCE,
    C_FORM,
    C_CONFIGURATION,
    C_SERVICE_NAME,
    C_VERSION,
    C_CREATED,
    C_UPDATED,
    C_ENCODED,
    C_ENCODER_VERSION,
    C_REFS,
    C_SECRET_HASH,
    C_STATUS,
    C_SCOPES,
    C_EXPIRES,
    C_EPOCH,
    C_COMMIT,
    C_N
};

/* Bytes that are not what their hash says (psql) count as none: they are encoded anew. */
#define INTACT "CASE WHEN t.content_hash = sha256(t.encoded) THEN t.encoded END"
/* Everything: references by one pass and a hash join a table.  `kind` is an SQL expression. */
#define ROWS(kind, table, service)                                                                 \
    "UNION ALL SELECT " kind ", t.id::text, t.name, t.team, t.source, t.form,\n"                   \
    "  t.configuration::text, " service ", t.version, t.created_at, t.updated_at, t.encoded,\n"    \
    "  t.encoder_version, f.refs, NULL, NULL, NULL, NULL, NULL, NULL\n"                            \
    "FROM " table " t LEFT JOIN (SELECT kind, name, array_agg(target_kind || ' ' || target_name\n" \
    "  ORDER BY target_kind, target_name) AS refs FROM resource_refs GROUP BY kind, name) f\n"     \
    "  ON f.kind = " kind " AND f.name = t.name\n"

static const char all_sql[] =
    "SELECT ''::text, ''::text, ''::text, NULL::text, NULL::text, NULL::text, NULL::text,\n"
    "  NULL::text, h.revision, h.updated_at, h.updated_at, NULL::bytea, NULL::int, NULL::text[],\n"
    "  NULL::bytea, 'known', NULL::text[], NULL::timestamptz, h.epoch, h.commit_id\n"
    "FROM config_revision h\n" ROWS("'cluster'", "clusters", "t.service_name")
        ROWS("'endpoint'", "endpoints", "NULL") ROWS("'listener'", "listeners", "NULL")
            ROWS("'route'", "routes", "NULL") ROWS("'secret'", "secrets", "NULL")
                ROWS("rtrim(t.type, 's')", "resources", "NULL") /* scoped-routes → scoped-route */
    "UNION ALL SELECT 'token', t.token_id::text, t.token_id::text, NULL, NULL, NULL, NULL,\n"
    "  t.name, t.version, t.created_at, t.updated_at, NULL, NULL, NULL, t.secret_hash, t.status,\n"
    "  t.scopes, t.expires_at, NULL, NULL FROM tokens t";

/* The same columns; $1 epoch, $2 revision, $3 commit id of what the follower has.  Rows of kind
 * 'commit' hold trace context, revision and time: of the oldest commit, and where spans are made of
 * the newest $4 that are traced. */
#define COMMIT(context)                                                                            \
    "'commit', '', " context ", NULL, NULL, NULL, NULL, NULL, x.revision, x.created_at,\n"         \
    "  x.created_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM config_changes x\n" \
    "  WHERE x.revision > $2::bigint "
#define CHANGES                                                                                    \
    "SELECT * FROM flowplane_changes($1::uuid, $2::bigint, $3::uuid)\n"                            \
    "UNION ALL (SELECT " COMMIT("NULL") "ORDER BY x.revision LIMIT 1)\n"
static const char some_sql[] = CHANGES;
static const char traced_sql[] = CHANGES "UNION ALL (SELECT DISTINCT ON (x.revision) " COMMIT(
    "x.trace_context") "AND x.trace_context LIKE '%-01' ORDER BY x.revision DESC LIMIT $4::bigint)";

static const char epoch_sql[] = "SELECT flowplane_new_epoch($1::uuid, $2::bigint)";

/* $1 name, $2 version, $3 references, $4 encoded, $5 hash, $6 encoder version.  Changes no
 * revision. */
#define STORE_ENCODED(kind, table, where)                                                          \
    "WITH u AS (UPDATE " table " t SET encoded = $4::bytea, content_hash = $5::bytea,\n"           \
    "    encoder_version = $6::int\n"                                                              \
    "  WHERE t.name = $1::text AND t.version = $2::bigint" where "\n"                              \
    "    AND (" INTACT                                                                             \
    " IS NULL OR coalesce(t.encoder_version, 0) < $6::int) RETURNING t.name),\n"                   \
    "d AS (DELETE FROM resource_refs f USING u\n"                                                  \
    "  WHERE f.kind = '" kind "' AND f.name = u.name AND NOT EXISTS (\n"                           \
    "    SELECT FROM jsonb_array_elements($3::jsonb) x\n"                                          \
    "    WHERE x ->> 'kind' = f.target_kind AND x ->> 'name' = f.target_name)),\n"                 \
    "r AS (INSERT INTO resource_refs (kind, name, target_kind, target_name)\n"                     \
    "  SELECT '" kind "', u.name, x ->> 'kind', x ->> 'name'\n"                                    \
    "  FROM u, jsonb_array_elements($3::jsonb) x ON CONFLICT DO NOTHING)\n"                        \
    "SELECT count(*) FROM u"

const char *const store_encoded_sql[FP_KIND_N] = {
    [FP_KIND_CLUSTER] = STORE_ENCODED("cluster", "clusters", ""),
    [FP_KIND_ENDPOINT] = STORE_ENCODED("endpoint", "endpoints", ""),
    [FP_KIND_LISTENER] = STORE_ENCODED("listener", "listeners", ""),
    [FP_KIND_ROUTE] = STORE_ENCODED("route", "routes", ""),
    [FP_KIND_SCOPED_ROUTE] =
        STORE_ENCODED("scoped-route", "resources", " AND t.type = 'scoped-routes'"),
    [FP_KIND_VIRTUAL_HOST] =
        STORE_ENCODED("virtual-host", "resources", " AND t.type = 'virtual-hosts'"),
    [FP_KIND_RUNTIME] = STORE_ENCODED("runtime", "resources", " AND t.type = 'runtimes'"),
    [FP_KIND_EXTENSION_CONFIG] =
        STORE_ENCODED("extension-config", "resources", " AND t.type = 'extension-configs'"),
};

/* ---- rows */

static void uuid_cell(const PGresult *r, int col, uint8_t out[16])
{
    struct fp_str s = store_cell(r, 0, col);
    memset(out, 0, 16);
    if (s.len == 16)
        memcpy(out, s.data, 16);
}

static void head_row(struct follow_load *l, const PGresult *r)
{
    struct fp_str status = store_cell(r, 0, C_STATUS);
    l->now_set = true;
    l->now.revision = (uint64_t)store_cell_i64(r, 0, C_VERSION);
    uuid_cell(r, C_EPOCH, l->now.epoch);
    uuid_cell(r, C_COMMIT, l->now.commit_id);
    l->unknown = !fp_str_eq_c(status, "known");
    l->rewrite = fp_str_eq_c(status, "unknown");
}

static void commit_row(struct fp_follow_commits *c, const PGresult *r)
{
    struct fp_commit x = {
        .revision = (uint64_t)store_cell_i64(r, 0, C_VERSION),
        .wall_ms = store_cell_wall_ms(r, 0, C_CREATED),
    };
    fp_trace_parse(&x.at, store_cell(r, 0, C_NAME));
    if (c->n < FP_FOLLOW_COMMITS)
        c->items[c->n++] = x;
}

/* "cluster shop": kind and name; a kind has no blank. */
static size_t references(struct fp_str cell, struct fp_ref *out)
{
    struct store_array array = store_array_open(cell);
    struct fp_str s, name;
    size_t n = 0;
    while (n < REFS_MAX && store_array_next(&array, &s)) {
        out[n].kind = fp_kind_by_name(fp_str_split(s, ' ', &name));
        out[n].name = name;
        out[n].pointer = NULL;
        n += out[n].kind != FP_KIND_N && name.data;
    }
    return n;
}

static void scopes(struct fp_str cell, struct fp_buf *out)
{
    struct store_array array = store_array_open(cell);
    struct fp_str s;
    while (store_array_next(&array, &s) && out->len + s.len < SCOPES_MAX) {
        if (out->len)
            fp_buf_append_byte(out, 0);
        fp_buf_append_str(out, s);
    }
}

static void on_row(const PGresult *r, void *arg)
{
    static struct fp_ref refs[REFS_MAX]; /* 160 KB: not for the stack */
    struct fp_follow *f = arg;
    struct fp_buf scope_text = {0};
    char created[FP_CLOCK_TEXT_BYTES], updated[FP_CLOCK_TEXT_BYTES];
    struct fp_str kind = store_cell(r, 0, C_KIND);

    if (kind.len == 0) {
        head_row(&f->load, r);
        return;
    }
    if (fp_str_eq_c(kind, "commit")) {
        commit_row(&f->load.commits, r);
        return;
    }
    struct fp_follow_row row = {.kind = fp_kind_by_name(kind),
                                .name = store_cell(r, 0, C_NAME),
                                .id = store_cell(r, 0, C_ID)};
    row.deleted = row.id.data == NULL;
    if (!row.deleted) {
        row.team = store_cell(r, 0, C_TEAM);
        row.source = store_cell(r, 0, C_SOURCE);
        row.form = store_cell(r, 0, C_FORM);
        row.configuration = store_cell(r, 0, C_CONFIGURATION);
        row.service_name = store_cell(r, 0, C_SERVICE_NAME);
        row.version = store_cell_i64(r, 0, C_VERSION);
        row.created_at =
            fp_str_of(fp_clock_rfc3339(created, store_cell_wall_ms(r, 0, C_CREATED), false));
        row.updated_at =
            fp_str_of(fp_clock_rfc3339(updated, store_cell_wall_ms(r, 0, C_UPDATED), false));
        row.encoded = store_cell(r, 0, C_ENCODED);
        row.encoder_version = (int)store_cell_i64(r, 0, C_ENCODER_VERSION);
        row.refs = refs;
        row.refs_n = references(store_cell(r, 0, C_REFS), refs);
    }
    if (!row.deleted && row.kind == FP_KIND_TOKEN) {
        row.token_name = row.service_name;
        row.service_name = FP_STR_NULL;
        row.secret_hash = store_cell(r, 0, C_SECRET_HASH);
        row.status = store_cell(r, 0, C_STATUS);
        row.expires_wall_ms = store_cell_wall_ms(r, 0, C_EXPIRES);
        scopes(store_cell(r, 0, C_SCOPES), &scope_text);
        row.scopes = fp_buf_str(&scope_text);
    }
    f->load.row(&row, f->load.arg);
    fp_buf_fini(&scope_text);
}

/* ---- the steps */

static void send_load(struct fp_follow *f);

static void on_epoch(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "new epoch"))
        return; /* the load fails with the connection */
    f->load.full = true;
    send_load(f);
}

/* This database does not know what we have: a restored dump, or pruned history. */
static void load_anew(struct fp_follow *f)
{
    struct store_params p = {.n = 0};
    struct fp_arena *scratch;
    if (!f->load.rewrite) {
        f->load.full = true;
        send_load(f);
        return;
    }
    fp_log_warn(FP_LOG_STORE,
                "the database is not the one followed so far (restored?): revision "
                "%llu is unknown; loading everything",
                (unsigned long long)f->load.since.revision);
    scratch = fp_arena_new(NULL);
    store_param_uuid(&p, f->load.since.epoch);
    store_param_i64(&p, scratch, (int64_t)f->load.since.revision);
    store_follow_send(f, "new epoch", epoch_sql, &p, f->o.statement_timeout_ms, on_epoch);
    fp_arena_free(&scratch);
}

static void on_loaded(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "load"))
        return;
    if (!f->load.now_set) {
        fp_log_error(FP_LOG_STORE, "config_revision is empty");
        store_load_done(f, false);
    } else if (f->load.unknown) {
        load_anew(f);
    } else {
        store_load_done(f, true);
    }
}

static void send_load(struct fp_follow *f)
{
    static const struct store_params none;
    struct store_params p = {.n = 0};
    struct fp_arena *scratch = fp_arena_new(NULL);
    if (!f->load.full) {
        store_param_uuid(&p, f->load.since.epoch);
        store_param_i64(&p, scratch, (int64_t)f->load.since.revision);
        store_param_uuid(&p, f->load.since.commit_id);
        if (fp_spans_on())
            store_param_i64(&p, scratch, FP_FOLLOW_COMMITS - 1);
    }
    f->load.commits.n = 0;
    f->load.now_set = f->load.unknown = false;
    store_conn_send(f->conn, &(struct store_query){.name = f->load.full ? "load" : "load changes",
                                                   .sql = f->load.full    ? all_sql
                                                          : fp_spans_on() ? traced_sql
                                                                          : some_sql,
                                                   .params = f->load.full ? &none : &p,
                                                   .timeout_ms = LOAD_TIMEOUT_MS,
                                                   .row = on_row,
                                                   .done = on_loaded,
                                                   .arg = f});
    fp_arena_free(&scratch);
}

void store_load_start(struct fp_follow *f)
{
    f->load.wanted = false;
    f->load.running = true;
    f->load.full = !f->load.since_set;
    send_load(f);
}
