/*
 * Reading the protobuf wire format, one field at a time, every length checked.  No allocation.
 * Groups are refused: proto3 has none, and a reader that skips them needs a stack.
 */
#pragma once
#include "core/core_str.h"

enum fp_pb_wire_type {
    FP_PB_WIRE_VARINT = 0,
    FP_PB_WIRE_I64 = 1,
    FP_PB_WIRE_LEN = 2,
    FP_PB_WIRE_I32 = 5,
};
#define FP_PB_MAX_FIELD_NUMBER ((1u << 29) - 1)

struct fp_pb_wire {
    const uint8_t *p, *end;
};
struct fp_pb_item {
    uint32_t number;
    uint8_t wire;        /* enum fp_pb_wire_type */
    uint64_t value;      /* VARINT, I64, I32 */
    struct fp_str bytes; /* LEN */
};

static inline struct fp_pb_wire fp_pb_wire_of(struct fp_str s)
{
    const uint8_t *p = (const uint8_t *)s.data;
    return (struct fp_pb_wire){p, p ? p + s.len : p};
}

static inline bool fp_pb_wire_varint(struct fp_pb_wire *w, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && w->p < w->end; shift += 7) {
        uint8_t c = *w->p++;
        if (shift == 63 && c > 1)
            return false;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

static inline bool fp_pb_wire_fixed(struct fp_pb_wire *w, unsigned n, uint64_t *out)
{
    if ((size_t)(w->end - w->p) < n)
        return false;
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)w->p[i] << (8 * i);
    w->p += n;
    *out = v;
    return true;
}

static inline bool fp_pb_wire_bytes(struct fp_pb_wire *w, struct fp_str *out)
{
    uint64_t len;
    if (!fp_pb_wire_varint(w, &len) || len > (uint64_t)(w->end - w->p))
        return false;
    *out = fp_str_n(w->p, (size_t)len);
    w->p += len;
    return true;
}

/* 1: *it is the next field; 0: the end; -1: malformed */
static inline int fp_pb_wire_next(struct fp_pb_wire *w, struct fp_pb_item *it)
{
    uint64_t tag;
    if (w->p == w->end)
        return 0;
    if (!fp_pb_wire_varint(w, &tag) || tag >> 3 == 0 || tag >> 3 > FP_PB_MAX_FIELD_NUMBER)
        return -1;
    it->number = (uint32_t)(tag >> 3);
    it->wire = tag & 7;
    it->bytes = FP_STR_NULL;
    it->value = 0;
    switch (it->wire) {
    case FP_PB_WIRE_VARINT:
        return fp_pb_wire_varint(w, &it->value) ? 1 : -1;
    case FP_PB_WIRE_I64:
        return fp_pb_wire_fixed(w, 8, &it->value) ? 1 : -1;
    case FP_PB_WIRE_LEN:
        return fp_pb_wire_bytes(w, &it->bytes) ? 1 : -1;
    case FP_PB_WIRE_I32:
        return fp_pb_wire_fixed(w, 4, &it->value) ? 1 : -1;
    default:
        return -1;
    }
}

static inline int64_t fp_pb_wire_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}
static inline uint64_t fp_pb_wire_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}
