/* Spans as OTLP/HTTP in its JSON form (ExportTraceServiceRequest).  Bytes only. */
#include <unistd.h>
#include "obs/obs_export_int.h"

enum { KIND_INTERNAL = 1, KIND_SERVER = 2, STATUS_ERROR = 2 };

static void put_string(struct fp_buf *b, const char *key, struct fp_str value)
{
    fp_buf_printf(b, "{\"key\":\"%s\",\"value\":{\"stringValue\":", key);
    fp_buf_append_json(b, value);
    fp_buf_append_c(b, "}}");
}

static void put_hex(struct fp_buf *b, const char *key, const uint8_t *bytes, size_t n)
{
    fp_buf_printf(b, "\"%s\":\"", key);
    for (size_t i = 0; i < n; i++)
        fp_buf_printf(b, "%02x", bytes[i]);
    fp_buf_append_c(b, "\",");
}

static void head(struct fp_buf *b, const char *service, const char *instance, unsigned spans_n)
{
    (void)spans_n;
    fp_buf_append_c(b, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    put_string(b, "service.name", fp_str_of(service));
    fp_buf_append_byte(b, ',');
    put_string(b, "service.instance.id", fp_str_of(instance));
    fp_buf_printf(b,
                  ",{\"key\":\"process.pid\",\"value\":{\"intValue\":\"%d\"}}]},"
                  "\"scopeSpans\":[{\"scope\":{\"name\":\"flowplane\"},\"spans\":[",
                  (int)getpid());
}

static void span(struct fp_buf *b, const struct fp_span *s)
{
    static const uint8_t root[8];
    fp_buf_append_byte(b, '{');
    put_hex(b, "traceId", s->at.trace_id, sizeof(s->at.trace_id));
    put_hex(b, "spanId", s->at.span_id, sizeof(s->at.span_id));
    if (memcmp(s->parent_id, root, sizeof(root)) != 0)
        put_hex(b, "parentSpanId", s->parent_id, sizeof(s->parent_id));
    if (s->state.data) {
        fp_buf_append_c(b, "\"traceState\":");
        fp_buf_append_json(b, s->state);
        fp_buf_append_byte(b, ',');
    }
    fp_buf_printf(
        b,
        "\"name\":\"%s\",\"kind\":%d,\"startTimeUnixNano\":\"%lld\","
        "\"endTimeUnixNano\":\"%lld\",\"attributes\":[",
        fp_span_names[s->name], s->name == FP_SPAN_HTTP_REQUEST ? KIND_SERVER : KIND_INTERNAL,
        (long long)s->start_wall_ns, (long long)(s->start_wall_ns + (int64_t)s->duration_ns));
    for (unsigned i = 0; i < s->tags_n; i++) {
        const struct fp_span_tag *t = &s->tags[i];
        if (i)
            fp_buf_append_byte(b, ',');
        if (t->str.data)
            put_string(b, t->key, t->str);
        else
            fp_buf_printf(b, "{\"key\":\"%s\",\"value\":{\"intValue\":\"%lld\"}}", t->key,
                          (long long)t->number);
    }
    fp_buf_append_byte(b, ']');
    if (s->failed)
        fp_buf_printf(b, ",\"status\":{\"code\":%d}", STATUS_ERROR);
    fp_buf_append_byte(b, '}');
}

static void tail(struct fp_buf *b)
{
    fp_buf_append_c(b, "]}]}]}");
}

const struct export_form obs_export_otlp = {
    .name = "observability.otlp_endpoint",
    .content_type = "application/json",
    .path = "/v1/traces",
    .append = true,
    .between = ",",
    .head = head,
    .span = span,
    .tail = tail,
};
