/* The guard before protobuf-c's unpack: what it lets through unpacks, everything else ends there.
 */
#include "tap.h"
#include "../../src/pb/pb_guard.c"
#include "core/core_buf.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"

#define REQUEST &envoy__service__discovery__v3__discovery_request__descriptor
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

/* A request with node metadata nested by `levels` Structs: fields (1) of value (2) struct_value (5)
 */
static void nest(struct fp_buf *b, int levels)
{
    for (int i = 0; i < levels; i++) {
        wrap(b, 0x2a); /* Value.struct_value */
        wrap(b, 0x12); /* entry.value */
        wrap(b, 0x0a); /* Struct.fields */
    }
    wrap(b, 0x1a); /* Node.metadata */
    wrap(b, 0x12); /* DiscoveryRequest.node */
}

static size_t packed_request(uint8_t *out)
{
    char *names[] = {"a", "\xc3\xa4", ""};
    Envoy__Config__Core__V3__Node node = ENVOY__CONFIG__CORE__V3__NODE__INIT;
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    Envoy__Service__Discovery__V3__DiscoveryRequest r =
        ENVOY__SERVICE__DISCOVERY__V3__DISCOVERY_REQUEST__INIT;
    node.id = "envoy-1";
    node.cluster = "c";
    status.code = -3;
    status.message = "no";
    r.node = &node;
    r.error_detail = &status;
    r.resource_names = names;
    r.n_resource_names = 3;
    r.type_url = "type.googleapis.com/x.Y";
    return envoy__service__discovery__v3__discovery_request__pack(&r, out);
}

static void truncations(void)
{
    uint8_t whole[512], copy[512];
    size_t n = packed_request(whole), refused = 0, good = 0;
    is_int(guard(whole, n, 100), 0, "a request of %zu bytes passes", n);
    for (size_t k = 0; k < n; k++) {
        memcpy(copy, whole, k);
        ProtobufCMessage *m = fp_pb_unpack(REQUEST, fp_str_n(copy, k), 100);
        refused += !m;
        good += m != NULL;
        if (m)
            protobuf_c_message_free_unpacked(m, NULL);
    }
    ok(refused > n / 2 && good < 10, "truncations: %zu refused, %zu whole fields", refused, good);
    size_t unpacked = 0, passed = 0;
    for (size_t bit = 0; bit < 8 * n; bit++) {
        memcpy(copy, whole, n);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        passed += guard(copy, n, 100) == 0;
        ProtobufCMessage *m = fp_pb_unpack(REQUEST, fp_str_n(copy, n), 100);
        unpacked += m != NULL;
        if (m)
            protobuf_c_message_free_unpacked(m, NULL);
    }
    /* protobuf-c itself refuses a second, empty `node`, which is legal and which nobody sends. */
    ok(passed > n && unpacked + 1 >= passed && unpacked <= passed,
       "one bit turned: what passes the guard unpacks (%zu of %zu)", unpacked, passed);
}

int main(void)
{
    is_int(GUARD("", 0), 0, "an empty message");
    is_int(GUARD("\x0a\x01v", 1), 0, "one string, one element");
    is_int(GUARD("\x0a\x01v", 0), FP_ERR_LIMIT, "no budget for it");
    is_int(GUARD("\x1a\x00\x1a\x00\x1a\x00", 2), FP_ERR_LIMIT, "three names for two elements");
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
    nest(&b, 9); /* request, node, metadata, then entry, value, struct: 3 + 27 */
    is_int(guard(b.data, b.len, 1000), 0, "depth 30");
    fp_buf_fini(&b);
    nest(&b, 10);
    is_int(guard(b.data, b.len, 1000), FP_ERR_LIMIT, "depth 33");
    fp_buf_fini(&b);
    nest(&b, 10000);
    is_int(guard(b.data, b.len, 1u << 30), FP_ERR_LIMIT, "nested 30,000 deep, %zu bytes", b.len);
    ok(!fp_pb_unpack(REQUEST, fp_buf_str(&b), 1u << 30), "is not unpacked");
    fp_buf_fini(&b);

    for (int i = 0; i < 1 << 20; i++)
        fp_buf_append(&b, "\x1a\x00", 2);
    is_int(guard(b.data, b.len, 100000), FP_ERR_LIMIT, "2 MiB of empty names");
    fp_buf_fini(&b);
    truncations();
    return done_testing();
}
