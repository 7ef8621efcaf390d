/*
 * Validate rules (PGV, contract §5.8): the options `validate.rules` of fields and
 * `validate.required` of oneofs, as runs of small rules in the pool.  Field and message keep the
 * index of their run; it ends with FP_PB_RULE_END.
 */
#pragma once
#include "codec/codec_regex.h"
#include "core/core_buf.h"
#include "pb/pb_pool_int.h"

/* Number of `validate.rules`, `validate.required` and `validate.disabled` in the options. */
#define FP_PB_VALIDATE 1071
/* `validate.ignored` of messages: no code is made for them, so nothing is checked. */
#define FP_PB_VALIDATE_IGNORED 1072

enum fp_pb_rule_op {
    FP_PB_RULE_END,
    FP_PB_RULE_CONST,
    FP_PB_RULE_LT,
    FP_PB_RULE_LTE,
    FP_PB_RULE_GT,
    FP_PB_RULE_GTE,
    FP_PB_RULE_IN, /* one of several: the value is one of all of them */
    FP_PB_RULE_NOT_IN,
    FP_PB_RULE_IGNORE_EMPTY,
    FP_PB_RULE_LEN, /* of strings in code points, of bytes in bytes */
    FP_PB_RULE_MIN_LEN,
    FP_PB_RULE_MAX_LEN,
    FP_PB_RULE_LEN_BYTES,
    FP_PB_RULE_MIN_BYTES,
    FP_PB_RULE_MAX_BYTES,
    FP_PB_RULE_PATTERN,
    FP_PB_RULE_PREFIX,
    FP_PB_RULE_SUFFIX,
    FP_PB_RULE_CONTAINS,
    FP_PB_RULE_NOT_CONTAINS,
    FP_PB_RULE_EMAIL,
    FP_PB_RULE_HOSTNAME,
    FP_PB_RULE_IP,
    FP_PB_RULE_IPV4,
    FP_PB_RULE_IPV6,
    FP_PB_RULE_URI,
    FP_PB_RULE_URI_REF,
    FP_PB_RULE_ADDRESS,
    FP_PB_RULE_UUID,
    FP_PB_RULE_WELL_KNOWN, /* bits: enum fp_pb_well_known */
    FP_PB_RULE_DEFINED_ONLY,
    FP_PB_RULE_REQUIRED, /* of a message: there is one */
    FP_PB_RULE_SKIP,     /* nothing below is checked; also of a whole message */
    FP_PB_RULE_ONEOF,    /* of a message: a member of oneof `bits` is set */
    FP_PB_RULE_MIN_ITEMS,
    FP_PB_RULE_MAX_ITEMS,
    FP_PB_RULE_UNIQUE,
    FP_PB_RULE_IGNORE_EMPTY_LIST,
    FP_PB_RULE_N,
    FP_PB_RULE_STRICT, /* while loading: a word to WELL_KNOWN */
};

enum fp_pb_well_known { FP_PB_HEADER_LOOSE, FP_PB_HEADER_NAME, FP_PB_HEADER_VALUE };

/* Fields of validate.FieldRules: which kind of value a rule speaks of. */
enum fp_pb_rule_kind {
    FP_PB_KIND_FLOAT = 1,
    FP_PB_KIND_DOUBLE,
    FP_PB_KIND_INT32,
    FP_PB_KIND_INT64,
    FP_PB_KIND_UINT32,
    FP_PB_KIND_UINT64,
    FP_PB_KIND_SINT32,
    FP_PB_KIND_SINT64,
    FP_PB_KIND_FIXED32,
    FP_PB_KIND_FIXED64,
    FP_PB_KIND_SFIXED32,
    FP_PB_KIND_SFIXED64,
    FP_PB_KIND_BOOL,
    FP_PB_KIND_STRING,
    FP_PB_KIND_BYTES,
    FP_PB_KIND_ENUM,
    FP_PB_KIND_MESSAGE,
    FP_PB_KIND_REPEATED,
    FP_PB_KIND_MAP,
    FP_PB_KIND_ANY,
    FP_PB_KIND_DURATION,
    FP_PB_KIND_TIMESTAMP,
    FP_PB_KIND_N
};

struct fp_pb_rule {
    uint8_t op, kind;
    bool either; /* limits the wrong way round (gt 10, lt 5): outside of them, one has to hold */
    int32_t nanos;
    union {
        uint64_t bits; /* numbers as struct fp_pb_scalar has them; seconds; a count */
        const struct fp_regex *regex;
    };
    struct fp_str bytes;
};

/*
 * Appends the run of a field with these validate.FieldRules (bytes) to `rules` (struct fp_pb_rule);
 * for a map that of its keys and of its values, too.  out[0] is of the field, out[1] of keys,
 * out[2] of values; an empty run is 0, another its index + 1.  0 or FP_ERR_INVALID with *why (in
 * a).
 */
int fp_pb_rules_load(struct fp_pb_pool *p, const struct fp_pb_field *f, struct fp_str field_rules,
                     struct fp_buf *rules, uint32_t out[3], struct fp_arena *a, const char **why);
/* A message given in several pieces is their bytes together; `a` keeps them. */
struct fp_str fp_pb_rules_merge(struct fp_arena *a, struct fp_str one, struct fp_str other);
/* What people read: "string.min_len". */
const char *fp_pb_rule_op_name(uint8_t op);
const char *fp_pb_rule_kind_name(uint8_t kind);

static inline const struct fp_pb_rule *fp_pb_rules_of(const struct fp_pb_pool *p, uint16_t run)
{
    static const struct fp_pb_rule none = {.op = FP_PB_RULE_END};
    return run ? &p->rules[run - 1] : &none;
}
static inline const struct fp_pb_rule *fp_pb_rule_find(const struct fp_pb_rule *r, uint8_t op)
{
    for (; r->op != FP_PB_RULE_END; r++)
        if (r->op == op)
            return r;
    return NULL;
}
