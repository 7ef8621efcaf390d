/* core_buf: growth, printf, JSON strings, consuming. */
#include "../lib/tap.h"
#include "core/core_buf.c"

static void is_json(struct fp_str in, const char *want, const char *what)
{
    struct fp_buf b = {0};
    fp_buf_append_json(&b, in);
    is_str(fp_buf_cstr(&b), want, "JSON: %s", what);
    fp_buf_fini(&b);
}

int main(void)
{
    struct fp_buf b = {0};
    is_int(fp_buf_str(&b).len, 0, "{0} is an empty buffer");
    ok(fp_buf_str(&b).data, "… and not an absent string");
    fp_buf_append(&b, NULL, 0);
    is_int(b.cap, 0, "nothing is allocated for nothing");
    is_str(fp_buf_cstr(&b), "", "cstr of an empty buffer");
    for (int i = 0; i < 1000; i++)
        fp_buf_printf(&b, "%d,", i);
    is_int(b.len, 10 * 2 + 90 * 3 + 900 * 4, "printf grows as needed");
    ok(strncmp(b.data, "0,1,2,", 6) == 0 && strcmp(fp_buf_cstr(&b) + b.len - 4, "999,") == 0,
       "contents survive growth");
    fp_buf_consume(&b, b.len - 4);
    is_str(fp_buf_cstr(&b), "999,", "consume drops the front");
    fp_buf_consume(&b, 4);
    is_int(b.len, 0, "consume all");
    fp_buf_append_c(&b, "a");
    fp_buf_append_byte(&b, 'b');
    fp_buf_append_str(&b, FP_STR("c"));
    is_str(fp_buf_cstr(&b), "abc", "append in three spellings");
    char exact[200];
    memset(exact, 'x', sizeof(exact));
    exact[199] = '\0';
    fp_buf_clear(&b);
    for (size_t n = 0; n < 199; n++) { /* each length once: the edge is in there */
        struct fp_buf one = {0};
        fp_buf_printf(&one, "%s", exact + n);
        if (one.len != 199 - n)
            ok(0, "printf of %zu bytes", 199 - n);
        fp_buf_fini(&one);
    }
    fp_buf_fini(&b);
    ok(!b.data && !b.cap && !b.len, "fini leaves a valid empty buffer");

    is_json(FP_STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"", "quotes and backslash");
    is_json(FP_STR("\n\r\t\b\f\x01\x7f"), "\"\\n\\r\\t\\b\\f\\u0001\\u007f\"",
            "control characters");
    is_json(FP_STR("a\0b"), "\"a\\u0000b\"", "NUL");
    is_json(FP_STR("\xc3\xa9\xff\xe2\x82"), "\"\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"",
            "each bad byte becomes U+FFFD");
    is_json(FP_STR_NULL, "\"\"", "absent");
    return done_testing();
}
