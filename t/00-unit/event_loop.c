/* event_loop on the kernel: io, stale events, timers, tasks, the order of a turn. */
#include "../lib/tap.h"
#include <sys/socket.h>
#include "event/event_loop.c"

static struct fp_loop *loop;
static char order[64];

static void note(char c)
{
    size_t n = strlen(order);
    if (n < sizeof(order) - 1)
        order[n] = c;
}

struct end {
    struct fp_io io;
    unsigned events; /* seen last */
    int calls;
    struct end *other; /* stopped by the callback */
};

static void on_io(struct fp_io *io, unsigned events)
{
    struct end *e = io->arg;
    e->events = events;
    e->calls++;
    note('i');
    if (e->other)
        fp_io_stop(&e->other->io);
    fp_io_stop(io);
}

static void on_stop(struct fp_timer *t)
{
    fp_loop_stop(t->loop);
}

static void run_ms(uint64_t ms)
{
    struct fp_timer t = {.cb = on_stop};
    fp_timer_start(loop, &t, ms);
    fp_loop_run(loop);
    fp_timer_stop(&t);
}

static void pair(struct end e[2])
{
    int fds[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds))
        diag("socketpair failed");
    for (int i = 0; i < 2; i++) {
        e[i] = (struct end){.io = {.fd = fds[i], .cb = on_io}};
        e[i].io.arg = &e[i];
    }
}

static void io_events(void)
{
    struct end e[2];
    pair(e);
    fp_io_watch(loop, &e[0].io, FP_IO_READ);
    run_ms(0);
    is_int(e[0].calls, 0, "nothing to read, no call");
    fp_io_watch(loop, &e[1].io, FP_IO_READ | FP_IO_WRITE);
    run_ms(0);
    is_int(e[1].events, FP_IO_WRITE, "writable");
    is_int(write(e[1].io.fd, "x", 1), 1, "a byte for the other end");
    run_ms(0);
    is_int(e[0].events, FP_IO_READ, "readable");
    ok(!e[0].io.loop && !e[0].io.events, "stopped: not registered");
    run_ms(0);
    is_int(e[0].calls, 1, "a stopped io is not called, though there is data");
    close(e[1].io.fd);
    fp_io_watch(loop, &e[0].io, FP_IO_WRITE);
    run_ms(0);
    ok(e[0].events & FP_IO_ERROR, "a hang-up is reported, watched or not");
    fp_io_stop(&e[0].io);
    fp_io_watch(loop, &e[0].io, 0);
    close(e[0].io.fd);
}

/* Both ends become readable in one turn; whoever is called first stops the other. */
static void stale_events(void)
{
    struct end e[2];
    pair(e);
    e[0].other = &e[1];
    e[1].other = &e[0];
    fp_io_watch(loop, &e[0].io, FP_IO_WRITE);
    fp_io_watch(loop, &e[1].io, FP_IO_WRITE);
    run_ms(0);
    is_int(e[0].calls + e[1].calls, 1, "an io stopped in this turn gets no event already fetched");
    close(e[0].io.fd);
    close(e[1].io.fd);
}

static void on_timer(struct fp_timer *t)
{
    note(*(const char *)t->arg);
}

static void on_timer_again(struct fp_timer *t)
{
    note('r');
    fp_timer_start(t->loop, t, 0);
}

static void on_task(struct fp_task *t)
{
    note('t');
    if (t->arg)
        fp_task_defer(loop, t->arg);
}

static void turn_order(void)
{
    struct end e[2];
    struct fp_timer due = {.cb = on_timer, .arg = "T"}, stop = {.cb = on_stop};
    struct fp_task again = {.cb = on_task}, first = {.cb = on_task, .arg = &again};
    pair(e);
    memset(order, 0, sizeof(order));
    fp_task_defer(loop, &first);
    fp_task_defer(loop, &first);
    fp_timer_start(loop, &due, 0);
    fp_io_watch(loop, &e[0].io, FP_IO_WRITE);
    fp_timer_start(loop, &stop, 0);
    fp_loop_run(loop);
    is_str(order, "iTt", "a turn: io, timers, tasks; deferred twice runs once");
    ok(fp_list_linked(&again.link), "a task deferred by a task waits for the next turn");
    run_ms(0);
    is_str(order, "iTtt", "… and runs there");
    fp_task_defer(loop, &first);
    fp_task_cancel(&first);
    fp_task_cancel(&first);
    run_ms(0);
    is_str(order, "iTtt", "a cancelled task does not run");
    close(e[0].io.fd);
    close(e[1].io.fd);
}

static void timers(void)
{
    struct fp_timer again = {.cb = on_timer_again}, far = {.cb = on_timer, .arg = "F"};
    memset(order, 0, sizeof(order));
    fp_timer_start(loop, &again, 0);
    run_ms(0);
    is_str(order, "r", "a timer that starts itself at 0 ms fires once a turn");
    fp_timer_stop(&again);
    fp_timer_start(loop, &far, UINT64_MAX);
    ok(fp_timer_running(&far) && far.due_ms == UINT64_MAX, "no overflow of the due time");
    uint64_t before = fp_clock_mono_ms();
    run_ms(30);
    uint64_t took = fp_clock_mono_ms() - before;
    ok(took >= 29, "30 ms took %llu", (unsigned long long)took);
    ok(fp_loop_now_ms(loop) >= before + 29, "the loop's time followed");
    fp_loop_free(&loop);
    ok(!loop && !fp_timer_running(&far), "free leaves its timers stopped");
    fp_loop_free(&loop);
}

int main(void)
{
    loop = fp_loop_new();
    io_events();
    stale_events();
    turn_order();
    timers();
    return done_testing();
}
