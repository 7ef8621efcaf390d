/* RE2 syntax as Envoy takes it (contract §5.3.1): each verdict here was given by Envoy 1.40. */
#include "model/model_regex.c"
#include "../lib/tap.h"

static const char *const good[] = {
    "a",
    "a*?",
    "a{2}?",
    "a{1000}",
    "a{,3}",
    "a{",
    "a{1,",
    "{",
    "^*",
    "$*",
    "(|a)",
    "()",
    "(?i)",
    "(?i:a)",
    "(?-i)a",
    "(?i-s)a",
    "(?P<n>a)",
    "(?<n>a)",
    "[]a]",
    "[^]a]",
    "[a-]",
    "[-a]",
    "[a-b-c]",
    "[[:alpha:]]",
    "[[:^alpha:]]",
    "[\\]]",
    "\\d\\D\\s\\S\\w\\W",
    "\\b\\B\\A\\z",
    "\\C",
    "\\Qa(b\\E",
    "\\Qa(b",
    "\\12",
    "\\0",
    "\\x41",
    "\\x{41}",
    "\\pL",
    "\\p{^Lu}",
    "\\_\\-",
    "(a{10}){10}",
    "(a{100}){10}",
    "\xC3\xA9",
    "(?)",
    "a??",
    "[\\pL\\d-]",
    "(?imsU)a",
    "|",
    "x{01,2}",
};
static const char *const bad[] = {
    "a**",        "a*+",    "a{2}{3}",      "a{1001}",
    "a{3,2}",     "{1}",    "*a",           "^*+",
    "(*)",        "(?i)*",  "(?z)a",        "(?-)a",
    "(?P<>a)",    "(?P<n",  "(?P=n)",       "(?=a)",
    "(?!a)",      "(?<=a)", "(?<!a)",       "(?>a)",
    "(?#c)",      "(a",     "a)",           "[a",
    "[]",         "[z-a]",  "[[:foo:]]",    "\\Z",
    "\\G",        "\\K",    "\\1",          "\\18",
    "\\8",        "\\777",  "\\x",          "\\x{}",
    "\\x{100}",   "\\p",    "\\pQ",         "\\q",
    "\\",         "\\k<n>", "(a{100}){11}", "((a{10}){10}){11}",
    "\\u0041",    "(?i",    "a|*",          "\\e",
    "(?P<a b>c)",
};

int main(void)
{
    size_t size;
    for (size_t i = 0; i < FP_M_N(good); i++) {
        const char *why = fp_model_regex_check(fp_str_of(good[i]), &size);
        ok(!why, "%s is RE2: %s", good[i], why ? why : "yes");
    }
    for (size_t i = 0; i < FP_M_N(bad); i++)
        ok(fp_model_regex_check(fp_str_of(bad[i]), &size), "%s is not", bad[i]);

    fp_model_regex_check(FP_STR("abc"), &size);
    ok(size >= 3 && size < 20, "a short program: %zu", size);
    fp_model_regex_check(FP_STR("(ab|c){100}"), &size);
    ok(size > 300, "a long program: %zu", size);

    char deep[4001];
    memset(deep, '(', 2000);
    memset(deep + 2000, ')', 2000);
    ok(fp_model_regex_check(fp_str_n(deep, 4000), &size), "nesting is bounded");
    memset(deep, '[', 4000);
    ok(fp_model_regex_check(fp_str_n(deep, 4000), &size), "a class of brackets ends");
    return done_testing();
}
