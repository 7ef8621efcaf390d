/*
 * A set of resources written whole or not at all: one statement, one transaction, one revision
 * (contract §7.1; sql/0007_apply.sql).  Also what a rollback writes.
 */
#pragma once
#include "core/core_buf.h"
#include "store/store.h"

struct fp_store_apply {
    struct fp_store_actor actor; /* its teams are not looked at: teams[] below */
    struct fp_str label;         /* owner of all rows written; data == NULL: none */
    bool force;                  /* take rows of other labels over */
    bool dry_run;                /* find out, then undo */
    int64_t if_revision;         /* -1 = none */
    bool prune[FP_KIND_N];       /* needs a label: its rows that are not in the set are deleted */
    /* Per kind: the teams whose rows exist for the writer; NULL: all. */
    struct {
        const struct fp_str *names;
        size_t n;
    } teams[FP_KIND_N];
    const char *event;      /* of the audit row of the set: "config.applied" … */
    struct fp_str metadata; /* of that row, a JSON object; the summary is added */
    struct fp_buf *items;   /* made by fp_store_apply_item; taken over, empty afterwards */
    uint64_t timeout_ms;
};
/*
 * Appends a member of the set, number `item` (>= 0).  Of w the actor and the version are not looked
 * at; source.data == NULL: that of the label, or the row's own.  deletion: only kind and name are.
 */
void fp_store_apply_item(struct fp_buf *items, int item, const struct fp_store_write *w,
                         bool deletion);

enum fp_store_step { FP_STEP_CREATE, FP_STEP_UPDATE, FP_STEP_DELETE, FP_STEP_UNCHANGED, FP_STEP_N };
enum fp_store_trouble {
    FP_TROUBLE_TAKEN,      /* the row belongs to a team that does not exist for the writer */
    FP_TROUBLE_PROTECTED,  /* generated, or the default gateway's and to be deleted */
    FP_TROUBLE_TEAM,       /* the team of a row may not be changed */
    FP_TROUBLE_OWNED,      /* by another label */
    FP_TROUBLE_ADDRESS,    /* detail: "address:port" */
    FP_TROUBLE_MISSING,    /* detail: what it names and what does not exist */
    FP_TROUBLE_REFERENCED, /* deletions; detail: "kind/name" of a user */
    FP_TROUBLE_GENERATED,  /* an endpoint set that a cluster generates, or would */
    FP_TROUBLE_N
};
struct fp_store_applied_row {
    int item; /* -1: pruned */
    enum fp_kind kind;
    struct fp_str name;
    enum fp_store_step step;       /* of a set that was done */
    int64_t version, from_version; /* of the row then and before; 0: none */
    struct fp_str was;             /* dry runs: configuration before, JSON; data == NULL: none */
    enum fp_store_trouble trouble; /* of a set that was refused */
    struct fp_str detail;
};
struct fp_store_applied { /* borrowed for the callback */
    enum {
        FP_APPLIED_DONE,
        FP_APPLIED_UNCHANGED,
        FP_APPLIED_STALE,       /* ifRevision */
        FP_APPLIED_TROUBLE,     /* rows tell each; nothing was written */
        FP_APPLIED_REFUSED,     /* by the database; logged */
        FP_APPLIED_UNAVAILABLE, /* 503 */
    } outcome;
    uint64_t revision; /* of the commit; the current one otherwise */
    size_t rows_n, absent_n;
    const void *rows; /* for the two below */
};
void fp_store_applied_row(const struct fp_store_applied *a, size_t i,
                          struct fp_store_applied_row *out);
/* A name that is missing after the set, though it may be: item, kind and name of the member,
 * detail "kind/name" of what it names. */
void fp_store_applied_absent(const struct fp_store_applied *a, size_t i,
                             struct fp_store_applied_row *out);
typedef void (*fp_store_apply_cb)(const struct fp_store_applied *a, void *arg);
void fp_store_apply(struct fp_store *s, const struct fp_store_apply *a, fp_store_apply_cb cb,
                    void *arg);
extern const char *const fp_store_step_names[FP_STEP_N]; /* "create" … */
