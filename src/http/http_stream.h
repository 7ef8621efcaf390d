/*
 * HTTP/2 streams for gRPC.  Output is a queue of shared, reference-counted chunks: bytes that many
 * streams send are encoded once and never copied (design.md §7, NO_COPY).
 */
#pragma once
#include "http/http_server.h"

struct fp_http_stream; /* valid until on_close returned */

/* A shared piece of output.  n segments are sent in order; the last unref calls release. */
struct fp_http_chunk {
    unsigned refs;
    void (*release)(struct fp_http_chunk *c); /* frees it and what the segments point into */
    size_t bytes;                             /* sum of the segments */
    uint32_t segments_n;
    const struct fp_str *segments;
};
static inline struct fp_http_chunk *fp_http_chunk_ref(struct fp_http_chunk *c)
{
    c->refs++;
    return c;
}
void fp_http_chunk_unref(struct fp_http_chunk **c);
/* A chunk that owns a copy of `bytes`; one of bytes that live as long as the server. */
struct fp_http_chunk *fp_http_chunk_copy(struct fp_str bytes);
struct fp_http_chunk *fp_http_chunk_lasting(struct fp_str bytes);

struct fp_http_stream_handlers {
    /* Is this POST with these headers a stream of ours?  Called at END_HEADERS for every HTTP/2
     * request; false: it goes the buffered way (on_headers). */
    bool (*accepts)(struct fp_str path, const struct fp_http_header *headers, size_t n, void *arg);
    /* Opened.  Set the stream's user pointer.  Headers are borrowed for the call. */
    void (*on_open)(struct fp_http_stream *st, struct fp_str path,
                    const struct fp_http_header *headers, size_t n, void *arg);
    /* Request bytes; flow control is given back when this returns. */
    void (*on_data)(struct fp_http_stream *st, struct fp_str bytes, void *arg);
    void (*on_half_close)(struct fp_http_stream *st,
                          void *arg); /* END_STREAM from the peer (T-9) */
    /* The kernel has taken all that was queued: room for the next (L-1 latest wins). */
    void (*on_drained)(struct fp_http_stream *st, void *arg);
    /* Gone for any reason (also after our own end); free state now (T-10). */
    void (*on_close)(struct fp_http_stream *st, void *arg);
    /* The connection drains: the stream should end itself with UNAVAILABLE soon (T-15, T-16). */
    void (*on_drain)(struct fp_http_stream *st, void *arg);
    void *arg;
};

void fp_http_stream_user_set(struct fp_http_stream *st, void *user);
void *fp_http_stream_user(const struct fp_http_stream *st);
struct fp_loop *fp_http_stream_loop(const struct fp_http_stream *st);
const struct fp_addr *fp_http_stream_peer(const struct fp_http_stream *st);
/* Subject and SANs of a verified client certificate; FP_STR_NULL without one.  SANs are
 * newline-separated "URI:…", "DNS:…". */
struct fp_str fp_http_stream_tls_subject(const struct fp_http_stream *st);
struct fp_str fp_http_stream_tls_sans(const struct fp_http_stream *st);
int64_t fp_http_stream_tls_not_after_ms(const struct fp_http_stream *st); /* wall; 0 without one */

void fp_http_stream_headers(struct fp_http_stream *st, int status, const struct fp_http_header *h,
                            size_t n); /* once, at once (T-1) */
void fp_http_stream_send(struct fp_http_stream *st,
                         struct fp_http_chunk *c); /* takes one reference */
/* The same with a few bytes before and behind it, which are copied (a gRPC prefix, a nonce). */
void fp_http_stream_send_framed(struct fp_http_stream *st, struct fp_str head,
                                struct fp_http_chunk *c, struct fp_str tail);
void fp_http_stream_trailers(struct fp_http_stream *st, const struct fp_http_header *h,
                             size_t n); /* after all queued chunks; ends our side */
void fp_http_stream_headers_only(struct fp_http_stream *st, int status,
                                 const struct fp_http_header *h,
                                 size_t n); /* trailers-only answer */
void fp_http_stream_reset(struct fp_http_stream *st, uint32_t h2_error);
/* Bytes not yet written; not 0 until on_drained is called, so that a blocked socket holds at most
 * one response (L-1). */
size_t fp_http_stream_queued(const struct fp_http_stream *st);
