/*
 * Spans as Jaeger's collector takes them over HTTP: one jaeger.thrift Batch in Thrift's binary
 * protocol.  Bytes only.
 */
#include "obs/obs_export_int.h"

enum { T_STOP = 0, T_BOOL = 2, T_I32 = 8, T_I64 = 10, T_STRING = 11, T_STRUCT = 12, T_LIST = 15 };
enum { TAG_STRING = 0, TAG_BOOL = 2, TAG_LONG = 3 };

static void put_number(struct fp_buf *b, uint64_t v, unsigned bytes)
{
    while (bytes--)
        fp_buf_append_byte(b, (uint8_t)(v >> 8 * bytes));
}

static void put_field(struct fp_buf *b, uint8_t type, unsigned id)
{
    fp_buf_append_byte(b, type);
    put_number(b, id, 2);
}

static void put_string(struct fp_buf *b, unsigned id, struct fp_str s)
{
    put_field(b, T_STRING, id);
    put_number(b, s.len, 4);
    fp_buf_append_str(b, s);
}

static void put_i64(struct fp_buf *b, unsigned id, uint64_t v)
{
    put_field(b, T_I64, id);
    put_number(b, v, 8);
}

static void put_i32(struct fp_buf *b, unsigned id, uint32_t v)
{
    put_field(b, T_I32, id);
    put_number(b, v, 4);
}

static void put_list(struct fp_buf *b, unsigned id, unsigned n)
{
    put_field(b, T_LIST, id);
    fp_buf_append_byte(b, T_STRUCT);
    put_number(b, n, 4);
}

static void tag_string(struct fp_buf *b, const char *key, struct fp_str value)
{
    put_string(b, 1, fp_str_of(key));
    put_i32(b, 2, TAG_STRING);
    put_string(b, 3, value);
    fp_buf_append_byte(b, T_STOP);
}

static void tag_number(struct fp_buf *b, const char *key, int64_t value)
{
    put_string(b, 1, fp_str_of(key));
    put_i32(b, 2, TAG_LONG);
    put_i64(b, 6, (uint64_t)value);
    fp_buf_append_byte(b, T_STOP);
}

static void tag_true(struct fp_buf *b, const char *key)
{
    put_string(b, 1, fp_str_of(key));
    put_i32(b, 2, TAG_BOOL);
    put_field(b, T_BOOL, 5);
    fp_buf_append_byte(b, 1);
    fp_buf_append_byte(b, T_STOP);
}

static uint64_t big_endian(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static void head(struct fp_buf *b, const char *service, const char *instance, unsigned spans_n)
{
    put_field(b, T_STRUCT, 1); /* process */
    put_string(b, 1, fp_str_of(service));
    put_list(b, 2, 1);
    tag_string(b, "service.instance.id", fp_str_of(instance));
    fp_buf_append_byte(b, T_STOP);
    put_list(b, 2, spans_n);
}

static void span(struct fp_buf *b, const struct fp_span *s)
{
    put_i64(b, 1, big_endian(s->at.trace_id + 8));
    put_i64(b, 2, big_endian(s->at.trace_id));
    put_i64(b, 3, big_endian(s->at.span_id));
    put_i64(b, 4, big_endian(s->parent_id));
    put_string(b, 5, fp_str_of(fp_span_names[s->name]));
    put_i32(b, 7, 1); /* flags: sampled */
    put_i64(b, 8, (uint64_t)s->start_wall_ns / 1000);
    put_i64(b, 9, s->duration_ns / 1000);
    bool server = s->name == FP_SPAN_HTTP_REQUEST;
    put_list(b, 10, s->tags_n + 1 + s->failed + (s->state.data != NULL));
    tag_string(b, "span.kind", server ? FP_STR("server") : FP_STR("internal"));
    for (unsigned i = 0; i < s->tags_n; i++)
        if (s->tags[i].str.data)
            tag_string(b, s->tags[i].key, s->tags[i].str);
        else
            tag_number(b, s->tags[i].key, s->tags[i].number);
    if (s->failed)
        tag_true(b, "error");
    if (s->state.data)
        tag_string(b, "w3c.tracestate", s->state);
    fp_buf_append_byte(b, T_STOP);
}

static void tail(struct fp_buf *b)
{
    fp_buf_append_byte(b, T_STOP);
}

const struct export_form obs_export_jaeger = {
    .name = "observability.jaeger_endpoint",
    .content_type = "application/vnd.apache.thrift.binary",
    .path = "/api/traces?format=jaeger.thrift",
    .between = "",
    .head = head,
    .span = span,
    .tail = tail,
};
