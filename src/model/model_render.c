/*
 * Responses (contract §5.1): the common keys and the kind's own, so that each is accepted as a
 * create body again.  Runs in API workers and the watcher; never does I/O.  A configuration that
 * psql broke is shown as it is.
 */
#include "codec/codec_json.h"
#include "model/model_int.h"

static void text(struct fp_buf *b, const char *key, struct fp_str v)
{
    fp_buf_printf(b, ",\"%s\":", key);
    if (v.data)
        fp_buf_append_json(b, v);
    else
        fp_buf_append_c(b, "null");
}

static void json(struct fp_buf *b, const char *key, const json_t *v)
{
    fp_buf_printf(b, ",\"%s\":", key);
    if (v)
        fp_json_write(b, v, true);
    else
        fp_buf_append_c(b, "null");
}

/* ---- routes: pathPrefix and clusterTargets of the first rule ---- */

static void path_text(struct fp_arena *a, const char *kind, const json_t *v, struct fp_str *out)
{
    struct fp_str s = fp_json_str(v);
    if (s.data)
        *out = fp_str_of(fp_arena_printf(a, "%s%.*s", kind, FP_STR_ARG(s)));
}

static void model_summary(struct fp_arena *a, const json_t *c, struct fp_str *path,
                          struct fp_str *target)
{
    const json_t *host = json_array_get(json_object_get(c, "virtualHosts"), 0);
    const json_t *rule = json_array_get(json_object_get(host, "routes"), 0);
    const json_t *p = json_object_get(json_object_get(rule, "match"), "path");
    const json_t *action = json_object_get(rule, "action");
    struct fp_str type = fp_model_str(p, "type"), kind = fp_model_str(action, "type");
    const char *front = fp_str_eq_c(type, "regex")      ? "regex:"
                        : fp_str_eq_c(type, "template") ? "template:"
                                                        : "";
    path_text(a, front, json_object_get(p, fp_str_eq_c(type, "template") ? "template" : "value"),
              path);
    const json_t *first = json_array_get(json_object_get(action, "clusters"), 0);
    if (fp_str_eq_c(kind, "redirect"))
        *target = FP_STR("__redirect__");
    else if (fp_str_eq_c(kind, "direct"))
        *target = FP_STR("__direct__");
    else if (fp_str_eq_c(kind, "weighted"))
        *target = fp_model_str(first, "name");
    else
        *target = fp_model_str(action, "cluster");
}

static void envoy_summary(struct fp_arena *a, const json_t *c, struct fp_str *path,
                          struct fp_str *target)
{
    static const struct {
        const char *outer, *inner, *front;
    } paths[] = {{"prefix", NULL, ""},
                 {"path", NULL, ""},
                 {"pathSeparatedPrefix", NULL, ""},
                 {"safeRegex", "regex", "regex:"}};
    const json_t *host = json_array_get(json_object_get(c, "virtualHosts"), 0);
    const json_t *rule = json_array_get(json_object_get(host, "routes"), 0);
    const json_t *m = json_object_get(rule, "match"), *route = json_object_get(rule, "route");
    for (size_t i = 0; i < FP_M_N(paths); i++) {
        const json_t *v = json_object_get(m, paths[i].outer);
        path_text(a, paths[i].front, paths[i].inner ? json_object_get(v, paths[i].inner) : v, path);
    }
    const json_t *policy = json_object_get(m, "pathMatchPolicy");
    path_text(a,
              "template:", json_object_get(json_object_get(policy, "typedConfig"), "pathTemplate"),
              path);
    const json_t *weighted = json_object_get(route, "weightedClusters");
    const json_t *first = json_array_get(json_object_get(weighted, "clusters"), 0);
    if (json_object_get(rule, "redirect"))
        *target = FP_STR("__redirect__");
    else if (json_object_get(rule, "directResponse"))
        *target = FP_STR("__direct__");
    else
        *target = weighted ? fp_model_str(first, "name") : fp_model_str(route, "cluster");
}

void fp_model_route_summary(struct fp_arena *a, enum fp_model_form form, const json_t *c,
                            struct fp_str *path, struct fp_str *target)
{
    *path = *target = FP_STR_NULL;
    if (form == FP_FORM_ENVOY)
        envoy_summary(a, c, path, target);
    else
        model_summary(a, c, path, target);
    if (!path->data)
        *path = FP_STR("*");
    if (!target->data || !target->len)
        *target = FP_STR("unknown");
}

/* ---- listeners: the stored shape read back into the request shape ---- */

static void listener_members(struct fp_arena *a, const json_t *configuration, struct fp_buf *out)
{
    static const char *const not_shown[] = {"name", "team", NULL};
    struct fp_model_reader r = {
        .arena = a, .ps = fp_problems_new(a), .trusted = true, .allow_privileged_ports = true};
    if (!json_is_object(configuration))
        return;
    json_t *c = fp_json_own(a, fp_model_root_read(&r, fp_model_kind_listener.schema, configuration,
                                                  NULL, "", not_shown));
    if (r.ps->total)
        return;
    if (!json_object_get(c, "port"))
        json_object_set_new(c, "port", json_null());
    if (!json_object_get(c, "protocol"))
        json_object_set_new(c, "protocol", json_string("HTTP"));
    const char *key;
    json_t *v;
    json_object_foreach (c, key, v)
        json(out, key, v);
}

static void envoy_members(struct fp_arena *a, enum fp_kind kind, const json_t *c,
                          struct fp_buf *out)
{
    struct fp_model_resource s = {.port = -1};
    if (kind == FP_KIND_LISTENER) {
        fp_model_kind_listener.summary(a, c, &s);
        text(out, "address", s.address);
        if (s.port >= 0)
            fp_buf_printf(out, ",\"port\":%d", s.port);
        else
            fp_buf_append_c(out, ",\"port\":null");
        text(out, "protocol", s.protocol);
    }
    json(out, "envoy", c);
}

static void model_members(struct fp_arena *a, enum fp_kind kind, const json_t *c,
                          struct fp_buf *out)
{
    const char *key;
    json_t *v;
    if (kind == FP_KIND_LISTENER)
        listener_members(a, c, out);
    if (kind != FP_KIND_ENDPOINT) {
        json(out, "config", c);
        return;
    }
    json_object_foreach ((json_t *)c, key, v) /* endpoints have no config: the fields are flat */
        json(out, key, v);
}

void fp_model_render(enum fp_kind kind, const struct fp_model_row *row, struct fp_buf *out)
{
    struct fp_arena *a = fp_arena_new(NULL);
    bool raw = fp_str_eq_c(row->form, "envoy");
    fp_buf_append_c(out, "{\"id\":");
    fp_buf_append_json(out, row->id);
    text(out, "name", row->name);
    text(out, "team", row->team);
    text(out, "source", row->source);
    fp_buf_printf(out, ",\"version\":%lld", (long long)row->version);
    text(out, "createdAt", row->created_at);
    text(out, "updatedAt", row->updated_at);
    if (kind == FP_KIND_CLUSTER)
        text(out, "serviceName", row->service_name.data ? row->service_name : row->name);
    if (kind == FP_KIND_ROUTE) {
        struct fp_str path, target;
        fp_model_route_summary(a, raw ? FP_FORM_ENVOY : FP_FORM_MODEL, row->configuration, &path,
                               &target);
        text(out, "pathPrefix", path);
        text(out, "clusterTargets", target);
    }
    if (raw)
        envoy_members(a, kind, row->configuration, out);
    else
        model_members(a, kind, row->configuration, out);
    fp_buf_append_byte(out, '}');
    fp_arena_free(&a);
}
