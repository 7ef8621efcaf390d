/* Guard, then protobuf-c's unpack, free and a second look; the first byte chooses the message. */
#include <stdint.h>
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "pb/pb_guard.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {
        &envoy__service__discovery__v3__discovery_request__descriptor,
        &envoy__service__discovery__v3__delta_discovery_request__descriptor,
        &grpc__health__v1__health_check_request__descriptor,
        &grpc__reflection__v1__server_reflection_request__descriptor,
        &envoy__service__discovery__v3__discovery_response__descriptor,
    };
    if (size == 0)
        return 0;
    const ProtobufCMessageDescriptor *d = kinds[data[0] % (sizeof kinds / sizeof *kinds)];
    struct fp_str bytes = fp_str_n(data + 1, size - 1);
    ProtobufCMessage *m = fp_pb_unpack(d, bytes, 10000);
    if (!m)
        return 0;
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *again = fp_mem_alloc(n + 1);
    FP_ASSERT(protobuf_c_message_pack(m, again) == n);
    protobuf_c_message_free_unpacked(m, NULL);
    fp_mem_free(again);
    return 0;
}
