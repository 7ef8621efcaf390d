/*
 * Wiring of a worker: from directives to the options of each room.  Runs once, before the loop; the
 * only place of the worker that reads the configuration.
 */
#include "core/core_log.h"
#include "obs/obs_export.h"
#include "worker/worker.h"
#include "worker/worker_int.h"

#define URL_MAX_BYTES   4096
#define STORE_QUEUE_MAX 1024
#define H2_HEADER_BYTES (32 * 1024)

/* What the master opened for a directive, read whole; FP_STR_NULL when there is none. */
static struct fp_str file_of(struct fp_worker *w, const char *directive, size_t max_bytes)
{
    int err;
    struct fp_str text = fp_child_file_text(w->child->files, w->child->files_n, directive,
                                            max_bytes, w->arena, &err);
    if (err < 0)
        fp_log_error(FP_LOG_CONFIG, "%s: %s", directive, fp_err_text(err));
    return text;
}

static void open_store(struct fp_worker *w)
{
    const struct fp_conf *c = w->child->conf;
    unsigned share = c->database.max_connections / c->process.workers;
    struct fp_str from_file = fp_str_trim(
        c->database.url_file ? file_of(w, "database.url_file", URL_MAX_BYTES) : FP_STR_NULL);
    const char *url = w->child->pg_url ? w->child->pg_url : c->database.url;
    struct fp_store_options o = {
        .url = from_file.len ? fp_arena_str(w->arena, from_file).data : url,
        .application_name = "flowplane",
        .pool_size = share < 1                       ? 1
                     : share < c->database.pool_size ? share
                                                     : c->database.pool_size,
        .min_connections =
            (c->database.min_connections + c->process.workers - 1) / c->process.workers,
        .connect_timeout_ms = c->database.connect_timeout_ms,
        .idle_timeout_ms = c->database.idle_timeout_ms,
        .statement_timeout_ms = c->database.statement_timeout_ms,
        .queue_max = STORE_QUEUE_MAX,
        .starting = w->child->pg_url,
    };
    w->store = fp_store_new(w->loop, &o);
}

static const struct fp_str *strings(struct fp_worker *w, const struct fp_conf_list *l)
{
    struct fp_str *out = fp_arena_alloc(w->arena, (l->n + 1) * sizeof(*out));
    for (size_t i = 0; i < l->n; i++)
        out[i] = fp_str_of(l->items[i]);
    return out;
}

struct fp_export *fp_worker_traces_open(struct fp_loop *loop, const struct fp_conf *c)
{
    struct fp_export_options o = {
        .service_name = c->observability.service_name,
        .instance_id = c->process.instance_id,
        .otlp_endpoint = c->observability.otlp_endpoint,
        .jaeger_endpoint = c->observability.jaeger_endpoint,
        .ratio = c->observability.trace_sampling_ratio,
    };
    return c->observability.enable_tracing ? fp_export_open(loop, &o) : NULL;
}

static void open_api(struct fp_worker *w)
{
    const struct fp_conf *c = w->child->conf;
    struct fp_api_options o = {
        .store = w->store,
        .pool = w->child->pool,
        .page = w->child->page,
        .slot = w->slot,
        .body_limit_bytes = c->api.body_limit_bytes,
        .bulk_body_limit_bytes = c->api.bulk_body_limit_bytes,
        .allow_privileged_ports = c->validation.allow_privileged_ports,
        .external_clusters = strings(w, &c->validation.external_clusters),
        .external_clusters_n = c->validation.external_clusters.n,
        .instance_id = c->process.instance_id,
        .service_name = c->observability.service_name,
        .metrics = c->observability.enable_metrics,
        .max_db_connections = c->database.max_connections,
        .trusted_proxies = strings(w, &c->api.trusted_proxies),
        .trusted_proxies_n = c->api.trusted_proxies.n,
        .cors_origins = strings(w, &c->api.cors_origins),
        .cors_origins_n = c->api.cors_origins.n,
        .write_rate_token = c->api.write_rate_token,
        .write_rate_address = c->api.write_rate_address,
        .write_burst = c->api.write_burst,
        .failure_limit = c->auth.failure_limit,
        .audit_success_interval_ms = c->audit.auth_success_interval_ms,
        .audit_failure_rows = c->audit.failure_rows_per_minute,
        .token_lifetime_ms = c->auth.default_lifetime_ms,
    };
    w->api = fp_api_new(w->loop, &o);
    struct fp_http_limits limits = {
        .request_line_bytes = 8 * 1024, /* contract §2.1 */
        .header_bytes = 32 * 1024,
        .headers_n = 100,
        .max_connections = c->api.max_connections,
        .h2_max_streams = c->api.h2_max_streams,
        .header_timeout_ms = c->api.header_timeout_ms,
        .request_timeout_ms = c->api.request_timeout_ms,
        .idle_timeout_ms = c->api.idle_timeout_ms,
        .write_timeout_ms = c->api.request_timeout_ms,
        .gzip = c->api.gzip,
    };
    w->api_server = fp_http_server_new(w->loop, &limits, fp_api_handlers(w->api));
    w->metrics_server = fp_http_server_new(w->loop, &limits, fp_api_metrics_handlers(w->api));
}

static void open_xds(struct fp_worker *w)
{
    const struct fp_conf *c = w->child->conf;
    struct fp_xds_options o = {
        .control_plane_id = fp_arena_printf(w->arena, "%s/%s", c->observability.service_name,
                                            c->process.instance_id),
        .ordering_timeout_ms = c->xds.ordering_timeout_ms,
        .limits = w->child->page->limits,
        .proxy_drain_time_ms = c->xds.proxy_drain_time_ms,
        .max_streams = c->xds.max_streams,
        .first_response_rate = c->xds.first_response_rate,
        .nack_hold = c->xds.nack_hold,
        .team_from_san = c->xds.team_from_san,
        .require_client_identity = c->xds.require_client_identity,
        .slot = w->slot,
        .commits = w->child->page->commits,
        .pool = w->child->pool,
        .builtin_pool = w->child->builtin_pool,
        .reflection = c->xds.reflection,
    };
    w->nacks = worker_nacks_new(w);
    o.on_nack = worker_nacks_add;
    o.on_nack_arg = w->nacks;
    w->status = o.status = fp_status_writer_new(w->child->page->status, w->child->seat);
    if (!w->status)
        fp_log_warn(FP_LOG_XDS,
                    "no shared memory for the status of nodes: they are served, but not "
                    "shown by /api/v1/nodes");
    w->xds = fp_xds_engine_new(w->loop, &o);
    w->grpc = fp_grpc_server_new(c->xds.max_request_bytes);
    fp_xds_engine_register(w->xds, w->grpc);
    struct fp_http_limits limits = {
        .request_line_bytes = 8 * 1024,
        .header_bytes = H2_HEADER_BYTES,
        .headers_n = 100,
        /* one whose stream was refused stays connected, and is to hear why when it tries again */
        .max_connections = 2 * (size_t)c->xds.max_streams,
        .h2_max_streams = c->xds.max_streams_per_connection,
        .header_timeout_ms = c->api.header_timeout_ms,
        .keepalive_time_ms = c->xds.keepalive_time_ms,
        .keepalive_timeout_ms = c->xds.keepalive_timeout_ms,
        .write_timeout_ms = c->xds.write_timeout_ms,
        .max_age_ms = c->xds.max_connection_age_ms,
        .max_age_jitter_percent = c->xds.max_connection_age_jitter,
        .max_age_grace_ms = c->xds.max_connection_age_grace_ms,
        .h2_only = true,
    };
    struct fp_http_handlers h = {.streams = fp_grpc_server_handlers(w->grpc)};
    w->xds_server = fp_http_server_new(w->loop, &limits, &h);
}

bool worker_setup(struct fp_worker *w, const char **why)
{
    if (!worker_tls_open(w, why))
        return false;
    w->traces = fp_worker_traces_open(w->loop, w->child->conf);
    open_store(w);
    open_api(w);
    open_xds(w);
    return true;
}

void worker_listen(struct fp_worker *w)
{
    const struct {
        struct fp_http_server *server;
        struct fp_tls_context *tls;
    } servers[FP_LISTEN_N] = {
        [FP_LISTEN_API] = {w->api_server, w->api_tls},
        [FP_LISTEN_XDS] = {w->xds_server, w->xds_tls},
        [FP_LISTEN_METRICS] = {w->metrics_server, NULL},
    };
    for (int l = 0; l < FP_LISTEN_N; l++)
        for (size_t i = 0; i < w->child->listen[l].n; i++)
            fp_http_server_listen(servers[l].server, w->child->listen[l].fds[i], servers[l].tls);
}

/* Connections first: their streams and requests hold what the engine and the API own. */
void worker_teardown(struct fp_worker *w)
{
    fp_http_server_free(&w->api_server);
    fp_http_server_free(&w->xds_server);
    fp_http_server_free(&w->metrics_server);
    fp_grpc_server_free(&w->grpc);
    fp_xds_engine_free(&w->xds);
    fp_status_writer_free(&w->status);
    fp_api_free(&w->api);
    fp_store_free(&w->store);
    worker_nacks_free(&w->nacks);
    worker_tls_free(w);
}
