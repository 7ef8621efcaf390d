/*
 * Rejections, per stream and type, in workers.  After a NACK the client is believed to hold what it
 * last ACKed (N-5 holds for the named types too), and the rejected contents must never be sent to
 * it again until they change (N-3).
 */
#include "xds/xds_stream_int.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "core/core_mem.h"

static void note(struct fp_xds_subscription *ts, const struct fp_xds_request *r)
{
    uint32_t before = ts->nack ? ts->nack->count : 0;
    size_t len = r->error_message.len;
    if (len >= FP_XDS_NACK_MESSAGE_BYTES)
        len = FP_XDS_NACK_MESSAGE_BYTES - 1;
    fp_mem_free(ts->nack);
    struct fp_xds_nack *n = ts->nack = fp_mem_zalloc(sizeof *n + len + 1);
    n->message = (char *)(n + 1);
    if (len)
        memcpy(n->message, r->error_message.data, len);
    memcpy(n->content, ts->content, sizeof n->content);
    if (ts->sent)
        memcpy(n->version, ts->sent->version, sizeof n->version);
    n->nonce = ts->nonce;
    n->code = r->error_code;
    n->wall_ms = fp_clock_wall_ms();
    n->count = before + 1;
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
        FP_LOG_S("version", fp_str_of(ts->nack->version)),
        FP_LOG_S("nonce", r->nonce),
        FP_LOG_I("code", ts->nack->code),
        FP_LOG_S("error", fp_str_of(ts->nack->message)),
    };
    if (fp_log_on(FP_LOG_WARN, FP_LOG_XDS))
        fp_log_write(FP_LOG_WARN, FP_LOG_XDS, fields, sizeof fields / sizeof *fields,
                     "%s rejected by node %.*s: %s", fp_kinds[kind].xds, FP_STR_ARG(st->node->id),
                     ts->nack->message);
    st->engine->counters.nacks++;
    ts->in_flight = false;
    ts->rejected = true;
    fp_xds_state_set(&ts->sent, ts->acked);
    /* what hangs on it follows again with the next answer (O-1) */
    for (size_t i = 0; i < FP_XDS_TYPES_N; i++)
        if (fp_xds_types[i].parent == kind)
            fp_xds_state_set(&st->types[fp_xds_types[i].kind].parent, ts->acked);
}

bool fp_xds_stream_refuses(const struct fp_xds_subscription *ts, const struct fp_xds_response *r)
{
    return ts->rejected && memcmp(ts->nack->content, r->content, sizeof r->content) == 0;
}
