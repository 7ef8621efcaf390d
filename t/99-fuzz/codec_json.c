/* Any bytes as JSON: refused with one problem, or written in a form that reads back to itself. */
#include <stdint.h>
#include "codec/codec_json.h"
#include "core/core_assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        fp_json_init();
    ready = true;
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_problems *ps = fp_problems_new(a);
    struct fp_buf once = {0}, twice = {0};
    json_t *v = fp_json_parse(a, fp_str_n(data, size), 64, ps);
    FP_ASSERT(ps->n == (v ? 0 : 1));
    if (v) {
        fp_json_write(&once, v, true);
        FP_ASSERT(fp_str_is_utf8(fp_buf_str(&once)));
        v = fp_json_parse(a, fp_buf_str(&once), 64, ps);
        FP_ASSERT(v);
        fp_json_write(&twice, v, true);
        FP_ASSERT(fp_str_eq(fp_buf_str(&once), fp_buf_str(&twice)));
    } else {
        FP_ASSERT(fp_str_is_utf8(fp_str_of(ps->items[0].message)));
    }
    fp_buf_fini(&once);
    fp_buf_fini(&twice);
    fp_arena_free(&a);
    return 0;
}
