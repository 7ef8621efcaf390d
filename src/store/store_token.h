/*
 * Tokens (contract §4.2): their rows as finished JSON records, and changes as one statement each.
 * Asynchronous like store.h; a secret never comes here, only its digest.
 */
#pragma once
#include "store/store.h"

enum fp_token_outcome {
    FP_TOKEN_DONE,
    FP_TOKEN_UNCHANGED,
    FP_TOKEN_NOT_FOUND,
    FP_TOKEN_STALE,       /* If-Match: result.version is the current one */
    FP_TOKEN_NOT_LIVE,    /* rotate: the token is not active */
    FP_TOKEN_NO_SCOPES,   /* a revoked token without scopes cannot become active */
    FP_TOKEN_ADMIN_ONLY,  /* only a holder of admin:all may hand out admin:all */
    FP_TOKEN_LAST_ADMIN,  /* nobody could make tokens any more */
    FP_TOKEN_REFUSED,     /* the database refuses the values; logged */
    FP_TOKEN_UNAVAILABLE, /* 503 */
};
struct fp_token_write {
    struct fp_str id;     /* UUID text */
    struct fp_str fields; /* JSON object of what is set: name, description, status, expires (seconds
                             since 1970, may be null), scopes, hash (hex), created_by */
    int64_t if_version;   /* -1 = none */
    bool rotate, force;
    bool admin; /* the caller holds admin:all */
    bool dry;   /* look only */
    struct fp_store_actor actor;
};
struct fp_token_result { /* borrowed for the callback */
    enum fp_token_outcome outcome;
    struct fp_str before, record; /* JSON objects; data == NULL: there is none */
    int64_t version;
    uint64_t revision;
};
typedef void (*fp_token_cb)(const struct fp_token_result *r, void *arg);
void fp_store_token_create(struct fp_store *s, const struct fp_token_write *w, fp_token_cb cb,
                           void *arg);
void fp_store_token_change(struct fp_store *s, const struct fp_token_write *w, fp_token_cb cb,
                           void *arg);
void fp_store_token_get(struct fp_store *s, struct fp_str id, fp_token_cb cb, void *arg);

struct fp_token_list { /* borrowed for the callback */
    enum fp_token_outcome outcome;
    struct fp_str items; /* records, a comma between them */
    uint64_t total;
};
typedef void (*fp_token_list_cb)(const struct fp_token_list *l, void *arg);
/* By creation time, then id; limit 0 = all. */
void fp_store_token_list(struct fp_store *s, uint64_t limit, uint64_t offset, fp_token_list_cb cb,
                         void *arg);

struct fp_token_secret { /* what authenticates (contract §4.3); borrowed for the callback */
    enum fp_token_outcome outcome; /* DONE, NOT_FOUND or UNAVAILABLE */
    struct fp_str name, status, hash;
    const struct fp_str *scopes;
    size_t scopes_n;
    int64_t expires_wall_ms; /* 0 = never */
};
typedef void (*fp_token_secret_cb)(const struct fp_token_secret *t, void *arg);
void fp_store_token_secret(struct fp_store *s, struct fp_str id, fp_token_secret_cb cb, void *arg);
