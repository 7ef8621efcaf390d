/* Timers: a binary heap of (time, order of start); the timers themselves are embedded in owners. */
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "event/event_int.h"

enum { FIRST_SLOTS = 64 };

static bool earlier(const struct fp_timer_slot *a, const struct fp_timer_slot *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->seq < b->seq;
}

static void place(struct fp_loop *loop, size_t at, struct fp_timer_slot s)
{
    loop->heap[at] = s;
    s.timer->heap_pos = at;
}

/* Puts s where it belongs on the way from `at` to the root, then towards the leaves. */
static void sift(struct fp_loop *loop, size_t at, struct fp_timer_slot s)
{
    for (; at > 1 && earlier(&s, &loop->heap[at / 2]); at /= 2)
        place(loop, at, loop->heap[at / 2]);
    for (size_t kid; (kid = at * 2) <= loop->heap_n; at = kid) {
        if (kid < loop->heap_n && earlier(&loop->heap[kid + 1], &loop->heap[kid]))
            kid++;
        if (!earlier(&loop->heap[kid], &s))
            break;
        place(loop, at, loop->heap[kid]);
    }
    place(loop, at, s);
}

static void grow(struct fp_loop *loop)
{
    loop->heap_cap = loop->heap_cap ? loop->heap_cap * 2 : FIRST_SLOTS;
    loop->heap = fp_mem_realloc(loop->heap, (loop->heap_cap + 1) * sizeof(*loop->heap));
}

void fp_timer_start(struct fp_loop *loop, struct fp_timer *t, uint64_t after_ms)
{
    FP_ASSERT(t->cb && (t->heap_pos == 0 || t->loop == loop));
    t->loop = loop;
    t->due_ms = after_ms > UINT64_MAX - loop->now_ms ? UINT64_MAX : loop->now_ms + after_ms;
    if (t->heap_pos == 0) {
        if (loop->heap_n == loop->heap_cap)
            grow(loop);
        t->heap_pos = ++loop->heap_n;
    }
    sift(loop, t->heap_pos, (struct fp_timer_slot){t->due_ms, loop->seq++, t});
}

void fp_timer_stop(struct fp_timer *t)
{
    size_t at = t->heap_pos;
    if (at == 0)
        return;
    struct fp_loop *loop = t->loop;
    struct fp_timer_slot last = loop->heap[loop->heap_n--];
    if (last.timer != t)
        sift(loop, at, last);
    t->heap_pos = 0;
}

struct fp_timer *fp_timer_first(const struct fp_loop *loop)
{
    return loop->heap_n ? loop->heap[1].timer : NULL;
}

void fp_timers_run(struct fp_loop *loop)
{
    uint64_t end = loop->seq;
    while (loop->heap_n && loop->heap[1].due_ms <= loop->now_ms && loop->heap[1].seq < end) {
        struct fp_timer *t = loop->heap[1].timer;
        fp_timer_stop(t); /* first: the callback may start it again, or free it */
        t->cb(t);
    }
}

void fp_timers_fini(struct fp_loop *loop)
{
    for (size_t i = 1; i <= loop->heap_n; i++)
        loop->heap[i].timer->heap_pos = 0;
    fp_mem_free(loop->heap);
}
