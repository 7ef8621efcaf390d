/*
 * A ring of commits.  An entry's revision is written last and cleared first; who reads takes the
 * entry when the revision was the same before and after.  Never blocks; a writer that is killed
 * leaves one entry that is none.
 */
#include "obs/obs_commit.h"
#include <stdatomic.h>
#include "os/os_memfd.h"

#define RING 64

struct entry {
    _Atomic uint64_t revision; /* 0: none */
    _Atomic int64_t wall_ms;
    _Atomic uint64_t trace[2], span; /* span 0: not traced */
    _Atomic unsigned pushes;
};
struct fp_commits {
    _Atomic unsigned next;
    struct entry ring[RING];
};

struct fp_commits *fp_commits_new(void)
{
    return fp_shared_pages_new(sizeof(struct fp_commits));
}

void fp_commits_add(struct fp_commits *c, const struct fp_commit *commit)
{
    uint64_t trace[2], span = 0;
    if (!c)
        return;
    memcpy(trace, commit->at.trace_id, sizeof(trace));
    if (commit->at.known)
        memcpy(&span, commit->at.span_id, sizeof(span));
    struct entry *e = &c->ring[atomic_fetch_add(&c->next, 1) % RING];
    atomic_store(&e->revision, 0);
    atomic_store(&e->wall_ms, commit->wall_ms);
    atomic_store(&e->trace[0], trace[0]);
    atomic_store(&e->trace[1], trace[1]);
    atomic_store(&e->span, span);
    atomic_store(&e->pushes, 0);
    atomic_store(&e->revision, commit->revision);
}

static bool within(const struct entry *e, uint64_t after, uint64_t upto)
{
    uint64_t revision = atomic_load_explicit(&e->revision, memory_order_acquire);
    return revision > after && revision <= upto;
}

static bool take(const struct entry *e, struct fp_commit *out)
{
    uint64_t revision = atomic_load(&e->revision);
    uint64_t trace[2] = {atomic_load(&e->trace[0]), atomic_load(&e->trace[1])};
    uint64_t span = atomic_load(&e->span);
    *out = (struct fp_commit){.revision = revision, .wall_ms = atomic_load(&e->wall_ms)};
    out->at.known = out->at.sampled = span != 0;
    memcpy(out->at.trace_id, trace, sizeof(trace));
    memcpy(out->at.span_id, &span, sizeof(span));
    return revision && atomic_load(&e->revision) == revision;
}

int64_t fp_commits_oldest_ms(const struct fp_commits *c, uint64_t after, uint64_t upto)
{
    int64_t oldest = 0;
    for (unsigned i = 0; c && i < RING; i++) {
        struct fp_commit x;
        if (within(&c->ring[i], after, upto) && take(&c->ring[i], &x) && x.wall_ms &&
            (!oldest || x.wall_ms < oldest))
            oldest = x.wall_ms;
    }
    return oldest;
}

unsigned fp_commits_sample(struct fp_commits *c, uint64_t after, uint64_t upto,
                           struct fp_commit *out, unsigned most)
{
    unsigned n = 0;
    for (unsigned i = 0; c && i < RING && n < most; i++) {
        struct entry *e = &c->ring[i];
        if (within(e, after, upto) && take(e, &out[n]) && out[n].at.known &&
            atomic_load(&e->pushes) < FP_COMMIT_PUSHES &&
            atomic_fetch_add(&e->pushes, 1) < FP_COMMIT_PUSHES)
            n++;
    }
    return n;
}
