/*
 * What the watcher needs: migrations, bootstrap, LISTEN and the load of changed rows, on one direct
 * connection of its own.  Asynchronous like store.h.
 */
#pragma once
#include "obs/obs_commit.h"
#include "store/store.h"

struct fp_follow;
struct fp_follow_options {
    const char *url, *listen_url; /* listen_url NULL: = url */
    bool starting;                /* as of fp_store_options */
    uint64_t connect_timeout_ms, statement_timeout_ms;
    uint64_t poll_interval_ms; /* safety poll; 1 s while LISTEN does not work */
    bool auto_migrate;
    uint64_t audit_retention_ms;      /* 0 = for ever */
    uint64_t history_retention_ms;    /* the last 1,000 revisions stay in any case */
    const char *sql_dir;              /* directory with the migrations; NULL: the ones linked in */
    bool hash_chain;                  /* audit.hash_chain (sql/0009) */
    bool default_gateway;             /* bootstrap.default_gateway */
    const struct fp_store_seed *seed; /* how to make the bootstrap token */
};
struct fp_store_seed {
    const char *secret; /* from BOOTSTRAP_TOKEN or the file; NULL: make one */
    /* Before COMMIT: can it be handed over?  false: roll back, no token. */
    bool (*prepare)(const char *token, void *arg);
    /* Once for each that was prepared, when its fate is known: made, hand it over; or it does not
     * exist, forget it. */
    void (*settle)(const char *token, bool made, void *arg);
    void *arg;
};
struct fp_follow_revision {
    uint64_t revision;
    uint8_t epoch[16], commit_id[16];
};
struct fp_follow_row { /* one row of any configuration table or of tokens; borrowed */
    enum fp_kind kind;
    bool deleted; /* only kind and name are set */
    struct fp_str id, name, team, source, form, configuration, service_name, created_at, updated_at;
    int64_t version;
    struct fp_str encoded; /* data == NULL: encode it yourself */
    int encoder_version;
    const struct fp_ref *refs; /* what it names, as last stored; pointer is NULL */
    size_t refs_n;
    /* tokens; their name is the id */
    struct fp_str secret_hash, status, scopes /* NUL-separated */, token_name;
    int64_t expires_wall_ms;
};
struct fp_follow_handlers {
    void *arg;
    /* Connected (true) or lost (false); listen: NOTIFY works. */
    void (*on_state)(bool up, bool listen, void *arg);
    /* The database is ahead of what was loaded last (or must be read anew): call fp_follow_load
     * when ready. */
    void (*on_behind)(uint64_t revision, void *arg);
    /* Cannot ever work: newer schema, seed failed … text for the log; the process should exit. */
    void (*on_fatal)(const char *why, void *arg);
};
struct fp_follow *fp_follow_new(struct fp_loop *loop, const struct fp_follow_options *o,
                                const struct fp_follow_handlers *h);
void fp_follow_free(struct fp_follow **f);
/* It was tried and failed, and has not been there since. */
bool fp_follow_away(const struct fp_follow *f);
/*
 * One REPEATABLE READ snapshot: everything (since NULL or unknown there) or what changed since.
 * rows come first, then done(full = everything was sent: forget what you had; now = where we are).
 * ok false: failed, on_behind will come again.
 */
typedef void (*fp_follow_row_cb)(const struct fp_follow_row *row, void *arg);
typedef void (*fp_follow_done_cb)(bool ok, bool full, const struct fp_follow_revision *now,
                                  void *arg);
void fp_follow_load(struct fp_follow *f, const struct fp_follow_revision *since,
                    fp_follow_row_cb row, fp_follow_done_cb done, void *arg);
/*
 * A load will be asked for whatever comes until then: notifications may stay away.  In a storm of
 * writes each would wake this process and its backend, next to the writer that waits for them.
 */
void fp_follow_rest(struct fp_follow *f);
/*
 * In done, after a load of changes: the oldest commit it holds, then the newest ones that are
 * traced, as far as there is room; the trace of each is that of the write.
 */
#define FP_FOLLOW_COMMITS 9
struct fp_follow_commits {
    unsigned n;
    struct fp_commit items[FP_FOLLOW_COMMITS];
};
const struct fp_follow_commits *fp_follow_commits(const struct fp_follow *f);
/* Stores what the watcher encoded itself, with its references; guarded by version, bumps nothing.
 * Copied. */
void fp_follow_store_encoded(struct fp_follow *f, enum fp_kind kind, struct fp_str name,
                             int64_t version, struct fp_str encoded, const uint8_t content_hash[32],
                             int encoder_version, const struct fp_ref *refs, size_t refs_n);
