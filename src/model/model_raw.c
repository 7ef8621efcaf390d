/*
 * The raw form (contract §5.8): `envoy` holds canonical proto3 JSON of the kind's message, taken
 * through the same encoder as everything else and stored as what the bytes say.  Runs in API
 * workers and the watcher; never does I/O.
 */
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "model/model_int.h"
#include "pb/pb_json.h"

/* What may stand beside `envoy`: the columns, and what a response repeats. */
static const struct fp_model_field common_fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .text = fp_model_text_name},
    {.name = "team", FP_M_STRING, .min = 1, .max = 100, .text = fp_model_text_team},
};
static const struct fp_model_field cluster_fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .text = fp_model_text_name},
    {.name = "team", FP_M_STRING, .min = 1, .max = 100, .text = fp_model_text_team},
    {.name = "serviceName", FP_M_STRING, .min = 1, .max = 255, .text = fp_model_text_name},
};
static const struct fp_model_field listener_fields[] = {
    {.name = "name", FP_M_STRING, .min = 1, .text = fp_model_text_name},
    {.name = "team", FP_M_STRING, .min = 1, .max = 100, .text = fp_model_text_team},
    {.name = "address", FP_M_STRING},
    {.name = "port", FP_M_UINT, .max = 65535},
    {.name = "protocol", FP_M_STRING},
};
static const struct fp_model_schema common_schema = FP_M_SCHEMA(common_fields, NULL);
static const struct fp_model_schema cluster_schema = FP_M_SCHEMA(cluster_fields, NULL);
static const struct fp_model_schema listener_schema = FP_M_SCHEMA(listener_fields, NULL);

const struct fp_model_schema *fp_model_raw_schema(enum fp_kind kind)
{
    return kind == FP_KIND_CLUSTER    ? &cluster_schema
           : kind == FP_KIND_LISTENER ? &listener_schema
                                      : &common_schema;
}

static bool is_field(const struct fp_model_schema *s, const char *key)
{
    for (size_t i = 0; i < s->fields_n; i++)
        if (fp_model_key_is(s->fields[i].name, key) ||
            (s->fields[i].alias && fp_model_key_is(s->fields[i].alias, key)))
            return true;
    return false;
}

json_t *fp_model_raw_beside(struct fp_model_reader *r, enum fp_kind kind, const json_t *body,
                            const char *const *skip)
{
    const struct fp_model_schema *s = fp_model_raw_schema(kind);
    json_t *rest = fp_json_own(r->arena, json_object()), *v;
    const char *key;
    json_object_foreach ((json_t *)body, key, v) {
        bool model = is_field(fp_model_kind_of(kind)->schema, key) || strcmp(key, "config") == 0;
        if (is_field(s, key) || !model)
            json_object_set(rest, key, v);
        else if (!json_is_null(v))
            fp_problem_add(r->ps, fp_model_path_push(r, "", key), FP_P_MUTUALLY_EXCLUSIVE,
                           "cannot stand beside envoy");
    }
    return fp_model_members_read(r, s, rest, "", skip);
}

/* A copy that has its name; a different inner name is refused. */
static json_t *with_name(struct fp_model_reader *r, const char *inner, const json_t *envoy,
                         const char *pointer, struct fp_str name)
{
    json_t *copy = fp_json_own(r->arena, json_copy((json_t *)envoy));
    const char *key = inner;
    const json_t *v = fp_model_key_find(envoy, inner, &key);
    if (!v || (json_is_string(v) && json_string_length(v) == 0)) {
        json_object_del(copy, key);
        json_object_set_new(copy, inner, json_stringn(name.data, name.len));
    } else if (json_is_string(v) && name.data && !fp_str_eq(fp_json_str(v), name)) {
        fp_problem_add(r->ps, fp_model_path_push(r, pointer, key), FP_P_INVALID_VALUE,
                       "differs from the resource's name");
    }
    return copy; /* a wrong type is the encoder's to report */
}

/* Bytes of a type that no descriptor describes go out unchecked. */
static void warn_opaque(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    const char *key;
    json_t *m;
    size_t i;
    if (json_is_array(v)) {
        json_array_foreach ((json_t *)v, i, m) {
            size_t mark = fp_model_path_mark(r);
            if (json_is_object(m) || json_is_array(m))
                warn_opaque(r, m, fp_model_path_push_index(r, pointer, i));
            fp_model_path_rewind(r, mark);
        }
        return;
    }
    struct fp_str url = fp_json_str(fp_model_key_find(v, "type_url", NULL));
    if (url.data && json_is_string(json_object_get(v, "value"))) {
        struct fp_str name = fp_model_typed_name(v);
        if (name.data && !fp_pb_pool_message(r->pool, name))
            fp_model_warn(r, "unchecked_config", pointer, "%.*s is not in the descriptor set",
                          FP_STR_ARG(name));
        return;
    }
    json_object_foreach ((json_t *)v, key, m) {
        size_t mark = fp_model_path_mark(r);
        if (json_is_object(m) || json_is_array(m))
            warn_opaque(r, m, fp_model_path_push(r, pointer, key));
        fp_model_path_rewind(r, mark);
    }
}

/* What the encoded element says, as canonical JSON. */
json_t *fp_model_raw_decode(struct fp_model_reader *r, enum fp_kind kind, struct fp_str encoded)
{
    struct fp_str element, type_url, value;
    if (fp_pb_element_next(&encoded, &element, &type_url, &value))
        return NULL;
    const struct fp_pb_message *m = fp_pb_pool_message(r->pool, fp_str_of(fp_kinds[kind].message));
    json_t *v = fp_pb_to_json(r->pool, m, value, r->ps);
    return v ? fp_json_own(r->arena, v) : NULL;
}

static void check_repeated(struct fp_model_reader *r, const json_t *beside,
                           const struct fp_model_resource *out)
{
    static const char why[] = "differs from envoy";
    struct fp_str address = fp_model_str(beside, "address");
    struct fp_str protocol = fp_model_str(beside, "protocol");
    const json_t *port = json_object_get(beside, "port");
    if (address.data && !fp_str_eq(address, out->address))
        fp_problem_add(r->ps, "/address", FP_P_INVALID_VALUE, why);
    if (port && json_integer_value(port) != out->port)
        fp_problem_add(r->ps, "/port", FP_P_INVALID_VALUE, why);
    if (protocol.data && !fp_str_eq(protocol, out->protocol))
        fp_problem_add(r->ps, "/protocol", FP_P_INVALID_VALUE, why);
}

int fp_model_raw_parse(struct fp_model_reader *r, enum fp_kind kind, const json_t *envoy,
                       const char *pointer, const json_t *beside, struct fp_model_resource *out)
{
    const struct fp_model_kind *k = fp_model_kind_of(kind);
    if (!json_is_object(envoy)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be an object");
        return FP_ERR_INVALID;
    }
    const json_t *named = with_name(r, k->inner_name, envoy, pointer, out->name);
    struct fp_buf b = {0};
    (void)fp_pb_element(r->pool, fp_kinds[kind].message, named, pointer, r->ps, &b);
    if (r->ps->total == 0) {
        out->encoded = fp_arena_str(r->arena, fp_buf_str(&b));
        fp_sha256(out->encoded.data, out->encoded.len, out->content_hash);
    }
    fp_buf_fini(&b);
    if (r->ps->total)
        return FP_ERR_INVALID;
    json_t *canonical = fp_model_raw_decode(r, kind, out->encoded);
    if (!canonical)
        return FP_ERR_INVALID;
    warn_opaque(r, envoy, pointer);
    fp_model_keep_configuration(r->arena, canonical, out);
    if (kind == FP_KIND_CLUSTER && !out->service_name.data)
        out->service_name = out->name;
    fp_model_refs(r, kind, canonical, pointer, out);
    if (k->summary)
        k->summary(r->arena, canonical, out);
    check_repeated(r, beside, out);
    out->warnings = r->warnings;
    out->warnings_n = r->warnings_n;
    return r->ps->total ? FP_ERR_INVALID : 0;
}
