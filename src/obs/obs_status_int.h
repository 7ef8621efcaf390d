/* Layout of the status mapping, private to this room. */
#pragma once
#include <stdatomic.h>
#include "obs/obs_status.h"

#define STATUS_SEATS_MAX   256
#define STATUS_BLOCK_BYTES 256 /* texts are runs of blocks */
#define STATUS_BLOCKS_PER  8   /* blocks for each record, on average */
#define STATUS_TYPES_N     9   /* kinds that are discovery types come first in enum fp_kind */
_Static_assert(FP_KIND_EXTENSION_CONFIG == STATUS_TYPES_N - 1, "discovery types come first");

enum status_text { /* a node's texts, in this order in its run */
                   TEXT_ID,
                   TEXT_CLUSTER,
                   TEXT_TEAM,
                   TEXT_SCOPE,
                   TEXT_AGENT,
                   TEXT_AGENT_VERSION,
                   TEXT_PEER,
                   TEXT_SUBJECT,
                   TEXT_SANS,
                   TEXT_METADATA,
                   TEXT_N,
};
#define STATUS_ABSENT UINT32_MAX /* length of a text that is not there */

struct status_run { /* blocks of the seat's heap; n == 0: none */
    uint32_t first, n;
};

struct status_nack_head { /* at the start of a rejection's run; message and names follow */
    char version[FP_STATUS_VERSION_BYTES - 1], accepted[FP_STATUS_VERSION_BYTES - 1];
    uint64_t revision;
    int64_t first_wall_ms, last_wall_ms;
    uint32_t nonce, code, count, message_n, names_n;
};

struct status_type {
    char sent_version[FP_STATUS_VERSION_BYTES - 1], acked_version[FP_STATUS_VERSION_BYTES - 1];
    uint64_t acked_revision, pending_since_ms, nack_revision;
    uint32_t names_n, held, kept;
    struct status_run nack;
    bool subscribed, wildcard, pending;
};

struct status_record {
    _Atomic uint64_t counter; /* odd: being written */
    bool used;
    uint8_t mode;
    struct status_run text;
    uint32_t lengths[TEXT_N];
    int64_t tls_not_after_ms, connected_wall_ms;
    struct status_type types[STATUS_TYPES_N];
};

struct status_seat {
    _Atomic uint32_t taken, slot, draining;
    _Atomic uint32_t records_high; /* no record is used from here on */
    _Atomic uint64_t streams;
};

#define STATUS_ORPHANS_N     4096
#define STATUS_ORPHANS_PROBE 8

struct fp_status { /* read-only after fp_status_new, but for the seats and orphans */
    _Atomic uint64_t orphans[STATUS_ORPHANS_N]; /* hash of node and type; 0: free */
    uint32_t seats_n, records_n, blocks_n;
    size_t seat_bytes, records_off;
    struct status_seat seats[STATUS_SEATS_MAX];
};

static inline char *status_seat_base(const struct fp_status *s, uint32_t seat)
{
    return (char *)(uintptr_t)s + s->records_off + seat * s->seat_bytes;
}
static inline struct status_record *status_record_at(const struct fp_status *s, uint32_t seat,
                                                     uint32_t i)
{
    return (struct status_record *)status_seat_base(s, seat) + i;
}
static inline char *status_block_at(const struct fp_status *s, uint32_t seat, uint32_t i)
{
    return status_seat_base(s, seat) + (size_t)s->records_n * sizeof(struct status_record) +
           (size_t)i * STATUS_BLOCK_BYTES;
}
