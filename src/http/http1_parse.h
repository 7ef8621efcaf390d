/*
 * The HTTP/1.x request parser: strict, incremental, without allocation.  It reads a head from one
 * contiguous buffer that grows between calls and keeps offsets into it; a body through a decoder of
 * its own.  Anything doubtful is refused (contract §2.1): what two parsers may read differently is
 * how requests are smuggled.
 */
#pragma once
#include "core/core_str.h"

#define FP_HTTP1_HEADERS_MAX           128 /* hard bound of the offset table; limits.headers_n is below */
#define FP_HTTP1_METHOD_MAX            32
#define FP_HTTP1_CHUNK_EXTRA_MAX       1024 /* extensions of one chunk */
#define FP_HTTP1_TRAILERS_MAX          8192
#define FP_HTTP1_CONTENT_LENGTH_DIGITS 18

struct fp_http1_span { /* offsets into the head's buffer */
    uint32_t at, n;
};
struct fp_http1_limits {
    size_t line_bytes, fields_bytes, fields_n;
};
struct fp_http1_head {
    int state;
    uint32_t pos;          /* bytes looked at */
    uint32_t mark, name_n; /* start of the current token; length of the current name */
    uint32_t fields_at;    /* where the field section starts */
    struct fp_http1_span method, target;
    int version; /* 10 or 11 */
    uint32_t fields_n;
    struct fp_http1_span name[FP_HTTP1_HEADERS_MAX], value[FP_HTTP1_HEADERS_MAX];
    /* valid once complete */
    bool chunked, has_length, keep_alive, close, expect_continue;
    uint64_t length;
    int host; /* index of the Host field, -1 without one */
    /* valid after an error */
    const char *error;
};

enum { FP_HTTP1_MORE = 0, FP_HTTP1_DONE = 1 }; /* else a status: 400, 414, 417, 431, 505 */

void fp_http1_head_init(struct fp_http1_head *h);
/* Goes on at h->pos.  Lower-cases field names in place.  FP_HTTP1_DONE: head complete, h->pos is
 * the first byte behind it.  A status of 400 and above: refused, h->error says why. */
int fp_http1_head_parse(struct fp_http1_head *h, char *data, size_t n,
                        const struct fp_http1_limits *limits);

struct fp_http1_body {
    int state;
    uint64_t left;     /* of the body or the current chunk */
    uint32_t extra_n;  /* extension or trailer bytes seen */
    uint32_t digits_n; /* of the chunk size */
    char name[20];     /* of the trailer, as far as it matters */
    uint8_t name_n;
    bool field_named; /* this trailer line has its colon */
    const char *error;
};
enum { FP_HTTP1_BODY_MORE, FP_HTTP1_BODY_DATA, FP_HTTP1_BODY_DONE, FP_HTTP1_BODY_BAD };

void fp_http1_body_init(struct fp_http1_body *b, bool chunked, uint64_t length);
/* Consumes from *in.  DATA: *out is a piece of the payload, call again; MORE: *in is used up; DONE:
 * what is left in *in belongs to the next request; BAD: b->error. */
int fp_http1_body_feed(struct fp_http1_body *b, struct fp_str *in, struct fp_str *out);
