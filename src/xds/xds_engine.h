/*
 * The xDS engine of a worker (design.md §7, xds-rules.md): serves bytes of the current generation
 * to streams.  Sees neither store nor model.
 */
#pragma once
#include "event/event_loop.h"
#include "grpc/grpc_server.h"
#include "obs/obs_commit.h"
#include "obs/obs_limit.h"
#include "obs/obs_page.h"
#include "obs/obs_status.h"
#include "pb/pb_pool.h"
#include "snap/snap_reader.h"

struct fp_xds_engine;
struct fp_xds_verdict { /* a rejection, or that the last one is resolved; borrowed */
    bool resolved;
    enum fp_kind kind;
    struct fp_str node_id, node_cluster, team;
    const struct fp_status_nack *nack;
};
struct fp_xds_options {
    const char *control_plane_id; /* "<service_name>/<instance_id>" (S-19) */
    uint64_t ordering_timeout_ms;
    uint64_t proxy_drain_time_ms; /* what proxies may still use is kept that long (O-15) */
    uint32_t max_streams;         /* of the instance (status); beyond: RESOURCE_EXHAUSTED */
    uint32_t first_response_rate; /* per second of the instance, 0 = off; needs limits */
    struct fp_limits *limits;
    bool nack_hold;               /* xds.nack_policy */
    const char *team_from_san;    /* pattern with {team} (contract §9.4); NULL: none */
    bool require_client_identity; /* only nodes whose certificate names their team, or, without a
                                     pattern, that have a certificate */
    struct fp_page_slot *slot;
    struct fp_commits *commits;      /* may be NULL */
    struct fp_status_writer *status; /* NULL: nodes are not shown, streams counted by worker */
    void (*on_nack)(const struct fp_xds_verdict *v, void *arg); /* may be NULL */
    void *on_nack_arg;
    const struct fp_pb_pool *pool, *builtin_pool; /* reflection: the set in use, else ours */
    bool reflection;
};
struct fp_xds_engine *fp_xds_engine_new(struct fp_loop *loop, const struct fp_xds_options *o);
void fp_xds_engine_free(struct fp_xds_engine **e); /* after all streams are closed */
/* Registers ADS, health and reflection on the server. */
void fp_xds_engine_register(struct fp_xds_engine *e, struct fp_grpc_server *g);
/* A new generation; the engine takes its own reference. */
void fp_xds_engine_publish(struct fp_xds_engine *e, struct fp_snap *s);
void fp_xds_engine_drain(struct fp_xds_engine *e); /* health says NOT_SERVING */
