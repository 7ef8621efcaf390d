/* Elements of a JSON array, one by one: the same values and the same refusals as at once. */
#include "codec/codec_elements.c"
#include "tap.h"

static const struct {
    const char *text, *json; /* NULL: refused */
    const char *problem;
} cases[] = {
    {"[]", "[]", NULL},
    {" [ 1 , \"a,]\\\"\" , {\"b\":[1,{}]} ] ", "[1,\"a,]\\\"\",{\"b\":[1,{}]}]", NULL},
    {"{\"resources\":[1,2]}", "[1,2]", NULL},
    {"{ \"resources\" : [ ] } \n", "[]", NULL},
    {"{\"kind\":\"x\"}", "[{\"kind\":\"x\"}]", NULL},
    {"{\"resources\":{}}", "[{\"resources\":{}}]", NULL},
    {"5", "[5]", NULL},
    {"", NULL, "line"},
    {"[1,]", NULL, "line 1 column 4"},
    {"[,1]", NULL, "column 2"},
    {"[1 2]", NULL, "column 2"},
    {"[1", NULL, "comma or the end"},
    {"[1}", NULL, "comma or the end"},
    {"[\"a]", NULL, "element"},
    {"[\"a\\", NULL, "element"},
    {"[1]x", NULL, "goes on"},
    {"[[1,[2]]\n,{\"a\":1,\"a\":2}]", NULL, "line 2 column 2: in the element that starts here"},
    {"{\"resources\":[1],\"b\":2}", NULL, "beside the array"},
    {"{\"resources\":[1]", NULL, "beside the array"},
    {"[[[[[[[[[[1]]]]]]]]]]", NULL, "nested deeper"},
};

int main(void)
{
    fp_json_init();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fp_arena *a = fp_arena_new(NULL);
        struct fp_problems *ps = fp_problems_new(a);
        struct fp_elements *e = fp_elements_open(a, fp_str_of(cases[i].text), "resources", 8);
        json_t *all = fp_json_own(a, json_array()), *v;
        struct fp_buf b = {0};
        int rc;
        while ((rc = fp_elements_next(e, a, ps, &v)) > 0)
            json_array_append(all, v);
        fp_json_write(&b, all, true);
        if (cases[i].json)
            is_str(rc == 0 ? fp_buf_cstr(&b) : "refused", cases[i].json, "%s", cases[i].text);
        else
            ok(rc < 0 && ps->n == 1 && strstr(ps->items[0].message, cases[i].problem),
               "'%s' is refused: %s", cases[i].text, ps->n ? ps->items[0].message : "not at all");
        is_int(fp_elements_next(e, a, ps, &v), rc, "and so it stays");
        fp_buf_fini(&b);
        fp_arena_free(&a);
    }
    return done_testing();
}
