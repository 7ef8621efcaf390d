/*
 * Protobuf to JSON: the messages with a JSON form of their own.  An Any whose message the pool does
 * not know, or knows in part only, is shown as {"typeUrl", "value": base64}, so that reading back
 * what was written loses nothing.
 */
#include <math.h>
#include "pb/pb_decode_int.h"
#include "pb/pb_text_int.h"

#define MALFORMED "malformed bytes"

/* Last occurrences of fields 1 and 2; false when the bytes are malformed. */
static bool pair(struct fp_pb_dec *d, struct fp_str bytes, uint8_t wire1, uint8_t wire2,
                 struct fp_pb_item out[2])
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it;
    int r;
    out[0] = out[1] = (struct fp_pb_item){0};
    while ((r = fp_pb_wire_next(&w, &it)) > 0) {
        if ((it.number == 1 && it.wire == wire1) || (it.number == 2 && it.wire == wire2))
            out[it.number - 1] = it;
        else
            d->unknown = true;
    }
    if (r < 0)
        fp_pb_dec_fail(d, MALFORMED);
    return r == 0;
}

static json_t *value(struct fp_pb_dec *d, struct fp_str bytes, unsigned depth);

static json_t *list(struct fp_pb_dec *d, struct fp_str bytes, unsigned depth)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it;
    json_t *array = json_array(), *v = NULL;
    int r;
    while ((r = fp_pb_wire_next(&w, &it)) > 0) {
        if (it.number != 1 || it.wire != FP_PB_WIRE_LEN)
            d->unknown = true;
        else if (!(v = value(d, it.bytes, depth + 1)) || json_array_append_new(array, v) != 0)
            break;
    }
    if (r == 0)
        return array;
    json_decref(array);
    return fp_pb_dec_fail(d, MALFORMED);
}

static json_t *structure(struct fp_pb_dec *d, struct fp_str bytes, unsigned depth)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it, kv[2];
    json_t *object = json_object();
    int r;
    while ((r = fp_pb_wire_next(&w, &it)) > 0) {
        if (it.number != 1 || it.wire != FP_PB_WIRE_LEN) {
            d->unknown = true;
            continue;
        }
        if (!pair(d, it.bytes, FP_PB_WIRE_LEN, FP_PB_WIRE_LEN, kv))
            break;
        struct fp_str key = kv[0].bytes;
        json_t *v = value(d, kv[1].bytes, depth + 1);
        if (!v)
            break;
        if (json_object_setn_new(object, key.data ? key.data : "", key.len, v) != 0) {
            fp_pb_dec_fail(d, "a key is not UTF-8");
            break;
        }
    }
    if (r == 0)
        return object;
    json_decref(object);
    return fp_pb_dec_fail(d, MALFORMED);
}

static json_t *number(struct fp_pb_dec *d, uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    if (!isfinite(v))
        return fp_pb_dec_fail(d, "a Value that is not finite");
    if (v == floor(v) && fabs(v) < 9007199254740992.0 && !(v == 0 && signbit(v)))
        return json_integer((json_int_t)v); /* 3 is shown as 3, not as 3.0 */
    return json_real(v);
}

/* The last member wins; a Value without any is shown as null. */
static json_t *value(struct fp_pb_dec *d, struct fp_str bytes, unsigned depth)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it, last = {0};
    static const uint8_t wires[] = {0, 0, FP_PB_WIRE_I64, FP_PB_WIRE_LEN, 0, 2, 2};
    int r;
    if (depth > FP_PB_MAX_DEPTH)
        return fp_pb_dec_fail(d, "nested too deep");
    if (!fp_pb_dec_count(d))
        return NULL;
    while ((r = fp_pb_wire_next(&w, &it)) > 0) {
        if (it.number <= 6 && it.wire == wires[it.number])
            last = it;
        else
            d->unknown = true;
    }
    if (r < 0)
        return fp_pb_dec_fail(d, MALFORMED);
    switch (last.number) {
    case 2:
        return number(d, last.value);
    case 3:
        return fp_pb_dec_string(d, last.bytes);
    case 4:
        return json_boolean(last.value != 0);
    case 5:
        return structure(d, last.bytes, depth);
    case 6:
        return list(d, last.bytes, depth);
    default:
        return json_null();
    }
}

/* "type.googleapis.com/a.b.C" → the message, NULL when not in the pool */
static const struct fp_pb_message *type_of(struct fp_pb_dec *d, struct fp_str url)
{
    const char *slash = url.data ? memrchr(url.data, '/', url.len) : NULL;
    if (!slash)
        return NULL;
    return fp_pb_pool_message(d->pool,
                              fp_str_n(slash + 1, (size_t)(url.data + url.len - slash - 1)));
}

static json_t *any_as_bytes(struct fp_pb_dec *d, struct fp_str url, struct fp_str bytes)
{
    json_t *o = json_object(), *u = fp_pb_dec_string(d, url);
    if (!u || json_object_set_new(o, "typeUrl", u) != 0) {
        json_decref(o);
        return NULL;
    }
    if (bytes.len > 0)
        json_object_set_new(o, "value", fp_pb_dec_base64(d, bytes));
    return o;
}

static json_t *any(struct fp_pb_dec *d, struct fp_str bytes, unsigned depth)
{
    struct fp_pb_item it[2];
    if (!pair(d, bytes, FP_PB_WIRE_LEN, FP_PB_WIRE_LEN, it))
        return NULL;
    struct fp_str url = it[0].bytes, inside = it[1].bytes;
    if (url.len == 0)
        return inside.len == 0 ? json_object() : fp_pb_dec_fail(d, "an Any without a type");
    const struct fp_pb_message *m = type_of(d, url);
    if (!m)
        return any_as_bytes(d, url, inside);
    bool outside = d->unknown;
    d->unknown = false;
    json_t *v = fp_pb_dec_message(d, m, inside, m->wkt == FP_PB_PLAIN ? depth : depth + 1);
    bool lossy = d->unknown;
    d->unknown = outside;
    if (!v)
        return NULL;
    if (lossy) {
        json_decref(v);
        return any_as_bytes(d, url, inside);
    }
    json_t *o = json_object(), *u = fp_pb_dec_string(d, url);
    if (u)
        json_object_set_new(o, "@type", u);
    if (m->wkt == FP_PB_PLAIN)
        json_object_update(o, v); /* borrows the members */
    else
        json_object_set(o, "value", v);
    json_decref(v);
    if (u)
        return o;
    json_decref(o);
    return NULL;
}

static json_t *wrapper(struct fp_pb_dec *d, const struct fp_pb_message *m, struct fp_str bytes)
{
    const struct fp_pb_field *f = &m->fields[0];
    struct fp_pb_item it[2];
    if (!pair(d, bytes, fp_pb_type_wire(f->type), UINT8_MAX, it))
        return NULL;
    return fp_pb_dec_scalar(d, f, it[0].value, it[0].bytes);
}

static json_t *time_text(struct fp_pb_dec *d, bool duration, struct fp_str bytes)
{
    struct fp_pb_item it[2];
    char text[FP_PB_TEXT_BYTES];
    if (!pair(d, bytes, FP_PB_WIRE_VARINT, FP_PB_WIRE_VARINT, it))
        return NULL;
    int64_t seconds = (int64_t)it[0].value;
    int32_t nanos = (int32_t)it[1].value;
    bool good = duration ? fp_pb_duration_format(text, seconds, nanos)
                         : fp_pb_timestamp_format(text, seconds, nanos);
    return good ? json_string(text)
                : fp_pb_dec_fail(d,
                                 duration ? "a Duration out of range" : "a Timestamp out of range");
}

/* "a.foo_bar" → "a.fooBar"; a path that does not come back as itself is refused. */
static bool append_path(struct fp_buf *b, struct fp_str path)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.data[i];
        if (c == '_') {
            if (++i == path.len || path.data[i] < 'a' || path.data[i] > 'z')
                return false;
            c = (char)(path.data[i] - 32);
        } else if ((c >= 'A' && c <= 'Z') || c == ',') {
            return false;
        }
        fp_buf_append_byte(b, (uint8_t)c);
    }
    return true;
}

static json_t *field_mask(struct fp_pb_dec *d, struct fp_str bytes)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it;
    struct fp_buf b = {0};
    json_t *v = NULL;
    size_t n = 0;
    int r;
    while ((r = fp_pb_wire_next(&w, &it)) > 0) {
        if (it.number != 1 || it.wire != FP_PB_WIRE_LEN) {
            d->unknown = true;
            continue;
        }
        if (n++)
            fp_buf_append_byte(&b, ',');
        if (!append_path(&b, it.bytes))
            break;
    }
    if (r == 0)
        v = fp_pb_dec_string(d, fp_buf_str(&b));
    else
        fp_pb_dec_fail(d, "not a field mask");
    fp_buf_fini(&b);
    return v;
}

json_t *fp_pb_dec_well_known(struct fp_pb_dec *d, const struct fp_pb_message *m,
                             struct fp_str bytes, unsigned depth)
{
    switch (m->wkt) {
    case FP_PB_ANY:
        return any(d, bytes, depth);
    case FP_PB_STRUCT:
        return structure(d, bytes, depth);
    case FP_PB_VALUE:
        return value(d, bytes, depth);
    case FP_PB_LIST_VALUE:
        return list(d, bytes, depth);
    case FP_PB_WRAPPER:
        return wrapper(d, m, bytes);
    case FP_PB_FIELD_MASK:
        return field_mask(d, bytes);
    default:
        return time_text(d, m->wkt == FP_PB_DURATION, bytes);
    }
}
