/* core_str: comparison, numbers, UTF-8, hash, edit distance. */
#include "../lib/tap.h"
#include "core/core_str.c"

static void comparison(void)
{
    struct fp_str rest;
    ok(fp_str_cmp(FP_STR("a"), FP_STR("ab")) < 0, "a prefix sorts first");
    ok(fp_str_cmp(FP_STR("\xff"), FP_STR("a")) > 0, "bytes compare unsigned");
    ok(fp_str_cmp(FP_STR_NULL, FP_STR("")) == 0, "absent and empty are equal");
    ok(fp_str_case_eq(FP_STR("Bearer"), FP_STR("bEARER")), "case is ignored");
    ok(!fp_str_case_eq(FP_STR("@"), FP_STR("`")), "only letters have case");
    ok(fp_str_starts(FP_STR("fp_pat_x"), FP_STR("fp_pat_")), "starts");
    ok(!fp_str_starts(FP_STR("fp"), FP_STR("fp_pat_")), "shorter than the prefix");
    ok(fp_str_ends(FP_STR("a/stats"), FP_STR("stats")) && fp_str_ends(FP_STR("a"), FP_STR("")) &&
           !fp_str_ends(FP_STR("s"), FP_STR("ss")),
       "ends");
    ok(fp_str_eq(fp_str_trim(FP_STR(" \t\r\na b\v ")), FP_STR("a b")), "trim");
    is_int(fp_str_trim(FP_STR("  ")).len, 0, "trim of blanks alone");
    struct fp_str head = fp_str_split(FP_STR("a=b=c"), '=', &rest);
    ok(fp_str_eq_c(head, "a") && fp_str_eq_c(rest, "b=c"), "split at the first separator");
    head = fp_str_split(FP_STR("abc"), '=', &rest);
    ok(fp_str_eq_c(head, "abc") && !rest.data, "no separator: rest is absent");
    fp_str_split(FP_STR("abc="), '=', &rest);
    ok(rest.data && rest.len == 0, "separator at the end: rest is empty, not absent");
}

static void numbers(void)
{
    static const struct {
        const char *text;
        bool u_ok, i_ok;
    } rows[] = {
        {"0", true, true},
        {"18446744073709551615", true, false},
        {"18446744073709551616", false, false},
        {"99999999999999999999", false, false},
        {"9223372036854775807", true, true},
        {"9223372036854775808", true, false},
        {"-9223372036854775808", false, true},
        {"-9223372036854775809", false, false},
        {"", false, false},
        {"-", false, false},
        {"+1", false, false},
        {" 1", false, false},
        {"1x", false, false},
        {"0x1", false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t u = 7;
        int64_t v = 7;
        bool u_ok = fp_str_to_u64(fp_str_of(rows[i].text), &u);
        ok(u_ok == rows[i].u_ok && (u_ok || u == 7), "u64 \"%s\"", rows[i].text);
        ok(fp_str_to_i64(fp_str_of(rows[i].text), &v) == rows[i].i_ok, "i64 \"%s\"", rows[i].text);
    }
    int64_t v;
    ok(fp_str_to_i64(FP_STR("-9223372036854775808"), &v) && v == INT64_MIN, "the least i64");
}

static void utf8(void)
{
    static const struct {
        const char *bytes, *what;
        bool good;
    } rows[] = {
        {"plain", "ASCII", true},
        {"\xc3\xa9", "two bytes", true},
        {"\xe2\x82\xac", "three bytes", true},
        {"\xf0\x9f\x98\x80", "four bytes", true},
        {"\xf4\x8f\xbf\xbf", "U+10FFFF", true},
        {"\xf4\x90\x80\x80", "beyond U+10FFFF", false},
        {"\xc0\x80", "overlong NUL", false},
        {"\xe0\x9f\xbf", "overlong, three bytes", false},
        {"\xf0\x8f\xbf\xbf", "overlong, four bytes", false},
        {"\xed\xa0\x80", "surrogate", false},
        {"\x80", "continuation alone", false},
        {"\xe2\x82", "cut short", false},
        {"\xff", "byte FF", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        is_int(fp_str_is_utf8(fp_str_of(rows[i].bytes)), rows[i].good, "UTF-8: %s", rows[i].what);
    ok(fp_str_is_utf8(FP_STR("a\0b")), "NUL is allowed");
}

static void hash(void)
{
    char bytes[32] = {0};
    bool differ = true;
    for (size_t n = 0; n < sizeof(bytes); n++)
        differ &= fp_str_hash(fp_str_n(bytes, n)) != fp_str_hash(fp_str_n(bytes, n + 1));
    ok(differ, "length counts, whatever the bytes");
    ok(fp_str_hash(FP_STR("cluster-1")) == fp_str_hash(FP_STR("cluster-1")), "equal in a process");
    ok(seed[0] | seed[1], "seeded before main");
    /* SipHash-1-3 of 00 01 … 0e under key 00 … 0f, computed with an independent implementation */
    uint64_t saved[2] = {seed[0], seed[1]};
    seed[0] = 0x0706050403020100, seed[1] = 0x0f0e0d0c0b0a0908;
    for (size_t i = 0; i < 15; i++)
        bytes[i] = (char)i;
    ok(fp_str_hash(fp_str_n(bytes, 15)) == UINT64_C(0xd320d86d2a519956), "SipHash-1-3 vector");
    seed[0] = saved[0], seed[1] = saved[1];
}

static void distance(void)
{
    is_int(fp_str_distance(FP_STR("lbPolicyy"), FP_STR("lbPolicy"), 3), 1, "one letter too many");
    is_int(fp_str_distance(FP_STR("prot"), FP_STR("port"), 3), 2, "swapped letters");
    is_int(fp_str_distance(FP_STR("kitten"), FP_STR("sitting"), 3), 3, "at the limit");
    is_int(fp_str_distance(FP_STR("kitten"), FP_STR("sitting"), 2), 3, "beyond it: max + 1");
    is_int(fp_str_distance(FP_STR("a"), FP_STR("abcdefgh"), 3), 4, "lengths too far apart");
    is_int(fp_str_distance(FP_STR(""), FP_STR("abc"), 3), 3, "empty");
    char big[200] = {0};
    is_int(fp_str_distance(fp_str_n(big, 200), fp_str_n(big, 199), 3), 4, "too long to compare");
    is_int(fp_str_distance(fp_str_n(big, 200), fp_str_n(big, 200), 3), 0, "too long but equal");
}

int main(void)
{
    comparison();
    numbers();
    utf8();
    hash();
    distance();
    return done_testing();
}
