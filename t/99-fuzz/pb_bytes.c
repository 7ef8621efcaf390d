/* Protobuf to JSON from any bytes; as a descriptor set, too.  What comes out must encode, unless it
 * is a message only bytes can express.  The first byte chooses the message. */
#include <stdint.h>
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "pb/pb_json.h"
#include "pb/pb_pool_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const kinds[] = {
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.listener.v3.Listener",
    "envoy.config.route.v3.RouteConfiguration",
    "google.protobuf.Any",
    "google.protobuf.Value",
    "google.protobuf.FieldMask",
    "google.protobuf.Timestamp",
};

static void as_set(struct fp_arena *a, struct fp_str bytes)
{
    struct fp_pb_pool *own = NULL;
    const char *why = NULL;
    FP_ASSERT((fp_pb_pool_open(&own, bytes, a, &why) == 0) == (why == NULL));
    /* Validate rules are an operator's, too. */
    for (uint32_t i = 0; own && i < own->messages_n && i < 64; i++) {
        struct fp_buf out = {0};
        json_t *v = json_pack("{s:s}", "f", "a");
        fp_pb_from_json(own, &own->messages[i], v, "", fp_problems_new(a), &out);
        json_decref(v);
        fp_buf_fini(&out);
    }
    fp_pb_pool_free(&own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fp_pb_pool *pool;
    if (!pool) {
        fp_json_init();
        fp_pb_pool_builtin(&pool);
    }
    if (size == 0)
        return 0;
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_problems *ps = fp_problems_new(a);
    struct fp_str bytes = fp_str_n(data + 1, size - 1), element, url, value;
    const size_t kinds_n = sizeof kinds / sizeof *kinds;
    if (data[0] % (kinds_n + 1) == kinds_n) {
        as_set(a, bytes);
    } else {
        const struct fp_pb_message *m =
            fp_pb_pool_message(pool, fp_str_of(kinds[data[0] % (kinds_n + 1)]));
        struct fp_buf out = {0};
        json_t *v = fp_pb_to_json(pool, m, bytes, ps);
        FP_ASSERT((v == NULL) == (ps->n > 0));
        if (v)
            fp_pb_from_json(pool, m, v, "", ps, &out);
        json_decref(v);
        fp_buf_fini(&out);
    }
    while (fp_pb_element_next(&bytes, &element, &url, &value) == 0)
        fp_pb_first_string(value);
    fp_arena_free(&a);
    return 0;
}
