/*
 * Inside of fp_loop, for event_loop.c, event_timer.c and event_fake.c.  A turn is: fetch from the
 * kernel, io callbacks, due timers, deferred tasks.
 */
#pragma once
#include <sys/epoll.h>
#include "event/event_loop.h"

enum { FP_LOOP_FETCH_MAX = 256 };

/* seq makes timers of equal time fire in the order of their start. */
struct fp_timer_slot {
    uint64_t due_ms, seq;
    struct fp_timer *timer;
};

struct fp_loop {
    uint64_t now_ms;
    bool stop;
    bool fake; /* no kernel: epfd is -1, time moves by fp_loop_fake_advance */
    int epfd;
    struct fp_timer_slot *heap; /* binary, heap[0] unused: the children of i are 2i, 2i + 1 */
    size_t heap_n, heap_cap;
    uint64_t seq; /* of the next timer start */
    struct fp_list tasks;
    struct fp_list batch; /* tasks of this turn, while they run */
    struct epoll_event fetched[FP_LOOP_FETCH_MAX];
    int fetched_n, fetched_at; /* set during the io callbacks; a stopped io is nulled out there */
};

struct fp_loop *fp_loop_alloc(void);
/* The earliest timer, NULL when none runs. */
struct fp_timer *fp_timer_first(const struct fp_loop *loop);
/* Fires what is due at loop->now_ms, but not what these callbacks start. */
void fp_timers_run(struct fp_loop *loop);
void fp_timers_fini(struct fp_loop *loop);
/* One batch: a task deferred by a task waits for the next turn, so that it cannot starve io. */
void fp_tasks_run(struct fp_loop *loop);
