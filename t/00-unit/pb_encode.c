/* JSON to protobuf: contract §5.8, case by case.  Bytes are those of protoc 3.21 and Google's
 * Python library. */
#include "tap.h"
#include "pb_norules.h"
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "pb/pb_json.h"

static struct fp_pb_pool *pool;
static struct fp_arena *arena;

#define CLUSTER "envoy.config.cluster.v3.Cluster"
#define CORE    "envoy.config.core.v3."

/* The bytes in hex, or all problems as "pointer code; …" */
static const char *encode(const char *type, const char *json)
{
    struct fp_problems *ps = fp_problems_new(arena);
    struct fp_buf out = {0}, text = {0};
    json_t *v = fp_json_parse(arena, fp_str_of(json), 100, ps);
    const struct fp_pb_message *m = fp_pb_pool_message(pool, fp_str_of(type));
    if (v && m && fp_pb_from_json(pool, m, v, "", ps, &out) == 0) {
        char *hex = fp_arena_alloc(arena, 2 * out.len + 1);
        fp_hex(hex, out.data, out.len);
        fp_buf_fini(&out);
        return hex;
    }
    for (size_t i = 0; i < ps->n; i++)
        fp_buf_printf(&text, "%s%s %s", i ? "; " : "", ps->items[i].pointer,
                      fp_problem_code_name(ps->items[i].code));
    char *s = fp_arena_strdup(arena, m ? fp_buf_cstr(&text) : "no such message");
    fp_buf_fini(&text);
    return s;
}

static const char *message_of(const char *type, const char *json)
{
    struct fp_problems *ps = fp_problems_new(arena);
    struct fp_buf out = {0};
    fp_pb_from_json(pool, fp_pb_pool_message(pool, fp_str_of(type)),
                    fp_json_parse(arena, fp_str_of(json), 100, ps), "/envoy", ps, &out);
    fp_buf_fini(&out);
    return ps->n ? fp_arena_printf(arena, "%s: %s", ps->items[0].pointer, ps->items[0].message)
                 : "fine";
}

static void both_spellings(void)
{
    is_str(encode(CLUSTER, "{\"altStatName\":\"x\"}"), "e2010178", "lowerCamelCase");
    is_str(encode(CLUSTER, "{\"alt_stat_name\":\"x\"}"), "e2010178", "the original name");
    is_str(encode(CLUSTER, "{\"altStatName\":\"x\",\"alt_stat_name\":\"x\"}"),
           "/alt_stat_name duplicate", "both at once");
    is_str(encode(CLUSTER, "{\"altstatname\":\"x\"}"), "/altstatname unknown_field",
           "any other spelling");
    is_str(encode(CLUSTER, "{\"alt_statName\":\"x\"}"), "/alt_statName unknown_field",
           "half of each");
    is_str(message_of(CLUSTER, "{\"lbPolicyy\":1}"),
           "/envoy/lbPolicyy: unknown field; did you mean lbPolicy?", "the nearest name is told");
    is_str(encode(CLUSTER, "{\"name\":null,\"loadAssignment\":null}"), "", "null is absent");
}

static void scalars(void)
{
    is_str(encode(CORE "SocketAddress", "{\"portValue\":8080}"), "18903f", "uint32");
    is_str(encode(CORE "SocketAddress", "{\"portValue\":\"8080\"}"), "18903f", "as text");
    is_str(encode(CORE "SocketAddress", "{\"portValue\":8.08e3}"), "18903f", "8.08e3");
    is_str(encode(CORE "SocketAddress", "{\"portValue\":0}"), "1800", "0 in a oneof is sent");
    is_str(encode(CORE "SocketAddress", "{\"address\":\"\"}"), "", "a default is not");
    is_str(encode(CORE "SocketAddress", "{\"portValue\":1.5}"), "/portValue invalid_type", "1.5");
    is_str(encode(CORE "SocketAddress", "{\"portValue\":true}"), "/portValue invalid_type", "true");
    is_str(encode(CORE "SocketAddress", "{\"portValue\":-1}"), "/portValue out_of_range", "-1");
    is_str(encode(CORE "SocketAddress", "{\"portValue\":4294967296}"), "/portValue out_of_range",
           "2^32");
    is_str(encode(CORE "SocketAddress", "{\"portValue\":\"0x10\"}"), "/portValue invalid_type",
           "hexadecimal text");
    is_str(encode(CORE "SocketAddress", "{\"portValue\":1,\"namedPort\":\"a\"}"),
           "/namedPort mutually_exclusive", "a oneof given twice");
    is_str(encode(CORE "SocketAddress", "{\"ipv4Compat\":1}"), "/ipv4Compat invalid_type", "bool");
    is_str(encode(CORE "SocketOption", "{\"level\":\"-1\"}"), "10ffffffffffffffffff01", "int64");
    is_str(encode(CORE "SocketOption", "{\"level\":\"9223372036854775808\"}"),
           "/level out_of_range", "2^63");
    is_str(encode("google.protobuf.UInt64Value", "\"18446744073709551615\""),
           "08ffffffffffffffffff01", "2^64 - 1");
    is_str(encode("google.protobuf.Int32Value", "-2"), "08feffffffffffffffff01",
           "a negative int32 takes ten bytes");
    is_str(encode("google.protobuf.DoubleValue", "\"-Infinity\""), "09000000000000f0ff",
           "-Infinity");
    is_str(encode("google.protobuf.DoubleValue", "-0.0"), "090000000000000080", "-0.0 is sent");
    is_str(encode("google.protobuf.DoubleValue", "\"nan\""), " invalid_type", "nan is not NaN");
    is_str(encode("google.protobuf.FloatValue", "1e39"), " out_of_range", "too large for a float");
    is_str(encode("google.protobuf.BytesValue", "\"-_8=\""), "0a02fbff", "base64url");
    is_str(encode("google.protobuf.BytesValue", "\"+/8\""), "0a02fbff", "base64 without padding");
    is_str(encode("google.protobuf.BytesValue", "\"*\""), " invalid_format", "not base64");
    is_str(encode("google.protobuf.StringValue", "7"), " invalid_type", "a number for a string");
}

static void enums(void)
{
    is_str(encode(CLUSTER, "{\"type\":\"EDS\"}"), "1003", "by name");
    is_str(encode(CLUSTER, "{\"type\":3}"), "1003", "by number");
    is_str(encode(CLUSTER, "{\"type\":99}"), "1063", "a number a newer Envoy may know");
    is_str(encode(CLUSTER, "{\"type\":\"eds\"}"), "/type invalid_value", "case matters");
    is_str(encode(CLUSTER, "{\"type\":\"3\"}"), "/type invalid_value", "a number as text");
    is_str(encode(CLUSTER, "{\"type\":[]}"), "/type invalid_type", "an array");
    is_str(message_of(CLUSTER, "{\"lbPolicy\":\"RING_HASHS\"}"),
           "/envoy/lbPolicy: not a value of envoy.config.cluster.v3.Cluster.LbPolicy; did you mean "
           "RING_HASH?",
           "the nearest value is told");
}

static void well_known(void)
{
    is_str(encode("google.protobuf.Duration", "\"1.5s\""),
           "080110"
           "80cab5ee01",
           "1.5s");
    is_str(encode("google.protobuf.Duration", "\"-0.5s\""), "1080b6ca91feffffffff01", "-0.5s");
    is_str(encode("google.protobuf.Duration", "\"1.5\""), " invalid_format", "no s");
    is_str(encode("google.protobuf.Duration", "\"1h\""), " invalid_format", "hours");
    is_str(encode("google.protobuf.Duration", "1.5"), " invalid_type", "a number");
    is_str(encode("google.protobuf.Duration", "\"315576000001s\""), " out_of_range", "too long");
    is_str(encode("google.protobuf.Timestamp", "\"2030-11-02T09:15:00.25Z\""),
           "0894e8b993071080e59a77", "Timestamp");
    is_str(encode("google.protobuf.Timestamp", "\"2030-13-02T09:15:00Z\""), " invalid_format",
           "month 13");
    is_str(encode("google.protobuf.FieldMask", "\"fooBar,b\""), "0a07666f6f5f6261720a0162",
           "FieldMask");
    is_str(encode("google.protobuf.FieldMask", "\"foo_bar\""), " invalid_format",
           "snake_case in it");
    is_str(encode("google.protobuf.UInt32Value", "0"), "", "a wrapper of 0");
    is_str(encode(CLUSTER, "{\"perConnectionBufferLimitBytes\":0}"), "2a00", "is sent as present");
    is_str(encode("google.protobuf.Struct", "{\"b\":null,\"a\":{\"x\":true}}"),
           "0a100a0161120b2a090a070a0178120220010a070a016212020800", "members are sorted");
    is_str(encode("google.protobuf.ListValue", "[\"x\",1]"), "0a031a01780a0911000000000000f03f",
           "ListValue");
    is_str(encode("google.protobuf.Empty", "{}"), "", "Empty");
    is_str(encode("google.protobuf.Empty", "{\"a\":1}"), "/a unknown_field", "has no fields");
}

static void maps(void)
{
    const char *sorted =
        encode(CORE "Metadata", "{\"filterMetadata\":{\"\":{},\"k\":{},\"kk\":{}}}");
    is_str(sorted, "0a040a0012000a050a016b12000a060a026b6b1200", "string keys by their bytes");
    is_str(encode(CORE "Metadata", "{\"filterMetadata\":{\"kk\":{},\"k\":{},\"\":{}}}"), sorted,
           "whatever their order in JSON");
    is_str(encode(CORE "Metadata", "{\"filterMetadata\":[]}"), "/filterMetadata invalid_type",
           "an array is no map");
    is_str(encode(CORE "Metadata", "{\"filterMetadata\":{\"a/b~c\":1}}"),
           "/filterMetadata/a~1b~0c invalid_type", "pointers are escaped");
}

static void any(void)
{
    const char *url = "type.googleapis.com/" CORE "SocketAddress";
    const char *json = fp_arena_printf(arena, "{\"@type\":\"%s\",\"portValue\":1}", url);
    const char *b64 = fp_arena_printf(arena, "{\"type_url\":\"%s\",\"value\":\"GAE=\"}", url);
    const char *camel = fp_arena_printf(arena, "{\"value\":\"GAE\",\"typeUrl\":\"%s\"}", url);
    const char *bytes = encode("google.protobuf.Any", json);
    ok(strlen(bytes) > 100, "an Any by @type");
    is_str(encode("google.protobuf.Any", b64), bytes, "as type_url and base64");
    is_str(encode("google.protobuf.Any", camel), bytes, "as typeUrl");
    is_str(encode("google.protobuf.Any", "{}"), "", "an empty one");
    is_str(encode("google.protobuf.Any", "{\"portValue\":1}"), "/@type required", "no type");
    is_str(encode("google.protobuf.Any", "{\"@type\":\"x.Y\"}"), "/@type invalid_value",
           "no slash");
    is_str(message_of("google.protobuf.Any", "{\"@type\":\"type.googleapis.com/x.Y\",\"a\":1}"),
           "/envoy/@type: type x.Y is not in the descriptor set in use; the directive "
           "xds.descriptor_set names a larger one",
           "a type outside the set: its name and the directive");
    is_str(encode("google.protobuf.Any", "{\"@type\":\"type.googleapis.com/x.Y\"}"),
           "/@type unsupported", "its code");
    ok(strlen(encode("google.protobuf.Any",
                     "{\"type_url\":\"type.googleapis.com/x.Y\",\"value\":\"AAAA\"}")) > 20,
       "as base64 it is taken unchecked");
    is_str(encode("google.protobuf.Any",
                  fp_arena_printf(arena, "{\"type_url\":\"%s\",\"value\":\"GP8=\"}", url)),
           "/value invalid_value", "base64 of a known type is checked");
    is_str(encode("google.protobuf.Any",
                  fp_arena_printf(arena, "{\"type_url\":\"%s\",\"value\":\"*\"}", url)),
           "/value invalid_format", "and must be base64");
    is_str(
        encode("google.protobuf.Any",
               "{\"@type\":\"type.googleapis.com/google.protobuf.Duration\",\"value\":\"2s\"}"),
        "0a2c747970652e676f6f676c65617069732e636f6d2f676f6f676c652e70726f746f6275662e4475726174696f"
        "6e12020802",
        "a well-known type has value");
    is_str(encode("google.protobuf.Any",
                  "{\"@type\":\"type.googleapis.com/google.protobuf.Duration\",\"valu\":\"2s\"}"),
           "/value required; /valu unknown_field", "and nothing else");
    is_str(encode("google.protobuf.Any", "{\"@type\":\"type.googleapis.com/google.protobuf.Any\","
                                         "\"value\":{\"@type\":\"type.googleapis.com/" CORE
                                         "SocketAddress\",\"portValue\":\"x\"}}"),
           "/value/portValue invalid_type", "nested, with its pointer");
}

static void all_problems(void)
{
    is_str(
        encode(CLUSTER, "{\"nme\":1,\"type\":\"X\",\"connectTimeout\":1,\"healthChecks\":[{},{"
                        "\"timeout\":3}]}"),
        "/type invalid_value; /connectTimeout invalid_type; /healthChecks/1/timeout invalid_type; "
        "/nme unknown_field",
        "all problems of a body, in the order of its fields");
    struct fp_problems *ps = fp_problems_new(arena);
    struct fp_buf body = {0}, out = {0};
    fp_buf_append_c(&body, "{");
    for (int i = 0; i < 5000; i++)
        fp_buf_printf(&body, "%s\"u%d\":1", i ? "," : "", i);
    fp_buf_append_c(&body, "}");
    json_t *v = fp_json_parse(arena, fp_buf_str(&body), 9, ps);
    is_int(fp_pb_from_json(pool, fp_pb_pool_message(pool, FP_STR(CLUSTER)), v, "", ps, &out),
           FP_ERR_INVALID, "5,000 unknown fields");
    is_int(ps->n, FP_PROBLEMS_MAX, "a hundred are told");
    is_int(ps->total, 5000, "all are counted");
    is_int(out.len, 0, "nothing is written");
    fp_buf_fini(&body);
}

static const char *nested_value(int levels)
{
    struct fp_buf b = {0};
    for (int i = 0; i < levels; i++)
        fp_buf_append_c(&b, "[");
    for (int i = 0; i < levels; i++)
        fp_buf_append_c(&b, "]");
    const char *s = fp_arena_strdup(arena, fp_buf_cstr(&b));
    fp_buf_fini(&b);
    return s;
}

static void limits(void)
{
    ok(strlen(encode("google.protobuf.Value", nested_value(FP_PB_MAX_DEPTH))) > 60, "depth 32");
    is_str(strrchr(encode("google.protobuf.Value", nested_value(FP_PB_MAX_DEPTH + 1)), ' '),
           " out_of_range", "depth 33");
    struct fp_problems *ps = fp_problems_new(arena);
    struct fp_buf out = {0};
    char *big = fp_arena_alloc(arena, FP_PB_MAX_BYTES);
    memset(big, 'x', FP_PB_MAX_BYTES);
    json_t *fits = fp_json_own(arena, json_pack("{s:s%}", "name", big, FP_PB_MAX_BYTES - 5));
    json_t *over = fp_json_own(arena, json_pack("{s:s%}", "name", big, FP_PB_MAX_BYTES - 4));
    const struct fp_pb_message *m = fp_pb_pool_message(pool, FP_STR(CLUSTER));
    is_int(fp_pb_from_json(pool, m, fits, "", ps, &out), 0, "4 MiB");
    is_int(out.len, FP_PB_MAX_BYTES, "to the byte");
    is_int(fp_pb_from_json(pool, m, over, "", ps, &out), FP_ERR_INVALID, "one more");
    is_str(fp_problem_code_name(ps->items[0].code), "too_long", "its code");
    is_int(out.len, FP_PB_MAX_BYTES, "the buffer is as it was");
    fp_buf_fini(&out);
}

static int notes;
static void note(void *arg, const char *pointer, struct fp_str type_url)
{
    notes++;
    is_str(pointer, "/envoy/clusterType/typedConfig", "the note says where");
    ok(fp_str_eq_c(type_url, "type.googleapis.com/x.Y"), "and what");
}

static void elements(void)
{
    struct fp_problems *ps = fp_problems_new(arena);
    struct fp_buf out = {0};
    json_t *v =
        fp_json_parse(arena,
                      FP_STR("{\"name\":\"a\",\"clusterType\":{\"typedConfig\":{\"typeUrl\":"
                             "\"type.googleapis.com/x.Y\",\"value\":\"AAAA\"}}}"),
                      9, ps);
    json_t *cla = fp_json_parse(arena, FP_STR("{\"clusterName\":\"a\"}"), 9, ps);
    json_t *empty = fp_json_parse(arena, FP_STR("{}"), 9, ps);
    is_int(fp_pb_element_noting(pool, CLUSTER, v, "/envoy", ps, &out, note, NULL), 0, "a cluster");
    is_int(notes, 1, "unchecked bytes are noted");
    is_int(fp_pb_element(pool, "envoy.config.endpoint.v3.ClusterLoadAssignment", cla, "", ps, &out),
           0, "its endpoints behind it");
    is_int(fp_pb_element(pool, CLUSTER, empty, "", ps, &out), 0, "an empty message");
    is_int(fp_pb_element(pool, "no.Such", v, "", ps, &out), FP_ERR_INVALID, "an unknown message");

    struct fp_str in = fp_buf_str(&out), element, url, value;
    is_int(fp_pb_element_next(&in, &element, &url, &value), 0, "the first element");
    ok(fp_str_eq_c(url, "type.googleapis.com/" CLUSTER), "its type");
    ok(fp_str_eq_c(fp_pb_first_string(value), "a"), "its name");
    ok(element.data == out.data && element.data[0] == 0x12, "with its head");
    is_int(fp_pb_element_next(&in, &element, &url, &value), 0, "the second");
    ok(fp_str_eq_c(fp_pb_first_string(value), "a"), "its name");
    is_int(fp_pb_element_next(&in, &element, &url, &value), 0, "the third");
    is_int(value.len, 0, "without a value");
    is_int(fp_pb_element_next(&in, &element, &url, &value), FP_ERR_NOT_FOUND, "no more");

    size_t wrong = 0;
    for (size_t n = 1; n < out.len; n++) {
        in = fp_str_n(out.data, n);
        int err;
        while ((err = fp_pb_element_next(&in, &element, &url, &value)) == 0)
            ;
        wrong += err != FP_ERR_CORRUPT && err != FP_ERR_NOT_FOUND;
    }
    is_int(wrong, 0, "every truncation is refused or ends between elements");
    fp_buf_fini(&out);
}

int main(void)
{
    fp_json_init();
    fp_pb_pool_builtin(&pool);
    forget_rules(pool); /* t/00-unit/pb_check.c is about them */
    arena = fp_arena_new(NULL);
    both_spellings();
    scalars();
    enums();
    well_known();
    maps();
    any();
    all_problems();
    limits();
    elements();
    fp_arena_free(&arena);
    fp_pb_pool_free(&pool);
    return done_testing();
}
