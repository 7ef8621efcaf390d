/*
 * References of a resource, read off its Envoy JSON, so that high-level and raw forms share one
 * road (contract §5.9).  Goes by member names, which mean one thing throughout Envoy's API; free
 * data (metadata, formats) is passed over.  Pure; API workers and the watcher.
 */
#include "codec/codec_json.h"
#include "core/core_map.h"
#include "model/model_int.h"

#define AGGREGATE "envoy.extensions.clusters.aggregate.v3.ClusterConfig"

struct frame { /* where the walk is; a pointer is only spelled out for a find */
    const struct frame *up;
    const char *key; /* NULL: index */
    size_t index;
};
struct walk {
    struct fp_model_reader *r;
    const char *base; /* NULL: pointers come from the reader's notes */
    struct fp_map seen;
    struct fp_ref *refs;
    size_t n, cap;
};

static const char *spell(struct walk *w, const struct frame *f)
{
    if (!f)
        return w->base;
    const char *up = spell(w, f->up);
    return f->key ? fp_pointer_push(w->r->arena, up, fp_str_of(f->key))
                  : fp_pointer_push_index(w->r->arena, up, f->index);
}

static void found(struct walk *w, enum fp_kind kind, const json_t *name, const struct frame *f)
{
    struct fp_str s = fp_json_str(name);
    if (s.len == 0)
        return;
    struct fp_str key =
        fp_str_of(fp_arena_printf(w->r->arena, "%d %.*s", (int)kind, FP_STR_ARG(s)));
    if (fp_map_set(&w->seen, key, w))
        return;
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 8;
        struct fp_ref *grown = fp_arena_alloc(w->r->arena, w->cap * sizeof(*grown));
        if (w->n)
            memcpy(grown, w->refs, w->n * sizeof(*grown));
        w->refs = grown;
    }
    w->refs[w->n++] =
        (struct fp_ref){.kind = kind,
                        .name = fp_arena_str(w->r->arena, s),
                        .pointer = w->base ? spell(w, f) : fp_model_noted(w->r, kind, s)};
}

/* A ConfigSource that asks a management server; a file on the Envoy host is none of ours. */
static bool from_server(const json_t *source)
{
    return source && !fp_model_key_find(source, "path", NULL) &&
           !fp_model_key_find(source, "pathConfigSource", NULL);
}

static void find(struct walk *w, enum fp_kind kind, const json_t *object, const char *name,
                 const struct frame *up)
{
    const char *key = NULL;
    const json_t *v = fp_model_key_find(object, name, &key);
    struct frame f = {.up = up, .key = key};
    if (v)
        found(w, kind, v, &f);
}

static void find_items(struct walk *w, const json_t *object, const char *list, const char *name,
                       const struct frame *up)
{
    const char *key = NULL;
    const json_t *items = fp_model_key_find(object, list, &key), *m;
    struct frame in_list = {.up = up, .key = key};
    for (size_t i = 0; (m = json_array_get(items, i)); i++) {
        struct frame item = {.up = &in_list, .index = i};
        if (name)
            find(w, FP_KIND_CLUSTER, m, name, &item);
        else
            found(w, FP_KIND_CLUSTER, m, &item);
    }
}

/* What a member of this name refers to; `v` is its value, `object` holds it. */
static void names_cluster(struct walk *w, const json_t *object, const json_t *v,
                          const struct frame *at)
{
    found(w, FP_KIND_CLUSTER, v, at);
}

static void grpc(struct walk *w, const json_t *object, const json_t *v, const struct frame *at)
{
    find(w, FP_KIND_CLUSTER, v, "clusterName", at);
}

static void weighted(struct walk *w, const json_t *object, const json_t *v, const struct frame *at)
{
    find_items(w, v, "clusters", "name", at);
}

static void rds(struct walk *w, const json_t *object, const json_t *v, const struct frame *at)
{
    if (from_server(fp_model_key_find(v, "configSource", NULL)))
        find(w, FP_KIND_ROUTE, v, "routeConfigName", at);
}

static void sds(struct walk *w, const json_t *object, const json_t *v, const struct frame *at)
{
    if (from_server(v))
        find(w, FP_KIND_SECRET, object, "name", at->up);
}

static const struct {
    const char *key;
    void (*refer)(struct walk *w, const json_t *object, const json_t *v, const struct frame *at);
} members[] = {
    {"cluster", names_cluster},
    {"collectorCluster", names_cluster},
    {"envoyGrpc", grpc},
    {"weightedClusters", weighted},
    {"rds", rds},
    {"sdsConfig", sds},
    {"metadata", NULL},
    {"filterMetadata", NULL}, /* free data: not looked into */
    {"typedFilterMetadata", NULL},
    {"jsonFormat", NULL},
    {"node", NULL},
};

static bool is_struct(struct fp_str type)
{
    return fp_str_eq_c(type, "google.protobuf.Struct") ||
           fp_str_eq_c(type, "xds.type.v3.TypedStruct") ||
           fp_str_eq_c(type, "udpa.type.v1.TypedStruct");
}

static void visit(struct walk *w, const json_t *v, const struct frame *at);

static void visit_member(struct walk *w, const json_t *object, const char *key, const json_t *m,
                         const struct frame *at)
{
    struct frame f = {.up = at, .key = key};
    for (size_t i = 0; i < FP_M_N(members); i++) {
        if (!fp_model_key_is(members[i].key, key))
            continue;
        if (!members[i].refer)
            return;
        members[i].refer(w, object, m, &f);
        break;
    }
    if (json_is_object(m) || json_is_array(m))
        visit(w, m, &f);
}

static void visit(struct walk *w, const json_t *v, const struct frame *at)
{
    const char *key;
    json_t *m;
    size_t i;
    if (json_is_array(v)) {
        json_array_foreach ((json_t *)v, i, m) {
            struct frame f = {.up = at, .index = i};
            if (json_is_object(m) || json_is_array(m))
                visit(w, m, &f);
        }
        return;
    }
    if (json_object_get(v, "@type")) {
        struct fp_str type = fp_model_typed_name(v);
        if (is_struct(type))
            return;
        if (fp_str_eq_c(type, AGGREGATE))
            find_items(w, v, "clusters", NULL, at);
    }
    json_object_foreach ((json_t *)v, key, m)
        visit_member(w, v, key, m, at);
}

/* A cluster's endpoint set: named, or called like the cluster. */
static void find_set(struct walk *w, const json_t *cluster)
{
    const json_t *eds = json_object_get(cluster, "edsClusterConfig");
    struct frame config = {.key = "edsClusterConfig"};
    if (!eds || !from_server(json_object_get(eds, "edsConfig")))
        return;
    if (json_object_get(eds, "serviceName"))
        find(w, FP_KIND_ENDPOINT, eds, "serviceName", &config);
    else
        find(w, FP_KIND_ENDPOINT, cluster, "name", NULL);
}

void fp_model_refs(struct fp_model_reader *r, enum fp_kind kind, const json_t *message,
                   const char *base_pointer, struct fp_model_resource *out)
{
    struct walk w = {.r = r, .base = base_pointer};
    if (kind == FP_KIND_CLUSTER)
        find_set(&w, message);
    if (kind != FP_KIND_ENDPOINT)
        visit(&w, message, NULL);
    fp_map_fini(&w.seen);
    out->refs = w.refs;
    out->refs_n = w.n;
}
