/* The difference between two JSON values, as contract §2.8 shows it. */
#pragma once
#include <jansson.h>

/*
 * A new array of {"op": "add" | "remove" | "replace", "path", "from", "value"} that leads from
 * `from` to `to`; either may be NULL (then everything is added or removed at "").  Objects are
 * compared key by key in sorted order, arrays element by element with what is longer at the end.
 */
json_t *fp_json_diff(const json_t *from, const json_t *to);
