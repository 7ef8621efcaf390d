/*
 * Descriptor pool: what every message looks like, from the built-in descriptor set or an operator's
 * file (contract §5.8).  Immutable after opening; messages and fields live as long as the pool.
 */
#pragma once
#include "core/core_str.h"
#include "core/core_err.h"
#include "core/core_problem.h"

struct fp_pb_pool;
struct fp_pb_message;

int fp_pb_pool_builtin(
    struct fp_pb_pool **out); /* the set linked into the program; cannot fail but for bugs */
/* A serialized google.protobuf.FileDescriptorSet; *why (arena) says what is wrong. */
int fp_pb_pool_open(struct fp_pb_pool **out, struct fp_str file_descriptor_set, struct fp_arena *a,
                    const char **why);
void fp_pb_pool_free(struct fp_pb_pool **pool);
struct fp_pb_pool_size {
    size_t files, messages, fields, enums, rules, set_bytes, table_bytes;
};
struct fp_pb_pool_size fp_pb_pool_size(const struct fp_pb_pool *pool);
/* File number i < files, in the order of the set: name, package, number of messages in it. */
struct fp_str fp_pb_pool_file_at(const struct fp_pb_pool *pool, size_t i, struct fp_str *package,
                                 size_t *messages);
/* full name without leading dot, "envoy.config.cluster.v3.Cluster"; NULL when unknown */
const struct fp_pb_message *fp_pb_pool_message(const struct fp_pb_pool *pool,
                                               struct fp_str full_name);
/* The FileDescriptorProto bytes for gRPC reflection; false when unknown.  By file name or by
 * symbol. */
bool fp_pb_pool_file(const struct fp_pb_pool *pool, struct fp_str file_name, struct fp_str *bytes);
bool fp_pb_pool_file_of_symbol(const struct fp_pb_pool *pool, struct fp_str symbol,
                               struct fp_str *bytes);
