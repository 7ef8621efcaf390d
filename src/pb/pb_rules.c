/*
 * validate.FieldRules to runs of rules.  Part of loading a pool, before the fork; the bytes may be
 * an operator's file, so nothing in them is trusted.
 */
#include "core/core_buf.h"
#include "core/core_mem.h"
#include "pb/pb_rules_int.h"
#include "pb/pb_wire_int.h"

#define R(name) FP_PB_RULE_##name

static const char *const op_names[FP_PB_RULE_N] = {
    [R(CONST)] = "const",
    [R(LT)] = "lt",
    [R(LTE)] = "lte",
    [R(GT)] = "gt",
    [R(GTE)] = "gte",
    [R(IN)] = "in",
    [R(NOT_IN)] = "not_in",
    [R(IGNORE_EMPTY)] = "ignore_empty",
    [R(LEN)] = "len",
    [R(MIN_LEN)] = "min_len",
    [R(MAX_LEN)] = "max_len",
    [R(LEN_BYTES)] = "len_bytes",
    [R(MIN_BYTES)] = "min_bytes",
    [R(MAX_BYTES)] = "max_bytes",
    [R(PATTERN)] = "pattern",
    [R(PREFIX)] = "prefix",
    [R(SUFFIX)] = "suffix",
    [R(CONTAINS)] = "contains",
    [R(NOT_CONTAINS)] = "not_contains",
    [R(EMAIL)] = "email",
    [R(HOSTNAME)] = "hostname",
    [R(IP)] = "ip",
    [R(IPV4)] = "ipv4",
    [R(IPV6)] = "ipv6",
    [R(URI)] = "uri",
    [R(URI_REF)] = "uri_ref",
    [R(ADDRESS)] = "address",
    [R(UUID)] = "uuid",
    [R(WELL_KNOWN)] = "well_known_regex",
    [R(DEFINED_ONLY)] = "defined_only",
    [R(REQUIRED)] = "required",
    [R(SKIP)] = "skip",
    [R(ONEOF)] = "required",
    [R(MIN_ITEMS)] = "min_items",
    [R(MAX_ITEMS)] = "max_items",
    [R(UNIQUE)] = "unique",
    [R(IGNORE_EMPTY_LIST)] = "ignore_empty",
};

/* Rules by their number in FloatRules … SFixed64Rules, which are all alike, and so on. */
static const uint8_t number_ops[] = {0,      R(CONST), R(LT),     R(LTE),         R(GT),
                                     R(GTE), R(IN),    R(NOT_IN), R(IGNORE_EMPTY)};
static const uint8_t bool_ops[] = {0, R(CONST)};
static const uint8_t string_ops[] = {0,
                                     R(CONST),
                                     R(MIN_LEN),
                                     R(MAX_LEN),
                                     R(MIN_BYTES),
                                     R(MAX_BYTES),
                                     R(PATTERN),
                                     R(PREFIX),
                                     R(SUFFIX),
                                     R(CONTAINS),
                                     R(IN),
                                     R(NOT_IN),
                                     R(EMAIL),
                                     R(HOSTNAME),
                                     R(IP),
                                     R(IPV4),
                                     R(IPV6),
                                     R(URI),
                                     R(URI_REF),
                                     R(LEN),
                                     R(LEN_BYTES),
                                     R(ADDRESS),
                                     R(UUID),
                                     R(NOT_CONTAINS),
                                     R(WELL_KNOWN),
                                     R(STRICT),
                                     R(IGNORE_EMPTY)};
static const uint8_t bytes_ops[] = {0,         R(CONST),  R(MIN_LEN),  R(MAX_LEN), R(PATTERN),
                                    R(PREFIX), R(SUFFIX), R(CONTAINS), R(IN),      R(NOT_IN),
                                    R(IP),     R(IPV4),   R(IPV6),     R(LEN),     R(IGNORE_EMPTY)};
static const uint8_t enum_ops[] = {0, R(CONST), R(DEFINED_ONLY), R(IN), R(NOT_IN)};
static const uint8_t message_ops[] = {0, R(SKIP), R(REQUIRED)};
static const uint8_t repeated_ops[] = {0, R(MIN_ITEMS),        R(MAX_ITEMS), R(UNIQUE),
                                       0, R(IGNORE_EMPTY_LIST)};
/* no_sparse (3) forbids what no JSON can say: an entry without a message */
static const uint8_t map_ops[] = {0, R(MIN_ITEMS), R(MAX_ITEMS), 0, 0, 0, R(IGNORE_EMPTY_LIST)};
static const uint8_t any_ops[] = {0, R(REQUIRED), R(IN), R(NOT_IN)};
/* A timestamp's lt_now, gt_now and within (7 to 9) ask the clock; the same input would not give the
 * same answer on every instance.  Envoy's API has none. */
static const uint8_t time_ops[] = {0,     R(REQUIRED), R(CONST), R(LT),    R(LTE),
                                   R(GT), R(GTE),      R(IN),    R(NOT_IN)};
#undef R

#define OPS(table) table, sizeof table
static const struct kind {
    const char *name;
    const uint8_t *ops;
    size_t ops_n;
    uint8_t type; /* of the fields it is for; 0: the message `wkt` */
    uint8_t wkt;
} kinds[FP_PB_KIND_N] = {
    [FP_PB_KIND_FLOAT] = {"float", OPS(number_ops), FP_PB_FLOAT},
    [FP_PB_KIND_DOUBLE] = {"double", OPS(number_ops), FP_PB_DOUBLE},
    [FP_PB_KIND_INT32] = {"int32", OPS(number_ops), FP_PB_INT32},
    [FP_PB_KIND_INT64] = {"int64", OPS(number_ops), FP_PB_INT64},
    [FP_PB_KIND_UINT32] = {"uint32", OPS(number_ops), FP_PB_UINT32},
    [FP_PB_KIND_UINT64] = {"uint64", OPS(number_ops), FP_PB_UINT64},
    [FP_PB_KIND_SINT32] = {"sint32", OPS(number_ops), FP_PB_SINT32},
    [FP_PB_KIND_SINT64] = {"sint64", OPS(number_ops), FP_PB_SINT64},
    [FP_PB_KIND_FIXED32] = {"fixed32", OPS(number_ops), FP_PB_FIXED32},
    [FP_PB_KIND_FIXED64] = {"fixed64", OPS(number_ops), FP_PB_FIXED64},
    [FP_PB_KIND_SFIXED32] = {"sfixed32", OPS(number_ops), FP_PB_SFIXED32},
    [FP_PB_KIND_SFIXED64] = {"sfixed64", OPS(number_ops), FP_PB_SFIXED64},
    [FP_PB_KIND_BOOL] = {"bool", OPS(bool_ops), FP_PB_BOOL},
    [FP_PB_KIND_STRING] = {"string", OPS(string_ops), FP_PB_STRING},
    [FP_PB_KIND_BYTES] = {"bytes", OPS(bytes_ops), FP_PB_BYTES},
    [FP_PB_KIND_ENUM] = {"enum", OPS(enum_ops), FP_PB_ENUM},
    [FP_PB_KIND_MESSAGE] = {"message", OPS(message_ops), FP_PB_MESSAGE},
    [FP_PB_KIND_REPEATED] = {"repeated", OPS(repeated_ops)},
    [FP_PB_KIND_MAP] = {"map", OPS(map_ops)},
    [FP_PB_KIND_ANY] = {"any", OPS(any_ops), 0, FP_PB_ANY},
    [FP_PB_KIND_DURATION] = {"duration", OPS(time_ops), 0, FP_PB_DURATION},
    [FP_PB_KIND_TIMESTAMP] = {"timestamp", OPS(time_ops), 0, FP_PB_TIMESTAMP},
};

const char *fp_pb_rule_op_name(uint8_t op)
{
    return op_names[op];
}

const char *fp_pb_rule_kind_name(uint8_t kind)
{
    return kinds[kind].name;
}

struct fp_str fp_pb_rules_merge(struct fp_arena *a, struct fp_str one, struct fp_str other)
{
    if (!one.data)
        return other;
    char *both = fp_arena_alloc(a, one.len + other.len + 1);
    memcpy(both, one.data, one.len);
    memcpy(both + one.len, other.data, other.len);
    return fp_str_n(both, one.len + other.len);
}

struct run {
    struct fp_pb_pool *pool;
    const struct fp_pb_field *field; /* whose name an error tells */
    struct fp_buf *rules;
    struct fp_arena *arena;
    const char *why;
    bool loose; /* string.strict: false */
};

static int refuse(struct run *r, const char *what)
{
    if (!r->why)
        r->why = fp_arena_printf(r->arena, "field %.*s: %s in its validate.rules",
                                 r->field->name_len, r->field->name, what);
    return FP_ERR_INVALID;
}

/* Numbers as the encoder holds them: two's complement of 64 bits, a float's own bits. */
static uint64_t number_of(uint8_t kind, uint64_t v)
{
    switch (kind) {
    case FP_PB_KIND_SINT32:
    case FP_PB_KIND_SINT64:
        return (uint64_t)fp_pb_wire_unzigzag(v);
    case FP_PB_KIND_SFIXED32:
    case FP_PB_KIND_INT32:
    case FP_PB_KIND_ENUM:
        return (uint64_t)(int64_t)(int32_t)v;
    default:
        return v;
    }
}

static int put(struct run *r, const struct fp_pb_rule *rule)
{
    fp_buf_append(r->rules, rule, sizeof *rule);
    return 0;
}

/* seconds and nanos of a Duration or Timestamp */
static int put_time(struct run *r, struct fp_pb_rule rule, struct fp_str message)
{
    struct fp_pb_wire w = fp_pb_wire_of(message);
    struct fp_pb_item it;
    int n;
    while ((n = fp_pb_wire_next(&w, &it)) > 0) {
        if (it.number == 1)
            rule.bits = it.value;
        else if (it.number == 2)
            rule.nanos = (int32_t)it.value;
    }
    return n < 0 ? refuse(r, "a malformed time") : put(r, &rule);
}

static int put_pattern(struct run *r, struct fp_pb_rule rule, struct fp_str pattern)
{
    const char *why = NULL;
    rule.bytes = pattern;
    rule.regex = fp_regex_compile(r->pool->arena, pattern, rule.kind == FP_PB_KIND_STRING, &why);
    return rule.regex ? put(r, &rule) : refuse(r, fp_arena_printf(r->arena, "pattern: %s", why));
}

/* `in` and `not_in` of numbers may be packed. */
static int put_packed(struct run *r, struct fp_pb_rule rule, struct fp_str bytes)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    uint8_t wire = fp_pb_type_wire(kinds[rule.kind].type);
    while (w.p < w.end) {
        uint64_t v;
        if (!(wire == FP_PB_WIRE_VARINT ? fp_pb_wire_varint(&w, &v)
                                        : fp_pb_wire_fixed(&w, wire == FP_PB_WIRE_I64 ? 8 : 4, &v)))
            return refuse(r, "malformed numbers");
        rule.bits = number_of(rule.kind, v);
        put(r, &rule);
    }
    return 0;
}

static int put_rule(struct run *r, uint8_t kind, uint8_t op, const struct fp_pb_item *it)
{
    struct fp_pb_rule rule = {.op = op, .kind = kind};
    bool listed = op == FP_PB_RULE_IN || op == FP_PB_RULE_NOT_IN;
    bool value = listed || op <= FP_PB_RULE_GTE;
    bool number = value && kind <= FP_PB_KIND_BOOL;
    if (op == FP_PB_RULE_STRICT) {
        r->loose = !it->value;
        return 0;
    }
    if (op == FP_PB_RULE_PATTERN)
        return put_pattern(r, rule, it->bytes);
    if (value && (kind == FP_PB_KIND_DURATION || kind == FP_PB_KIND_TIMESTAMP))
        return put_time(r, rule, it->bytes);
    if (it->wire == FP_PB_WIRE_LEN && listed && (number || kind == FP_PB_KIND_ENUM))
        return put_packed(r, rule, it->bytes);
    /* Words that are true or left out. */
    bool word =
        !value && it->wire == FP_PB_WIRE_VARINT &&
        (op == FP_PB_RULE_IGNORE_EMPTY || (op >= FP_PB_RULE_EMAIL && op <= FP_PB_RULE_UUID) ||
         op == FP_PB_RULE_DEFINED_ONLY || op == FP_PB_RULE_REQUIRED || op == FP_PB_RULE_SKIP ||
         op == FP_PB_RULE_UNIQUE || op == FP_PB_RULE_IGNORE_EMPTY_LIST ||
         op == FP_PB_RULE_WELL_KNOWN);
    if (word && !it->value)
        return 0;
    rule.bits = value ? number_of(kind, it->value) : it->value;
    rule.bytes = it->bytes;
    return put(r, &rule);
}

/* The kind that speaks of values of this field, wrappers included. */
static bool fits(const struct fp_pb_pool *p, const struct fp_pb_field *f, uint8_t kind)
{
    const struct fp_pb_message *m = f->type == FP_PB_MESSAGE ? fp_pb_field_message(p, f) : NULL;
    if (kind == FP_PB_KIND_MESSAGE || !m)
        return kinds[kind].type == f->type;
    if (kind == FP_PB_KIND_ANY)
        return true; /* Envoy says any.required of other messages, too, and PGV lets it */
    if (m->wkt == FP_PB_WRAPPER)
        return kinds[kind].type == fp_pb_field_by_number(m, 1)->type;
    return kinds[kind].wkt == m->wkt && m->wkt != FP_PB_PLAIN;
}

static int load_kind(struct run *r, const struct fp_pb_field *f, uint8_t kind, struct fp_str bytes,
                     struct fp_str below[2])
{
    const struct kind *k = &kinds[kind];
    bool list = kind == FP_PB_KIND_REPEATED || kind == FP_PB_KIND_MAP;
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it;
    int n, err = 0;
    if (list ? !(f->flags & (kind == FP_PB_KIND_MAP ? FP_PB_MAP : FP_PB_REPEATED))
             : !fits(r->pool, f, kind))
        return refuse(r, "rules for another type");
    while (!err && (n = fp_pb_wire_next(&w, &it)) != 0) {
        if (n < 0)
            return refuse(r, "malformed bytes");
        if (list && (it.number == 4 || (it.number == 5 && kind == FP_PB_KIND_MAP)))
            below[it.number - 4] =
                fp_pb_rules_merge(r->pool->arena, below[it.number - 4], it.bytes);
        else if (it.number < k->ops_n && k->ops[it.number])
            err = put_rule(r, kind, k->ops[it.number], &it);
    }
    return err;
}

/* FieldRules: one kind, and `message` beside it. */
static int load_rules(struct run *r, const struct fp_pb_field *f, struct fp_str bytes,
                      struct fp_str below[2])
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it;
    int n, err = 0;
    while (!err && (n = fp_pb_wire_next(&w, &it)) != 0) {
        if (n < 0)
            return refuse(r, "malformed bytes");
        if (it.number >= FP_PB_KIND_N)
            return refuse(r, "an unknown kind");
        err = load_kind(r, f, (uint8_t)it.number, it.bytes, below);
    }
    return err;
}

static int compare_limits(const struct fp_pb_rule *low, const struct fp_pb_rule *high)
{
    double a, b;
    float fa, fb;
    uint32_t ia = (uint32_t)low->bits, ib = (uint32_t)high->bits;
    switch (low->kind) {
    case FP_PB_KIND_FLOAT:
        memcpy(&fa, &ia, sizeof fa);
        memcpy(&fb, &ib, sizeof fb);
        return fa < fb ? -1 : fa > fb;
    case FP_PB_KIND_DOUBLE:
        memcpy(&a, &low->bits, sizeof a);
        memcpy(&b, &high->bits, sizeof b);
        return a < b ? -1 : a > b;
    case FP_PB_KIND_UINT32:
    case FP_PB_KIND_UINT64:
    case FP_PB_KIND_FIXED32:
    case FP_PB_KIND_FIXED64:
        return low->bits < high->bits ? -1 : low->bits > high->bits;
    default:
        if (low->bits != high->bits)
            return (int64_t)low->bits < (int64_t)high->bits ? -1 : 1;
        return low->nanos < high->nanos ? -1 : low->nanos > high->nanos;
    }
}

/* The end of the run that began at byte `first`; its index + 1, or 0 when nothing is in it. */
static uint32_t end_run(struct run *r, size_t first)
{
    struct fp_pb_rule *low = NULL, *high = NULL;
    size_t n = (r->rules->len - first) / sizeof *low;
    if (n == 0)
        return 0;
    struct fp_pb_rule *rules = (struct fp_pb_rule *)(r->rules->data + first);
    for (size_t i = 0; i < n; i++) {
        struct fp_pb_rule *x = &rules[i];
        if (x->op == FP_PB_RULE_LT || x->op == FP_PB_RULE_LTE)
            high = x;
        else if (x->op == FP_PB_RULE_GT || x->op == FP_PB_RULE_GTE)
            low = x;
        else if (x->op == FP_PB_RULE_WELL_KNOWN && r->loose)
            x->bits = FP_PB_HEADER_LOOSE;
    }
    if (low && high && low->kind == high->kind && compare_limits(low, high) > 0)
        low->either = high->either = true;
    struct fp_pb_rule end = {.op = FP_PB_RULE_END};
    put(r, &end);
    return (uint32_t)(first / sizeof end) + 1;
}

int fp_pb_rules_load(struct fp_pb_pool *p, const struct fp_pb_field *f, struct fp_str field_rules,
                     struct fp_buf *rules, uint32_t out[3], struct fp_arena *a, const char **why)
{
    struct run r = {.pool = p, .field = f, .rules = rules, .arena = a};
    struct fp_str below[2] = {FP_STR_NULL, FP_STR_NULL}, none[2] = {FP_STR_NULL, FP_STR_NULL};
    size_t first = rules->len;
    bool map = f->flags & FP_PB_MAP;
    out[0] = out[1] = out[2] = 0;
    int err = load_rules(&r, f, field_rules, below);
    if (!err && !map && below[0].data) { /* items: in the same run, their operations differ */
        struct fp_pb_field item = *f;
        item.flags &= (uint8_t)~FP_PB_REPEATED;
        err = load_rules(&r, &item, below[0], none);
    }
    if (!err)
        out[0] = end_run(&r, first);
    for (size_t i = 0; i < 2 && map && !err; i++) {
        r.loose = false;
        first = rules->len;
        if (below[i].data)
            err = load_rules(&r, &fp_pb_field_message(p, f)->fields[i], below[i], none);
        if (!err)
            out[1 + i] = end_run(&r, first);
    }
    if (err)
        *why = r.why;
    return err;
}
