/* Work in slices of a few milliseconds, so that a large body does not hold up the other streams and
 * requests of the worker.  Runs in workers. */
#include "api/api_set_int.h"
#include "core/core_clock.h"

#define SLICE_NS 2000000 /* about what a turn may take without being felt */

static void run(struct fp_task *t)
{
    struct api_slices *s = t->arg;
    uint64_t until_ns = fp_clock_mono_ns() + SLICE_NS;
    do {
        if (!s->step(s->arg)) {
            s->done(s->arg);
            return;
        }
    } while (fp_clock_mono_ns() < until_ns);
    fp_task_defer(s->c->api->loop, t);
}

static void stop(void *arg)
{
    fp_task_cancel(arg);
}

void api_slices_run(struct api_slices *s)
{
    s->task = (struct fp_task){.cb = run, .arg = s};
    fp_arena_cleanup(s->c->r->arena, stop, &s->task);
    run(&s->task);
}
