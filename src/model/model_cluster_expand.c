/*
 * Canonical cluster → Envoy JSON (envoy.config.cluster.v3.Cluster, and the ClusterLoadAssignment of
 * a generated endpoint set), and the health-check table.  Input has been validated.  Runs in API
 * workers and the watcher; never does I/O.
 */
#include "codec/codec_json.h"
#include "model/model_cluster_int.h"

#define HTTP_OPTIONS "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

/* ---- health checks (§5.2.4); five keys are snake_case in `config`, for guide clients ---- */
static const char *const health_types[] = {"http", "tcp", "grpc", NULL};
static const char *const methods[] = {"GET",     "HEAD",  "POST",  "PUT", "DELETE",
                                      "OPTIONS", "TRACE", "PATCH", NULL};

static void check_health(struct fp_model_reader *r, const struct fp_model_object *o)
{
    static const struct {
        const char *field, *type, *also;
    } only[] = {{"path", "http", NULL},
                {"host", "http", "grpc"},
                {"method", "http", NULL},
                {"expected_statuses", "http", NULL},
                {"serviceName", "grpc", NULL}};
    struct fp_str type = fp_json_str(fp_model_object_get(r, o, "type"));
    if (fp_model_object_has(o, "type") && !type.data)
        return;
    if (!type.data)
        type = FP_STR("http");
    for (size_t i = 0; i < FP_M_N(only); i++)
        if (fp_model_object_has(o, only[i].field) && !fp_str_eq_c(type, only[i].type) &&
            !(only[i].also && fp_str_eq_c(type, only[i].also)))
            fp_problem_add(r->ps, fp_model_object_at(r, o, only[i].field), FP_P_MUTUALLY_EXCLUSIVE,
                           "not with a health check of type %.*s", FP_STR_ARG(type));
}
static const struct fp_model_field health_fields[] = {
    {.name = "type", FP_M_ENUM, FP_M_ANY_CASE, .values = health_types},
    {.name = "path", FP_M_STRING, .min = 1, .text = fp_model_text_header_value},
    {.name = "host", FP_M_STRING, .min = 1, .text = fp_model_text_header_value},
    {.name = "method", FP_M_ENUM, .values = methods},
    {.name = "interval_seconds", FP_M_UINT, .min = 1, .max = FP_M_MAX_SECONDS},
    {.name = "timeout_seconds", FP_M_UINT, .min = 1, .max = FP_M_MAX_SECONDS},
    {.name = "healthy_threshold", FP_M_UINT, .min = 1},
    {.name = "unhealthy_threshold", FP_M_UINT, .min = 1},
    {.name = "expected_statuses", FP_M_UINT, FP_M_LIST | FP_M_UNIQUE, .min = 100, .max = 599},
    {.name = "serviceName", FP_M_STRING},
};
const struct fp_model_schema fp_model_health_check_schema =
    FP_M_SCHEMA(health_fields, check_health);

static uint64_t or_default(const json_t *object, const char *key, uint64_t value)
{
    const json_t *v = json_object_get(object, key);
    return v ? (uint64_t)json_integer_value(v) : value;
}

static json_t *http_check(const json_t *h)
{
    static const struct fp_model_copy copy[] = {
        {"path", "path", FP_C_SAME}, {"host", "host", FP_C_SAME}, {"method", "method", FP_C_SAME}};
    json_t *out = json_pack("{s:s}", "path", "/health"), *code;
    fp_model_copy(out, h, copy, FP_M_N(copy));
    size_t i;
    json_array_foreach (json_object_get(h, "expected_statuses"), i, code) {
        json_int_t c = json_integer_value(code);
        if (i == 0)
            json_object_set_new(out, "expectedStatuses", json_array());
        json_array_append_new(json_object_get(out, "expectedStatuses"),
                              json_pack("{s:I, s:I}", "start", c, "end", c + 1));
    }
    return out;
}

bool fp_model_cluster_checks_grpc(const json_t *c)
{
    const json_t *h;
    for (size_t i = 0; (h = json_array_get(json_object_get(c, "healthChecks"), i)); i++)
        if (fp_str_eq_c(fp_model_str(h, "type"), "grpc"))
            return true;
    return false;
}

static json_t *health_check(const json_t *h)
{
    static const struct fp_model_copy grpc[] = {{"serviceName", "serviceName", FP_C_SAME},
                                                {"host", "authority", FP_C_SAME}};
    struct fp_str type = fp_model_str(h, "type");
    json_t *out =
        json_pack("{s:o, s:o, s:I, s:I}", "interval",
                  fp_model_duration_ms(1000 * or_default(h, "interval_seconds", 10)), "timeout",
                  fp_model_duration_ms(1000 * or_default(h, "timeout_seconds", 5)),
                  "healthyThreshold", (json_int_t)or_default(h, "healthy_threshold", 2),
                  "unhealthyThreshold", (json_int_t)or_default(h, "unhealthy_threshold", 3));
    if (fp_str_eq_c(type, "tcp"))
        json_object_set_new(out, "tcpHealthCheck", json_object());
    else if (fp_str_eq_c(type, "grpc"))
        fp_model_copy(fp_model_sub(out, "grpcHealthCheck"), h, grpc, FP_M_N(grpc));
    else
        json_object_set_new(out, "httpHealthCheck", http_check(h));
    return out;
}

/* ---- the rest ---- */
static void load_balancing(json_t *out, const json_t *c)
{
    static const struct fp_model_copy copy[] = {
        {"lbPolicy", "lbPolicy", FP_C_SAME},
        {"leastRequest", "leastRequestLbConfig", FP_C_SAME},
        {"ringHash", "ringHashLbConfig", FP_C_SAME},
        {"maglev", "maglevLbConfig", FP_C_SAME},
    }; /* members have Envoy's names */
    fp_model_copy(out, c, copy, FP_M_N(copy));
}

static json_t *threshold(const json_t *t, const char *priority)
{
    static const struct fp_model_copy copy[] = {
        {"maxConnections", "maxConnections", FP_C_SAME},
        {"maxPendingRequests", "maxPendingRequests", FP_C_SAME},
        {"maxRequests", "maxRequests", FP_C_SAME},
        {"maxRetries", "maxRetries", FP_C_SAME},
    };
    json_t *out = json_pack("{s:s}", "priority", priority);
    fp_model_copy(out, t, copy, FP_M_N(copy));
    const json_t *budget = json_object_get(t, "retryBudget");
    const json_t *percent = json_object_get(budget, "budgetPercent");
    if (!budget)
        return out;
    json_t *to = fp_model_sub(out, "retryBudget");
    if (percent)
        json_object_set_new(to, "budgetPercent", json_pack("{s:O}", "value", percent));
    json_t *concurrency = json_object_get(budget, "minRetryConcurrency");
    if (concurrency)
        json_object_set(to, "minRetryConcurrency", concurrency);
    return out;
}

static void circuit_breakers(json_t *out, const json_t *c)
{
    const json_t *b = json_object_get(c, "circuitBreakers");
    const json_t *normal = json_object_get(b, "default"), *high = json_object_get(b, "high");
    if (!b)
        return;
    json_t *list = json_array();
    if (normal)
        json_array_append_new(list, threshold(normal, "DEFAULT"));
    if (high)
        json_array_append_new(list, threshold(high, "HIGH"));
    json_object_set_new(fp_model_sub(out, "circuitBreakers"), "thresholds", list);
}

static void outlier_detection(json_t *out, const json_t *c)
{
    static const struct fp_model_copy copy[] = {
        {"consecutive5xx", "consecutive5xx", FP_C_SAME},
        {"intervalSeconds", "interval", FP_C_SECONDS},
        {"baseEjectionTimeSeconds", "baseEjectionTime", FP_C_SECONDS},
        {"maxEjectionPercent", "maxEjectionPercent", FP_C_SAME},
        {"minHosts", "successRateMinimumHosts", FP_C_SAME},
        {"consecutiveGatewayFailure", "consecutiveGatewayFailure", FP_C_SAME},
        {"splitExternalLocalOriginErrors", "splitExternalLocalOriginErrors", FP_C_SAME},
    };
    const json_t *from = json_object_get(c, "outlierDetection");
    if (from)
        fp_model_copy(fp_model_sub(out, "outlierDetection"), from, copy, FP_M_N(copy));
}

static void http_options(json_t *out, const json_t *c)
{
    static const struct fp_model_copy copy[] = {
        {"idleTimeoutSeconds", "commonHttpProtocolOptions.idleTimeout", FP_C_SECONDS},
        {"maxRequestsPerConnection", "commonHttpProtocolOptions.maxRequestsPerConnection",
         FP_C_SAME},
    };
    struct fp_str protocol = fp_model_str(c, "protocol");
    json_t *options = json_object();
    fp_model_copy(options, c, copy, FP_M_N(copy));
    if (!protocol.data && fp_model_cluster_checks_grpc(c))
        protocol = FP_STR("http2"); /* Envoy refuses the check over HTTP/1.1 */
    if (!protocol.data && json_object_size(options) == 0) {
        json_decref(options);
        return;
    }
    json_object_set_new(options, "@type", json_string(FP_TYPE_URL_PREFIX HTTP_OPTIONS));
    if (fp_str_eq_c(protocol, "auto"))
        json_object_set_new(options, "autoConfig", json_object());
    else
        json_object_set_new(options, "explicitHttpConfig",
                            json_pack("{s:{}}", fp_str_eq_c(protocol, "http2")
                                                    ? "http2ProtocolOptions"
                                                    : "httpProtocolOptions"));
    json_object_set_new(fp_model_sub(out, "typedExtensionProtocolOptions"), HTTP_OPTIONS, options);
}

static void keepalive(json_t *out, const json_t *c)
{
    static const struct fp_model_copy copy[] = {
        {"probes", "keepaliveProbes", FP_C_SAME},
        {"timeSeconds", "keepaliveTime", FP_C_SAME},
        {"intervalSeconds", "keepaliveInterval", FP_C_SAME},
    };
    const json_t *from = json_object_get(c, "tcpKeepalive");
    if (from)
        fp_model_copy(fp_model_sub(fp_model_sub(out, "upstreamConnectionOptions"), "tcpKeepalive"),
                      from, copy, FP_M_N(copy));
}

/* §5.2.2: a set's name is the label only when the type was asked for. */
static void discovery(struct fp_arena *a, const json_t *c, const char *name,
                      struct fp_str service_name, struct fp_model_expansion *x)
{
    enum fp_model_discovery d = fp_model_cluster_discovery(c);
    const json_t *endpoints = json_object_get(c, "endpoints");
    json_object_set_new(x->message, "type", json_string(fp_model_discovery_names[d]));
    if (d != FP_MODEL_EDS) {
        json_object_set_new(x->message, "loadAssignment",
                            fp_model_endpoints_expand(endpoints, name));
        return;
    }
    json_t *eds = json_pack("{s:o}", "edsConfig", fp_model_ads());
    const char *set = name;
    if (json_object_get(c, "type") && service_name.len && !fp_str_eq_c(service_name, name)) {
        set = fp_arena_str(a, service_name).data;
        json_object_set_new(eds, "serviceName", json_string(set));
    }
    json_object_set_new(x->message, "edsClusterConfig", eds);
    if (endpoints)
        x->generated = fp_model_endpoints_expand(endpoints, set);
}

void fp_model_cluster_expand(struct fp_model_reader *r, const json_t *c, const char *name,
                             struct fp_str service_name, struct fp_model_expansion *x)
{
    static const struct fp_model_copy copy[] = {
        {"connectTimeoutSeconds", "connectTimeout", FP_C_SECONDS},
        {"dnsLookupFamily", "dnsLookupFamily", FP_C_SAME},
    };
    json_t *out = x->message = json_pack("{s:s}", "name", name), *h;
    fp_model_copy(out, c, copy, FP_M_N(copy));
    discovery(r->arena, c, name, service_name, x);
    load_balancing(out, c);
    size_t i;
    const json_t *checks = json_object_get(c, "healthChecks");
    json_array_foreach ((json_t *)checks, i, h) {
        json_t *check = health_check(h);
        if (i == 0)
            json_object_set_new(out, "healthChecks", json_array());
        if (json_array_size(checks) > 1) /* Envoy refuses several without names */
            json_object_set_new(check, "name", json_sprintf("check-%zu", i + 1));
        json_array_append_new(json_object_get(out, "healthChecks"), check);
    }
    circuit_breakers(out, c);
    outlier_detection(out, c);
    http_options(out, c);
    keepalive(out, c);
    json_t *socket = fp_model_cluster_tls_expand(c);
    if (socket)
        json_object_set_new(out, "transportSocket", socket);
}
