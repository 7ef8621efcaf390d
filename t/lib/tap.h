/*
 * TAP for unit tests in C.  A failed check prints what was compared; the plan comes last, printed
 * by done_testing(), which returns main's exit status.
 */
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_n, tap_failed;

__attribute__((unused, format(printf, 1, 2))) static void diag(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("# ", stdout);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
}

__attribute__((unused, format(printf, 4, 5))) static int tap_ok(int pass, const char *file,
                                                                int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("%sok %d - ", pass ? "" : "not ", ++tap_n);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
    if (!pass) {
        tap_failed++;
        diag("failed at %s:%d", file, line);
    }
    fflush(stdout); /* a crash later must not swallow it */
    return pass;
}

__attribute__((unused)) static int tap_same_str(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

#define ok(cond, ...) tap_ok(!!(cond), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...)                                                                     \
    do {                                                                                           \
        long long tap_got = (long long)(got), tap_want = (long long)(want);                        \
        if (!ok(tap_got == tap_want, __VA_ARGS__))                                                 \
            diag("     got %lld, expected %lld", tap_got, tap_want);                               \
    } while (0)
#define is_str(got, want, ...)                                                                     \
    do {                                                                                           \
        const char *tap_got = (got), *tap_want = (want);                                           \
        if (!ok(tap_same_str(tap_got, tap_want), __VA_ARGS__)) {                                   \
            diag("     got: %s", tap_got ? tap_got : "(null)");                                    \
            diag("expected: %s", tap_want ? tap_want : "(null)");                                  \
        }                                                                                          \
    } while (0)

__attribute__((unused)) static int done_testing(void)
{
    printf("1..%d\n", tap_n);
    if (tap_failed)
        diag("%d of %d failed", tap_failed, tap_n);
    return tap_failed || tap_n == 0;
}
