/* YAML as JSON (contract §2.1): what it means, what is refused and where, and back again. */
#include "codec/codec_yaml.c"
#include "tap.h"

static const struct {
    const char *name, *yaml, *json; /* of all values as an array; NULL: refused */
    const char *problem;            /* a part of its message */
    enum fp_problem_code code;
} cases[] = {
    {"nothing", "", "[]", NULL, 0},
    {"a document", "a: 1\nb: [x, 'y', \"z\"]\n", "[{\"a\":1,\"b\":[\"x\",\"y\",\"z\"]}]", NULL, 0},
    {"documents", "---\na: 1\n---\nb: 2\n...\n---\n", "[{\"a\":1},{\"b\":2}]", NULL, 0},
    {"elements", "- a\n- b: 1\n-\n", "[\"a\",{\"b\":1},null]", NULL, 0},
    {"elements of a member", "resources:\n- a\n- b\n", "[\"a\",\"b\"]", NULL, 0},
    {"elements in several documents", "[1]\n---\nresources: [2]\n---\nc: 3\n", "[1,2,{\"c\":3}]",
     NULL, 0},
    {"JSON is YAML", "{\"resources\": [{\"a\": \"\\u00e4\\n\"}, 1.5e3]}",
     "[{\"a\":\"\xC3\xA4\\n\"},1500.0]", NULL, 0},
    {"a member that is no sequence", "resources: {a: 1}\nb: 2\n",
     "[{\"b\":2,\"resources\":{\"a\":1}}]", NULL, 0},
    {"a member beside the sequence", "resources: [1]\nb: 2\n", NULL, "line 2 column 1",
     FP_P_UNKNOWN_FIELD},
    {"null", "[~, null, Null, NULL, '', nil]", "[null,null,null,null,\"\",\"nil\"]", NULL, 0},
    {"booleans are those of 1.2", "[true, False, TRUE, yes, no, on, off, y]",
     "[true,false,true,\"yes\",\"no\",\"on\",\"off\",\"y\"]", NULL, 0},
    {"integers", "[0, -5, +7, 010, 0o17, 0x1F, 1_000, -0x1]",
     "[0,-5,7,10,15,31,\"1_000\",\"-0x1\"]", NULL, 0},
    {"reals", "[1.5, -.5, 1., 1e2, 1.e-2, e1, 1.2.3, .]",
     "[1.5,-0.5,1.0,100.0,0.01,\"e1\",\"1.2.3\",\".\"]", NULL, 0},
    {"what looks like other things", "[2001-01-01, 12:30:45, <<, =, 127.0.0.1]",
     "[\"2001-01-01\",\"12:30:45\",\"<<\",\"=\",\"127.0.0.1\"]", NULL, 0},
    {"block texts", "a: |\n  x\n  y\nb: >-\n  x\n  y\n", "[{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}]",
     NULL, 0},
    {"keys are texts", "{1: a, true: b, ~: c}", "[{\"1\":\"a\",\"true\":\"b\",\"~\":\"c\"}]", NULL,
     0},
    {"core tags", "[!!str 5, !!int 5, !!float 5, ! 6, !!null '', !!map {}, !!seq []]",
     "[\"5\",5,5,\"6\",null,{},[]]", NULL, 0},
    {"aliases", "a: &x {b: [1]}\nc: *x\nd: [*x, &x 2, *x]\n",
     "[{\"a\":{\"b\":[1]},\"c\":{\"b\":[1]},\"d\":[{\"b\":[1]},2,2]}]", NULL, 0},
    {"aliases over elements", "- &x {a: 1}\n- *x\n", "[{\"a\":1},{\"a\":1}]", NULL, 0},
    {"an alias to a key", "{&k a: 1, b: *k}", "[{\"a\":1,\"b\":\"a\"}]", NULL, 0},
    {"an anchor of another document", "--- &x 1\n---\na: *x\n", NULL, "no complete value",
     FP_P_INVALID_VALUE},
    {"a value in itself", "a: &x [1, *x]\n", NULL, "line 1 column 11", FP_P_INVALID_VALUE},
    {"a value in itself, anchored anew", "[&x 1, &x [*x]]", NULL, "no complete value",
     FP_P_INVALID_VALUE},
    {"a custom tag", "a: !secret b\n", NULL, "line 1 column 4: custom tags", FP_P_UNSUPPORTED},
    {"a custom tag of a mapping", "a: !!set {b}\n", NULL, "custom tags", FP_P_UNSUPPORTED},
    /* What is left unread after an error must not be taken for the rest of other levels. */
    {"a custom tag of a mapping in sequences", "- - !x {}\n", NULL, "line 1 column 5: custom tags",
     FP_P_UNSUPPORTED},
    {"a custom tag below a member", "resources:\n- a: [[[!x {b: [1]}]]]\n", NULL, "custom tags",
     FP_P_UNSUPPORTED},
    {"a custom tag of a key", "!!binary a: b\n", NULL, "custom tags", FP_P_UNSUPPORTED},
    {"a tag that lies", "!!int abc", NULL, "what its tag says", FP_P_INVALID_TYPE},
    {"a duplicate key", "a: 1\nb: 2\na: 3\n", NULL, "line 3 column 1: key is given twice",
     FP_P_DUPLICATE},
    {"a duplicate in a flow", "x: {a: 1, \"a\": 2}", NULL, "given twice", FP_P_DUPLICATE},
    {"a key that is a sequence", "? [a]\n: b\n", NULL, "must be a text", FP_P_INVALID_TYPE},
    {"not a number", "a: .nan\n", NULL, "JSON knows", FP_P_INVALID_VALUE},
    {"infinite", "a: -.inf\n", NULL, "JSON knows", FP_P_INVALID_VALUE},
    {"a real out of range", "a: 1e999\n", NULL, "out of range", FP_P_OUT_OF_RANGE},
    {"an integer beyond int64 is a real", "a: 9223372036854775808\n",
     "[{\"a\":9.223372036854776e+18}]", NULL, 0},
    {"a based one is refused", "a: 0xffffffffffffffffff\n", NULL, "line 1 column 4",
     FP_P_OUT_OF_RANGE},
    {"NUL", "a: \"x\\0\"\n", NULL, "NUL", FP_P_INVALID_FORMAT},
    {"NUL in a key", "\"x\\0\": 1\n", NULL, "NUL", FP_P_INVALID_FORMAT},
    {"not UTF-8", "a: \xFF\n", NULL, "line 1", FP_P_INVALID_FORMAT},
    {"a half surrogate", "a: \"\\uD800\"\n", NULL, "line 1", FP_P_INVALID_FORMAT},
    {"a tab as indentation", "a:\n\tb: 1\n", NULL, "line 2", FP_P_INVALID_FORMAT},
    {"an open flow", "a: [1, 2\n", NULL, "line 2", FP_P_INVALID_FORMAT},
    {"two roots", "a: 1\nb\n", NULL, "line", FP_P_INVALID_FORMAT},
    {"deep", "[[[[[[[[[[1]]]]]]]]]]", NULL, "nested too deep", FP_P_OUT_OF_RANGE},
    {"deep by an alias", "[&a [[[[[1]]]]], [[[[*a]]]]]", NULL, "too deep", FP_P_TOO_MANY},
};

static char *read_all(struct fp_arena *a, struct fp_str text, struct fp_problems *ps, int *rc)
{
    struct fp_yaml *y = fp_yaml_open(a, text, "resources", 9);
    struct fp_buf b = {0};
    json_t *v;
    fp_buf_append_byte(&b, '[');
    while ((*rc = fp_yaml_next(y, a, ps, &v)) > 0) {
        if (b.len > 1)
            fp_buf_append_byte(&b, ',');
        fp_json_write(&b, v, true);
    }
    fp_buf_append_byte(&b, ']');
    char *all = fp_arena_strdup(a, fp_buf_cstr(&b));
    fp_buf_fini(&b);
    if (*rc < 0)
        is_int(fp_yaml_next(y, a, ps, &v), FP_ERR_INVALID, "an error is for good");
    return all;
}

static void test_cases(struct fp_arena *a)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fp_problems *ps = fp_problems_new(a);
        int rc;
        char *all = read_all(a, fp_str_of(cases[i].yaml), ps, &rc);
        if (cases[i].json) {
            is_str(all, cases[i].json, "%s", cases[i].name);
            is_int((long)ps->n, 0, "%s: no problem", cases[i].name);
            continue;
        }
        ok(rc < 0 && ps->n == 1, "%s: refused with one problem", cases[i].name);
        ok(ps->n && strstr(ps->items[0].message, cases[i].problem), "%s: says \"%s\"",
           cases[i].name, cases[i].problem);
        is_int(ps->n ? (long)ps->items[0].code : -1, cases[i].code, "%s: its code", cases[i].name);
        if (ps->n)
            diag("%s", ps->items[0].message);
    }
}

/* Ten levels of nine aliases each would be 3.5e9 nodes. */
static void test_laughs(struct fp_arena *a)
{
    struct fp_buf b = {0};
    int rc;
    fp_buf_append_c(&b, "a0: &a0 x\n");
    for (int i = 1; i < 7; i++) {
        fp_buf_printf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            fp_buf_printf(&b, "%s*a%d", k ? ", " : "", i - 1);
        fp_buf_append_c(&b, "]\n");
    }
    struct fp_problems *ps = fp_problems_new(a);
    read_all(a, fp_buf_str(&b), ps, &rc);
    ok(rc < 0 && ps->items[0].code == FP_P_TOO_MANY, "a billion laughs are refused");
    fp_buf_clear(&b);
    fp_buf_append_c(&b, "a: &a [");
    for (int i = 0; i < 999; i++)
        fp_buf_append_c(&b, "1,");
    fp_buf_append_c(&b, "]\nb:\n");
    for (int i = 0; i < 100; i++)
        fp_buf_append_c(&b, "- *a\n");
    ps = fp_problems_new(a);
    read_all(a, fp_buf_str(&b), ps, &rc);
    is_int(rc, 0, "100,000 expanded nodes are taken");
    fp_buf_append_c(&b, "- *a\n");
    read_all(a, fp_buf_str(&b), ps, &rc);
    ok(rc < 0, "more are not");
    fp_buf_fini(&b);
}

static const struct {
    const char *json, *yaml;
} written[] = {
    {"{}", "{}\n"},
    {"\"a\"", "a\n"},
    {"{\"kind\":\"cluster\",\"a\":{\"b\":[]},\"n\":null,\"t\":true,\"i\":-1,\"r\":0.1}",
     "kind: cluster\na:\n  b: []\n\"n\": null\nt: true\ni: -1\nr: 0.1\n"},
    {"[{\"a\":1,\"b\":[1,[2,3]]},[],[[{\"c\":\"d\"}]]]",
     "- a: 1\n  b:\n    - 1\n    - - 2\n      - 3\n- []\n- - - c: d\n"},
    {"[\"\",\"*\",\"1\",\"-a\",\"yes\",\"Null\",\"a b\",\"a:b\",\"#\",\"/x/y_z.w-1\",\"e1\"]",
     "- \"\"\n- \"*\"\n- \"1\"\n- \"-a\"\n- \"yes\"\n- \"Null\"\n- \"a b\"\n- \"a:b\"\n- \"#\"\n"
     "- /x/y_z.w-1\n- e1\n"},
    {"\"a\\n\\\"\\\\\\u007f\\u0085\\u2028\\ufeff\xC3\xA4\xF0\x9F\x98\x80\"",
     "\"a\\u000A\\\"\\\\\\u007F\\u0085\\u2028\\uFEFF\xC3\xA4\xF0\x9F\x98\x80\"\n"},
    {"{\"@type\":1,\"\":2}", "\"@type\": 1\n\"\": 2\n"},
};

static void test_written(struct fp_arena *a)
{
    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        struct fp_problems *ps = fp_problems_new(a);
        json_t *v = fp_json_parse(a, fp_str_of(written[i].json), 20, ps), *back = NULL;
        struct fp_buf b = {0};
        fp_yaml_write(&b, v);
        is_str(fp_buf_cstr(&b), written[i].yaml, "%s written", written[i].json);
        struct fp_yaml *y = fp_yaml_open(a, fp_buf_str(&b), NULL, 20);
        if (!json_is_array(v))
            ok(fp_yaml_next(y, a, ps, &back) == 1 && json_equal(v, back), "and back");
        fp_buf_fini(&b);
    }
    char key[2000];
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = 0;
    json_t *v =
        fp_json_own(a, json_pack("{s:{s:i},s:[i]}", key, "\xC2\x85 long enough", 1, "b", 2));
    json_t *back = NULL;
    struct fp_buf b = {0};
    fp_yaml_write(&b, v);
    struct fp_yaml *y = fp_yaml_open(a, fp_buf_str(&b), NULL, 20);
    ok(fp_yaml_next(y, a, fp_problems_new(a), &back) == 1 && json_equal(v, back),
       "a long key comes back");
    fp_buf_fini(&b);
}

int main(void)
{
    fp_json_init();
    struct fp_arena *a = fp_arena_new(NULL);
    test_cases(a);
    test_laughs(a);
    test_written(a);
    fp_arena_free(&a);
    return done_testing();
}
