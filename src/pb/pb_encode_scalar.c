/*
 * JSON to protobuf: numbers, strings, bytes, enums, map keys.  What canonical JSON takes is taken
 * (64-bit numbers as text, integral 1e3, base64url), everything else is a problem with a code of
 * contract §5.8.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include "codec/codec_hash.h"
#include "pb/pb_encode_int.h"
#include "pb/pb_wire_int.h"

struct range {
    int64_t min;
    uint64_t max;
};

static struct range range_of(uint8_t type)
{
    switch (type) {
    case FP_PB_INT32:
    case FP_PB_SINT32:
    case FP_PB_SFIXED32:
    case FP_PB_ENUM:
        return (struct range){INT32_MIN, INT32_MAX};
    case FP_PB_UINT32:
    case FP_PB_FIXED32:
        return (struct range){0, UINT32_MAX};
    case FP_PB_UINT64:
    case FP_PB_FIXED64:
        return (struct range){0, UINT64_MAX};
    default:
        return (struct range){INT64_MIN, INT64_MAX};
    }
}

/* A JSON number's grammar, less strict about leading zeros; strtod alone takes "0x1p3" and "nan" */
static bool text_to_double(struct fp_str s, double *out)
{
    char buf[64], *end;
    if (s.len == 0 || s.len >= sizeof buf)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("0123456789+-.eE", s.data[i]) || !s.data[i])
            return false;
    memcpy(buf, s.data, s.len);
    buf[s.len] = 0;
    *out = strtod(buf, &end);
    return *end == 0;
}

enum number { NOT_A_NUMBER, NEGATIVE, NOT_NEGATIVE, TOO_LARGE, INEXACT };

static enum number double_to_integer(double d, uint64_t *bits)
{
    if (d != floor(d))
        return NOT_A_NUMBER;
    if (d < -9223372036854775808.0 || d >= 18446744073709551616.0)
        return TOO_LARGE;
    *bits = d < 0 ? (uint64_t)(int64_t)d : (uint64_t)d;
    return d < 0 ? NEGATIVE : NOT_NEGATIVE;
}

/* Any JSON that stands for an integer; *bits is its two's complement. */
static enum number to_integer(const json_t *v, uint64_t *bits)
{
    if (json_is_integer(v)) {
        *bits = (uint64_t)json_integer_value(v);
        return json_integer_value(v) < 0 ? NEGATIVE : NOT_NEGATIVE;
    }
    if (json_is_real(v)) {
        enum number n = double_to_integer(json_real_value(v), bits);
        /* From 2^63 on the digits that were sent may be lost (codec_json.h). */
        bool exact = n == NEGATIVE ? (int64_t)*bits > INT64_MIN : *bits <= INT64_MAX;
        return (n == NEGATIVE || n == NOT_NEGATIVE) && !exact ? INEXACT : n;
    }
    if (!json_is_string(v))
        return NOT_A_NUMBER;
    struct fp_str s = fp_str_n(json_string_value(v), json_string_length(v));
    int64_t i;
    double d;
    if (fp_str_to_u64(s, bits))
        return NOT_NEGATIVE;
    if (fp_str_to_i64(s, &i)) {
        *bits = (uint64_t)i;
        return i < 0 ? NEGATIVE : NOT_NEGATIVE;
    }
    return text_to_double(s, &d) ? double_to_integer(d, bits) : NOT_A_NUMBER;
}

static bool in_range(enum number n, uint64_t bits, struct range r)
{
    if (n == NEGATIVE)
        return (int64_t)bits >= r.min;
    return n == NOT_NEGATIVE && bits <= r.max;
}

static bool parse_integer(struct fp_pb_enc *e, uint8_t type, const json_t *v,
                          const struct fp_pb_at *at, uint64_t *bits)
{
    struct range r = range_of(type);
    enum number n = to_integer(v, bits);
    if (in_range(n, *bits, r))
        return true;
    if (n == NOT_A_NUMBER)
        fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE, "must be an integer");
    else if (n == INEXACT)
        fp_pb_enc_problem(e, at, FP_P_OUT_OF_RANGE,
                          "a number of this size must be sent as a string");
    else
        fp_pb_enc_problem(e, at, FP_P_OUT_OF_RANGE, "must be between %lld and %llu",
                          (long long)r.min, (unsigned long long)r.max);
    return false;
}

static bool parse_double(struct fp_pb_enc *e, const json_t *v, const struct fp_pb_at *at,
                         double *out)
{
    if (json_is_number(v)) {
        *out = json_number_value(v);
        return true;
    }
    struct fp_str s =
        json_is_string(v) ? fp_str_n(json_string_value(v), json_string_length(v)) : FP_STR_NULL;
    if (fp_str_eq_c(s, "NaN"))
        *out = NAN;
    else if (fp_str_eq_c(s, "Infinity"))
        *out = INFINITY;
    else if (fp_str_eq_c(s, "-Infinity"))
        *out = -INFINITY;
    else if (!text_to_double(s, out)) {
        fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE, "must be a number");
        return false;
    } else if (isinf(*out)) {
        fp_pb_enc_problem(e, at, FP_P_OUT_OF_RANGE, "number too large");
        return false;
    }
    return true;
}

static bool parse_float(struct fp_pb_enc *e, const json_t *v, const struct fp_pb_at *at,
                        uint64_t *bits)
{
    double d;
    uint32_t image;
    if (!parse_double(e, v, at, &d))
        return false;
    if (isfinite(d) && fabs(d) > (double)FLT_MAX) {
        fp_pb_enc_problem(e, at, FP_P_OUT_OF_RANGE, "number too large");
        return false;
    }
    float f = (float)d;
    memcpy(&image, &f, sizeof image);
    *bits = image;
    return true;
}

static const struct fp_pb_enum_value *value_by_name(const struct fp_pb_enc *e,
                                                    const struct fp_pb_enum *en, struct fp_str s)
{
    for (uint32_t i = 0; i < en->n; i++) {
        const struct fp_pb_enum_value *v = &e->pool->values[en->first + i];
        if (fp_str_eq(fp_str_n(v->name, v->name_len), s))
            return v;
    }
    return NULL;
}

static void unknown_value(struct fp_pb_enc *e, const struct fp_pb_enum *en, struct fp_str s,
                          const struct fp_pb_at *at)
{
    const struct fp_pb_enum_value *best = NULL;
    unsigned best_distance = 4; /* as the hint for fields: farther is no hint */
    for (uint32_t i = 0; i < en->n && s.len < 64; i++) {
        const struct fp_pb_enum_value *v = &e->pool->values[en->first + i];
        unsigned d = fp_str_distance(fp_str_n(v->name, v->name_len), s, best_distance - 1);
        if (d < best_distance) {
            best = v;
            best_distance = d;
        }
    }
    if (best)
        fp_pb_enc_problem(e, at, FP_P_INVALID_VALUE, "not a value of %.*s; did you mean %.*s?",
                          FP_STR_ARG(en->full_name), best->name_len, best->name);
    else
        fp_pb_enc_problem(e, at, FP_P_INVALID_VALUE, "not a value of %.*s",
                          FP_STR_ARG(en->full_name));
}

static bool parse_enum(struct fp_pb_enc *e, const struct fp_pb_field *f, const json_t *v,
                       const struct fp_pb_at *at, uint64_t *bits)
{
    const struct fp_pb_enum *en = &e->pool->enums[f->ref];
    *bits = 0;
    if (json_is_null(v) && en->null_value)
        return true;
    if (json_is_string(v)) {
        struct fp_str s = fp_str_n(json_string_value(v), json_string_length(v));
        const struct fp_pb_enum_value *ev = value_by_name(e, en, s);
        if (!ev) {
            unknown_value(e, en, s, at);
            return false;
        }
        *bits = (uint64_t)(int64_t)ev->number;
        return true;
    }
    if (!json_is_number(v)) {
        fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE, "must be the name of a value of %.*s",
                          FP_STR_ARG(en->full_name));
        return false;
    }
    if (!parse_integer(e, f->type, v, at, bits))
        return false;
    for (uint32_t i = 0; i < en->n; i++)
        if ((uint64_t)(int64_t)e->pool->values[en->first + i].number == *bits)
            return true;
    if (!en->closed)
        return true; /* an open enum: a newer Envoy may know it */
    fp_pb_enc_problem(e, at, FP_P_INVALID_VALUE, "not a value of %.*s", FP_STR_ARG(en->full_name));
    return false;
}

static bool parse_text(struct fp_pb_enc *e, uint8_t type, const json_t *v,
                       const struct fp_pb_at *at, struct fp_str *out)
{
    if (!json_is_string(v)) {
        fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE,
                          type == FP_PB_BYTES ? "must be a base64 string" : "must be a string");
        return false;
    }
    *out = fp_str_n(json_string_value(v), json_string_length(v));
    if (type == FP_PB_BYTES) {
        fp_buf_clear(&e->scratch);
        if (!fp_base64_decode(&e->scratch, *out)) {
            fp_pb_enc_problem(e, at, FP_P_INVALID_FORMAT, "not base64");
            return false;
        }
        *out = fp_buf_str(&e->scratch);
    } else if (memchr(out->data, 0, out->len)) {
        fp_pb_enc_problem(e, at, FP_P_INVALID_VALUE, "must not contain a NUL character");
        return false;
    }
    return true;
}

bool fp_pb_enc_scalar_parse(struct fp_pb_enc *e, const struct fp_pb_field *f, const json_t *v,
                            const struct fp_pb_at *at, struct fp_pb_scalar *out)
{
    double d;
    *out = (struct fp_pb_scalar){0};
    switch (f->type) {
    case FP_PB_STRING:
    case FP_PB_BYTES:
        return parse_text(e, f->type, v, at, &out->bytes);
    case FP_PB_BOOL:
        if (!json_is_boolean(v)) {
            fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE, "must be true or false");
            return false;
        }
        out->bits = json_is_true(v);
        return true;
    case FP_PB_ENUM:
        return parse_enum(e, f, v, at, &out->bits);
    case FP_PB_FLOAT:
        return parse_float(e, v, at, &out->bits);
    case FP_PB_DOUBLE:
        if (!parse_double(e, v, at, &d))
            return false;
        memcpy(&out->bits, &d, sizeof d);
        return true;
    default:
        return parse_integer(e, f->type, v, at, &out->bits);
    }
}

void fp_pb_enc_scalar_write(struct fp_pb_enc *e, uint8_t type, const struct fp_pb_scalar *s)
{
    switch (type) {
    case FP_PB_STRING:
    case FP_PB_BYTES:
        fp_pb_enc_bytes(e, s->bytes.data, s->bytes.len);
        fp_pb_enc_varint(e, s->bytes.len);
        break;
    case FP_PB_DOUBLE:
    case FP_PB_FIXED64:
    case FP_PB_SFIXED64:
        fp_pb_enc_fixed(e, s->bits, 8);
        break;
    case FP_PB_FLOAT:
    case FP_PB_FIXED32:
    case FP_PB_SFIXED32:
        fp_pb_enc_fixed(e, s->bits, 4);
        break;
    case FP_PB_SINT32:
    case FP_PB_SINT64:
        fp_pb_enc_varint(e, fp_pb_wire_zigzag((int64_t)s->bits));
        break;
    default: /* negative int32 and enums take ten bytes, sign extended */
        fp_pb_enc_varint(e, s->bits);
    }
}

bool fp_pb_enc_key_parse(struct fp_pb_enc *e, const struct fp_pb_field *f, struct fp_str key,
                         const struct fp_pb_at *at, struct fp_pb_scalar *out, uint64_t *order)
{
    struct range r = range_of(f->type);
    enum number n = NOT_A_NUMBER;
    int64_t i;
    *out = (struct fp_pb_scalar){0};
    *order = 0;
    if (f->type == FP_PB_STRING) {
        out->bytes = key;
        return true;
    }
    if (f->type == FP_PB_BOOL) {
        out->bits = *order = fp_str_eq_c(key, "true");
        if (out->bits || fp_str_eq_c(key, "false"))
            return true;
        fp_pb_enc_problem(e, at, FP_P_INVALID_VALUE, "the key must be true or false");
        return false;
    }
    if (fp_str_to_u64(key, &out->bits))
        n = NOT_NEGATIVE;
    else if (fp_str_to_i64(key, &i)) {
        n = i < 0 ? NEGATIVE : NOT_NEGATIVE;
        out->bits = (uint64_t)i;
    }
    if (!in_range(n, out->bits, r)) {
        fp_pb_enc_problem(e, at, FP_P_INVALID_VALUE,
                          "the key must be an integer between %lld and %llu", (long long)r.min,
                          (unsigned long long)r.max);
        return false;
    }
    *order = r.min < 0 ? out->bits ^ (1ull << 63) : out->bits;
    return true;
}
