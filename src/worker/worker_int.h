/* Private to the worker room: the process's state and its parts. */
#pragma once
#include "api/api.h"
#include "conf/conf_child.h"
#include "event/event_loop.h"
#include "grpc/grpc_server.h"
#include "os/os_channel.h"
#include "pb/pb_pool.h"
#include "store/store.h"
#include "tls/tls_context.h"
#include "xds/xds_engine.h"

struct fp_worker {
    struct fp_arena *arena; /* what lives as long as the process */
    struct fp_child *child;
    struct fp_page_slot *slot;
    struct fp_loop *loop;
    struct fp_channel *channel;
    struct fp_io master_io; /* the master's pidfd */
    struct fp_timer heartbeat;
    struct fp_timer last_words; /* all have drained: what is left to write has so long */
    struct fp_store *store;
    struct fp_api *api;
    struct fp_export *traces; /* NULL: tracing is off */
    struct fp_xds_engine *xds;
    struct fp_status_writer *status;
    struct worker_nacks *nacks;
    struct fp_grpc_server *grpc;
    struct fp_http_server *api_server, *xds_server, *metrics_server;
    struct fp_tls_context *api_tls, *xds_tls;
    struct fp_arena *files_arena; /* while new files come in: worker_tls.c */
    struct worker_file *files;
    unsigned beats_n;
    uint64_t revision;       /* of the snapshot that is served; it never goes back (store room) */
    uint64_t write_timeouts; /* of xDS connections: counted so far */
    unsigned draining_n;     /* servers that have not drained yet */
    bool ready;              /* READY was sent */
    bool waits;              /* it was, though there is no snapshot yet */
    bool draining, fast;     /* by STOP or TERM */
};

/* worker_tls.c */
bool worker_tls_open(struct fp_worker *w, const char **why); /* at start */
void worker_tls_file(struct fp_worker *w, struct fp_str directive, int fd /* taken over */);
void worker_tls_reload(struct fp_worker *w); /* all files have come */
void worker_tls_free(struct fp_worker *w);

/* worker_nack.c */
struct worker_nacks *worker_nacks_new(struct fp_worker *w);
void worker_nacks_free(struct worker_nacks **q);
void worker_nacks_add(const struct fp_xds_verdict *v, void *nacks);

/* worker_setup.c: makes what the loop serves.  false after *why (arena) was set. */
bool worker_setup(struct fp_worker *w, const char **why);
void worker_listen(struct fp_worker *w); /* once, from when on it can answer */
void worker_teardown(struct fp_worker *w);
