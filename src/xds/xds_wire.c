/*
 * The protobuf wire format for discovery, health and reflection messages, walked by hand in
 * workers: a request is 61 kB of node that nobody wants unpacked (I-6).  It must never read behind
 * its input and never recurse.
 */
#include "xds/xds_wire_int.h"

static bool varint(struct fp_str *in, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < in->len && i < 10; i++) {
        uint8_t b = (uint8_t)in->data[i];
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b & 0x80)
            continue;
        if (i == 9 && b > 1)
            return false;
        in->data += i + 1;
        in->len -= i + 1;
        *out = v;
        return true;
    }
    return false;
}

static bool take(struct fp_str *in, uint64_t n, struct fp_str *out)
{
    if (n > in->len)
        return false;
    *out = fp_str_n(in->data, (size_t)n);
    in->data += n;
    in->len -= (size_t)n;
    return true;
}

static bool fixed(struct fp_str *in, size_t n, uint64_t *out)
{
    struct fp_str s;
    if (!take(in, n, &s))
        return false;
    *out = 0;
    memcpy(out, s.data, n);
    return true;
}

int fp_xds_wire_next(struct fp_str *in, struct fp_xds_field *f)
{
    if (!in->len)
        return 0;
    uint64_t tag;
    if (!varint(in, &tag) || tag >> 32 || tag >> 3 == 0)
        return -1;
    *f = (struct fp_xds_field){.number = (uint32_t)(tag >> 3), .type = tag & 7};
    switch (f->type) {
    case FP_XDS_VARINT:
        return varint(in, &f->value) ? 1 : -1;
    case FP_XDS_FIXED64:
        return fixed(in, 8, &f->value) ? 1 : -1;
    case FP_XDS_FIXED32:
        return fixed(in, 4, &f->value) ? 1 : -1;
    case FP_XDS_BYTES:
        return varint(in, &f->value) && take(in, f->value, &f->bytes) ? 1 : -1;
    default:
        return -1;
    }
}

void fp_xds_wire_varint(struct fp_buf *out, uint64_t v)
{
    while (v >= 0x80) {
        fp_buf_append_byte(out, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    fp_buf_append_byte(out, (uint8_t)v);
}

void fp_xds_wire_tag(struct fp_buf *out, uint32_t number, unsigned type)
{
    fp_xds_wire_varint(out, (uint64_t)number << 3 | type);
}

void fp_xds_wire_bytes(struct fp_buf *out, uint32_t number, struct fp_str s)
{
    fp_xds_wire_tag(out, number, FP_XDS_BYTES);
    fp_xds_wire_varint(out, s.len);
    fp_buf_append_str(out, s);
}

void fp_xds_wire_uint(struct fp_buf *out, uint32_t number, uint64_t v)
{
    fp_xds_wire_tag(out, number, FP_XDS_VARINT);
    fp_xds_wire_varint(out, v);
}
