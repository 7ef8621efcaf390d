/*
 * Spans and the W3C trace context.  Runs in workers and the watcher; never blocks, never allocates,
 * and is needed by nobody to do its work.
 */
#include "obs/obs_span.h"
#include <time.h>
#include "core/core_clock.h"
#include "core/core_rand.h"

#define VALUE_MAX_BYTES 256
#define STATE_MAX_BYTES 512

const char *const fp_span_names[FP_SPAN_N] = {
    [FP_SPAN_HTTP_REQUEST] = "http_request",
    [FP_SPAN_AUTH] = "auth",
    [FP_SPAN_DB_TRANSACTION] = "db_transaction",
    [FP_SPAN_AUDIT_WRITE] = "audit_write",
    [FP_SPAN_SNAPSHOT_BUILD] = "snapshot_build",
    [FP_SPAN_XDS_PUSH] = "xds_push",
    [FP_SPAN_XDS_ACK] = "xds_ack",
    [FP_SPAN_OPENAPI_IMPORT] = "openapi_import",
};

static struct {
    fp_span_sink sink;
    void *arg;
    uint64_t threshold; /* traces whose random half is below are sampled */
} tracer;               /* of this process */

/* ---- W3C trace context */

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lower case only, as the recommendation has it. */
static bool unhex(uint8_t *out, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static char *hex(char *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    return out;
}

static bool zero(const uint8_t *bytes, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= bytes[i];
    return !any;
}

bool fp_trace_parse(struct fp_trace *out, struct fp_str s)
{
    struct fp_trace t = {.known = true};
    uint8_t version, flags;
    *out = (struct fp_trace){.known = false};
    if (s.len < FP_TRACE_TEXT_BYTES - 1 || s.data[2] != '-' || s.data[35] != '-' ||
        s.data[52] != '-' || !unhex(&version, 1, s.data) || version == 0xff ||
        !unhex(t.trace_id, sizeof(t.trace_id), s.data + 3) ||
        !unhex(t.span_id, sizeof(t.span_id), s.data + 36) || !unhex(&flags, 1, s.data + 53))
        return false;
    /* what a later version adds begins with a dash; version 00 has nothing more */
    if (s.len > FP_TRACE_TEXT_BYTES - 1 && (version == 0 || s.data[55] != '-'))
        return false;
    if (zero(t.trace_id, sizeof(t.trace_id)) || zero(t.span_id, sizeof(t.span_id)))
        return false;
    t.sampled = flags & 1;
    *out = t;
    return true;
}

char *fp_trace_text(const struct fp_trace *t, char out[FP_TRACE_TEXT_BYTES])
{
    memcpy(out, "00-", 3);
    char *p = hex(out + 3, t->trace_id, sizeof(t->trace_id));
    *p++ = '-';
    p = hex(p, t->span_id, sizeof(t->span_id));
    memcpy(p, t->sampled ? "-01" : "-00", 4);
    return out;
}

bool fp_trace_state_ok(struct fp_str s)
{
    if (s.len < 3 || s.len > STATE_MAX_BYTES)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((s.data[i] < 0x20 || s.data[i] > 0x7e) && s.data[i] != '\t')
            return false;
    return memchr(s.data, '=', s.len) != NULL;
}

/* ---- spans */

void fp_spans_set(fp_span_sink sink, void *arg, double ratio)
{
    tracer.sink = sink;
    tracer.arg = arg;
    /* 2^63 values, so that a ratio of 1 takes all of them without overflow */
    tracer.threshold = ratio >= 1 ? UINT64_C(1) << 63 : ratio > 0 ? (uint64_t)(ratio * 0x1p63) : 0;
}

bool fp_spans_on(void)
{
    return tracer.sink != NULL;
}

static uint64_t random_id(uint8_t out[8])
{
    uint64_t v;
    do
        v = fp_rand_u64();
    while (!v);
    memcpy(out, &v, sizeof(v));
    return v;
}

static int64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void fp_span_begin(struct fp_span *s, enum fp_span_name name, const struct fp_trace *parent)
{
    s->running = false;
    if (!tracer.sink)
        return;
    bool root = !parent || !parent->known;
    /* the text is not cleared: only its first text_n bytes are anything */
    s->name = name;
    s->running = true;
    s->failed = s->remote_parent = false;
    s->state = FP_STR_NULL;
    s->tags_n = 0;
    s->text_n = 0;
    s->duration_ns = 0;
    memset(s->parent_id, 0, sizeof(s->parent_id));
    s->at.known = true;
    if (root) {
        random_id(s->at.trace_id);
        s->at.sampled = random_id(s->at.trace_id + 8) >> 1 < tracer.threshold;
    } else {
        memcpy(s->at.trace_id, parent->trace_id, sizeof(s->at.trace_id));
        memcpy(s->parent_id, parent->span_id, sizeof(s->parent_id));
        s->at.sampled = parent->sampled;
    }
    random_id(s->at.span_id);
    s->start_wall_ns = wall_ns();
    s->start_ns = fp_clock_mono_ns();
}

void fp_span_since(struct fp_span *s, uint64_t start_ns)
{
    if (!s->running || start_ns >= s->start_ns)
        return;
    s->start_wall_ns -= (int64_t)(s->start_ns - start_ns);
    s->start_ns = start_ns;
}

static bool recording(const struct fp_span *s)
{
    return s->running && s->at.sampled;
}

/* A copy in the span, of whole characters. */
static struct fp_str keep(struct fp_span *s, struct fp_str v, size_t max)
{
    char *to = s->text + s->text_n;
    size_t room = sizeof(s->text) - s->text_n, n = 0;
    if (room > max)
        room = max;
    while (n < v.len) {
        size_t step = fp_utf8_step(v.data + n, v.len - n);
        if (n + (step ? step : 1) > room)
            break;
        if (step)
            memcpy(to + n, v.data + n, step);
        else
            to[n] = '?';
        n += step ? step : 1;
    }
    s->text_n += n;
    return fp_str_n(to, n);
}

void fp_span_str(struct fp_span *s, const char *key, struct fp_str value)
{
    if (recording(s) && s->tags_n < FP_SPAN_TAGS)
        s->tags[s->tags_n++] =
            (struct fp_span_tag){.key = key, .str = keep(s, value, VALUE_MAX_BYTES)};
}

void fp_span_int(struct fp_span *s, const char *key, int64_t value)
{
    if (recording(s) && s->tags_n < FP_SPAN_TAGS)
        s->tags[s->tags_n++] = (struct fp_span_tag){.key = key, .number = value};
}

void fp_span_state(struct fp_span *s, struct fp_str tracestate)
{
    /* cut it would mean something else */
    if (recording(s) && fp_trace_state_ok(tracestate) &&
        tracestate.len <= sizeof(s->text) - s->text_n)
        s->state = keep(s, tracestate, STATE_MAX_BYTES);
}

void fp_span_end(struct fp_span *s, bool failed)
{
    if (!s->running)
        return;
    s->running = false;
    if (!tracer.sink || !s->at.sampled)
        return;
    s->failed = failed;
    s->duration_ns = fp_clock_mono_ns() - s->start_ns;
    tracer.sink(s, tracer.arg);
}
