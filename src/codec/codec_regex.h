/*
 * Regular expressions whose author is the API we read, not a user: RE2's syntax as far as PCRE2
 * reads it the same.  Never to judge what Envoy will think of a user's expression.
 */
#pragma once
#include "core/core_arena.h"

struct fp_regex;

/* Compiled in the arena and as long-lived; NULL with *why (in the arena) when it is none. */
const struct fp_regex *fp_regex_compile(struct fp_arena *a, struct fp_str pattern, bool utf8,
                                        const char **why);
/* Of the whole text.  A match that needs more than a bounded effort is none. */
bool fp_regex_match(const struct fp_regex *re, struct fp_str text);
