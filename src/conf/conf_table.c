/*
 * The directives (contract §12.2): one table, and from it the parser, the check, -T, the names in
 * the environment and flowplane.conf(5).  Runs in the master.  Never holds code about one
 * directive: relations between several are in conf_check.c.
 */
#include <ctype.h>
#include <stdio.h>
#include "fp_config.h"
#include "conf/conf_int.h"

#define F(path) offsetof(struct fp_conf, path), sizeof(((struct fp_conf *)0)->path)
#define S_MS    (1000LL)
#define M_MS    (60 * S_MS)
#define H_MS    (60 * M_MS)
#define D_MS    (24 * H_MS)
#define KB      (1024LL)
#define MB      (1024 * KB)
#define GB      (1024 * MB)
#define LATER   .flags = FP_CONF_LATER

#define STR(n, cl, f, d, ...)                                                                      \
    {                                                                                              \
        n, FP_CONF_T_STRING, cl, F(f), d, .help = __VA_ARGS__                                      \
    }
#define PATH(n, cl, f, d, ...)                                                                     \
    {                                                                                              \
        n, FP_CONF_T_PATH, cl, F(f), d, .help = __VA_ARGS__                                        \
    }
#define BOOL(n, cl, f, d, ...)                                                                     \
    {                                                                                              \
        n, FP_CONF_T_BOOL, cl, F(f), d, .help = __VA_ARGS__                                        \
    }
#define LIST(n, cl, f, d, ...)                                                                     \
    {                                                                                              \
        n, FP_CONF_T_LIST, cl, F(f), d, .help = __VA_ARGS__                                        \
    }
#define INT(n, cl, f, d, lo, hi, ...)                                                              \
    {                                                                                              \
        n, FP_CONF_T_INT, cl, F(f), d, lo, hi, .help = __VA_ARGS__                                 \
    }
#define SIZE(n, cl, f, d, lo, hi, ...)                                                             \
    {                                                                                              \
        n, FP_CONF_T_SIZE, cl, F(f), d, lo, hi, .help = __VA_ARGS__                                \
    }
#define DUR(n, cl, f, d, lo, hi, ...)                                                              \
    {                                                                                              \
        n, FP_CONF_T_DUR, cl, F(f), d, lo, hi, .help = __VA_ARGS__                                 \
    }
#define CHOICE(n, cl, f, d, ch, ...)                                                               \
    {                                                                                              \
        n, FP_CONF_T_CHOICE, cl, F(f), d, .choices = ch, .help = __VA_ARGS__                       \
    }

/* clang-format off */
const struct fp_conf_directive fp_conf_table[] = {
STR("process.user", 'R', process.user, FP_USER, "User of workers and watcher; ignored when not started as root."),
STR("process.group", 'R', process.group, FP_GROUP, "Group of workers and watcher; ignored when not started as root."),
STR("process.instance_id", 'R', process.instance_id, NULL, "Name of this instance; the host name unless set."),
BOOL("process.daemon", 'R', process.daemon, "false", "Go to the background once the start has succeeded."),
INT("process.workers", 'W', process.workers, "auto", 1, 256, "Number of worker processes, or \"auto\" for one per CPU.", .flags = FP_CONF_AUTO_N),
PATH("process.pid_file", 'R', process.pid_file, NULL, "File with the pid of the master; <runtime_dir>/flowplane.pid unless set."),
PATH("process.runtime_dir", 'R', process.runtime_dir, FP_RUNTIME_DIR, "Directory for sockets and the pid file."),
PATH("process.state_dir", 'R', process.state_dir, FP_STATE_DIR, "Directory for the snapshot cache, the bootstrap token and the lock against a second server."),
DUR("process.worker_shutdown_timeout", 'L', process.worker_shutdown_timeout_ms, "30s", S_MS, H_MS, "Time in which old or stopping workers drain their streams."),
INT("process.max_old_generations", 'L', process.max_old_generations, "3", 1, 50, "Draining generations of workers kept at once; beyond it the oldest is terminated."),
INT("process.nofile", 'W', process.nofile, "65536", 64, 1048576, "Limit of open files of each process."),

STR("database.url", 'W', database.url, NULL, "PostgreSQL connection URL, postgresql:// or postgres://, with libpq parameters.", .flags = FP_CONF_SECRET, .env = {"DATABASE_URL"}),
PATH("database.url_file", 'W', database.url_file, NULL, "File that holds the URL, mode 0600 or stricter; excludes database.url.", .flags = FP_CONF_FILE | FP_CONF_FILE_0600),
STR("database.listen_url", 'W', database.listen_url, NULL, "Direct connection for LISTEN when the main URL goes through a pooler; database.url unless set.", .flags = FP_CONF_SECRET),
INT("database.max_connections", 'W', database.max_connections, "10", 2, 1000, "Connections of the whole instance.", .env = {"DATABASE_MAX_CONNECTIONS"}),
INT("database.pool_size", 'W', database.pool_size, "4", 1, 100, "Connections of each worker, cut so that the instance keeps database.max_connections."),
INT("database.min_connections", 'W', database.min_connections, "0", 0, 50, "Connections of the whole instance that stay open.", .env = {"DATABASE_MIN_CONNECTIONS"}),
DUR("database.connect_timeout", 'L', database.connect_timeout_ms, "10s", S_MS, M_MS, "Time limit for a connection attempt.", .env = {"DATABASE_CONNECT_TIMEOUT_SECONDS"}),
DUR("database.idle_timeout", 'L', database.idle_timeout_ms, "600s", 0, D_MS, "Idle connections above the minimum are closed after this time; 0 keeps them.", .env = {"DATABASE_IDLE_TIMEOUT_SECONDS"}),
DUR("database.statement_timeout", 'L', database.statement_timeout_ms, "5s", 100, H_MS, "Time limit for a statement."),
BOOL("database.auto_migrate", 'R', database.auto_migrate, "true", "Bring the schema up to date at start.", .flags = FP_CONF_ENV_LAX, .env = {"DATABASE_AUTO_MIGRATE"}),
CHOICE("database.startup", 'R', database.startup, "auto", "auto|exit|retry", "What to do when the database is away at start and there is no usable cache; auto is retry under a service manager, else exit."),
DUR("database.startup_timeout", 'R', database.startup_timeout_ms, "30s", 100, H_MS, "How long exit waits for the database."),
DUR("database.poll_interval", 'L', database.poll_interval_ms, "5s", S_MS, M_MS, "Safety poll for changes; 1 s while LISTEN does not work."),
DUR("database.history_retention", 'L', database.history_retention_ms, "90d", 0, 3650 * D_MS, "How long revisions, and rejections of nodes, are kept."),
BOOL("database.embedded", 'R', database.embedded, "false", "Run a private PostgreSQL under the master, reachable by its UNIX socket in process.runtime_dir only; excludes database.url."),
PATH("database.data_dir", 'R', database.data_dir, NULL, "Data directory of the embedded PostgreSQL; <state_dir>/pg unless set."),
PATH("database.bin_dir", 'R', database.bin_dir, NULL, "Directory of the programs postgres and initdb; found unless set."),

LIST("api.bind_address", 'W', api.bind_address, "127.0.0.1", "IP addresses the REST API listens on."),
INT("api.port", 'W', api.port, "8080", 1, 65535, "Port of the REST API; must differ from xds.port."),
BOOL("api.tls.enabled", 'W', api.tls.enabled, "false", "Serve the REST API over TLS.", .flags = FP_CONF_ENV_LAX),
PATH("api.tls.cert_path", 'L', api.tls.cert_path, NULL, "Certificate of the REST API, PEM; required with api.tls.enabled.", .flags = FP_CONF_FILE),
PATH("api.tls.key_path", 'L', api.tls.key_path, NULL, "Private key of the REST API, PEM, unencrypted; required with api.tls.enabled.", .flags = FP_CONF_FILE),
PATH("api.tls.chain_path", 'L', api.tls.chain_path, NULL, "Intermediate certificates, appended behind those of the certificate file.", .flags = FP_CONF_FILE),
CHOICE("api.tls.min_version", 'L', api.tls.min_tls13, "TLSv1.2", "TLSv1.2|TLSv1.3", "Lowest TLS version of the REST API."),
SIZE("api.body_limit", 'L', api.body_limit_bytes, "2M", KB, GB, "Largest request body."),
SIZE("api.bulk_body_limit", 'L', api.bulk_body_limit_bytes, "64M", KB, GB, "Largest request body of apply and import."),
INT("api.max_connections", 'L', api.max_connections, "10000", 1, 1000000, "Open connections of each worker."),
INT("api.h2_max_streams", 'L', api.h2_max_streams, "100", 1, 10000, "Concurrent HTTP/2 streams of a connection."),
BOOL("api.gzip", 'L', api.gzip, "true", "Compress responses for clients that accept it."),
DUR("api.header_timeout", 'L', api.header_timeout_ms, "10s", 100, H_MS, "Time in which a request's header must arrive."),
DUR("api.request_timeout", 'L', api.request_timeout_ms, "30s", 100, H_MS, "Time in which a request must be finished."),
DUR("api.idle_timeout", 'L', api.idle_timeout_ms, "75s", 100, D_MS, "Idle connections are closed after this time."),
LIST("api.trusted_proxies", 'L', api.trusted_proxies, "", "Networks whose X-Forwarded-For is believed, as CIDR."),
LIST("api.cors_origins", 'L', api.cors_origins, "", "Origins that browsers may call from."),
INT("api.write_rate_token", 'L', api.write_rate_token, "0", 0, 1000000, "Writes of a token per minute; 0 is no limit."),
INT("api.write_rate_address", 'L', api.write_rate_address, "0", 0, 1000000, "Writes of an address per minute; 0 is no limit."),
INT("api.write_burst", 'L', api.write_burst, "20", 1, 1000000, "Writes that may come at once within a rate limit."),

LIST("xds.bind_address", 'W', xds.bind_address, "0.0.0.0", "IP addresses the xDS server listens on."),
INT("xds.port", 'W', xds.port, "50051", 1, 65535, "Port of the xDS server."),
STR("xds.advertised_address", 'L', xds.advertised_address, NULL, "host[:port] that generated Envoy bootstraps name.", LATER),
PATH("xds.tls.cert_path", 'L', xds.tls.cert_path, NULL, "Certificate of the xDS server, PEM; turns TLS on.", .flags = FP_CONF_FILE),
PATH("xds.tls.key_path", 'L', xds.tls.key_path, NULL, "Private key of the xDS server, PEM, unencrypted.", .flags = FP_CONF_FILE),
PATH("xds.tls.client_ca_path", 'L', xds.tls.client_ca_path, NULL, "CA that client certificates are verified against.", .flags = FP_CONF_FILE),
PATH("xds.tls.crl_path", 'L', xds.tls.crl_path, NULL, "Revocation list for client certificates, PEM.", .flags = FP_CONF_FILE),
BOOL("xds.tls.require_client_cert", 'L', xds.tls.require_client_cert, NULL, "Refuse clients without a certificate; true when a CA is set."),
CHOICE("xds.tls.min_version", 'L', xds.tls.min_tls13, "TLSv1.2", "TLSv1.2|TLSv1.3", "Lowest TLS version of the xDS server."),
BOOL("xds.require_client_identity", 'L', xds.require_client_identity, "false", "Serve only nodes whose certificate names them."),
STR("xds.team_from_san", 'L', xds.team_from_san, "", "Pattern of the URI in the certificate that names the node's team, such as spiffe://mesh.test/team/{team}/proxy."),
DUR("xds.keepalive_time", 'L', xds.keepalive_time_ms, "30s", S_MS, D_MS, "Quiet time after which an HTTP/2 PING is sent."),
DUR("xds.keepalive_timeout", 'L', xds.keepalive_timeout_ms, "10s", S_MS, H_MS, "Time in which that PING must be answered."),
INT("xds.max_streams", 'L', xds.max_streams, "20000", 1, 1000000, "Open streams of the instance; beyond it RESOURCE_EXHAUSTED."),
INT("xds.max_streams_per_connection", 'L', xds.max_streams_per_connection, "10000", 1, 1000000, "Open streams of a connection."),
SIZE("xds.max_request", 'L', xds.max_request_bytes, "4M", 4 * KB, 256 * MB, "Largest request message."),
DUR("xds.max_connection_age", 'L', xds.max_connection_age_ms, "0", 0, 365 * D_MS, "Connections are closed after this time; 0 never."),
INT("xds.max_connection_age_jitter", 'L', xds.max_connection_age_jitter, "10", 0, 100, "Per cent by which that age varies."),
DUR("xds.max_connection_age_grace", 'L', xds.max_connection_age_grace_ms, "30s", 0, H_MS, "Time between GOAWAY and the close."),
DUR("xds.debounce_min", 'L', xds.debounce_min_ms, "10ms", 0, 10 * S_MS, "Shortest wait that gathers changes; the first change goes out at once."),
DUR("xds.debounce_max", 'L', xds.debounce_max_ms, "200ms", 0, 10 * S_MS, "Longest wait that gathers changes."),
DUR("xds.write_timeout", 'L', xds.write_timeout_ms, "30s", S_MS, H_MS, "A stream that takes no bytes for this long is closed."),
DUR("xds.ordering_timeout", 'L', xds.ordering_timeout_ms, "15s", 0, H_MS, "How long a removal waits for the types that referred to it."),
DUR("xds.proxy_drain_time", 'L', xds.proxy_drain_time_ms, "15s", 0, D_MS, "When a listener is replaced, the clusters of its old form stay that long, or until the proxy lets go of the old route; as long as your proxies drain (Envoy: --drain-time-s, 600 s by default) no kept connection meets a missing cluster."),
INT("xds.first_response_rate", 'L', xds.first_response_rate, "2000", 0, 1000000, "First responses per second of the instance; 0 is no limit."),
CHOICE("xds.nack_policy", 'L', xds.nack_hold, "isolate", "isolate|hold", "After a NACK: deliver the good siblings, or hold the type back."),
PATH("xds.descriptor_set", 'W', xds.descriptor_set, NULL, "Descriptor set of your Envoy, by flowplanectl(8) descriptors extract; used instead of the built-in one.", .flags = FP_CONF_FILE),
BOOL("xds.reflection", 'W', xds.reflection, "true", "Serve gRPC server reflection."),

LIST("validation.external_clusters", 'L', validation.external_clusters, "xds_cluster", "Clusters that exist in the Envoys' bootstrap and may be referred to."),
BOOL("validation.allow_privileged_ports", 'L', validation.allow_privileged_ports, "false", "Allow listeners on ports below 1024."),

DUR("auth.default_lifetime", 'L', auth.default_lifetime_ms, "0", 0, 3650 * D_MS, "Lifetime of tokens made without an expiry; 0 is for ever."),
INT("auth.failure_limit", 'L', auth.failure_limit, "100", 0, 1000000, "Failed authentications of an address per minute; 0 is no limit."),

CHOICE("bootstrap.print", 'R', bootstrap.print, "auto", "false|true|auto", "Print the bootstrap token, or write it to bootstrap.token_file; auto prints in the foreground without a service manager."),
PATH("bootstrap.token_file", 'R', bootstrap.token_file, NULL, "File the bootstrap token is written to; <state_dir>/bootstrap-token unless set."),
PATH("bootstrap.secret_file", 'R', bootstrap.secret_file, NULL, "File with the secret part of the bootstrap token.", .flags = FP_CONF_FILE | FP_CONF_FILE_0600),
BOOL("bootstrap.default_gateway", 'R', bootstrap.default_gateway, "true", "Create the default gateway resources when they are missing."),
STR("bootstrap.secret", 'R', bootstrap.secret, NULL, "Secret part of the bootstrap token, at least 32 characters; environment only.", .flags = FP_CONF_SECRET | FP_CONF_HIDDEN, .env = {"BOOTSTRAP_TOKEN"}),

PATH("secrets.key_file", 'L', secrets.key_file, NULL, "Key that seals secrets in the database.", LATER),
LIST("secrets.old_key_files", 'L', secrets.old_key_files, "", "Former keys, which only decrypt.", LATER),

DUR("audit.retention", 'L', audit.retention_ms, "0", 0, 36500 * D_MS, "How long audit rows are kept; 0 is for ever."),
DUR("audit.auth_success_interval", 'L', audit.auth_success_interval_ms, "1h", 0, 365 * D_MS, "Shortest time between two success rows of a token; 0 writes none."),
INT("audit.failure_rows_per_minute", 'L', audit.failure_rows_per_minute, "10", 0, 100000, "Rows of failed authentications of an address per minute."),
BOOL("audit.hash_chain", 'R', audit.hash_chain, "false", "Chain audit rows by hashes; of all instances of a database the one that started last decides."),

{"observability.log_level", FP_CONF_T_STRING, 'L', F(observability.log_level), "info", .choices = "off|error|warn|info|debug|trace", .env = {"FLOWPLANE_LOG_LEVEL"}, .help = "Lowest level that is logged."},
STR("observability.log_filter", 'L', observability.log_filter, NULL, "Levels by target, such as info,flowplane::xds_server=trace; wins over log_level.", .env = {"RUST_LOG"}),
{"observability.log_format", FP_CONF_T_STRING, 'L', F(observability.log_format), "auto", .choices = "auto|json|text", .help = "Form of log lines; auto is text on a terminal unless RUST_LOG is set, else json."},
STR("observability.log_target", 'L', observability.log_target, "stdout", "stdout, stderr, syslog or file:<path>."),
BOOL("observability.enable_metrics", 'W', observability.enable_metrics, "true", "Serve /metrics.", .env = {"FLOWPLANE_ENABLE_METRICS"}),
INT("observability.metrics_port", 'W', observability.metrics_port, "0", 0, 65535, "A port of its own for /metrics, in clear text; 0 is none.", .env = {"FLOWPLANE_METRICS_PORT"}),
STR("observability.metrics_bind_address", 'W', observability.metrics_bind_address, "0.0.0.0", "IP address of the metrics port."),
BOOL("observability.enable_tracing", 'L', observability.enable_tracing, "false", "Make and export spans: a write can be followed to the acknowledgement of each proxy in one trace, through other instances too.", .env = {"FLOWPLANE_ENABLE_TRACING"}),
STR("observability.service_name", 'L', observability.service_name, "flowplane", "Name in metrics, spans and the control plane's identifier.", .env = {"FLOWPLANE_SERVICE_NAME"}),
STR("observability.jaeger_endpoint", 'L', observability.jaeger_endpoint, NULL, "URL of a Jaeger collector that takes Thrift over HTTP, such as http://localhost:14268/api/traces.", .env = {"FLOWPLANE_JAEGER_ENDPOINT"}),
STR("observability.otlp_endpoint", 'L', observability.otlp_endpoint, NULL, "Base URL of an OTLP/HTTP collector, such as http://localhost:4318; /v1/traces is added.", .env = {"FLOWPLANE_OTLP_ENDPOINT"}),
{"observability.trace_sampling_ratio", FP_CONF_T_RATIO, 'L', F(observability.trace_sampling_ratio), "1.0", .env = {"FLOWPLANE_TRACE_SAMPLING_RATIO"}, .help = "Share of new traces that is exported, 0 to 1; a caller's traceparent decides for its own."},

CHOICE("sandbox.mode", 'R', sandbox.mode, "best-effort", "off|best-effort|required", "Confinement of workers and watcher by seccomp and Landlock."),
};
/* clang-format on */
const size_t fp_conf_table_n = sizeof fp_conf_table / sizeof *fp_conf_table;

size_t fp_conf_find(struct fp_str name)
{
    for (size_t i = 0; i < fp_conf_table_n; i++)
        if (fp_str_eq_c(name, fp_conf_table[i].name))
            return i;
    return FP_CONF_NONE;
}

bool fp_conf_group_known(struct fp_str name)
{
    for (size_t i = 0; i < fp_conf_table_n; i++) {
        struct fp_str full = fp_str_of(fp_conf_table[i].name);
        if (full.len > name.len && full.data[name.len] == '.' && fp_str_starts(full, name))
            return true;
    }
    return false;
}

/* The last part alone counts too: who writes `prot` in another group meant that group's. */
const char *fp_conf_near(struct fp_str name)
{
    const char *best = NULL;
    unsigned best_d = 3;
    for (size_t i = 0; i < fp_conf_table_n; i++) {
        if (fp_conf_table[i].flags & FP_CONF_HIDDEN)
            continue;
        unsigned d = fp_str_distance(name, fp_str_of(fp_conf_table[i].name), best_d - 1);
        if (d < best_d) {
            best = fp_conf_table[i].name;
            best_d = d;
        }
        if (best_d == 0)
            break;
    }
    if (best)
        return best;
    const char *dot = memrchr(name.data, '.', name.len);
    struct fp_str last = dot ? fp_str_n(dot + 1, (size_t)(name.data + name.len - dot - 1)) : name;
    for (size_t i = 0; i < fp_conf_table_n; i++) {
        const char *key = strrchr(fp_conf_table[i].name, '.') + 1;
        if (fp_str_eq_c(last, key) && !(fp_conf_table[i].flags & FP_CONF_HIDDEN))
            return fp_conf_table[i].name;
    }
    return NULL;
}

void fp_conf_env_name(char out[80], const char *name)
{
    int n = snprintf(out, 80, "FLOWPLANE_%s", name);
    for (int i = 10; i < n; i++)
        out[i] = out[i] == '.' ? '_' : (char)toupper((unsigned char)out[i]);
}
