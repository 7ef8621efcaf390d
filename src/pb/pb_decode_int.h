/* The decoder's inside: protobuf bytes, which may be anybody's, to canonical JSON. */
#pragma once
#include "pb/pb_json.h"
#include "pb/pb_pool_int.h"
#include "pb/pb_wire_int.h"

/* JSON values a message may become: 4 MiB of packed bools would otherwise be 130 MB of them. */
#define FP_PB_MAX_NODES (1u << 19)

struct fp_pb_dec {
    const struct fp_pb_pool *pool;
    const char *why; /* static text of the first error */
    size_t nodes;
    bool unknown; /* a field was met that the pool does not know */
};

/* A new reference, or NULL with d->why set. */
json_t *fp_pb_dec_message(struct fp_pb_dec *d, const struct fp_pb_message *m, struct fp_str bytes,
                          unsigned depth);
json_t *fp_pb_dec_well_known(struct fp_pb_dec *d, const struct fp_pb_message *m,
                             struct fp_str bytes, unsigned depth);
json_t *fp_pb_dec_scalar(struct fp_pb_dec *d, const struct fp_pb_field *f, uint64_t value,
                         struct fp_str bytes);
json_t *fp_pb_dec_string(struct fp_pb_dec *d, struct fp_str s);
json_t *fp_pb_dec_base64(struct fp_pb_dec *d, struct fp_str s);
json_t *fp_pb_dec_fail(struct fp_pb_dec *d, const char *why); /* NULL */
/* Counts one more value; false when there are too many. */
bool fp_pb_dec_count(struct fp_pb_dec *d);
