/* Validate rules: those Envoy's API does not use (t/20-pb/rules.t has the others), and sets whose
 * rules are broken themselves. */
#include "tap.h"
#include "pb/pb_check_text.c"
#include "codec/codec_json.h"
#include "core/core_buf.h"
#include "pb/pb_wire_int.h"

static struct fp_arena *arena;

/* ---- a descriptor set by hand: message M with field `f` (number 1) ---- */

static struct fp_str tagged(uint32_t number, struct fp_str bytes)
{
    struct fp_buf b = {0};
    for (uint32_t tag = number << 3 | 2; tag; tag >>= 7)
        fp_buf_append_byte(&b, (uint8_t)((tag & 0x7f) | (tag > 0x7f ? 0x80 : 0)));
    fp_buf_append_byte(&b, (uint8_t)bytes.len);
    fp_buf_append_str(&b, bytes);
    struct fp_str s = fp_arena_str(arena, fp_buf_str(&b));
    fp_buf_fini(&b);
    return s;
}

static struct fp_str join(struct fp_str a, struct fp_str b)
{
    return fp_pb_rules_merge(arena, a, b);
}

/* type: FieldDescriptorProto.Type; label 1 optional, 3 repeated; rules: a validate.FieldRules */
static struct fp_pb_pool *pool_with(uint8_t type, uint8_t label, struct fp_str rules, bool pieces,
                                    const char **why)
{
    char scalars[] = {0x18, 1, 0x20, (char)label, 0x28, (char)type};
    struct fp_str options =
        pieces ? join(tagged(FP_PB_VALIDATE, fp_str_n(rules.data, rules.len / 2)),
                      tagged(FP_PB_VALIDATE,
                             fp_str_n(rules.data + rules.len / 2, rules.len - rules.len / 2)))
               : tagged(FP_PB_VALIDATE, rules);
    struct fp_str field =
        join(join(tagged(1, FP_STR("f")), fp_str_n(scalars, sizeof scalars)), tagged(8, options));
    struct fp_str message = join(tagged(1, FP_STR("M")), tagged(2, field));
    struct fp_str file =
        join(join(tagged(1, FP_STR("m.proto")), tagged(4, message)), tagged(12, FP_STR("proto3")));
    struct fp_pb_pool *p = NULL;
    *why = "fine";
    (void)fp_pb_pool_open(&p, tagged(1, file), arena, why);
    return p;
}

/* The problems of M with this JSON, or what is wrong with the rules. */
static const char *judge(uint8_t type, uint8_t label, struct fp_str rules, bool pieces,
                         const char *json)
{
    const char *why;
    struct fp_pb_pool *p = pool_with(type, label, rules, pieces, &why);
    struct fp_problems *ps = fp_problems_new(arena);
    struct fp_buf out = {0}, text = {0};
    if (!p)
        return why;
    fp_pb_from_json(p, fp_pb_pool_message(p, FP_STR("M")),
                    fp_json_parse(arena, fp_str_of(json), 100, ps), "", ps, &out);
    for (size_t i = 0; i < ps->n; i++)
        fp_buf_printf(&text, "%s%s %s", i ? "; " : "", ps->items[i].pointer, ps->items[i].message);
    char *s = fp_arena_strdup(arena, ps->n ? fp_buf_cstr(&text) : "fine");
    fp_buf_fini(&out);
    fp_buf_fini(&text);
    fp_pb_pool_free(&p);
    return s;
}

#define STRING(rules, json) judge(FP_PB_STRING, 1, tagged(14, FP_STR(rules)), false, json)
#define INT32(rules, json)  judge(FP_PB_INT32, 1, tagged(3, FP_STR(rules)), false, json)
#define BYTES_(rules, json) judge(FP_PB_BYTES, 1, tagged(15, FP_STR(rules)), false, json)

static void unused_by_envoy(void)
{
    is_str(STRING("\x0a\x01x", "{\"f\":\"y\"}"), "/f must be \"x\" (rule string.const)", "const");
    is_str(STRING("\x4a\x02"
                  "bc",
                  "{\"f\":\"abd\"}"),
           "/f must contain \"bc\" (rule string.contains)", "contains");
    is_str(STRING("\x4a\x02"
                  "bc",
                  "{\"f\":\"abcd\"}"),
           "fine", "it does");
    is_str(STRING("\xba\x01\x01"
                  "b",
                  "{\"f\":\"abc\"}"),
           "/f must not contain \"b\" (rule string.not_contains)", "not_contains");
    is_str(STRING("\x5a\x01"
                  "a\x5a\x01"
                  "b",
                  "{\"f\":\"b\"}"),
           "/f must not be one of \"a\", \"b\" (rule string.not_in)", "not_in of texts");
    is_str(STRING("\xa0\x01\x02", "{\"f\":\"é\"}"), "fine", "len_bytes");
    is_str(STRING("\x98\x01\x02", "{\"f\":\"é\"}"), "/f must have 2 characters (rule string.len)",
           "len");
    is_str(STRING("\x20\x03", "{\"f\":\"é\"}"),
           "/f must have at least 3 bytes (rule string.min_bytes)", "min_bytes");
    is_str(STRING("\x88\x01\x01", "{\"f\":\"/x\"}"), "/f must be an absolute URI (rule string.uri)",
           "uri");
    is_str(STRING("\x88\x01\x00", "{\"f\":\"/x\"}"), "fine", "uri: false is no rule");
    is_str(BYTES_("\x10\x02", "{\"f\":\"YQ==\"}"),
           "/f must have at least 2 bytes (rule bytes.min_len)", "a length of bytes");
    is_str(INT32("\x10\xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01", "{\"f\":-5}"),
           "/f must be less than -5 (rule int32.lt)", "negative limits");
    is_str(INT32("\x10\x05\x20\x0a", "{\"f\":7}"),
           "/f must be more than 10 (rule int32.gt); /f must be less than 5 (rule int32.lt)",
           "limits the wrong way round: between them");
    is_str(INT32("\x10\x05\x20\x0a", "{\"f\":11}"), "fine", "and outside");
    is_str(INT32("\x32\x02\x01\x02", "{\"f\":3}"), "/f must be one of 1, 2 (rule int32.in)",
           "a packed list");
    is_str(judge(FP_PB_STRING, 1, tagged(14, FP_STR("\x10\x01\x18\x02")), true, "{\"f\":\"abc\"}"),
           "/f must have at most 2 characters (rule string.max_len)", "rules in two pieces");
    is_str(judge(FP_PB_UINT32, 3, tagged(18, FP_STR("\x18\x01")), false, "{\"f\":[1,2,1,2]}"),
           "/f/2 must not be there twice (rule repeated.unique); "
           "/f/3 must not be there twice (rule repeated.unique)",
           "a packed list that is to be unique");
}

static void broken_sets(void)
{
    is_str(STRING("\x32\x01(", "{}"),
           "field f: pattern: missing closing parenthesis at 1 in its validate.rules",
           "a pattern that is none");
    is_str(judge(FP_PB_INT32, 1, tagged(14, FP_STR("\x10\x01")), false, "{}"),
           "field f: rules for another type in its validate.rules",
           "rules of strings for a number");
    is_str(judge(FP_PB_INT32, 1, tagged(18, FP_STR("\x08\x01")), false, "{}"),
           "field f: rules for another type in its validate.rules", "rules of lists for a number");
    is_str(judge(FP_PB_STRING, 1, tagged(14, FP_STR("\x10")), false, "{}"),
           "field f: malformed bytes in its validate.rules", "cut off");
    is_str(judge(FP_PB_STRING, 1, tagged(40, FP_STR("")), false, "{}"),
           "field f: an unknown kind in its validate.rules", "a kind nobody knows");
}

static void words(void)
{
    static const struct {
        uint8_t op;
        const char *good[6], *bad[8];
    } all[] = {
        {FP_PB_RULE_EMAIL, {"a@b", "a.b+c@example.com"}, {"", "@b", "a@", "a b@c", "a@b c", "a"}},
        {FP_PB_RULE_HOSTNAME,
         {"a", "a.b", "1.example.com", "a-b.c."},
         {"", ".", "a..b", "-a", "a-", "a_b"}},
        {FP_PB_RULE_IP, {"1.2.3.4", "::1"}, {"", "1.2.3", "a", "1.2.3.4/8", "[::1]"}},
        {FP_PB_RULE_IPV4, {"1.2.3.4"}, {"::1", "1.2.3.256"}},
        {FP_PB_RULE_IPV6, {"::1", "fe80::1:2"}, {"1.2.3.4", ":::"}},
        {FP_PB_RULE_URI,
         {"http://a/b?c#d", "urn:x", "a+b:"},
         {"", "/a", "a", ":a", "1:a", "http://a b", "a:%zz"}},
        {FP_PB_RULE_URI_REF, {"", "/a", "a", "http://a", "a%20b"}, {"a b", ":a", "%2", "\"", "é"}},
        {FP_PB_RULE_ADDRESS, {"a.b", "::1", "1.2.3.4"}, {"", "a b", ":"}},
        {FP_PB_RULE_UUID,
         {"5d0c0b1e-6a53-4b0e-9a53-0b1f7a4b8f11"},
         {"", "5d0c0b1e6a534b0e9a530b1f7a4b8f11", "5d0c0b1e-6a53-4b0e-9a53-0b1f7a4b8f1g"}},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        for (size_t k = 0; k < 6 && all[i].good[k]; k++)
            ok(fp_pb_check_word(all[i].op, fp_str_of(all[i].good[k])), "%s: \"%s\"",
               fp_pb_rule_op_name(all[i].op), all[i].good[k]);
        for (size_t k = 0; k < 8 && all[i].bad[k]; k++)
            ok(!fp_pb_check_word(all[i].op, fp_str_of(all[i].bad[k])), "%s: not \"%s\"",
               fp_pb_rule_op_name(all[i].op), all[i].bad[k]);
    }
}

int main(void)
{
    fp_json_init();
    arena = fp_arena_new(NULL);
    unused_by_envoy();
    broken_sets();
    words();
    fp_arena_free(&arena);
    return done_testing();
}
