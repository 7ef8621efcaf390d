/*
 * The event loop over epoll (level-triggered).  Every process runs at most one; callbacks never
 * block.  A child makes its own loop after fork: an epoll set is shared with the parent.
 */
#include <errno.h>
#include <limits.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "core/core_clock.h"
#include "core/core_mem.h"
#include "event/event_int.h"

struct fp_loop *fp_loop_alloc(void)
{
    struct fp_loop *loop = fp_mem_zalloc(sizeof(*loop));
    loop->epfd = -1;
    fp_list_init(&loop->tasks);
    fp_list_init(&loop->batch);
    return loop;
}

struct fp_loop *fp_loop_new(void)
{
    struct fp_loop *loop = fp_loop_alloc();
    loop->epfd = epoll_create1(EPOLL_CLOEXEC);
    FP_ASSERT(loop->epfd >= 0);
    loop->now_ms = fp_clock_mono_ms();
    return loop;
}

static void unlink_all(struct fp_list *tasks)
{
    while (fp_list_pop_front(tasks))
        ;
}

void fp_loop_free(struct fp_loop **loop)
{
    struct fp_loop *l = *loop;
    *loop = NULL;
    if (!l)
        return;
    unlink_all(&l->tasks);
    unlink_all(&l->batch);
    fp_timers_fini(l);
    if (l->epfd >= 0)
        close(l->epfd);
    fp_mem_free(l);
}

uint64_t fp_loop_now_ms(const struct fp_loop *loop)
{
    return loop->now_ms;
}

void fp_loop_stop(struct fp_loop *loop)
{
    loop->stop = true;
}

static void control(struct fp_io *io, int op)
{
    struct epoll_event e = {.data.ptr = io};
    if (io->events & FP_IO_READ)
        e.events |= EPOLLIN;
    if (io->events & FP_IO_WRITE)
        e.events |= EPOLLOUT;
    if (!io->loop->fake)
        FP_ASSERT(epoll_ctl(io->loop->epfd, op, io->fd, &e) == 0);
}

void fp_io_watch(struct fp_loop *loop, struct fp_io *io, unsigned events)
{
    if (events == 0) {
        fp_io_stop(io);
        return;
    }
    FP_ASSERT(io->cb && (!io->loop || io->loop == loop));
    if (io->loop && io->events == events)
        return;
    int op = io->loop ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    io->loop = loop;
    io->events = events;
    control(io, op);
}

void fp_io_stop(struct fp_io *io)
{
    struct fp_loop *loop = io->loop;
    if (!loop)
        return;
    io->events = 0;
    control(io, EPOLL_CTL_DEL);
    io->loop = NULL;
    for (int i = loop->fetched_at; i < loop->fetched_n; i++)
        if (loop->fetched[i].data.ptr == io)
            loop->fetched[i].data.ptr = NULL;
}

void fp_task_defer(struct fp_loop *loop, struct fp_task *t)
{
    FP_ASSERT(t->cb);
    if (!fp_list_linked(&t->link))
        fp_list_push_back(&loop->tasks, &t->link);
}

void fp_task_cancel(struct fp_task *t)
{
    fp_list_remove(&t->link);
}

void fp_tasks_run(struct fp_loop *loop)
{
    struct fp_list *n;
    while ((n = fp_list_pop_front(&loop->tasks)) != NULL)
        fp_list_push_back(&loop->batch, n);
    while ((n = fp_list_pop_front(&loop->batch)) != NULL) {
        struct fp_task *t = FP_CONTAINER(n, struct fp_task, link);
        t->cb(t);
    }
}

static int wait_ms(const struct fp_loop *loop)
{
    const struct fp_timer *t = fp_timer_first(loop);
    if (!fp_list_empty(&loop->tasks))
        return 0;
    if (!t)
        return -1;
    uint64_t now = fp_clock_mono_ms();
    uint64_t ms = t->due_ms > now ? t->due_ms - now : 0;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void dispatch(struct fp_loop *loop)
{
    for (loop->fetched_at = 0; loop->fetched_at < loop->fetched_n;) {
        const struct epoll_event *e = &loop->fetched[loop->fetched_at++];
        struct fp_io *io = e->data.ptr;
        if (!io)
            continue; /* stopped earlier in this turn */
        unsigned events = (e->events & EPOLLIN ? FP_IO_READ : 0) |
                          (e->events & EPOLLOUT ? FP_IO_WRITE : 0) |
                          (e->events & (EPOLLERR | EPOLLHUP) ? FP_IO_ERROR : 0);
        events &= io->events | FP_IO_ERROR; /* the watch may have changed since the fetch */
        if (events)
            io->cb(io, events);
    }
    loop->fetched_n = 0;
}

void fp_loop_run(struct fp_loop *loop)
{
    FP_ASSERT(!loop->fake);
    for (loop->stop = false; !loop->stop;) {
        int n = epoll_wait(loop->epfd, loop->fetched, FP_LOOP_FETCH_MAX, wait_ms(loop));
        FP_ASSERT(n >= 0 || errno == EINTR);
        loop->fetched_n = n < 0 ? 0 : n;
        loop->now_ms = fp_clock_mono_ms();
        dispatch(loop);
        fp_timers_run(loop);
        fp_tasks_run(loop);
    }
}
