/*
 * What hangs on actions and virtual hosts: retry policies, hash policies, mirrors, rate limits
 * (contract §5.3.2).  Runs in API workers and the watcher; never does I/O.
 */
#include "codec/codec_json.h"
#include "model/model_route_int.h"

/* ---- retries ---- */
#define BASE_MS 100 /* §5.3.2; also Envoy's multiple of ten between the two */
#define MAX_MS  1000

static const char *const retry_on[] = {"5xx",
                                       "gateway-error",
                                       "reset",
                                       "reset-before-request",
                                       "connect-failure",
                                       "envoy-ratelimited",
                                       "retriable-4xx",
                                       "refused-stream",
                                       "retriable-status-codes",
                                       "retriable-headers",
                                       "http3-post-connect-failure",
                                       "cancelled",
                                       "deadline-exceeded",
                                       "internal",
                                       "resource-exhausted",
                                       "unavailable",
                                       NULL};

static uint64_t or_default(const json_t *v, uint64_t value)
{
    return v ? (uint64_t)json_integer_value(v) : value;
}

static void check_retry(struct fp_model_reader *r, const struct fp_model_object *o)
{
    uint64_t base = or_default(fp_model_object_get(r, o, "baseIntervalMs"), BASE_MS);
    uint64_t max = or_default(fp_model_object_get(r, o, "maxIntervalMs"), MAX_MS);
    bool has_max = fp_model_object_has(o, "maxIntervalMs");
    if (max < base)
        fp_problem_add(r->ps,
                       fp_model_object_at(r, o, has_max ? "maxIntervalMs" : "baseIntervalMs"),
                       FP_P_OUT_OF_RANGE, "maxIntervalMs (default 1000) is below baseIntervalMs");
}
static const struct fp_model_field retry_fields[] = {
    {.name = "numRetries", FP_M_UINT},
    {.name = "retryOn", FP_M_ENUM, FP_M_LIST | FP_M_UNIQUE, .values = retry_on},
    {.name = "perTryTimeoutSeconds", FP_M_UINT, .max = FP_M_MAX_SECONDS},
    {.name = "retriableStatusCodes", FP_M_UINT, FP_M_LIST | FP_M_UNIQUE, .min = 100, .max = 599},
    {.name = "baseIntervalMs", FP_M_UINT, .min = 1, .max = FP_M_MAX_MS},
    {.name = "maxIntervalMs", FP_M_UINT, .min = 1, .max = FP_M_MAX_MS},
};
const struct fp_model_schema fp_model_retry_schema = FP_M_SCHEMA(retry_fields, check_retry);

json_t *fp_model_retry_expand(const json_t *p)
{
    static const struct fp_model_copy copy[] = {
        {"numRetries", "numRetries", FP_C_SAME},
        {"perTryTimeoutSeconds", "perTryTimeout", FP_C_SECONDS},
    };
    json_t *out = json_object(), *m;
    const json_t *base = json_object_get(p, "baseIntervalMs");
    const json_t *max = json_object_get(p, "maxIntervalMs");
    json_t *codes = json_object_get(p, "retriableStatusCodes");
    struct fp_buf on = {0};
    size_t i;
    fp_model_copy(out, p, copy, FP_M_N(copy));
    json_array_foreach (json_object_get(p, "retryOn"), i, m)
        fp_buf_printf(&on, "%s%s", i ? "," : "", json_string_value(m));
    if (on.len)
        json_object_set_new(out, "retryOn", json_stringn(on.data, on.len));
    fp_buf_fini(&on);
    if (json_array_size(codes))
        json_object_set(out, "retriableStatusCodes", codes);
    if (base || max)
        json_object_set_new(
            out, "retryBackOff",
            json_pack("{s:o, s:o}", "baseInterval", fp_model_duration_ms(or_default(base, BASE_MS)),
                      "maxInterval", fp_model_duration_ms(or_default(max, MAX_MS))));
    return out;
}

/* ---- hash policies ---- */
static const struct fp_model_field cookie_fields[] = {
    {.name = "name", FP_M_STRING, FP_M_REQUIRED, .text = fp_model_text_token},
    {.name = "ttlSeconds", FP_M_UINT, .max = FP_M_MAX_SECONDS},
    {.name = "path", FP_M_STRING, .min = 1, .text = fp_model_text_header_value},
};
static const struct fp_model_schema cookie = FP_M_SCHEMA(cookie_fields, NULL);

static const struct fp_model_rule hash_rules[] = {
    {FP_M_EXACTLY_ONE, {"header", "cookie", "sourceIp", "queryParameter"}},
};
static void check_hash(struct fp_model_reader *r, const struct fp_model_object *o)
{
    if (json_is_false(fp_model_object_get(r, o, "sourceIp")))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "sourceIp"), FP_P_INVALID_VALUE,
                       "can only be true");
}
static const struct fp_model_field hash_fields[] = {
    {.name = "header", FP_M_STRING, .text = fp_model_text_header_name},
    {.name = "cookie", FP_M_OBJECT, .object = &cookie},
    {.name = "sourceIp", FP_M_BOOL},
    {.name = "queryParameter", FP_M_STRING, .text = fp_model_text_nonblank},
    {.name = "terminal", FP_M_BOOL},
};
const struct fp_model_schema fp_model_hash_policy_schema =
    FP_M_RULED(hash_fields, check_hash, hash_rules);

json_t *fp_model_hash_policies_expand(const json_t *list)
{
    static const struct fp_model_copy copy[] = {
        {"header", "header.headerName", FP_C_SAME},
        {"sourceIp", "connectionProperties.sourceIp", FP_C_SAME},
        {"queryParameter", "queryParameter.name", FP_C_SAME},
        {"terminal", "terminal", FP_C_SAME}};
    static const struct fp_model_copy of_cookie[] = {{"name", "name", FP_C_SAME},
                                                     {"ttlSeconds", "ttl", FP_C_SECONDS},
                                                     {"path", "path", FP_C_SAME}};
    json_t *out = json_array(), *m;
    size_t i;
    json_array_foreach ((json_t *)list, i, m) {
        json_t *policy = json_object(), *c = json_object_get(m, "cookie");
        fp_model_copy(policy, m, copy, FP_M_N(copy));
        if (c)
            fp_model_copy(fp_model_sub(policy, "cookie"), c, of_cookie, FP_M_N(of_cookie));
        json_array_append_new(out, policy);
    }
    return out;
}

/* ---- mirrors ---- */
static const struct fp_model_field mirror_fields[] = {
    {.name = "cluster",
     FP_M_STRING,
     FP_M_REQUIRED,
     .text = fp_model_text_nonblank,
     .ref = FP_M_REF(FP_KIND_CLUSTER)},
    {.name = "fraction", FP_M_OBJECT, .object = &fp_model_fraction_schema},
};
const struct fp_model_schema fp_model_mirror_schema = FP_M_SCHEMA(mirror_fields, NULL);

json_t *fp_model_mirrors_expand(const json_t *list)
{
    static const struct fp_model_copy copy[] = {{"cluster", "cluster", FP_C_SAME},
                                                {"fraction", "runtimeFraction", FP_C_FRACTION}};
    json_t *out = json_array(), *m;
    size_t i;
    json_array_foreach ((json_t *)list, i, m) {
        json_t *mirror = json_object();
        fp_model_copy(mirror, m, copy, FP_M_N(copy));
        json_array_append_new(out, mirror);
    }
    return out;
}

/* ---- rate limits ---- */
#define KEY(n, flags)                                                                              \
    {                                                                                              \
        .name = (n), FP_M_STRING, (flags), .min = 1                                                \
    }
static const struct fp_model_schema no_fields = {.fields_n = 0};
static const struct fp_model_field request_header_fields[] = {
    {.name = "headerName", FP_M_STRING, FP_M_REQUIRED, .text = fp_model_text_header_name},
    KEY("descriptorKey", FP_M_REQUIRED),
};
static const struct fp_model_field generic_fields[] = {
    KEY("descriptorValue", FP_M_REQUIRED),
    KEY("descriptorKey", 0),
};
static const struct fp_model_field value_match_fields[] = {
    KEY("descriptorValue", FP_M_REQUIRED),
    {.name = "expectMatch", FP_M_BOOL},
    {.name = "headers",
     FP_M_OBJECT,
     FP_M_LIST | FP_M_REQUIRED,
     .min_items = 1,
     .object = &fp_model_header_matcher_schema},
};
static const struct fp_model_schema request_header = FP_M_SCHEMA(request_header_fields, NULL);
static const struct fp_model_schema generic = FP_M_SCHEMA(generic_fields, NULL);
static const struct fp_model_schema value_match = FP_M_SCHEMA(value_match_fields, NULL);

static const struct fp_model_variant actions[] = {
    {"remoteAddress", "RemoteAddress", NULL, &no_fields},
    {"sourceCluster", "SourceCluster", NULL, &no_fields},
    {"destinationCluster", "DestinationCluster", NULL, &no_fields},
    {"requestHeader", "RequestHeader", NULL, &request_header},
    {"genericKey", "GenericKey", NULL, &generic},
    {"headerValueMatch", "HeaderValueMatch", NULL, &value_match},
};
static const struct fp_model_choice choice = {"type", actions, FP_M_N(actions)};
static json_t *read_action(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    return fp_model_choice_read(r, &choice, v, pointer, NULL);
}
static json_t *shape_action(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_choice(s, &choice, NULL, NULL, name);
}
static const struct fp_model_field rate_limit_fields[] = {
    {.name = "stage", FP_M_UINT, .max = 10},
    {.name = "disableKey", FP_M_STRING, .min = 1},
    {.name = "actions",
     FP_M_READ,
     FP_M_LIST | FP_M_REQUIRED,
     .min_items = 1,
     .read = read_action,
     .shape = shape_action},
};
const struct fp_model_schema fp_model_rate_limit_schema = FP_M_SCHEMA(rate_limit_fields, NULL);

static json_t *expand_action(const json_t *a)
{
    static const struct fp_model_copy copy[] = {{"headerName", "headerName", FP_C_SAME},
                                                {"descriptorKey", "descriptorKey", FP_C_SAME},
                                                {"descriptorValue", "descriptorValue", FP_C_SAME},
                                                {"expectMatch", "expectMatch", FP_C_SAME}};
    struct fp_str type = fp_model_str(a, "type");
    json_t *out = json_object(), *body = json_object();
    fp_model_copy(body, a, copy, FP_M_N(copy));
    if (json_object_get(a, "headers"))
        json_object_set_new(body, "headers",
                            fp_model_header_matchers_expand(json_object_get(a, "headers")));
    if (fp_str_eq_c(type, "requestHeader"))
        type = FP_STR("requestHeaders"); /* the others are called as in Envoy */
    json_object_setn_new(out, type.data, type.len, body);
    return out;
}

json_t *fp_model_rate_limits_expand(const json_t *list)
{
    static const struct fp_model_copy copy[] = {{"stage", "stage", FP_C_SAME},
                                                {"disableKey", "disableKey", FP_C_SAME}};
    json_t *out = json_array(), *m, *a;
    size_t i, k;
    json_array_foreach ((json_t *)list, i, m) {
        json_t *limit = json_object(), *expanded = json_array();
        fp_model_copy(limit, m, copy, FP_M_N(copy));
        json_array_foreach (json_object_get(m, "actions"), k, a)
            json_array_append_new(expanded, expand_action(a));
        json_object_set_new(limit, "actions", expanded);
        json_array_append_new(out, limit);
    }
    return out;
}
