/* Audit rows that no change carries (contract §11.5), and the query over all rows. */
#pragma once
#include "store/store.h"

/*
 * rows: a JSON array of {"event","id","name","metadata","user_id","client_ip","user_agent",
 * "request_id","at" (seconds since 1970)}; resource_type is auth.token.
 */
typedef void (*fp_audit_cb)(enum fp_store_outcome outcome /* DONE, REFUSED, UNAVAILABLE */,
                            uint64_t rows_n, void *arg);
void fp_store_audit_write(struct fp_store *s, struct fp_str rows, fp_audit_cb done, void *arg);
/*
 * uses: the same objects, of tokens that authenticated.  Their last_used_at becomes now where it is
 * older than a minute; a row auth.token.authenticated is written where the last one is older than
 * interval_ms (0: never).
 */
void fp_store_audit_used(struct fp_store *s, struct fp_str uses, uint64_t interval_ms,
                         fp_audit_cb done, void *arg);

/* audit.hash_chain (sql/0009): walks the chain of all rows; minutes for very many. */
struct fp_audit_chain {            /* borrowed for the callback */
    enum fp_store_outcome outcome; /* DONE, REFUSED or UNAVAILABLE */
    uint64_t rows_n, outside_n;    /* rows that fit, rows written while it was off */
    int64_t bad_id;                /* the first row that does not fit; 0: all do */
    struct fp_str problem;
};
typedef void (*fp_audit_chain_cb)(const struct fp_audit_chain *c, void *arg);
void fp_store_audit_verify(struct fp_store *s, fp_audit_chain_cb cb, void *arg);

struct fp_audit_filter { /* data == NULL, wall_ms INT64_MIN: any */
    struct fp_str event_type, user_id, resource_type, resource_name;
    int64_t since_wall_ms, until_wall_ms; /* since included, until not */
    uint64_t limit, offset;
};
struct fp_audit_list {             /* borrowed for the callback */
    enum fp_store_outcome outcome; /* DONE, REFUSED or UNAVAILABLE */
    struct fp_str items;           /* JSON objects, newest first, a comma between them */
    uint64_t total;
};
typedef void (*fp_audit_list_cb)(const struct fp_audit_list *l, void *arg);
void fp_store_audit_list(struct fp_store *s, const struct fp_audit_filter *f, fp_audit_list_cb cb,
                         void *arg);
