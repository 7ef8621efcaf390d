/* Inside of HTTP/2: what http2_session.c (the connection) and http2_stream.c (its streams) share.
 */
#pragma once
#include <nghttp2/nghttp2.h>
#include "http/http_int.h"

#define FP_HTTP2_GOAWAY_MS 1000 /* between the two GOAWAYs, when the PING stays unanswered */

struct fp_http2 { /* fp_http_conn.session */
    nghttp2_session *ng;
    struct fp_list streams; /* open */
    struct fp_list drained; /* their queue ran empty in the current write */
    size_t streams_n;
    size_t queued_n;               /* streams with queued output */
    struct fp_http_batch *batch;   /* while producing */
    enum fp_http_close_reason end; /* why it drains */
    uint64_t nonsense_ms;          /* up to then what floods are made of is paid for */
    bool draining, last_goaway;
};

struct fp_http2_trailers;
struct fp_http_stream {
    struct fp_list link;         /* of fp_http2.streams */
    struct fp_list drained_link; /* of fp_http2.drained */
    struct fp_list server_link;  /* of server->streams, until told to end */
    struct fp_http_conn *c;
    struct fp_http_exchange *ex; /* while the request is read and its answer is awaited */
    struct fp_http_queue out;
    struct fp_http2_trailers *trailers;
    void *user;
    uint64_t progress_ms; /* opened; later: when output last moved or began to wait */
    uint32_t header_bytes, headers_n, headers_cap;
    int32_t id;
    uint16_t refused; /* status of a limit that the headers broke */
    bool is_stream;   /* of the handlers' kind, not a buffered request */
    bool answered;    /* response headers are submitted */
    bool ended;       /* nothing will be queued behind what is */
    bool deferred;    /* nghttp2 waits to be resumed */
    bool peer_ended;  /* END_STREAM came */
    bool closed;      /* on_close is being called */
};

void fp_http2_body_deadline(struct fp_http_conn *c, uint64_t after_ms); /* at the latest */

extern nghttp2_mem fp_http2_memory; /* http2_memory.c */
struct fp_http_stream *fp_http2_stream_open(struct fp_http_conn *c, int32_t id);
void fp_http2_stream_header(struct fp_http_stream *st, struct fp_str name, struct fp_str value);
void fp_http2_stream_headers_done(struct fp_http_stream *st);
void fp_http2_stream_data(struct fp_http_stream *st, struct fp_str bytes);
void fp_http2_stream_half_close(struct fp_http_stream *st);
void fp_http2_stream_close(struct fp_http_stream *st); /* and frees it */
void fp_http2_stream_respond(struct fp_http_exchange *ex, struct fp_http_answer *a);
int fp_http2_stream_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *framehd,
                              size_t length, nghttp2_data_source *source, void *user);

static inline struct fp_http2 *fp_http2_of(const struct fp_http_stream *st)
{
    return st->c->session;
}
