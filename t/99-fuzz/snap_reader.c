/*
 * Any bytes as a snapshot segment: they are refused, or everything in them can be read.  The digest
 * is left out, or nothing but its check would be tested.
 */
#include "snap/snap_format_int.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned seen;

static void touch(struct fp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        seen += (unsigned char)s.data[i];
}

static void read_kind(const struct fp_snap *s, enum fp_kind kind)
{
    struct fp_snap_entry e, found;
    for (uint32_t i = 0; i < fp_snap_count(s, kind); i++) {
        fp_snap_at(s, kind, i, &e);
        touch(e.name);
        touch(e.team);
        touch(e.blob);
        touch(e.rest);
        fp_snap_find(s, kind, e.name, &found); /* may miss: the slots can be wrong, not unsafe */
        for (uint32_t r = 0; r < e.refs_n; r++) {
            enum fp_kind target;
            struct fp_str name;
            fp_snap_ref_at(s, &e, r, &target, &name);
            touch(name);
            fp_snap_find(s, target, name, &found);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fp_snap *s = NULL;
    if (size > 1 << 20) /* overlapping spans could make one small file a day's reading */
        return 0;
    uint64_t *copy = aligned_alloc(8, (size + 15) / 8 * 8);
    memcpy(copy, data, size);
    if (fp_snap_open_memory(copy, size, &s) == 0) {
        for (int k = 0; k < FP_KIND_N; k++)
            read_kind(s, (enum fp_kind)k);
        fp_snap_unref(&s);
    }
    free(copy);
    return 0;
}
