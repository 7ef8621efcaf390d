/*
 * Rule actions (contract §5.3.2): forward, weighted, redirect, direct.  Runs in API workers and the
 * watcher; never does I/O.
 */
#include "codec/codec_json.h"
#include "model/model_route_int.h"

#define TEMPLATE_REWRITE "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig"
#define DIRECT_BYTES_MAX 4096
#define ENVOY_TIMEOUT_MS 15000 /* what an absent route timeout means */
#define CLUSTER_NAME(n, st)                                                                        \
    {                                                                                              \
        .name = (n), FP_M_STRING, .text = fp_model_text_nonblank, .stored = (st),                  \
        .ref = FP_M_REF(FP_KIND_CLUSTER)                                                           \
    }
#define TIMEOUTS                                                                                   \
    {.name = "timeoutSeconds", FP_M_UINT, .max = FP_M_MAX_SECONDS, .stored = "timeout"},           \
    {                                                                                              \
        .name = "timeoutMs", FP_M_UINT, .max = FP_M_MAX_MS                                         \
    }
#define RETRY_AND_HASH                                                                             \
    {.name = "retryPolicy", FP_M_OBJECT, .object = &fp_model_retry_schema},                        \
    {                                                                                              \
        .name = "hashPolicy", FP_M_OBJECT, FP_M_LIST, .object = &fp_model_hash_policy_schema       \
    }

#define ONE_TIMEOUT                                                                                \
    {                                                                                              \
        FP_M_AT_MOST_ONE,                                                                          \
        {                                                                                          \
            "timeoutSeconds", "timeoutMs"                                                          \
        }                                                                                          \
    }

static void check_timeouts(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *s = fp_model_object_get(r, o, "timeoutSeconds");
    const json_t *ms = fp_model_object_get(r, o, "timeoutMs");
    json_int_t route = s    ? json_integer_value(s) * 1000
                       : ms ? json_integer_value(ms)
                            : ENVOY_TIMEOUT_MS;
    const json_t *retry = fp_model_object_get(r, o, "retryPolicy");
    const json_t *per_try = json_object_get(retry, "perTryTimeoutSeconds");
    if (!per_try || route == 0 || json_integer_value(per_try) * 1000 < route)
        return;
    const char *key = "perTryTimeoutSeconds";
    fp_model_key_find(fp_model_object_sent(o, "retryPolicy"), key, &key);
    fp_problem_add(r->ps, fp_model_path_push(r, fp_model_object_at(r, o, "retryPolicy"), key),
                   FP_P_OUT_OF_RANGE, "must be below the route's timeout (%lld ms)",
                   (long long)route);
}

/* ---- forward ---- */
static const struct fp_model_field regex_rewrite_fields[] = {
    {.name = "pattern", FP_M_STRING, FP_M_REQUIRED, .text = fp_model_text_regex},
    {.name = "substitution", FP_M_STRING, FP_M_REQUIRED, .text = fp_model_text_header_value},
};
static const struct fp_model_schema regex_rewrite = FP_M_SCHEMA(regex_rewrite_fields, NULL);

static const struct fp_model_rule forward_rules[] = {
    {FP_M_EXACTLY_ONE, {"cluster", "clusterHeader"}},
    {FP_M_AT_MOST_ONE, {"prefixRewrite", "templateRewrite", "regexRewrite"}},
    {FP_M_AT_MOST_ONE, {"hostRewrite", "autoHostRewrite"}},
    ONE_TIMEOUT,
};
static const char *const priorities[] = {"default", "high", NULL};
static const struct fp_model_field forward_fields[] = {
    CLUSTER_NAME("cluster", "name"),
    {.name = "clusterHeader", FP_M_STRING, .text = fp_model_text_header_name},
    TIMEOUTS,
    {.name = "idleTimeoutSeconds", FP_M_UINT, .max = FP_M_MAX_SECONDS},
    {.name = "prefixRewrite", FP_M_STRING, .text = fp_model_text_slash},
    {.name = "templateRewrite",
     FP_M_STRING,
     .text = fp_model_text_nonblank,
     .stored = "path_template_rewrite"},
    {.name = "regexRewrite", FP_M_OBJECT, .object = &regex_rewrite},
    {.name = "hostRewrite", FP_M_STRING, .min = 1, .text = fp_model_text_header_value},
    {.name = "autoHostRewrite", FP_M_BOOL},
    RETRY_AND_HASH,
    {.name = "mirror", FP_M_OBJECT, FP_M_LIST, .object = &fp_model_mirror_schema},
    {.name = "upgrades",
     FP_M_STRING,
     FP_M_LIST | FP_M_UNIQUE | FP_M_ANY_CASE,
     .text = fp_model_text_token},
    {.name = "priority", FP_M_ENUM, .values = priorities},
};
static const struct fp_model_schema forward =
    FP_M_RULED(forward_fields, check_timeouts, forward_rules);

/* ---- weighted ---- */
static const struct fp_model_field target_fields[] = {
    {.name = "name",
     FP_M_STRING,
     FP_M_REQUIRED,
     .text = fp_model_text_nonblank,
     .ref = FP_M_REF(FP_KIND_CLUSTER)},
    {.name = "weight", FP_M_UINT, FP_M_REQUIRED, .min = 1},
    {.name = "typedPerFilterConfig",
     FP_M_READ,
     .read = fp_model_per_filter_read,
     .shape = fp_model_per_filter_shape},
};
static const struct fp_model_schema target = FP_M_SCHEMA(target_fields, NULL);

static void check_weighted(struct fp_model_reader *r, const struct fp_model_object *o)
{
    const json_t *clusters = fp_model_object_get(r, o, "clusters"), *m;
    const json_t *total = fp_model_object_get(r, o, "totalWeight");
    uint64_t sum = 0;
    bool complete = true;
    for (size_t i = 0; (m = json_array_get(clusters, i)); i++) {
        sum += (uint64_t)json_integer_value(json_object_get(m, "weight"));
        complete &= json_object_get(m, "weight") != NULL;
    }
    if (sum > UINT32_MAX)
        fp_problem_add(r->ps, fp_model_object_at(r, o, "clusters"), FP_P_OUT_OF_RANGE,
                       "the weights sum to more than 4294967295");
    else if (total && complete && (uint64_t)json_integer_value(total) != sum)
        fp_problem_add(r->ps, fp_model_object_at(r, o, "totalWeight"), FP_P_INVALID_VALUE,
                       "must be the sum of the weights, %llu", (unsigned long long)sum);
    check_timeouts(r, o);
}
static const struct fp_model_field weighted_fields[] = {
    {.name = "clusters", FP_M_OBJECT, FP_M_LIST | FP_M_REQUIRED, .min_items = 1, .object = &target},
    {.name = "totalWeight", FP_M_UINT, .min = 1},
    TIMEOUTS,
    RETRY_AND_HASH,
};
static const struct fp_model_rule weighted_rules[] = {ONE_TIMEOUT};
static const struct fp_model_schema weighted =
    FP_M_RULED(weighted_fields, check_weighted, weighted_rules);

/* ---- redirect ---- */
static const struct {
    int status;
    const char *envoy; /* the index is Envoy's enum number */
} redirect_codes[] = {{301, "MOVED_PERMANENTLY"},
                      {302, "FOUND"},
                      {303, "SEE_OTHER"},
                      {307, "TEMPORARY_REDIRECT"},
                      {308, "PERMANENT_REDIRECT"}};

static json_t *read_redirect_code(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    if (!json_is_integer(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be an integer");
        return NULL;
    }
    json_int_t n = json_integer_value(v);
    for (size_t i = 0; i < FP_M_N(redirect_codes); i++)
        if (n == redirect_codes[i].status || n == (json_int_t)i)
            return json_integer(redirect_codes[i].status);
    fp_problem_add(r->ps, pointer, FP_P_INVALID_VALUE, "must be one of 301, 302, 303, 307, 308");
    return NULL;
}

/* Envoy's enum numbers are taken, but 301 … is what a client should write. */
static json_t *shape_redirect_code(struct fp_model_shaper *s, const char *name)
{
    json_t *values = json_array();
    (void)name;
    for (size_t i = 0; i < FP_M_N(redirect_codes); i++)
        json_array_append_new(values, json_integer(redirect_codes[i].status));
    for (size_t i = 0; i < FP_M_N(redirect_codes) && fp_model_shape_spelling(s) == FP_M_SENT; i++)
        json_array_append_new(values, json_integer((json_int_t)i));
    return json_pack("{s:s, s:o}", "type", "integer", "enum", values);
}

static const struct fp_model_rule redirect_rules[] = {
    {FP_M_AT_MOST_ONE, {"pathRedirect", "prefixRewrite"}},
    {FP_M_AT_MOST_ONE, {"schemeRedirect", "httpsRedirect"}},
};
static void check_redirect_text(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    fp_model_text_nonblank(r, pointer, s);
    fp_model_text_header_value(r, pointer, s);
}
static const struct fp_model_field redirect_fields[] = {
    {.name = "hostRedirect", FP_M_STRING, .text = check_redirect_text},
    {.name = "pathRedirect", FP_M_STRING, .text = check_redirect_text},
    {.name = "prefixRewrite", FP_M_STRING, .text = check_redirect_text},
    {.name = "schemeRedirect", FP_M_STRING, .text = check_redirect_text},
    {.name = "httpsRedirect", FP_M_BOOL},
    {.name = "portRedirect", FP_M_UINT, .min = 1, .max = 65535},
    {.name = "stripQuery", FP_M_BOOL},
    {.name = "responseCode", FP_M_READ, .read = read_redirect_code, .shape = shape_redirect_code},
};
static const struct fp_model_schema redirect = FP_M_RULED(redirect_fields, NULL, redirect_rules);

/* ---- direct ---- */
static void check_body(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (s.len > DIRECT_BYTES_MAX)
        fp_problem_add(r->ps, pointer, FP_P_TOO_LONG, "must have at most %d bytes",
                       DIRECT_BYTES_MAX);
}
static const struct fp_model_field direct_fields[] = {
    {.name = "status", FP_M_UINT, FP_M_REQUIRED, .min = 200, .max = 599},
    {.name = "body", FP_M_STRING, .text = check_body},
};
static const struct fp_model_schema direct = FP_M_SCHEMA(direct_fields, NULL);

static const struct fp_model_variant actions[] = {
    {"forward", "Cluster", NULL, &forward},
    {"weighted", "WeightedClusters", NULL, &weighted},
    {"redirect", "Redirect", NULL, &redirect},
    {"direct", "Direct", NULL, &direct},
};
static const struct fp_model_choice choice = {"type", actions, FP_M_N(actions)};
json_t *fp_model_action_read(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    return fp_model_choice_read(r, &choice, v, pointer, NULL);
}
json_t *fp_model_action_shape(struct fp_model_shaper *s, const char *name)
{
    return fp_model_shape_choice(s, &choice, NULL, NULL, name);
}

/* ---- an action against its match ---- */

/* Pointer of a member as sent, in either shape of the action. */
static const char *member_at(struct fp_model_reader *r, const json_t *sent, const char *pointer,
                             const char *name, const char *stored)
{
    const char *key = name;
    for (size_t i = 0; i < FP_M_N(actions); i++) {
        const json_t *tagged = json_object_get(sent, actions[i].tag);
        if (!tagged)
            continue;
        pointer = fp_model_path_push(r, pointer, actions[i].tag);
        sent = tagged;
        break;
    }
    if (!fp_model_key_find(sent, name, &key) && stored && json_object_get(sent, stored))
        key = stored;
    return fp_model_path_push(r, pointer, key);
}

void fp_model_action_check_path(struct fp_model_reader *r, const json_t *action, const json_t *sent,
                                const char *pointer, const json_t *path)
{
    bool template = fp_str_eq_c(fp_model_str(path, "type"), "template");
    struct fp_str type = fp_model_str(action, "type");
    struct fp_str rewrite = fp_model_str(action, "templateRewrite");
    const char *at = member_at(r, sent, pointer, "templateRewrite", "path_template_rewrite");
    if (template && (fp_str_eq_c(type, "weighted") || fp_str_eq_c(type, "redirect")))
        fp_problem_add(r->ps, pointer, FP_P_MUTUALLY_EXCLUSIVE,
                       "an action of type %.*s cannot follow a template match", FP_STR_ARG(type));
    else if (template && json_object_get(action, "prefixRewrite"))
        fp_problem_add(r->ps, member_at(r, sent, pointer, "prefixRewrite", NULL),
                       FP_P_MUTUALLY_EXCLUSIVE, "cannot follow a template match");
    if (rewrite.data && !template)
        fp_problem_add(r->ps, at, FP_P_MUTUALLY_EXCLUSIVE, "only with a template match");
    if (!rewrite.data || !template)
        return;
    const char *why =
        fp_model_template_rewrite_check(r->arena, rewrite, fp_model_str(path, "template"));
    if (why)
        fp_problem_add(r->ps, at, FP_P_INVALID_FORMAT, "not a template rewrite: %s", why);
}

/* ---- expansion ---- */
static void expand_common(json_t *out, const json_t *a)
{
    static const struct fp_model_copy copy[] = {{"timeoutSeconds", "timeout", FP_C_SECONDS},
                                                {"timeoutMs", "timeout", FP_C_MS}};
    const json_t *retry = json_object_get(a, "retryPolicy"),
                 *hash = json_object_get(a, "hashPolicy");
    fp_model_copy(out, a, copy, FP_M_N(copy));
    if (retry)
        json_object_set_new(out, "retryPolicy", fp_model_retry_expand(retry));
    if (json_array_size(hash))
        json_object_set_new(out, "hashPolicy", fp_model_hash_policies_expand(hash));
}

json_t *fp_model_upgrades_expand(const json_t *list)
{
    json_t *out = json_array(), *m;
    size_t i;
    json_array_foreach ((json_t *)list, i, m)
        json_array_append_new(out, json_pack("{s:O}", "upgradeType", m));
    return out;
}

static void expand_forward(json_t *route, const json_t *a)
{
    static const struct fp_model_copy copy[] = {
        {"cluster", "cluster", FP_C_SAME},
        {"clusterHeader", "clusterHeader", FP_C_SAME},
        {"idleTimeoutSeconds", "idleTimeout", FP_C_SECONDS},
        {"prefixRewrite", "prefixRewrite", FP_C_SAME},
        {"hostRewrite", "hostRewriteLiteral", FP_C_SAME},
        {"autoHostRewrite", "autoHostRewrite", FP_C_SAME},
    };
    json_t *out = json_object();
    const json_t *regex = json_object_get(a, "regexRewrite");
    const json_t *template = json_object_get(a, "templateRewrite");
    const json_t *mirror = json_object_get(a, "mirror"), *up = json_object_get(a, "upgrades");
    struct fp_str priority = fp_model_str(a, "priority");
    fp_model_copy(out, a, copy, FP_M_N(copy));
    if (regex)
        json_object_set_new(out, "regexRewrite",
                            json_pack("{s:{s:O}, s:O}", "pattern", "regex",
                                      json_object_get(regex, "pattern"), "substitution",
                                      json_object_get(regex, "substitution")));
    if (template)
        json_object_set_new(out, "pathRewritePolicy",
                            json_pack("{s:s, s:{s:s, s:O}}", "name",
                                      "envoy.path.rewrite.uri_template", "typedConfig",
                                      FP_M_TYPED(TEMPLATE_REWRITE), "pathTemplateRewrite",
                                      template));
    if (json_array_size(mirror))
        json_object_set_new(out, "requestMirrorPolicies", fp_model_mirrors_expand(mirror));
    if (json_array_size(up))
        json_object_set_new(out, "upgradeConfigs", fp_model_upgrades_expand(up));
    if (priority.data)
        json_object_set_new(out, "priority",
                            json_string(fp_str_eq_c(priority, "high") ? "HIGH" : "DEFAULT"));
    expand_common(out, a);
    json_object_set_new(route, "route", out);
}

static void expand_weighted(json_t *route, const json_t *a)
{
    json_t *out = json_object(), *list = json_array(), *m, *set;
    size_t i;
    json_array_foreach (json_object_get(a, "clusters"), i, m) {
        json_t *c = json_pack("{s:O, s:O}", "name", json_object_get(m, "name"), "weight",
                              json_object_get(m, "weight"));
        const json_t *map = json_object_get(m, "typedPerFilterConfig");
        if (json_object_size(map))
            json_object_set_new(c, "typedPerFilterConfig", fp_model_per_filter_expand(map));
        json_array_append_new(list, c);
    }
    set = fp_model_sub(out, "weightedClusters");
    json_object_set_new(set, "clusters", list);
    if (json_object_get(a, "totalWeight"))
        json_object_set(set, "totalWeight", json_object_get(a, "totalWeight"));
    expand_common(out, a);
    json_object_set_new(route, "route", out);
}

static void expand_redirect(json_t *route, const json_t *a)
{
    static const struct fp_model_copy copy[] = {
        {"hostRedirect", "hostRedirect", FP_C_SAME},
        {"pathRedirect", "pathRedirect", FP_C_SAME},
        {"prefixRewrite", "prefixRewrite", FP_C_SAME},
        {"schemeRedirect", "schemeRedirect", FP_C_SAME},
        {"httpsRedirect", "httpsRedirect", FP_C_SAME},
        {"portRedirect", "portRedirect", FP_C_SAME},
        {"stripQuery", "stripQuery", FP_C_SAME},
    };
    json_t *out = json_object();
    fp_model_copy(out, a, copy, FP_M_N(copy));
    json_int_t code = json_integer_value(json_object_get(a, "responseCode"));
    for (size_t i = 0; i < FP_M_N(redirect_codes); i++)
        if (code == redirect_codes[i].status)
            json_object_set_new(out, "responseCode", json_string(redirect_codes[i].envoy));
    json_object_set_new(route, "redirect", out);
}

void fp_model_action_expand(json_t *route, const json_t *action)
{
    struct fp_str type = fp_model_str(action, "type");
    const json_t *body = json_object_get(action, "body");
    if (fp_str_eq_c(type, "weighted")) {
        expand_weighted(route, action);
    } else if (fp_str_eq_c(type, "redirect")) {
        expand_redirect(route, action);
    } else if (fp_str_eq_c(type, "direct")) {
        json_t *out = json_pack("{s:O}", "status", json_object_get(action, "status"));
        if (body)
            json_object_set_new(out, "body", json_pack("{s:O}", "inlineString", body));
        json_object_set_new(route, "directResponse", out);
    } else {
        expand_forward(route, action);
    }
}
