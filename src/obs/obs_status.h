/*
 * The status of connected nodes, in shared memory made before the first fork (design.md §6): a seat
 * for each worker, written by it alone, read by all, so that any worker answers for all.  Untouched
 * pages cost nothing.  A reader never waits for a writer; a record that is being written is tried
 * again, one that a killed worker left half written is passed over.
 */
#pragma once
#include "core/core_arena.h"
#include "core/core_kind.h"

struct fp_status; /* the mapping; the same address in every process of the tree */

#define FP_STATUS_SEAT_NONE     UINT32_MAX
#define FP_STATUS_RECORD_NONE   UINT32_MAX
#define FP_STATUS_VERSION_BYTES 33   /* with its NUL */
#define FP_STATUS_MESSAGE_BYTES 4096 /* of a rejection (contract §10) */
#define FP_STATUS_NAMES_N       100

/* ---- master ---- */

/* For about so many workers of all generations at once; streams are those of one worker.  NULL when
 * the system gives no such mapping: nodes are not shown then. */
struct fp_status *fp_status_new(unsigned workers, uint32_t streams);
/* Before a fork: a seat for the worker of that slot; NONE when all are taken. */
uint32_t fp_status_seat_take(struct fp_status *s, unsigned slot);
/* The worker is gone: its records with it. */
void fp_status_seat_leave(struct fp_status *s, uint32_t seat);

/* ---- the worker in its seat; every function takes a NULL writer ---- */

enum { FP_STATUS_SOTW, FP_STATUS_DELTA };
struct fp_status_node { /* what does not change while the stream lives */
    struct fp_str id, cluster, team, scope /* "all" … */, user_agent, user_agent_version, peer;
    struct fp_str metadata;              /* JSON text; left out when there is no room for it */
    struct fp_str tls_subject, tls_sans; /* data == NULL: no client certificate; SANs one a line */
    int64_t tls_not_after_ms;
    int64_t connected_wall_ms;
    unsigned mode;
};
struct fp_status_nack {
    char version[FP_STATUS_VERSION_BYTES], accepted[FP_STATUS_VERSION_BYTES];
    uint64_t revision; /* of the generation that was rejected */
    uint32_t nonce, code, count;
    int64_t first_wall_ms, last_wall_ms;
    struct fp_str message;
    struct fp_str names; /* of rejected resources, each ends with NUL */
};
struct fp_status_type {
    bool subscribed, wildcard;
    bool pending;     /* something newer is not acknowledged yet */
    bool nacked;      /* a rejection is open: nack is set */
    uint32_t names_n; /* subscribed by name */
    uint32_t held;    /* removals and suspects held back */
    uint32_t kept;    /* of them removals */
    char sent_version[FP_STATUS_VERSION_BYTES], acked_version[FP_STATUS_VERSION_BYTES];
    uint64_t acked_revision;   /* all that this stream sees of it is acknowledged */
    uint64_t pending_since_ms; /* monotonic; 0 when not pending */
    struct fp_status_nack nack;
};

struct fp_status_writer;
struct fp_status_writer *fp_status_writer_new(struct fp_status *s, uint32_t seat); /* may be NULL */
void fp_status_writer_free(struct fp_status_writer **w);
/* A draining worker's streams are not waited for. */
void fp_status_writer_drain(struct fp_status_writer *w);
/* This worker has n open streams, with a record or without; returns those of all workers. */
uint64_t fp_status_streams_set(struct fp_status_writer *w, uint64_t n);
uint32_t fp_status_stream_open(struct fp_status_writer *w, const struct fp_status_node *n);
void fp_status_stream_close(struct fp_status_writer *w, uint32_t record);
/* All but the rejection: nack and nacked are not looked at. */
void fp_status_type_set(struct fp_status_writer *w, uint32_t record, enum fp_kind kind,
                        const struct fp_status_type *t);
void fp_status_nack_set(struct fp_status_writer *w, uint32_t record, enum fp_kind kind,
                        const struct fp_status_nack *n /* NULL: resolved */);

/*
 * Rejections that were open when their stream ended: whichever worker of this instance hears the
 * node's next ACK of the type resolves them.  A hint: of very many the oldest are forgotten.
 */
void fp_status_orphan_add(struct fp_status_writer *w, struct fp_str node_id, enum fp_kind kind);
bool fp_status_orphan_take(struct fp_status_writer *w, struct fp_str node_id, enum fp_kind kind);

/* ---- readers, in any process ---- */

struct fp_status_stream {
    unsigned slot; /* of the worker */
    bool draining;
    struct fp_status_node node;
    struct fp_status_type types[FP_KIND_N];
};
struct fp_status_cursor { /* {0} is the start */
    uint32_t seat, record;
};
/* Open streams of all workers; a dead one's are gone with its seat.  s may be NULL: 0. */
uint64_t fp_status_streams(const struct fp_status *s);
/* The next stream, copied into the arena; false at the end.  s may be NULL. */
bool fp_status_next(const struct fp_status *s, struct fp_status_cursor *c, struct fp_arena *a,
                    struct fp_status_stream *out);

struct fp_status_totals { /* of all nodes' streams */
    uint64_t streams[2];  /* by mode */
    uint64_t held_removals, open_nacks[FP_KIND_N];
};
/* Reads a few bytes per stream and type. */
void fp_status_total(const struct fp_status *s, struct fp_status_totals *out);

enum fp_status_verdict { FP_STATUS_ACKED, FP_STATUS_PENDING, FP_STATUS_NACKED };
/*
 * Have all nodes that see a change of these kinds (bits 1 << enum fp_kind) acknowledged revision n,
 * or did one reject it?  Nodes that do not see it pass at once, as soon as their worker serves n.
 * Reads a few bytes per stream; a rejection wins.
 */
enum fp_status_verdict fp_status_acked(const struct fp_status *s, uint64_t revision,
                                       unsigned kinds);
