/*
 * Copy tables: canonical members into an Envoy message, and the few message shapes that every kind
 * needs.  Input has been validated.  Runs in API workers and the watcher; never does I/O.
 */
#include <inttypes.h>
#include <stdio.h>
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "model/model_int.h"

json_t *fp_model_sub(json_t *object, const char *key)
{
    json_t *sub = json_object_get(object, key);
    if (!sub) {
        sub = json_object();
        json_object_set_new(object, key, sub);
    }
    return sub;
}

json_t *fp_model_duration_ms(uint64_t ms)
{
    char text[40];
    if (ms % 1000)
        snprintf(text, sizeof(text), "%" PRIu64 ".%03us", ms / 1000, (unsigned)(ms % 1000));
    else
        snprintf(text, sizeof(text), "%" PRIu64 "s", ms / 1000);
    return json_string(text);
}

json_t *fp_model_ads(void)
{
    return json_pack("{s:{}, s:s}", "ads", "resourceApiVersion", "V3");
}

json_t *fp_model_sds(const json_t *name)
{
    return json_pack("{s:O, s:o}", "name", name, "sdsConfig", fp_model_ads());
}

bool fp_model_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

struct fp_str fp_model_str(const json_t *object, const char *key)
{
    return fp_json_str(json_object_get(object, key));
}

/* Canonical fraction (§6.2) → RuntimeFractionalPercent. */
json_t *fp_model_fraction(const json_t *f)
{
    static const char *const names[][2] = {
        {"hundred", "HUNDRED"}, {"ten_thousand", "TEN_THOUSAND"}, {"million", "MILLION"}};
    json_t *out = json_object(), *value = fp_model_sub(out, "defaultValue");
    json_object_set(value, "numerator", json_object_get(f, "numerator"));
    for (size_t i = 0; i < FP_M_N(names); i++)
        if (fp_str_eq_c(fp_model_str(f, "denominator"), names[i][0]))
            json_object_set_new(value, "denominator", json_string(names[i][1]));
    const json_t *key = fp_model_key_find(f, "runtimeKey", NULL);
    if (key)
        json_object_set(out, "runtimeKey", (json_t *)key);
    return out;
}

json_t *fp_model_string_matcher(const json_t *m)
{
    struct fp_str type = fp_model_str(m, "type");
    json_t *value = json_object_get(m, "value"), *out = json_object();
    if (fp_str_eq_c(type, "regex"))
        json_object_set_new(out, "safeRegex", json_pack("{s:O}", "regex", value));
    else
        json_object_setn(out, type.data, type.len, value);
    const json_t *ignore = fp_model_key_find(m, "ignoreCase", NULL);
    if (ignore)
        json_object_set(out, "ignoreCase", (json_t *)ignore);
    return out;
}

static json_t *converted(json_t *v, enum fp_model_how how)
{
    switch (how) {
    case FP_C_SECONDS:
        return fp_model_duration_ms((uint64_t)json_integer_value(v) * 1000);
    case FP_C_MS:
        return fp_model_duration_ms((uint64_t)json_integer_value(v));
    case FP_C_FILENAME:
        return json_pack("{s:O}", "filename", v);
    case FP_C_FRACTION:
        return fp_model_fraction(v);
    case FP_C_SAME:
        break;
    }
    return json_incref(v);
}

void fp_model_copy(json_t *to, const json_t *from, const struct fp_model_copy *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_object_get(from, table[i].from), *target = to;
        if (!v)
            continue;
        const char *key = table[i].to, *dot = strchr(key, '.');
        if (dot) {
            char head[FP_M_NAME_BYTES];
            FP_ASSERT((size_t)(dot - key) < sizeof(head));
            memcpy(head, key, (size_t)(dot - key));
            head[dot - key] = '\0';
            target = fp_model_sub(to, head);
            key = dot + 1;
        }
        json_object_set_new(target, key, converted(v, table[i].how));
    }
}
