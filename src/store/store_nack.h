/*
 * Rejections of nodes, of all instances (contract §10, table xds_nacks).  Written in batches, so
 * that a fleet that rejects one change costs a statement, not thousands.
 */
#pragma once
#include "store/store.h"

struct fp_store_nack {
    bool rejected; /* this many more rejections, else only resolved */
    bool resolved; /* open entries of this node and type, also of other instances */
    struct fp_str instance, node_id, node_cluster, team, type_url;
    struct fp_str version_rejected, version_accepted, nonce, message;
    struct fp_str names; /* each ends with NUL */
    uint32_t code, count;
    int64_t first_wall_ms, last_wall_ms;
};
/* One for each (node, type).  FP_STORE_REFUSED: of some of these values, nothing was written;
 * FP_STORE_UNAVAILABLE: try again later. */
void fp_store_nacks_put(struct fp_store *s, const struct fp_store_nack *items, size_t n,
                        void (*done)(enum fp_store_outcome how, void *arg), void *arg);

struct fp_store_nack_filter {
    bool open;                       /* only those not resolved */
    int64_t since_wall_ms;           /* seen last at or after; 0: any */
    struct fp_str node_id, type_url; /* data == NULL: any */
    const struct fp_str *teams;      /* only these; NULL: all */
    size_t teams_n;
    uint32_t limit;
};
struct fp_store_nack_row { /* borrowed */
    int64_t id;
    struct fp_store_nack nack; /* names: not set, see resources */
    struct fp_str *resources;
    size_t resources_n;
    int64_t resolved_wall_ms; /* 0: open */
    uint64_t total;           /* rows that fit, beyond the limit too */
};
/* Newest first.  next() is called for each row and once with NULL; ok false: the database is away.
 * Ends early through fp_store_forget(arg). */
void fp_store_nacks_list(struct fp_store *s, const struct fp_store_nack_filter *f,
                         void (*next)(bool ok, const struct fp_store_nack_row *row, void *arg),
                         void *arg);
