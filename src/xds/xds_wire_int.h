/* The protobuf wire format, as far as discovery messages need it: a field walker and a writer. */
#pragma once
#include "core/core_buf.h"

struct fp_xds_field {
    uint32_t number;
    unsigned type;       /* wire type */
    uint64_t value;      /* varint, fixed32, fixed64 */
    struct fp_str bytes; /* length-delimited, borrowed */
};
enum { FP_XDS_VARINT = 0, FP_XDS_FIXED64 = 1, FP_XDS_BYTES = 2, FP_XDS_FIXED32 = 5 };

/* Takes one field off the front of *in.  1: *f is set, 0: the end, -1: malformed (groups too). */
int fp_xds_wire_next(struct fp_str *in, struct fp_xds_field *f);
void fp_xds_wire_varint(struct fp_buf *out, uint64_t v);
void fp_xds_wire_tag(struct fp_buf *out, uint32_t number, unsigned type);
void fp_xds_wire_bytes(struct fp_buf *out, uint32_t number, struct fp_str s);
void fp_xds_wire_uint(struct fp_buf *out, uint32_t number, uint64_t v);
