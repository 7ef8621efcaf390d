/* The guard before protobuf-c's unpack: what it lets through unpacks, everything else ends there.
 */
#include "tap.h"
#include "../../src/pb/pb_guard.c"
#include "core/core_buf.h"
#include "google/protobuf/struct.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

#define REQUEST &grpc__reflection__v1__server_reflection_request__descriptor
#define STRUCT  &google__protobuf__struct__descriptor

static int guard(const void *bytes, size_t n, size_t elements)
{
    return fp_pb_guard(REQUEST, fp_str_n(bytes, n), elements);
}
#define GUARD(lit, elements) guard(lit, sizeof(lit) - 1, elements)

static void wrap(struct fp_buf *b, uint8_t tag)
{
    struct fp_buf outer = {0};
    size_t len = b->len;
    fp_buf_append_byte(&outer, tag);
    for (; len > 0x7f; len >>= 7)
        fp_buf_append_byte(&outer, (uint8_t)len | 0x80);
    fp_buf_append_byte(&outer, (uint8_t)len);
    fp_buf_append(&outer, b->data ? b->data : "", b->len);
    fp_buf_fini(b);
    *b = outer;
}

/* Structs in each other: fields (1) of value (2) struct_value (5) */
static void nest(struct fp_buf *b, int levels)
{
    for (int i = 0; i < levels; i++) {
        wrap(b, 0x2a); /* Value.struct_value */
        wrap(b, 0x12); /* entry.value */
        wrap(b, 0x0a); /* Struct.fields */
    }
}

/* {"t": ["ä", -3, true], "": null} */
static void packed_struct(struct fp_buf *out)
{
    Google__Protobuf__Value text = GOOGLE__PROTOBUF__VALUE__INIT, number = text, yes = text,
                            list = text;
    Google__Protobuf__Value *values[] = {&text, &number, &yes};
    Google__Protobuf__ListValue l = GOOGLE__PROTOBUF__LIST_VALUE__INIT;
    Google__Protobuf__Struct__FieldsEntry a = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT, b = a;
    Google__Protobuf__Struct__FieldsEntry *fields[] = {&a, &b};
    Google__Protobuf__Struct s = GOOGLE__PROTOBUF__STRUCT__INIT;
    text.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    text.string_value = "\xc3\xa4";
    number.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    number.number_value = -3;
    yes.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    yes.bool_value = 1;
    l.values = values;
    l.n_values = 3;
    list.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
    list.list_value = &l;
    a.key = "t";
    a.value = &list;
    s.fields = fields;
    s.n_fields = 2;
    fp_pb_pack(&s.base, out);
}

static bool unpacks(const void *bytes, size_t n)
{
    struct fp_arena *a = fp_arena_new(NULL);
    bool unpacked = fp_pb_unpack(STRUCT, fp_str_n(bytes, n), 100, a) != NULL;
    fp_arena_free(&a);
    return unpacked;
}

static void truncations(void)
{
    struct fp_buf whole = {0};
    packed_struct(&whole);
    size_t n = whole.len, good = 0, unpacked = 0, passed = 0;
    uint8_t copy[512];
    ok(unpacks(whole.data, n), "a Struct of %zu bytes unpacks", n);
    for (size_t k = 0; k < n; k++) {
        memcpy(copy, whole.data, k);
        good += unpacks(copy, k);
    }
    ok(good < 5, "truncations: %zu of %zu are whole fields", good, n);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        memcpy(copy, whole.data, n);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        passed += fp_pb_guard(STRUCT, fp_str_n(copy, n), 100) == 0;
        unpacked += unpacks(copy, n);
    }
    /* protobuf-c itself refuses a second message for one field, which nobody sends */
    ok(passed > n && unpacked + 2 >= passed && unpacked <= passed,
       "one bit turned: what passes the guard unpacks (%zu of %zu)", unpacked, passed);
    fp_buf_fini(&whole);
}

int main(void)
{
    is_int(GUARD("", 0), 0, "an empty message");
    is_int(GUARD("\x0a\x01v", 1), 0, "one string, one element");
    is_int(GUARD("\x0a\x01v", 0), FP_ERR_LIMIT, "no budget for it");
    is_int(GUARD("\x1a\x00\x1a\x00\x1a\x00", 2), FP_ERR_LIMIT, "three files for two elements");
    is_int(GUARD("\xfa\x3f\x00\xfa\x3f\x00", 1), FP_ERR_LIMIT, "unknown fields cost as well");
    is_int(GUARD("\xfa\x3f\x00", 1), 0, "and are let through");
    is_int(GUARD("\x0a\x02v", 9), FP_ERR_PROTOCOL, "a string cut short");
    is_int(GUARD("\x0a\x01\x00", 9), FP_ERR_PROTOCOL, "a NUL in a string");
    is_int(GUARD("\x0a\x01\xff", 9), FP_ERR_PROTOCOL, "not UTF-8");
    is_int(GUARD("\x0a\x03\xed\xa0\x80", 9), FP_ERR_PROTOCOL, "a surrogate");
    is_int(GUARD("\x08\x01", 9), FP_ERR_PROTOCOL, "a number for a string");
    is_int(GUARD("\x13\x14", 9), FP_ERR_PROTOCOL, "a group");
    is_int(GUARD("\x17", 9), FP_ERR_PROTOCOL, "wire type 7");
    is_int(GUARD("\x02\x00", 9), FP_ERR_PROTOCOL, "field number 0");
    is_int(GUARD("\x0a\xff\xff\xff\xff\x0f", 9), FP_ERR_PROTOCOL, "4 GiB announced");
    is_int(GUARD("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 9), FP_ERR_PROTOCOL, "2^64 - 1");

    struct fp_buf b = {0};
    nest(&b, 10); /* a Struct, and entry, value, Struct ten times */
    is_int(fp_pb_guard(STRUCT, fp_buf_str(&b), 1000), 0, "depth 31");
    fp_buf_fini(&b);
    nest(&b, 11);
    is_int(fp_pb_guard(STRUCT, fp_buf_str(&b), 1000), FP_ERR_LIMIT, "depth 34");
    fp_buf_fini(&b);
    nest(&b, 10000);
    is_int(fp_pb_guard(STRUCT, fp_buf_str(&b), 1u << 30), FP_ERR_LIMIT,
           "nested 30,000 deep, %zu bytes", b.len);
    struct fp_arena *a = fp_arena_new(NULL);
    ok(!fp_pb_unpack(STRUCT, fp_buf_str(&b), 1u << 30, a), "is not unpacked");
    fp_arena_free(&a);
    fp_buf_fini(&b);

    for (int i = 0; i < 1 << 20; i++)
        fp_buf_append(&b, "\x1a\x00", 2);
    is_int(guard(b.data, b.len, 100000), FP_ERR_LIMIT, "2 MiB of empty names");
    fp_buf_fini(&b);
    truncations();
    return done_testing();
}
