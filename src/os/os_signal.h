/* Signals as events: signalfd on the loop. */
#pragma once
#include "event/event_loop.h"

struct fp_signals;
/* Blocks the given signals (0-terminated list) and reports each on the loop.  They stay blocked
 * after the free: what is pending must not hit a process that is about to exit in order. */
struct fp_signals *fp_signals_new(struct fp_loop *loop, const int *signals,
                                  void (*cb)(int sig, void *arg), void *arg);
void fp_signals_free(struct fp_signals **s);
