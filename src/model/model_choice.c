/*
 * Tagged choices ({"type": "prefix", "value": …} or the stored {"Prefix": …}) and typed
 * configurations.  Runs in API workers and the watcher; never does I/O.
 */
#include "codec/codec_json.h"
#include "model/model_int.h"
#include "pb/pb_json.h"

static const struct fp_model_variant *by_type(const struct fp_model_choice *c, struct fp_str type)
{
    for (size_t i = 0; i < c->variants_n; i++)
        if (fp_str_eq_c(type, c->variants[i].type))
            return &c->variants[i];
    return NULL;
}

static const struct fp_model_variant *by_tag(const struct fp_model_choice *c, const char *tag)
{
    for (size_t i = 0; i < c->variants_n; i++)
        if (c->variants[i].tag && strcmp(tag, c->variants[i].tag) == 0)
            return &c->variants[i];
    return NULL;
}

/* {"Tag": …}: the only member and a known tag; tags start with a capital, so no field is one. */
static const struct fp_model_variant *tag_of(const struct fp_model_choice *c, const json_t *v,
                                             const char **tag)
{
    const char *key;
    json_t *m;
    const struct fp_model_variant *found = NULL;
    json_object_foreach ((json_t *)v, key, m) {
        found = by_tag(c, key);
        *tag = key;
    }
    return json_object_size(v) == 1 ? found : NULL;
}

static void bad_type(struct fp_model_reader *r, const struct fp_model_choice *c, const char *at)
{
    const char *list = "";
    for (size_t i = 0; i < c->variants_n; i++)
        list = fp_arena_printf(r->arena, "%s%s%s", list, *list ? ", " : "", c->variants[i].type);
    fp_problem_add(r->ps, at, FP_P_INVALID_VALUE, "must be one of %s", list);
}

static json_t *read_tagged(struct fp_model_reader *r, const struct fp_model_variant *v,
                           const json_t *value, const char *pointer)
{
    r->tagged++;
    json_t *out;
    if (v->member && !(json_is_object(value) && fp_model_key_find(value, v->member, NULL))) {
        json_t *wrapped = fp_json_own(r->arena, json_object());
        json_object_set(wrapped, v->member, (json_t *)value);
        /* Pointers name the member, which was not sent: the tag's own pointer is the parent. */
        size_t before = r->ps->n;
        out = fp_model_object_read(r, v->schema, wrapped, pointer);
        for (size_t i = before; i < r->ps->n; i++) {
            const char *p = r->ps->items[i].pointer;
            size_t n = strlen(pointer), m = strlen(v->member);
            if (p && strncmp(p, pointer, n) == 0 && p[n] == '/' &&
                strncmp(p + n + 1, v->member, m) == 0)
                r->ps->items[i].pointer = fp_arena_printf(r->arena, "%s%s", pointer, p + n + 1 + m);
        }
    } else {
        out = fp_model_object_read(r, v->schema, value, pointer);
    }
    r->tagged--;
    return out;
}

/* Shape for writing: {"type": t, members…} or {"Tag": members | the one member}. */
static json_t *shape(struct fp_model_reader *r, const struct fp_model_choice *c,
                     const struct fp_model_variant *v, json_t *members)
{
    if (!r->tagged_out || !v->tag) {
        json_object_set_new(members, c->key, json_string(v->type));
        return members;
    }
    json_t *only = NULL;
    if (v->member) {
        char snake[FP_M_NAME_BYTES];
        fp_model_snake(snake, v->member);
        only = json_object_get(members, r->snake_out ? snake : v->member);
    }
    json_t *out = json_object();
    json_object_set(out, v->tag, only ? only : members);
    json_decref(members);
    return out;
}

json_t *fp_model_choice_read(struct fp_model_reader *r, const struct fp_model_choice *c,
                             const json_t *v, const char *pointer, const char *const *skip)
{
    if (!json_is_object(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be an object");
        return NULL;
    }
    const char *key = NULL;
    json_t *members;
    const struct fp_model_variant *variant = tag_of(c, v, &key);
    if (variant) {
        members =
            read_tagged(r, variant, json_object_get(v, key), fp_model_path_push(r, pointer, key));
        return members ? shape(r, c, variant, members) : NULL;
    }
    const json_t *type = fp_model_key_find(v, c->key, &key);
    const char *at = fp_model_path_push(r, pointer, type ? key : c->key);
    if (!type) {
        fp_problem_add(r->ps, at, FP_P_REQUIRED, "is required");
        return NULL;
    }
    if (!json_is_string(type)) {
        fp_problem_add(r->ps, at, FP_P_INVALID_TYPE, "must be a string");
        return NULL;
    }
    variant = by_type(c, fp_json_str(type));
    if (!variant) {
        bad_type(r, c, at);
        return NULL;
    }
    const char *skipped[8] = {c->key};
    for (size_t i = 0; skip && skip[i] && i + 2 < FP_M_N(skipped); i++)
        skipped[i + 1] = skip[i];
    r->tagged += r->tagged_out; /* writing the tagged shape uses its names */
    members = fp_model_members_read(r, variant->schema, v, pointer, skipped);
    r->tagged -= r->tagged_out;
    return members ? shape(r, c, variant, members) : NULL;
}

/* ---- typed configurations ---- */

struct fp_str fp_model_typed_name(const json_t *v)
{
    const json_t *url = json_object_get(v, "@type");
    if (!url)
        url = fp_model_key_find(v, "type_url", NULL);
    struct fp_str s = fp_json_str(url);
    for (size_t i = s.len; i > 0; i--)
        if (s.data[i - 1] == '/')
            return fp_str_n(s.data + i, s.len - i);
    return FP_STR_NULL;
}

bool fp_model_typed_is(const json_t *v)
{
    return json_is_object(v) &&
           (json_object_get(v, "@type") || fp_model_key_find(v, "type_url", NULL));
}

json_t *fp_model_typed_read(struct fp_model_reader *r, const json_t *v, const char *pointer)
{
    if (!json_is_object(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be an object");
        return NULL;
    }
    if (!fp_model_typed_is(v)) {
        fp_problem_add(r->ps, fp_model_path_push(r, pointer, "@type"), FP_P_REQUIRED,
                       "a typed configuration has @type, or type_url and value");
        return NULL;
    }
    struct fp_str name = fp_model_typed_name(v);
    bool bytes = !json_object_get(v, "@type");
    r->opaque |= bytes;
    if (!r->pool || r->trusted)
        return json_incref((json_t *)v);
    if (bytes && name.data && !fp_pb_pool_message(r->pool, name))
        fp_model_warn(r, "unchecked_config", pointer, "%.*s is not in the descriptor set",
                      FP_STR_ARG(name));
    struct fp_buf scratch = {0};
    int rc = fp_pb_from_json(r->pool, fp_pb_pool_message(r->pool, FP_STR(FP_M_ANY)), v, pointer,
                             r->ps, &scratch);
    fp_buf_fini(&scratch);
    return rc == 0 ? json_incref((json_t *)v) : NULL;
}
