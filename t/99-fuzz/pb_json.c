/* JSON to protobuf and back: what is taken must come back as JSON that gives the same bytes.  The
 * first byte chooses the message. */
#include <stdint.h>
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "pb/pb_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const kinds[] = {
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.listener.v3.Listener",
    "envoy.config.route.v3.RouteConfiguration",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "google.protobuf.Any",
    "google.protobuf.Value",
    "google.protobuf.FieldMask",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.UInt64Value",
    "google.protobuf.FloatValue",
};

static void there_and_back(const struct fp_pb_pool *pool, const struct fp_pb_message *m,
                           const json_t *v, struct fp_problems *ps)
{
    struct fp_buf first = {0}, second = {0};
    if (fp_pb_from_json(pool, m, v, "", ps, &first) == 0) {
        json_t *back = fp_pb_to_json(pool, m, fp_buf_str(&first), ps);
        FP_ASSERT(back);
        FP_ASSERT(fp_pb_from_json(pool, m, back, "", ps, &second) == 0);
        FP_ASSERT(fp_str_eq(fp_buf_str(&first), fp_buf_str(&second)));
        json_decref(back);
    } else {
        FP_ASSERT(ps->total > 0 && first.len == 0);
    }
    fp_buf_fini(&first);
    fp_buf_fini(&second);
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
    const char *kind = kinds[data[0] % (sizeof kinds / sizeof *kinds)];
    json_t *v = fp_json_parse(a, fp_str_n(data + 1, size - 1), 100, ps);
    if (v)
        there_and_back(pool, fp_pb_pool_message(pool, fp_str_of(kind)), v, ps);
    fp_arena_free(&a);
    return 0;
}
