/*
 * The guard before protobuf-c's unpack (design.md §4).  Unpack alone recurses as deep as the bytes
 * say (34 KB end the process) and allocates for every element (4 MiB become 176 MiB).  Runs in
 * workers, on what any client may send.  Allocates nothing; recursion is bounded.
 */
#include "core/core_err.h"
#include "pb/pb_guard.h"
#include "pb/pb_json.h"
#include "pb/pb_wire_int.h"

struct guard {
    size_t elements_left;
};

static int spend(struct guard *g, size_t n)
{
    if (n > g->elements_left)
        return FP_ERR_LIMIT;
    g->elements_left -= n;
    return 0;
}

/* enum fp_pb_wire_type of one value */
static uint8_t wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return FP_PB_WIRE_I64;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return FP_PB_WIRE_I32;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return FP_PB_WIRE_LEN;
    default:
        return FP_PB_WIRE_VARINT;
    }
}

static int check_text(struct fp_str s)
{
    if (s.len && memchr(s.data, 0, s.len))
        return FP_ERR_PROTOCOL; /* unpacked it is a C string, and would be cut there */
    return fp_str_is_utf8(s) ? 0 : FP_ERR_PROTOCOL;
}

static int check_packed(struct guard *g, ProtobufCType type, struct fp_str bytes)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    uint8_t wire = wire_of(type);
    uint64_t v;
    int err = 0;
    if (wire != FP_PB_WIRE_VARINT) {
        size_t size = wire == FP_PB_WIRE_I64 ? 8 : 4;
        return bytes.len % size ? FP_ERR_PROTOCOL : spend(g, bytes.len / size);
    }
    while (!err && w.p < w.end)
        err = fp_pb_wire_varint(&w, &v) ? spend(g, 1) : FP_ERR_PROTOCOL;
    return err;
}

static int check_message(struct guard *g, const ProtobufCMessageDescriptor *d, struct fp_str bytes,
                         unsigned depth);

static int check_field(struct guard *g, const ProtobufCFieldDescriptor *f,
                       const struct fp_pb_item *it, unsigned depth)
{
    uint8_t wire = wire_of(f->type);
    if (it->wire == FP_PB_WIRE_LEN && wire != FP_PB_WIRE_LEN &&
        f->label == PROTOBUF_C_LABEL_REPEATED)
        return check_packed(g, f->type, it->bytes);
    if (it->wire != wire)
        return FP_ERR_PROTOCOL;
    if (f->type == PROTOBUF_C_TYPE_STRING)
        return check_text(it->bytes);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return check_message(g, f->descriptor, it->bytes, depth + 1);
    return 0;
}

static int check_message(struct guard *g, const ProtobufCMessageDescriptor *d, struct fp_str bytes,
                         unsigned depth)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it;
    int r, err = depth > FP_PB_MAX_DEPTH ? FP_ERR_LIMIT : 0;
    while (!err && (r = fp_pb_wire_next(&w, &it)) != 0) {
        if (r < 0)
            return FP_ERR_PROTOCOL;
        err = spend(g, 1); /* unknown fields too: unpack keeps a copy of each */
        const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, it.number);
        if (!err && f)
            err = check_field(g, f, &it, depth);
    }
    return err;
}

int fp_pb_guard(const ProtobufCMessageDescriptor *d, struct fp_str bytes, size_t max_elements)
{
    struct guard g = {max_elements};
    return check_message(&g, d, bytes, 1);
}

static void *allocate(void *arena, size_t n)
{
    return fp_arena_alloc(arena, n);
}

static void release(void *arena, void *p)
{
}

void *fp_pb_unpack(const ProtobufCMessageDescriptor *d, struct fp_str bytes, size_t max_elements,
                   struct fp_arena *a)
{
    ProtobufCAllocator from = {.alloc = allocate, .free = release, .allocator_data = a};
    if (fp_pb_guard(d, bytes, max_elements) != 0)
        return NULL;
    return protobuf_c_message_unpack(d, &from, bytes.len, (const uint8_t *)bytes.data);
}

void fp_pb_pack(const ProtobufCMessage *m, struct fp_buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    fp_buf_reserve(out, n);
    out->len += protobuf_c_message_pack(m, (uint8_t *)out->data + out->len);
}
