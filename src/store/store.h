/*
 * PostgreSQL, asynchronously: a pool of libpq connections in the event loop, and the operations of
 * each aggregate.  No call blocks; every callback comes from the loop, exactly once, also on
 * failure or when the store is freed.  Statements are single commands with parameters: no session
 * state, no named statements (PgBouncer in transaction mode works).
 */
#pragma once
#include "core/core_arena.h"
#include "core/core_kind.h"
#include "event/event_loop.h"

struct fp_store;
struct fp_store_options {
    const char *url;
    const char *application_name; /* "flowplane", "flowplane-listen" */
    unsigned pool_size, min_connections;
    uint64_t connect_timeout_ms, idle_timeout_ms, statement_timeout_ms;
    unsigned queue_max; /* waiting requests; beyond: UNAVAILABLE at once */
    bool starting;      /* it is being started just now: until it is reached, that it refuses is no
                           warning */
};
struct fp_store *fp_store_new(struct fp_loop *loop, const struct fp_store_options *o);
void fp_store_free(struct fp_store **s);
/* Somebody else has just reached the database: do not wait until the back-off is over. */
void fp_store_hurry(struct fp_store *s);
/* For db_* metrics: label values by number, NULL-terminated; connections open and in use. */
extern const char *const fp_store_operations[], *const fp_store_tables[];
void fp_store_connections(const struct fp_store *s, unsigned *open, unsigned *busy);
bool fp_store_up(
    const struct fp_store *s); /* a connection is established, or the last attempt worked */
/* Why a connection of this process was lost or refused last, in libpq's words; "" if none was. */
const char *fp_store_last_error(void);

enum fp_store_outcome {
    /* With these two result.names[] are "kind/name" of what is missing, though it may be. */
    FP_STORE_DONE,
    FP_STORE_UNCHANGED, /* a replace with the same content: nothing was written */
    FP_STORE_NOT_FOUND,
    FP_STORE_NAME_TAKEN,
    FP_STORE_ADDRESS_TAKEN, /* listeners */
    FP_STORE_SET_TAKEN,     /* an endpoint set that a cluster generates, or would */
    FP_STORE_TEAM,          /* only a writer without teams may change a row's team */
    FP_STORE_STALE,         /* ifMatch: result.version is the current one */
    FP_STORE_MISSING_REFS,  /* result.names[] are the targets that do not exist */
    FP_STORE_REFERENCED,    /* delete: result.names[] are "kind/name" of the users */
    FP_STORE_PROTECTED,     /* default-gateway rows, generated rows */
    FP_STORE_REFUSED,       /* the database refuses the values; logged */
    FP_STORE_UNAVAILABLE,   /* not connected, timed out, read-only: 503 with Retry-After */
};
struct fp_store_actor { /* goes into the audit row; data == NULL is null */
    struct fp_str user_id, client_ip, user_agent, request_id, trace_context;
    /* NULL: sees every row.  Else replace and delete find only rows of these teams (contract §4.5),
     * any other is NOT_FOUND. */
    const struct fp_str *teams;
    size_t teams_n;
};
struct fp_store_write {
    enum fp_kind kind; /* cluster, route, listener, endpoint … */
    struct fp_str name, team, source, form, configuration /* JSON text */;
    struct fp_str service_name, path_prefix, cluster_name, address,
        protocol; /* as the kind has them */
    int port;     /* -1 = null */
    struct fp_str encoded;
    uint8_t content_hash[32];
    int encoder_version;
    const struct fp_ref *refs;
    size_t refs_n;
    bool allow_missing;                     /* do not check that clusters and secrets exist */
    const struct fp_str *external_clusters; /* exist by definition */
    size_t external_clusters_n;
    int64_t if_version; /* -1 = none */
    struct fp_store_actor actor;
};
/* Contract §5.9: clusters and secrets must exist, all else may come later. */
bool fp_store_ref_must_exist(const struct fp_store_write *w, const struct fp_ref *ref);
/* May be missing, and is worth a word then; clusters are served without an endpoint set. */
bool fp_store_ref_is_told(const struct fp_store_write *w, const struct fp_ref *ref);
struct fp_store_result { /* borrowed for the callback */
    enum fp_store_outcome outcome;
    struct fp_str id, created_at, updated_at; /* RFC 3339 with Z, seconds */
    int64_t version;
    uint64_t revision; /* of the commit; the current one when unchanged */
    const struct fp_str *names;
    size_t names_n;
};
typedef void (*fp_store_cb)(const struct fp_store_result *r, void *arg);
/* One statement each: row and references; triggers do revision, change row, audit row, NOTIFY.
 * The write's strings are copied before the call returns. */
void fp_store_create(struct fp_store *s, const struct fp_store_write *w, fp_store_cb cb, void *arg);
void fp_store_replace(struct fp_store *s, const struct fp_store_write *w, fp_store_cb cb,
                      void *arg);
void fp_store_delete(struct fp_store *s, enum fp_kind kind, struct fp_str name, int64_t if_version,
                     const struct fp_store_actor *actor, fp_store_cb cb, void *arg);
/* The caller died (client gone): the statement goes on, the callback will not come. */
void fp_store_forget(struct fp_store *s, void *arg);
