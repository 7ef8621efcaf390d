/* One ADS stream.  Everything in it is small; everything big is shared (design.md §7). */
#pragma once
#include "xds/xds_engine_int.h"
#include "xds/xds_request_int.h"
#include "xds/xds_response_int.h"
#include "xds/xds_state_int.h"

#define FP_XDS_REFERRERS_N 2
/* How a type is served; the table's order is the order on a stream (contract P10). */
struct fp_xds_type {
    enum fp_kind kind;
    bool whole;          /* an answer holds all that is subscribed (S-11) */
    bool wildcard;       /* naming nothing at first means everything (W-1, W-8) */
    bool gated;          /* waits for the ACK of new clusters that it names (O-7) */
    enum fp_kind parent; /* its entries are sent again behind a changed parent (O-1) */
    /* an entry is removed when these name it no more (O-9); used from the front */
    enum fp_kind held_by[FP_XDS_REFERRERS_N];
    bool replaced_drains; /* connections keep the entry they came by until it has drained (O-15) */
    bool drains;          /* a removed entry that such a one names is in use as long */
};
#define FP_XDS_TYPES_N 9
extern const struct fp_xds_type fp_xds_types[FP_XDS_TYPES_N];
const struct fp_xds_type *fp_xds_type_of(enum fp_kind kind); /* NULL: not a discovery type */

struct fp_xds_nack {            /* the last rejection of a type on a stream */
    bool open;                  /* not resolved by an ACK of something newer (N-8) */
    struct fp_status_nack said; /* its texts are behind the struct */
};

struct fp_xds_journey;           /* xds_journey_int.h */
struct fp_xds_subscription {     /* a type on a stream */
    struct fp_xds_names *names;  /* NULL: no request yet */
    struct fp_xds_state *sent;   /* what the client holds when it takes all that was sent; NULL:
                                    nothing */
    struct fp_xds_state *acked;  /* what it said it holds */
    struct fp_xds_state *parent; /* parent's `sent` as of our last answer (O-1, O-4) */
    struct fp_xds_state *acked_parent; /* as of the last one that was ACKed */
    struct fp_xds_state
        *refused; /* by the last verdict: not to be sent again as it is (N-3); or NULL */
    struct fp_xds_state *refused_parent;     /* its parent: behind another one it is, once */
    struct fp_xds_nack *nack;                /* NULL: never */
    struct fp_xds_journey *journey;          /* from a commit to its ACK; NULL: nothing to tell */
    struct fp_xds_isolation *isolation;      /* while suspects of a rejection are kept apart (P7) */
    char *initial_version;                   /* of the first request, until it is answered (S-16) */
    uint64_t acked_revision;                 /* for the status: see xds_status.c */
    uint64_t pending_since_ms;               /* for the status; 0: not pending */
    uint64_t keeps_since_ms, gated_since_ms; /* loop time: since when removals, new forms are held
                                                back (P10); 0: none are */
    uint32_t nonce;                          /* of the last answer; 0: none yet */
    bool named;   /* some name was given once: no legacy wildcard any more (W-3) */
    bool brought; /* the first request named a version: the client runs something, of whole types */
    bool asked;   /* the last request wants an answer (S-1, S-8) */
    bool keeps_twice; /* what names them waits, or did: twice the timeout for removals */
    bool in_flight;   /* the last answer is not ACKed or NACKed */
    bool unsure;      /* it may hold more or less than `sent`: parts of what it rejected (N-6);
                         outside an isolation the next answer says all again */
    bool astray;   /* so may others than the suspects of an isolation: its next answer says all */
    bool in_full;  /* the last answer holds all of `sent`, not only what changed */
    bool moved_on; /* since the last answer `sent` has lost entries of it, unsaid */
    bool overlaps; /* the last answer was made before the verdict on the one before */
    bool doubted;  /* an answer that the last one does not repeat was rejected: what is ACKed now
                      is not all of `sent` */
    bool shrank;   /* an answer under way removes something */
    bool regained; /* and one behind it may have that again: `acked` does not say what is there */
    bool behind;   /* something is held back, or was refused (N-3) */
};

struct fp_xds_stream {
    struct fp_xds_engine *engine;
    struct fp_grpc_call *call;
    struct fp_xds_node *node;    /* from the first request (I-1) */
    struct fp_xds_scope *scope;  /* with the node */
    struct fp_list link;         /* engine->streams */
    struct fp_list ready;        /* engine->ready or engine->arrived */
    struct fp_timer order_timer; /* runs while something is held back (P10) */
    struct fp_timer drain_timer; /* runs while something is kept for what drains */
    uint64_t opened_ns;          /* monotonic */
    uint64_t put_off; /* id of the view that waits until unsent bytes are gone; 0: none */
    uint32_t last_nonce;
    uint32_t status; /* its record, or FP_STATUS_RECORD_NONE */
    bool admitted;   /* past the first-answer gate */
    bool ended;      /* finished by us, waiting for on_close */
    struct fp_xds_subscription types[FP_KIND_N];
};

/* xds_stream.c */
extern const struct fp_grpc_method fp_xds_ads_method;
void fp_xds_stream_end(struct fp_xds_stream *st, enum fp_grpc_status status, const char *message);
/* xds_order.c: sends what may be sent now.  Called from the engine's flush task only. */
void fp_xds_stream_flush(struct fp_xds_stream *st);
/* How the referring types name an entry of this one, in what was sent or ACKed: FP_XDS_REFERS_… */
unsigned fp_xds_stream_refers(const struct fp_xds_stream *st, const struct fp_xds_type *type,
                              struct fp_str name);
void fp_xds_stream_send(struct fp_xds_stream *st, enum fp_kind kind, struct fp_xds_response *r);
/* xds_nack.c */
void fp_xds_stream_rejected(struct fp_xds_stream *st, enum fp_kind kind,
                            const struct fp_xds_request *r);
/* An ACK of something newer than what was rejected (N-8). */
void fp_xds_stream_resolved(struct fp_xds_stream *st, enum fp_kind kind);
/* A NACK of an answer that was followed by others: parts of it may be missing (N-5, N-6). */
void fp_xds_stream_doubted(struct fp_xds_stream *st, enum fp_kind kind);
/* What hangs on what differs from `known` (NULL: on all) follows with its next answer (O-1). */
void fp_xds_stream_children_follow(struct fp_xds_stream *st, enum fp_kind parent,
                                   struct fp_xds_state *known);
/* It has rejected exactly these contents. */
bool fp_xds_stream_refuses(const struct fp_xds_subscription *ts, struct fp_xds_state *to);
void fp_xds_state_set(struct fp_xds_state **at, struct fp_xds_state *to); /* takes a reference */
