/*
 * Spans (contract §11.4): a piece of work with a name, a time and a few tags, in a trace that is
 * named by the W3C trace context.  A span lives where its owner keeps it and is handed to the
 * exporter when it ends; with tracing off each call is one test of a flag.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "core/core_str.h"

#define FP_TRACE_TEXT_BYTES 56 /* "00-<32 hex>-<16 hex>-01" and a NUL */

struct fp_trace { /* where a span is: {0} is nowhere */
    uint8_t trace_id[16], span_id[8];
    bool known, sampled;
};
/* A traceparent; false and nowhere when it is none.  Later versions are read as version 00. */
bool fp_trace_parse(struct fp_trace *t, struct fp_str traceparent);
char *fp_trace_text(const struct fp_trace *t, char out[FP_TRACE_TEXT_BYTES]); /* returns out */
/* May this tracestate be passed on?  (list of printable key=value members, at most 512 bytes) */
bool fp_trace_state_ok(struct fp_str tracestate);

enum fp_span_name {
    FP_SPAN_HTTP_REQUEST,
    FP_SPAN_AUTH,
    FP_SPAN_DB_TRANSACTION,
    FP_SPAN_AUDIT_WRITE,
    FP_SPAN_SNAPSHOT_BUILD,
    FP_SPAN_XDS_PUSH,
    FP_SPAN_XDS_ACK,
    FP_SPAN_OPENAPI_IMPORT,
    FP_SPAN_N
};
extern const char *const fp_span_names[FP_SPAN_N];

#define FP_SPAN_TAGS       8
#define FP_SPAN_TEXT_BYTES 1024

struct fp_span_tag {
    const char *key;   /* static */
    struct fp_str str; /* into the span's text; data == NULL: a number */
    int64_t number;
};
struct fp_span { /* {0}: not running */
    struct fp_trace at;
    uint8_t parent_id[8]; /* zero: a root */
    enum fp_span_name name;
    bool running, failed;
    bool remote_parent;             /* began by a request from outside */
    int64_t start_wall_ns;          /* since 1970 */
    uint64_t start_ns, duration_ns; /* monotonic */
    struct fp_str state;            /* tracestate, into text; data == NULL: none */
    unsigned tags_n;
    struct fp_span_tag tags[FP_SPAN_TAGS];
    size_t text_n;
    char text[FP_SPAN_TEXT_BYTES];
};

/* Who is given the spans that end; NULL: tracing is off.  ratio: share of new traces, 0..1. */
typedef void (*fp_span_sink)(const struct fp_span *s, void *arg);
void fp_spans_set(fp_span_sink sink, void *arg, double ratio);
bool fp_spans_on(void);

/* Begins a span under `parent`; NULL or nowhere: a new trace, sampled by the ratio.  Not running
 * afterwards when tracing is off. */
void fp_span_begin(struct fp_span *s, enum fp_span_name name, const struct fp_trace *parent);
/* It began earlier than the call: at this monotonic time. */
void fp_span_since(struct fp_span *s, uint64_t start_ns);
/* Tags beyond FP_SPAN_TAGS are left out, long values cut, bad UTF-8 becomes '?'.  No-ops on a span
 * that does not run or is not sampled. */
void fp_span_str(struct fp_span *s, const char *key, struct fp_str value);
void fp_span_int(struct fp_span *s, const char *key, int64_t value);
void fp_span_state(struct fp_span *s, struct fp_str tracestate);
void fp_span_end(struct fp_span *s,
                 bool failed); /* exports it when sampled; no-op when not running */
