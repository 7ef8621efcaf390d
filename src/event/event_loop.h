/*
 * The event loop: one per process, epoll, timers, deferred tasks.  All callbacks run on it; none
 * may block.  event_fake.h gives the same loop with virtual time and no kernel.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "core/core_list.h"

struct fp_loop;
struct fp_io;
struct fp_timer;
struct fp_task;

enum { FP_IO_READ = 1, FP_IO_WRITE = 2, FP_IO_ERROR = 4 /* always reported, also for HUP */ };

struct fp_io { /* embedded by its owner; {0} is "not watched" */
    int fd;
    unsigned events; /* watched now, 0 when stopped */
    void (*cb)(struct fp_io *io, unsigned events);
    void *arg;
    struct fp_loop *loop; /* NULL when not registered */
};
struct fp_timer { /* embedded by its owner; {0} is "not running" */
    void (*cb)(struct fp_timer *t);
    void *arg;
    struct fp_loop *loop;
    uint64_t due_ms; /* loop time */
    size_t heap_pos; /* 1-based; 0 = not running */
};
struct fp_task { /* runs once, after the callbacks of this turn */
    void (*cb)(struct fp_task *t);
    void *arg;
    struct fp_list link;
};

struct fp_loop *fp_loop_new(void);
void fp_loop_free(struct fp_loop **loop);
void fp_loop_run(struct fp_loop *loop);              /* until fp_loop_stop */
void fp_loop_stop(struct fp_loop *loop);             /* may be called from any callback */
uint64_t fp_loop_now_ms(const struct fp_loop *loop); /* monotonic, cached per turn */

/* Start or change the watch; events == 0 stops it.  io->fd, cb, arg are set by the caller before.
 * A stopped io gets no further callback, even one already fetched from the kernel in this turn. */
void fp_io_watch(struct fp_loop *loop, struct fp_io *io, unsigned events);
void fp_io_stop(struct fp_io *io); /* before close(fd); no-op when not registered */

void fp_timer_start(struct fp_loop *loop, struct fp_timer *t,
                    uint64_t after_ms); /* restarts when running */
void fp_timer_stop(struct fp_timer *t); /* no-op when not running */
static inline bool fp_timer_running(const struct fp_timer *t)
{
    return t->heap_pos != 0;
}

void fp_task_defer(struct fp_loop *loop, struct fp_task *t); /* no-op when already queued */
void fp_task_cancel(struct fp_task *t);
