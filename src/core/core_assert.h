/* Asserts are on in production: a violated invariant ends the process, and the master respawns it.
 */
#pragma once

_Noreturn void fp_assert_fail(const char *expr, const char *file, int line);
#define FP_ASSERT(e)     ((e) ? (void)0 : fp_assert_fail(#e, __FILE__, __LINE__))
#define FP_UNREACHABLE() fp_assert_fail("unreachable", __FILE__, __LINE__)
