/*
 * Endpoints: the item schema that clusters share, the `endpoints` kind (contract §5.5) and the
 * ClusterLoadAssignment made of both.  Runs in API workers and the watcher; never does I/O.
 */
#include "codec/codec_json.h"
#include "core/core_map.h"
#include "model/model_int.h"

static const char *const health[] = {"HEALTHY", "UNHEALTHY", "DRAINING", "DEGRADED", NULL};
static const struct fp_model_field locality_fields[] = {
    {.name = "region", FP_M_STRING},
    {.name = "zone", FP_M_STRING},
    {.name = "subZone", FP_M_STRING},
};
const struct fp_model_schema fp_model_locality_schema = FP_M_SCHEMA(locality_fields, NULL);

static const struct fp_model_field endpoint_fields[] = {
    {.name = "host", FP_M_STRING, FP_M_REQUIRED, .min = 1, .max = 255, .text = fp_model_text_host},
    {.name = "port", FP_M_UINT, FP_M_REQUIRED, .min = 1, .max = 65535},
    {.name = "weight", FP_M_UINT, .min = 1},
    {.name = "priority", FP_M_UINT, .max = 127},
    {.name = "locality", FP_M_OBJECT, .object = &fp_model_locality_schema},
    {.name = "healthStatus", FP_M_ENUM, .values = health},
    {.name = "hostname", FP_M_STRING, .min = 1, .max = 255, .text = fp_model_text_header_value},
};
const struct fp_model_schema fp_model_endpoint_schema = FP_M_SCHEMA(endpoint_fields, NULL);

/* "host:port" or "[v6]:port". */
static bool split_text(struct fp_str s, struct fp_str *host, uint64_t *port)
{
    size_t colon = s.len;
    while (colon > 0 && s.data[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;
    *host = fp_str_n(s.data, colon - 1);
    if (memchr(host->data, ':', host->len) && !(host->len && host->data[0] == '['))
        return false; /* an IPv6 address needs brackets here */
    return fp_str_to_u64(fp_str_n(s.data + colon, s.len - colon), port);
}

json_t *fp_model_endpoint_read(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    size_t before = r->ps->n;
    const json_t *in = v;
    if (json_is_string(v)) {
        struct fp_str host;
        uint64_t port;
        if (!split_text(fp_json_str(v), &host, &port) || port > INT32_MAX) {
            fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "must be host:port or an object");
            return NULL;
        }
        in = fp_json_own(r->arena, json_pack("{s:s%, s:I}", "host", host.data, host.len, "port",
                                             (json_int_t)port));
        if (!in) {
            fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "must be host:port or an object");
            return NULL;
        }
    }
    json_t *out = fp_model_object_read(r, &fp_model_endpoint_schema, in, pointer);
    for (size_t i = before; in != v && i < r->ps->n; i++) /* the string itself is what was sent */
        r->ps->items[i].pointer = fp_arena_strdup(r->arena, pointer);
    struct fp_str host = fp_model_str(out, "host");
    if (host.len && host.data[0] == '[')
        json_object_set_new(out, "host", json_stringn(host.data + 1, host.len - 2));
    return out;
}

#define PORT_PATTERN                                                                               \
    "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
#define TEXT_PATTERN "^([A-Za-z0-9_.-]+|\\[[0-9A-Fa-f:.]+\\]):" PORT_PATTERN "$"

json_t *fp_model_endpoint_shape(struct fp_model_shaper *s, const char *name)
{
    json_t *object = fp_model_shape_object(s, &fp_model_endpoint_schema, name);
    if (fp_model_shape_spelling(s) != FP_M_SENT)
        return object;
    return fp_model_shape_any_of(object,
                                 json_pack("{s:s, s:s, s:s}", "type", "string", "pattern",
                                           TEXT_PATTERN, "description", "host:port, [IPv6]:port"));
}

static json_t *lb_endpoint(const json_t *e)
{
    static const struct fp_model_copy copy[] = {{"weight", "loadBalancingWeight", FP_C_SAME},
                                                {"healthStatus", "healthStatus", FP_C_SAME},
                                                {"hostname", "endpoint.hostname", FP_C_SAME}};
    json_t *out =
        json_pack("{s:{s:{s:{s:O, s:O}}}}", "endpoint", "address", "socketAddress", "address",
                  json_object_get(e, "host"), "portValue", json_object_get(e, "port"));
    fp_model_copy(out, e, copy, FP_M_N(copy));
    return out;
}

static struct fp_str group_key(struct fp_buf *b, const json_t *locality, json_int_t priority)
{
    fp_buf_clear(b);
    fp_buf_printf(b, "%lld ", (long long)priority);
    if (json_object_size(locality))
        fp_json_write(b, locality, true);
    return fp_buf_str(b);
}

/* The group of (locality, priority), made when it is new: Envoy refuses one listed twice. */
static json_t *group_of(json_t *groups, json_t *index, const json_t *locality, json_int_t priority)
{
    struct fp_buf b = {0};
    struct fp_str key = group_key(&b, locality, priority);
    json_t *group = json_object_getn(index, key.data, key.len);
    if (!group) {
        group = json_object();
        if (json_object_size(locality))
            json_object_set(group, "locality", (json_t *)locality);
        if (priority)
            json_object_set_new(group, "priority", json_integer(priority));
        json_object_setn(index, key.data, key.len, group);
        json_array_append_new(groups, group);
    }
    fp_buf_fini(&b);
    return group;
}

/* A locality's weight goes to its groups of every priority; one without endpoints is kept: they may
 * come. */
static void weigh(json_t *groups, json_t *index, const json_t *weights)
{
    json_t *by_locality = json_object(), *placed = json_object(), *w, *g;
    struct fp_buf b = {0};
    size_t i;
    json_array_foreach ((json_t *)weights, i, w) {
        struct fp_str key = group_key(&b, json_object_get(w, "locality"), 0);
        json_object_setn(by_locality, key.data, key.len, json_object_get(w, "weight"));
    }
    size_t groups_n = json_object_size(by_locality) ? json_array_size(groups) : 0;
    for (i = 0; i < groups_n; i++) {
        g = json_array_get(groups, i);
        struct fp_str key = group_key(&b, json_object_get(g, "locality"), 0);
        json_t *weight = json_object_getn(by_locality, key.data, key.len);
        if (weight)
            json_object_set(g, "loadBalancingWeight", weight);
        json_object_setn_new(placed, key.data, key.len, json_true());
    }
    json_array_foreach ((json_t *)weights, i, w) {
        const json_t *locality = json_object_get(w, "locality");
        struct fp_str key = group_key(&b, locality, 0);
        if (!json_object_getn(placed, key.data, key.len))
            json_object_set(group_of(groups, index, locality, 0), "loadBalancingWeight",
                            json_object_get(w, "weight"));
    }
    json_decref(placed);
    fp_buf_fini(&b);
    json_decref(by_locality);
}

static json_t *expand_set(const json_t *endpoints, const json_t *weights, const char *cluster_name)
{
    json_t *groups = json_array(), *index = json_object(), *e;
    size_t i;
    json_array_foreach ((json_t *)endpoints, i, e) {
        json_t *group = group_of(groups, index, json_object_get(e, "locality"),
                                 json_integer_value(json_object_get(e, "priority")));
        json_t *list = json_object_get(group, "lbEndpoints");
        if (!list) {
            list = json_array();
            json_object_set_new(group, "lbEndpoints", list);
        }
        json_array_append_new(list, lb_endpoint(e));
    }
    weigh(groups, index, weights);
    json_decref(index);
    return json_pack("{s:s, s:o}", "clusterName", cluster_name, "endpoints", groups);
}

json_t *fp_model_endpoints_expand(const json_t *endpoints, const char *cluster_name)
{
    return expand_set(endpoints, NULL, cluster_name);
}

/* Envoy refuses a locality whose weights sum to more than 32 bits hold. */
void fp_model_endpoints_check_weights(struct fp_model_reader *r, const json_t *endpoints,
                                      const char *pointer)
{
    json_t *sums = json_object(), *e;
    size_t i;
    json_array_foreach ((json_t *)endpoints, i, e) {
        struct fp_buf b = {0};
        json_int_t weight = json_integer_value(json_object_get(e, "weight"));
        struct fp_str key = group_key(&b, json_object_get(e, "locality"),
                                      json_integer_value(json_object_get(e, "priority")));
        json_int_t sum = json_integer_value(json_object_getn(sums, key.data, key.len));
        sum += weight ? weight : 1;
        json_object_setn_new(sums, key.data, key.len, json_integer(sum));
        fp_buf_fini(&b);
        if (sum <= (json_int_t)UINT32_MAX)
            continue;
        fp_problem_add(r->ps, fp_model_path_push_index(r, pointer, i), FP_P_OUT_OF_RANGE,
                       "the weights of one locality sum to more than 4294967295");
        break;
    }
    json_decref(sums);
}

/* ---- the kind ---- */

static json_t *read_drop_fraction(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    const char *key = NULL;
    if (json_is_object(v) && fp_model_key_find(v, "runtimeKey", &key)) {
        fp_problem_add(r->ps, fp_model_path_push(r, pointer, key), FP_P_UNSUPPORTED,
                       "an endpoint set has no runtime keys");
        return NULL;
    }
    return fp_model_object_read(r, &fp_model_fraction_schema, v, pointer);
}
static const struct fp_model_field drop_fraction_fields[] = {
    {.name = "numerator", FP_M_UINT, FP_M_REQUIRED},
    {.name = "denominator", FP_M_ENUM, .values = fp_model_denominators},
};
static const struct fp_model_schema drop_fraction = FP_M_SCHEMA(drop_fraction_fields, NULL);
static json_t *shape_drop_fraction(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_object(s, &drop_fraction, name);
}
static const struct fp_model_field drop_fields[] = {
    {.name = "category", FP_M_STRING, FP_M_REQUIRED, .min = 1, .text = fp_model_text_nonblank},
    {.name = "fraction",
     FP_M_READ,
     FP_M_REQUIRED,
     .read = read_drop_fraction,
     .shape = shape_drop_fraction},
};
static const struct fp_model_schema drop_schema = FP_M_SCHEMA(drop_fields, NULL);
static const struct fp_model_field weight_fields[] = {
    {.name = "locality", FP_M_OBJECT, FP_M_REQUIRED, .object = &fp_model_locality_schema},
    {.name = "weight", FP_M_UINT, FP_M_REQUIRED, .min = 1},
};
static const struct fp_model_schema weight_schema = FP_M_SCHEMA(weight_fields, NULL);

static void check_locality_weights(struct fp_model_reader *r, const json_t *list, const char *at)
{
    json_t *w, *seen = json_object();
    size_t i;
    uint64_t sum = 0;
    struct fp_buf b = {0};
    json_array_foreach ((json_t *)list, i, w) {
        sum += (uint64_t)json_integer_value(json_object_get(w, "weight"));
        struct fp_str key = group_key(&b, json_object_get(w, "locality"), 0);
        if (json_object_getn(seen, key.data, key.len))
            fp_problem_add(r->ps, fp_model_path_push_index(r, at, i), FP_P_DUPLICATE,
                           "a locality is listed twice");
        json_object_setn_new(seen, key.data, key.len, json_true());
    }
    fp_buf_fini(&b);
    json_decref(seen);
    if (sum > UINT32_MAX)
        fp_problem_add(r->ps, at, FP_P_OUT_OF_RANGE, "the weights sum to more than 4294967295");
}

static void check_endpoints(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *list = fp_model_object_get(r, o, "endpoints"), *e;
    const char *at = fp_model_object_at(r, o, "endpoints");
    for (size_t i = 0; (e = json_array_get(list, i)); i++) {
        struct fp_str host = fp_model_str(e, "host");
        if (host.data && !fp_model_host_is_ip(host))
            fp_problem_add(r->ps, fp_model_path_push(r, fp_model_path_push_index(r, at, i), "host"),
                           FP_P_INVALID_VALUE, "must be an IP address");
    }
    fp_model_endpoints_check_weights(r, list, at);
    check_locality_weights(r, fp_model_object_get(r, o, "localityWeights"),
                           fp_model_object_at(r, o, "localityWeights"));
}

static const struct fp_model_field fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .text = fp_model_text_name},
    {.name = "team", FP_M_STRING, .min = 1, .max = 100, .text = fp_model_text_team},
    {.name = "endpoints",
     FP_M_READ,
     FP_M_LIST,
     .read = fp_model_endpoint_read,
     .shape = fp_model_endpoint_shape},
    {.name = "overprovisioningFactor", FP_M_UINT, .min = 1},
    {.name = "dropOverloads", FP_M_OBJECT, FP_M_LIST, .object = &drop_schema},
    {.name = "localityWeights", FP_M_OBJECT, FP_M_LIST, .object = &weight_schema},
};
static const struct fp_model_schema schema = FP_M_SCHEMA(fields, check_endpoints);

static void expand(struct fp_model_reader *r, const json_t *c, const char *name,
                   struct fp_str service_name, struct fp_model_expansion *out)
{
    out->message =
        expand_set(json_object_get(c, "endpoints"), json_object_get(c, "localityWeights"), name);
    json_t *factor = json_object_get(c, "overprovisioningFactor"), *drop;
    if (factor)
        json_object_set(fp_model_sub(out->message, "policy"), "overprovisioningFactor", factor);
    size_t i;
    json_array_foreach (json_object_get(c, "dropOverloads"), i, drop) {
        json_t *policy = fp_model_sub(out->message, "policy"), *list;
        list = json_object_get(policy, "dropOverloads");
        if (!list) {
            list = json_array();
            json_object_set_new(policy, "dropOverloads", list);
        }
        json_t *f = fp_model_fraction(json_object_get(drop, "fraction"));
        json_array_append_new(list,
                              json_pack("{s:O, s:O}", "category", json_object_get(drop, "category"),
                                        "dropPercentage", json_object_get(f, "defaultValue")));
        json_decref(f);
    }
}

static const char *const columns[] = {"name", "team", NULL};
const struct fp_model_kind fp_model_kind_endpoint = {.schema = &schema,
                                                     .name_max = 255,
                                                     .raw_name_max = 255,
                                                     .columns = columns,
                                                     .expand = expand,
                                                     .inner_name = "clusterName"};
