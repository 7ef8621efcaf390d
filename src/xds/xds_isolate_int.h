/*
 * Isolation (contract P7): after a rejection its suspects are kept apart and tried one by one,
 * while everything else of the type flows.
 */
#pragma once
#include "xds/xds_stream_int.h"

struct fp_xds_suspect {
    struct fp_str name;
    uint8_t hash[FP_SNAP_HASH_BYTES]; /* of the rejected bytes */
    uint64_t term[4];
};
struct fp_xds_suspects { /* immutable; shared by the streams that rejected the same */
    unsigned refs;
    uint32_t n;
    struct fp_xds_suspect *at; /* behind the struct, then the names; in order of names */
};
struct fp_xds_suspects *fp_xds_suspects_ref(struct fp_xds_suspects *s);
void fp_xds_suspects_unref(struct fp_xds_suspects **s);

/* A rejection of ts->sent, which is not taken back yet; message: the client's, of any length. */
void fp_xds_isolation_begin(struct fp_xds_stream *st, enum fp_kind kind, struct fp_str message);
/* A trial is under way or to come. */
bool fp_xds_isolation_pending(const struct fp_xds_subscription *ts);
/* The client holds what was sent last; no-op without an isolation. */
void fp_xds_isolation_passed(struct fp_xds_subscription *ts);
/* What was on trial may have been in an answer whose rejection came late: it is tried again. */
void fp_xds_isolation_doubted(struct fp_xds_subscription *ts);
/* Trials are to come, none is under way. */
bool fp_xds_isolation_resting(const struct fp_xds_subscription *ts);
/* If something is on trial: it makes just the contents that were rejected last, so it is over. */
bool fp_xds_isolation_refused(struct fp_xds_subscription *ts);
void fp_xds_isolation_end(struct fp_xds_subscription *ts);
/*
 * The state of the view without the suspects that have not passed: a new reference.  Ends the
 * isolation when one of them has other bytes there, or is gone.
 */
struct fp_xds_state *fp_xds_isolation_state(struct fp_xds_subscription *ts, enum fp_kind kind,
                                            struct fp_xds_view *view);
