/* Guard, then protobuf-c's unpack, free and a second look; the first byte chooses the message. */
#include <stdint.h>
#include "core/core_assert.h"
#include "pb/pb_guard.h"
#include "google/protobuf/struct.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {
        /* all that are unpacked anywhere */
        &google__protobuf__struct__descriptor,
        &grpc__health__v1__health_check_request__descriptor,
        &grpc__reflection__v1__server_reflection_request__descriptor,
    };
    if (size == 0)
        return 0;
    const ProtobufCMessageDescriptor *d = kinds[data[0] % (sizeof kinds / sizeof *kinds)];
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_buf again = {0};
    const ProtobufCMessage *m = fp_pb_unpack(d, fp_str_n(data + 1, size - 1), 10000, a);
    if (m) {
        fp_pb_pack(m, &again);
        FP_ASSERT(again.len == protobuf_c_message_get_packed_size(m));
        FP_ASSERT(fp_pb_guard(d, fp_buf_str(&again), 20000) == 0);
    }
    fp_buf_fini(&again);
    fp_arena_free(&a);
    return 0;
}
