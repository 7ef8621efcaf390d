/* Binary cells and arrays: also those a server would never send; what an SQLSTATE means. */
#include "store/store_value.c"
#include "tap.h"

static struct fp_str bytes(const char *p, size_t n)
{
    return fp_str_n(p, n);
}

#define HEAD(dimensions, n) "\0\0\0" dimensions "\0\0\0\0\0\0\0\x19\0\0\0" n "\0\0\0\1"

static int count(struct fp_str cell)
{
    struct store_array a = store_array_open(cell);
    struct fp_str s;
    int n = 0;
    while (store_array_next(&a, &s))
        n++;
    return n;
}

static void arrays(void)
{
    static const char two[] = HEAD("\1", "\2") "\0\0\0\1a\0\0\0\2bc";
    static const char with_null[] = HEAD("\1", "\2") "\xff\xff\xff\xff\0\0\0\1z";
    static const char too_long[] = HEAD("\1", "\2") "\0\0\0\1a\x7f\xff\xff\xff";
    static const char negative[] = HEAD("\1", "\2") "\x80\0\0\0";
    static const char flat[] = HEAD("\2", "\2") "\0\0\0\1a\0\0\0\1b";
    struct store_array a = store_array_open(bytes(two, sizeof(two) - 1));
    struct fp_str s = FP_STR_NULL;
    ok(store_array_next(&a, &s) && fp_str_eq_c(s, "a"), "first element");
    ok(store_array_next(&a, &s) && fp_str_eq_c(s, "bc"), "second element");
    ok(!store_array_next(&a, &s), "the end");
    for (size_t n = 0; n < sizeof(two) - 1; n++)
        if (count(bytes(two, n)) > 1)
            ok(false, "cut at %zu gives both elements", n);
    is_int(count(bytes(with_null, sizeof(with_null) - 1)), 1, "null elements are passed over");
    is_int(count(bytes(too_long, sizeof(too_long) - 1)), 1, "a length beyond the end ends it");
    is_int(count(bytes(negative, sizeof(negative) - 1)), 0, "a length below -1 is like null");
    is_int(count(bytes(flat, sizeof(flat) - 1)), 0, "two dimensions are not read");
    is_int(count(FP_STR_NULL), 0, "a null array");
}

static void verdicts(void)
{
    static const struct {
        const char *state;
        enum store_verdict want;
    } cases[] = {
        {"40001", STORE_RETRY},  {"40P01", STORE_RETRY},  {"25006", STORE_READ_ONLY},
        {"57P01", STORE_AWAY},   {"57P03", STORE_AWAY},   {"08006", STORE_AWAY},
        {"53300", STORE_AWAY},   {"55P03", STORE_AWAY},   {"57014", STORE_AWAY},
        {"42P01", STORE_AWAY},   {"23505", STORE_REFUSE}, {"22P02", STORE_REFUSE},
        {"42501", STORE_REFUSE}, {"XX000", STORE_REFUSE}, {"", STORE_REFUSE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        is_int(store_verdict(cases[i].state), cases[i].want, "SQLSTATE '%s'", cases[i].state);
}

static void parameters(void)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct store_params p = {.n = 0};
    store_param_text(&p, fp_str_n("a\0b", 3));
    store_param_text(&p, FP_STR_NULL);
    store_param_json(&p, a, FP_STR("{}"));
    store_param_i64(&p, a, INT64_MIN);
    ok(p.lengths[0] == 3 && p.formats[0] == 1, "text goes with its length: a NUL does not cut it");
    ok(p.values[1] == NULL, "null");
    is_str(p.values[2], "{}", "JSON as text");
    is_str(p.values[3], "-9223372036854775808", "numbers as text");
    is_int(p.n, 4, "four of them");
    fp_arena_free(&a);
}

int main(void)
{
    arrays();
    verdicts();
    parameters();
    return done_testing();
}
