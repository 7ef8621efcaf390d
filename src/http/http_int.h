/*
 * Inside of the http room: connection, exchange, output.  One connection has one protocol, chosen
 * by ALPN or by its first bytes; a protocol turns bytes into exchanges (buffered requests) and
 * streams, and queued output into pieces of a batch that one writev sends.
 */
#pragma once
#include <sys/uio.h>
#include "core/core_assert.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "http/http_stream.h"
#include "tls/tls_conn.h"

#define FP_HTTP_READ_BYTES 65536 /* shared by all connections of a server, used within a turn */
#define FP_HTTP_TURN_BYTES                                                                         \
    (1u << 20) /* per connection and direction, then others get their turn                         \
                */
#define FP_HTTP_LINGER_MS   2000
#define FP_HTTP_BODIES_MAX  ((size_t)512 << 20) /* request bodies in memory, all together: 503 */
#define FP_HTTP_ANSWERS_MAX ((size_t)256 << 20) /* answers that wait for readers, likewise */
#define FP_HTTP_GZIP_MIN    1024
#define FP_HTTP_FORCE_MS    5000 /* after streams were told to end (T-15): then they are cut */

/* ---- output ---- */

#define FP_HTTP_PIECES    256
#define FP_HTTP_FRAME_MAX (16384 + 64)
#define FP_HTTP_OWN_BYTES (64 * 1024)
#define FP_HTTP_SMALL     256 /* segments up to this are copied: an iovec costs more */

struct fp_http_batch { /* what one writev takes; one per server */
    unsigned n;
    size_t bytes, own_n;
    struct iovec iov[FP_HTTP_PIECES];
    struct fp_http_chunk *chunk[FP_HTTP_PIECES]; /* a reference; NULL: the bytes are in own */
    char own[FP_HTTP_OWN_BYTES];
};
struct fp_http_left; /* the rest of a batch that the socket refused */

size_t fp_http_copied_bytes(void); /* of all chunks that fp_http_chunk_copy made and that live */

bool fp_http_batch_room(const struct fp_http_batch *b); /* for one more frame */
void fp_http_batch_copy(struct fp_http_batch *b, const void *p, size_t n);
void fp_http_batch_share(struct fp_http_batch *b, struct fp_http_chunk *c, const void *p, size_t n);
void fp_http_batch_clear(struct fp_http_batch *b);

struct fp_http_node;
struct fp_http_queue { /* output of one exchange or stream; {0} is empty */
    struct fp_http_node *head, *tail;
    uint32_t part; /* of head: 0 = its own head bytes, 1..n segments, n+1 = tail bytes */
    size_t off;    /* in that part */
    size_t bytes;
};
/* head and tail are copied, chunk's reference is taken; each may be empty. */
void fp_http_queue_push(struct fp_http_queue *q, struct fp_str head, struct fp_http_chunk *chunk,
                        struct fp_str tail);
/* How much of the queue one frame of at most `limit` bytes can take without too many pieces. */
size_t fp_http_queue_peek(const struct fp_http_queue *q, size_t limit);
/* Without frames: the rest of the current piece, as much as a batch with room takes.  Not empty. */
size_t fp_http_queue_next(const struct fp_http_queue *q);
void fp_http_queue_take(struct fp_http_queue *q, struct fp_http_batch *b, size_t n);
void fp_http_queue_clear(struct fp_http_queue *q);

/* ---- connection ---- */

enum fp_http_deadline {
    FP_HTTP_DL_HEAD,  /* handshake, preface, request line and fields */
    FP_HTTP_DL_BODY,  /* request body */
    FP_HTTP_DL_IDLE,  /* nothing in progress */
    FP_HTTP_DL_WRITE, /* output that nobody reads (L-2) */
    FP_HTTP_DL_PING,  /* T-13 */
    FP_HTTP_DL_PONG,
    FP_HTTP_DL_AGE,    /* T-15 */
    FP_HTTP_DL_GOAWAY, /* the second GOAWAY */
    FP_HTTP_DL_GRACE,
    FP_HTTP_DL_FORCE,
    FP_HTTP_DL_LINGER,
    FP_HTTP_DL_EXPIRY, /* of the client certificate */
    FP_HTTP_DL_N
};

struct fp_http_conn;
struct fp_http_exchange;
struct fp_http_answer { /* what fp_http_respond made of a response */
    int status;
    struct fp_http_header *headers;
    size_t headers_n;
    struct fp_http_chunk *body; /* NULL: none is sent */
};

struct fp_http_proto {
    void (*open)(struct fp_http_conn *c);
    void (*on_bytes)(struct fp_http_conn *c, struct fp_str in); /* takes all of it */
    void (*on_eof)(struct fp_http_conn *c);
    void (*resume)(struct fp_http_conn *c); /* after an answer from outside a read */
    void (*produce)(struct fp_http_conn *c, struct fp_http_batch *b); /* nothing added: no more */
    void (*on_written)(struct fp_http_conn *c); /* the kernel has all that was produced */
    void (*respond)(struct fp_http_exchange *ex, struct fp_http_answer *a); /* takes a->body */
    void (*on_deadline)(struct fp_http_conn *c, enum fp_http_deadline which);
    bool (*crowded)(struct fp_http_conn *c); /* answers pile up: read no more for now */
    void (*drain)(struct fp_http_conn *c);
    void (*close)(struct fp_http_conn *c); /* frees c->session, aborts and closes all in it */
};
extern const struct fp_http_proto fp_http1_proto, fp_http2_proto;

struct fp_http_conn {
    struct fp_list link; /* of server->conns, after close of server->dead */
    struct fp_http_server *server;
    struct fp_io io;
    struct fp_tls_conn *tls;            /* NULL: clear text */
    const struct fp_http_proto *proto;  /* NULL until the first bytes are understood */
    void *session;                      /* the protocol's */
    struct fp_buf in;                   /* read, not yet understood; freed when empty */
    struct fp_http_left *left;          /* what the socket refused; NULL when writable */
    struct fp_timer timer;              /* due at or before the earliest deadline */
    struct fp_task task;                /* resume and flush at the end of this turn */
    uint64_t deadline_ms[FP_HTTP_DL_N]; /* 0 = not set */
    uint64_t last_read_ms;
    uint64_t write_ms; /* while blocked: when the socket last took something */
    struct fp_addr peer;
    enum fp_http_close_reason reason;
    const char *why;  /* what the peer did, for the log; NULL: the reason says it all */
    bool closed;      /* only the memory is left, until the end of the turn */
    bool handshaking; /* TLS */
    bool eof;         /* the peer has sent all it will */
    bool closing;     /* close (or linger) once everything is written */
    bool linger;      /* the peer may still be sending: read on, so that it sees the answer */
    bool lingering;
    bool blocked;           /* output waits for the socket */
    bool again, read_again; /* the turn's share is used up: go on next turn */
    bool draining;
};

void fp_http_conn_open(struct fp_http_server *s, int fd, const struct fp_addr *peer,
                       struct fp_tls_context *tls);
/* The single exit.  Exchanges are aborted and streams closed before it returns; the memory goes at
 * the end of the turn.  No-op when closed. */
void fp_http_conn_close(struct fp_http_conn *c, enum fp_http_close_reason reason);
/* Close in order: once everything is written; then, with linger, read on for a while, because a
 * reset would take the answer away from a peer that is still sending. */
void fp_http_conn_finish(struct fp_http_conn *c, enum fp_http_close_reason reason, bool linger);
void fp_http_conn_flush(struct fp_http_conn *c);
void fp_http_conn_kick(struct fp_http_conn *c); /* resume and flush at the end of this turn */
void fp_http_conn_deadline(struct fp_http_conn *c, enum fp_http_deadline which,
                           uint64_t after_ms); /* 0 clears */
void fp_http_conn_watch(struct fp_http_conn *c);
/* Sends what it can of the batch; what is left is kept in c->left.  0, -EAGAIN or an error. */
int fp_http_conn_send(struct fp_http_conn *c, struct fp_http_batch *b);
int fp_http_conn_send_left(struct fp_http_conn *c);
void fp_http_left_free(struct fp_http_left **l);

/* ---- server ---- */

struct fp_http_said { /* lines about closed connections: thousands at once are one event */
    uint64_t since_ms, lines, more;
};

struct fp_http2_shared;
struct fp_http_server {
    struct fp_loop *loop;
    struct fp_http_limits limits;
    struct fp_http_handlers handlers;
    const char *log_target;
    struct fp_list listeners, conns, dead;
    struct fp_list streams; /* those that were not told to end */
    size_t conns_n, streams_n;
    size_t bodies_bytes; /* of all exchanges */
    uint64_t closed[FP_HTTP_CLOSE_N];
    struct fp_task reap;
    struct fp_timer accept_timer; /* running: no listener is watched */
    bool accept_failing;          /* descriptors ran out; said once */
    int fds_max;                  /* those above are kept for snapshots, the database, files */
    uint64_t refused_log_ms;      /* last line about max_connections */
    uint64_t full_log_ms;         /* last line about FP_HTTP_ANSWERS_MAX */
    struct fp_http_said said[FP_HTTP_CLOSE_N];
    bool draining;
    unsigned drain_ticks; /* left */
    uint64_t drain_step_ms;
    struct fp_timer drain_timer;
    struct fp_task drain_task;
    void (*drain_done)(void *arg);
    void *drain_arg;
    int64_t date_s;
    char date[32];
    struct fp_http2_shared *http2; /* callbacks and options, built with the first session */
    struct fp_http_batch batch;
    char scratch[FP_HTTP_READ_BYTES];
};
void fp_http_server_left(struct fp_http_server *s); /* a connection is gone */
void fp_http_stream_drain(struct fp_list *n);       /* of server->streams: tells it to end */
void fp_http2_shared_free(struct fp_http2_shared **h);

/* ---- exchanges ---- */

struct fp_http_exchange {
    struct fp_http_request r;
    struct fp_http_server *server;
    struct fp_http_conn *conn;     /* NULL: the peer is gone, the handler does not know */
    struct fp_http_stream *stream; /* HTTP/2 */
    struct fp_buf body;
    uint64_t body_limit;
    bool asked;   /* on_headers was called */
    bool working; /* a callback that must respond was called */
};
struct fp_http_exchange *fp_http_exchange_new(struct fp_http_conn *c, int version);
void fp_http_exchange_free(struct fp_http_exchange *ex);
/* The peer is gone: tells the handler, or waits for its answer. */
void fp_http_exchange_abort(struct fp_http_exchange *ex);
void fp_http_exchange_target(struct fp_http_exchange *ex, struct fp_str target);
void fp_http_exchange_headers(struct fp_http_exchange *ex, struct fp_http_verdict *v);
void fp_http_exchange_too_large(struct fp_http_exchange *ex);
/* A piece of the body.  False: too much, of this body or of all; the answer has been given. */
bool fp_http_exchange_append(struct fp_http_exchange *ex, struct fp_str piece);
void fp_http_exchange_complete(struct fp_http_exchange *ex); /* the body is whole */
/* The answer to something that never became a request: all headers in `out`, the body returned. */
struct fp_http_chunk *fp_http_bad_make(struct fp_http_server *s, int status, const char *message,
                                       struct fp_http_bad *out);
const char *fp_http_date(struct fp_http_server *s);
const char *fp_http_reason_phrase(int status);

static inline uint64_t fp_http_now(const struct fp_http_conn *c)
{
    return fp_loop_now_ms(c->server->loop);
}
