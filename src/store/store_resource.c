/*
 * Create, replace and delete of resources: one statement each, its outcome mapped to what the API
 * tells its client.  Runs in workers.  Must never log a configuration or any other parameter.
 */
#include "core/core_assert.h"
#include "core/core_buf.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "store/store_int.h"

#define ACTOR_TEXT_MAX 1024 /* of a client's header in the audit row */
#define NAMES_MAX      100  /* as many problems as an answer has (contract §2.4) */

/* Columns of every statement in store_statement.c. */
enum { C_OUTCOME, C_NAMES, C_ID, C_VERSION, C_CREATED, C_UPDATED, C_REVISION, C_N };

struct call {
    const struct store_request *r;
    fp_store_cb cb;
    void *arg;
    enum fp_kind kind;
};

static const struct {
    const char *text;
    enum fp_store_outcome outcome;
} outcomes[] = {
    {"done", FP_STORE_DONE},           {"unchanged", FP_STORE_UNCHANGED},
    {"stale", FP_STORE_STALE},         {"missing", FP_STORE_MISSING_REFS},
    {"protected", FP_STORE_PROTECTED}, {"referenced", FP_STORE_REFERENCED},
    {"generated", FP_STORE_SET_TAKEN}, {"team", FP_STORE_TEAM},
};

static void json_member(struct fp_buf *b, const char *key, struct fp_str s)
{
    if (!s.data)
        return;
    fp_buf_printf(b, "%s\"%s\":", b->len > 1 ? "," : "", key);
    if (s.len > ACTOR_TEXT_MAX)
        s.len = ACTOR_TEXT_MAX;
    fp_buf_append_json(b, s);
}

/* The writer, as the triggers read it (sql/0002_triggers.sql). */
void store_param_actor(struct store_request *r, const struct fp_store_actor *actor)
{
    struct fp_buf b = {0}, teams = {0};
    fp_buf_append_byte(&b, '{');
    json_member(&b, "user_id", actor->user_id);
    json_member(&b, "client_ip", actor->client_ip);
    json_member(&b, "user_agent", actor->user_agent);
    json_member(&b, "request_id", actor->request_id);
    json_member(&b, "trace_context", actor->trace_context);
    for (size_t i = 0; actor->teams && i < actor->teams_n; i++) {
        fp_buf_append_byte(&teams, i ? ',' : '[');
        fp_buf_append_json(&teams, actor->teams[i]);
    }
    if (actor->teams)
        fp_buf_printf(&b, "%s\"teams\":%s]", b.len > 1 ? "," : "",
                      teams.len ? fp_buf_cstr(&teams) : "[");
    fp_buf_append_byte(&b, '}');
    store_param_json(&r->params, r->arena, fp_buf_str(&b));
    fp_buf_fini(&b);
    fp_buf_fini(&teams);
}

/* The server gives up before our timer does. */
void store_param_lock_timeout(struct fp_store *s, struct store_request *r)
{
    r->write = true;
    store_param_i64(
        &r->params, r->arena,
        (int64_t)(store_pool_statement_timeout_ms(s) * STORE_LOCK_TIMEOUT_PERCENT / 100));
}

static bool external(const struct fp_store_write *w, struct fp_str name)
{
    for (size_t i = 0; i < w->external_clusters_n; i++)
        if (fp_str_eq(w->external_clusters[i], name))
            return true;
    return false;
}

bool fp_store_ref_must_exist(const struct fp_store_write *w, const struct fp_ref *ref)
{
    if (w->allow_missing)
        return false;
    return ref->kind == FP_KIND_SECRET || (ref->kind == FP_KIND_CLUSTER && !external(w, ref->name));
}

bool fp_store_ref_is_told(const struct fp_store_write *w, const struct fp_ref *ref)
{
    return !fp_store_ref_must_exist(w, ref) &&
           (ref->kind == FP_KIND_ROUTE || ref->kind == FP_KIND_SECRET ||
            (ref->kind == FP_KIND_CLUSTER && !external(w, ref->name)));
}

void store_refs_json(struct fp_buf *b, const struct fp_store_write *w)
{
    fp_buf_append_byte(b, '[');
    for (size_t i = 0; i < w->refs_n; i++) {
        const struct fp_ref *ref = &w->refs[i];
        fp_buf_printf(b, "%s{\"kind\":\"%s\",\"check\":%s%s,\"name\":", i ? "," : "",
                      fp_kinds[ref->kind].name, fp_store_ref_must_exist(w, ref) ? "true" : "false",
                      fp_store_ref_is_told(w, ref) ? ",\"tell\":true" : "");
        fp_buf_append_json(b, ref->name);
        fp_buf_append_byte(b, '}');
    }
    fp_buf_append_byte(b, ']');
}

static void param_refs(struct store_request *r, const struct fp_store_write *w)
{
    struct fp_buf b = {0};
    store_refs_json(&b, w);
    store_param_json(&r->params, r->arena, fp_buf_str(&b));
    fp_buf_fini(&b);
}

static void names(const struct store_answer *a, struct fp_str *out, struct fp_store_result *res)
{
    struct store_array array = store_array_open(store_cell(a->result, 0, C_NAMES));
    while (res->names_n < NAMES_MAX && store_array_next(&array, &out[res->names_n]))
        res->names_n++;
    res->names = out;
}

static enum fp_store_outcome outcome_of_row(const PGresult *r)
{
    FP_ASSERT(PQntuples(r) == 1 && PQnfields(r) == C_N);
    struct fp_str text = store_cell(r, 0, C_OUTCOME);
    if (!text.data)
        return FP_STORE_NOT_FOUND;
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
        if (fp_str_eq_c(text, outcomes[i].text))
            return outcomes[i].outcome;
    FP_UNREACHABLE();
}

static enum fp_store_outcome outcome_of_error(const struct store_answer *a, enum fp_kind kind)
{
    if (a->end == STORE_END_LOST)
        return FP_STORE_UNAVAILABLE; /* the connection has logged why */
    if (strcmp(a->sqlstate, "23505") == 0)
        return strcmp(a->constraint, "listeners_address_port_key") == 0 ? FP_STORE_ADDRESS_TAKEN
                                                                        : FP_STORE_NAME_TAKEN;
    if (store_verdict(a->sqlstate) == STORE_REFUSE) {
        fp_log_error(FP_LOG_STORE, "the database refuses a %s: %s (SQLSTATE %s)",
                     fp_kinds[kind].name, a->message, a->sqlstate);
        return FP_STORE_REFUSED;
    }
    fp_log_warn(FP_LOG_STORE, "the database cannot write now: %s (SQLSTATE %s)", a->message,
                a->sqlstate);
    return FP_STORE_UNAVAILABLE;
}

static void answered(const struct store_answer *a, void *arg)
{
    struct call *call = arg;
    struct fp_store_result res = {.version = 0};
    struct fp_str list[NAMES_MAX];
    char created[FP_CLOCK_TEXT_BYTES], updated[FP_CLOCK_TEXT_BYTES];

    if (a->end != STORE_END_OK) {
        res.outcome = outcome_of_error(a, call->kind);
    } else {
        res.outcome = outcome_of_row(a->result);
    }
    if (a->end == STORE_END_OK && res.outcome != FP_STORE_NOT_FOUND) {
        res.id = store_cell(a->result, 0, C_ID);
        res.version = store_cell_i64(a->result, 0, C_VERSION);
        res.revision = (uint64_t)store_cell_i64(a->result, 0, C_REVISION);
        res.created_at = fp_str_of(
            fp_clock_rfc3339(created, store_cell_wall_ms(a->result, 0, C_CREATED), false));
        res.updated_at = fp_str_of(
            fp_clock_rfc3339(updated, store_cell_wall_ms(a->result, 0, C_UPDATED), false));
        names(a, list, &res);
    }
    if (!call->r->forgotten)
        call->cb(&res, call->arg);
}

static struct store_request *request(struct fp_store *s, const char *name, const char *sql,
                                     enum fp_kind kind, const struct fp_store_actor *actor,
                                     fp_store_cb cb, void *arg)
{
    FP_ASSERT(sql); /* the caller's route table has no such kind */
    struct store_request *r = store_request_new(name, sql);
    struct call *call = FP_ARENA_NEW(r->arena, struct call);
    *call = (struct call){.r = r, .cb = cb, .arg = arg, .kind = kind};
    r->table = fp_kinds[kind].table;
    r->done = answered;
    r->arg = call;
    r->owner = arg;
    store_param_actor(r, actor);
    store_param_lock_timeout(s, r);
    return r;
}

static void param_copy(struct store_request *r, struct fp_str s)
{
    store_param_text(&r->params, s.data ? fp_arena_str(r->arena, s) : FP_STR_NULL);
}

static struct store_request *write_request(struct fp_store *s, const char *name, const char *sql,
                                           const struct fp_store_write *w, fp_store_cb cb,
                                           void *arg)
{
    struct store_request *r = request(s, name, sql, w->kind, &w->actor, cb, arg);
    struct fp_arena *a = r->arena;
    bool encoded = w->encoded.data != NULL;

    param_refs(r, w);
    param_copy(r, w->name);
    param_copy(r, w->team);
    param_copy(r, w->source);
    param_copy(r, w->form);
    store_param_json(&r->params, a, w->configuration);
    store_param_bytes(&r->params, encoded ? fp_arena_str(a, w->encoded) : FP_STR_NULL);
    store_param_bytes(&r->params,
                      encoded ? fp_str_n(fp_arena_dup(a, w->content_hash, 32), 32) : FP_STR_NULL);
    store_param_i64(&r->params, a, w->encoder_version);
    switch (store_statements[w->kind].extra) {
    case STORE_X_NONE:
        break;
    case STORE_X_SERVICE:
        param_copy(r, w->service_name);
        break;
    case STORE_X_ROUTE:
        param_copy(r, w->path_prefix);
        param_copy(r, w->cluster_name);
        break;
    case STORE_X_LISTENER:
        param_copy(r, w->address);
        if (w->port >= 0)
            store_param_i64(&r->params, a, w->port);
        else
            store_param_text(&r->params, FP_STR_NULL);
        param_copy(r, w->protocol);
        break;
    }
    return r;
}

void fp_store_create(struct fp_store *s, const struct fp_store_write *w, fp_store_cb cb, void *arg)
{
    store_pool_submit(
        s, write_request(s, "create resource", store_statements[w->kind].create, w, cb, arg));
}

void fp_store_replace(struct fp_store *s, const struct fp_store_write *w, fp_store_cb cb, void *arg)
{
    struct store_request *r =
        write_request(s, "replace resource", store_statements[w->kind].replace, w, cb, arg);
    store_param_i64(&r->params, r->arena, w->if_version);
    store_pool_submit(s, r);
}

void fp_store_delete(struct fp_store *s, enum fp_kind kind, struct fp_str name, int64_t if_version,
                     const struct fp_store_actor *actor, fp_store_cb cb, void *arg)
{
    struct store_request *r =
        request(s, "delete resource", store_statements[kind].delete, kind, actor, cb, arg);
    param_copy(r, name);
    store_param_i64(&r->params, r->arena, if_version);
    store_pool_submit(s, r);
}

static void forget(struct store_request *r)
{
    r->forgotten = true;
}

void fp_store_forget(struct fp_store *s, void *arg)
{
    store_pool_each(s, arg, forget);
}
