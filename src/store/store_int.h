/* Private to the store room: one connection on the loop, parameters, cells, statements. */
#pragma once
#include <libpq-fe.h>
#include "core/core_arena.h"
#include "core/core_buf.h"
#include "core/core_kind.h"
#include "core/core_log.h"
#include "event/event_loop.h"
#include "store/store.h"

#define STORE_PARAMS_MAX 20

/* Parameters of one statement; bytes are the arena's or longer lived. */
struct store_params {
    int n;
    const char *values[STORE_PARAMS_MAX];
    int lengths[STORE_PARAMS_MAX], formats[STORE_PARAMS_MAX];
};
/* Binary, so that a NUL inside is refused by the server and cuts nothing.  data == NULL is null. */
void store_param_text(struct store_params *p, struct fp_str s);
void store_param_bytes(struct store_params *p, struct fp_str s);
void store_param_json(struct store_params *p, struct fp_arena *a, struct fp_str s);
void store_param_i64(struct store_params *p, struct fp_arena *a, int64_t v);
void store_param_uuid(struct store_params *p, const uint8_t uuid[16]);

/* Cells of a binary result. */
struct fp_str store_cell(const PGresult *r, int row, int col); /* data == NULL is null */
int64_t store_cell_i64(const PGresult *r, int row, int col);   /* int4, int8; 0 when null */
bool store_cell_bool(const PGresult *r, int row, int col);
int64_t store_cell_wall_ms(const PGresult *r, int row, int col); /* timestamptz; 0 when null */
struct store_array {                                             /* a text[] being read */
    const uint8_t *p, *end;
    size_t left;
};
struct store_array store_array_open(struct fp_str cell);
bool store_array_next(struct store_array *a, struct fp_str *out); /* false at the end */

/* How a statement ended. */
enum store_end {
    STORE_END_OK,
    STORE_END_LOST, /* connection lost or timed out: what the statement did is unknown */
    STORE_END_SQL,  /* the server refused it: sqlstate says why; the connection is fine */
};
struct store_answer { /* borrowed for the callback */
    enum store_end end;
    const PGresult *result; /* with OK: the last result; NULL when rows were taken one by one */
    const char *sqlstate;   /* five characters, "" when not SQL */
    const char *constraint; /* or "" */
    const char *message;    /* never holds parameter values' text of ours */
};
typedef void (*store_answer_cb)(const struct store_answer *a, void *arg);
struct store_query {
    const char *name;                  /* for the log; its first word is the operation counted */
    const char *table;                 /* for the metrics; NULL: other */
    const char *sql;                   /* lives until the answer */
    const struct store_params *params; /* copied; NULL: simple protocol, several commands, text */
    uint64_t timeout_ms;
    void (*row)(const PGresult *r, void *arg); /* not NULL: rows come one by one, at index 0 */
    store_answer_cb done;                      /* the connection is free again when it is called */
    void *arg;
};

void store_metric_done(const struct store_query *q, uint64_t ns, bool failed);

/* One libpq connection.  Never blocks but for DNS, which libpq resolves by itself (README). */
enum store_conn_state {
    STORE_CONN_CLOSED,
    STORE_CONN_OPENING,
    STORE_CONN_IDLE, /* open, no statement */
    STORE_CONN_BUSY, /* exactly one statement is on its way */
};
struct store_conn_handlers {
    void (*up)(void *arg);
    /* Could not be opened, or was lost while idle (a lost statement is told to it first); closed
     * now.  why is for the log. */
    void (*down)(const char *why, void *arg);
    void (*notify)(const char *channel, const char *payload, void *arg); /* or NULL */
    void *arg;
};
struct store_conn;
struct store_conn *store_conn_new(struct fp_loop *loop, const struct store_conn_handlers *h);
void store_conn_free(struct store_conn **c); /* no callback comes any more */
enum store_conn_state store_conn_state(const struct store_conn *c);
void store_conn_open(struct store_conn *c, const char *url, const char *application_name,
                     uint64_t timeout_ms);
void store_conn_close(struct store_conn *c); /* silently; a statement's answer is dropped */
void store_conn_send(struct store_conn *c, const struct store_query *q); /* state must be IDLE */
int store_conn_backend_pid(const struct store_conn *c);                  /* as the peer told it */

/* What an SQL error means to the one who asked. */
enum store_verdict { STORE_RETRY, STORE_AWAY, STORE_READ_ONLY, STORE_REFUSE };
enum store_verdict store_verdict(const char *sqlstate);

/* A request to the pool: lives in its own arena, freed after the callback. */
struct store_request {
    struct fp_arena *arena;
    struct fp_list link;            /* while it waits or has failed */
    const char *name, *table, *sql; /* table may be NULL */
    struct store_params params;
    store_answer_cb done; /* always called, at the latest when the store is freed */
    void *owner;          /* fp_store_forget */
    bool forgotten;       /* the owner is gone: it must not be told */
    bool write;           /* takes the revision lock */
    void *arg;
    struct fp_log_scope scope; /* of who asks, and of what done logs */
    int tries;
    uint64_t due_ms;     /* waiting only: fails then */
    uint64_t timeout_ms; /* of its statement; 0: the store's */
};
struct store_request *store_request_new(const char *name, const char *sql);
/* Takes the request over. */
void store_pool_submit(struct fp_store *s, struct store_request *r);
/* All requests of an owner, also running ones. */
void store_pool_each(struct fp_store *s, void *owner, void (*fn)(struct store_request *r));
uint64_t store_pool_statement_timeout_ms(const struct fp_store *s);

/* $1 and $2 of every write: flowplane_begin's arguments (store_resource.c).  The second makes it
 * one. */
void store_param_actor(struct store_request *r, const struct fp_store_actor *actor);
void store_param_lock_timeout(struct fp_store *s, struct store_request *r);
/* references, and which of them must exist */
void store_refs_json(struct fp_buf *b, const struct fp_store_write *w);

/* The statements of a kind (store_statement.c); NULL where the store has none. */
struct store_statements {
    const char *create, *replace, *delete;
    enum { STORE_X_NONE, STORE_X_SERVICE, STORE_X_ROUTE, STORE_X_LISTENER } extra;
};
extern const struct store_statements store_statements[FP_KIND_N];

#define STORE_LOCK_TIMEOUT_PERCENT 80 /* of the statement timeout: the server gives up first */
