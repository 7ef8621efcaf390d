/* A token as the snapshot holds it: enough to authenticate without SQL. */
#pragma once
#include "core/core_buf.h"

struct fp_snap_token {
    struct fp_str id; /* UUID text; also the entry's name */
    uint8_t secret_hash[32];
    enum { FP_TOKEN_ACTIVE, FP_TOKEN_REVOKED, FP_TOKEN_EXPIRED } status;
    int64_t expires_wall_ms; /* 0 = never */
    struct fp_str name;
    const struct fp_str *scopes; /* writer */
    uint32_t scopes_n;
    struct fp_str scopes_raw; /* reader: NUL-separated, for fp_snap_token_scope */
};
void fp_snap_token_encode(struct fp_buf *out, const struct fp_snap_token *t);
int fp_snap_token_decode(struct fp_str blob,
                         struct fp_snap_token *out); /* borrowed; 0 or FP_ERR_CORRUPT */
/* Iterates: *pos starts at 0; false at the end. */
bool fp_snap_token_scope(const struct fp_snap_token *t, size_t *pos, struct fp_str *scope);
