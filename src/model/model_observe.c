/*
 * Access logs and tracing of a listener's filters (contract §5.4.2).  Runs in API workers and the
 * watcher; log files are names on the Envoy host and never opened here.
 */
#include "codec/codec_json.h"
#include "model/model_int.h"

#define FILE_LOG "envoy.extensions.access_loggers.file.v3.FileAccessLog"
#define OTEL     "envoy.config.trace.v3.OpenTelemetryConfig"
#define ZIPKIN   "envoy.config.trace.v3.ZipkinConfig"

/* ---- access logs ---- */
static json_t *read_json_format(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    if (!json_is_object(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be an object of strings");
        return NULL;
    }
    const char *key;
    json_t *m;
    json_object_foreach ((json_t *)v, key, m) {
        const char *at = fp_model_path_push(r, pointer, key);
        if (json_is_string(m))
            fp_model_text_format(r, at, fp_json_str(m));
        else
            fp_problem_add(r->ps, at, FP_P_INVALID_TYPE, "must be a string");
    }
    return json_incref((json_t *)v);
}

static json_t *shape_json_format(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_map(json_pack("{s:s}", "type", "string"));
}

static const struct fp_model_rule log_rules[] = {
    {FP_M_AT_MOST_ONE, {"format", "jsonFormat"}},
};
static const struct fp_model_field log_fields[] = {
    {.name = "path", FP_M_STRING, FP_M_REQUIRED, .text = fp_model_text_nonblank},
    {.name = "format", FP_M_STRING, .min = 1, .text = fp_model_text_format},
    {.name = "jsonFormat", FP_M_READ, .read = read_json_format, .shape = shape_json_format},
};
static const struct fp_model_schema log_schema = FP_M_RULED(log_fields, NULL, log_rules);

static json_t *read_log(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    return fp_model_object_read(r, &log_schema, v, pointer);
}

json_t *fp_model_access_log_read(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    return json_is_array(v) ? fp_model_list_read(r, v, pointer, read_log) : read_log(r, v, pointer);
}

json_t *fp_model_access_log_shape(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_any_of(fp_model_shape_object(s, &log_schema, name),
                                 fp_model_shape_list(fp_model_shape_object(s, &log_schema, name)));
}

static json_t *expand_log(const json_t *l)
{
    json_t *out =
        json_pack("{s:s, s:{s:s, s:O}}", "name", "envoy.access_loggers.file", "typedConfig",
                  FP_M_TYPED(FILE_LOG), "path", json_object_get(l, "path"));
    json_t *typed = json_object_get(out, "typedConfig");
    const json_t *text = json_object_get(l, "format"), *object = json_object_get(l, "jsonFormat");
    if (text)
        json_object_set_new(typed, "logFormat",
                            json_pack("{s:{s:O}}", "textFormatSource", "inlineString", text));
    if (object)
        json_object_set_new(typed, "logFormat", json_pack("{s:O}", "jsonFormat", object));
    return out;
}

json_t *fp_model_access_log_expand(const json_t *logs)
{
    json_t *out = json_array(), *m;
    size_t i;
    if (json_is_object(logs))
        json_array_append_new(out, expand_log(logs));
    json_array_foreach ((json_t *)logs, i, m)
        json_array_append_new(out, expand_log(m));
    return out;
}

/* ---- tracing ---- */
static const char *const names[][2] = {{"otel", "envoy.tracers.opentelemetry"},
                                       {"zipkin", "envoy.tracers.zipkin"}};

static bool is_provider(struct fp_str provider, size_t which)
{
    return fp_str_eq_c(provider, names[which][0]) || fp_str_eq_c(provider, names[which][1]);
}

static const struct fp_model_field otel_fields[] = {
    {.name = "cluster",
     FP_M_STRING,
     FP_M_REQUIRED,
     .text = fp_model_text_nonblank,
     .ref = FP_M_REF(FP_KIND_CLUSTER)},
    {.name = "serviceName", FP_M_STRING, .min = 1},
};
static const struct fp_model_field zipkin_fields[] = {
    {.name = "cluster",
     FP_M_STRING,
     FP_M_REQUIRED,
     .text = fp_model_text_nonblank,
     .ref = FP_M_REF(FP_KIND_CLUSTER)},
    {.name = "endpoint", FP_M_STRING, FP_M_REQUIRED, .text = fp_model_text_nonblank},
};
static const struct fp_model_schema otel = FP_M_SCHEMA(otel_fields, NULL);
static const struct fp_model_schema zipkin = FP_M_SCHEMA(zipkin_fields, NULL);

static json_t *read_config(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    return json_incref((json_t *)v); /* which table applies is known with the provider */
}

static json_t *shape_config(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_any_of(fp_model_shape_object(s, &otel, "OpenTelemetry"),
                                 fp_model_shape_object(s, &zipkin, "Zipkin"));
}

static const struct fp_model_rule tracing_rules[] = {
    {FP_M_AT_MOST_ONE, {"typedConfig", "config"}},
    {FP_M_AT_LEAST_ONE, {"config", "typedConfig"}},
};
static void check_tracing(struct fp_model_reader *r, const struct fp_model_object *o)
{
    struct fp_str provider = fp_json_str(fp_model_object_get(r, o, "provider"));
    if (!provider.data || fp_model_object_has(o, "typedConfig"))
        return;
    if (!is_provider(provider, 0) && !is_provider(provider, 1))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "provider"), FP_P_INVALID_VALUE,
                       "must be otel or zipkin, or come with typedConfig");
}

static const struct fp_model_field tracing_fields[] = {
    {.name = "provider", FP_M_STRING, FP_M_REQUIRED, .text = fp_model_text_nonblank},
    {.name = "config", FP_M_READ, .read = read_config, .shape = shape_config},
    {.name = "typedConfig", FP_M_READ, .read = fp_model_typed_read, .shape = fp_model_shape_typed},
};
static const struct fp_model_schema tracing =
    FP_M_RULED(tracing_fields, check_tracing, tracing_rules);

json_t *fp_model_tracing_read(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    json_t *out = fp_model_object_read(r, &tracing, v, pointer);
    const char *key = NULL;
    const json_t *config = json_is_object(v) ? fp_model_key_find(v, "config", &key) : NULL;
    struct fp_str provider = fp_model_str(out, "provider");
    if (!config || !provider.data || !(is_provider(provider, 0) || is_provider(provider, 1)))
        return out;
    json_t *read = fp_model_object_read(r, is_provider(provider, 0) ? &otel : &zipkin, config,
                                        fp_model_path_push(r, pointer, key));
    json_object_del(out, "config");
    if (read)
        json_object_set_new(out, "config", read);
    return out;
}

json_t *fp_model_tracing_shape(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_object(s, &tracing, name);
}

json_t *fp_model_tracing_expand(const json_t *t)
{
    struct fp_str provider = fp_model_str(t, "provider");
    const json_t *config = json_object_get(t, "config"), *typed = json_object_get(t, "typedConfig");
    const json_t *cluster = json_object_get(config, "cluster");
    for (size_t i = 0; i < FP_M_N(names); i++)
        if (is_provider(provider, i))
            provider = fp_str_of(names[i][1]);
    json_t *out = json_pack("{s:{s:s%}}", "provider", "name", provider.data, provider.len), *to;
    if (typed)
        to = json_incref((json_t *)typed);
    else if (is_provider(provider, 0))
        to = json_pack("{s:s, s:{s:{s:O}}, s:O*}", FP_M_TYPED(OTEL), "grpcService", "envoyGrpc",
                       "clusterName", cluster, "serviceName",
                       json_object_get(config, "serviceName"));
    else
        to = json_pack("{s:s, s:O, s:O, s:s}", FP_M_TYPED(ZIPKIN), "collectorCluster", cluster,
                       "collectorEndpoint", json_object_get(config, "endpoint"),
                       "collectorEndpointVersion", "HTTP_JSON");
    json_object_set_new(json_object_get(out, "provider"), "typedConfig", to);
    return out;
}
