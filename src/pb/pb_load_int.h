/* Filling a pool from a serialized google.protobuf.FileDescriptorSet. */
#pragma once
#include "pb/pb_pool_int.h"

/* `set` is borrowed for the pool's life.  0 or FP_ERR_INVALID with *why (in a). */
int fp_pb_pool_load(struct fp_pb_pool *p, struct fp_str set, struct fp_arena *a, const char **why);
