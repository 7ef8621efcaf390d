/*
 * Clusters (contract §5.2): the field tables, the discovery type and the cross-field rules; a field
 * that Envoy could not be told is refused.  Runs in API workers and the watcher; never does I/O.
 */
#include "codec/codec_json.h"
#include "model/model_cluster_int.h"

#define ENVOY_RING_MIN 1024 /* an absent minimumRingSize */

const char *const fp_model_discovery_names[] = {"STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", NULL};
static const char *const lookup_families[] = {"AUTO",         "V4_ONLY", "V6_ONLY",
                                              "V4_PREFERRED", "ALL",     NULL};
static const char *const policies[] = {"ROUND_ROBIN", "LEAST_REQUEST",    "RANDOM", "RING_HASH",
                                       "MAGLEV",      "CLUSTER_PROVIDED", NULL};
static const char *const protocols[] = {"http1", "http2", "auto", NULL};
static const char *const hash_functions[] = {"XX_HASH", "MURMUR_HASH_2", NULL};

/* ---- load balancing ---- */
static const struct fp_model_field least_request_fields[] = {
    {.name = "choiceCount", FP_M_UINT, FP_M_REQUIRED, .min = 2},
};
static const struct fp_model_schema least_request = FP_M_SCHEMA(least_request_fields, NULL);

static void check_ring(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *min = fp_model_object_get(r, o, "minimumRingSize");
    const json_t *max = fp_model_object_get(r, o, "maximumRingSize");
    json_int_t low = min ? json_integer_value(min) : ENVOY_RING_MIN;
    if (max && low > json_integer_value(max))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "maximumRingSize"), FP_P_OUT_OF_RANGE,
                       "must not be below minimumRingSize (%lld)", (long long)low);
}
static const struct fp_model_field ring_fields[] = {
    {.name = "minimumRingSize", FP_M_UINT, .min = 1, .max = 8388608},
    {.name = "maximumRingSize", FP_M_UINT, .min = 1, .max = 8388608},
    {.name = "hashFunction", FP_M_ENUM, .values = hash_functions},
};
static const struct fp_model_schema ring_hash = FP_M_SCHEMA(ring_fields, check_ring);

static void check_maglev(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *v = fp_model_object_get(r, o, "tableSize");
    json_int_t n = json_integer_value(v);
    bool prime = n >= 2;
    for (json_int_t d = 2; prime && d * d <= n; d++)
        prime = n % d != 0;
    if (v && !prime)
        fp_problem_add(r->ps, fp_model_object_at(r, o, "tableSize"), FP_P_INVALID_VALUE,
                       "must be a prime number");
}
static const struct fp_model_field maglev_fields[] = {
    {.name = "tableSize", FP_M_UINT, FP_M_REQUIRED, .min = 2, .max = 5000011},
};
static const struct fp_model_schema maglev = FP_M_SCHEMA(maglev_fields, check_maglev);

/* ---- circuit breakers: four fields beside default and high mean default ---- */
static const struct fp_model_field budget_fields[] = {
    {.name = "budgetPercent", FP_M_NUMBER, .max = 100},
    {.name = "minRetryConcurrency", FP_M_UINT},
};
static const struct fp_model_schema budget = FP_M_SCHEMA(budget_fields, NULL);
#define THRESHOLDS                                                                                 \
    {.name = "maxConnections", FP_M_UINT}, {.name = "maxPendingRequests", FP_M_UINT},              \
        {.name = "maxRequests", FP_M_UINT},                                                        \
    {                                                                                              \
        .name = "maxRetries", FP_M_UINT                                                            \
    }
static const struct fp_model_field threshold_fields[] = {
    THRESHOLDS,
    {.name = "retryBudget", FP_M_OBJECT, .object = &budget},
};
static const struct fp_model_schema threshold = FP_M_SCHEMA(threshold_fields, NULL);

static void check_breakers(struct fp_model_reader *r, const struct fp_model_object *o)
{
    static const struct fp_model_field plain[] = {THRESHOLDS};
    const json_t *sent = fp_model_object_get(r, o, "default");
    for (size_t i = 0; i < FP_M_N(plain); i++) {
        json_t *v = json_object_get(o->out, plain[i].name);
        if (!v)
            continue;
        if (json_object_get(sent, plain[i].name))
            fp_problem_add(r->ps, fp_model_object_at(r, o, plain[i].name), FP_P_DUPLICATE,
                           "default.%s is given too", plain[i].name);
        else
            json_object_set(fp_model_sub(o->out, "default"), plain[i].name, v);
        json_object_del(o->out, plain[i].name);
    }
}
static const struct fp_model_field breaker_fields[] = {
    {.name = "default", FP_M_OBJECT, .object = &threshold},
    {.name = "high", FP_M_OBJECT, .object = &threshold},
    THRESHOLDS,
};
static const struct fp_model_schema breakers = FP_M_SCHEMA(breaker_fields, check_breakers);

static const struct fp_model_field outlier_fields[] = {
    {.name = "consecutive5xx", FP_M_UINT},
    {.name = "intervalSeconds", FP_M_UINT, .min = 1, .max = FP_M_MAX_SECONDS},
    {.name = "baseEjectionTimeSeconds", FP_M_UINT, .min = 1, .max = FP_M_MAX_SECONDS},
    {.name = "maxEjectionPercent", FP_M_UINT, .max = 100},
    {.name = "minHosts", FP_M_UINT},
    {.name = "consecutiveGatewayFailure", FP_M_UINT},
    {.name = "splitExternalLocalOriginErrors", FP_M_BOOL},
};
static const struct fp_model_schema outlier = FP_M_SCHEMA(outlier_fields, NULL);

static const struct fp_model_field keepalive_fields[] = {
    {.name = "probes", FP_M_UINT},
    {.name = "timeSeconds", FP_M_UINT},
    {.name = "intervalSeconds", FP_M_UINT},
};
static const struct fp_model_schema keepalive = FP_M_SCHEMA(keepalive_fields, NULL);

/* ---- discovery ---- */
static size_t names_among(const json_t *endpoints)
{
    size_t n = 0;
    const json_t *e;
    for (size_t i = 0; (e = json_array_get(endpoints, i)); i++) {
        struct fp_str host = fp_model_str(e, "host");
        n += host.data && !fp_model_host_is_ip(host);
    }
    return n;
}

enum fp_model_discovery fp_model_cluster_discovery(const json_t *c)
{
    struct fp_str type = fp_model_str(c, "type");
    for (int i = 0; type.data && fp_model_discovery_names[i]; i++)
        if (fp_str_eq_c(type, fp_model_discovery_names[i]))
            return (enum fp_model_discovery)i;
    const json_t *endpoints = json_object_get(c, "endpoints");
    if (names_among(endpoints) == 0)
        return FP_MODEL_EDS;
    return json_array_size(endpoints) == 1 ? FP_MODEL_LOGICAL_DNS : FP_MODEL_STRICT_DNS;
}

static void check_discovery(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *list = fp_model_object_get(r, o, "endpoints"), *e;
    const char *at = fp_model_object_at(r, o, "endpoints");
    struct fp_str type = fp_json_str(fp_model_object_get(r, o, "type"));
    if (fp_model_object_has(o, "type") && !type.data)
        return; /* refused already */
    if (!fp_model_object_has(o, "endpoints") && !fp_str_eq_c(type, "EDS"))
        return; /* so has this */
    enum fp_model_discovery d = fp_model_cluster_discovery(o->out);
    bool names_fit = d == FP_MODEL_STRICT_DNS || d == FP_MODEL_LOGICAL_DNS;
    for (size_t i = 0; !names_fit && (e = json_array_get(list, i)); i++) {
        struct fp_str host = fp_model_str(e, "host");
        if (!host.data || fp_model_host_is_ip(host))
            continue;
        const char *item = fp_model_path_push_index(r, at, i);
        fp_problem_add(r->ps, fp_model_path_push(r, item, "host"), FP_P_INVALID_VALUE,
                       "type %s takes IP addresses only", fp_model_discovery_names[d]);
    }
    if (d == FP_MODEL_LOGICAL_DNS && json_array_size(list) > 1)
        fp_problem_add(r->ps, at, FP_P_TOO_MANY, "type LOGICAL_DNS takes one endpoint");
    if (fp_model_object_has(o, "dnsLookupFamily") && names_among(list) == 0)
        fp_problem_add(r->ps, fp_model_object_at(r, o, "dnsLookupFamily"), FP_P_MUTUALLY_EXCLUSIVE,
                       "needs an endpoint with a host name");
    fp_model_endpoints_check_weights(r, list, at);
}

/* ---- cluster rules ---- */
static void check_policy(struct fp_model_reader *r, const struct fp_model_object *o)
{
    static const char *const own[][2] = {
        {"leastRequest", "LEAST_REQUEST"}, {"ringHash", "RING_HASH"}, {"maglev", "MAGLEV"}};
    const json_t *policy = fp_model_object_get(r, o, "lbPolicy");
    if (fp_model_object_has(o, "lbPolicy") && !policy)
        return;
    for (size_t i = 0; i < FP_M_N(own); i++)
        if (fp_model_object_has(o, own[i][0]) && !fp_str_eq_c(fp_json_str(policy), own[i][1]))
            fp_problem_add(r->ps, fp_model_object_at(r, o, own[i][0]), FP_P_MUTUALLY_EXCLUSIVE,
                           "only with lbPolicy %s", own[i][1]);
    if (fp_str_eq_c(fp_json_str(policy), "CLUSTER_PROVIDED"))
        fp_model_warn(r, "unchecked_config", fp_model_object_at(r, o, "lbPolicy"),
                      "Envoy takes CLUSTER_PROVIDED only from cluster types that bring a policy");
}

static void check_tls_use(struct fp_model_reader *r, const struct fp_model_object *o)
{
    bool off = json_is_false(fp_model_object_get(r, o, "useTls"));
    const json_t *tls = fp_model_object_get(r, o, "tls");
    if (off && fp_model_object_has(o, "tls"))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "tls"), FP_P_MUTUALLY_EXCLUSIVE,
                       "cannot stand beside useTls: false");
    enum fp_model_tls_mode mode = fp_model_cluster_tls_mode(o->out);
    if (fp_model_object_has(o, "tlsServerName") && mode == FP_MODEL_TLS_NONE &&
        !fp_model_object_has(o, "tls"))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "tlsServerName"), FP_P_MUTUALLY_EXCLUSIVE,
                       "needs TLS: set useTls");
    if (mode == FP_MODEL_TLS_NONE &&
        fp_str_eq_c(fp_json_str(fp_model_object_get(r, o, "protocol")), "auto") && !tls)
        fp_problem_add(r->ps, fp_model_object_at(r, o, "protocol"), FP_P_MUTUALLY_EXCLUSIVE,
                       "auto chooses by ALPN and needs TLS: set useTls");
    if (mode == FP_MODEL_TLS_IMPLICIT)
        fp_model_warn(r, "unverified_tls", fp_model_object_at(r, o, "useTls"),
                      "port 443: TLS without verification; set useTls");
    else if (mode == FP_MODEL_TLS_EXPLICIT && !json_is_false(json_object_get(tls, "verify")) &&
             !json_object_get(tls, "subjectAltNames") && !fp_model_cluster_sni(o->out))
        fp_model_warn(r, "unverified_tls", fp_model_object_at(r, o, "tlsServerName"),
                      "no server name: only the certificate chain is verified");
}

/* Envoy asks for health over gRPC only where it speaks HTTP/2. */
static void check_grpc_health(struct fp_model_reader *r, const struct fp_model_object *o)
{
    if (fp_str_eq_c(fp_json_str(fp_model_object_get(r, o, "protocol")), "http1") &&
        fp_model_cluster_checks_grpc(o->out))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "protocol"), FP_P_MUTUALLY_EXCLUSIVE,
                       "a health check of type grpc needs http2 or auto");
}

static const struct fp_model_rule rules[] = {
    {FP_M_UNLESS, {"endpoints", "type", "EDS"}},
};
static void check_cluster(struct fp_model_reader *r, const struct fp_model_object *o)
{
    check_grpc_health(r, o);
    check_discovery(r, o);
    check_policy(r, o);
    check_tls_use(r, o);
}

static const struct fp_model_field fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .text = fp_model_text_name},
    {.name = "serviceName", FP_M_STRING, .min = 1, .max = 50, .text = fp_model_text_name},
    {.name = "team", FP_M_STRING, .min = 1, .max = 100, .text = fp_model_text_team},
    {.name = "endpoints",
     FP_M_READ,
     FP_M_LIST,
     .min_items = 1,
     .read = fp_model_endpoint_read,
     .shape = fp_model_endpoint_shape},
    {.name = "connectTimeoutSeconds", FP_M_UINT, .min = 1, .max = FP_M_MAX_SECONDS},
    {.name = "type", FP_M_ENUM, .values = fp_model_discovery_names},
    {.name = "useTls", FP_M_BOOL},
    {.name = "tlsServerName",
     FP_M_STRING,
     FP_M_TRIM,
     .min = 1,
     .max = 255,
     .text = fp_model_text_header_value},
    {.name = "tls", FP_M_OBJECT, .object = &fp_model_upstream_tls_schema},
    {.name = "dnsLookupFamily", FP_M_ENUM, FP_M_ANY_CASE, .values = lookup_families},
    {.name = "lbPolicy", FP_M_ENUM, FP_M_ANY_CASE, .values = policies},
    {.name = "leastRequest", FP_M_OBJECT, .object = &least_request},
    {.name = "ringHash", FP_M_OBJECT, .object = &ring_hash},
    {.name = "maglev", FP_M_OBJECT, .object = &maglev},
    {.name = "healthChecks",
     FP_M_OBJECT,
     FP_M_LIST,
     .alias = "healthCheck",
     .object = &fp_model_health_check_schema},
    {.name = "circuitBreakers", FP_M_OBJECT, .object = &breakers},
    {.name = "outlierDetection", FP_M_OBJECT, .object = &outlier},
    {.name = "protocol", FP_M_ENUM, .values = protocols},
    {.name = "idleTimeoutSeconds", FP_M_UINT, .max = FP_M_MAX_SECONDS},
    {.name = "maxRequestsPerConnection", FP_M_UINT},
    {.name = "tcpKeepalive", FP_M_OBJECT, .object = &keepalive},
};
static const struct fp_model_schema schema = FP_M_RULED(fields, check_cluster, rules);
static const char *const columns[] = {"name", "serviceName", "team", NULL};

const struct fp_model_kind fp_model_kind_cluster = {.schema = &schema,
                                                    .name_max = 50,
                                                    .raw_name_max = 255,
                                                    .columns = columns,
                                                    .expand = fp_model_cluster_expand,
                                                    .inner_name = "name"};
