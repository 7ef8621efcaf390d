/*
 * The guard before every protobuf-c unpack (design.md §4): walks the bytes along the protobuf-c
 * descriptor: depth <= 32, an element budget, UTF-8 without NUL in strings, lengths, wire types.
 */
#pragma once
#include <protobuf-c/protobuf-c.h>
#include "core/core_str.h"

int fp_pb_guard(const ProtobufCMessageDescriptor *d, struct fp_str bytes,
                size_t max_elements); /* 0 or FP_ERR_PROTOCOL / FP_ERR_LIMIT */
/* guard + unpack; NULL when refused; free with protobuf_c_message_free_unpacked(m, NULL) */
ProtobufCMessage *fp_pb_unpack(const ProtobufCMessageDescriptor *d, struct fp_str bytes,
                               size_t max_elements);
