/* Maps and reads one generation.  Workers and watcher; never writes, never trusts an offset. */
#pragma once
#include "snap/snap_format.h"

struct fp_snap; /* one mapped generation, reference counted */
/* Maps and checks every bound once.  0, FP_ERR_CORRUPT, FP_ERR_VERSION, -errno.  fd stays the
 * caller's. */
int fp_snap_open(int fd, struct fp_snap **out);
/* And the checksum, which a sealed segment of the own watcher does not need: what came from a file.
 */
int fp_snap_open_checked(int fd, struct fp_snap **out);
struct fp_snap *fp_snap_ref(struct fp_snap *s);
void fp_snap_unref(struct fp_snap **s);
/*
 * A snapshot in memory that has but this entry of `from`, without its REST form and team: what
 * outlives its generation does not keep all of that mapped.
 */
struct fp_snap *fp_snap_extract(const struct fp_snap *from, enum fp_kind kind,
                                const struct fp_snap_entry *e, bool with_blob);
const struct fp_snap_meta *fp_snap_meta(const struct fp_snap *s);
size_t fp_snap_bytes(const struct fp_snap *s);
uint32_t fp_snap_count(const struct fp_snap *s, enum fp_kind kind);
void fp_snap_at(const struct fp_snap *s, enum fp_kind kind, uint32_t index,
                struct fp_snap_entry *out); /* by name order */
bool fp_snap_find(const struct fp_snap *s, enum fp_kind kind, struct fp_str name,
                  struct fp_snap_entry *out);
/* reference i of e (i < e->refs_n) */
void fp_snap_ref_at(const struct fp_snap *s, const struct fp_snap_entry *e, uint32_t i,
                    enum fp_kind *kind, struct fp_str *name);
/* Commutative hash over (name, hash) of all entries of a kind; the set version of scope "all". */
const uint8_t *fp_snap_set_hash(const struct fp_snap *s, enum fp_kind kind);
/* The term one entry adds to a set hash: 32 bytes, sets are summed as 4 little-endian u64 words. */
void fp_snap_set_term(const struct fp_snap_entry *e, uint64_t term[4]);
