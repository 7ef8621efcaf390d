/* The difference of contract §2.8: what it says leads from one value to the other. */
#include "codec/codec_diff.c"
#include "codec/codec_json.h"
#include "tap.h"

static const struct {
    const char *from, *to, *diff;
} cases[] = {
    {"{\"a\":1}", "{\"a\":1}", "[]"},
    {"{\"a\":1}", "{\"a\":2}", "[{\"from\":1,\"op\":\"replace\",\"path\":\"/a\",\"value\":2}]"},
    {"{}", "{\"a/b~\":1}", "[{\"op\":\"add\",\"path\":\"/a~1b~0\",\"value\":1}]"},
    {"{\"a\":{\"b\":1}}", "{\"a\":{}}", "[{\"from\":1,\"op\":\"remove\",\"path\":\"/a/b\"}]"},
    {"[1,2,3]", "[1]",
     "[{\"from\":3,\"op\":\"remove\",\"path\":\"/2\"},{\"from\":2,\"op\":\"remove\",\"path\":\"/"
     "1\"}]"},
    {"[1]", "[0,5]",
     "[{\"from\":1,\"op\":\"replace\",\"path\":\"/0\",\"value\":0},{\"op\":\"add\",\"path\":\"/"
     "1\",\"value\":5}]"},
    {"{\"a\":[]}", "{\"a\":{}}", "[{\"from\":[],\"op\":\"replace\",\"path\":\"/a\",\"value\":{}}]"},
    {NULL, "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"\",\"value\":{\"a\":1}}]"},
    {"5", NULL, "[{\"from\":5,\"op\":\"remove\",\"path\":\"\"}]"},
    {NULL, NULL, "[]"},
};

int main(void)
{
    fp_json_init();
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_problems *ps = fp_problems_new(a);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fp_buf b = {0};
        json_t *from = cases[i].from ? fp_json_parse(a, fp_str_of(cases[i].from), 9, ps) : NULL;
        json_t *to = cases[i].to ? fp_json_parse(a, fp_str_of(cases[i].to), 9, ps) : NULL;
        json_t *d = fp_json_diff(from, to);
        fp_json_write(&b, d, true);
        is_str(fp_buf_cstr(&b), cases[i].diff, "%s to %s",
               cases[i].from ? cases[i].from : "nothing", cases[i].to ? cases[i].to : "nothing");
        json_decref(d);
        fp_buf_fini(&b);
    }
    fp_arena_free(&a);
    return done_testing();
}
