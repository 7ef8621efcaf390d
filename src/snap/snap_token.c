/*
 * The token record in a snapshot.  Written by the watcher, read by workers for each REST request;
 * it must never hold a secret, only its hash.
 */
#include "snap/snap_token.h"
#include "core/core_assert.h"
#include "core/core_err.h"

#define RECORD_VERSION 1

struct record { /* little-endian; id, name and scopes follow, each scope ends with NUL */
    uint8_t version, status;
    uint16_t reserved;
    uint32_t id_len, name_len, scopes_len;
    int64_t expires_wall_ms;
    uint8_t secret_hash[32];
};

void fp_snap_token_encode(struct fp_buf *out, const struct fp_snap_token *t)
{
    struct record r = {
        .version = RECORD_VERSION,
        .status = (uint8_t)t->status,
        .id_len = (uint32_t)t->id.len,
        .name_len = (uint32_t)t->name.len,
        .expires_wall_ms = t->expires_wall_ms,
    };
    memcpy(r.secret_hash, t->secret_hash, sizeof r.secret_hash);
    for (uint32_t i = 0; i < t->scopes_n; i++)
        r.scopes_len += (uint32_t)t->scopes[i].len + 1;
    fp_buf_append(out, &r, sizeof r);
    fp_buf_append_str(out, t->id);
    fp_buf_append_str(out, t->name);
    for (uint32_t i = 0; i < t->scopes_n; i++) {
        FP_ASSERT(!memchr(t->scopes[i].data, 0, t->scopes[i].len));
        fp_buf_append_str(out, t->scopes[i]);
        fp_buf_append_byte(out, 0);
    }
}

int fp_snap_token_decode(struct fp_str blob, struct fp_snap_token *out)
{
    struct record r;
    if (blob.len < sizeof r)
        return FP_ERR_CORRUPT;
    memcpy(&r, blob.data, sizeof r);
    uint64_t need = sizeof r + (uint64_t)r.id_len + r.name_len + r.scopes_len;
    if (r.version != RECORD_VERSION || r.status > FP_TOKEN_EXPIRED || need != blob.len)
        return FP_ERR_CORRUPT;
    const char *p = blob.data + sizeof r;
    if (r.scopes_len && p[r.id_len + r.name_len + r.scopes_len - 1] != 0)
        return FP_ERR_CORRUPT;
    *out = (struct fp_snap_token){
        .id = fp_str_n(p, r.id_len),
        .expires_wall_ms = r.expires_wall_ms,
        .name = fp_str_n(p + r.id_len, r.name_len),
        .scopes_raw = fp_str_n(p + r.id_len + r.name_len, r.scopes_len),
    };
    out->status = r.status;
    memcpy(out->secret_hash, r.secret_hash, sizeof r.secret_hash);
    return 0;
}

bool fp_snap_token_scope(const struct fp_snap_token *t, size_t *pos, struct fp_str *scope)
{
    if (*pos >= t->scopes_raw.len)
        return false;
    const char *p = t->scopes_raw.data + *pos;
    *scope = fp_str_n(p, strnlen(p, t->scopes_raw.len - *pos));
    *pos += scope->len + 1;
    return true;
}
