/* Protobuf to JSON: merging, oneofs, what is left out, bytes nobody sane would send. */
#include "tap.h"
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "pb/pb_json.h"

static struct fp_pb_pool *pool;
static struct fp_arena *arena;
#define CORE "envoy.config.core.v3."

static const char *decode_bytes(const char *type, const void *bytes, size_t n)
{
    struct fp_problems *ps = fp_problems_new(arena);
    struct fp_buf out = {0};
    json_t *v =
        fp_pb_to_json(pool, fp_pb_pool_message(pool, fp_str_of(type)), fp_str_n(bytes, n), ps);
    if (v)
        fp_json_write(&out, v, true);
    char *s = fp_arena_strdup(arena, v ? fp_buf_cstr(&out) : ps->items[0].message);
    json_decref(v);
    fp_buf_fini(&out);
    return s;
}

static const char *decode(const char *type, const char *hex)
{
    char *bytes = fp_arena_alloc(arena, strlen(hex) / 2 + 1);
    fp_unhex(bytes, fp_str_of(hex));
    return decode_bytes(type, bytes, strlen(hex) / 2);
}

static void defaults(void)
{
    is_str(decode(CORE "SocketAddress", ""), "{}", "nothing");
    is_str(decode(CORE "SocketAddress", "12001800"), "{\"portValue\":0}",
           "defaults are left out, but not in a oneof");
    is_str(decode(CORE "SocketAddress", "12016112013a"), "{\"address\":\":\"}",
           "the last one wins");
    is_str(decode(CORE "SocketAddress", "1201611200"), "{}", "also when it is the default");
    is_str(decode(CORE "SocketAddress", "1801220161"), "{\"namedPort\":\"a\"}",
           "the last member of a oneof wins");
    is_str(decode("google.protobuf.UInt32Value", ""), "0", "a wrapper of nothing");
    is_str(decode("envoy.config.cluster.v3.Cluster", "1063"), "{\"type\":99}", "an unknown number");
    is_str(decode("google.protobuf.FloatValue", "0dcdcccc3d"), "0.1", "a float is short");
    is_str(decode("google.protobuf.DoubleValue", "09000000000000f07f"), "\"Infinity\"", "Infinity");
    is_str(decode("google.protobuf.Int64Value", "08ffffffffffffffffff01"), "\"-1\"",
           "int64 is text");
    is_str(decode("google.protobuf.Value", "110000000000000840"), "3", "3 is not 3.0");
    is_str(decode("google.protobuf.Duration", "0801"
                                              "1080cab5ee01"),
           "\"1.500s\"", "Duration");
    is_str(decode("google.protobuf.FieldMask", "0a07666f6f5f6261720a0162"), "\"fooBar,b\"", "mask");
}

static void repeated(void)
{
    /* RetryPolicy.retriable_status_codes = 7, packed and not */
    is_str(decode("envoy.config.route.v3.RetryPolicy", "3a04f403f503"),
           "{\"retriableStatusCodes\":[500,501]}", "packed");
    is_str(decode("envoy.config.route.v3.RetryPolicy", "38f40338f503"),
           "{\"retriableStatusCodes\":[500,501]}", "not packed");
    is_str(decode("envoy.config.route.v3.RetryPolicy", "38f4033a02f503"),
           "{\"retriableStatusCodes\":[500,501]}", "both");
    is_str(decode("envoy.config.route.v3.RetryPolicy", "3a00"), "{}", "packed, empty");
    is_str(decode("envoy.config.route.v3.RetryPolicy", "3a01f4"),
           "not a envoy.config.route.v3.RetryPolicy: malformed bytes", "packed, cut");
    /* Address.socket_address = 1 twice is one message */
    is_str(decode(CORE "Address", "0a021801"
                                  "0a03120161"),
           "{\"socketAddress\":{\"address\":\"a\",\"portValue\":1}}",
           "a message given twice is merged");
    is_str(decode(CORE "Metadata", "0a050a016b12000a050a016b1200"),
           "{\"filterMetadata\":{\"k\":{}}}", "a map key twice");
    is_str(decode(CORE "Metadata", "0a00"), "{\"filterMetadata\":{\"\":{}}}", "an empty map entry");
}

static void any(void)
{
    const char *known =
        "0a2c747970652e676f6f676c65617069732e636f6d2f676f6f676c652e70726f746f6275662e"
        "4475726174696f6e12020802";
    is_str(decode("google.protobuf.Any", known),
           "{\"@type\":\"type.googleapis.com/google.protobuf.Duration\",\"value\":\"2s\"}",
           "known");
    is_str(decode("google.protobuf.Any", "0a03782f591201ff"),
           "{\"typeUrl\":\"x/Y\",\"value\":\"/w==\"}", "an unknown type keeps its bytes");
    const char *more =
        "0a2c747970652e676f6f676c65617069732e636f6d2f676f6f676c652e70726f746f6275662e"
        "4475726174696f6e120408021801";
    is_str(decode("google.protobuf.Any", more),
           "{\"typeUrl\":\"type.googleapis.com/google.protobuf.Duration\",\"value\":\"CAIYAQ==\"}",
           "so does a known one with a field we do not know");
    is_str(decode("google.protobuf.Any", "1201ff"),
           "not a google.protobuf.Any: an Any without a type", "bytes without a type");
    is_str(decode("google.protobuf.Any", ""), "{}", "an empty one");
}

static void hostile(void)
{
    is_str(decode(CORE "SocketAddress", "1202c328"),
           "not a envoy.config.core.v3.SocketAddress: a string is not UTF-8", "not UTF-8");
    is_str(decode(CORE "SocketAddress", "13"),
           "not a envoy.config.core.v3.SocketAddress: malformed bytes", "a group");
    is_str(decode(CORE "SocketAddress", "00"),
           "not a envoy.config.core.v3.SocketAddress: malformed bytes", "field 0");
    is_str(decode(CORE "SocketAddress", "12ffffffffffffffffff01"),
           "not a envoy.config.core.v3.SocketAddress: malformed bytes", "a length of 2^64 - 1");
    is_str(decode(CORE "SocketAddress", "ffffffffffffffffffff01"),
           "not a envoy.config.core.v3.SocketAddress: malformed bytes", "a tag of eleven bytes");
    is_str(decode("google.protobuf.Value", "11000000000000f07f"),
           "not a google.protobuf.Value: a Value that is not finite", "an infinite Value");
    is_str(decode("google.protobuf.Duration", "0801"
                                              "10ffffffffffffffffff01"),
           "not a google.protobuf.Duration: a Duration out of range", "signs that differ");

    struct fp_buf deep = {0};
    for (int i = 0; i < 10000; i++) { /* from the inside: a ListValue in a Value in a ListValue … */
        struct fp_buf outer = {0};
        uint8_t head[16] = {0x32};
        size_t n = 1, len = deep.len;
        for (; len > 0x7f; len >>= 7)
            head[n++] = (uint8_t)len | 0x80;
        head[n++] = (uint8_t)len;
        if (i % 2)
            head[0] = 0x0a;
        fp_buf_append(&outer, head, n);
        fp_buf_append(&outer, deep.data ? deep.data : "", deep.len);
        fp_buf_fini(&deep);
        deep = outer;
    }
    is_str(decode_bytes("google.protobuf.ListValue", deep.data, deep.len),
           "not a google.protobuf.ListValue: nested too deep", "nested 10,000 deep");
    fp_buf_fini(&deep);

    char *packed = fp_arena_alloc(arena, 1 << 20);
    memset(packed, 1, 1 << 20);
    memcpy(packed, "\x3a\xfb\xff\x3f", 4);
    is_str(decode_bytes("envoy.config.route.v3.RetryPolicy", packed, (1 << 20) - 1),
           "not a envoy.config.route.v3.RetryPolicy: too many elements", "a million numbers");
    char *twice = fp_arena_alloc(arena, 400000);
    for (int i = 0; i < 100000; i++)
        memcpy(twice + 4 * i, "\x0a\x02\x18\x01", 4);
    is_str(decode_bytes(CORE "Address", twice, 400000), "{\"socketAddress\":{\"portValue\":1}}",
           "a message given 100,000 times is merged once");
}

int main(void)
{
    fp_json_init();
    fp_pb_pool_builtin(&pool);
    arena = fp_arena_new(NULL);
    defaults();
    repeated();
    any();
    hostile();
    fp_arena_free(&arena);
    fp_pb_pool_free(&pool);
    return done_testing();
}
