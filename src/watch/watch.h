/* The watcher: follow the database, debounce, build, publish; keep and load the last good snapshot.
 */
#pragma once
#include "event/event_loop.h"
#include "model/model.h"
#include "obs/obs_page.h"
#include "store/store_follow.h"

struct fp_watch;
struct fp_watch_options {
    struct fp_follow_options follow;
    const struct fp_pb_pool *pool;
    bool allow_privileged_ports;
    uint64_t debounce_min_ms, debounce_max_ms;
    const char *state_dir; /* NULL: no cache */
    struct fp_page *page;
    /* Takes the sealed memfd over (sends it to the master). */
    void (*publish)(int fd, uint64_t generation, uint64_t revision, void *arg);
    void (*fatal)(const char *why, void *arg);
    void *arg;
};
struct fp_watch *fp_watch_new(struct fp_loop *loop, const struct fp_watch_options *o);
void fp_watch_free(struct fp_watch **w);
/* Now, if there is one and nothing was published yet: whoever would give up otherwise. */
void fp_watch_use_cache(struct fp_watch *w);
