/* A user's mistakes, collected in the arena of the request (contract §2.4). */
#include <stdio.h>
#include "core/core_assert.h"
#include "core/core_problem.h"

static const char *const code_names[FP_P_CODE_N] = {
    [FP_P_REQUIRED] = "required",
    [FP_P_UNKNOWN_FIELD] = "unknown_field",
    [FP_P_INVALID_TYPE] = "invalid_type",
    [FP_P_INVALID_VALUE] = "invalid_value",
    [FP_P_INVALID_FORMAT] = "invalid_format",
    [FP_P_OUT_OF_RANGE] = "out_of_range",
    [FP_P_TOO_SHORT] = "too_short",
    [FP_P_TOO_LONG] = "too_long",
    [FP_P_TOO_FEW] = "too_few",
    [FP_P_TOO_MANY] = "too_many",
    [FP_P_DUPLICATE] = "duplicate",
    [FP_P_MUTUALLY_EXCLUSIVE] = "mutually_exclusive",
    [FP_P_REFERENCE_NOT_FOUND] = "reference_not_found",
    [FP_P_STILL_REFERENCED] = "still_referenced",
    [FP_P_ALREADY_EXISTS] = "already_exists",
    [FP_P_READ_ONLY] = "read_only",
    [FP_P_UNSUPPORTED] = "unsupported",
    [FP_P_CONSTRAINT] = "constraint",
    [FP_P_LAST_ADMIN_TOKEN] = "last_admin_token",
    [FP_P_PROTECTED] = "protected",
    [FP_P_STALE_VERSION] = "stale_version",
};

const char *fp_problem_code_name(enum fp_problem_code c)
{
    FP_ASSERT(c < FP_P_CODE_N);
    return code_names[c];
}

struct fp_problems *fp_problems_new(struct fp_arena *a)
{
    struct fp_problems *ps = FP_ARENA_NEW(a, struct fp_problems);
    ps->arena = a;
    return ps;
}

static void add(struct fp_problems *ps, struct fp_problem p, const char *fmt, va_list ap)
{
    if (ps->total++ >= FP_PROBLEMS_MAX)
        return;
    if (p.pointer)
        p.pointer = fp_arena_strdup(ps->arena, p.pointer);
    if (p.parameter)
        p.parameter = fp_arena_strdup(ps->arena, p.parameter);
    p.message = fp_arena_vprintf(ps->arena, fmt, ap);
    ps->items[ps->n++] = p;
}

void fp_problem_add(struct fp_problems *ps, const char *pointer, enum fp_problem_code code,
                    const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(ps, (struct fp_problem){.pointer = pointer, .code = code}, fmt, ap);
    va_end(ap);
}

void fp_problem_add_parameter(struct fp_problems *ps, const char *parameter,
                              enum fp_problem_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(ps, (struct fp_problem){.parameter = parameter, .code = code}, fmt, ap);
    va_end(ap);
}

/* One typing slip in a short name, up to three in a long one. */
static const char *nearest(struct fp_str field, const char *const *known, size_t known_n)
{
    unsigned best = (unsigned)(field.len < 4 ? 1 : field.len < 9 ? 2 : 3) + 1;
    const char *name = NULL;
    for (size_t i = 0; i < known_n; i++) {
        unsigned d = fp_str_distance(field, fp_str_of(known[i]), best - 1);
        if (d < best) {
            best = d;
            name = known[i];
        }
    }
    return name;
}

void fp_problem_add_unknown(struct fp_problems *ps, const char *pointer, struct fp_str field,
                            const char *const *known, size_t known_n)
{
    const char *near = nearest(field, known, known_n);
    fp_problem_add(ps, pointer, FP_P_UNKNOWN_FIELD, near ? "unknown field; did you mean %s?" : "%s",
                   near ? near : "unknown field");
}

const char *fp_pointer_push(struct fp_arena *a, const char *pointer, struct fp_str token)
{
    size_t base = strlen(pointer), n = base + 1;
    for (size_t i = 0; i < token.len; i++)
        n += 1 + (token.data[i] == '~' || token.data[i] == '/');
    char *out = fp_arena_alloc(a, n + 1), *p = out + base;
    memcpy(out, pointer, base);
    *p++ = '/';
    for (size_t i = 0; i < token.len; i++) {
        char c = token.data[i];
        if (c == '~' || c == '/') {
            *p++ = '~';
            c = c == '~' ? '0' : '1';
        }
        *p++ = c;
    }
    return out;
}

const char *fp_pointer_push_index(struct fp_arena *a, const char *pointer, size_t index)
{
    return fp_arena_printf(a, "%s/%zu", pointer, index);
}
