/*
 * The transcoder: canonical proto3 JSON ↔ protobuf along descriptors (design.md §4, contract §5.8).
 * Deterministic: fields by number, map keys sorted; equal input, equal bytes.
 */
#pragma once
#include <jansson.h>
#include "core/core_buf.h"
#include "pb/pb_pool.h"

#define FP_PB_MAX_DEPTH  32
#define FP_PB_MAX_BYTES  (4u << 20)
#define FP_PB_URL_PREFIX "type.googleapis.com/"

/* Appends the message's bytes.  All problems are reported, pointers below base_pointer ("" or
 * "/envoy"). 0 or FP_ERR_INVALID; on error `out` is unchanged. */
int fp_pb_from_json(const struct fp_pb_pool *pool, const struct fp_pb_message *type,
                    const json_t *v, const char *base_pointer, struct fp_problems *ps,
                    struct fp_buf *out);
/* lowerCamelCase, defaults left out; a new reference, or NULL with a problem (malformed bytes). */
json_t *fp_pb_to_json(const struct fp_pb_pool *pool, const struct fp_pb_message *type,
                      struct fp_str bytes, struct fp_problems *ps);
/*
 * A stored element of design.md §6: 0x12 <len> google.protobuf.Any{type.googleapis.com/<type>, v},
 * a complete SotW DiscoveryResponse.resources element.  Appends; same errors as fp_pb_from_json.
 */
int fp_pb_element(const struct fp_pb_pool *pool, const char *full_name, const json_t *v,
                  const char *base_pointer, struct fp_problems *ps, struct fp_buf *out);
/*
 * The same; `note` hears of every typed configuration that was given as base64 bytes of a message
 * that is not in the pool and was therefore taken unchecked (a warning, contract §5.8).
 */
typedef void fp_pb_note_fn(void *arg, const char *pointer, struct fp_str type_url);
int fp_pb_element_noting(const struct fp_pb_pool *pool, const char *full_name, const json_t *v,
                         const char *base_pointer, struct fp_problems *ps, struct fp_buf *out,
                         fp_pb_note_fn *note, void *note_arg);
/* Takes one element off the front of *in.  0, FP_ERR_NOT_FOUND at the end, FP_ERR_CORRUPT.  All
 * strings are borrowed from *in: element = with the 0x12 head, type_url, value = the message's
 * bytes. */
int fp_pb_element_next(struct fp_str *in, struct fp_str *element, struct fp_str *type_url,
                       struct fp_str *value);
/* The first string field number 1 of a message (a resource's name for all our kinds but
 * ClusterLoadAssignment.cluster_name, which is number 1 too); FP_STR_NULL when absent. */
struct fp_str fp_pb_first_string(struct fp_str message);
