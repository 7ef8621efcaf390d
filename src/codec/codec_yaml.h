/*
 * The JSON-compatible subset of YAML 1.2 (contract §2.1), as jansson values: scalars resolve by the
 * core schema, keys are texts, custom tags and NaN are refused, aliases are copied and bounded.
 */
#pragma once
#include <jansson.h>
#include "core/core_buf.h"
#include "core/core_problem.h"

#define FP_YAML_EXPANDED_MAX 100000 /* nodes that aliases may add to a text */

/*
 * A text read value by value, so that no more than one is held.  A value is a document; of a
 * document that is a sequence, or a mapping with the one key `wrapper` that is a sequence, each
 * element.  Empty documents are skipped.  The text must live as long as the reader, which lives in
 * the arena.
 */
struct fp_yaml;
struct fp_yaml *fp_yaml_open(struct fp_arena *a, struct fp_str text,
                             const char *wrapper /* or NULL */, unsigned max_depth);
/*
 * The next value, owned by `a`: 1; 0 at the end; FP_ERR_INVALID after an error, for good: the
 * problem has pointer "" and says line and column.
 */
int fp_yaml_next(struct fp_yaml *y, struct fp_arena *a, struct fp_problems *ps, json_t **out);

/* Appends the value in block style with a newline at its end; members in their order.  What is
 * written reads back equal. */
void fp_yaml_write(struct fp_buf *out, const json_t *v);
