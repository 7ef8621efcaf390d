/* Private to the api room: sets of resources (apply, rollback, export) and work in slices. */
#pragma once
#include "api/api_int.h"
#include "core/core_map.h"
#include "store/store_apply.h"

#define API_SET_MAX 100000 /* contract §7.1 */

/* The kinds of sets in apply order (contract §7.2); FP_KIND_N ends it. */
extern const enum fp_kind api_set_kinds[];
bool api_set_kind(enum fp_kind kind);
const char *api_set_scope(enum fp_kind kind); /* the resource of its scopes */

/* Work that would hold the loop up: a few milliseconds in each turn.  Lives in the request's arena,
 * which stops it. */
struct api_slices {
    struct fp_api_call *c;
    bool (*step)(void *arg); /* a small piece; false: that was the last */
    void (*done)(void *arg);
    void *arg;
    struct fp_task task;
};
void api_slices_run(struct api_slices *s);

struct api_set_ref { /* of a member, to a cluster, secret or route: where in the body it stands */
    int item;
    enum fp_kind kind;
    struct fp_str name;
    const char *pointer;
};

/* A set on its way into the store.  Lives in the request's arena. */
struct api_set {
    struct fp_api_call *c;
    struct fp_store_apply apply;
    struct fp_buf items; /* as fp_store_apply wants them */
    int n;
    struct fp_map names;     /* "kind name" of each member */
    struct fp_buf refs;      /* of struct api_set_ref */
    struct fp_buf texts;     /* dry runs: struct fp_str, each member's configuration */
    json_t *warnings;        /* {code, pointer, message} */
    bool unscoped;           /* scopes of a team are not enough (rollbacks, contract §4.5) */
    bool forbidden;          /* a member's kind is not covered by the token */
    int conflict_status;     /* 0: as the trouble; else of every trouble */
    fp_api_handler on_stale; /* NULL: 412 */
    void *owner;             /* of on_stale */
    struct api_slices slices;
    struct api_set_dry *dry;
};
struct api_set *api_set_new(struct fp_api_call *c);
/*
 * Takes a member in: checks kind, scope, team and duplicates; m and everything in it may go
 * afterwards.  Problems go to the call's.  source.data == NULL: as the options say.
 */
bool api_set_kind_ok(struct api_set *s, enum fp_kind kind, const char *pointer);
void api_set_put(struct api_set *s, struct fp_model_resource *m, struct fp_str source,
                 const char *pointer);
void api_set_delete(struct api_set *s, enum fp_kind kind, struct fp_str name);
/* Sends it off and answers the call, whatever comes. */
void api_set_send(struct api_set *s);

/* api_revision.c: {n} of the path; false after a 400.  404 for it. */
bool api_revision_number(struct fp_api_call *c, uint64_t *n);
void api_revision_unknown(struct fp_api_call *c);
