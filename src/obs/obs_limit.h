/*
 * Rate limits and penalties that all workers share (contract §2.9): a fixed table in shared memory,
 * made before the first fork.  Each entry is a few atomics; a race costs a token, never a lock.
 * When the table is full the entry that rested longest gives way.
 */
#pragma once
#include <stdbool.h>
#include "core/core_str.h"

#define FP_LIMIT_ENTRIES 65536

struct fp_limits;
struct fp_limits *fp_limits_new(void); /* shared anonymous pages; never NULL, never freed */

enum fp_limit_kind {
    FP_LIMIT_TOKEN_WRITES,
    FP_LIMIT_ADDRESS_WRITES,
    FP_LIMIT_AUTH_FAILURES,
    FP_LIMIT_TOKEN_USES,    /* last use is noted */
    FP_LIMIT_TOKEN_LOOKUPS, /* unknown ids asked of the database, all of the instance */
    FP_LIMIT_TOKEN_UNKNOWN, /* an id that the database does not know either */
    FP_LIMIT_FAILURE_ROWS,  /* audit rows of an address */
    FP_LIMIT_FIRST_ANSWERS, /* of xDS streams, all of the instance */
};

/* Takes one token from the bucket of `key`, which refills at per_minute and holds `burst`.  0, or
 * the milliseconds until the next token. */
uint64_t fp_limit_take(struct fp_limits *l, enum fp_limit_kind kind, struct fp_str key,
                       unsigned per_minute, unsigned burst, uint64_t now_ms);

/* The same without taking and without making an entry: is there a token? */
uint64_t fp_limit_peek(struct fp_limits *l, enum fp_limit_kind kind, struct fp_str key,
                       unsigned per_minute, unsigned burst, uint64_t now_ms);

/* One failure of `key`.  More than `most` within 60 s: a penalty of 5 s, doubled each time up to 10
 * minutes.  Returns the milliseconds the penalty still lasts; 0 = none. */
uint64_t fp_limit_fail(struct fp_limits *l, struct fp_str key, unsigned most, uint64_t now_ms);
