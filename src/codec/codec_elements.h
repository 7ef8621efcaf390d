/*
 * The elements of a JSON array, one by one, so that no more than one is held as a value; the same
 * strictness as fp_json_parse (codec_json.h).
 */
#pragma once
#include <jansson.h>
#include "core/core_problem.h"

/*
 * Of a text that is an array, or an object with the one member `wrapper` that is an array, each
 * element; any other text is one value.  The text must live as long as the reader, which lives in
 * the arena.
 */
struct fp_elements;
struct fp_elements *fp_elements_open(struct fp_arena *a, struct fp_str text,
                                     const char *wrapper /* or NULL */, unsigned max_depth);
/*
 * The next value, owned by `a`: 1; 0 at the end; FP_ERR_INVALID after an error, for good: the
 * problem has pointer "" and says line and column.
 */
int fp_elements_next(struct fp_elements *e, struct fp_arena *a, struct fp_problems *ps,
                     json_t **out);
