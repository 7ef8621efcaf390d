/*
 * Stored elements: one or more `0x12 <len> <Any>` back to back (design.md §6), and the little the
 * other rooms need to know about a message's bytes.  Borrows everything, allocates nothing.
 */
#include "core/core_err.h"
#include "pb/pb_json.h"
#include "pb/pb_wire_int.h"

int fp_pb_element_next(struct fp_str *in, struct fp_str *element, struct fp_str *type_url,
                       struct fp_str *value)
{
    struct fp_pb_wire w = fp_pb_wire_of(*in), any;
    struct fp_pb_item it, inner;
    int r = fp_pb_wire_next(&w, &it);
    *type_url = FP_STR_NULL;
    *value = FP_STR("");
    if (r == 0)
        return FP_ERR_NOT_FOUND;
    if (r < 0 || it.number != 2 || it.wire != FP_PB_WIRE_LEN)
        return FP_ERR_CORRUPT;
    any = fp_pb_wire_of(it.bytes);
    while ((r = fp_pb_wire_next(&any, &inner)) > 0) {
        if (inner.wire != FP_PB_WIRE_LEN || inner.number > 2)
            return FP_ERR_CORRUPT; /* we wrote it: two fields, nothing else */
        *(inner.number == 1 ? type_url : value) = inner.bytes;
    }
    if (r < 0 || !type_url->data)
        return FP_ERR_CORRUPT;
    size_t used = (size_t)((const char *)w.p - in->data);
    *element = fp_str_n(in->data, used);
    *in = fp_str_n(in->data + used, in->len - used);
    return 0;
}

struct fp_str fp_pb_first_string(struct fp_str message)
{
    struct fp_pb_wire w = fp_pb_wire_of(message);
    struct fp_pb_item it;
    while (fp_pb_wire_next(&w, &it) > 0)
        if (it.number == 1 && it.wire == FP_PB_WIRE_LEN)
            return it.bytes;
    return FP_STR_NULL;
}
