/*
 * Sets of resource names, interned: a thousand Envoys that name the same routes share one set, and
 * equal sets are equal pointers.
 */
#pragma once
#include "core/core_buf.h"
#include "core/core_map.h"
#include "xds/xds_request_int.h"

struct fp_xds_names_pool { /* one per engine; {0} is empty */
    struct fp_map by_key;
    uint64_t last_id;
    struct fp_buf key; /* scratch */
    struct fp_str *scratch;
    size_t scratch_cap;
};
void fp_xds_names_pool_fini(struct fp_xds_names_pool *p); /* after the last set is gone */

struct fp_xds_names { /* immutable */
    unsigned refs;
    bool wildcard;
    uint32_t n;              /* explicit names, sorted, no duplicates (S-9) */
    uint64_t id;             /* never used again */
    uint64_t sum;            /* of the names' hashes: the quick test for "the same again" */
    struct fp_str key;       /* its own bytes, wildcard included */
    const struct fp_str *at; /* into key */
    struct fp_xds_names_pool *pool;
};

#define FP_XDS_NAMES_MAX 200000u /* a stream's names of one type (E-3) */

/*
 * The set a request names, as a new reference.  wildcard: this type has one (W-8), so "*" means it
 * (W-2), and so does naming nothing while nothing was ever named (W-1, W-3: legacy).
 * `current` (may be NULL) is returned again when it is the same set.
 */
struct fp_xds_names *fp_xds_names_of(struct fp_xds_names_pool *p, const struct fp_xds_request *r,
                                     bool wildcard, bool legacy, struct fp_xds_names *current);
struct fp_xds_names *fp_xds_names_intersect(struct fp_xds_names *a, struct fp_xds_names *b);
struct fp_xds_names *fp_xds_names_ref(struct fp_xds_names *n);
void fp_xds_names_unref(struct fp_xds_names **n);
bool fp_xds_names_has(const struct fp_xds_names *n, struct fp_str name); /* or the wildcard */
/* b asks for something that a does not (S-8) */
bool fp_xds_names_gains(const struct fp_xds_names *a, const struct fp_xds_names *b);
