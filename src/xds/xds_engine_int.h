/* Inside the engine: what streams, order and services share. */
#pragma once
#include "core/core_list.h"
#include "xds/xds_engine.h"
#include "xds/xds_audience_int.h"
#include "xds/xds_scope_int.h"
#include "xds/xds_subscription_int.h"

struct fp_xds_counters { /* since start */
    uint64_t requests, responses, acks, nacks, stale, unknown_types, nodes_repeated, refused,
        identity_mismatches;
};

struct fp_xds_engine {
    struct fp_loop *loop;
    struct fp_xds_options options;
    struct fp_str control_plane;
    struct fp_grpc_server *server; /* for reflection; NULL before register */
    struct fp_xds_view *view;      /* all of the current generation; NULL before the first (E-9) */
    uint64_t published_ns;         /* monotonic: when view came */
    struct fp_xds_scopes scopes;
    struct fp_xds_names_pool names;
    struct fp_list streams; /* all open ones */
    uint32_t streams_n;
    struct fp_list ready;   /* streams that may have something to send */
    struct fp_list arrived; /* streams whose first answer is not admitted yet, oldest first (L-8) */
    struct fp_task flush_task;
    struct fp_timer admit_timer;
    bool draining;
    struct fp_list watchers; /* health watches */
    uint32_t dangling;       /* of the current view: logged when it changes */
    struct fp_xds_counters counters;
    struct fp_grpc_method methods[5]; /* registered: they live as long as the server */
};

struct fp_xds_stream;
/* The stream has something to look at: flushed at the end of this turn of the loop. */
void fp_xds_engine_wake(struct fp_xds_engine *e, struct fp_xds_stream *st);

/*
 * xds_stream.c: does the client's certificate say who it is (contract §9.4)?  team, which may be
 * NULL, is what its names match; data == NULL: none.
 */
bool fp_xds_engine_identifies(const struct fp_xds_engine *e, struct fp_grpc_call *call,
                              struct fp_str *team);

/* xds_health.c, xds_reflection.c: without `arg`, which is the engine. */
extern const struct fp_grpc_method fp_xds_health_methods[2], fp_xds_reflection_methods[2];
void fp_xds_health_changed(struct fp_xds_engine *e); /* tells the watchers */
