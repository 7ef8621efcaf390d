/*
 * The control page: writable shared memory for facts about serving, never for what is served.  Made
 * before the first fork, inherited by all; every field is an atomic of its own, written as said.
 */
#pragma once
#include <stdatomic.h>
#include <stdint.h>
#include "core/core_kind.h"

#define FP_PAGE_SLOTS 256

struct fp_commits;
struct fp_limits;
struct fp_metrics;
struct fp_status;

enum { FP_PAGE_CERT_API, FP_PAGE_CERT_XDS, FP_PAGE_CERT_XDS_CA, FP_PAGE_CERTIFICATES };

struct fp_page_slot {                         /* one per worker slot, written by that worker */
    _Atomic uint64_t generation;              /* snapshot generation served */
    _Atomic uint64_t revision;                /* its revision */
    _Atomic uint64_t heartbeat_ms;            /* monotonic; the master: 0 when nobody is there */
    _Atomic uint64_t waits;                   /* 1 before it has a snapshot, at the start */
    _Atomic uint64_t http_requests;           /* since start */
    _Atomic uint64_t db_open, db_busy;        /* connections; as of the last heartbeat */
    _Atomic uint64_t memory_bytes;            /* PSS; now and then */
    _Atomic uint64_t xds_identity_mismatches; /* since start (I-9) */
};
struct fp_page {
    _Atomic uint64_t
        committed_revision; /* highest revision this instance has committed: any worker raises it */
    _Atomic uint64_t database_up;        /* 0/1, watcher */
    _Atomic uint64_t listen_up;          /* 0/1, watcher */
    _Atomic uint64_t database_revision;  /* last seen by the watcher */
    _Atomic uint64_t behind_since_ms;    /* monotonic: news that are not published yet; 0: none */
    _Atomic uint64_t published_revision; /* watcher, after handing the memfd to the master */
    _Atomic uint64_t source_cache;       /* 1 while what is served came from the state directory */
    /* rows left out or kept at their last good bytes, by kind; watcher */
    _Atomic uint64_t unbuildable[FP_KIND_N];
    _Atomic uint64_t draining; /* 1 once the master stops or drains */
    _Atomic uint64_t worker_restarts, watcher_restarts, postgres_restarts; /* master */
    _Atomic uint64_t reload_ok;                  /* 1 unless the last reload failed; master */
    _Atomic uint64_t started_ms, started_wall_s; /* monotonic, since 1970; master */
    _Atomic uint64_t master_memory_bytes, watcher_memory_bytes; /* PSS; now and then */
    /* Ends of the certificates in use, since 1970; 0: none.  Any worker; names in api_metric.c. */
    _Atomic uint64_t certificate_end_s[FP_PAGE_CERTIFICATES];
    struct fp_metrics *metrics; /* obs_metric.h; made with the page */
    struct fp_commits *commits; /* obs_commit.h; made with the page */
    struct fp_limits *limits;   /* obs_limit.h; made with the page */
    struct fp_status *status; /* of nodes (obs_status.h); set before the first fork, may be NULL */
    struct fp_page_slot slot[FP_PAGE_SLOTS];
};
/* Raises *a to v when v is greater. */
static inline void fp_page_raise(_Atomic uint64_t *a, uint64_t v)
{
    uint64_t old = atomic_load(a);
    while (old < v && !atomic_compare_exchange_weak(a, &old, v))
        ;
}
