/*
 * JSON to protobuf: objects, arrays, maps (contract §5.8).  Runs in API workers, the watcher and
 * ctl.  Equal input gives equal bytes: fields by number, map keys sorted, no clock, no state.
 * Never allocates per field: one byte buffer and one stack of members for the whole message.
 */
#include <stdlib.h>
#include "core/core_mem.h"
#include "pb/pb_check_int.h"
#include "pb/pb_encode_int.h"
#include "pb/pb_wire_int.h"

#define FIRST_BYTES 4096
#define FIRST_SLOTS 128

static void grow(struct fp_pb_enc *e, size_t need)
{
    size_t used = e->cap - e->pos, cap = e->cap;
    while (cap - used < need)
        cap *= 2;
    char *p = fp_mem_alloc(cap);
    memcpy(p + cap - used, e->buf + e->pos, used);
    fp_mem_free(e->buf);
    e->buf = p;
    e->cap = cap;
    e->pos = cap - used;
}

static char *room(struct fp_pb_enc *e, size_t n)
{
    if (e->pos < n)
        grow(e, n);
    return e->buf + (e->pos -= n);
}

void fp_pb_enc_bytes(struct fp_pb_enc *e, const void *p, size_t n)
{
    if (fp_pb_enc_mark(e) + n > FP_PB_MAX_BYTES || e->full) {
        if (!e->full)
            fp_problem_add(e->ps, e->base, FP_P_TOO_LONG, "more than %u bytes when encoded",
                           FP_PB_MAX_BYTES);
        e->full = true; /* heads may still be written: a few bytes a level */
        return;
    }
    if (n)
        memcpy(room(e, n), p, n);
}

void fp_pb_enc_varint(struct fp_pb_enc *e, uint64_t v)
{
    uint8_t tmp[10];
    size_t n = 0;
    for (; v > 0x7f; v >>= 7)
        tmp[n++] = (uint8_t)v | 0x80;
    tmp[n++] = (uint8_t)v;
    fp_pb_enc_bytes(e, tmp, n);
}

void fp_pb_enc_fixed(struct fp_pb_enc *e, uint64_t v, unsigned n)
{
    uint8_t tmp[8];
    for (unsigned i = 0; i < n; i++)
        tmp[i] = (uint8_t)(v >> (8 * i));
    fp_pb_enc_bytes(e, tmp, n);
}

void fp_pb_enc_tag(struct fp_pb_enc *e, uint32_t number, uint8_t wire)
{
    fp_pb_enc_varint(e, (uint64_t)number << 3 | wire);
}

void fp_pb_enc_head(struct fp_pb_enc *e, uint32_t number, size_t mark)
{
    fp_pb_enc_varint(e, fp_pb_enc_mark(e) - mark);
    fp_pb_enc_tag(e, number, FP_PB_WIRE_LEN);
}

const char *fp_pb_enc_pointer(struct fp_pb_enc *e, const struct fp_pb_at *at)
{
    if (!at)
        return e->base;
    if (e->ps->n >= FP_PROBLEMS_MAX)
        return e->base; /* it will not be kept; a hostile body must not fill the arena */
    const char *up = fp_pb_enc_pointer(e, at->up);
    return at->key.data ? fp_pointer_push(e->ps->arena, up, at->key)
                        : fp_pointer_push_index(e->ps->arena, up, at->index);
}

void fp_pb_enc_problem(struct fp_pb_enc *e, const struct fp_pb_at *at, enum fp_problem_code code,
                       const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fp_problem_add(e->ps, fp_pb_enc_pointer(e, at), code, "%s", text);
}

bool fp_pb_enc_depth(struct fp_pb_enc *e, const struct fp_pb_at *at, unsigned depth)
{
    if (depth <= FP_PB_MAX_DEPTH)
        return true;
    fp_pb_enc_problem(e, at, FP_P_OUT_OF_RANGE, "nested deeper than %d messages", FP_PB_MAX_DEPTH);
    return false;
}

struct fp_pb_slot *fp_pb_enc_push(struct fp_pb_enc *e)
{
    if (e->slots_n == e->slots_cap) {
        e->slots_cap = e->slots_cap ? 2 * e->slots_cap : FIRST_SLOTS;
        e->slots = fp_mem_realloc(e->slots, e->slots_cap * sizeof *e->slots);
    }
    struct fp_pb_slot *s = &e->slots[e->slots_n++];
    *s = (struct fp_pb_slot){0};
    return s;
}

static struct fp_pb_at below(const struct fp_pb_at *at, struct fp_str key)
{
    return (struct fp_pb_at){at, key, 0};
}

static void unknown_field(struct fp_pb_enc *e, const struct fp_pb_message *m, struct fp_str key,
                          const struct fp_pb_at *at)
{
    if (e->ps->n >= FP_PROBLEMS_MAX) {
        fp_problem_add(e->ps, e->base, FP_P_UNKNOWN_FIELD, "unknown field");
        return;
    }
    const char **names = fp_arena_alloc(e->ps->arena, (m->fields_n + 1u) * sizeof *names);
    for (size_t i = 0; i < m->fields_n; i++) {
        char buf[FP_PB_NAME_MAX];
        names[i] = fp_arena_str(e->ps->arena, fp_pb_field_json_name(&m->fields[i], buf)).data;
    }
    fp_problem_add_unknown(e->ps, fp_pb_enc_pointer(e, at), key, names, m->fields_n);
}

/* null stands for "absent", but is a value of Value and NullValue. */
static bool is_absent(const struct fp_pb_enc *e, const struct fp_pb_field *f, const json_t *v)
{
    if (!json_is_null(v))
        return false;
    if (f->flags & FP_PB_REPEATED)
        return true;
    if (f->type == FP_PB_MESSAGE)
        return fp_pb_field_message(e->pool, f)->wkt != FP_PB_VALUE;
    return f->type != FP_PB_ENUM || !e->pool->enums[f->ref].null_value;
}

/* Puts the member into the slots from `first` on, which are kept in the order of field numbers. */
static void collect(struct fp_pb_enc *e, size_t first, const struct fp_pb_field *f,
                    struct fp_str key, json_t *v, const struct fp_pb_at *at)
{
    fp_pb_enc_push(e);
    size_t i = e->slots_n - 1;
    while (i > first && e->slots[i - 1].field->number > f->number) {
        e->slots[i] = e->slots[i - 1];
        i--;
    }
    e->slots[i] = (struct fp_pb_slot){.field = f, .key = key, .value = v};
    if (i > first && e->slots[i - 1].field == f) {
        struct fp_pb_at here = below(at, key);
        fp_pb_enc_problem(e, &here, FP_P_DUPLICATE, "the same field as %.*s",
                          FP_STR_ARG(e->slots[i - 1].key));
    }
}

static void check_oneofs(struct fp_pb_enc *e, size_t first, const struct fp_pb_at *at)
{
    for (size_t i = first + 1; i < e->slots_n; i++) {
        if (!e->slots[i].field->oneof)
            continue;
        for (size_t k = first; k < i; k++) {
            if (e->slots[k].field->oneof != e->slots[i].field->oneof ||
                e->slots[k].field == e->slots[i].field)
                continue;
            struct fp_pb_at here = below(at, e->slots[i].key);
            fp_pb_enc_problem(e, &here, FP_P_MUTUALLY_EXCLUSIVE,
                              "only one of %.*s and %.*s may be set", FP_STR_ARG(e->slots[k].key),
                              FP_STR_ARG(e->slots[i].key));
            break;
        }
    }
}

static void encode_value(struct fp_pb_enc *e, const struct fp_pb_field *f, json_t *v,
                         const struct fp_pb_at *at, unsigned depth, bool even_default)
{
    if (f->type == FP_PB_MESSAGE) {
        size_t mark = fp_pb_enc_mark(e), problems = e->ps->total;
        bool skip = f->rules && fp_pb_rule_find(fp_pb_rules_of(e->pool, f->rules), FP_PB_RULE_SKIP);
        e->unchecked += skip;
        fp_pb_enc_message(e, fp_pb_field_message(e->pool, f), v, at, depth + 1);
        e->unchecked -= skip;
        if (e->ps->total == problems) /* else the bytes do not say what was meant */
            fp_pb_check_written(e, f, mark, at);
        fp_pb_enc_head(e, f->number, mark);
        return;
    }
    struct fp_pb_scalar s;
    if (!fp_pb_enc_scalar_parse(e, f, v, at, &s))
        return;
    fp_pb_check_scalar(e, f, &s, at);
    if (!even_default && fp_pb_scalar_is_default(&s))
        return;
    fp_pb_enc_scalar_write(e, f->type, &s);
    fp_pb_enc_tag(e, f->number, fp_pb_type_wire(f->type));
}

static void encode_array(struct fp_pb_enc *e, const struct fp_pb_field *f, json_t *v,
                         const struct fp_pb_at *at, unsigned depth)
{
    if (!json_is_array(v)) {
        fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE, "must be an array");
        return;
    }
    size_t mark = fp_pb_enc_mark(e), problems = e->ps->total;
    for (size_t i = json_array_size(v); i-- > 0;) {
        struct fp_pb_at here = {at, FP_STR_NULL, i};
        struct fp_pb_scalar s;
        if (!(f->flags & FP_PB_PACKED)) {
            encode_value(e, f, json_array_get(v, i), &here, depth, true);
        } else if (fp_pb_enc_scalar_parse(e, f, json_array_get(v, i), &here, &s)) {
            fp_pb_check_scalar(e, f, &s, &here);
            fp_pb_enc_scalar_write(e, f->type, &s);
        }
    }
    fp_pb_check_list(e, f, json_array_size(v), e->ps->total == problems ? mark : SIZE_MAX, at);
    if ((f->flags & FP_PB_PACKED) && json_array_size(v) > 0)
        fp_pb_enc_head(e, f->number, mark);
}

static int by_string_key(const void *a, const void *b)
{
    const struct fp_pb_slot *x = a, *y = b;
    return fp_str_cmp(x->key, y->key);
}

static int by_integer_key(const void *a, const void *b)
{
    const struct fp_pb_slot *x = a, *y = b;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* The entry's key and value are written even when they have their defaults, as all encoders do. */
static void encode_map(struct fp_pb_enc *e, const struct fp_pb_field *f, json_t *v,
                       const struct fp_pb_at *at, unsigned depth)
{
    const struct fp_pb_message *entry = fp_pb_field_message(e->pool, f);
    const struct fp_pb_field *kf = &entry->fields[0], *vf = &entry->fields[1];
    size_t first = e->slots_n;
    const char *key;
    size_t key_len;
    json_t *item;
    struct fp_pb_scalar k;
    if (!json_is_object(v)) {
        fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE, "must be an object");
        return;
    }
    json_object_keylen_foreach(v, key, key_len, item)
    {
        struct fp_pb_at here = below(at, fp_str_n(key, key_len));
        uint64_t order;
        if (!fp_pb_enc_key_parse(e, kf, here.key, &here, &k, &order))
            continue;
        struct fp_pb_slot *s = fp_pb_enc_push(e);
        *s = (struct fp_pb_slot){.key = here.key, .value = item, .order = order};
    }
    bool strings = kf->type == FP_PB_STRING;
    if (e->slots_n - first > 1)
        qsort(e->slots + first, e->slots_n - first, sizeof *e->slots,
              strings ? by_string_key : by_integer_key);
    for (size_t i = e->slots_n; i-- > first;) {
        struct fp_pb_slot s = e->slots[i];
        struct fp_pb_at here = below(at, s.key);
        if (!strings && i > first && e->slots[i - 1].order == s.order)
            fp_pb_enc_problem(e, &here, FP_P_DUPLICATE, "the same key as %.*s",
                              FP_STR_ARG(e->slots[i - 1].key));
        size_t mark = fp_pb_enc_mark(e);
        encode_value(e, vf, s.value, &here, depth, true);
        if (fp_pb_enc_key_parse(e, kf, s.key, &here, &k, &s.order)) {
            fp_pb_check_scalar(e, kf, &k, &here);
            fp_pb_enc_scalar_write(e, kf->type, &k);
            fp_pb_enc_tag(e, 1, fp_pb_type_wire(kf->type));
        }
        fp_pb_enc_head(e, f->number, mark);
    }
    fp_pb_check_list(e, f, json_object_size(v), SIZE_MAX, at);
    e->slots_n = first;
}

void fp_pb_enc_fields(struct fp_pb_enc *e, const struct fp_pb_message *m, json_t *v,
                      const struct fp_pb_at *at, unsigned depth, bool in_any)
{
    size_t first = e->slots_n;
    const char *key;
    size_t key_len;
    json_t *item;
    if (!json_is_object(v)) {
        fp_pb_enc_problem(e, at, FP_P_INVALID_TYPE, "must be an object");
        return;
    }
    bool skip = m->rules && fp_pb_rule_find(fp_pb_rules_of(e->pool, m->rules), FP_PB_RULE_SKIP);
    e->unchecked += skip;
    json_object_keylen_foreach(v, key, key_len, item)
    {
        struct fp_str name = fp_str_n(key, key_len);
        if (in_any && fp_str_eq(name, FP_STR("@type")))
            continue;
        const struct fp_pb_field *f = fp_pb_field_by_name(e->pool, m, name);
        struct fp_pb_at here = below(at, name);
        if (!f)
            unknown_field(e, m, name, &here);
        else if (!is_absent(e, f, item))
            collect(e, first, f, name, item, at);
    }
    check_oneofs(e, first, at);
    for (size_t i = e->slots_n; i-- > first;) {
        struct fp_pb_slot s = e->slots[i]; /* a copy: the stack may move below */
        struct fp_pb_at here = below(at, s.key);
        if (s.field->flags & FP_PB_MAP)
            encode_map(e, s.field, s.value, &here, depth);
        else if (s.field->flags & FP_PB_REPEATED)
            encode_array(e, s.field, s.value, &here, depth);
        else
            encode_value(e, s.field, s.value, &here, depth, s.field->flags & FP_PB_PRESENCE);
    }
    fp_pb_check_absent(e, m, first, at);
    e->unchecked -= skip;
    e->slots_n = first;
}

void fp_pb_enc_message(struct fp_pb_enc *e, const struct fp_pb_message *m, json_t *v,
                       const struct fp_pb_at *at, unsigned depth)
{
    if (!fp_pb_enc_depth(e, at, depth))
        return;
    if (m->wkt == FP_PB_PLAIN)
        fp_pb_enc_fields(e, m, v, at, depth, false);
    else
        fp_pb_enc_well_known(e, m, v, at, depth);
}

static struct fp_pb_enc begin(const struct fp_pb_pool *pool, const char *base,
                              struct fp_problems *ps, fp_pb_note_fn *note, void *note_arg)
{
    return (struct fp_pb_enc){.pool = pool,
                              .ps = ps,
                              .base = base,
                              .note = note,
                              .note_arg = note_arg,
                              .buf = fp_mem_alloc(FIRST_BYTES),
                              .cap = FIRST_BYTES,
                              .pos = FIRST_BYTES};
}

static void end(struct fp_pb_enc *e)
{
    fp_mem_free(e->buf);
    fp_mem_free(e->slots);
    fp_buf_fini(&e->scratch);
}

void fp_pb_enc_dry_run(struct fp_pb_enc *e, const struct fp_pb_message *m, json_t *v,
                       unsigned depth)
{
    struct fp_pb_enc dry = begin(e->pool, "", e->ps, NULL, NULL);
    dry.unchecked = e->unchecked;
    fp_pb_enc_message(&dry, m, v, NULL, depth);
    end(&dry);
}

/* Members were visited from the last to the first; people read from the first to the last. */
static void turn_round(struct fp_problems *ps, size_t first)
{
    for (size_t i = first, k = ps->n; i + 1 < k; i++) {
        struct fp_problem p = ps->items[--k];
        ps->items[k] = ps->items[i];
        ps->items[i] = p;
    }
}

static int encode(const struct fp_pb_pool *pool, const struct fp_pb_message *type, bool element,
                  const json_t *v, const char *base_pointer, struct fp_problems *ps,
                  struct fp_buf *out, fp_pb_note_fn *note, void *note_arg)
{
    size_t before = ps->total, first = ps->n;
    struct fp_pb_enc e = begin(pool, base_pointer, ps, note, note_arg);
    fp_pb_enc_message(&e, type, (json_t *)(uintptr_t)v, NULL, 1);
    if (element) {
        if (fp_pb_enc_mark(&e) > 0) /* an empty value is left out, as all encoders do */
            fp_pb_enc_head(&e, 2, 0);
        size_t mark = fp_pb_enc_mark(&e);
        fp_pb_enc_bytes(&e, type->full_name.data, type->full_name.len);
        fp_pb_enc_bytes(&e, FP_PB_URL_PREFIX, sizeof FP_PB_URL_PREFIX - 1);
        fp_pb_enc_head(&e, 1, mark);
        fp_pb_enc_head(&e, 2, 0); /* DiscoveryResponse.resources */
    }
    bool good = ps->total == before;
    if (good)
        fp_buf_append(out, e.buf + e.pos, e.cap - e.pos);
    turn_round(ps, first);
    end(&e);
    return good ? 0 : FP_ERR_INVALID;
}

int fp_pb_from_json(const struct fp_pb_pool *pool, const struct fp_pb_message *type,
                    const json_t *v, const char *base_pointer, struct fp_problems *ps,
                    struct fp_buf *out)
{
    return encode(pool, type, false, v, base_pointer, ps, out, NULL, NULL);
}

int fp_pb_element_noting(const struct fp_pb_pool *pool, const char *full_name, const json_t *v,
                         const char *base_pointer, struct fp_problems *ps, struct fp_buf *out,
                         fp_pb_note_fn *note, void *note_arg)
{
    const struct fp_pb_message *type = fp_pb_pool_message(pool, fp_str_of(full_name));
    if (!type) {
        fp_problem_add(ps, base_pointer, FP_P_UNSUPPORTED,
                       "message %s is not in the descriptor set (directive xds.descriptor_set)",
                       full_name);
        return FP_ERR_INVALID;
    }
    return encode(pool, type, true, v, base_pointer, ps, out, note, note_arg);
}

int fp_pb_element(const struct fp_pb_pool *pool, const char *full_name, const json_t *v,
                  const char *base_pointer, struct fp_problems *ps, struct fp_buf *out)
{
    return fp_pb_element_noting(pool, full_name, v, base_pointer, ps, out, NULL, NULL);
}
