/* The text forms of Duration and Timestamp; pure functions. */
#pragma once
#include "core/core_err.h"
#include "core/core_str.h"

#define FP_PB_TEXT_BYTES 48 /* room for any of them, with the NUL */

/* 0, FP_ERR_INVALID (not of the form), FP_ERR_LIMIT (out of the message's range) */
int fp_pb_duration_parse(struct fp_str s, int64_t *seconds, int32_t *nanos);
int fp_pb_timestamp_parse(struct fp_str s, int64_t *seconds, int32_t *nanos);
/* false when the pair is not a legal value of the message */
bool fp_pb_duration_format(char out[FP_PB_TEXT_BYTES], int64_t seconds, int32_t nanos);
bool fp_pb_timestamp_format(char out[FP_PB_TEXT_BYTES], int64_t seconds, int32_t nanos);
