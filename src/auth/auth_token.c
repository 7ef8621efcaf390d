/*
 * Authentication of one request from the token table of the snapshot (contract §4.3).  Runs in
 * workers.  Pure: no clock, no I/O; the status of a token is looked at only after its secret, so
 * that an id alone reveals nothing.
 */
#include "auth/auth.h"
#include "codec/codec_hash.h"

#define PREFIX           "fp_pat_"
#define UUID_BYTES       36
#define SECRET_MIN_BYTES 32
#define SECRET_MAX_BYTES 256

const struct fp_auth_info fp_auth_infos[] = {
    [FP_AUTH_OK] = {"", "", "success"},
    [FP_AUTH_MISSING] = {"unauthorized: bearer token missing", "missing_token", "missing_bearer"},
    [FP_AUTH_MALFORMED] = {"unauthorized: malformed bearer token", "malformed_token", "malformed"},
    [FP_AUTH_NOT_FOUND] = {"unauthorized: token not found", "invalid_token", "not_found"},
    [FP_AUTH_BAD_SECRET] = {"unauthorized: token not found", "invalid_token", "invalid_secret"},
    [FP_AUTH_REVOKED] = {"unauthorized: token not found", "revoked_token", "inactive"},
    [FP_AUTH_INACTIVE] = {"unauthorized: token inactive", "inactive_token", "inactive"},
    [FP_AUTH_EXPIRED] = {"unauthorized: token expired", "expired_token", "expired"},
};

static bool secret_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* "Bearer fp_pat_<uuid>.<secret>", the word optional and case-insensitive (contract §2.2). */
bool fp_auth_split(struct fp_str header, struct fp_str *id, struct fp_str *secret)
{
    struct fp_str v = fp_str_trim(header);
    if (v.len > 7 && fp_str_case_eq(fp_str_n(v.data, 7), FP_STR("bearer ")))
        v = fp_str_trim(fp_str_n(v.data + 7, v.len - 7));
    if (!fp_str_starts(v, FP_STR(PREFIX)))
        return false;
    v = fp_str_n(v.data + sizeof(PREFIX) - 1, v.len - (sizeof(PREFIX) - 1));
    *id = fp_str_split(v, '.', secret);
    if (!secret->data || !fp_uuid_is(*id))
        return false;
    for (size_t i = 0; i < id->len;
         i++) /* the name in the snapshot is lower case, and so is the format */
        if (id->data[i] >= 'A' && id->data[i] <= 'F')
            return false;
    if (secret->len < SECRET_MIN_BYTES || secret->len > SECRET_MAX_BYTES)
        return false;
    for (size_t i = 0; i < secret->len; i++)
        if (!secret_char(secret->data[i]))
            return false;
    return true;
}

enum fp_auth_verdict fp_auth_judge(const struct fp_snap_token *token, struct fp_str secret,
                                   int64_t now_wall_ms)
{
    static const uint8_t dummy[FP_SHA256_BYTES];
    uint8_t hash[FP_SHA256_BYTES];
    fp_sha256(secret.data, secret.len, hash);
    bool same = fp_equal_ct(hash, token ? token->secret_hash : dummy, sizeof(hash));
    if (!token)
        return FP_AUTH_NOT_FOUND;
    if (!same)
        return FP_AUTH_BAD_SECRET;
    if (token->status == FP_TOKEN_REVOKED)
        return FP_AUTH_REVOKED;
    if (token->expires_wall_ms && token->expires_wall_ms <= now_wall_ms)
        return FP_AUTH_EXPIRED;
    if (token->status != FP_TOKEN_ACTIVE)
        return FP_AUTH_INACTIVE;
    return FP_AUTH_OK;
}

enum fp_auth_verdict fp_auth_check(const struct fp_snap *s, struct fp_str authorization,
                                   int64_t now_wall_ms, struct fp_snap_token *token)
{
    struct fp_str id, secret;
    struct fp_snap_entry e;
    if (!authorization.data || fp_str_trim(authorization).len == 0)
        return FP_AUTH_MISSING;
    if (!fp_auth_split(authorization, &id, &secret))
        return FP_AUTH_MALFORMED;
    bool known =
        fp_snap_find(s, FP_KIND_TOKEN, id, &e) && fp_snap_token_decode(e.blob, token) == FP_OK;
    return fp_auth_judge(known ? token : NULL, secret, now_wall_ms);
}
