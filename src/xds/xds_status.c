/*
 * From streams to the status segment (obs_status.h), in workers.  Written after each flush of a
 * stream, when all is decided; nothing here may influence what is served.
 */
#include "xds/xds_status_int.h"
#include <math.h>
#include "core/core_clock.h"
#include "core/core_buf.h"

/* ---- google.protobuf.Struct to JSON; as deep as the guard lets it be ---- */

static void put_value(struct fp_buf *out, const Google__Protobuf__Value *v);

static void put_struct(struct fp_buf *out, const Google__Protobuf__Struct *s)
{
    fp_buf_append_byte(out, '{');
    for (size_t i = 0; s && i < s->n_fields; i++) {
        if (i)
            fp_buf_append_byte(out, ',');
        fp_buf_append_json(out, fp_str_of(s->fields[i]->key));
        fp_buf_append_byte(out, ':');
        put_value(out, s->fields[i]->value);
    }
    fp_buf_append_byte(out, '}');
}

static void put_list(struct fp_buf *out, const Google__Protobuf__ListValue *l)
{
    fp_buf_append_byte(out, '[');
    for (size_t i = 0; i < l->n_values; i++) {
        if (i)
            fp_buf_append_byte(out, ',');
        put_value(out, l->values[i]);
    }
    fp_buf_append_byte(out, ']');
}

static void put_value(struct fp_buf *out, const Google__Protobuf__Value *v)
{
    switch (v ? v->kind_case : GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        if (isfinite(v->number_value))
            fp_buf_printf(out, "%.17g", v->number_value);
        else
            fp_buf_append_c(out, "null");
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        fp_buf_append_json(out, fp_str_of(v->string_value));
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        fp_buf_append_c(out, v->bool_value ? "true" : "false");
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        put_struct(out, v->struct_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        put_list(out, v->list_value);
        break;
    default:
        fp_buf_append_c(out, "null");
    }
}

/* ---- the record ---- */

void fp_xds_status_open(struct fp_xds_stream *st, struct fp_str team,
                        const Google__Protobuf__Struct *said)
{
    static const char *const scopes[] = {
        [FP_XDS_SCOPE_ALL] = "all",
        [FP_XDS_SCOPE_TEAM] = "team",
        [FP_XDS_SCOPE_ALLOWLIST] = "allowlist",
    };
    const struct fp_xds_node *n = st->node;
    const struct fp_http_stream *hs = fp_grpc_call_stream(st->call);
    const struct fp_addr *peer = fp_http_stream_peer(hs);
    char peer_text[FP_ADDR_TEXT_BYTES] = "";
    struct fp_buf metadata = {0};
    if (!st->engine->options.status)
        return;
    put_struct(&metadata, said);
    struct fp_status_node s = {
        .id = n->id,
        .cluster = n->cluster,
        .team = team,
        .scope = fp_str_of(scopes[st->scope->kind]),
        .user_agent = n->user_agent,
        .user_agent_version = n->user_agent_version,
        .peer = fp_str_of(peer ? fp_addr_text(peer, peer_text) : ""),
        .metadata = fp_buf_str(&metadata),
        .tls_subject = fp_http_stream_tls_subject(hs),
        .tls_sans = fp_http_stream_tls_sans(hs),
        .tls_not_after_ms = fp_http_stream_tls_not_after_ms(hs),
        .connected_wall_ms = fp_clock_wall_ms(),
        .mode = FP_STATUS_SOTW,
    };
    st->status = fp_status_stream_open(st->engine->options.status, &s);
    fp_buf_fini(&metadata);
}

void fp_xds_status_close(struct fp_xds_stream *st)
{
    struct fp_status_writer *w = st->engine->options.status;
    for (int k = 0; k < FP_KIND_N; k++)
        if (st->types[k].nack && st->types[k].nack->open)
            fp_status_orphan_add(w, st->node->id, (enum fp_kind)k);
    fp_status_stream_close(w, st->status);
}

/* The revision whose changes of this type the client has acknowledged, as far as it sees them.  A
 * removal that waits for an ACK is not acknowledged, one that waits for the client to drain is: no
 * new connection sees it; a suspect that is held is reported as rejected. */
static void follow_acks(struct fp_xds_subscription *ts)
{
    if (ts->acked && !ts->acked->waits_n)
        ts->acked_revision = fp_snap_meta(ts->acked->view->snap)->revision;
}

void fp_xds_status_report(struct fp_xds_stream *st)
{
    uint64_t now = fp_loop_now_ms(st->engine->loop);
    for (size_t i = 0; i < FP_XDS_TYPES_N; i++) {
        enum fp_kind kind = fp_xds_types[i].kind;
        struct fp_xds_subscription *ts = &st->types[kind];
        if (!ts->names)
            continue;
        bool pending = ts->in_flight || ts->behind || ts->acked != ts->sent;
        follow_acks(ts);
        if (!pending)
            ts->pending_since_ms = 0;
        else if (!ts->pending_since_ms)
            ts->pending_since_ms = now ? now : 1;
        struct fp_status_type t = {
            .subscribed = true,
            .wildcard = ts->names->wildcard,
            .names_n = ts->names->n,
            .pending = pending,
            .held = ts->sent ? ts->sent->held_n : 0,
            .kept = ts->sent ? ts->sent->kept_n : 0,
            .acked_revision = ts->acked_revision,
            .pending_since_ms = ts->pending_since_ms,
        };
        if (ts->sent)
            memcpy(t.sent_version, ts->sent->version, sizeof t.sent_version);
        if (ts->acked)
            memcpy(t.acked_version, ts->acked->version, sizeof t.acked_version);
        fp_status_type_set(st->engine->options.status, st->status, kind, &t);
    }
}

static void tell(struct fp_xds_stream *st, enum fp_kind kind, bool resolved,
                 const struct fp_status_nack *said)
{
    const struct fp_xds_options *o = &st->engine->options;
    if (!o->on_nack)
        return;
    struct fp_xds_verdict v = {
        .resolved = resolved,
        .kind = kind,
        .node_id = st->node->id,
        .node_cluster = st->node->cluster,
        .team = st->scope->team,
        .nack = said,
    };
    o->on_nack(&v, o->on_nack_arg);
}

void fp_xds_status_nack(struct fp_xds_stream *st, enum fp_kind kind)
{
    const struct fp_xds_nack *n = st->types[kind].nack;
    fp_status_nack_set(st->engine->options.status, st->status, kind, n->open ? &n->said : NULL);
    tell(st, kind, !n->open, &n->said);
}

void fp_xds_status_adopt(struct fp_xds_stream *st, enum fp_kind kind)
{
    static const struct fp_status_nack nothing;
    if (fp_status_orphan_take(st->engine->options.status, st->node->id, kind))
        tell(st, kind, true, &nothing);
}
