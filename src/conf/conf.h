/*
 * The configuration (contract §12): one struct, filled from the directive tables.  A field's name
 * is the directive's; durations end _ms, sizes _bytes.  Strings live as long as the fp_conf; NULL =
 * unset.
 */
#pragma once
#include <stdio.h>
#include "core/core_arena.h"
#include "core/core_err.h"

struct fp_conf_list {
    const char **items;
    size_t n;
};
enum fp_conf_tri { FP_CONF_FALSE, FP_CONF_TRUE, FP_CONF_AUTO };
enum fp_conf_startup { FP_CONF_STARTUP_AUTO, FP_CONF_STARTUP_EXIT, FP_CONF_STARTUP_RETRY };

struct fp_conf_tls {
    bool enabled; /* api.tls.enabled; for xds: cert_path is set */
    const char *cert_path, *key_path, *chain_path, *client_ca_path, *crl_path;
    bool min_tls13;
    bool require_client_cert;
};

struct fp_conf {
    struct fp_arena *arena;
    const char **origins; /* per directive, private to the room; NULL: the default */
    bool dev;
    struct {
        const char *user, *group, *instance_id;
        bool daemon;
        unsigned workers; /* resolved: never "auto" */
        const char *pid_file, *runtime_dir, *state_dir;
        uint64_t worker_shutdown_timeout_ms;
        unsigned max_old_generations;
        size_t nofile;
    } process;
    struct {
        const char *url, *url_file,
            *listen_url; /* url_file's content is read by the process that connects */
        unsigned max_connections, pool_size, min_connections;
        uint64_t connect_timeout_ms, idle_timeout_ms, statement_timeout_ms;
        bool auto_migrate;
        enum fp_conf_startup startup;
        uint64_t startup_timeout_ms, poll_interval_ms, history_retention_ms;
        bool embedded;
        const char *data_dir, *bin_dir;
    } database;
    struct {
        struct fp_conf_list bind_address;
        uint16_t port;
        struct fp_conf_tls tls;
        size_t body_limit_bytes, bulk_body_limit_bytes;
        unsigned max_connections, h2_max_streams;
        bool gzip;
        uint64_t header_timeout_ms, request_timeout_ms, idle_timeout_ms;
        struct fp_conf_list trusted_proxies, cors_origins;
        unsigned write_rate_token, write_rate_address, write_burst;
    } api;
    struct {
        struct fp_conf_list bind_address;
        uint16_t port;
        const char *advertised_address;
        struct fp_conf_tls tls;
        bool require_client_identity;
        const char *team_from_san;
        uint64_t keepalive_time_ms, keepalive_timeout_ms;
        unsigned max_streams, max_streams_per_connection;
        size_t max_request_bytes;
        uint64_t max_connection_age_ms, max_connection_age_grace_ms;
        unsigned max_connection_age_jitter;
        uint64_t debounce_min_ms, debounce_max_ms, write_timeout_ms, ordering_timeout_ms,
            proxy_drain_time_ms;
        unsigned first_response_rate;
        bool nack_hold;
        const char *descriptor_set;
        bool reflection;
    } xds;
    struct {
        struct fp_conf_list external_clusters;
        bool allow_privileged_ports;
    } validation;
    struct {
        uint64_t default_lifetime_ms;
        unsigned failure_limit;
    } auth;
    struct {
        enum fp_conf_tri print;
        const char *token_file, *secret_file;
        bool default_gateway;
        const char *secret; /* BOOTSTRAP_TOKEN, environment only */
    } bootstrap;
    struct {
        const char *key_file;
        struct fp_conf_list old_key_files;
    } secrets;
    struct {
        uint64_t retention_ms, auth_success_interval_ms;
        unsigned failure_rows_per_minute;
        bool hash_chain;
    } audit;
    struct {
        const char *log_level, *log_filter, *log_format, *log_target;
        bool enable_metrics;
        uint16_t metrics_port;
        const char *metrics_bind_address;
        bool enable_tracing;
        const char *service_name, *jaeger_endpoint, *otlp_endpoint;
        double trace_sampling_ratio;
    } observability;
    struct {
        int mode; /* enum fp_sandbox_mode */
    } sandbox;
};

struct fp_conf_sources {          /* where values come from; built once by main */
    const char *file;             /* -c, or NULL: the three file layers */
    const char *const *overrides; /* -g strings */
    size_t overrides_n;
    const char *prefix_share, *prefix_etc; /* directories of the default layers */
    bool dev;                              /* --dev defaults below all layers */
    bool relaxed; /* -s: a missing database URL is no error, nothing is asked of the environment */
};

/* Directives whose change a reload cannot take up (class R), compared between two configurations.
 */
struct fp_conf_changes {
    const char *names[64];
    size_t n;
};

/*
 * Loads all layers.  NULL on error, after one line per error was written to `err`:
 * `<file>:<line>: unknown directive "api.prot"; did you mean "api.port"?`.  Warnings go there too,
 * with "warning: " in front.  Blocks (reads files).  Secrets in the environment are wiped.
 */
struct fp_conf *fp_conf_load(const struct fp_conf_sources *s, FILE *err);
void fp_conf_free(struct fp_conf **c);
/* -T: every effective value with origin and class; secrets masked. */
void fp_conf_print(const struct fp_conf *c, FILE *out);
void fp_conf_diff_restart(const struct fp_conf *a, const struct fp_conf *b,
                          struct fp_conf_changes *out);
/* A reload goes on with the old values of these. */
void fp_conf_keep_restart(const struct fp_conf *from, struct fp_conf *to);
/* mdoc(7) for flowplane.conf(5), from the tables */
void fp_conf_print_man(FILE *out);
