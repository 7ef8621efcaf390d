/* Any bytes as YAML: refused with one problem, or values that are written and read back equal; JSON
 * in one piece and by elements is the same. */
#include <stdint.h>
#include "codec/codec_elements.h"
#include "codec/codec_json.h"
#include "codec/codec_yaml.h"
#include "core/core_assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void back(struct fp_arena *a, json_t *v)
{
    struct fp_problems *ps = fp_problems_new(a);
    struct fp_buf b = {0};
    json_t *wrapped = fp_json_own(a, json_pack("{s:O}", "v", v)), *again = NULL;
    fp_yaml_write(&b, wrapped);
    struct fp_yaml *y = fp_yaml_open(a, fp_buf_str(&b), NULL, 80);
    FP_ASSERT(fp_yaml_next(y, a, ps, &again) == 1 && json_equal(wrapped, again));
    fp_buf_fini(&b);
}

static void by_elements(struct fp_arena *a, struct fp_str text)
{
    struct fp_problems *ps = fp_problems_new(a);
    struct fp_elements *e = fp_elements_open(a, text, NULL, 63);
    json_t *all = fp_json_own(a, json_array()), *v;
    int rc;
    while ((rc = fp_elements_next(e, a, ps, &v)) > 0)
        json_array_append(all, v);
    json_t *whole = fp_json_parse(a, text, 64, fp_problems_new(a));
    if (json_is_array(whole))
        FP_ASSERT(rc == 0 && json_equal(all, whole));
    if (rc == 0 && !whole) /* an object deeper than 63 is the one difference */
        FP_ASSERT(false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        fp_json_init();
    ready = true;
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_problems *ps = fp_problems_new(a);
    struct fp_yaml *y = fp_yaml_open(a, fp_str_n(data, size), "resources", 64);
    json_t *v;
    int rc;
    while ((rc = fp_yaml_next(y, a, ps, &v)) > 0)
        back(a, v);
    FP_ASSERT(ps->n == (rc < 0 ? 1U : 0U));
    by_elements(a, fp_str_n(data, size));
    fp_arena_free(&a);
    return 0;
}
