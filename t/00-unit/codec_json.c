/* codec_json: the strict reader (contract §2.1) and the canonical writer. */
#include "../lib/tap.h"
#include "codec/codec_json.c"

static struct fp_arena *a;

static const char *again(const char *text, bool sorted)
{
    struct fp_buf b = {0};
    struct fp_problems *ps = fp_problems_new(a);
    json_t *v = fp_json_parse(a, fp_str_of(text), 64, ps);
    if (!v)
        return ps->items[0].message;
    fp_json_write(&b, v, sorted);
    const char *out = fp_arena_strdup(a, fp_buf_cstr(&b));
    fp_buf_fini(&b);
    return out;
}

static void reader(void)
{
    static const struct {
        const char *text;
        size_t len; /* 0: strlen */
        enum fp_problem_code code;
        const char *message;
    } rows[] = {
        {"{\"a\":1,\"a\":2}", 0, FP_P_DUPLICATE, "JSON line 1 column 10: key is given twice"},
        {"[1]\n x", 0, FP_P_INVALID_FORMAT, "JSON line 2 column 2: text goes on after its end"},
        {"[1", 0, FP_P_INVALID_FORMAT, "JSON line 1 column 2: text ends too early"},
        {"", 0, FP_P_INVALID_FORMAT, "JSON line 1 column 0: text ends too early"},
        {"\"\xff\"", 0, FP_P_INVALID_FORMAT, "JSON line 1 column 1: text is not UTF-8"},
        {"\"\\u0000\"", 0, FP_P_INVALID_FORMAT, "JSON line 1 column 8: NUL is not allowed"},
        {"{\"\\u0000\":1}", 0, FP_P_INVALID_FORMAT, "JSON line 1 column 9: NUL is not allowed"},
        {"1e999", 0, FP_P_OUT_OF_RANGE, "JSON line 1 column 5: number is out of range"},
        {"NaN", 0, FP_P_INVALID_FORMAT, NULL},
        {"[1,]", 0, FP_P_INVALID_FORMAT, NULL},
        {"[1] // x", 0, FP_P_INVALID_FORMAT, NULL},
        {"/**/[]", 0, FP_P_INVALID_FORMAT, NULL},
        {"\xef\xbb\xbf{}", 0, FP_P_INVALID_FORMAT, NULL},
        {"'a'", 0, FP_P_INVALID_FORMAT, NULL},
        {"01", 0, FP_P_INVALID_FORMAT, NULL},
        {"\"\\ud800\"", 0, FP_P_INVALID_FORMAT, NULL},
        {"\"a\nb\"", 0, FP_P_INVALID_FORMAT, NULL},
        {"\"a\0b\"", 5, FP_P_INVALID_FORMAT, NULL},
        {"[1]\0", 4, FP_P_INVALID_FORMAT, NULL},
        {"]]]]", 0, FP_P_INVALID_FORMAT, NULL},
        {"\"\\", 0, FP_P_INVALID_FORMAT, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fp_problems *ps = fp_problems_new(a);
        size_t len = rows[i].len ? rows[i].len : strlen(rows[i].text);
        char *exact = fp_mem_dup(rows[i].text, len); /* its end is guarded by the sanitizer */
        json_t *v = fp_json_parse(a, fp_str_n(exact, len), 64, ps);
        ok(!v && ps->n == 1 && ps->items[0].code == rows[i].code, "refused: %s", rows[i].text);
        if (ps->n && rows[i].message)
            is_str(ps->items[0].message, rows[i].message, "… and says where");
        ok(ps->n && strcmp(ps->items[0].pointer, "") == 0 &&
               fp_str_is_utf8(fp_str_of(ps->items[0].message)),
           "… with the root pointer");
        fp_mem_free(exact);
    }
    ok(!fp_json_parse(a, FP_STR_NULL, 64, fp_problems_new(a)), "refused: no text at all");
}

static void bounds(void)
{
    enum { DEEP = 10000, MANY = 3 << 20 };
    static char deep[DEEP], many[MANY];
    struct fp_problems *ps = fp_problems_new(a);
    ok(fp_json_parse(a, FP_STR("[[[1]]]"), 3, ps), "§2.1: depth at the limit");
    ok(!fp_json_parse(a, FP_STR("[\n [[[1]]]]"), 3, ps), "§2.1: depth beyond it");
    is_str(ps->items[0].message, "JSON line 2 column 4: nested deeper than 3 levels", "says where");
    ok(fp_json_parse(a, FP_STR("[\"[[[[\\\"[[\",\"]]\"]"), 1, ps),
       "brackets in strings do not count");
    memset(deep, '[', DEEP);
    ok(!fp_json_parse(a, fp_str_n(deep, DEEP), 64, ps), "10,000 nested arrays");
    is_int(ps->items[1].code, FP_P_OUT_OF_RANGE, "… are out of range");
    many[0] = '[';
    for (size_t i = 1; i < MANY - 2; i += 3)
        memcpy(many + i, "{},", 3);
    ok(!fp_json_parse(a, fp_str_n(many, MANY), 64, ps), "a million empty objects");
    is_int(ps->items[2].code, FP_P_TOO_MANY, "… are too many");
}

static void writer(void)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"{\"b\":1,\"a\":{\"d\":[],\"c\":{}}}", "{\"a\":{\"c\":{},\"d\":[]},\"b\":1}"},
        {"[0.1, 1.0, -0.0, 1e300, 1E-7, 0.30000000000000004, 3.141592653589793]",
         "[0.1,1.0,-0.0,1e+300,1e-07,0.30000000000000004,3.141592653589793]"},
        {"[123456789012345680.0, 1e22, 5e-324, 1.7976931348623157e308]",
         "[1.2345678901234568e+17,1e+22,4.94065645841247e-324,1.7976931348623157e+308]"},
        {"[9223372036854775807,-9223372036854775808,true,false,null]",
         "[9223372036854775807,-9223372036854775808,true,false,null]"},
        {"\"\\u00e9\\/\\n\\u001f\\ud83d\\ude00\"", "\"\xc3\xa9/\\n\\u001f\xf0\x9f\x98\x80\""},
        {"[9223372036854775808,-9223372036854775809,{\"12345678901234567890\":"
         "12345678901234567890}]",
         "[9.223372036854776e+18,-9.223372036854776e+18,{\"12345678901234567890\":"
         "1.2345678901234567e+19}]"},
        {"[100000000000000000000,\"100000000000000000000\\\"\",12345678901234567890.5e-3,1e30]",
         "[1e+20,\"100000000000000000000\\\"\",12345678901234568.0,1e+30]"},
        {"{\"a\":1,\"A\":2,\"\":3,\"a-\":4}", "{\"\":3,\"A\":2,\"a\":1,\"a-\":4}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        is_str(again(rows[i].in, true), rows[i].out, "written: %s", rows[i].in);
        is_str(again(rows[i].out, true), rows[i].out, "… and read back the same");
    }
    is_str(again("{\"b\":1,\"a\":2}", false), "{\"b\":1,\"a\":2}", "unsorted keeps the order");
}

int main(void)
{
    fp_json_init();
    a = fp_arena_new(NULL);
    reader();
    bounds();
    writer();
    json_t *v = json_array();
    json_incref(v);
    fp_json_own(a, v);
    ok(fp_json_own(a, NULL) == NULL, "owning nothing");
    is_int(v->refcount, 2, "owned by the arena");
    fp_arena_reset(a);
    is_int(v->refcount, 1, "given back at its reset");
    json_decref(v);
    fp_arena_free(&a);
    return done_testing();
}
