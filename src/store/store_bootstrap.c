/*
 * The first rows (contract §4.6): the bootstrap token when there is no token of any status, and the
 * rows of the default gateway that are missing.  One transaction under an advisory lock, so that of
 * many instances exactly one does it.  Runs in the watcher.  Must never log the token: the caller
 * hands it over, once it is committed.
 */
#include <stdio.h>
#include <strings.h>
#include "codec/codec_hash.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "core/core_rand.h"
#include "obs/obs_metric.h"
#include "store/store_follow_int.h"

#define SECRET_CHARS    48
#define SECRET_MIN      32
#define SECRET_MAX      256
#define TOKEN_MAX_BYTES (7 + FP_UUID_TEXT_BYTES + 1 + SECRET_MAX + 1)
#define TOKEN_PREFIX    "fp_pat_"

static const char chain_sql[] =
    "UPDATE audit_chain SET enabled = $1::text::boolean WHERE enabled <> $1::text::boolean";
/* What is missing, without a lock: the usual start ends here.  $1: a token whose COMMIT was not
 * answered. */
static const char due_sql[] =
    "SELECT EXISTS (SELECT FROM tokens WHERE token_id = $1::text::uuid),"
    " NOT EXISTS (SELECT FROM tokens), NOT ("
    " EXISTS (SELECT FROM clusters WHERE name = 'default-gateway-cluster')"
    " AND EXISTS (SELECT FROM routes WHERE name = 'default-gateway-routes')"
    " AND EXISTS (SELECT FROM listeners WHERE name = 'default-gateway-listener'))";
static const char open_sql[] =
    "BEGIN; SET LOCAL lock_timeout = 0;"
    " SELECT pg_advisory_xact_lock(hashtextextended('flowplane_bootstrap', 0))";
static const char begin_sql[] =
    "SELECT revision_next FROM flowplane_begin('{\"user_id\":\"system\"}', 60000)";
/* Encoded by whoever follows: no bytes are given. */
static const char gateway_sql[] =
    "WITH c AS (INSERT INTO clusters (name, source, service_name, configuration) VALUES\n"
    "  ('default-gateway-cluster', 'system', 'default-gateway-cluster', $1::jsonb)\n"
    "  ON CONFLICT DO NOTHING RETURNING name),\n"
    "r AS (INSERT INTO routes (name, source, path_prefix, cluster_name, configuration) VALUES\n"
    "  ('default-gateway-routes', 'system', '/', 'default-gateway-cluster', $2::jsonb)\n"
    "  ON CONFLICT DO NOTHING RETURNING name),\n"
    "l AS (INSERT INTO listeners (name, source, address, port, configuration) VALUES\n"
    "  ('default-gateway-listener', 'system', '0.0.0.0', 10000, $3::jsonb)\n"
    "  ON CONFLICT DO NOTHING RETURNING name),\n"
    "f AS (INSERT INTO resource_refs (kind, name, target_kind, target_name)\n"
    "  SELECT 'route', name, 'cluster', 'default-gateway-cluster' FROM r UNION ALL\n"
    "  SELECT 'listener', name, 'route', 'default-gateway-routes' FROM l ON CONFLICT DO NOTHING)\n"
    "SELECT (SELECT count(*) FROM c) + (SELECT count(*) FROM r) + (SELECT count(*) FROM l)";
static const char token_sql[] =
    "WITH t AS (INSERT INTO tokens (token_id, name, description, secret_hash, scopes, created_by)\n"
    "  SELECT $1::text::uuid, 'bootstrap-admin', 'Initial bootstrap token', $2::bytea,\n"
    "    '{tokens:read,tokens:write,clusters:read,clusters:write,routes:read,routes:write,"
    "listeners:read,listeners:write,gateways:import,admin:all}', 'system'\n"
    "  WHERE NOT EXISTS (SELECT FROM tokens) RETURNING token_id, name)\n"
    "INSERT INTO audit_logs (event_type, resource_type, resource_id, resource_name, metadata,\n"
    "  user_id, revision)\n"
    "SELECT 'auth.token.seeded', 'auth.token', token_id::text, name,\n"
    "  jsonb_build_object('name', name), 'system', $3::bigint FROM t RETURNING id";

static const char gateway_cluster[] =
    "{\"connectTimeoutSeconds\":5,\"endpoints\":[{\"host\":\"127.0.0.1\",\"port\":65535}]}";
static const char gateway_routes[] =
    "{\"virtualHosts\":[{\"name\":\"default-gateway-vhost\",\"domains\":[\"*\"],\"routes\":[{"
    "\"name\":\"default-gateway-route\",\"match\":{\"path\":{\"type\":\"prefix\",\"value\":\"/\"}},"
    "\"action\":{\"type\":\"forward\",\"cluster\":\"default-gateway-cluster\","
    "\"timeoutSeconds\":15}}]}]}";
static const char gateway_listener[] =
    "{\"name\":\"default-gateway-listener\",\"address\":\"0.0.0.0\",\"port\":10000,"
    "\"filter_chains\":[{\"name\":\"default-gateway-chain\",\"filters\":[{"
    "\"name\":\"envoy.filters.network.http_connection_manager\",\"filter_type\":{"
    "\"HttpConnectionManager\":{\"route_config_name\":\"default-gateway-routes\","
    "\"http_filters\":[]}}}]}]}";

static const struct store_params none;

/* ---- the token */

static bool secret_ok(struct fp_str s)
{
    bool one = true; /* a single repeated character */
    if (s.len < SECRET_MIN || s.len > SECRET_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        bool known = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-';
        if (!known)
            return false;
        one = one && c == s.data[0];
    }
    return !one;
}

/* Its fate is known, or nobody cares: made tells whoever prepared for it. */
static void token_end(struct fp_follow *f, bool made)
{
    if (!f->token)
        return;
    if (f->token_prepared)
        f->o.seed->settle(f->token, made, f->o.seed->arg);
    f->token_prepared = false;
    explicit_bzero(f->token, TOKEN_MAX_BYTES);
    fp_mem_free(f->token);
    f->token = NULL;
}

/* Makes f->token, its id, and the hash for its row.  false: the given secret cannot be used
 * (fatal). */
static bool token_make(struct fp_follow *f, uint8_t hash[FP_SHA256_BYTES])
{
    char secret[SECRET_MAX + 1];
    struct fp_str given = fp_str_of(f->o.seed->secret);

    if (given.data && fp_str_starts(given, FP_STR(TOKEN_PREFIX))) {
        fp_log_warn(FP_LOG_AUTH, "BOOTSTRAP_TOKEN holds a whole token, not a secret: ignored");
        given = FP_STR_NULL;
    }
    if (given.data && !secret_ok(given)) {
        store_follow_fatal(f,
                           "BOOTSTRAP_TOKEN must be %d to %d characters of A-Z a-z 0-9 _ -, "
                           "not all the same",
                           SECRET_MIN, SECRET_MAX);
        return false;
    }
    if (given.data) {
        snprintf(secret, sizeof(secret), "%.*s", FP_STR_ARG(given));
    } else {
        fp_rand_alnum(secret, SECRET_CHARS);
        secret[SECRET_CHARS] = '\0';
    }
    fp_uuid_v4(f->token_id);
    fp_sha256(secret, strlen(secret), hash);
    f->token = fp_mem_zalloc(TOKEN_MAX_BYTES);
    snprintf(f->token, TOKEN_MAX_BYTES, TOKEN_PREFIX "%s.%s", f->token_id, secret);
    explicit_bzero(secret, sizeof(secret));
    return true;
}

/* ---- the steps */

static void on_committed(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    /* Lost: the server may have committed or not, on_due will see. */
    if (a->end != STORE_END_LOST)
        token_end(f, a->end == STORE_END_OK);
    if (store_follow_failed(f, a, "bootstrap"))
        return;
    fp_metric_add(FP_METRIC_AUDIT_WRITES, 0, 0, 0, f->seed_audit_n);
    store_bootstrap_done(f);
}

static void commit(struct fp_follow *f)
{
    store_follow_send(f, "bootstrap commit", "COMMIT", &none, f->o.statement_timeout_ms,
                      on_committed);
}

static void on_token(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "bootstrap token")) {
        token_end(f, false);
        return;
    }
    if (PQntuples(a->result) == 0) { /* another instance was first */
        token_end(f, false);
        commit(f);
        return;
    }
    f->seed_audit_n += 2; /* created, seeded */
    f->token_prepared = f->o.seed->prepare(f->token, f->o.seed->arg);
    if (f->token_prepared) {
        commit(f);
        return;
    }
    token_end(f, false); /* closing rolls back */
    store_follow_fatal(f, "the bootstrap token cannot be handed over; none was made");
}

static void seed_token(struct fp_follow *f)
{
    struct store_params p = {.n = 0};
    uint8_t hash[FP_SHA256_BYTES];
    struct fp_arena *scratch;

    if (!f->o.seed) {
        commit(f);
        return;
    }
    if (!token_make(f, hash))
        return;
    scratch = fp_arena_new(NULL);
    store_param_text(&p, fp_str_of(f->token_id));
    store_param_bytes(&p, fp_str_n(hash, sizeof(hash)));
    store_param_i64(&p, scratch, f->seed_revision);
    store_follow_send(f, "bootstrap token", token_sql, &p, f->o.statement_timeout_ms, on_token);
    fp_arena_free(&scratch);
}

static void on_gateway(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "default gateway"))
        return;
    f->seed_audit_n += (uint64_t)store_cell_i64(a->result, 0, 0);
    seed_token(f);
}

static void on_begun(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    struct store_params p = {.n = 0};
    struct fp_arena *scratch;
    if (store_follow_failed(f, a, "bootstrap"))
        return;
    f->seed_revision = store_cell_i64(a->result, 0, 0);
    f->seed_audit_n = 0;
    if (!f->o.default_gateway) {
        seed_token(f);
        return;
    }
    scratch = fp_arena_new(NULL);
    store_param_json(&p, scratch, fp_str_of(gateway_cluster));
    store_param_json(&p, scratch, fp_str_of(gateway_routes));
    store_param_json(&p, scratch, fp_str_of(gateway_listener));
    store_follow_send(f, "default gateway", gateway_sql, &p, f->o.statement_timeout_ms, on_gateway);
    fp_arena_free(&scratch);
}

static void on_locked(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (!store_follow_failed(f, a, "bootstrap lock"))
        store_follow_send(f, "bootstrap begin", begin_sql, &none, f->o.statement_timeout_ms,
                          on_begun);
}

static void on_due(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "bootstrap check"))
        return;
    token_end(f, store_cell_bool(a->result, 0, 0));
    bool token = store_cell_bool(a->result, 0, 1) && f->o.seed;
    bool gateway = store_cell_bool(a->result, 0, 2) && f->o.default_gateway;
    if (token || gateway)
        store_follow_send(f, "bootstrap lock", open_sql, NULL, STORE_WAIT_LOCK_MS, on_locked);
    else
        store_bootstrap_done(f);
}

static void on_chain(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    struct store_params p = {.n = 0};
    if (store_follow_failed(f, a, "audit chain"))
        return;
    if (strcmp(PQcmdTuples((PGresult *)(uintptr_t)a->result), "1") == 0)
        fp_log_warn(FP_LOG_AUDIT, "audit rows are chained by hashes %s",
                    f->o.hash_chain ? "from now on" : "no more: audit.hash_chain is false");
    store_param_text(&p, f->token ? fp_str_of(f->token_id) : FP_STR_NULL);
    store_follow_send(f, "bootstrap check", due_sql, &p, f->o.statement_timeout_ms, on_due);
}

void store_bootstrap_start(struct fp_follow *f)
{
    struct store_params p = {.n = 0};
    store_param_text(&p, f->o.hash_chain ? FP_STR("true") : FP_STR("false"));
    store_follow_send(f, "bootstrap audit chain", chain_sql, &p, f->o.statement_timeout_ms,
                      on_chain);
}
