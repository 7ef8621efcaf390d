/*
 * JSON to protobuf: the messages with a JSON form of their own (contract §5.8): Any in both forms,
 * Struct, wrappers, Duration, Timestamp, FieldMask.
 */
#include <stdlib.h>
#include "codec/codec_hash.h"
#include "pb/pb_decode_int.h"
#include "pb/pb_encode_int.h"
#include "pb/pb_text_int.h"
#include "pb/pb_wire_int.h"

static struct fp_str str_of(const json_t *v)
{
    return json_is_string(v) ? fp_str_n(json_string_value(v), json_string_length(v)) : FP_STR_NULL;
}

static void put_varint_field(struct fp_pb_enc *e, uint32_t number, uint64_t v)
{
    fp_pb_enc_varint(e, v);
    fp_pb_enc_tag(e, number, FP_PB_WIRE_VARINT);
}

static void put_string_field(struct fp_pb_enc *e, uint32_t number, struct fp_str s)
{
    size_t mark = fp_pb_enc_mark(e);
    fp_pb_enc_bytes(e, s.data, s.len);
    fp_pb_enc_head(e, number, mark);
}

/* ---- Struct, Value, ListValue: numbers of struct.proto ---- */

static void put_value(struct fp_pb_enc *e, json_t *v, const struct fp_pb_at *at, unsigned depth);

static void put_list(struct fp_pb_enc *e, json_t *v, const struct fp_pb_at *at, unsigned depth)
{
    for (size_t i = json_array_size(v); i-- > 0;) {
        struct fp_pb_at here = {at, FP_STR_NULL, i};
        size_t mark = fp_pb_enc_mark(e);
        put_value(e, json_array_get(v, i), &here, depth + 1);
        fp_pb_enc_head(e, 1, mark);
    }
}

static int by_key(const void *a, const void *b)
{
    const struct fp_pb_slot *x = a, *y = b;
    return fp_str_cmp(x->key, y->key);
}

static void put_struct(struct fp_pb_enc *e, json_t *v, const struct fp_pb_at *at, unsigned depth)
{
    size_t first = e->slots_n, key_len;
    const char *key;
    json_t *item;
    json_object_keylen_foreach(v, key, key_len, item)
    {
        struct fp_pb_slot *s = fp_pb_enc_push(e);
        *s = (struct fp_pb_slot){.key = fp_str_n(key, key_len), .value = item};
    }
    if (e->slots_n - first > 1)
        qsort(e->slots + first, e->slots_n - first, sizeof *e->slots, by_key);
    for (size_t i = e->slots_n; i-- > first;) {
        struct fp_pb_slot s = e->slots[i];
        struct fp_pb_at here = {at, s.key, 0};
        size_t entry = fp_pb_enc_mark(e), mark = entry;
        put_value(e, s.value, &here, depth + 1);
        fp_pb_enc_head(e, 2, mark);
        put_string_field(e, 1, s.key);
        fp_pb_enc_head(e, 1, entry);
    }
    e->slots_n = first;
}

static void put_value(struct fp_pb_enc *e, json_t *v, const struct fp_pb_at *at, unsigned depth)
{
    size_t mark = fp_pb_enc_mark(e);
    if (!fp_pb_enc_depth(e, at, depth))
        return;
    switch (json_typeof(v)) {
    case JSON_NULL:
        put_varint_field(e, 1, 0);
        break;
    case JSON_INTEGER:
    case JSON_REAL: {
        double d = json_number_value(v);
        uint64_t bits;
        memcpy(&bits, &d, sizeof bits);
        fp_pb_enc_fixed(e, bits, 8);
        fp_pb_enc_tag(e, 2, FP_PB_WIRE_I64);
        break;
    }
    case JSON_STRING:
        put_string_field(e, 3, str_of(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        put_varint_field(e, 4, json_is_true(v));
        break;
    case JSON_OBJECT:
        put_struct(e, v, at, depth);
        fp_pb_enc_head(e, 5, mark);
        break;
    case JSON_ARRAY:
        put_list(e, v, at, depth);
        fp_pb_enc_head(e, 6, mark);
        break;
    }
}

/* ---- Any ---- */

static void put_any(struct fp_pb_enc *e, struct fp_str type_url, size_t mark)
{
    if (fp_pb_enc_mark(e) > mark)
        fp_pb_enc_head(e, 2, mark);
    put_string_field(e, 1, type_url);
}

/* The message a type URL names; NULL and *type set when it is not in the pool, NULL and a problem
 * when the URL is none. */
static const struct fp_pb_message *any_type(struct fp_pb_enc *e, struct fp_str url,
                                            const struct fp_pb_at *at, struct fp_str *type)
{
    const char *slash = url.data ? memrchr(url.data, '/', url.len) : NULL;
    *type = FP_STR_NULL;
    if (!slash || slash + 1 == url.data + url.len) {
        fp_pb_enc_problem(e, at, url.data ? FP_P_INVALID_VALUE : FP_P_INVALID_TYPE,
                          "must be \"" FP_PB_URL_PREFIX "\" and the name of a message");
        return NULL;
    }
    *type = fp_str_n(slash + 1, (size_t)(url.data + url.len - slash - 1));
    return fp_pb_pool_message(e->pool, *type);
}

static void any_of_json(struct fp_pb_enc *e, json_t *v, json_t *url, const struct fp_pb_at *at,
                        unsigned depth)
{
    struct fp_pb_at type_at = {at, FP_STR("@type"), 0}, value_at = {at, FP_STR("value"), 0};
    struct fp_str type;
    const struct fp_pb_message *m = any_type(e, str_of(url), &type_at, &type);
    size_t mark = fp_pb_enc_mark(e);
    if (!m) {
        if (type.data)
            fp_pb_enc_problem(e, &type_at, FP_P_UNSUPPORTED,
                              "type %.*s is not in the descriptor set in use; the directive "
                              "xds.descriptor_set names a larger one",
                              FP_STR_ARG(type));
        return;
    }
    if (m->wkt == FP_PB_PLAIN) {
        /* The wrapper is bytes on the wire: one message, one level. */
        fp_pb_enc_fields(e, m, v, at, depth, true);
        put_any(e, str_of(url), mark);
        return;
    }
    const char *key;
    size_t key_len;
    json_t *item, *value = NULL;
    json_object_keylen_foreach(v, key, key_len, item)
    {
        struct fp_pb_at here = {at, fp_str_n(key, key_len), 0};
        if (fp_str_eq_c(here.key, "value"))
            value = item;
        else if (!fp_str_eq_c(here.key, "@type"))
            fp_pb_enc_problem(e, &here, FP_P_UNKNOWN_FIELD, "unknown field; did you mean value?");
    }
    if (value)
        fp_pb_enc_message(e, m, value, &value_at, depth + 1);
    else
        fp_pb_enc_problem(e, &value_at, FP_P_REQUIRED, "required");
    put_any(e, str_of(url), mark);
}

/*
 * Bytes of a known message: they are valid, and the message they say keeps its rules.  A problem
 * inside has no pointer in the JSON as sent; its message says where.
 */
static void check_bytes(struct fp_pb_enc *e, const struct fp_pb_message *m, struct fp_str bytes,
                        const struct fp_pb_at *at, unsigned depth)
{
    struct fp_problems *ps = e->ps;
    struct fp_pb_dec d = {.pool = e->pool};
    json_t *inside = fp_pb_dec_message(&d, m, bytes, depth);
    if (!inside) {
        fp_pb_enc_problem(e, at, FP_P_INVALID_VALUE, "not a %.*s: %s", FP_STR_ARG(m->full_name),
                          d.why);
        return;
    }
    size_t first = ps->n;
    fp_pb_enc_dry_run(e, m, inside, depth);
    json_decref(inside);
    const char *pointer = ps->n > first ? fp_pb_enc_pointer(e, at) : NULL;
    for (size_t i = first; i < ps->n; i++) {
        struct fp_problem *p = &ps->items[i];
        p->message = fp_arena_printf(ps->arena, "in the %.*s%s%s: %s", FP_STR_ARG(m->full_name),
                                     *p->pointer ? " at " : "", p->pointer, p->message);
        p->pointer = pointer;
    }
}

static void any_of_bytes(struct fp_pb_enc *e, json_t *v, struct fp_str url_key,
                         const struct fp_pb_at *at, unsigned depth)
{
    struct fp_pb_at url_at = {at, url_key, 0}, value_at = {at, FP_STR("value"), 0};
    const char *key;
    size_t key_len, mark = fp_pb_enc_mark(e);
    json_t *item, *value = json_object_get(v, "value");
    struct fp_str url = str_of(json_object_getn(v, url_key.data, url_key.len)), type;
    const struct fp_pb_message *m = any_type(e, url, &url_at, &type);
    json_object_keylen_foreach(v, key, key_len, item)
    {
        struct fp_pb_at here = {at, fp_str_n(key, key_len), 0};
        if (!fp_str_eq(here.key, url_key) && !fp_str_eq_c(here.key, "value"))
            fp_pb_enc_problem(e, &here, FP_P_UNKNOWN_FIELD, "unknown field");
    }
    fp_buf_clear(&e->scratch);
    if (value && !json_is_null(value) &&
        (!json_is_string(value) || !fp_base64_decode(&e->scratch, str_of(value)))) {
        fp_pb_enc_problem(e, &value_at,
                          json_is_string(value) ? FP_P_INVALID_FORMAT : FP_P_INVALID_TYPE,
                          "must be base64");
        return;
    }
    struct fp_str bytes = fp_buf_str(&e->scratch);
    if (m) {
        check_bytes(e, m, bytes, &value_at, depth);
    } else if (type.data && e->note) {
        e->note(e->note_arg, fp_pb_enc_pointer(e, at), url);
    }
    fp_pb_enc_bytes(e, bytes.data, bytes.len);
    put_any(e, url, mark);
}

static void encode_any(struct fp_pb_enc *e, json_t *v, const struct fp_pb_at *at, unsigned depth)
{
    if (!json_is_object(v)) {
        fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE, "must be an object with \"@type\"");
        return;
    }
    if (json_object_size(v) == 0)
        return; /* an Any that holds nothing */
    json_t *type = json_object_get(v, "@type");
    if (type)
        any_of_json(e, v, type, at, depth);
    else if (json_object_get(v, "type_url"))
        any_of_bytes(e, v, FP_STR("type_url"), at, depth);
    else if (json_object_get(v, "typeUrl"))
        any_of_bytes(e, v, FP_STR("typeUrl"), at, depth);
    else {
        struct fp_pb_at here = {at, FP_STR("@type"), 0};
        fp_pb_enc_problem(e, &here, FP_P_REQUIRED,
                          "required: \"" FP_PB_URL_PREFIX "\" and the name of a message");
    }
}

/* ---- texts ---- */

static void encode_time(struct fp_pb_enc *e, bool duration, json_t *v, const struct fp_pb_at *at)
{
    int64_t seconds = 0;
    int32_t nanos = 0;
    int err = FP_ERR_INVALID;
    if (json_is_string(v))
        err = duration ? fp_pb_duration_parse(str_of(v), &seconds, &nanos)
                       : fp_pb_timestamp_parse(str_of(v), &seconds, &nanos);
    if (err == FP_ERR_LIMIT)
        fp_pb_enc_problem(e, at, FP_P_OUT_OF_RANGE,
                          duration ? "must be within 315576000000 seconds"
                                   : "must be within the years 1 to 9999");
    else if (err)
        fp_pb_enc_problem(e, at, json_is_string(v) ? FP_P_INVALID_FORMAT : FP_P_INVALID_TYPE,
                          duration ? "must be a duration such as \"1.5s\""
                                   : "must be a time such as \"2030-11-02T09:15:00Z\"");
    if (nanos)
        put_varint_field(e, 2, (uint64_t)(int64_t)nanos);
    if (seconds)
        put_varint_field(e, 1, (uint64_t)seconds);
}

/* "a.fooBar,b" is the paths "a.foo_bar" and "b"; written from the end. */
static void encode_field_mask(struct fp_pb_enc *e, json_t *v, const struct fp_pb_at *at)
{
    struct fp_str s = str_of(v);
    bool good = s.data != NULL;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        good &= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '.' || c == ',';
    }
    if (!good) {
        fp_pb_enc_problem(e, at, s.data ? FP_P_INVALID_FORMAT : FP_P_INVALID_TYPE,
                          "must be field paths such as \"a.fooBar,b\"");
        return;
    }
    for (size_t end = s.len; s.len > 0;) {
        size_t mark = fp_pb_enc_mark(e), i = end;
        for (; i > 0 && s.data[i - 1] != ','; i--) {
            char c = s.data[i - 1], snake[2] = {'_', (char)(c + 32)};
            if (c >= 'A' && c <= 'Z')
                fp_pb_enc_bytes(e, snake, 2);
            else
                fp_pb_enc_bytes(e, &c, 1);
        }
        fp_pb_enc_head(e, 1, mark);
        if (i == 0)
            break;
        end = i - 1;
    }
}

static void encode_wrapper(struct fp_pb_enc *e, const struct fp_pb_message *m, json_t *v,
                           const struct fp_pb_at *at)
{
    const struct fp_pb_field *f = &m->fields[0];
    struct fp_pb_scalar s;
    if (!fp_pb_enc_scalar_parse(e, f, v, at, &s) || fp_pb_scalar_is_default(&s))
        return;
    fp_pb_enc_scalar_write(e, f->type, &s);
    fp_pb_enc_tag(e, f->number, fp_pb_type_wire(f->type));
}

void fp_pb_enc_well_known(struct fp_pb_enc *e, const struct fp_pb_message *m, json_t *v,
                          const struct fp_pb_at *at, unsigned depth)
{
    switch (m->wkt) {
    case FP_PB_ANY:
        encode_any(e, v, at, depth);
        break;
    case FP_PB_STRUCT:
        if (json_is_object(v))
            put_struct(e, v, at, depth);
        else
            fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE, "must be an object");
        break;
    case FP_PB_VALUE:
        put_value(e, v, at, depth);
        break;
    case FP_PB_LIST_VALUE:
        if (json_is_array(v))
            put_list(e, v, at, depth);
        else
            fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE, "must be an array");
        break;
    case FP_PB_WRAPPER:
        encode_wrapper(e, m, v, at);
        break;
    case FP_PB_DURATION:
    case FP_PB_TIMESTAMP:
        encode_time(e, m->wkt == FP_PB_DURATION, v, at);
        break;
    case FP_PB_FIELD_MASK:
        encode_field_mask(e, v, at);
        break;
    }
}
