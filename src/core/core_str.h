/* A borrowed byte string: pointer and length, not NUL-terminated.  data == NULL means "absent". */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct fp_str {
    const char *data;
    size_t len;
};

#define FP_STR(lit)   ((struct fp_str){("" lit ""), sizeof(lit) - 1})
#define FP_STR_NULL   ((struct fp_str){NULL, 0})
#define FP_STR_ARG(s) (int)(s).len, (s).data ? (s).data : "" /* for "%.*s" */

static inline struct fp_str fp_str_of(const char *s)
{
    return s ? (struct fp_str){s, strlen(s)} : FP_STR_NULL;
}
static inline struct fp_str fp_str_n(const void *p, size_t n)
{
    return (struct fp_str){(const char *)p, n};
}
static inline bool fp_str_eq(struct fp_str a, struct fp_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
static inline bool fp_str_eq_c(struct fp_str a, const char *b)
{
    return fp_str_eq(a, fp_str_of(b));
}
int fp_str_cmp(struct fp_str a, struct fp_str b);      /* memcmp order, shorter first */
bool fp_str_case_eq(struct fp_str a, struct fp_str b); /* ASCII only */
bool fp_str_starts(struct fp_str s, struct fp_str prefix);
bool fp_str_ends(struct fp_str s, struct fp_str suffix);
struct fp_str fp_str_trim(struct fp_str s); /* ASCII blanks */
/* The part before the first `sep`; *rest is what follows, data == NULL when there was no sep. */
struct fp_str fp_str_split(struct fp_str s, char sep, struct fp_str *rest);
bool fp_str_to_u64(struct fp_str s, uint64_t *out); /* decimal, whole string, no sign */
bool fp_str_to_i64(struct fp_str s, int64_t *out);
bool fp_str_is_utf8(struct fp_str s); /* RFC 3629, NUL is allowed here */
/* Bytes of the UTF-8 sequence at p (1..4), 0 when there is no valid one (or n == 0). */
size_t fp_utf8_step(const char *p, size_t n);
uint64_t fp_str_hash(struct fp_str s); /* seeded per boot of the process tree; never stored */
/* Edit distance with early exit, for "did you mean"; returns max + 1 when farther than max. */
unsigned fp_str_distance(struct fp_str a, struct fp_str b, unsigned max);
