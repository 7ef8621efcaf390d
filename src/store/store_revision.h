/*
 * The history of the configuration (table config_changes; contract §7.3): revisions, what one of
 * them changed, and what was before everything that came after it.
 */
#pragma once
#include "core/core_kind.h"
#include "store/store.h"

enum fp_store_reading { FP_READING_OK, FP_READING_NONE /* no such revision */, FP_READING_AWAY };

struct fp_store_revision_filter {
    struct fp_str user_id, kind, name; /* data == NULL: any */
    uint64_t limit, offset;
};
struct fp_store_revision {
    uint64_t revision, changes;
    struct fp_str epoch, user_id, request_id, source; /* data == NULL: null */
    int64_t created_wall_ms;
};
/* A row for each, newest first, then done with the number before limit and offset. */
void fp_store_revisions(struct fp_store *s, const struct fp_store_revision_filter *f,
                        void (*row)(const struct fp_store_revision *r, void *arg),
                        void (*done)(enum fp_store_reading how, uint64_t total, void *arg),
                        void *arg);

/* The revision of now: OK or AWAY. */
void fp_store_revision_now(struct fp_store *s,
                           void (*done)(enum fp_store_reading how, uint64_t current, void *arg),
                           void *arg);

struct fp_store_change { /* of one row in one revision */
    struct fp_str kind /* also of rows without enum fp_kind */, name, action, team;
    int64_t from_version, to_version;                   /* 0: none */
    struct fp_str from_configuration, to_configuration; /* JSON, sealed parts masked */
};
/* NONE: this revision is not known (any more). */
void fp_store_revision_changes(struct fp_store *s, uint64_t revision,
                               void (*head)(const struct fp_store_revision *r, void *arg),
                               void (*row)(const struct fp_store_change *c, void *arg),
                               void (*done)(enum fp_store_reading how, void *arg), void *arg);

struct fp_store_then { /* a row that was changed after a revision, as it was at its end */
    struct fp_str kind, name;
    bool existed; /* then all below is set */
    struct fp_str team, source, form, service_name, configuration /* JSON */;
    int64_t version;
};
/*
 * pairs: [["cluster","a"], …] restricts it; data == NULL: all.  upto: 0, or the revision after
 * which changes are not looked at.  current: the revision of now.  Tokens and API definitions are
 * none of it.
 */
void fp_store_revision_state(struct fp_store *s, uint64_t revision, uint64_t upto,
                             struct fp_str pairs,
                             void (*row)(const struct fp_store_then *t, void *arg),
                             void (*done)(enum fp_store_reading how, uint64_t current, void *arg),
                             void *arg);
