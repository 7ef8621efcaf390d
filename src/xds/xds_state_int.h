/*
 * A state: what a client holds of one type once it has taken the answers made for it: a view, the
 * names it subscribed to, and entries of older generations whose removal is held back (O-10).
 * States are shared by all streams in the same situation; a stream keeps no map of names.
 */
#pragma once
#include "xds/xds_audience_int.h"
#include "xds/xds_subscription_int.h"

#define FP_XDS_VERSION_BYTES 33 /* 32 hex digits of the set hash, NUL */

struct fp_xds_held { /* an entry that the state's view has no more, or has otherwise */
    struct fp_snap_entry entry;
    struct fp_xds_view *view; /* keeps its bytes mapped */
    bool absent;              /* the view has it, the client shall not (only the name counts) */
    uint64_t gone_ms;         /* of what drains: loop time at which it went */
};

struct fp_xds_past {                  /* what a state keeps of the one before it */
    const struct fp_snap_entry *keep; /* entries of that state whose removal is held back (O-10) */
    uint32_t keep_n, waits_n;         /* waits_n of them until an ACK, the others while it drains */
    const struct fp_xds_held *drain;  /* not part of it, but the client may still use them (O-15) */
    uint32_t drain_n;
    uint64_t context[4]; /* what decided that they are kept, as ids: equal contexts must mean equal
                            keep[] when they are as many */
};

#define FP_XDS_STATE_KEY_N 8
struct fp_xds_suspects; /* xds_isolate_int.h */
struct fp_xds_state {   /* immutable but for its caches */
    unsigned refs;
    enum fp_kind kind;
    uint64_t id;                      /* never used again in this process */
    uint64_t key[FP_XDS_STATE_KEY_N]; /* in view->states */
    struct fp_xds_view *view;
    struct fp_xds_names *names;
    struct fp_xds_state *base; /* the same without kept removals; NULL: has none */
    uint32_t kept_n, waits_n;  /* of the held ones: removals held back (O-10), until an ACK */
    uint32_t held_n;
    struct fp_xds_held *held; /* sorted by name; they stand over what the view says */
    uint32_t draining_n;
    struct fp_xds_held *draining; /* extracts; not part of it, but what they name is in use */
    uint64_t sum[4];              /* set hash of all the view has, and of what is held */
    char version[FP_XDS_VERSION_BYTES];
    struct fp_list changes;           /* struct fp_xds_change, from other states to this one */
    struct fp_list responses;         /* struct fp_xds_response, see xds_response_int.h */
    struct fp_xds_suspects *suspects; /* of a rejection of it, suspects_from: last ACKed state */
    uint64_t suspects_from;
    struct fp_xds_suspects *apart; /* who is absent; keeps their names */
    struct fp_map *named; /* by kind: what its entries refer to, and how; NULL until asked */
};

/* Entries whose bytes differ.  `removed` points into the older state: use it while you hold that.
 */
struct fp_xds_change {
    struct fp_list link;
    uint64_t from_id; /* 0: from nothing */
    uint32_t changed_n, removed_n;
    struct fp_snap_entry *changed, *removed;
    /* memo of xds_order.c: does a changed entry name a cluster that this CDS state lacks? */
    uint64_t gate_key[3];
    bool gate;
};

/* The plain state of a view: a new reference. */
struct fp_xds_state *fp_xds_state_get(struct fp_xds_view *v, enum fp_kind kind,
                                      struct fp_xds_names *names);
/* `base` with what is kept of `from`. */
struct fp_xds_state *fp_xds_state_get_held(struct fp_xds_state *base,
                                           const struct fp_xds_state *from,
                                           const struct fp_xds_past *past);
/*
 * `base`, and what hangs on the held entries of its parent and went with them: the endpoint sets of
 * clusters that are held back, kept apart, or that drain (O-1, O-10).
 */
struct fp_xds_state *fp_xds_state_get_behind(struct fp_xds_state *base,
                                             const struct fp_xds_state *parent);
/*
 * The state of a view in which the named ones of the suspects are as the client ACKed them, or
 * absent when it did not (P7), also from what is behind.  sum tells sets of names and bytes apart.
 */
struct fp_xds_state *fp_xds_state_get_over(struct fp_xds_view *v, enum fp_kind kind,
                                           struct fp_xds_names *names,
                                           const struct fp_xds_state *acked /* may be NULL */,
                                           struct fp_xds_suspects *suspects,
                                           const struct fp_str *over, uint32_t over_n,
                                           const uint64_t sum[4]);
/* The state cut down to the names that are in `names` too. */
struct fp_xds_state *fp_xds_state_restrict(struct fp_xds_state *s, struct fp_xds_names *names);
struct fp_xds_state *fp_xds_state_ref(struct fp_xds_state *s);
void fp_xds_state_unref(struct fp_xds_state **s);
bool fp_xds_state_find(const struct fp_xds_state *s, struct fp_str name, struct fp_snap_entry *out);
/* All entries, by name, held ones last; *pos starts at 0. */
bool fp_xds_state_next(const struct fp_xds_state *s, uint64_t *pos, struct fp_snap_entry *out);
/* Computed once and kept in `to`; from may be NULL. */
struct fp_xds_change *fp_xds_state_change(struct fp_xds_state *to, const struct fp_xds_state *from);
/* Who names that one: an entry of the state, one that drains, both or none. */
enum { FP_XDS_REFERS_NOW = 1, FP_XDS_REFERS_DRAINING = 2 };
unsigned fp_xds_state_refers(struct fp_xds_state *s, enum fp_kind kind, struct fp_str name);
/* The view, and the snapshot, that an entry of this state came from, for fp_snap_ref_at. */
struct fp_xds_view *fp_xds_state_view(const struct fp_xds_state *s, struct fp_str name);
const struct fp_snap *fp_xds_state_snap(const struct fp_xds_state *s,
                                        const struct fp_snap_entry *e);
