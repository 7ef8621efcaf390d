/* Schemas that several kinds share: fractions and string matchers of contract §6.2. */
#include "codec/codec_json.h"
#include "model/model_int.h"

const char *const fp_model_denominators[] = {"hundred", "ten_thousand", "million", NULL};
static const struct fp_model_field fraction_fields[] = {
    {.name = "numerator", FP_M_UINT, FP_M_REQUIRED},
    {.name = "denominator", FP_M_ENUM, .values = fp_model_denominators},
    {.name = "runtimeKey", FP_M_STRING, .min = 1},
};
const struct fp_model_schema fp_model_fraction_schema = FP_M_SCHEMA(fraction_fields, NULL);

static void check_matcher(struct fp_model_reader *r, const struct fp_model_object *o)
{
    struct fp_str type = fp_json_str(fp_model_object_get(r, o, "type"));
    struct fp_str value = fp_json_str(fp_model_object_get(r, o, "value"));
    const char *at = fp_model_object_at(r, o, "value");
    bool regex = fp_str_eq_c(type, "regex");
    if (regex && fp_model_object_has(o, "ignoreCase"))
        fp_problem_add(r->ps, fp_model_object_at(r, o, "ignoreCase"), FP_P_MUTUALLY_EXCLUSIVE,
                       "cannot stand beside a regex");
    if (!value.data || !type.data)
        return;
    if (regex)
        fp_model_text_regex(r, at, value);
    else if (value.len == 0 && !fp_str_eq_c(type, "exact"))
        fp_problem_add(r->ps, at, FP_P_TOO_SHORT, "must not be empty");
}
static const char *const matcher_types[] = {"exact", "prefix", "suffix", "contains", "regex", NULL};
static const struct fp_model_field matcher_fields[] = {
    {.name = "type", FP_M_ENUM, FP_M_REQUIRED, .values = matcher_types},
    {.name = "value", FP_M_STRING, FP_M_REQUIRED},
    {.name = "ignoreCase", FP_M_BOOL},
};
const struct fp_model_schema fp_model_string_matcher_schema =
    FP_M_SCHEMA(matcher_fields, check_matcher);
