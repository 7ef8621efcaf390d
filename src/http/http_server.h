/*
 * The HTTP server of a worker: HTTP/1.1 (our parser) and HTTP/2 (nghttp2) on the same port, clear
 * text or TLS.  Two kinds of exchange share it: buffered requests (REST: headers, then the whole
 * body, then one response) and streams (gRPC: messages both ways for hours).
 */
#pragma once
#include "core/core_arena.h"
#include "core/core_buf.h"
#include "event/event_loop.h"
#include "os/os_socket.h"

struct fp_http_server;
struct fp_http_request;
struct fp_tls_context;

struct fp_http_header { /* names are lower case */
    struct fp_str name, value;
};

struct fp_http_limits {        /* from directives api.* / xds.*; 0 = none for times */
    size_t request_line_bytes; /* 8 KiB: 414 */
    size_t header_bytes;       /* 32 KiB in sum: 431 */
    size_t headers_n;          /* 100: 431 */
    size_t max_connections;
    uint32_t
        h2_max_streams; /* SETTINGS_MAX_CONCURRENT_STREAMS; never the usual 100 on xDS (T-14) */
    uint64_t header_timeout_ms, request_timeout_ms, idle_timeout_ms;
    uint64_t keepalive_time_ms, keepalive_timeout_ms; /* HTTP/2 PING (T-13) */
    uint64_t write_timeout_ms;                        /* a peer that does not read (L-2) */
    uint64_t max_age_ms;                              /* connection age (T-15), 0 = off */
    unsigned max_age_jitter_percent;
    uint64_t max_age_grace_ms;
    bool gzip;
    bool h2_only; /* the xDS port: an HTTP/1 client gets 400 and close */
};

/* A buffered request.  Valid until fp_http_respond; everything is in ->arena. */
struct fp_http_request {
    struct fp_arena *arena;
    struct fp_str method, target; /* target as sent */
    struct fp_str path, query;    /* split at '?', still percent-encoded */
    const struct fp_http_header *headers;
    size_t headers_n;
    struct fp_str body;
    struct fp_str authority; /* Host or :authority */
    struct fp_addr peer;
    bool tls;
    int version;       /* 10, 11, 20 */
    void *user;        /* the handler's own */
    uint64_t start_ns; /* monotonic, first byte of the request line */
    /* Called when the peer went away before the response: forget the pointer, do not respond.  May
     * be NULL. */
    void (*on_abort)(struct fp_http_request *r);
};
struct fp_str fp_http_header(const struct fp_http_request *r,
                             const char *lower_name); /* first; FP_STR_NULL when absent */
size_t fp_http_header_count(const struct fp_http_request *r, const char *lower_name);
/* First query parameter of that name, percent-decoded into the arena; FP_STR_NULL when absent. */
struct fp_str fp_http_query(struct fp_http_request *r, const char *name);
/* Each query parameter of that name in turn: *pos starts at 0; false at the end. */
bool fp_http_query_next(struct fp_http_request *r, const char *name, size_t *pos,
                        struct fp_str *value);
/* Percent-decodes once; FP_STR_NULL when malformed.  plus_is_space for query strings. */
struct fp_str fp_http_decode(struct fp_arena *a, struct fp_str s, bool plus_is_space);

struct fp_http_response {
    int status;
    const struct fp_http_header
        *headers; /* without content-length, date, connection, content-encoding */
    size_t headers_n;
    struct fp_str body; /* copied or compressed before the call returns */
    struct fp_str gzip; /* the same compressed, when that was done before */
    bool lasting;       /* body and gzip live as long as the server: sent without a copy */
};
/* Once per request, now or later.  HEAD, 204, 304, gzip, Vary and keep-alive are handled here. */
void fp_http_respond(struct fp_http_request *r, const struct fp_http_response *resp);

/* So many answers wait for clients that do not read that a large one more should not be given. */
bool fp_http_full(const struct fp_http_request *r, size_t body_bytes);

/* The answer to what never became a request. */
struct fp_http_bad {
    struct fp_buf body;
    struct fp_http_header headers[8]; /* date and content-length are added */
    size_t headers_n;
    char id[40], length[24]; /* room for what headers point at */
};

/* How a request whose headers are complete goes on. */
struct fp_http_verdict {
    bool respond_now; /* the handler has called fp_http_respond itself (401, 404, 413 before the
                         body) */
    uint64_t
        body_limit; /* else: bytes; more is answered through on_too_large before it is buffered */
};
struct fp_http_handlers {
    void *arg;
    /* Buffered requests.  on_headers may respond at once; 100-continue is sent only after it
     * agrees. */
    struct fp_http_verdict (*on_headers)(struct fp_http_request *r, void *arg);
    void (*on_request)(struct fp_http_request *r, void *arg); /* body complete */
    void (*on_too_large)(struct fp_http_request *r, uint64_t limit,
                         void *arg); /* respond with 413 */
    /* A syntax or limit error found before there is a request: its body and headers, so that
     * errors have one form.  NULL: plain text. */
    void (*on_bad)(int status, const char *message, struct fp_http_bad *out, void *arg);
    /* Streams (http_stream.h); NULL when there are none on this port. */
    const struct fp_http_stream_handlers *streams;
};

/* Why connections ended, counted per server. */
enum fp_http_close_reason {
    FP_HTTP_CLOSE_PEER,      /* the peer closed in order */
    FP_HTTP_CLOSE_RESET,     /* the socket failed */
    FP_HTTP_CLOSE_DONE,      /* we closed in order: no keep-alive, or asked to */
    FP_HTTP_CLOSE_PROTOCOL,  /* the peer broke the protocol or a limit of it */
    FP_HTTP_CLOSE_TLS,       /* handshake or record layer */
    FP_HTTP_CLOSE_SLOW_HEAD, /* header_timeout_ms */
    FP_HTTP_CLOSE_SLOW_BODY, /* request_timeout_ms */
    FP_HTTP_CLOSE_IDLE,      /* idle_timeout_ms */
    FP_HTTP_CLOSE_SLOW_READ, /* write_timeout_ms (L-2) */
    FP_HTTP_CLOSE_KEEPALIVE, /* PING not answered (T-13) */
    FP_HTTP_CLOSE_AGE,       /* max_age_ms (T-15) */
    FP_HTTP_CLOSE_DRAIN,     /* the server drains (T-16) */
    FP_HTTP_CLOSE_REFUSED,   /* max_connections */
    FP_HTTP_CLOSE_EXPIRED,   /* the client certificate's time is over (contract §9.5) */
    FP_HTTP_CLOSE_REVOKED,   /* the client certificate is not good any more (contract §9.5) */
    FP_HTTP_CLOSE_N
};
const char *fp_http_close_reason_name(enum fp_http_close_reason r); /* "slow_read" … */

/* limits and handlers are copied; what the handlers point to lives as long as the server. */
struct fp_http_server *fp_http_server_new(struct fp_loop *loop, const struct fp_http_limits *limits,
                                          const struct fp_http_handlers *handlers);
/* The server watches listen_fd (not closed by it).  tls NULL: clear text.  Several may be added. */
void fp_http_server_listen(struct fp_http_server *s, int listen_fd, struct fp_tls_context *tls);
/* New certificates for listeners that have TLS.  Connections whose client certificate is not good
 * by the new context are closed, and those in a handshake by the old one; returns the number of the
 * former. */
size_t fp_http_server_tls_set(struct fp_http_server *s, struct fp_tls_context *tls);
/* A connected socket straight in, for tests. */
void fp_http_server_accept(struct fp_http_server *s, int fd, const struct fp_addr *peer,
                           struct fp_tls_context *tls);
/* Stops accepting; GOAWAY / Connection: close; idle connections end now, the others when their
 * exchanges end, streams spread over budget_ms (T-16); done() once none is left or the budget is
 * over. */
void fp_http_server_drain(struct fp_http_server *s, uint64_t budget_ms, void (*done)(void *arg),
                          void *arg);
size_t fp_http_server_connections(const struct fp_http_server *s);
uint64_t fp_http_server_closed(const struct fp_http_server *s, enum fp_http_close_reason r);
void fp_http_server_free(struct fp_http_server **s); /* closes all at once */
