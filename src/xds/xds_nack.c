/*
 * Rejections, per stream and type, in workers.  After a NACK the client is believed to hold what it
 * last ACKed (N-5 holds for the named types too) and perhaps parts of what it rejected (N-6), and
 * the rejected contents must never be sent to it again until they change (N-3).
 */
#include "obs/obs_metric.h"
#include "xds/xds_isolate_int.h"
#include "xds/xds_journey_int.h"
#include "xds/xds_status_int.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "core/core_mem.h"

#define REPEAT_MS 60000 /* contract §10: repeats within raise the count */

/* Text of a client: what is no UTF-8, and NUL, which neither JSON nor the database take, is '?'. */
static struct fp_str keep_text(char *at, struct fp_str s)
{
    size_t n = 0;
    while (n < s.len && n < FP_STATUS_MESSAGE_BYTES) {
        size_t step = s.data[n] ? fp_utf8_step(s.data + n, s.len - n) : 0;
        if (n + step > FP_STATUS_MESSAGE_BYTES)
            break;
        if (step)
            memcpy(at + n, s.data + n, step);
        else
            at[n] = '?';
        n += step ? step : 1;
    }
    return fp_str_n(at, n);
}

/* Names whose bytes the client did not acknowledge before: one of them is the reason. */
static void suspect_names(const struct fp_xds_subscription *ts, struct fp_buf *out)
{
    if (!ts->sent)
        return;
    const struct fp_xds_change *c = fp_xds_state_change(ts->sent, ts->acked);
    for (uint32_t i = 0; i < c->changed_n && i < FP_STATUS_NAMES_N; i++) {
        fp_buf_append_str(out, c->changed[i].name);
        fp_buf_append_byte(out, 0);
    }
}

static void note(struct fp_xds_subscription *ts, const struct fp_xds_request *r)
{
    int64_t now = fp_clock_wall_ms();
    struct fp_xds_nack *old = ts->nack;
    bool repeat = old && old->open && now - old->said.last_wall_ms < REPEAT_MS;
    bool again = old && old->said.nonce == ts->nonce; /* what was sent is not known any more */
    struct fp_buf names = {0};
    if (again)
        fp_buf_append_str(&names, old->said.names);
    else
        suspect_names(ts, &names);
    size_t most = r->error_message.len < FP_STATUS_MESSAGE_BYTES ? r->error_message.len
                                                                 : FP_STATUS_MESSAGE_BYTES;
    struct fp_xds_nack *n = fp_mem_zalloc(sizeof *n + most + 1 + names.len);
    char *at = (char *)(n + 1);
    n->open = true;
    n->said = (struct fp_status_nack){
        .nonce = ts->nonce,
        .code = r->error_code,
        .count = repeat ? old->said.count + 1 : 1,
        .first_wall_ms = repeat ? old->said.first_wall_ms : now,
        .last_wall_ms = now,
        .message = keep_text(at, r->error_message),
        .names = fp_str_n(at + most + 1, names.len),
    };
    if (names.len)
        memcpy(at + most + 1, names.data, names.len);
    fp_buf_fini(&names);
    if (again) {
        memcpy(n->said.version, old->said.version, sizeof n->said.version);
        n->said.revision = old->said.revision;
    } else if (ts->sent) {
        memcpy(n->said.version, ts->sent->version, sizeof n->said.version);
        n->said.revision = fp_snap_meta(ts->sent->view->snap)->revision;
    }
    if (ts->acked)
        memcpy(n->said.accepted, ts->acked->version, sizeof n->said.accepted);
    fp_mem_free(old);
    ts->nack = n;
}

/* Of several entries it may have taken some; one alone it has not, but perhaps what an answer
 * before it said, whose verdict came too late to count (S-6). */
static void refuse(struct fp_xds_subscription *ts)
{
    if (!ts->in_flight || !ts->sent)
        return; /* said again, or too late */
    const struct fp_xds_change *c = fp_xds_state_change(ts->sent, ts->acked);
    ts->unsure |= ts->overlaps || c->changed_n + c->removed_n > 1;
    if (ts->moved_on)
        return; /* not what it has rejected */
    fp_xds_state_set(&ts->refused, ts->sent);
    fp_xds_state_set(&ts->refused_parent, ts->parent);
}

void fp_xds_stream_children_follow(struct fp_xds_stream *st, enum fp_kind parent,
                                   struct fp_xds_state *known)
{
    for (size_t i = 0; i < FP_XDS_TYPES_N; i++) {
        struct fp_xds_subscription *ts = &st->types[fp_xds_types[i].kind];
        if (fp_xds_types[i].parent != parent)
            continue;
        fp_xds_state_set(&ts->parent, known);
        fp_xds_state_set(&ts->acked_parent, known);
    }
}

void fp_xds_stream_rejected(struct fp_xds_stream *st, enum fp_kind kind,
                            const struct fp_xds_request *r)
{
    struct fp_xds_subscription *ts = &st->types[kind];
    if (!ts->nonce)
        return; /* nothing was sent that it could reject */
    note(ts, r);
    const struct fp_log_field fields[] = {
        FP_LOG_S("node_id", st->node->id),
        FP_LOG_S("type_url", fp_str_of(fp_kinds[kind].type_url)),
        FP_LOG_S("version", fp_str_of(ts->nack->said.version)),
        FP_LOG_S("nonce", r->nonce),
        FP_LOG_I("code", ts->nack->said.code),
        FP_LOG_S("error", ts->nack->said.message),
    };
    if (fp_log_on(FP_LOG_WARN, FP_LOG_XDS))
        fp_log_write(FP_LOG_WARN, FP_LOG_XDS, fields, sizeof fields / sizeof *fields,
                     "%s rejected by node %.*s: %.*s", fp_kinds[kind].xds, FP_STR_ARG(st->node->id),
                     FP_STR_ARG(ts->nack->said.message));
    if (!st->engine->options.nack_hold)
        fp_xds_isolation_begin(st, kind, r->error_message);
    st->engine->counters.nacks++;
    fp_metric_add(FP_METRIC_XDS_NACKS, kind, 0, 0, 1);
    fp_metric_add(FP_METRIC_XDS_RESPONSES, kind, 1, 0, 1);
    fp_xds_journey_done(st, kind, ts->nack->said.message);
    refuse(ts);
    struct fp_xds_state *behind = ts->overlaps ? NULL : ts->acked_parent;
    ts->regained |= ts->shrank;
    ts->shrank = false;
    ts->in_flight = ts->overlaps = ts->doubted = false;
    fp_xds_state_set(&ts->sent, ts->acked);
    fp_xds_stream_children_follow(st, kind, ts->acked);
    if (ts->isolation) /* else it would be the same again (N-3) */
        fp_xds_state_set(&ts->parent, behind);
    fp_xds_status_nack(st, kind);
}

void fp_xds_stream_resolved(struct fp_xds_stream *st, enum fp_kind kind)
{
    struct fp_xds_nack *n = st->types[kind].nack;
    if (!n || !n->open || st->types[kind].isolation)
        return; /* suspects that are kept apart stay rejected */
    n->open = false;
    fp_xds_status_nack(st, kind);
}

void fp_xds_stream_doubted(struct fp_xds_stream *st, enum fp_kind kind)
{
    struct fp_xds_subscription *ts = &st->types[kind];
    if (!ts->in_flight)
        return;
    /* behind an answer that was made without this verdict */
    fp_xds_stream_children_follow(st, kind, NULL);
    if (!ts->in_full) { /* else what is under way says all again anyhow */
        ts->unsure = ts->doubted = true;
        fp_xds_isolation_doubted(ts);
    }
    fp_xds_engine_wake(st->engine, st);
}

bool fp_xds_stream_refuses(const struct fp_xds_subscription *ts, struct fp_xds_state *to)
{
    if (!ts->refused)
        return false;
    const struct fp_xds_change *c = fp_xds_state_change(to, ts->refused);
    return !c->changed_n && !c->removed_n;
}
