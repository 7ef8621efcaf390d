/*
 * The commits that were served last, in shared memory made before the first fork: when each was
 * made, and where its trace goes on.  The watcher adds, workers look up what a generation brought
 * that a client did not have.  A hint for metrics and spans: nothing that is served depends on it.
 */
#pragma once
#include "obs/obs_span.h"

#define FP_COMMIT_PUSHES 10 /* xds_push spans a commit (contract §11.4) */

struct fp_commit {
    uint64_t revision;
    int64_t wall_ms;    /* of the commit, by the database's clock */
    struct fp_trace at; /* its span snapshot_build; known == false: not traced */
};

struct fp_commits;
struct fp_commits *fp_commits_new(void); /* shared pages; never NULL */
/* Every function takes NULL: there are none (tests, tools). */
void fp_commits_add(struct fp_commits *c, const struct fp_commit *commit);
/* The oldest one after revision `after` up to `upto`; 0: none that is remembered. */
int64_t fp_commits_oldest_ms(const struct fp_commits *c, uint64_t after, uint64_t upto);
/* The traced ones of them that may have a further xds_push, which is counted; at most `most`. */
unsigned fp_commits_sample(struct fp_commits *c, uint64_t after, uint64_t upto,
                           struct fp_commit *out, unsigned most);
