/* Clocks.  Timeouts use the monotonic clock, what people read the wall clock. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include "core/core_str.h"

uint64_t fp_clock_mono_ns(void);
uint64_t fp_clock_mono_ms(void);
int64_t fp_clock_wall_ms(void); /* since 1970 */
#define FP_CLOCK_TEXT_BYTES 40
/* "2030-11-02T09:15:00Z"; with_ms adds ".123" before the Z.  Returns out. */
char *fp_clock_rfc3339(char out[FP_CLOCK_TEXT_BYTES], int64_t wall_ms, bool with_ms);
bool fp_clock_parse_rfc3339(struct fp_str s,
                            int64_t *wall_ms); /* any offset; false when malformed */
