/*
 * An ADS stream, state of the world: takes requests in, keeps what the client subscribed to and
 * what it holds.  Runs in workers.  It must never answer from here (xds_order.c does, once a turn,
 * so that the newest of several requests is the one answered, S-20) and never look at a node twice
 * (I-3).
 */
#include "obs/obs_metric.h"
#include "xds/xds_isolate_int.h"
#include "xds/xds_journey_int.h"
#include "xds/xds_status_int.h"
#include "pb/pb_guard.h"
#include <stdio.h>
#include "core/core_assert.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "core/core_mem.h"

void fp_xds_state_set(struct fp_xds_state **at, struct fp_xds_state *to)
{
    struct fp_xds_state *old = *at;
    *at = to ? fp_xds_state_ref(to) : NULL;
    fp_xds_state_unref(&old);
}

void fp_xds_stream_end(struct fp_xds_stream *st, enum fp_grpc_status status, const char *message)
{
    st->ended = true;
    fp_grpc_call_finish(st->call, status, message);
}

static void refuse(struct fp_xds_stream *st, enum fp_grpc_status status, const char *message)
{
    st->engine->counters.refused++;
    fp_log_warn(FP_LOG_XDS, "xDS stream refused: %s (node %.*s)", message,
                st->node ? (int)st->node->id.len : 1, st->node ? st->node->id.data : "?");
    fp_xds_stream_end(st, status, message);
}

/* ---- requests ---- */

/* The team in a bootstrap's node id, "team=<team>/dp-…" (contract §8.5). */
static struct fp_str team_of_id(struct fp_str id)
{
    struct fp_str prefix = FP_STR("team="), rest;
    if (!fp_str_starts(id, prefix))
        return FP_STR_NULL;
    struct fp_str team =
        fp_str_split(fp_str_n(id.data + prefix.len, id.len - prefix.len), '/', &rest);
    return rest.data ? team : FP_STR_NULL;
}

/* I-9: the certificate wins; what the node says otherwise is counted. */
static void check_claims(struct fp_xds_stream *st, struct fp_str team,
                         const Google__Protobuf__Struct *metadata)
{
    struct fp_str claims[] = {fp_xds_scope_claimed_team(metadata), team_of_id(st->node->id)};
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        if (!claims[i].data || fp_str_eq(claims[i], team))
            continue;
        st->engine->counters.identity_mismatches++;
        fp_metric_add(FP_METRIC_XDS_IDENTITY_MISMATCHES, 0, 0, 0, 1);
        if (st->engine->options.slot)
            atomic_fetch_add(&st->engine->options.slot->xds_identity_mismatches, 1);
        fp_log_warn(FP_LOG_XDS, "node %.*s says team %.*s, its certificate says %.*s",
                    FP_STR_ARG(st->node->id), FP_STR_ARG(claims[i]), FP_STR_ARG(team));
        return;
    }
}

bool fp_xds_engine_identifies(const struct fp_xds_engine *e, struct fp_grpc_call *call,
                              struct fp_str *team)
{
    const char *pattern = e->options.team_from_san;
    const struct fp_http_stream *hs = fp_grpc_call_stream(call);
    struct fp_str found = fp_xds_scope_san_team(pattern, fp_http_stream_tls_sans(hs));
    if (team)
        *team = found;
    return pattern ? found.data != NULL : fp_http_stream_tls_subject(hs).data != NULL;
}

static void take_metadata(struct fp_xds_stream *st, struct fp_str team, struct fp_arena *a)
{
    const Google__Protobuf__Struct *metadata = fp_pb_unpack(
        &google__protobuf__struct__descriptor, st->node->metadata, FP_XDS_METADATA_ELEMENTS, a);
    if (!metadata) {
        refuse(st, FP_GRPC_INVALID_ARGUMENT, "node.metadata cannot be decoded");
        return;
    }
    if (team.data)
        check_claims(st, team, metadata);
    st->scope = fp_xds_scope_of(&st->engine->scopes, metadata, team);
    fp_xds_status_open(st, st->scope->team, metadata);
}

static bool take_scope(struct fp_xds_stream *st)
{
    struct fp_str team;
    bool identified = fp_xds_engine_identifies(st->engine, st->call, &team);
    if (st->engine->options.require_client_identity && !identified) {
        refuse(st, FP_GRPC_PERMISSION_DENIED, "the client certificate names no team");
        return false;
    }
    struct fp_arena *a = fp_arena_new(NULL);
    take_metadata(st, team, a);
    fp_arena_free(&a);
    return !st->ended;
}

static bool take_node(struct fp_xds_stream *st, const struct fp_xds_request *r)
{
    if (st->node) { /* I-2, I-3, I-5 */
        st->engine->counters.nodes_repeated += r->node.data != NULL;
        if (r->node.data)
            fp_metric_add(FP_METRIC_XDS_REPEATED_NODES, 0, 0, 0, 1); /* I-7 */
        return true;
    }
    struct fp_str subject = fp_http_stream_tls_subject(fp_grpc_call_stream(st->call));
    int err = fp_xds_node_parse(r->node, subject, &st->node);
    if (err == FP_ERR_LIMIT)
        refuse(st, FP_GRPC_RESOURCE_EXHAUSTED, "node is too large");
    else if (err == FP_ERR_NOT_FOUND)
        refuse(st, FP_GRPC_INVALID_ARGUMENT, "the first request of a stream must carry node.id");
    else if (err)
        refuse(st, FP_GRPC_INVALID_ARGUMENT, "node cannot be decoded");
    if (!st->ended && take_scope(st))
        fp_log_debug(FP_LOG_XDS, "xDS stream opened by node %.*s, cluster %.*s, %.*s %.*s",
                     FP_STR_ARG(st->node->id), FP_STR_ARG(st->node->cluster),
                     FP_STR_ARG(st->node->user_agent), FP_STR_ARG(st->node->user_agent_version));
    return !st->ended;
}

/*
 * The client has let go of names: what it holds shrinks at once, so that a name that comes back is
 * sent again (S-8), and is not updated meanwhile (S-10).
 */
static void shrink(struct fp_xds_state **at, struct fp_xds_names *names)
{
    if (!*at || (*at)->names == names)
        return;
    struct fp_xds_names *both = fp_xds_names_intersect((*at)->names, names);
    if (both != (*at)->names) {
        struct fp_xds_state *smaller = fp_xds_state_restrict(*at, both);
        fp_xds_state_set(at, smaller);
        fp_xds_state_unref(&smaller);
    }
    fp_xds_names_unref(&both);
}

static void subscribe(struct fp_xds_subscription *ts, struct fp_xds_names *names)
{
    if (names == ts->names) /* the usual ACK, or an order that changed (S-9) */
        return;
    if (!ts->names || fp_xds_names_gains(ts->names, names))
        ts->asked = true;
    shrink(&ts->sent, names);
    shrink(&ts->acked, names);
    struct fp_xds_names *old = ts->names;
    ts->names = fp_xds_names_ref(names);
    fp_xds_names_unref(&old);
}

/* S-16: a version to compare the first answer with; longer ones are not ours. */
static char *version_of(const struct fp_xds_request *r)
{
    if (!r->version.len || r->version.len >= FP_XDS_VERSION_BYTES || r->error)
        return NULL;
    char *v = fp_mem_zalloc(r->version.len + 1);
    memcpy(v, r->version.data, r->version.len);
    return v;
}

static void acknowledged(struct fp_xds_stream *st, enum fp_kind kind)
{
    struct fp_xds_subscription *ts = &st->types[kind];
    if (!ts->in_flight)
        return; /* a change of names under the latest nonce (S-5) */
    if (!ts->nack)
        fp_xds_status_adopt(st, kind);
    ts->in_flight = ts->overlaps = false;
    if (ts->doubted)
        return; /* all is said again: that one's ACK counts */
    ts->shrank = ts->regained = false;
    ts->unsure &= !ts->in_full;
    ts->astray &= !ts->in_full;
    fp_xds_state_set(&ts->refused, NULL);
    fp_xds_state_set(&ts->refused_parent, NULL);
    fp_xds_state_set(&ts->acked, ts->sent);
    fp_xds_state_set(&ts->acked_parent, ts->parent);
    st->engine->counters.acks++;
    fp_metric_add(FP_METRIC_XDS_ACKS, kind, 0, 0, 1);
    fp_metric_add(FP_METRIC_XDS_RESPONSES, kind, 0, 0, 1);
    fp_xds_journey_done(st, kind, FP_STR_NULL);
    fp_xds_isolation_passed(ts);
    fp_xds_stream_resolved(st, kind);
}

static bool is_nonce(struct fp_str s, uint32_t nonce)
{
    char text[FP_XDS_NONCE_BYTES];
    return s.len == (size_t)snprintf(text, sizeof text, "%x", nonce) &&
           memcmp(text, s.data, s.len) == 0;
}

static void apply(struct fp_xds_stream *st, const struct fp_xds_type *type,
                  const struct fp_xds_request *r)
{
    struct fp_xds_subscription *ts = &st->types[type->kind];
    bool first = !ts->names; /* S-1: whatever its nonce and error say */
    if (!first && ts->nonce && r->nonce.len && !is_nonce(r->nonce, ts->nonce)) {
        fp_metric_add(FP_METRIC_XDS_STALE_NONCES, 0, 0, 0, 1);
        st->engine->counters.stale++; /* S-6; before our first answer nothing can be stale */
        if (r->error)
            fp_xds_stream_doubted(st, type->kind);
        return;
    }
    struct fp_xds_names *names =
        fp_xds_names_of(&st->engine->names, r, type->wildcard, !ts->named, ts->names);
    if (first) {
        ts->initial_version = version_of(r);
        ts->brought = type->whole && r->version.len;
    } else if (r->error) {
        fp_xds_stream_rejected(st, type->kind, r);
    } else if (r->nonce.len) {
        acknowledged(st, type->kind);
    }
    ts->named |= r->names_n > 0;
    subscribe(ts, names);
    fp_xds_names_unref(&names);
    fp_xds_engine_wake(st->engine, st);
}

static void on_message(struct fp_grpc_call *call, void *user, struct fp_str message)
{
    struct fp_xds_stream *st = user;
    struct fp_xds_request r;
    if (!st || st->ended)
        return;
    st->engine->counters.requests++;
    if (fp_xds_request_parse(message, &r)) {
        refuse(st, FP_GRPC_INVALID_ARGUMENT, "DiscoveryRequest cannot be decoded"); /* E-2 */
        return;
    }
    if (!take_node(st, &r))
        return;
    fp_log_trace(FP_LOG_XDS, "request from %.*s: %.*s names=%u version=%.*s nonce=%.*s%s",
                 FP_STR_ARG(st->node->id), FP_STR_ARG(r.type_url), r.names_n, FP_STR_ARG(r.version),
                 FP_STR_ARG(r.nonce), r.error ? " NACK" : "");
    if (!r.type_url.len) { /* T-4 */
        refuse(st, FP_GRPC_INVALID_ARGUMENT, "type_url is required on an aggregated stream");
        return;
    }
    if (r.names_n > FP_XDS_NAMES_MAX) { /* E-3 */
        refuse(st, FP_GRPC_RESOURCE_EXHAUSTED, "too many resource names");
        return;
    }
    enum fp_kind kind = fp_kind_by_type_url(r.type_url);
    const struct fp_xds_type *type = kind < FP_KIND_N ? fp_xds_type_of(kind) : NULL;
    fp_metric_add(FP_METRIC_XDS_REQUESTS, kind, 0, 0, 1);
    if (type)
        apply(st, type, &r);
    else if (!st->engine->counters.unknown_types++) /* E-1: the stream lives, nothing is said */
        fp_log_info(FP_LOG_XDS, "node %.*s asked for a type that is not served: %.*s",
                    FP_STR_ARG(st->node->id), FP_STR_ARG(r.type_url));
}

/* ---- life ---- */

/* Of this worker; returns those of the instance. */
static uint64_t count_streams(struct fp_xds_engine *e, int more)
{
    e->streams_n += (uint32_t)more;
    return fp_status_streams_set(e->options.status, e->streams_n);
}

static void *on_open(struct fp_grpc_call *call, void *arg)
{
    struct fp_xds_engine *e = arg;
    if (count_streams(e, 1) > e->options.max_streams) { /* counted first: two cannot both be last */
        count_streams(e, -1);
        e->counters.refused++;
        fp_grpc_call_finish(call, FP_GRPC_RESOURCE_EXHAUSTED, "too many streams");
        return NULL;
    }
    struct fp_xds_stream *st = fp_mem_zalloc(sizeof *st);
    st->engine = e;
    st->call = call;
    st->status = FP_STATUS_RECORD_NONE;
    st->opened_ns = fp_clock_mono_ns();
    fp_list_push_back(&e->streams, &st->link);
    return st;
}

static void on_half_close(struct fp_grpc_call *call, void *user)
{
    struct fp_xds_stream *st = user;
    if (!st || st->ended)
        return;
    if (st->admitted) /* a client that asks once and is done still gets its answer */
        fp_xds_stream_flush(st);
    fp_xds_stream_end(st, FP_GRPC_OK, ""); /* T-9 */
}

static void on_drained(struct fp_grpc_call *call, void *user)
{
    struct fp_xds_stream *st = user;
    if (st && !st->ended)
        fp_xds_engine_wake(st->engine, st); /* L-1: what is newest now */
}

static void on_close(struct fp_grpc_call *call, void *user)
{
    struct fp_xds_stream *st = user;
    if (!st)
        return;
    struct fp_xds_engine *e = st->engine;
    fp_xds_status_close(st);
    fp_metric_observe_ns(FP_METRIC_XDS_STREAM_DURATION, 0, 0, fp_clock_mono_ns() - st->opened_ns);
    for (int k = 0; k < FP_KIND_N; k++) {
        struct fp_xds_subscription *ts = &st->types[k];
        fp_xds_state_unref(&ts->sent);
        fp_xds_state_unref(&ts->acked);
        fp_xds_state_unref(&ts->parent);
        fp_xds_state_unref(&ts->acked_parent);
        fp_xds_state_unref(&ts->refused);
        fp_xds_state_unref(&ts->refused_parent);
        fp_xds_names_unref(&ts->names);
        fp_xds_isolation_end(ts);
        fp_xds_journey_free(&ts->journey);
        fp_mem_free(ts->nack);
        fp_mem_free(ts->initial_version);
    }
    fp_timer_stop(&st->order_timer);
    fp_timer_stop(&st->drain_timer);
    fp_list_remove(&st->link);
    fp_list_remove(&st->ready);
    count_streams(e, -1);
    fp_xds_scope_unref(&st->scope);
    fp_mem_free(st->node);
    fp_mem_free(st);
}

const struct fp_grpc_method fp_xds_ads_method = {
    .path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
    .on_open = on_open,
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_drained = on_drained,
    .on_close = on_close,
};
