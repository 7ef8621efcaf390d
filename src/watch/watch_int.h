/* Private to the watch room: the watcher's state and its parts. */
#pragma once
#include "core/core_map.h"
#include "snap/snap_builder.h"
#include "snap/snap_reader.h"
#include "watch/watch.h"

/* One row of the database, as it will be served.  One heap block; strings point into it. */
struct watch_row {
    enum fp_kind kind;
    struct fp_str name, team, id;
    struct fp_str rest;    /* JSON of the REST response; data == NULL for tokens */
    struct fp_str encoded; /* elements (pb_json.h); the record of snap_token.h for tokens */
    struct fp_ref *refs;
    size_t refs_n;
    int64_t version;
    bool bad; /* the row in the database cannot be built: these are the last good bytes, or none */
    bool deleted;  /* staged only */
    uint64_t seen; /* the load that brought or confirmed it */
};

struct watch_rows {
    struct fp_map kinds[FP_KIND_N]; /* name → struct watch_row */
    struct watch_row **staged;      /* of the load under way; applied as a whole or not at all */
    size_t staged_n, staged_cap;
    uint64_t load; /* counts loads */
    /* During the first load only: what an earlier watcher served, for rows that are bad by now. */
    const char *state_dir; /* NULL: no cache */
    struct fp_snap *cache;
    bool cache_tried;
};

/* watch_rows.c */
/* Prepares a row and stages it.  store_back: what we had to encode ourselves (may be empty). */
struct watch_encoded {
    bool fresh; /* encoded here: worth storing */
    struct fp_str encoded;
    uint8_t content_hash[32];
    const struct fp_ref *refs;
    size_t refs_n;
};
void watch_rows_stage(struct watch_rows *rs, const struct fp_model_options *o, struct fp_arena *a,
                      const struct fp_follow_row *row, struct watch_encoded *fresh);
/* Applies what was staged; full: rows that the load did not bring are gone.  true when anything
 * changed. */
bool watch_rows_commit(struct watch_rows *rs, bool full);
void watch_rows_abort(struct watch_rows *rs);
void watch_rows_fini(struct watch_rows *rs);
size_t watch_rows_bad(const struct watch_rows *rs, int kind);

/* watch_build.c: one sealed segment of all rows; 0 or negative enum fp_err */
int watch_build(const struct watch_rows *rs, const struct fp_pb_pool *pool,
                const struct fp_snap_meta *meta, int *fd);

/* watch_cache.c: the last known good segment in the state directory.  These calls block. */
void watch_cache_sweep(const char *state_dir); /* what a killed watcher left half written */
int watch_cache_save(const char *state_dir, int fd);
/* A sealed, checked segment; 0, FP_ERR_NOT_FOUND, FP_ERR_CORRUPT … */
int watch_cache_load(const char *state_dir, int *fd, struct fp_snap_meta *meta);
