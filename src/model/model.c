/*
 * The road of every resource: body → canonical configuration → Envoy JSON → bytes, hash,
 * references, summary (contract §5.1).  Runs in API workers and the watcher; never does I/O.
 */
#include <string.h>
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "model/model_int.h"
#include "pb/pb_json.h"

#define NAME_MAX_CHARS 255u

/* Response keys that a body may carry; they say nothing (§5.1). */
#define READ_ONLY                                                                                  \
    "id", "version", "createdAt", "updatedAt", "source", "pathPrefix", "clusterTargets"
static const char *const skipped[] = {READ_ONLY, "config", "envoy", NULL};
static const char *const raw_skipped[] = {READ_ONLY, "envoy", NULL};

const struct fp_model_kind *fp_model_kind_of(enum fp_kind kind)
{
    switch (kind) {
    case FP_KIND_CLUSTER:
        return &fp_model_kind_cluster;
    case FP_KIND_ENDPOINT:
        return &fp_model_kind_endpoint;
    case FP_KIND_LISTENER:
        return &fp_model_kind_listener;
    case FP_KIND_ROUTE:
        return &fp_model_kind_route;
    default:
        return NULL;
    }
}

static struct fp_model_reader *reader_new(struct fp_arena *a, const struct fp_model_options *o,
                                          struct fp_problems *ps)
{
    struct fp_model_reader *r = FP_ARENA_NEW(a, struct fp_model_reader);
    *r = (struct fp_model_reader){
        .arena = a, .ps = ps, .pool = o->pool, .allow_privileged_ports = o->allow_privileged_ports};
    return r;
}

static size_t code_points(struct fp_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.data[i] & 0xC0) != 0x80;
    return n;
}

/*
 * The name a resource gets: that of the path, which the body may repeat, or that of the body.
 * at: pointer of the body's name.
 */
static struct fp_str resolve_name(struct fp_model_reader *r, struct fp_str sent, const char *at,
                                  struct fp_str path_name, unsigned max)
{
    struct fp_str name = path_name.data ? path_name : sent;
    if (!name.data) {
        fp_problem_add(r->ps, at, FP_P_REQUIRED, "is required");
    } else if (path_name.data && sent.data && !fp_str_eq(sent, path_name)) {
        fp_problem_add(r->ps, at, FP_P_INVALID_VALUE, "differs from the name in the path");
    } else if (code_points(name) > max) {
        fp_problem_add(r->ps, at, FP_P_TOO_LONG, "must have at most %u characters", max);
    }
    return name;
}

static int encode(struct fp_model_reader *r, enum fp_kind kind, const struct fp_model_expansion *x,
                  const char *base_pointer, struct fp_model_resource *out)
{
    struct fp_buf b = {0};
    size_t before = r->ps->n;
    int rc = fp_pb_element(r->pool, fp_kinds[kind].message, x->message, base_pointer, r->ps, &b);
    if (rc == 0 && x->generated)
        rc = fp_pb_element(r->pool, fp_kinds[FP_KIND_ENDPOINT].message, x->generated, base_pointer,
                           r->ps, &b);
    /* A model body passed every rule of its tables; what is left is reported at its root, because
     * pointers into the expansion would mean nothing to the sender. */
    for (size_t i = before; out->form == FP_FORM_MODEL && i < r->ps->n; i++) {
        r->ps->items[i].message =
            fp_arena_printf(r->arena, "the Envoy message is refused at %s: %s",
                            r->ps->items[i].pointer, r->ps->items[i].message);
        r->ps->items[i].pointer = "";
    }
    if (rc == 0) {
        out->encoded = fp_arena_str(r->arena, fp_buf_str(&b));
        fp_sha256(out->encoded.data, out->encoded.len, out->content_hash);
    }
    fp_buf_fini(&b);
    return rc;
}

void fp_model_keep_configuration(struct fp_arena *a, json_t *configuration,
                                 struct fp_model_resource *out)
{
    struct fp_buf b = {0};
    fp_json_write(&b, configuration, true);
    out->configuration = configuration;
    out->configuration_text = fp_arena_str(a, fp_buf_str(&b));
    fp_buf_fini(&b);
}

/* The configuration as it is stored: without column members; a listener's in its stored shape. */
static json_t *to_configuration(struct fp_model_reader *r, const struct fp_model_kind *k,
                                const json_t *canonical, struct fp_str name)
{
    json_t *c = json_copy((json_t *)canonical);
    for (const char *const *column = k->columns; *column; column++)
        json_object_del(c, *column);
    if (!k->stored_shape)
        return fp_json_own(r->arena, c);
    struct fp_problems *none = fp_problems_new(r->arena);
    struct fp_model_reader w = {.arena = r->arena,
                                .ps = none,
                                .trusted = true,
                                .snake_out = true,
                                .tagged_out = true,
                                .allow_privileged_ports = true};
    json_t *stored = fp_model_root_read(&w, k->schema, c, NULL, "", NULL);
    FP_ASSERT(none->total == 0);
    json_decref(c);
    json_object_set_new(stored, "name", json_stringn(name.data, name.len)); /* may be the path's */
    return fp_json_own(r->arena, stored);
}

static int finish(struct fp_model_reader *r, enum fp_kind kind, const struct fp_model_kind *k,
                  const json_t *canonical, struct fp_model_resource *out)
{
    struct fp_model_expansion x = {0};
    k->expand(r, canonical, out->name.data, out->service_name, &x);
    fp_json_own(r->arena, x.message);
    if (x.generated)
        fp_json_own(r->arena, x.generated);
    if (encode(r, kind, &x, "", out))
        return FP_ERR_INVALID;
    fp_model_keep_configuration(r->arena, to_configuration(r, k, canonical, out->name), out);
    /* References inside bytes show only once they are decoded. */
    const json_t *message = r->opaque ? fp_model_raw_decode(r, kind, out->encoded) : x.message;
    if (!message)
        return FP_ERR_INVALID;
    fp_model_refs(r, kind, message, NULL, out);
    if (k->summary)
        k->summary(r->arena, x.message, out);
    if (k->label)
        k->label(r->arena, canonical, out);
    out->warnings = r->warnings;
    out->warnings_n = r->warnings_n;
    return 0;
}

static struct fp_str own(struct fp_arena *a, const json_t *v)
{
    return v ? fp_arena_str(a, fp_json_str(v)) : FP_STR_NULL;
}

static int parse_model(struct fp_model_reader *r, enum fp_kind kind, const json_t *body,
                       struct fp_str path_name, struct fp_str service_name,
                       struct fp_model_resource *out)
{
    const struct fp_model_kind *k = fp_model_kind_of(kind);
    const json_t *config = json_object_get(body, "config");
    if (json_is_null(config))
        config = NULL;
    if (config && !json_is_object(config)) {
        fp_problem_add(r->ps, "/config", FP_P_INVALID_TYPE, "must be an object");
        return FP_ERR_INVALID;
    }
    const json_t *canonical =
        fp_json_own(r->arena, fp_model_root_read(r, k->schema, body, config, "/config", skipped));
    const json_t *sent = json_object_get(canonical, "name");
    bool outside = fp_model_key_find(body, "name", NULL) != NULL;
    bool inside = fp_model_key_find(config, "name", NULL) != NULL;
    bool refused = !sent && (outside || inside);
    const char *at = inside && !outside ? "/config/name" : "/name";
    if (!refused)
        out->name =
            fp_arena_str(r->arena, resolve_name(r, fp_json_str(sent), at, path_name, k->name_max));
    if (r->ps->total)
        return FP_ERR_INVALID;
    out->team = own(r->arena, json_object_get(canonical, "team"));
    if (kind == FP_KIND_CLUSTER) {
        struct fp_str label = fp_model_str(canonical, "serviceName");
        label = label.data ? label : service_name.data ? service_name : out->name;
        out->service_name = fp_arena_str(r->arena, label);
    }
    return finish(r, kind, k, canonical, out);
}

static int parse_envoy(struct fp_model_reader *r, enum fp_kind kind, const json_t *body,
                       struct fp_str path_name, struct fp_model_resource *out)
{
    const struct fp_model_kind *k = fp_model_kind_of(kind);
    const json_t *beside = fp_json_own(r->arena, fp_model_raw_beside(r, kind, body, raw_skipped));
    struct fp_str sent = fp_model_str(beside, "name");
    bool refused = !sent.data && fp_model_key_find(body, "name", NULL);
    if (!refused)
        out->name =
            fp_arena_str(r->arena, resolve_name(r, sent, "/name", path_name, k->raw_name_max));
    out->team = own(r->arena, json_object_get(beside, "team"));
    out->service_name = own(r->arena, json_object_get(beside, "serviceName"));
    return fp_model_raw_parse(r, kind, json_object_get(body, "envoy"), "/envoy", beside, out);
}

static void init(struct fp_model_resource *out, enum fp_kind kind, enum fp_model_form form)
{
    *out = (struct fp_model_resource){.kind = kind, .form = form, .port = -1};
}

/* No row is called longer, and the database's indices have a bound (sql/0001_tables.sql). */
static int check_lengths(struct fp_problems *ps, const struct fp_model_resource *m)
{
    size_t before = ps->total;
    for (size_t i = 0; i < m->refs_n; i++)
        if (code_points(m->refs[i].name) > NAME_MAX_CHARS)
            fp_problem_add(ps, m->refs[i].pointer ? m->refs[i].pointer : "", FP_P_TOO_LONG,
                           "a name has at most %u characters", NAME_MAX_CHARS);
    if (code_points(m->address) > NAME_MAX_CHARS)
        fp_problem_add(ps, m->form == FP_FORM_ENVOY ? "/envoy/address" : "/address", FP_P_TOO_LONG,
                       "must have at most %u characters", NAME_MAX_CHARS);
    return ps->total == before ? 0 : FP_ERR_INVALID;
}

int fp_model_parse(enum fp_kind kind, const struct fp_model_options *o, struct fp_arena *a,
                   const json_t *body, struct fp_str path_name, struct fp_problems *ps,
                   struct fp_model_resource *out)
{
    struct fp_model_reader *r = reader_new(a, o, ps);
    const json_t *envoy = json_object_get(body, "envoy");
    bool raw = envoy && !json_is_null(envoy);
    init(out, kind, raw ? FP_FORM_ENVOY : FP_FORM_MODEL);
    if (!fp_model_kind_of(kind)) {
        fp_problem_add(ps, "", FP_P_UNSUPPORTED, "this kind is not available yet");
        return FP_ERR_INVALID;
    }
    if (!json_is_object(body)) {
        fp_problem_add(ps, "", FP_P_INVALID_TYPE, "must be an object");
        return FP_ERR_INVALID;
    }
    int rc = raw ? parse_envoy(r, kind, body, path_name, out)
                 : parse_model(r, kind, body, path_name, FP_STR_NULL, out);
    return rc ? rc : check_lengths(ps, out);
}

int fp_model_parse_stored(enum fp_kind kind, const struct fp_model_options *o, struct fp_arena *a,
                          struct fp_str name, struct fp_str service_name, struct fp_str form,
                          const json_t *configuration, struct fp_problems *ps,
                          struct fp_model_resource *out)
{
    struct fp_model_reader *r = reader_new(a, o, ps);
    bool raw = fp_str_eq_c(form, "envoy");
    init(out, kind, raw ? FP_FORM_ENVOY : FP_FORM_MODEL);
    r->allow_privileged_ports = true; /* was decided when it was written */
    if (!fp_model_kind_of(kind)) {
        fp_problem_add(ps, "", FP_P_UNSUPPORTED, "this kind is not available yet");
        return FP_ERR_INVALID;
    }
    if (!json_is_object(configuration)) {
        fp_problem_add(ps, "", FP_P_INVALID_TYPE, "must be an object");
        return FP_ERR_INVALID;
    }
    out->name = fp_arena_str(a, name);
    /* psql takes any name; Envoy refuses the whole set for an empty one */
    if (!name.len)
        fp_problem_add(ps, "/name", FP_P_TOO_SHORT, "must not be empty");
    fp_model_text_name(r, "/name", name);
    if (ps->total)
        return FP_ERR_INVALID;
    if (!raw) {
        /* The row's name wins over one inside (a listener's): psql may have renamed the row. */
        json_t *body = fp_json_own(a, json_copy((json_t *)configuration));
        json_object_del(body, "name");
        return parse_model(r, kind, body, name, service_name, out);
    }
    out->service_name = service_name.data ? fp_arena_str(a, service_name) : FP_STR_NULL;
    return fp_model_raw_parse(r, kind, configuration, "", NULL, out);
}
