/* The loop of the tests: same calls, virtual time, no kernel.  No process runs it. */
#include "core/core_assert.h"
#include "event/event_fake.h"
#include "event/event_int.h"

enum { START_MS = 1000000, BATCHES_MAX = 100000 /* beyond it tasks feed each other for ever */ };

struct fp_loop *fp_loop_fake_new(void)
{
    struct fp_loop *loop = fp_loop_alloc();
    loop->fake = true;
    loop->now_ms = START_MS;
    return loop;
}

void fp_loop_fake_turn(struct fp_loop *loop)
{
    FP_ASSERT(loop->fake);
    fp_tasks_run(loop);
}

/* The real loop does not sleep while tasks wait, so virtual time stands still for them too. */
static void settle(struct fp_loop *loop)
{
    for (int i = 0; !fp_list_empty(&loop->tasks); i++) {
        FP_ASSERT(i < BATCHES_MAX);
        fp_tasks_run(loop);
    }
}

void fp_loop_fake_advance(struct fp_loop *loop, uint64_t ms)
{
    FP_ASSERT(loop->fake);
    uint64_t end = loop->now_ms + ms;
    const struct fp_timer *t;
    settle(loop);
    while ((t = fp_timer_first(loop)) != NULL && t->due_ms <= end) {
        if (t->due_ms > loop->now_ms)
            loop->now_ms = t->due_ms;
        fp_timers_run(loop);
        settle(loop);
    }
    loop->now_ms = end;
}

void fp_loop_fake_fire(struct fp_io *io, unsigned events)
{
    events &= io->events | FP_IO_ERROR;
    if (!io->loop || !events)
        return;
    FP_ASSERT(io->loop->fake);
    io->cb(io, events);
}
