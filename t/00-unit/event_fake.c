/* event_fake: virtual time; and the timer heap against a plain array. */
#include "../lib/tap.h"
#include "core/core_rand.h"
#include "event/event_fake.c"
#include "event/event_timer.c"

static char order[64];
static struct fp_task task;

static void on_timer(struct fp_timer *t)
{
    order[strlen(order)] = *(const char *)t->arg;
    if (*(const char *)t->arg == 'b')
        fp_task_defer(t->loop, &task);
}

static void on_task(struct fp_task *t)
{
    (void)t;
    order[strlen(order)] = 't';
}

static void on_io(struct fp_io *io, unsigned events)
{
    *(unsigned *)io->arg = events;
}

static void virtual_time(void)
{
    struct fp_loop *loop = fp_loop_fake_new();
    struct fp_timer a = {.cb = on_timer, .arg = "a"}, b = {.cb = on_timer, .arg = "b"},
                    c = {.cb = on_timer, .arg = "c"};
    task.cb = on_task;
    is_int(fp_loop_now_ms(loop), 1000000, "time starts at 1,000,000 ms");
    fp_timer_start(loop, &c, 30);
    fp_timer_start(loop, &a, 10);
    fp_timer_start(loop, &b, 10);
    fp_loop_fake_advance(loop, 9);
    is_str(order, "", "nothing is due");
    fp_loop_fake_advance(loop, 1);
    is_str(order, "abt", "due at once: in the order of their start, then tasks");
    is_int(fp_loop_now_ms(loop), 1000010, "time moved by what was asked");
    fp_timer_start(loop, &c, 5);
    fp_timer_start(loop, &a, 1000);
    fp_timer_stop(&a);
    fp_loop_fake_advance(loop, 100000);
    is_str(order, "abtc", "restarted fires once, stopped never");
    fp_task_defer(loop, &task);
    fp_loop_fake_turn(loop);
    is_str(order, "abtct", "a turn runs tasks");

    unsigned seen = 0;
    struct fp_io io = {.fd = 99, .cb = on_io, .arg = &seen};
    fp_loop_fake_fire(&io, FP_IO_READ);
    is_int(seen, 0, "an io that is not watched is not called");
    fp_io_watch(loop, &io, FP_IO_READ);
    fp_loop_fake_fire(&io, FP_IO_READ | FP_IO_WRITE);
    is_int(seen, FP_IO_READ, "only what is watched is reported");
    fp_loop_fake_fire(&io, FP_IO_ERROR);
    is_int(seen, FP_IO_ERROR, "errors always");
    fp_io_stop(&io);
    fp_loop_free(&loop);
}

enum { TIMERS = 300, STEPS = 5000 };
static struct fp_timer timers[TIMERS];
static uint64_t last_ms, fired_n;
static size_t wrong;

static void on_random(struct fp_timer *t)
{
    wrong += t->due_ms < last_ms || t->due_ms > fp_loop_now_ms(t->loop);
    last_ms = t->due_ms;
    fired_n++;
}

static void heap(void)
{
    struct fp_loop *loop = fp_loop_fake_new();
    uint64_t started = 0, stopped = 0;
    for (int i = 0; i < STEPS; i++) {
        struct fp_timer *t = &timers[fp_rand_u64() % TIMERS];
        t->cb = on_random;
        if (fp_rand_u64() % 3) {
            started += !fp_timer_running(t);
            fp_timer_start(loop, t, fp_rand_u64() % 5000);
        } else {
            stopped += fp_timer_running(t);
            fp_timer_stop(t);
        }
        if (i % 50 == 0)
            fp_loop_fake_advance(loop, 100);
        for (size_t k = 2; k <= loop->heap_n; k++)
            wrong +=
                earlier(&loop->heap[k], &loop->heap[k / 2]) || loop->heap[k].timer->heap_pos != k;
    }
    fp_loop_fake_advance(loop, 10000);
    is_int(wrong, 0, "%d random steps: the heap holds, timers fire in order", STEPS);
    is_int(fired_n + stopped, started, "each started timer fired or was stopped");
    fp_loop_free(&loop);
}

int main(void)
{
    virtual_time();
    heap();
    return done_testing();
}
