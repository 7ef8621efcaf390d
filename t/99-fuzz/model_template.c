/* Path templates as in OpenAPI, "/a/{name}/{rest=**}" (contract §5.3.1), and their rewrites. */
#include "../../src/model/model_template.c"
#include <stdint.h>
#include "core/core_assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines: template, rewrite. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fp_str rewrite, text = fp_str_n(data, size < 4096 ? size : 4096);
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_str match = fp_str_split(text, '\n', &rewrite);
    const char *why = fp_model_template_check(a, match);
    FP_ASSERT(!why || *why);
    if (!why) { /* each of its variables may be used, and no other */
        struct template t = {.n = 0};
        FP_ASSERT(match.data[0] == '/' && !parse(&t, match) && t.n <= VARIABLES_MAX);
        for (unsigned i = 0; i < t.n; i++) {
            const char *one = fp_arena_printf(a, "/{%.*s}", FP_STR_ARG(t.names[i]));
            FP_ASSERT(t.names[i].len > 0 && t.names[i].len <= NAME_MAX_LEN);
            FP_ASSERT(!fp_model_template_rewrite_check(a, fp_str_of(one), match));
        }
        FP_ASSERT(fp_model_template_rewrite_check(a, FP_STR("/{no_variable_12345}"), match));
    }
    if (rewrite.data)
        fp_model_template_rewrite_check(a, rewrite, match);
    fp_arena_free(&a);
    return 0;
}
