/*
 * Validate rules (PGV, contract §5.8) on the values of a message.  Runs inside the encoder, so that
 * a problem has the pointer into the JSON as sent; API workers, watcher, ctl.
 */
#include <stdlib.h>
#include "core/core_mem.h"
#include "pb/pb_check_int.h"
#include "pb/pb_text_int.h"
#include "pb/pb_wire_int.h"

#define OPERANDS_MAX_BYTES 300 /* of a list in a message; the rest is … */

struct check {
    const struct fp_pb_pool *pool;
    struct fp_pb_enc *e;
    const struct fp_pb_field *field;
    const struct fp_pb_at *at;
};

/* ---- what is wrong, in words ---- */

/* %s is the rule's operand; length rules of bytes say bytes */
static const char *const texts[FP_PB_RULE_N] = {
    [FP_PB_RULE_CONST] = "must be %s",
    [FP_PB_RULE_LT] = "must be less than %s",
    [FP_PB_RULE_LTE] = "must be at most %s",
    [FP_PB_RULE_GT] = "must be more than %s",
    [FP_PB_RULE_GTE] = "must be at least %s",
    [FP_PB_RULE_IN] = "must be one of %s",
    [FP_PB_RULE_NOT_IN] = "must not be one of %s",
    [FP_PB_RULE_LEN] = "must have %s characters",
    [FP_PB_RULE_MIN_LEN] = "must have at least %s characters",
    [FP_PB_RULE_MAX_LEN] = "must have at most %s characters",
    [FP_PB_RULE_LEN_BYTES] = "must have %s bytes",
    [FP_PB_RULE_MIN_BYTES] = "must have at least %s bytes",
    [FP_PB_RULE_MAX_BYTES] = "must have at most %s bytes",
    [FP_PB_RULE_PATTERN] = "must match %s",
    [FP_PB_RULE_PREFIX] = "must begin with %s",
    [FP_PB_RULE_SUFFIX] = "must end with %s",
    [FP_PB_RULE_CONTAINS] = "must contain %s",
    [FP_PB_RULE_NOT_CONTAINS] = "must not contain %s",
    [FP_PB_RULE_EMAIL] = "must be an e-mail address",
    [FP_PB_RULE_HOSTNAME] = "must be a host name",
    [FP_PB_RULE_IP] = "must be an IP address",
    [FP_PB_RULE_IPV4] = "must be an IPv4 address",
    [FP_PB_RULE_IPV6] = "must be an IPv6 address",
    [FP_PB_RULE_URI] = "must be an absolute URI",
    [FP_PB_RULE_URI_REF] = "must be a URI reference",
    [FP_PB_RULE_ADDRESS] = "must be a host name or an IP address",
    [FP_PB_RULE_UUID] = "must be a UUID",
    [FP_PB_RULE_WELL_KNOWN] = "must be %s",
    [FP_PB_RULE_DEFINED_ONLY] = "must be a defined value of %s",
    [FP_PB_RULE_REQUIRED] = "required",
    [FP_PB_RULE_MIN_ITEMS] = "must have at least %s items",
    [FP_PB_RULE_MAX_ITEMS] = "must have at most %s items",
    [FP_PB_RULE_UNIQUE] = "must not be there twice",
};

static double real_of(uint8_t kind, uint64_t bits)
{
    double d;
    float f;
    uint32_t image = (uint32_t)bits;
    if (kind == FP_PB_KIND_DOUBLE) {
        memcpy(&d, &bits, sizeof d);
        return d;
    }
    memcpy(&f, &image, sizeof f);
    return (double)f;
}

static void enum_text(const struct check *c, struct fp_buf *b, int64_t number)
{
    const struct fp_pb_enum *en = &c->pool->enums[c->field->ref];
    for (uint32_t i = 0; i < en->n; i++) {
        const struct fp_pb_enum_value *v = &c->pool->values[en->first + i];
        if (v->number == number) {
            fp_buf_append(b, v->name, v->name_len);
            return;
        }
    }
    fp_buf_printf(b, "%lld", (long long)number);
}

static bool is_value(uint8_t op)
{
    return op <= FP_PB_RULE_NOT_IN;
}

/* A rule's operand as people write it. */
static void operand_text(const struct check *c, struct fp_buf *b, const struct fp_pb_rule *r)
{
    static const char *const headers[] = {"a text without NUL, CR and LF", "a header name",
                                          "a header value"};
    char time[FP_PB_TEXT_BYTES];
    if (r->op == FP_PB_RULE_DEFINED_ONLY)
        fp_buf_append_str(b, c->pool->enums[c->field->ref].full_name);
    else if (r->op == FP_PB_RULE_WELL_KNOWN)
        fp_buf_append_c(b, headers[r->bits < 3 ? r->bits : 0]);
    else if (r->bytes.data)
        fp_buf_append_json(b, r->bytes);
    else if (!is_value(r->op) || r->kind == FP_PB_KIND_UINT32 || r->kind == FP_PB_KIND_UINT64 ||
             r->kind == FP_PB_KIND_FIXED32 || r->kind == FP_PB_KIND_FIXED64)
        fp_buf_printf(b, "%llu", (unsigned long long)r->bits);
    else if (r->kind == FP_PB_KIND_FLOAT || r->kind == FP_PB_KIND_DOUBLE)
        fp_buf_printf(b, "%.9g", real_of(r->kind, r->bits));
    else if (r->kind == FP_PB_KIND_BOOL)
        fp_buf_append_c(b, r->bits ? "true" : "false");
    else if (r->kind == FP_PB_KIND_ENUM)
        enum_text(c, b, (int64_t)r->bits);
    else if (r->kind == FP_PB_KIND_DURATION &&
             fp_pb_duration_format(time, (int64_t)r->bits, r->nanos))
        fp_buf_append_c(b, time);
    else if (r->kind == FP_PB_KIND_TIMESTAMP &&
             fp_pb_timestamp_format(time, (int64_t)r->bits, r->nanos))
        fp_buf_append_c(b, time);
    else
        fp_buf_printf(b, "%lld", (long long)r->bits);
}

/* All of the run's operands of this operation: those of `in` and `not_in`. */
static void operands_text(const struct check *c, struct fp_buf *b, const struct fp_pb_rule *r)
{
    size_t first = b->len;
    uint8_t op = r->op;
    for (; r->op != FP_PB_RULE_END; r++) {
        if (r->op != op)
            continue;
        fp_buf_append_c(b, b->len > first ? ", " : "");
        if (b->len - first > OPERANDS_MAX_BYTES) {
            fp_buf_append_c(b, "…");
            return;
        }
        operand_text(c, b, r);
    }
}

static const char *rule_name(const struct fp_pb_rule *r)
{
    if (r->kind == FP_PB_KIND_MAP && r->op == FP_PB_RULE_MIN_ITEMS)
        return "min_pairs";
    if (r->kind == FP_PB_KIND_MAP && r->op == FP_PB_RULE_MAX_ITEMS)
        return "max_pairs";
    return fp_pb_rule_op_name(r->op);
}

static void broken(const struct check *c, const struct fp_pb_rule *r)
{
    struct fp_buf operand = {0}, text = {0};
    bool least = r->op == FP_PB_RULE_MIN_LEN || r->op == FP_PB_RULE_MIN_BYTES ||
                 r->op == FP_PB_RULE_MIN_ITEMS;
    bool bytes =
        r->kind == FP_PB_KIND_BYTES && r->op >= FP_PB_RULE_LEN && r->op <= FP_PB_RULE_MAX_LEN;
    operands_text(c, &operand, r);
    const char *format = texts[bytes ? r->op + (FP_PB_RULE_LEN_BYTES - FP_PB_RULE_LEN) : r->op];
    const char *hole = strstr(format, "%s");
    if (least && r->bits == 1) {
        fp_buf_append_c(&text, "must not be empty");
    } else if (!hole) {
        fp_buf_append_c(&text, format);
    } else {
        fp_buf_append(&text, format, (size_t)(hole - format));
        fp_buf_append_str(&text, fp_buf_str(&operand));
        fp_buf_append_c(&text, hole + 2);
    }
    fp_pb_enc_problem(c->e, c->at, FP_P_CONSTRAINT, "%s (rule %s.%s)", fp_buf_cstr(&text),
                      fp_pb_rule_kind_name(r->kind), rule_name(r));
    fp_buf_fini(&operand);
    fp_buf_fini(&text);
}

/* ---- values ---- */

/* value against the rule's operand: <0, 0, >0; 2 when it is no number (no limit is broken then) */
static int compare(const struct fp_pb_rule *r, const struct fp_pb_scalar *s)
{
    double a, b;
    switch (r->kind) {
    case FP_PB_KIND_FLOAT:
    case FP_PB_KIND_DOUBLE:
        a = real_of(r->kind, s->bits);
        b = real_of(r->kind, r->bits);
        return a < b ? -1 : a > b ? 1 : a == b ? 0 : 2;
    case FP_PB_KIND_STRING:
    case FP_PB_KIND_BYTES:
    case FP_PB_KIND_ANY:
        return fp_str_eq(s->bytes, r->bytes) ? 0 : 1;
    case FP_PB_KIND_UINT32:
    case FP_PB_KIND_UINT64:
    case FP_PB_KIND_FIXED32:
    case FP_PB_KIND_FIXED64:
    case FP_PB_KIND_BOOL:
        return s->bits < r->bits ? -1 : s->bits > r->bits;
    default:
        if (s->bits != r->bits)
            return (int64_t)s->bits < (int64_t)r->bits ? -1 : 1;
        return s->nanos < r->nanos ? -1 : s->nanos > r->nanos;
    }
}

static bool contains(struct fp_str s, struct fp_str what)
{
    return what.len == 0 || (s.len >= what.len && memmem(s.data, s.len, what.data, what.len));
}

static bool is_defined(const struct check *c, uint64_t bits)
{
    const struct fp_pb_enum *en = &c->pool->enums[c->field->ref];
    for (uint32_t i = 0; i < en->n; i++)
        if (c->pool->values[en->first + i].number == (int64_t)bits)
            return true;
    return false;
}

static size_t length(const struct fp_pb_rule *r, struct fp_str s)
{
    bool code_points = r->kind == FP_PB_KIND_STRING && r->op <= FP_PB_RULE_MAX_LEN;
    return code_points ? fp_pb_check_code_points(s) : s.len;
}

/* Whether one rule holds; `in` and `not_in` are judged by all of their kind. */
static bool holds(const struct check *c, const struct fp_pb_rule *r, const struct fp_pb_scalar *s)
{
    int order;
    switch (r->op) {
    case FP_PB_RULE_CONST:
    case FP_PB_RULE_IN:
        return compare(r, s) == 0;
    case FP_PB_RULE_NOT_IN:
        return compare(r, s) != 0;
    case FP_PB_RULE_LT:
        return (order = compare(r, s)) < 0 || order == 2;
    case FP_PB_RULE_LTE:
        return (order = compare(r, s)) <= 0 || order == 2;
    case FP_PB_RULE_GT:
        return compare(r, s) > 0;
    case FP_PB_RULE_GTE:
        return compare(r, s) >= 0;
    case FP_PB_RULE_LEN:
    case FP_PB_RULE_LEN_BYTES:
        return length(r, s->bytes) == r->bits;
    case FP_PB_RULE_MIN_LEN:
    case FP_PB_RULE_MIN_BYTES:
        return length(r, s->bytes) >= r->bits;
    case FP_PB_RULE_MAX_LEN:
    case FP_PB_RULE_MAX_BYTES:
        return length(r, s->bytes) <= r->bits;
    case FP_PB_RULE_PATTERN:
        return fp_regex_match(r->regex, s->bytes);
    case FP_PB_RULE_PREFIX:
        return fp_str_starts(s->bytes, r->bytes);
    case FP_PB_RULE_SUFFIX:
        return fp_str_ends(s->bytes, r->bytes);
    case FP_PB_RULE_CONTAINS:
        return contains(s->bytes, r->bytes);
    case FP_PB_RULE_NOT_CONTAINS:
        return !contains(s->bytes, r->bytes);
    case FP_PB_RULE_WELL_KNOWN:
        return fp_pb_check_header(r->bits, s->bytes);
    case FP_PB_RULE_DEFINED_ONLY:
        return is_defined(c, s->bits);
    default: /* words on text; rules on lists and messages are not about values */
        return r->op < FP_PB_RULE_EMAIL || r->op > FP_PB_RULE_UUID ||
               fp_pb_check_word(r->op, s->bytes);
    }
}

/* One of two limits that lie the wrong way round is enough. */
static bool other_holds(const struct check *c, const struct fp_pb_rule *run,
                        const struct fp_pb_rule *r, const struct fp_pb_scalar *s)
{
    for (; run->op != FP_PB_RULE_END; run++)
        if (run != r && run->either)
            return holds(c, run, s);
    return false;
}

/* Whether a value keeps the run; e == NULL: without a problem for each rule that it breaks. */
static bool keeps(const struct check *c, const struct fp_pb_rule *run, const struct fp_pb_scalar *s)
{
    const struct fp_pb_rule *in = NULL, *not_in = NULL; /* the first of each: it names all */
    bool is_in = false, is_out = true, all = true;
    if (fp_pb_scalar_is_default(s) && fp_pb_rule_find(run, FP_PB_RULE_IGNORE_EMPTY))
        return true;
    for (const struct fp_pb_rule *r = run; r->op != FP_PB_RULE_END; r++) {
        bool good = holds(c, r, s);
        if (r->op == FP_PB_RULE_IN) {
            in = in ? in : r;
            is_in |= good;
        } else if (r->op == FP_PB_RULE_NOT_IN) {
            not_in = not_in ? not_in : r;
            is_out &= good;
        } else if (!good && !(r->either && other_holds(c, run, r, s))) {
            all = false;
            if (c->e)
                broken(c, r);
        }
    }
    if (c->e && in && !is_in)
        broken(c, in);
    if (c->e && !is_out)
        broken(c, not_in);
    return all && (!in || is_in) && is_out;
}

void fp_pb_check_scalar(struct fp_pb_enc *e, const struct fp_pb_field *f,
                        const struct fp_pb_scalar *s, const struct fp_pb_at *at)
{
    struct check c = {e->pool, e, f, at};
    if (f->rules && !e->unchecked)
        (void)keeps(&c, fp_pb_rules_of(e->pool, f->rules), s);
}

void fp_pb_check_written(struct fp_pb_enc *e, const struct fp_pb_field *f, size_t mark,
                         const struct fp_pb_at *at)
{
    struct check c = {e->pool, e, f, at};
    struct fp_pb_scalar s = {0};
    uint8_t wkt = fp_pb_field_message(e->pool, f)->wkt;
    if (!f->rules || e->unchecked || e->full || wkt == FP_PB_PLAIN)
        return;
    struct fp_pb_wire w = fp_pb_wire_of(fp_str_n(e->buf + e->pos, fp_pb_enc_mark(e) - mark));
    struct fp_pb_item it;
    while (fp_pb_wire_next(&w, &it) > 0) {
        if (it.number == 1) {
            s.bits = it.value;  /* a wrapper's value, seconds */
            s.bytes = it.bytes; /* a wrapper's text, an Any's type */
        } else if (wkt != FP_PB_ANY) {
            s.nanos = (int32_t)it.value;
        }
    }
    (void)keeps(&c, fp_pb_rules_of(e->pool, f->rules), &s);
}

/* ---- lists ---- */

struct item {
    struct fp_str bytes;
    size_t index;
};

static int by_bytes(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int order = fp_str_cmp(x->bytes, y->bytes);
    return order ? order : x->index < y->index ? -1 : x->index > y->index;
}

/* Equal values have equal bytes: the encoder is deterministic. */
static void check_unique(const struct check *c, const struct fp_pb_rule *r, size_t n, size_t mark)
{
    struct fp_pb_enc *e = c->e;
    struct fp_pb_wire w = fp_pb_wire_of(fp_str_n(e->buf + e->pos, fp_pb_enc_mark(e) - mark));
    struct item *items = fp_mem_calloc(n, sizeof *items);
    uint8_t wire = fp_pb_type_wire(c->field->type);
    bool packed = c->field->flags & FP_PB_PACKED;
    for (size_t i = 0; i < n && w.p < w.end; i++) {
        const uint8_t *from = w.p;
        struct fp_pb_item it;
        uint64_t v;
        if (!packed)
            (void)fp_pb_wire_next(&w, &it);
        else if (wire == FP_PB_WIRE_VARINT)
            (void)fp_pb_wire_varint(&w, &v);
        else
            (void)fp_pb_wire_fixed(&w, wire == FP_PB_WIRE_I64 ? 8 : 4, &v);
        items[i] = (struct item){fp_str_n(from, (size_t)(w.p - from)), i};
    }
    qsort(items, n, sizeof *items, by_bytes);
    for (size_t i = n - 1; i > 0; i--) {
        if (!fp_str_eq(items[i].bytes, items[i - 1].bytes))
            continue;
        struct fp_pb_at here = {c->at, FP_STR_NULL, items[i].index};
        struct check twice = {c->pool, e, c->field, &here};
        broken(&twice, r);
    }
    fp_mem_free(items);
}

void fp_pb_check_list(struct fp_pb_enc *e, const struct fp_pb_field *f, size_t n, size_t mark,
                      const struct fp_pb_at *at)
{
    struct check c = {e->pool, e, f, at};
    const struct fp_pb_rule *r = fp_pb_rules_of(e->pool, f->rules);
    if (e->unchecked || (n == 0 && fp_pb_rule_find(r, FP_PB_RULE_IGNORE_EMPTY_LIST)))
        return;
    for (; r->op != FP_PB_RULE_END; r++) {
        if ((r->op == FP_PB_RULE_MIN_ITEMS && n < r->bits) ||
            (r->op == FP_PB_RULE_MAX_ITEMS && n > r->bits))
            broken(&c, r);
        else if (r->op == FP_PB_RULE_UNIQUE && n > 1 && mark != SIZE_MAX && !e->full)
            check_unique(&c, r, n, mark);
    }
}

/* ---- what is not there ---- */

bool fp_pb_check_is_needed(const struct fp_pb_pool *p, const struct fp_pb_field *f)
{
    const struct fp_pb_rule *run = fp_pb_rules_of(p, f->rules), *r;
    struct fp_pb_scalar nothing = {0};
    struct check c = {p, NULL, f, NULL};
    if (f->flags & FP_PB_REPEATED) {
        r = fp_pb_rule_find(run, FP_PB_RULE_MIN_ITEMS);
        return r && r->bits > 0 && !fp_pb_rule_find(run, FP_PB_RULE_IGNORE_EMPTY_LIST);
    }
    if (f->flags & FP_PB_PRESENCE)
        return !f->oneof && fp_pb_rule_find(run, FP_PB_RULE_REQUIRED);
    return !keeps(&c, run, &nothing); /* absent is the default value then */
}

static void check_absent_field(struct fp_pb_enc *e, const struct fp_pb_field *f,
                               const struct fp_pb_at *at)
{
    char buf[FP_PB_NAME_MAX];
    struct fp_pb_at here = {at, fp_pb_field_json_name(f, buf), 0};
    struct check c = {e->pool, e, f, &here};
    struct fp_pb_scalar nothing = {0};
    const struct fp_pb_rule *run = fp_pb_rules_of(e->pool, f->rules);
    if (f->flags & FP_PB_REPEATED)
        fp_pb_check_list(e, f, 0, SIZE_MAX, &here);
    else if (f->flags & FP_PB_PRESENCE)
        broken(&c, fp_pb_rule_find(run, FP_PB_RULE_REQUIRED));
    else
        (void)keeps(&c, run, &nothing);
}

static void check_oneof(struct fp_pb_enc *e, const struct fp_pb_message *m, uint64_t oneof,
                        size_t first, const struct fp_pb_at *at)
{
    struct fp_buf names = {0};
    char buf[FP_PB_NAME_MAX];
    bool several = false;
    for (size_t i = first; i < e->slots_n; i++)
        if (e->slots[i].field->oneof == oneof)
            return;
    for (size_t i = 0; i < m->fields_n && names.len < OPERANDS_MAX_BYTES; i++) {
        if (m->fields[i].oneof != oneof)
            continue;
        several = names.len > 0;
        fp_buf_append_c(&names, several ? ", " : "");
        fp_buf_append_str(&names, fp_pb_field_json_name(&m->fields[i], buf));
    }
    fp_pb_enc_problem(e, at, FP_P_CONSTRAINT, "%s%s must be set (rule oneof.required)",
                      several ? "one of " : "", fp_buf_cstr(&names));
    fp_buf_fini(&names);
}

void fp_pb_check_absent(struct fp_pb_enc *e, const struct fp_pb_message *m, size_t first,
                        const struct fp_pb_at *at)
{
    size_t slot = e->slots_n;
    if (e->unchecked || !m->checked)
        return;
    for (size_t i = m->fields_n; i-- > 0;) {
        const struct fp_pb_field *f = &m->fields[i];
        if (!(f->flags & FP_PB_NEEDED))
            continue;
        while (slot > first && e->slots[slot - 1].field->number > f->number)
            slot--;
        if (!(slot > first && e->slots[slot - 1].field == f))
            check_absent_field(e, f, at);
    }
    for (const struct fp_pb_rule *r = fp_pb_rules_of(e->pool, m->rules); r->op != FP_PB_RULE_END;
         r++)
        if (r->op == FP_PB_RULE_ONEOF)
            check_oneof(e, m, r->bits, first, at);
}
