/*
 * The table-driven reader: an object along its field table.  Finds both spellings, refuses unknown
 * keys with a hint, checks types and ranges, collects every problem with the pointer as sent, and
 * builds the canonical object.  Runs in API workers and the watcher; never does I/O.
 */
#include <math.h>
#include <stdio.h>
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "core/core_map.h"
#include "model/model_int.h"

#define ENVOY_SECONDS INT64_C(9223372035) /* what it can hold in nanoseconds */

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static const struct fp_model_field *field_of(const struct fp_model_reader *r,
                                             const struct fp_model_schema *s, const char *key)
{
    for (size_t i = 0; i < s->fields_n; i++)
        if (strcmp(s->fields[i].name, key) == 0)
            return &s->fields[i];
    for (size_t i = 0; i < s->fields_n; i++) { /* the other spelling, another name */
        const struct fp_model_field *f = &s->fields[i];
        if (fp_model_key_is(f->name, key) || (f->alias && fp_model_key_is(f->alias, key)) ||
            (r->tagged && f->stored && strcmp(f->stored, key) == 0))
            return f;
    }
    return NULL;
}

static const struct fp_model_field *field_named(const struct fp_model_schema *s, const char *name)
{
    for (size_t i = 0; i < s->fields_n; i++)
        if (strcmp(s->fields[i].name, name) == 0)
            return &s->fields[i];
    FP_UNREACHABLE();
}

static const char *out_key(const struct fp_model_reader *r, const struct fp_model_field *f,
                           char buf[FP_M_NAME_BYTES])
{
    if (r->tagged_out && r->tagged && f->stored)
        return f->stored;
    if (!r->snake_out)
        return f->name;
    fp_model_snake(buf, f->name);
    return buf;
}

/* ---- scalar values ---- */

static size_t code_points(struct fp_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.data[i] & 0xC0) != 0x80;
    return n;
}

static json_t *read_string(struct fp_model_reader *r, const struct fp_model_field *f,
                           const json_t *v, const char *pointer)
{
    if (!json_is_string(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be a string");
        return NULL;
    }
    struct fp_str s = fp_json_str(v);
    if (f->flags & FP_M_TRIM)
        s = fp_str_trim(s);
    size_t n = code_points(s), before = r->ps->total;
    if (n < f->min)
        fp_problem_add(r->ps, pointer, FP_P_TOO_SHORT,
                       n == 0 && f->min == 1 ? "must not be empty"
                                             : "must have at least %llu characters",
                       (unsigned long long)f->min);
    else if (f->max && n > f->max)
        fp_problem_add(r->ps, pointer, FP_P_TOO_LONG, "must have at most %llu characters",
                       (unsigned long long)f->max);
    else if (f->text)
        f->text(r, pointer, s);
    if (r->ps->total != before)
        return NULL;
    if (f->ref)
        fp_model_note(r, (enum fp_kind)(f->ref - 1), s, pointer);
    return json_stringn(s.data, s.len);
}

static void out_of_range(struct fp_model_reader *r, const char *pointer, uint64_t min, uint64_t max)
{
    fp_problem_add(r->ps, pointer, FP_P_OUT_OF_RANGE, "must be between %llu and %llu",
                   (unsigned long long)min, (unsigned long long)max);
}

static json_t *read_uint(struct fp_model_reader *r, const struct fp_model_field *f, const json_t *v,
                         const char *pointer)
{
    uint64_t max = f->max ? f->max : FP_M_MAX_UINT;
    double d = json_is_real(v) ? json_real_value(v) : 0;
    if (!json_is_number(v) || floor(d) != d) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be an integer");
        return NULL;
    }
    if (json_is_real(v) && (d < 0 || d > (double)max)) {
        out_of_range(r, pointer, f->min, max);
        return NULL;
    }
    json_int_t i = json_is_real(v) ? (json_int_t)d : json_integer_value(v);
    if (i < 0 || (uint64_t)i < f->min || (uint64_t)i > max) {
        out_of_range(r, pointer, f->min, max);
        return NULL;
    }
    if ((f->max == FP_M_MAX_SECONDS && i > ENVOY_SECONDS) ||
        (f->max == FP_M_MAX_MS && i / 1000 > ENVOY_SECONDS))
        fp_model_warn(r, "unchecked_config", pointer, "Envoy refuses durations above %lld seconds",
                      (long long)ENVOY_SECONDS);
    return json_integer(i);
}

static json_t *read_number(struct fp_model_reader *r, const struct fp_model_field *f,
                           const json_t *v, const char *pointer)
{
    if (!json_is_number(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be a number");
        return NULL;
    }
    double d = json_number_value(v);
    if (!(d >= (double)f->min && d <= (double)(f->max ? f->max : FP_M_MAX_UINT))) {
        out_of_range(r, pointer, f->min, f->max ? f->max : FP_M_MAX_UINT);
        return NULL;
    }
    return floor(d) == d ? json_integer((json_int_t)d) : json_real(d); /* 20.0 and 20 are one */
}

static bool enum_like(const char *value, struct fp_str s)
{
    size_t i = 0;
    for (; *value; value++) {
        if (*value == '_')
            continue;
        while (i < s.len && s.data[i] == '_')
            i++;
        if (i == s.len)
            return false;
        char a = *value, b = s.data[i++];
        a = is_upper(a) ? (char)(a - 'A' + 'a') : a;
        b = is_upper(b) ? (char)(b - 'A' + 'a') : b;
        if (a != b)
            return false;
    }
    return i == s.len;
}

static json_t *read_enum(struct fp_model_reader *r, const struct fp_model_field *f, const json_t *v,
                         const char *pointer)
{
    if (!json_is_string(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be a string");
        return NULL;
    }
    struct fp_str s = fp_json_str(v);
    const char *list = "";
    for (const char *const *e = f->values; *e; e++) {
        if (fp_str_eq_c(s, *e) || ((f->flags & FP_M_ANY_CASE) && enum_like(*e, s)))
            return json_string(*e);
        list = fp_arena_printf(r->arena, "%s%s%s", list, *list ? ", " : "", *e);
    }
    fp_problem_add(r->ps, pointer, FP_P_INVALID_VALUE, "must be one of %s", list);
    return NULL;
}

static json_t *read_one(struct fp_model_reader *r, const struct fp_model_field *f, const json_t *v,
                        const char *pointer)
{
    switch (f->type) {
    case FP_M_STRING:
        return read_string(r, f, v, pointer);
    case FP_M_UINT:
        return read_uint(r, f, v, pointer);
    case FP_M_NUMBER:
        return read_number(r, f, v, pointer);
    case FP_M_ENUM:
        return read_enum(r, f, v, pointer);
    case FP_M_OBJECT:
        return fp_model_object_read(r, f->object, v, pointer);
    case FP_M_READ:
        return f->read(r, v, pointer);
    case FP_M_BOOL:
        break;
    }
    if (json_is_boolean(v))
        return json_boolean(json_is_true(v));
    fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be true or false");
    return NULL;
}

/* ---- lists ---- */

static void check_unique(struct fp_model_reader *r, const json_t *list, const char *pointer,
                         bool any_case)
{
    struct fp_map seen = {0};
    size_t i;
    json_t *m;
    json_array_foreach ((json_t *)list, i, m) {
        struct fp_buf b = {0};
        fp_json_write(&b, m, true);
        for (size_t k = 0; any_case && k < b.len; k++)
            b.data[k] = is_upper(b.data[k]) ? (char)(b.data[k] - 'A' + 'a') : b.data[k];
        struct fp_str key = fp_arena_str(r->arena, fp_buf_str(&b));
        fp_buf_fini(&b);
        if (fp_map_set(&seen, key, m))
            fp_problem_add(r->ps, fp_model_path_push_index(r, pointer, i), FP_P_DUPLICATE,
                           "is in the list twice");
    }
    fp_map_fini(&seen);
}

static json_t *read_list(struct fp_model_reader *r, const struct fp_model_field *f, const json_t *v,
                         const char *pointer, bool single)
{
    json_t *out = json_array();
    if (single) {
        json_t *one = read_one(r, f, v, pointer);
        if (one)
            json_array_append_new(out, one);
        return out;
    }
    if (!json_is_array(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be an array");
        json_decref(out);
        return NULL;
    }
    size_t n = json_array_size(v), i;
    if (n < f->min_items)
        fp_problem_add(r->ps, pointer, FP_P_TOO_FEW, "must have at least %zu item%s", f->min_items,
                       f->min_items == 1 ? "" : "s");
    if (f->max_items && n > f->max_items)
        fp_problem_add(r->ps, pointer, FP_P_TOO_MANY, "must have at most %zu items", f->max_items);
    json_t *m;
    json_array_foreach ((json_t *)v, i, m) {
        size_t mark = fp_model_path_mark(r);
        json_t *one = read_one(r, f, m, fp_model_path_push_index(r, pointer, i));
        json_array_append_new(out, one ? one : json_null()); /* keeps indices aligned */
        fp_model_path_rewind(r, mark);
    }
    if ((f->flags & FP_M_UNIQUE) && !r->trusted)
        check_unique(r, v, pointer, (f->flags & FP_M_ANY_CASE) != 0);
    return out;
}

json_t *fp_model_list_read(struct fp_model_reader *r, const json_t *v, const char *pointer,
                           json_t *(*item)(struct fp_model_reader *, const json_t *, const char *))
{
    struct fp_model_field f = {.type = FP_M_READ, .read = item};
    return read_list(r, &f, v, pointer, false);
}

/* ---- objects ---- */

static bool in_names(const char *const *names, const char *key)
{
    for (; names && *names; names++)
        if (fp_model_key_is(*names, key))
            return true;
    return false;
}

static void unknown(struct fp_model_reader *r, const struct fp_model_schema *s,
                    const char *const *skip, const char *pointer, const char *key)
{
    const char *known[FP_M_FIELDS_MAX + 16];
    size_t n = 0;
    if (r->ps->n == FP_PROBLEMS_MAX) { /* only counted: a hint would cost time for nobody */
        fp_problem_add(r->ps, pointer, FP_P_UNKNOWN_FIELD, "unknown field");
        return;
    }
    bool snake = strchr(key, '_') != NULL;
    for (size_t i = 0; i < s->fields_n; i++) {
        char buf[FP_M_NAME_BYTES];
        fp_model_snake(buf, s->fields[i].name);
        known[n++] = snake ? fp_arena_strdup(r->arena, buf) : s->fields[i].name;
    }
    for (; skip && *skip && n < FP_M_N(known); skip++)
        known[n++] = *skip;
    fp_problem_add_unknown(r->ps, pointer, fp_str_of(key), known, n);
}

/* Into o->out; a member that an earlier source gave must be the same. */
static void keep(struct fp_model_reader *r, struct fp_model_object *o,
                 const struct fp_model_field *f, json_t *v, const char *pointer)
{
    char buf[FP_M_NAME_BYTES];
    const char *k = out_key(r, f, buf);
    const json_t *earlier = json_object_get(o->out, k);
    if (earlier && !json_equal(earlier, v))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_VALUE,
                       "differs from the same member of config");
    if (earlier)
        json_decref(v);
    else
        json_object_set_new(o->out, k, v);
}

static void read_source(struct fp_model_reader *r, struct fp_model_object *o, size_t source,
                        const char *const *skip)
{
    const struct fp_model_schema *s = o->schema;
    const char *key;
    bool seen[FP_M_FIELDS_MAX] = {false};
    FP_ASSERT(s->fields_n <= FP_M_FIELDS_MAX);
    json_t *v;
    json_object_foreach ((json_t *)o->in[source], key, v) {
        if (in_names(skip, key))
            continue;
        size_t mark = fp_model_path_mark(r);
        const char *at = fp_model_path_push(r, o->pointer[source], key);
        const struct fp_model_field *f = field_of(r, s, key);
        size_t i = f ? (size_t)(f - s->fields) : 0;
        json_t *c = NULL;
        if (!f) {
            unknown(r, s, skip, at, key);
        } else if (seen[i]) {
            fp_problem_add(r->ps, at, FP_P_DUPLICATE, "%s is given twice", f->name);
        } else if (!json_is_null(v)) { /* null: an absent optional; if required, missing below */
            bool single = f->alias && fp_model_key_is(f->alias, key);
            o->key[source][i] = key;
            c = f->flags & FP_M_LIST ? read_list(r, f, v, at, single) : read_one(r, f, v, at);
        }
        seen[i] |= f != NULL;
        if (c)
            keep(r, o, f, c, at);
        fp_model_path_rewind(r, mark);
    }
}

static json_t *finish(struct fp_model_reader *r, struct fp_model_object *o)
{
    for (size_t i = 0; i < o->schema->fields_n; i++) {
        const struct fp_model_field *f = &o->schema->fields[i];
        if ((f->flags & FP_M_REQUIRED) && !o->key[0][i] && !o->key[1][i])
            fp_problem_add(r->ps, fp_model_object_at(r, o, f->name), FP_P_REQUIRED, "is required");
    }
    for (size_t i = 0; i < o->schema->rules_n && !r->trusted; i++)
        fp_model_object_rule(r, o, o->schema->rules[i].how, o->schema->rules[i].names);
    if (o->schema->check && !r->trusted)
        o->schema->check(r, o);
    return o->out;
}

json_t *fp_model_members_read(struct fp_model_reader *r, const struct fp_model_schema *s,
                              const json_t *v, const char *pointer, const char *const *skip)
{
    if (!json_is_object(v)) {
        fp_problem_add(r->ps, pointer, FP_P_INVALID_TYPE, "must be an object");
        return NULL;
    }
    struct fp_model_object o = {
        .schema = s, .in = {v}, .pointer = {pointer}, .in_n = 1, .out = json_object()};
    read_source(r, &o, 0, skip);
    return finish(r, &o);
}

json_t *fp_model_object_read(struct fp_model_reader *r, const struct fp_model_schema *s,
                             const json_t *v, const char *pointer)
{
    return fp_model_members_read(r, s, v, pointer, NULL);
}

json_t *fp_model_root_read(struct fp_model_reader *r, const struct fp_model_schema *s,
                           const json_t *body, const json_t *config, const char *config_pointer,
                           const char *const *skip)
{
    struct fp_model_object o = {.schema = s, .out = json_object()};
    if (config) {
        o.in[o.in_n] = config;
        o.pointer[o.in_n++] = config_pointer;
        read_source(r, &o, 0, NULL);
    }
    o.in[o.in_n] = body;
    o.pointer[o.in_n++] = "";
    read_source(r, &o, o.in_n - 1, skip);
    return finish(r, &o);
}

/* ---- what check functions ask ---- */

static const char *sent_key(const struct fp_model_object *o, const char *name, size_t *source)
{
    size_t i = (size_t)(field_named(o->schema, name) - o->schema->fields);
    for (*source = 0; *source < o->in_n; (*source)++)
        if (o->key[*source][i])
            return o->key[*source][i];
    *source = o->in_n - 1;
    return NULL;
}

bool fp_model_object_has(const struct fp_model_object *o, const char *name)
{
    size_t source;
    return sent_key(o, name, &source) != NULL;
}

const json_t *fp_model_object_get(const struct fp_model_reader *r, const struct fp_model_object *o,
                                  const char *name)
{
    char buf[FP_M_NAME_BYTES];
    return json_object_get(o->out, out_key(r, field_named(o->schema, name), buf));
}

const json_t *fp_model_object_sent(const struct fp_model_object *o, const char *name)
{
    size_t source;
    const char *key = sent_key(o, name, &source);
    return key ? json_object_get(o->in[source], key) : NULL;
}

const char *fp_model_object_at(struct fp_model_reader *r, const struct fp_model_object *o,
                               const char *name)
{
    size_t source;
    const char *key = sent_key(o, name, &source);
    return fp_model_path_push(r, o->pointer[source], key ? key : name);
}

static size_t sent_n(const struct fp_model_object *o, const char *const *names)
{
    size_t n = 0;
    for (; *names; names++)
        n += fp_model_object_has(o, *names);
    return n;
}

static void only_one(struct fp_model_reader *r, const struct fp_model_object *o,
                     const char *const *names)
{
    const char *first = NULL;
    for (; *names; names++) {
        if (!fp_model_object_has(o, *names))
            continue;
        if (first)
            fp_problem_add(r->ps, fp_model_object_at(r, o, *names), FP_P_MUTUALLY_EXCLUSIVE,
                           "cannot stand beside %s", first);
        else
            first = *names;
    }
}

static void missing(struct fp_model_reader *r, const struct fp_model_object *o,
                    const char *const *names)
{
    const char *list = "";
    for (const char *const *n = names; *n; n++)
        list = fp_arena_printf(r->arena, "%s%s%s", list, *list ? ", " : "", *n);
    fp_problem_add(r->ps, fp_model_object_at(r, o, names[0]), FP_P_REQUIRED,
                   "one of %s is required", list);
}

/* names: what is required, the other field, its value */
static void unless(struct fp_model_reader *r, const struct fp_model_object *o,
                   const char *const *names)
{
    struct fp_str other = fp_json_str(fp_model_object_get(r, o, names[1]));
    bool refused = fp_model_object_has(o, names[1]) && !other.data;
    if (!refused && !fp_model_object_has(o, names[0]) && !fp_str_eq_c(other, names[2]))
        fp_problem_add(r->ps, fp_model_object_at(r, o, names[0]), FP_P_REQUIRED,
                       "is required unless %s is %s", names[1], names[2]);
}

void fp_model_object_rule(struct fp_model_reader *r, const struct fp_model_object *o,
                          enum fp_model_together how, const char *const *names)
{
    if (how == FP_M_UNLESS)
        unless(r, o, names);
    else if (how != FP_M_AT_MOST_ONE && !sent_n(o, names))
        missing(r, o, names);
    else if (how != FP_M_AT_LEAST_ONE)
        only_one(r, o, names);
}
