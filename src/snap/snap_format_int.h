/*
 * Layout of a segment, private to this room (design.md §6).  Little-endian, 8-aligned, offsets from
 * the start of the segment:
 *
 *     header (with one table per kind) | entries, slots of each kind | refs | strings and blobs
 *
 * Raise FP_SNAP_MAJOR when a reader of the old layout would misread the new one, MINOR when it may
 * ignore what is new.
 */
#pragma once
#include "snap/snap_reader.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "segments are little-endian");

#define FP_SNAP_MAGIC      UINT64_C(0x314e53574f4c4650) /* "PFLOWSN1" */
#define FP_SNAP_MAJOR      1
#define FP_SNAP_MINOR      0
#define FP_SNAP_SLOT_EMPTY UINT32_MAX
#define FP_SNAP_TEAM       1u /* flags: the entry has a team */
#define FP_SNAP_REST       2u /* flags: the entry has a REST form */

struct fp_snap_span { /* bytes somewhere in the segment */
    uint64_t off;
    uint32_t len;
    uint32_t reserved;
};

struct fp_snap_raw_entry {
    struct fp_snap_span name, team, blob, rest;
    uint8_t hash[FP_SNAP_HASH_BYTES]; /* SHA-256 of blob */
    int64_t row_version;
    uint32_t refs_first, refs_n; /* into the segment's refs */
    uint32_t flags;
    uint32_t segment_id; /* where blob lies; 0 = this segment, others are reserved */
};

struct fp_snap_raw_ref {
    struct fp_snap_span name; /* reserved holds the kind */
};

struct fp_snap_table {
    uint64_t entries_off; /* sorted by name, strictly */
    uint64_t slots_off;   /* uint32_t indices, open addressing, linear */
    uint32_t entries_n;
    uint32_t slots_n; /* 0 or a power of two >= 2 * entries_n: a probe always ends */
    uint8_t set_hash[FP_SNAP_HASH_BYTES];
};

struct fp_snap_header {
    uint64_t magic;
    uint16_t major, minor;
    uint32_t kinds_n;
    uint64_t generation;
    uint8_t epoch[16], commit_id[16];
    uint64_t revision;
    int64_t built_wall_ms;
    uint64_t size;
    uint64_t hash_seed; /* of the name slots: random, so that names cannot be made to collide */
    uint64_t refs_off, refs_n;
    /* SHA-256 of the header, in which this field holds the SHA-256 of everything behind it */
    uint8_t digest[FP_SNAP_HASH_BYTES];
    struct fp_snap_table tables[FP_KIND_N];
};

_Static_assert(sizeof(struct fp_snap_raw_entry) % 8 == 0, "entries stay aligned");
_Static_assert(sizeof(struct fp_snap_header) % 8 == 0, "what follows the header is aligned");

uint64_t fp_snap_name_hash(uint64_t seed, struct fp_str name);
void fp_snap_digest(const void *segment, size_t size, uint8_t out[FP_SNAP_HASH_BYTES]);
/*
 * The reader over bytes that are not a memfd: for tests and fuzzing.  p is 8-aligned and outlives
 * the snapshot.
 */
int fp_snap_open_memory(const void *p, size_t n, struct fp_snap **out);
