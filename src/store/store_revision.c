/*
 * Reading config_changes: lists of revisions, the changes of one, the state at its end.  Runs in
 * workers.  Nothing is written here.
 */
#include "store/store_revision.h"
#include "core/core_assert.h"
#include "core/core_log.h"
#include "store/store_int.h"

/* clang-format off */
/* $1 user, $2 kind, $3 name, $4 limit, $5 offset.  One row without a revision when there is none. */
static const char list_sql[] =
    "WITH c AS (SELECT * FROM config_changes x WHERE x.kind <> 'epoch'\n"
    "    AND ($1::text IS NULL OR x.user_id = $1::text)\n"
    "    AND ($2::text IS NULL AND $3::text IS NULL OR x.revision IN (\n"
    "      SELECT y.revision FROM config_changes y WHERE ($2::text IS NULL OR y.kind = $2::text)\n"
    "        AND ($3::text IS NULL OR y.name = $3::text)))),\n"
    "g AS (SELECT revision, max(epoch::text) AS epoch, max(created_at) AS created_at,\n"
    "    max(user_id) AS user_id, max(request_id) AS request_id, max(source) AS source,\n"
    "    count(*) AS changes FROM c GROUP BY revision\n"
    "  ORDER BY revision DESC LIMIT $4::bigint OFFSET $5::bigint)\n"
    "SELECT g.revision, g.epoch, g.created_at, g.user_id, g.request_id, g.source, g.changes, t.n\n"
    "FROM (SELECT count(DISTINCT revision) AS n FROM c) t LEFT JOIN g ON true\n"
    "ORDER BY g.revision DESC";
enum { L_REVISION, L_EPOCH, L_CREATED, L_USER, L_REQUEST, L_SOURCE, L_CHANGES, L_TOTAL };

/* $1 revision */
static const char changes_sql[] =
    "SELECT revision, epoch::text, created_at, user_id, request_id, source, kind, name, action,\n"
    "  (old_row ->> 'version')::bigint, (new_row ->> 'version')::bigint,\n"
    "  flowplane_masked(kind, old_row)::text, flowplane_masked(kind, new_row)::text,\n"
    "  coalesce(new_row, old_row) ->> 'team'\n"
    "FROM config_changes WHERE revision = $1::bigint AND kind <> 'epoch' ORDER BY id";
enum {
    C_KIND = L_CHANGES,
    C_NAME,
    C_ACTION,
    C_FROM,
    C_TO,
    C_OLD,
    C_NEW,
    C_TEAM,
};

/* $1 revision, $2 upto, $3 pairs: of each row the first change since is what was before.  Each row
 * carries whether the revision is known, and the one of now; at least one comes. */
static const char state_sql[] =
    "SELECT c.revision >= $1::bigint\n"
    "    AND EXISTS (SELECT FROM config_changes y WHERE y.revision = $1::bigint),\n"
    "  c.revision, x.kind, x.name, x.old_row IS NOT NULL, x.old_row ->> 'team',\n"
    "  x.old_row ->> 'source', x.old_row ->> 'form', x.old_row ->> 'service_name',\n"
    "  (x.old_row -> 'configuration')::text, (x.old_row ->> 'version')::bigint\n"
    "FROM config_revision c LEFT JOIN (\n"
    "  SELECT DISTINCT ON (x.kind, x.name) x.* FROM config_changes x\n"
    "  WHERE x.revision > $1::bigint AND ($2::bigint = 0 OR x.revision <= $2::bigint)\n"
    "    AND x.kind NOT IN ('epoch', 'token', 'api-definition', 'api-route')\n"
    "    AND ($3::jsonb IS NULL\n"
    "      OR $3::jsonb @> jsonb_build_array(jsonb_build_array(x.kind, x.name)))\n"
    "  ORDER BY x.kind, x.name, x.id) x ON true\n"
    "ORDER BY x.kind, x.name";
/* clang-format on */
enum {
    S_KNOWN,
    S_REVISION,
    S_KIND,
    S_NAME,
    S_EXISTED,
    S_TEAM,
    S_SOURCE,
    S_FORM,
    S_SERVICE,
    S_CONFIGURATION,
    S_VERSION
};

struct call {
    struct store_request *r;
    void (*list_row)(const struct fp_store_revision *r, void *arg);
    void (*list_done)(enum fp_store_reading how, uint64_t total, void *arg);
    void (*change)(const struct fp_store_change *c, void *arg);
    void (*change_done)(enum fp_store_reading how, void *arg);
    void (*then)(const struct fp_store_then *t, void *arg);
    void (*then_done)(enum fp_store_reading how, uint64_t current, void *arg);
    void *arg;
};

static struct call *call_new(const char *name, const char *sql, store_answer_cb done, void *arg)
{
    struct store_request *r = store_request_new(name, sql);
    struct call *c = FP_ARENA_NEW(r->arena, struct call);
    c->r = r;
    c->arg = arg;
    r->done = done;
    r->arg = c;
    r->owner = arg;
    return c;
}

static void param(struct call *c, struct fp_str s)
{
    store_param_text(&c->r->params, s.data ? fp_arena_str(c->r->arena, s) : FP_STR_NULL);
}

static bool away(const struct store_answer *a)
{
    if (a->end == STORE_END_SQL)
        fp_log_warn(FP_LOG_STORE, "the history cannot be read: %s (SQLSTATE %s)", a->message,
                    a->sqlstate);
    return a->end != STORE_END_OK;
}

static struct fp_store_revision revision_at(const PGresult *r, int row)
{
    return (struct fp_store_revision){
        .revision = (uint64_t)store_cell_i64(r, row, L_REVISION),
        .epoch = store_cell(r, row, L_EPOCH),
        .created_wall_ms = store_cell_wall_ms(r, row, L_CREATED),
        .user_id = store_cell(r, row, L_USER),
        .request_id = store_cell(r, row, L_REQUEST),
        .source = store_cell(r, row, L_SOURCE),
    };
}

/* ---- the list */

static void listed(const struct store_answer *a, void *arg)
{
    struct call *c = arg;
    if (c->r->forgotten)
        return;
    if (away(a)) {
        c->list_done(FP_READING_AWAY, 0, c->arg);
        return;
    }
    int n = PQntuples(a->result);
    FP_ASSERT(n > 0);
    for (int i = 0; i < n && !PQgetisnull(a->result, i, L_REVISION); i++) {
        struct fp_store_revision r = revision_at(a->result, i);
        r.changes = (uint64_t)store_cell_i64(a->result, i, L_CHANGES);
        c->list_row(&r, c->arg);
    }
    c->list_done(FP_READING_OK, (uint64_t)store_cell_i64(a->result, 0, L_TOTAL), c->arg);
}

void fp_store_revisions(struct fp_store *s, const struct fp_store_revision_filter *f,
                        void (*row)(const struct fp_store_revision *r, void *arg),
                        void (*done)(enum fp_store_reading how, uint64_t total, void *arg),
                        void *arg)
{
    struct call *c = call_new("read revisions", list_sql, listed, arg);
    c->list_row = row;
    c->list_done = done;
    param(c, f->user_id);
    param(c, f->kind);
    param(c, f->name);
    store_param_i64(&c->r->params, c->r->arena, (int64_t)f->limit);
    store_param_i64(&c->r->params, c->r->arena, (int64_t)f->offset);
    store_pool_submit(s, c->r);
}

/* ---- the changes of one */

static void changed(const struct store_answer *a, void *arg)
{
    struct call *c = arg;
    if (c->r->forgotten)
        return;
    int n = away(a) ? -1 : PQntuples(a->result);
    if (n <= 0) {
        c->change_done(n < 0 ? FP_READING_AWAY : FP_READING_NONE, c->arg);
        return;
    }
    struct fp_store_revision head = revision_at(a->result, 0);
    head.changes = (uint64_t)n;
    c->list_row(&head, c->arg);
    for (int i = 0; i < n; i++)
        c->change(
            &(struct fp_store_change){
                .kind = store_cell(a->result, i, C_KIND),
                .name = store_cell(a->result, i, C_NAME),
                .action = store_cell(a->result, i, C_ACTION),
                .team = store_cell(a->result, i, C_TEAM),
                .from_version = store_cell_i64(a->result, i, C_FROM),
                .to_version = store_cell_i64(a->result, i, C_TO),
                .from_configuration = store_cell(a->result, i, C_OLD),
                .to_configuration = store_cell(a->result, i, C_NEW),
            },
            c->arg);
    c->change_done(FP_READING_OK, c->arg);
}

void fp_store_revision_changes(struct fp_store *s, uint64_t revision,
                               void (*head)(const struct fp_store_revision *r, void *arg),
                               void (*row)(const struct fp_store_change *c, void *arg),
                               void (*done)(enum fp_store_reading how, void *arg), void *arg)
{
    struct call *c = call_new("read revision", changes_sql, changed, arg);
    c->list_row = head;
    c->change = row;
    c->change_done = done;
    store_param_i64(&c->r->params, c->r->arena, (int64_t)revision);
    store_pool_submit(s, c->r);
}

/* ---- the one of now */

static void read_now(const struct store_answer *a, void *arg)
{
    struct call *c = arg;
    if (c->r->forgotten)
        return;
    bool lost = away(a) || PQntuples(a->result) == 0;
    c->then_done(lost ? FP_READING_AWAY : FP_READING_OK,
                 lost ? 0 : (uint64_t)store_cell_i64(a->result, 0, 0), c->arg);
}

void fp_store_revision_now(struct fp_store *s,
                           void (*done)(enum fp_store_reading how, uint64_t current, void *arg),
                           void *arg)
{
    struct call *c =
        call_new("read revision", "SELECT revision FROM config_revision", read_now, arg);
    c->then_done = done;
    store_pool_submit(s, c->r);
}

/* ---- the state at the end of one */

static void read_state(const struct store_answer *a, void *arg)
{
    struct call *c = arg;
    if (c->r->forgotten)
        return;
    int n = away(a) ? -1 : PQntuples(a->result);
    if (n <= 0 || !store_cell_bool(a->result, 0, S_KNOWN)) {
        c->then_done(n < 0 ? FP_READING_AWAY : FP_READING_NONE, 0, c->arg);
        return;
    }
    for (int i = 0; i < n && !PQgetisnull(a->result, i, S_KIND); i++)
        c->then(
            &(struct fp_store_then){
                .kind = store_cell(a->result, i, S_KIND),
                .name = store_cell(a->result, i, S_NAME),
                .existed = store_cell_bool(a->result, i, S_EXISTED),
                .team = store_cell(a->result, i, S_TEAM),
                .source = store_cell(a->result, i, S_SOURCE),
                .form = store_cell(a->result, i, S_FORM),
                .service_name = store_cell(a->result, i, S_SERVICE),
                .configuration = store_cell(a->result, i, S_CONFIGURATION),
                .version = store_cell_i64(a->result, i, S_VERSION),
            },
            c->arg);
    c->then_done(FP_READING_OK, (uint64_t)store_cell_i64(a->result, 0, S_REVISION), c->arg);
}

void fp_store_revision_state(struct fp_store *s, uint64_t revision, uint64_t upto,
                             struct fp_str pairs,
                             void (*row)(const struct fp_store_then *t, void *arg),
                             void (*done)(enum fp_store_reading how, uint64_t current, void *arg),
                             void *arg)
{
    struct call *c = call_new("read state", state_sql, read_state, arg);
    c->then = row;
    c->then_done = done;
    store_param_i64(&c->r->params, c->r->arena, (int64_t)revision);
    store_param_i64(&c->r->params, c->r->arena, (int64_t)upto);
    store_param_json(&c->r->params, c->r->arena, pairs);
    store_pool_submit(s, c->r);
}
