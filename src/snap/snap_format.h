/*
 * One generation of everything that is served: builder (watcher) and reader (workers) of the
 * segment (design.md §6).  Little-endian, 8-aligned, offsets only; the segment's layout is private
 * to this room.
 */
#pragma once
#include "core/core_kind.h"
#include "core/core_err.h"
#include "core/core_str.h"

#define FP_SNAP_HASH_BYTES 32

struct fp_snap_meta {
    uint64_t generation; /* counts up per watcher start and publish; never 0 */
    uint8_t epoch[16], commit_id[16];
    uint64_t revision;
    int64_t built_wall_ms;
};

/* One entry.  In a reader every string points into the mapping and lives as long as the fp_snap. */
struct fp_snap_entry {
    struct fp_str name;
    struct fp_str team; /* data == NULL: none */
    struct fp_str blob; /* a SotW element; for tokens the record of snap_token.h */
    struct fp_str
        rest; /* JSON text of the REST response; data == NULL: not a REST resource (generated) */
    int64_t row_version;       /* the ETag of `rest`; 0 when there is none */
    const uint8_t *hash;       /* SHA-256 of blob, FP_SNAP_HASH_BYTES; computed by the builder */
    const struct fp_ref *refs; /* builder input; in a reader use fp_snap_ref_at */
    uint32_t refs_n;
    uint32_t index; /* position in its type, by name */
};
