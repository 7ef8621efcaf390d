/*
 * The guard before every protobuf-c unpack (design.md §4): walks the bytes along the protobuf-c
 * descriptor: depth <= 32, an element budget, UTF-8 without NUL in strings, lengths, wire types.
 */
#pragma once
#include <protobuf-c/protobuf-c.h>
#include "core/core_arena.h"
#include "core/core_buf.h"

int fp_pb_guard(const ProtobufCMessageDescriptor *d, struct fp_str bytes,
                size_t max_elements); /* 0 or FP_ERR_PROTOCOL / FP_ERR_LIMIT */
/* Guard, then unpack into the arena, which is all there is to free.  NULL when refused. */
void *fp_pb_unpack(const ProtobufCMessageDescriptor *d, struct fp_str bytes, size_t max_elements,
                   struct fp_arena *a);
void fp_pb_pack(const ProtobufCMessage *m, struct fp_buf *out); /* appends */
