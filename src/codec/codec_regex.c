/*
 * Regular expressions by PCRE2's interpreter, with limits.  The compiled form lives in an arena, so
 * that processes forked later share it.  All processes; pure.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "codec/codec_regex.h"
#include "core/core_assert.h"

#define PATTERN_BYTES_MAX 4096
#define MATCH_LIMIT       200000
#define DEPTH_LIMIT       1000

static void *arena_alloc(size_t n, void *arena)
{
    return fp_arena_alloc(arena, n);
}

static void arena_free(void *p, void *arena)
{
}

/* Freed as a whole with the arena: PCRE2's own free functions are never needed. */
static pcre2_compile_context *context(struct fp_arena *a)
{
    pcre2_general_context *general = pcre2_general_context_create(arena_alloc, arena_free, a);
    pcre2_compile_context *c = pcre2_compile_context_create(general);
    pcre2_set_max_pattern_length(c, PATTERN_BYTES_MAX);
    return c;
}

const struct fp_regex *fp_regex_compile(struct fp_arena *a, struct fp_str pattern, bool utf8,
                                        const char **why)
{
    /* RE2's $ is the end of the text only; its patterns call no code and refer to nothing. */
    uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE |
                       (utf8 ? PCRE2_UTF : 0);
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)(pattern.data ? pattern.data : ""), pattern.len,
                                   options, &code, &at, context(a));
    if (!re) {
        PCRE2_UCHAR text[128];
        pcre2_get_error_message(code, text, sizeof text);
        *why = fp_arena_printf(a, "%s at %zu", (const char *)text, (size_t)at);
    }
    return (const struct fp_regex *)re;
}

bool fp_regex_match(const struct fp_regex *re, struct fp_str text)
{
    const pcre2_code *code = (const pcre2_code *)re;
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    FP_ASSERT(data && limits);
    pcre2_set_match_limit(limits, MATCH_LIMIT);
    pcre2_set_depth_limit(limits, DEPTH_LIMIT);
    int n = pcre2_match(code, (PCRE2_SPTR)(text.data ? text.data : ""), text.len, 0,
                        PCRE2_ANCHORED | PCRE2_ENDANCHORED, data, limits);
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    return n >= 0;
}
