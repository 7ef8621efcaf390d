/* Path templates (contract §5.3.1): each verdict here was given by Envoy 1.40. */
#include "model/model_template.c"
#include "../lib/tap.h"

static const char *const good[] = {
    "/",
    "/a/",
    "/*",
    "/**",
    "/a*",
    "/*a",
    "/**.m",
    "/{a}",
    "/{a}b",
    "/b{a}",
    "/{a=*}",
    "/{a=**}",
    "/{a=*/*}",
    "/{a=b*}",
    "/{a_1}",
    "/a=b",
    "/%41",
    "/{a=b=c}",
    "/a.*",
    "/{a}*",
    "/{a=*/b/**}",
    "/a:b@c",
    "/{a}/{b}/{c}/{d}/{e}",
    "/{a=**}.m3u8",
};
static const char *const bad[] = {
    "",
    "a",
    "//",
    "/a//b",
    "/{a}{b}",
    "/{a}.{b}",
    "/{a=}",
    "/{=a}",
    "/{a=/b}",
    "/{a=b/}",
    "/{a=*b}",
    "/**/*",
    "/{a=**}/{b}",
    "/{a}/{a}",
    "/{1a}",
    "/{_a}",
    "/{abcdefghijklmnopq}",
    "/{a",
    "/a}",
    "/{}",
    "/a?b",
    "/a b",
    "/\xC3\xA9",
    "/{a}/{b}/{c}/{d}/{e}/{f}",
};

int main(void)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_str match = FP_STR("/{a}/{b=**}");
    for (size_t i = 0; i < FP_M_N(good); i++) {
        const char *why = fp_model_template_check(a, fp_str_of(good[i]));
        ok(!why, "%s is a template: %s", good[i], why ? why : "yes");
    }
    for (size_t i = 0; i < FP_M_N(bad); i++)
        ok(fp_model_template_check(a, fp_str_of(bad[i])), "%s is not", bad[i]);

    ok(!fp_model_template_rewrite_check(a, FP_STR("/x/{b}/y{a}{a}"), match), "a rewrite");
    ok(!fp_model_template_rewrite_check(a, FP_STR("/plain"), match), "without variables");
    ok(fp_model_template_rewrite_check(a, FP_STR("{a}"), match), "must start with /");
    ok(fp_model_template_rewrite_check(a, FP_STR("//x"), match), "no empty segment");
    ok(fp_model_template_rewrite_check(a, FP_STR("/{a"), match), "missing }");
    is_str(fp_model_template_rewrite_check(a, FP_STR("/{c}"), match),
           "{c} is not a variable of the match", "an unknown variable is named");
    fp_arena_free(&a);
    return done_testing();
}
