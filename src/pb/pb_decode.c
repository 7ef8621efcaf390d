/*
 * Protobuf to canonical JSON: lowerCamelCase, defaults left out.  The bytes are not trusted: depth,
 * lengths, UTF-8 and the number of values are bounded.  Runs in API workers, the watcher and ctl.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "codec/codec_hash.h"
#include "pb/pb_decode_int.h"

#define MALFORMED  "malformed bytes"
#define MAX_MERGED 8

json_t *fp_pb_dec_fail(struct fp_pb_dec *d, const char *why)
{
    if (!d->why)
        d->why = why;
    return NULL;
}

bool fp_pb_dec_count(struct fp_pb_dec *d)
{
    if (++d->nodes <= FP_PB_MAX_NODES)
        return true;
    fp_pb_dec_fail(d, "too many elements");
    return false;
}

json_t *fp_pb_dec_string(struct fp_pb_dec *d, struct fp_str s)
{
    json_t *v = json_stringn(s.data ? s.data : "", s.len);
    return v ? v : fp_pb_dec_fail(d, "a string is not UTF-8");
}

json_t *fp_pb_dec_base64(struct fp_pb_dec *d, struct fp_str s)
{
    struct fp_buf b = {0};
    fp_base64_encode(&b, s.data, s.len);
    json_t *v = fp_pb_dec_string(d, fp_buf_str(&b));
    fp_buf_fini(&b);
    return v;
}

static json_t *of_double(double v)
{
    if (isnan(v))
        return json_string("NaN");
    return isinf(v) ? json_string(v > 0 ? "Infinity" : "-Infinity") : json_real(v);
}

/* The shortest decimal that is this float: 0.1, not 0.10000000149011612. */
static json_t *of_float(uint32_t bits)
{
    char text[32];
    float f;
    memcpy(&f, &bits, sizeof f);
    if (!isfinite(f))
        return of_double((double)f);
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        if (strtof(text, NULL) == f)
            break;
    }
    return json_real(strtod(text, NULL));
}

static json_t *of_enum(struct fp_pb_dec *d, const struct fp_pb_enum *e, int32_t number)
{
    if (e->null_value)
        return json_null();
    for (uint32_t i = 0; i < e->n; i++) {
        const struct fp_pb_enum_value *v = &d->pool->values[e->first + i];
        if (v->number == number)
            return json_stringn(v->name, v->name_len);
    }
    return json_integer(number);
}

static json_t *of_long(const char *fmt, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, fmt, (unsigned long long)v);
    return json_string(text);
}

json_t *fp_pb_dec_scalar(struct fp_pb_dec *d, const struct fp_pb_field *f, uint64_t value,
                         struct fp_str bytes)
{
    double real;
    if (!fp_pb_dec_count(d))
        return NULL;
    switch (f->type) {
    case FP_PB_STRING:
        return fp_pb_dec_string(d, bytes);
    case FP_PB_BYTES:
        return fp_pb_dec_base64(d, bytes);
    case FP_PB_BOOL:
        return json_boolean(value != 0);
    case FP_PB_ENUM:
        return of_enum(d, &d->pool->enums[f->ref], (int32_t)value);
    case FP_PB_DOUBLE:
        memcpy(&real, &value, sizeof real);
        return of_double(real);
    case FP_PB_FLOAT:
        return of_float((uint32_t)value);
    case FP_PB_INT32:
    case FP_PB_SFIXED32:
        return json_integer((int32_t)value);
    case FP_PB_UINT32:
    case FP_PB_FIXED32:
        return json_integer((uint32_t)value);
    case FP_PB_SINT32:
        return json_integer((int32_t)fp_pb_wire_unzigzag((uint32_t)value));
    case FP_PB_SINT64:
        return of_long("%lld", (uint64_t)fp_pb_wire_unzigzag(value));
    case FP_PB_INT64:
    case FP_PB_SFIXED64:
        return of_long("%lld", value);
    default:
        return of_long("%llu", value);
    }
}

/* Values that are left out of JSON unless the field has presence.  -0.0 is not a default. */
static bool is_default(const struct fp_pb_field *f, const struct fp_pb_item *it)
{
    if (it->wire == FP_PB_WIRE_LEN)
        return it->bytes.len == 0;
    bool narrow = f->type == FP_PB_INT32 || f->type == FP_PB_UINT32 || f->type == FP_PB_SINT32 ||
                  f->type == FP_PB_ENUM;
    return narrow ? (uint32_t)it->value == 0 : it->value == 0;
}

static json_t *single(struct fp_pb_dec *d, const struct fp_pb_field *f, const struct fp_pb_item *it,
                      unsigned depth)
{
    if (f->type == FP_PB_MESSAGE)
        return fp_pb_dec_message(d, fp_pb_field_message(d->pool, f), it->bytes, depth + 1);
    return fp_pb_dec_scalar(d, f, it->value, it->bytes);
}

/* Takes v over; false when it is NULL. */
static bool put(json_t *object, const struct fp_pb_field *f, json_t *v)
{
    char buf[FP_PB_NAME_MAX];
    struct fp_str name = fp_pb_field_json_name(f, buf);
    return v && json_object_setn_new_nocheck(object, name.data, name.len, v) == 0;
}

static json_t *get(json_t *object, const struct fp_pb_field *f)
{
    char buf[FP_PB_NAME_MAX];
    struct fp_str name = fp_pb_field_json_name(f, buf);
    return json_object_getn(object, name.data, name.len);
}

static void drop(json_t *object, const struct fp_pb_field *f)
{
    char buf[FP_PB_NAME_MAX];
    struct fp_str name = fp_pb_field_json_name(f, buf);
    json_object_deln(object, name.data, name.len);
}

static bool packed(struct fp_pb_dec *d, const struct fp_pb_field *f, struct fp_str bytes,
                   json_t *array)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    uint8_t wire = fp_pb_type_wire(f->type);
    while (w.p < w.end) {
        uint64_t value;
        bool good = wire == FP_PB_WIRE_VARINT
                        ? fp_pb_wire_varint(&w, &value)
                        : fp_pb_wire_fixed(&w, wire == FP_PB_WIRE_I64 ? 8 : 4, &value);
        if (!good)
            return fp_pb_dec_fail(d, MALFORMED) != NULL;
        json_t *v = fp_pb_dec_scalar(d, f, value, FP_STR_NULL);
        if (!v || json_array_append_new(array, v) != 0)
            return false;
    }
    return true;
}

static bool map_key(struct fp_pb_dec *d, const struct fp_pb_field *f, const struct fp_pb_item *it,
                    struct fp_buf *out)
{
    json_t *k = fp_pb_dec_scalar(d, f, it->value, it->bytes);
    if (!k)
        return false;
    if (json_is_string(k))
        fp_buf_append(out, json_string_value(k), json_string_length(k));
    else if (json_is_integer(k))
        fp_buf_printf(out, "%lld", (long long)json_integer_value(k));
    else
        fp_buf_append_c(out, json_is_true(k) ? "true" : "false");
    json_decref(k);
    return true;
}

static bool map_entry(struct fp_pb_dec *d, const struct fp_pb_field *f, struct fp_str bytes,
                      json_t *object, unsigned depth)
{
    const struct fp_pb_message *entry = fp_pb_field_message(d->pool, f);
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it, key = {0}, value = {0};
    struct fp_buf name = {0};
    int r;
    while ((r = fp_pb_wire_next(&w, &it)) > 0) {
        if (it.number > 2 || it.wire != fp_pb_type_wire(entry->fields[it.number - 1].type))
            d->unknown = true;
        else if (it.number == 1)
            key = it;
        else
            value = it;
    }
    if (r < 0)
        return fp_pb_dec_fail(d, MALFORMED) != NULL;
    json_t *v = single(d, &entry->fields[1], &value, depth);
    bool good = v && map_key(d, &entry->fields[0], &key, &name) &&
                json_object_setn_new_nocheck(object, name.len ? name.data : "", name.len,
                                             json_incref(v)) == 0;
    json_decref(v);
    fp_buf_fini(&name);
    return good;
}

static bool repeated(struct fp_pb_dec *d, const struct fp_pb_field *f, const struct fp_pb_item *it,
                     json_t *object, unsigned depth)
{
    json_t *list = get(object, f);
    bool is_packed = it->wire == FP_PB_WIRE_LEN && fp_pb_type_is_packable(f->type);
    if (!is_packed && it->wire != fp_pb_type_wire(f->type)) {
        d->unknown = true;
        return true;
    }
    if (is_packed && it->bytes.len == 0)
        return true;
    if (!list) {
        list = f->flags & FP_PB_MAP ? json_object() : json_array();
        if (!put(object, f, list))
            return false;
    }
    if (f->flags & FP_PB_MAP)
        return map_entry(d, f, it->bytes, list, depth);
    if (is_packed)
        return packed(d, f, it->bytes, list);
    json_t *v = single(d, f, it, depth);
    return v && json_array_append_new(list, v) == 0;
}

/* A message field given more than once is one message: that of all the bytes together. */
static json_t *merged(struct fp_pb_dec *d, const struct fp_pb_field *f, struct fp_str all,
                      unsigned depth)
{
    struct fp_pb_wire w = fp_pb_wire_of(all);
    struct fp_pb_item it;
    struct fp_buf b = {0};
    while (fp_pb_wire_next(&w, &it) > 0)
        if (it.number == f->number && it.wire == FP_PB_WIRE_LEN)
            fp_buf_append(&b, it.bytes.data, it.bytes.len);
    it.bytes = fp_buf_str(&b);
    json_t *v = single(d, f, &it, depth);
    fp_buf_fini(&b);
    return v;
}

struct object {
    const struct fp_pb_message *m;
    struct fp_str bytes;
    json_t *json;
    const struct fp_pb_field *merged[MAX_MERGED]; /* already complete */
    size_t merged_n;
    unsigned depth;
};

static bool again(struct fp_pb_dec *d, struct object *o, const struct fp_pb_field *f)
{
    for (size_t i = 0; i < o->merged_n; i++)
        if (o->merged[i] == f)
            return true;
    if (o->merged_n == MAX_MERGED)
        return fp_pb_dec_fail(d, "too many fields given twice") != NULL;
    o->merged[o->merged_n++] = f;
    return put(o->json, f, merged(d, f, o->bytes, o->depth));
}

static bool field(struct fp_pb_dec *d, struct object *o, const struct fp_pb_field *f,
                  const struct fp_pb_item *it)
{
    if (f->flags & FP_PB_REPEATED)
        return repeated(d, f, it, o->json, o->depth);
    if (it->wire != fp_pb_type_wire(f->type)) {
        d->unknown = true;
        return true;
    }
    if (f->oneof) /* the last member wins */
        for (size_t i = 0; i < o->m->fields_n; i++)
            if (o->m->fields[i].oneof == f->oneof && &o->m->fields[i] != f)
                drop(o->json, &o->m->fields[i]);
    if (f->type == FP_PB_MESSAGE && get(o->json, f))
        return again(d, o, f);
    if (!(f->flags & FP_PB_PRESENCE) && is_default(f, it)) {
        drop(o->json, f);
        return true;
    }
    return put(o->json, f, single(d, f, it, o->depth));
}

static json_t *plain(struct fp_pb_dec *d, const struct fp_pb_message *m, struct fp_str bytes,
                     unsigned depth)
{
    struct object o = {.m = m, .bytes = bytes, .json = json_object(), .depth = depth};
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it;
    int r;
    while ((r = fp_pb_wire_next(&w, &it)) > 0) {
        const struct fp_pb_field *f = fp_pb_field_by_number(m, it.number);
        if (!f)
            d->unknown = true;
        else if (!field(d, &o, f, &it))
            break;
    }
    if (r == 0)
        return o.json;
    json_decref(o.json);
    return fp_pb_dec_fail(d, MALFORMED);
}

json_t *fp_pb_dec_message(struct fp_pb_dec *d, const struct fp_pb_message *m, struct fp_str bytes,
                          unsigned depth)
{
    if (depth > FP_PB_MAX_DEPTH)
        return fp_pb_dec_fail(d, "nested too deep");
    if (!fp_pb_dec_count(d))
        return NULL;
    return m->wkt == FP_PB_PLAIN ? plain(d, m, bytes, depth)
                                 : fp_pb_dec_well_known(d, m, bytes, depth);
}

json_t *fp_pb_to_json(const struct fp_pb_pool *pool, const struct fp_pb_message *type,
                      struct fp_str bytes, struct fp_problems *ps)
{
    struct fp_pb_dec d = {.pool = pool};
    json_t *v = bytes.len <= FP_PB_MAX_BYTES ? fp_pb_dec_message(&d, type, bytes, 1)
                                             : fp_pb_dec_fail(&d, "larger than a resource may be");
    if (!v)
        fp_problem_add(ps, "", FP_P_INVALID_VALUE, "not a %.*s: %s", FP_STR_ARG(type->full_name),
                       d.why);
    return v;
}
