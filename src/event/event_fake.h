/* A loop for tests: virtual time, no kernel.  Linked by tests only; same fp_io/fp_timer/fp_task
 * calls. */
#pragma once
#include "event/event_loop.h"

struct fp_loop *fp_loop_fake_new(void); /* time starts at 1,000,000 ms */
void fp_loop_fake_advance(struct fp_loop *loop,
                          uint64_t ms);       /* fires due timers in order, and tasks */
void fp_loop_fake_turn(struct fp_loop *loop); /* runs deferred tasks only */
void fp_loop_fake_fire(struct fp_io *io, unsigned events); /* as if the kernel reported it */
