/*
 * From a commit to the ACK of a node, for metrics and spans.  Runs in workers.  A stream that
 * connects is sent what others have for long: only what a stream that was up to date lacked since
 * is told, and that costs nothing where no commit is traced.
 */
#include "xds/xds_journey_int.h"
#include "core/core_clock.h"
#include "core/core_mem.h"
#include "obs/obs_metric.h"

#define PUSHES_N 8 /* of one answer and those it overtook */

struct push {
    struct fp_trace at;
    uint64_t sent_ns;
    int64_t revision;
};
struct fp_xds_journey {   /* of the answers of a type that have no verdict yet */
    int64_t committed_ms; /* the oldest commit among them */
    unsigned n;
    struct push pushes[]; /* traced ones, at most PUSHES_N */
};

void fp_xds_journey_free(struct fp_xds_journey **j)
{
    fp_mem_free(*j);
    *j = NULL;
}

static void say(struct fp_span *s, const struct fp_xds_stream *st, enum fp_kind kind)
{
    fp_span_str(s, "node_id", st->node->id);
    fp_span_str(s, "type", fp_str_of(fp_kinds[kind].xds));
    fp_span_int(s, "nonce", st->types[kind].nonce);
}

/* Began when this worker took the generation: what held the answer back is in it. */
static void push(struct fp_xds_stream *st, enum fp_kind kind, const struct fp_commit *c,
                 const struct fp_xds_response *r, struct push *out)
{
    struct fp_span s;
    fp_span_begin(&s, FP_SPAN_XDS_PUSH, &c->at);
    fp_span_since(&s, st->engine->published_ns);
    say(&s, st, kind);
    fp_span_int(&s, "revision", (int64_t)c->revision);
    fp_span_int(&s, "resources", r->entries_n);
    fp_span_int(&s, "bytes", (int64_t)r->chunk.bytes);
    *out =
        (struct push){.at = s.at, .sent_ns = fp_clock_mono_ns(), .revision = (int64_t)c->revision};
    fp_span_end(&s, false);
}

static void trace(struct fp_xds_stream *st, enum fp_kind kind, const struct fp_xds_response *r,
                  uint64_t after, uint64_t upto)
{
    struct fp_xds_journey *j = st->types[kind].journey;
    struct fp_commit traced[PUSHES_N];
    unsigned n =
        fp_commits_sample(st->engine->options.commits, after, upto, traced, PUSHES_N - j->n);
    if (!n)
        return;
    j = st->types[kind].journey =
        fp_mem_realloc(j, sizeof *j + (j->n + (size_t)n) * sizeof *j->pushes);
    for (unsigned i = 0; i < n; i++)
        push(st, kind, &traced[i], r, &j->pushes[j->n++]);
}

void fp_xds_journey_sent(struct fp_xds_stream *st, enum fp_kind kind,
                         const struct fp_xds_response *r)
{
    struct fp_xds_subscription *ts = &st->types[kind];
    uint64_t after = ts->sent ? fp_snap_meta(ts->sent->view->snap)->revision : 0;
    uint64_t upto = fp_snap_meta(st->engine->view->snap)->revision;
    if (!ts->sent || after >= upto)
        return;
    int64_t committed_ms = fp_commits_oldest_ms(st->engine->options.commits, after, upto);
    if (!committed_ms)
        return;
    if (!ts->journey) {
        ts->journey = fp_mem_zalloc(sizeof *ts->journey);
        ts->journey->committed_ms = committed_ms;
    }
    if (fp_spans_on())
        trace(st, kind, r, after, upto);
}

void fp_xds_journey_done(struct fp_xds_stream *st, enum fp_kind kind, struct fp_str error)
{
    struct fp_xds_journey *j = st->types[kind].journey;
    if (!j)
        return;
    int64_t ms = fp_clock_wall_ms() - j->committed_ms;
    if (!error.data)
        fp_metric_observe_ns(FP_METRIC_PROPAGATION, FP_METRIC_ACKED, 0,
                             ms > 0 ? (uint64_t)ms * 1000000 : 0);
    for (unsigned i = 0; i < j->n; i++) {
        struct fp_span s;
        fp_span_begin(&s, FP_SPAN_XDS_ACK, &j->pushes[i].at);
        fp_span_since(&s, j->pushes[i].sent_ns);
        say(&s, st, kind);
        fp_span_int(&s, "revision", j->pushes[i].revision);
        fp_span_str(&s, "result", error.data ? FP_STR("nack") : FP_STR("ack"));
        if (error.data)
            fp_span_str(&s, "message", error);
        fp_span_end(&s, error.data != NULL);
    }
    fp_xds_journey_free(&st->types[kind].journey);
}
