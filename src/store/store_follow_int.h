/* Private to the store room: the follower and the stages it goes through on its connection. */
#pragma once
#include "store/store_follow.h"
#include "codec/codec_hash.h"
#include "store/store_int.h"
#include "store/store_sql.h"

enum follow_stage { FOLLOW_AWAY, FOLLOW_PREPARING /* schema, seed, LISTEN */, FOLLOW_READY };

struct follow_load { /* while wanted or running */
    bool wanted, running, full;
    bool since_set;
    struct fp_follow_revision since, now;
    struct fp_follow_commits commits;
    bool now_set, unknown, rewrite; /* from the head row */
    fp_follow_row_cb row;
    fp_follow_done_cb done;
    void *arg;
};

struct fp_follow {
    struct fp_loop *loop;
    struct fp_follow_options o; /* strings are the arena's */
    struct fp_follow_handlers h;
    struct fp_arena *arena;
    struct store_conn *conn;
    enum follow_stage stage;
    bool up, listen;   /* as told to on_state */
    bool hears, rests; /* while READY: LISTEN is in force; is not wanted until the next load */
    /* reconnecting */
    struct fp_timer reconnect;
    uint64_t backoff_ms;
    /* the schema (store_migrate.c) */
    const struct fp_sql_migration *migrations;
    size_t migrations_n, migration; /* the one being applied */
    bool migrating;                 /* the advisory lock is held */
    /* the seed (store_bootstrap.c) */
    char *token; /* until its row is committed or known not to be */
    char token_id[FP_UUID_TEXT_BYTES];
    bool token_prepared;
    int64_t seed_revision;
    uint64_t seed_audit_n; /* audit rows of the transaction */
    /* following */
    struct fp_follow_revision loaded;
    bool loaded_set;
    bool want_poll, want_beat, beat_heard, pooled, warned;
    unsigned deaf; /* heartbeats in a row that nobody heard */
    char beat_channel[48], listen_sql[128];
    struct fp_timer poll, beat /* the next one */, answer /* of the last one */;
    bool want_chores; /* flowplane_chores (sql/0006) */
    struct fp_timer chores;
    struct follow_load load;
    struct fp_task refuse;  /* a load asked for while there is no connection */
    struct fp_list encoded; /* struct store_request, waiting to be stored */
    struct store_request *storing;
};

/* Sends one statement of a stage; params NULL: simple protocol. */
void store_follow_send(struct fp_follow *f, const char *name, const char *sql,
                       const struct store_params *params, uint64_t timeout_ms,
                       store_answer_cb done);
/* true when the answer is no success; then all has been done: reconnect or give up. */
bool store_follow_failed(struct fp_follow *f, const struct store_answer *a, const char *what);
/* Cannot ever work.  Closes the connection. */
void store_follow_fatal(struct fp_follow *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void store_migrate_init(struct fp_follow *f);  /* finds the migrations; may be fatal later */
void store_migrate_start(struct fp_follow *f); /* ends in store_migrate_done or a failure */
void store_migrate_done(struct fp_follow *f);
void store_bootstrap_start(struct fp_follow *f); /* ends in store_bootstrap_done or a failure */
void store_bootstrap_done(struct fp_follow *f);
/* Starts what f->load wants; ends in store_load_done. */
void store_load_start(struct fp_follow *f);
void store_load_done(struct fp_follow *f, bool ok);
/* UPDATE of the encoded form, per kind; NULL where the store has none. */
extern const char *const store_encoded_sql[FP_KIND_N];

#define STORE_WAIT_LOCK_MS 600000 /* another instance may be migrating */
