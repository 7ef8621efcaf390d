/*
 * Network filters of a chain (contract §5.4.2, §5.4.3): HTTP connection manager, TCP proxy, typed.
 * Runs in API workers and the watcher; never does I/O.
 */
#include "codec/codec_json.h"
#include "model/model_int.h"

#define HCM       "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
#define TCP_PROXY "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"

/* ---- HTTP connection manager ---- */
static void check_hcm(struct fp_model_reader *r, const struct fp_model_object *o)
{
    if (fp_model_object_has(o, "routeConfigName") && fp_model_object_has(o, "inlineRouteConfig")) {
        fp_model_warn(r, "ignored_field", fp_model_object_at(r, o, "inlineRouteConfig"),
                      "routeConfigName wins over inlineRouteConfig");
        json_object_del(o->out, "inlineRouteConfig");
    }
}
static const char *const codecs[] = {"AUTO", "HTTP1", "HTTP2", NULL};
static const struct fp_model_field hcm_fields[] = {
    {.name = "routeConfigName",
     FP_M_STRING,
     .min = 1,
     .text = fp_model_text_name,
     .ref = FP_M_REF(FP_KIND_ROUTE)},
    {.name = "inlineRouteConfig", FP_M_OBJECT, .object = &fp_model_inline_route_schema},
    {.name = "accessLog",
     FP_M_READ,
     .read = fp_model_access_log_read,
     .shape = fp_model_access_log_shape},
    {.name = "tracing", FP_M_READ, .read = fp_model_tracing_read, .shape = fp_model_tracing_shape},
    {.name = "httpFilters",
     FP_M_READ,
     .read = fp_model_filters_read,
     .shape = fp_model_filters_shape},
    {.name = "statPrefix", FP_M_STRING, .text = fp_model_text_nonblank},
    {.name = "codecType", FP_M_ENUM, .values = codecs},
    {.name = "useRemoteAddress", FP_M_BOOL},
    {.name = "xffNumTrustedHops", FP_M_UINT},
    {.name = "normalizePath", FP_M_BOOL},
    {.name = "mergeSlashes", FP_M_BOOL},
    {.name = "serverName", FP_M_STRING, .min = 1, .text = fp_model_text_header_value},
    {.name = "requestTimeoutMs", FP_M_UINT, .max = FP_M_MAX_MS},
    {.name = "idleTimeoutSeconds", FP_M_UINT, .max = FP_M_MAX_SECONDS},
    {.name = "streamIdleTimeoutSeconds", FP_M_UINT, .max = FP_M_MAX_SECONDS},
    {.name = "maxRequestHeadersKb", FP_M_UINT, .min = 1, .max = 8192},
    {.name = "upgrades",
     FP_M_STRING,
     FP_M_LIST | FP_M_UNIQUE | FP_M_ANY_CASE,
     .text = fp_model_text_token},
};
static const struct fp_model_rule hcm_rules[] = {
    {FP_M_AT_LEAST_ONE, {"routeConfigName", "inlineRouteConfig"}},
};
static const struct fp_model_schema hcm = FP_M_RULED(hcm_fields, check_hcm, hcm_rules);

static void set_logs(json_t *out, const json_t *f)
{
    json_t *logs = fp_model_access_log_expand(json_object_get(f, "accessLog"));
    if (json_array_size(logs))
        json_object_set(out, "accessLog", logs);
    json_decref(logs);
}

static json_t *expand_hcm(const json_t *f)
{
    static const struct fp_model_copy copy[] = {
        {"statPrefix", "statPrefix", FP_C_SAME},
        {"codecType", "codecType", FP_C_SAME},
        {"useRemoteAddress", "useRemoteAddress", FP_C_SAME},
        {"xffNumTrustedHops", "xffNumTrustedHops", FP_C_SAME},
        {"normalizePath", "normalizePath", FP_C_SAME},
        {"mergeSlashes", "mergeSlashes", FP_C_SAME},
        {"serverName", "serverName", FP_C_SAME},
        {"requestTimeoutMs", "requestTimeout", FP_C_MS},
        {"idleTimeoutSeconds", "commonHttpProtocolOptions.idleTimeout", FP_C_SECONDS},
        {"streamIdleTimeoutSeconds", "streamIdleTimeout", FP_C_SECONDS},
        {"maxRequestHeadersKb", "maxRequestHeadersKb", FP_C_SAME},
    };
    json_t *out = json_pack("{s:s, s:s}", FP_M_TYPED(HCM), "statPrefix", "ingress_http");
    const json_t *name = json_object_get(f, "routeConfigName");
    const json_t *in_line = json_object_get(f, "inlineRouteConfig");
    const json_t *tracing = json_object_get(f, "tracing"), *up = json_object_get(f, "upgrades");
    fp_model_copy(out, f, copy, FP_M_N(copy));
    if (name)
        json_object_set_new(
            out, "rds",
            json_pack("{s:O, s:o}", "routeConfigName", name, "configSource", fp_model_ads()));
    else
        json_object_set_new(
            out, "routeConfig",
            fp_model_route_expand(in_line, json_string_value(json_object_get(in_line, "name"))));
    json_object_set_new(out, "httpFilters",
                        fp_model_filters_expand(json_object_get(f, "httpFilters")));
    if (tracing)
        json_object_set_new(out, "tracing", fp_model_tracing_expand(tracing));
    if (json_array_size(up))
        json_object_set_new(out, "upgradeConfigs", fp_model_upgrades_expand(up));
    set_logs(out, f);
    return out;
}

/* ---- TCP proxy ---- */
static const struct fp_model_field target_fields[] = {
    {.name = "name",
     FP_M_STRING,
     FP_M_REQUIRED,
     .text = fp_model_text_nonblank,
     .ref = FP_M_REF(FP_KIND_CLUSTER)},
    {.name = "weight", FP_M_UINT, FP_M_REQUIRED, .min = 1},
};
static const struct fp_model_schema target = FP_M_SCHEMA(target_fields, NULL);

static void check_tcp(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *clusters = fp_model_object_get(r, o, "clusters"), *m;
    uint64_t sum = 0;
    for (size_t i = 0; (m = json_array_get(clusters, i)); i++)
        sum += (uint64_t)json_integer_value(json_object_get(m, "weight"));
    if (sum > UINT32_MAX)
        fp_problem_add(r->ps, fp_model_object_at(r, o, "clusters"), FP_P_OUT_OF_RANGE,
                       "the weights sum to more than 4294967295");
}
static const struct fp_model_field tcp_fields[] = {
    {.name = "cluster",
     FP_M_STRING,
     .text = fp_model_text_nonblank,
     .ref = FP_M_REF(FP_KIND_CLUSTER)},
    {.name = "clusters", FP_M_OBJECT, FP_M_LIST, .min_items = 1, .object = &target},
    {.name = "accessLog",
     FP_M_READ,
     .read = fp_model_access_log_read,
     .shape = fp_model_access_log_shape},
    {.name = "statPrefix", FP_M_STRING, .text = fp_model_text_nonblank},
    {.name = "idleTimeoutSeconds", FP_M_UINT, .max = FP_M_MAX_SECONDS},
};
static const struct fp_model_rule tcp_rules[] = {
    {FP_M_EXACTLY_ONE, {"cluster", "clusters"}},
};
static const struct fp_model_schema tcp = FP_M_RULED(tcp_fields, check_tcp, tcp_rules);

static json_t *expand_tcp(const json_t *f)
{
    static const struct fp_model_copy copy[] = {
        {"cluster", "cluster", FP_C_SAME},
        {"clusters", "weightedClusters.clusters", FP_C_SAME}, /* members have Envoy's names */
        {"statPrefix", "statPrefix", FP_C_SAME},
        {"idleTimeoutSeconds", "idleTimeout", FP_C_SECONDS},
    };
    json_t *out = json_pack("{s:s, s:s}", FP_M_TYPED(TCP_PROXY), "statPrefix", "ingress_tcp");
    fp_model_copy(out, f, copy, FP_M_N(copy));
    set_logs(out, f);
    return out;
}

/* ---- typed ---- */
static const struct fp_model_field typed_fields[] = {
    {.name = "typedConfig",
     FP_M_READ,
     FP_M_REQUIRED,
     .read = fp_model_typed_read,
     .shape = fp_model_shape_typed},
};
static const struct fp_model_schema typed = FP_M_SCHEMA(typed_fields, NULL);

static const struct fp_model_variant kinds[] = {
    {"httpConnectionManager", "HttpConnectionManager", NULL, &hcm},
    {"tcpProxy", "TcpProxy", NULL, &tcp},
    {"typed", "Typed", "typedConfig", &typed},
};
static const struct fp_model_choice choice = {"type", kinds, FP_M_N(kinds)};

/* ---- the filter: flat ("name", "type", fields) or stored ("name", "filter_type": {Tag: …}) ----
 */
static const struct fp_model_field name_fields[] = {
    {.name = "name", FP_M_STRING, FP_M_REQUIRED, .text = fp_model_text_nonblank},
};
static const struct fp_model_schema name_schema = FP_M_SCHEMA(name_fields, NULL);

json_t *fp_model_network_filter_shape(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_choice(s, &choice, &name_schema, "filter_type", name);
}

static json_t *read_stored(struct fp_model_reader *r, const json_t *v, const char *pointer,
                           const char *key)
{
    static const char *const known[] = {"name", "filter_type"};
    const char *k;
    json_t *m;
    json_object_foreach ((json_t *)v, k, m)
        if (strcmp(k, key) != 0 && strcmp(k, "name") != 0)
            fp_problem_add_unknown(r->ps, fp_model_path_push(r, pointer, k), fp_str_of(k), known,
                                   FP_M_N(known));
    return fp_model_choice_read(r, &choice, json_object_get(v, key),
                                fp_model_path_push(r, pointer, key), NULL);
}

json_t *fp_model_network_filter_read(struct fp_model_reader *r, const json_t *v,
                                     const char *pointer)
{
    static const char *const skip[] = {"name", NULL};
    const char *key = NULL;
    if (!json_is_object(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be an object");
        return NULL;
    }
    json_t *named = fp_json_own(r->arena, json_object()), *out;
    if (json_object_get(v, "name"))
        json_object_set(named, "name", json_object_get(v, "name"));
    named = fp_json_own(r->arena, fp_model_object_read(r, &name_schema, named, pointer));
    out = fp_model_key_find(v, "filterType", &key)
              ? read_stored(r, v, pointer, key)
              : fp_model_choice_read(r, &choice, v, pointer, skip);
    if (!out)
        return NULL;
    if (r->tagged_out)
        out = json_pack("{s:o}", "filter_type", out);
    if (json_object_get(named, "name"))
        json_object_set(out, "name", json_object_get(named, "name"));
    return out;
}

/* Envoy wants exactly one terminal filter, the last.  A typed one may be either. */
bool fp_model_network_filter_is_terminal(const json_t *f)
{
    struct fp_str type = fp_model_str(f, "type");
    struct fp_str message = fp_model_typed_name(json_object_get(f, "typedConfig"));
    if (!fp_str_eq_c(type, "typed"))
        return type.data != NULL;
    return fp_str_eq_c(message, HCM) || fp_str_eq_c(message, TCP_PROXY);
}

/* Envoy refuses a chain that ends in one of these; of others it is not known here. */
bool fp_model_network_filter_passes_on(const json_t *f)
{
    static const char *const packages[] = {
        "connection_limit", "local_ratelimit", "ratelimit",        "rbac", "ext_authz",
        "sni_cluster",      "mongo_proxy",     "set_filter_state", NULL};
    struct fp_str message = fp_model_typed_name(json_object_get(f, "typedConfig"));
    struct fp_str front = FP_STR("envoy.extensions.filters.network.");
    if (!message.data || !fp_str_starts(message, front))
        return false;
    struct fp_str rest = fp_str_n(message.data + front.len, message.len - front.len);
    struct fp_str package = fp_str_split(rest, '.', &rest);
    for (const char *const *p = packages; *p; p++)
        if (fp_str_eq_c(package, *p))
            return true;
    return false;
}

json_t *fp_model_network_filter_expand(const json_t *f)
{
    struct fp_str type = fp_model_str(f, "type");
    json_t *config = fp_str_eq_c(type, "typed") ? json_incref(json_object_get(f, "typedConfig"))
                     : fp_str_eq_c(type, "tcpProxy") ? expand_tcp(f)
                                                     : expand_hcm(f);
    return json_pack("{s:O, s:o}", "name", json_object_get(f, "name"), "typedConfig", config);
}
