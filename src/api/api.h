/* The REST API of a worker (contract §2, §3): route table, handlers, error bodies. */
#pragma once
#include "http/http_server.h"
#include "obs/obs_page.h"
#include "pb/pb_pool.h"
#include "snap/snap_reader.h"
#include "store/store.h"

struct fp_api;
struct fp_api_options {
    struct fp_store *store;
    const struct fp_pb_pool *pool;
    struct fp_page *page;
    struct fp_page_slot *slot;
    uint64_t body_limit_bytes, bulk_body_limit_bytes;
    bool allow_privileged_ports;
    const struct fp_str *external_clusters;
    size_t external_clusters_n;
    const char *instance_id, *service_name;
    bool metrics;                /* serve /metrics */
    unsigned max_db_connections; /* of the instance */
    const struct fp_str *trusted_proxies,
        *cors_origins; /* checked by conf; live as long as the API */
    size_t trusted_proxies_n, cors_origins_n;
    unsigned write_rate_token, write_rate_address, write_burst; /* per minute, 0 = off */
    unsigned failure_limit;             /* per minute and address, 0 = off */
    uint64_t audit_success_interval_ms; /* 0 = no rows */
    unsigned audit_failure_rows;        /* per minute and address */
    uint64_t token_lifetime_ms;         /* of tokens made without expiresAt; 0 = for ever */
};
struct fp_api *fp_api_new(struct fp_loop *loop, const struct fp_api_options *o);
void fp_api_free(struct fp_api **api);
const struct fp_http_handlers *fp_api_handlers(struct fp_api *api);
/* Of observability.metrics_port: /metrics and no other path. */
const struct fp_http_handlers *fp_api_metrics_handlers(struct fp_api *api);
/* A new generation: reads are answered from it, and those that waited for its revision go on. */
void fp_api_publish(struct fp_api *api, struct fp_snap *s);
/* At the end, when no request is left: what waits to be written is written, then(arg); or the
 * database does not take it.  May call back at once. */
void fp_api_flush(struct fp_api *api, void (*then)(void *arg), void *arg);
