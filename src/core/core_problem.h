/*
 * A user's mistakes, collected: all problems of a body at once (contract §2.4).  Lives in an arena.
 * At most FP_PROBLEMS_MAX are kept; the rest is counted.
 */
#pragma once
#include <stdarg.h>
#include "core/core_arena.h"

#define FP_PROBLEMS_MAX 100

/* details[].code, closed list of contract §2.4 */
enum fp_problem_code {
    FP_P_REQUIRED,
    FP_P_UNKNOWN_FIELD,
    FP_P_INVALID_TYPE,
    FP_P_INVALID_VALUE,
    FP_P_INVALID_FORMAT,
    FP_P_OUT_OF_RANGE,
    FP_P_TOO_SHORT,
    FP_P_TOO_LONG,
    FP_P_TOO_FEW,
    FP_P_TOO_MANY,
    FP_P_DUPLICATE,
    FP_P_MUTUALLY_EXCLUSIVE,
    FP_P_REFERENCE_NOT_FOUND,
    FP_P_STILL_REFERENCED,
    FP_P_ALREADY_EXISTS,
    FP_P_READ_ONLY,
    FP_P_UNSUPPORTED,
    FP_P_CONSTRAINT,
    FP_P_LAST_ADMIN_TOKEN,
    FP_P_PROTECTED,
    FP_P_STALE_VERSION,
    FP_P_CODE_N
};
const char *fp_problem_code_name(enum fp_problem_code c); /* "out_of_range" … */

struct fp_problem {
    const char *pointer;   /* RFC 6901 into the body, or NULL when parameter is set */
    const char *parameter; /* query or path parameter, or NULL */
    enum fp_problem_code code;
    const char *message;
};

struct fp_problems {
    struct fp_arena *arena;
    struct fp_problem items[FP_PROBLEMS_MAX]; /* n of them are set */
    size_t n, total;
};

struct fp_problems *fp_problems_new(struct fp_arena *a);
void fp_problem_add(struct fp_problems *ps, const char *pointer, enum fp_problem_code code,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void fp_problem_add_parameter(struct fp_problems *ps, const char *parameter,
                              enum fp_problem_code code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* "unknown field; did you mean lbPolicy?": adds the hint when a name of `known` is near. */
void fp_problem_add_unknown(struct fp_problems *ps, const char *pointer, struct fp_str field,
                            const char *const *known, size_t known_n);
/* pointer + "/" + token, token escaped (~0 ~1), in the arena */
const char *fp_pointer_push(struct fp_arena *a, const char *pointer, struct fp_str token);
const char *fp_pointer_push_index(struct fp_arena *a, const char *pointer, size_t index);
