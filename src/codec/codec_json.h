/*
 * JSON for the whole program: jansson behind one strict reader and one canonical writer.
 * fp_json_init runs once per process before any other use (memory functions, hash seed).
 */
#pragma once
#include <jansson.h>
#include "core/core_buf.h"
#include "core/core_problem.h"

void fp_json_init(void);
/*
 * Strict: UTF-8 without NUL, no duplicate keys, no trailing data, depth <= max_depth.  The value is
 * owned by the arena (decref'd at its reset).  NULL on error; the problem has pointer "" and says
 * line and column.  Integers beyond int64 become reals, what no real holds is out_of_range.
 */
json_t *fp_json_parse(struct fp_arena *a, struct fp_str text, unsigned max_depth,
                      struct fp_problems *ps);
json_t *fp_json_own(struct fp_arena *a, json_t *v); /* hands a reference to the arena, returns v */
/* Compact; keys sorted when `sorted` (equal value, equal text). */
void fp_json_write(struct fp_buf *out, const json_t *v, bool sorted);
static inline struct fp_str fp_json_str(const json_t *v) /* FP_STR_NULL when not a string */
{
    return json_is_string(v) ? fp_str_n(json_string_value(v), json_string_length(v)) : FP_STR_NULL;
}
