/*
 * From a serialized FileDescriptorSet to the pool's tables.  Walks the bytes itself: protobuf-c's
 * structs for descriptor.proto would take some forty times the memory of the tables, for 600 files.
 * The set may be an operator's file, so nothing in it is trusted.
 */
#include <stdlib.h>
#include "core/core_buf.h"
#include "core/core_mem.h"
#include "pb/pb_load_int.h"
#include "pb/pb_check_int.h"
#include "pb/pb_rules_int.h"
#include "pb/pb_wire_int.h"

#define MAX_NESTING 16
#define MAX_TYPES   (1u << 16)
#define MAX_FIELDS  (1u << 20)
#define MAX_RULES   (UINT16_MAX - 1u)

struct load {
    struct fp_pb_pool *pool;
    struct fp_arena *why_arena;
    const char *why;
    struct fp_buf messages, fields, enums, values, files;
    struct fp_buf beside;    /* struct beside per field */
    struct fp_buf rules;     /* struct fp_pb_rule */
    struct fp_pb_file *file; /* being read */
    uint16_t file_index;
    bool proto3, proto2; /* neither: an edition */
};

/* What a field's descriptor says that can be understood only when all types are known. */
struct beside {
    struct fp_str type_name, rules; /* rules: a validate.FieldRules */
};

static const struct {
    const char *name;
    uint8_t wkt;
} well_known[] = {
    {"google.protobuf.Any", FP_PB_ANY},
    {"google.protobuf.Struct", FP_PB_STRUCT},
    {"google.protobuf.Value", FP_PB_VALUE},
    {"google.protobuf.ListValue", FP_PB_LIST_VALUE},
    {"google.protobuf.Duration", FP_PB_DURATION},
    {"google.protobuf.Timestamp", FP_PB_TIMESTAMP},
    {"google.protobuf.FieldMask", FP_PB_FIELD_MASK},
    {"google.protobuf.DoubleValue", FP_PB_WRAPPER},
    {"google.protobuf.FloatValue", FP_PB_WRAPPER},
    {"google.protobuf.Int64Value", FP_PB_WRAPPER},
    {"google.protobuf.UInt64Value", FP_PB_WRAPPER},
    {"google.protobuf.Int32Value", FP_PB_WRAPPER},
    {"google.protobuf.UInt32Value", FP_PB_WRAPPER},
    {"google.protobuf.BoolValue", FP_PB_WRAPPER},
    {"google.protobuf.StringValue", FP_PB_WRAPPER},
    {"google.protobuf.BytesValue", FP_PB_WRAPPER},
};

static int fail(struct load *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct load *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!l->why)
        l->why = fp_arena_vprintf(l->why_arena, fmt, ap);
    va_end(ap);
    return FP_ERR_INVALID;
}

static int malformed(struct load *l)
{
    return fail(l, "%.*s: not a valid descriptor", l->file ? (int)l->file->name.len : 3,
                l->file && l->file->name.data ? l->file->name.data : "set");
}

static bool usable(struct fp_str name)
{
    return name.len > 0 && name.len <= FP_PB_NAME_MAX && !memchr(name.data, 0, name.len);
}

static struct fp_str join(struct load *l, struct fp_str scope, struct fp_str name)
{
    char *s = fp_arena_alloc(l->pool->arena, scope.len + 1 + name.len);
    size_t n = 0;
    if (scope.len > 0) {
        memcpy(s, scope.data, scope.len);
        n = scope.len;
        s[n++] = '.';
    }
    memcpy(s + n, name.data, name.len);
    return fp_str_n(s, n + name.len);
}

/* *it of field `number`, the last one wins; false when malformed */
static bool find(struct fp_str message, uint32_t number, struct fp_pb_item *out)
{
    struct fp_pb_wire w = fp_pb_wire_of(message);
    struct fp_pb_item it;
    int r;
    *out = (struct fp_pb_item){0};
    while ((r = fp_pb_wire_next(&w, &it)) > 0)
        if (it.number == number)
            *out = it;
    return r == 0;
}

static int load_enum(struct load *l, struct fp_str scope, struct fp_str bytes)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it, name, number;
    struct fp_pb_enum e = {.file = l->file_index, .closed = l->proto2};
    e.first = (uint32_t)(l->values.len / sizeof(struct fp_pb_enum_value));
    if (!find(bytes, 1, &name) || !usable(name.bytes))
        return malformed(l);
    e.full_name = join(l, scope, name.bytes);
    e.null_value = fp_str_eq_c(e.full_name, "google.protobuf.NullValue");
    while (fp_pb_wire_next(&w, &it) > 0) {
        if (it.number != 2)
            continue;
        if (!find(it.bytes, 1, &name) || !usable(name.bytes) || !find(it.bytes, 2, &number))
            return malformed(l);
        struct fp_pb_enum_value v = {name.bytes.data, (int32_t)number.value,
                                     (uint8_t)name.bytes.len};
        fp_buf_append(&l->values, &v, sizeof v);
        e.n++;
    }
    if (l->enums.len / sizeof e >= MAX_TYPES || l->values.len / 16 >= MAX_FIELDS)
        return fail(l, "too many types");
    fp_buf_append(&l->enums, &e, sizeof e);
    return 0;
}

/* The validate.rules of FieldOptions, which a compiler may have written in pieces. */
static bool find_rules(struct load *l, struct fp_str options, struct fp_str *rules)
{
    struct fp_pb_wire w = fp_pb_wire_of(options);
    struct fp_pb_item it;
    int r;
    while ((r = fp_pb_wire_next(&w, &it)) > 0)
        if (it.number == FP_PB_VALIDATE && it.wire == FP_PB_WIRE_LEN)
            *rules = fp_pb_rules_merge(l->pool->arena, *rules, it.bytes);
    return r == 0;
}

static int load_field(struct load *l, struct fp_str bytes)
{
    struct fp_pb_field f = {0};
    struct fp_str type_name = FP_STR_NULL, json = FP_STR_NULL;
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it, packed = {0};
    struct fp_str rules = FP_STR_NULL;
    bool optional3 = false, required = false;
    int r;
    while ((r = fp_pb_wire_next(&w, &it)) > 0) {
        switch (it.number) {
        case 1:
            if (!usable(it.bytes))
                return malformed(l);
            f.name = it.bytes.data;
            f.name_len = (uint8_t)it.bytes.len;
            break;
        case 3:
            f.number = it.value <= FP_PB_MAX_FIELD_NUMBER ? (uint32_t)it.value : 0;
            break;
        case 4:
            f.flags |= it.value == 3 ? FP_PB_REPEATED : 0;
            required = it.value == 2;
            break;
        case 5:
            f.type = it.value < FP_PB_TYPE_N ? (uint8_t)it.value : 0;
            break;
        case 6:
            type_name = it.bytes;
            break;
        case 8:
            if (!find(it.bytes, 2, &packed) || !find_rules(l, it.bytes, &rules))
                return malformed(l);
            break;
        case 9:
            f.oneof = it.value < 65535 ? (uint16_t)(it.value + 1) : 0;
            break;
        case 10:
            json = it.bytes;
            break;
        case 17:
            optional3 = it.value != 0;
            break;
        }
    }
    bool refers = f.type == FP_PB_MESSAGE || f.type == FP_PB_ENUM;
    if (r < 0 || !f.name || !f.number || !f.type || (refers && type_name.len < 2))
        return malformed(l);
    if (f.type == FP_PB_GROUP)
        return 0; /* proto2 only, and not in JSON either */
    /* An edition's defaults are presence for every field and packed numbers. */
    if (!(f.flags & FP_PB_REPEATED) &&
        (f.oneof || optional3 || required || !l->proto3 || f.type == FP_PB_MESSAGE))
        f.flags |= FP_PB_PRESENCE;
    if ((f.flags & FP_PB_REPEATED) && fp_pb_type_is_packable(f.type) &&
        (packed.number ? packed.value != 0 : !l->proto2))
        f.flags |= FP_PB_PACKED;
    char buf[FP_PB_NAME_MAX];
    if (json.data && usable(json) && !fp_str_eq(fp_pb_field_json_name(&f, buf), json)) {
        f.json = json.data;
        f.json_len = (uint8_t)json.len;
    }
    if (l->fields.len / sizeof f >= MAX_FIELDS)
        return fail(l, "too many fields");
    fp_buf_append(&l->fields, &f, sizeof f);
    struct beside beside = {type_name, rules};
    fp_buf_append(&l->beside, &beside, sizeof beside);
    return 0;
}

static uint8_t well_known_of(struct fp_str full_name)
{
    for (size_t i = 0; i < sizeof well_known / sizeof *well_known; i++)
        if (fp_str_eq_c(full_name, well_known[i].name))
            return well_known[i].wkt;
    return FP_PB_PLAIN;
}

static int put_rule(struct load *l, struct fp_pb_rule rule)
{
    if (l->rules.len / sizeof rule >= MAX_RULES)
        return fail(l, "too many validate rules");
    fp_buf_append(&l->rules, &rule, sizeof rule);
    return 0;
}

/* The rules of the message itself: oneofs one of whose members must be set, or no checks at all. */
static int load_message_rules(struct load *l, struct fp_pb_message *m, struct fp_str bytes)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it, options, required = {0}, disabled, ignored;
    size_t first = l->rules.len;
    uint64_t oneof = 0;
    int err = 0;
    while (!err && fp_pb_wire_next(&w, &it) > 0) {
        if (it.number == 8) {
            oneof++;
            if (!find(it.bytes, 2, &options) || !find(options.bytes, FP_PB_VALIDATE, &required))
                return malformed(l);
            if (required.value)
                err = put_rule(l, (struct fp_pb_rule){.op = FP_PB_RULE_ONEOF, .bits = oneof});
        } else if (it.number == 7) {
            if (!find(it.bytes, FP_PB_VALIDATE, &disabled) ||
                !find(it.bytes, FP_PB_VALIDATE_IGNORED, &ignored))
                return malformed(l);
            if (disabled.value || ignored.value)
                err = put_rule(l, (struct fp_pb_rule){.op = FP_PB_RULE_SKIP});
        }
    }
    if (err || l->rules.len == first)
        return err;
    m->rules = (uint16_t)(first / sizeof(struct fp_pb_rule) + 1);
    return put_rule(l, (struct fp_pb_rule){.op = FP_PB_RULE_END});
}

static int load_message(struct load *l, struct fp_str scope, struct fp_str bytes, unsigned depth)
{
    struct fp_pb_message m = {.file = l->file_index};
    struct fp_pb_item it, name, entry;
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    int err = 0;
    if (depth > MAX_NESTING || !find(bytes, 1, &name) || !usable(name.bytes))
        return malformed(l);
    m.full_name = join(l, scope, name.bytes);
    m.wkt = well_known_of(m.full_name);
    m.first = (uint32_t)(l->fields.len / sizeof(struct fp_pb_field));
    while (!err && fp_pb_wire_next(&w, &it) > 0) {
        if (it.number == 2)
            err = load_field(l, it.bytes);
        else if (it.number == 7 && find(it.bytes, 7, &entry))
            m.map_entry = entry.value != 0;
    }
    if (!err)
        err = load_message_rules(l, &m, bytes);
    size_t n = l->fields.len / sizeof(struct fp_pb_field) - m.first;
    if (err || n > UINT16_MAX || l->messages.len / sizeof m >= MAX_TYPES)
        return err ? err : fail(l, "%.*s: too large", FP_STR_ARG(m.full_name));
    m.fields_n = (uint16_t)n;
    fp_buf_append(&l->messages, &m, sizeof m);
    /* Nested types come after the message's own fields, which must lie together. */
    w = fp_pb_wire_of(bytes);
    while (!err && fp_pb_wire_next(&w, &it) > 0) {
        if (it.number == 3)
            err = load_message(l, m.full_name, it.bytes, depth + 1);
        else if (it.number == 4)
            err = load_enum(l, m.full_name, it.bytes);
    }
    return err;
}

static int load_file(struct load *l, struct fp_str bytes)
{
    struct fp_pb_item name, package, syntax, edition, it;
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    int err = 0;
    l->file = NULL;
    if (!find(bytes, 1, &name) || !find(bytes, 2, &package) || !find(bytes, 12, &syntax) ||
        !find(bytes, 14, &edition) || name.bytes.len == 0)
        return malformed(l);
    struct fp_pb_file f = {name.bytes, package.bytes, bytes};
    l->file = &f;
    l->proto3 = fp_str_eq_c(syntax.bytes, "proto3");
    l->proto2 = !l->proto3 && edition.value == 0;
    size_t index = l->files.len / sizeof f;
    if (index >= UINT16_MAX)
        return fail(l, "too many files");
    l->file_index = (uint16_t)index;
    while (!err && fp_pb_wire_next(&w, &it) > 0) {
        if (it.number == 4)
            err = load_message(l, package.bytes, it.bytes, 0);
        else if (it.number == 5)
            err = load_enum(l, package.bytes, it.bytes);
    }
    l->file = NULL;
    fp_buf_append(&l->files, &f, sizeof f);
    return err;
}

struct numbered {
    uint32_t number, index;
};

static int by_number(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Fields of each message into the order of their numbers, and what is beside them. */
static int sort_fields(struct load *l)
{
    struct fp_pb_pool *p = l->pool;
    const struct fp_pb_field *unsorted = (const struct fp_pb_field *)l->fields.data;
    struct beside *beside = (struct beside *)l->beside.data;
    struct numbered *order = fp_mem_calloc(p->fields_n + 1, sizeof *order);
    struct beside *sorted = fp_mem_calloc(p->fields_n + 1, sizeof *sorted);
    int err = 0;
    for (uint32_t i = 0; i < p->fields_n; i++)
        order[i] = (struct numbered){unsorted[i].number, i};
    for (uint32_t i = 0; i < p->messages_n && !err; i++) {
        struct fp_pb_message *m = &p->messages[i];
        m->fields = p->fields + m->first;
        qsort(order + m->first, m->fields_n, sizeof *order, by_number);
        for (uint32_t f = m->first; f < m->first + m->fields_n; f++) {
            p->fields[f] = unsorted[order[f].index];
            sorted[f] = beside[order[f].index];
            if (f > m->first && order[f].number == order[f - 1].number)
                err = fail(l, "%.*s: field number %u twice", FP_STR_ARG(m->full_name),
                           order[f].number);
        }
    }
    if (p->fields_n)
        memcpy(beside, sorted, p->fields_n * sizeof *sorted);
    fp_mem_free(order);
    fp_mem_free(sorted);
    return err;
}

static int resolve(struct load *l)
{
    struct fp_pb_pool *p = l->pool;
    const struct beside *beside = (const struct beside *)l->beside.data;
    for (uint32_t i = 0; i < p->fields_n; i++) {
        struct fp_pb_field *f = &p->fields[i];
        if (f->type != FP_PB_MESSAGE && f->type != FP_PB_ENUM)
            continue;
        struct fp_str named = beside[i].type_name, name = fp_str_n(named.data + 1, named.len - 1);
        uint32_t t = fp_pb_pool_type(p, name);
        if (named.data[0] != '.' || t == UINT32_MAX ||
            (t < p->messages_n) != (f->type == FP_PB_MESSAGE))
            return fail(l, "field %.*s: type %.*s is not in the set", f->name_len, f->name,
                        FP_STR_ARG(named));
        f->ref = t < p->messages_n ? t : t - p->messages_n;
        if (f->type == FP_PB_MESSAGE && (f->flags & FP_PB_REPEATED) && p->messages[t].map_entry)
            f->flags |= FP_PB_MAP;
    }
    return 0;
}

/* What the transcoder takes for granted about messages with a JSON of their own and map entries. */
static int check_shapes(struct load *l)
{
    static const struct {
        uint8_t wkt, number, type;
    } want[] = {{FP_PB_ANY, 1, FP_PB_STRING},       {FP_PB_ANY, 2, FP_PB_BYTES},
                {FP_PB_STRUCT, 1, FP_PB_MESSAGE},   {FP_PB_LIST_VALUE, 1, FP_PB_MESSAGE},
                {FP_PB_DURATION, 1, FP_PB_INT64},   {FP_PB_DURATION, 2, FP_PB_INT32},
                {FP_PB_TIMESTAMP, 1, FP_PB_INT64},  {FP_PB_TIMESTAMP, 2, FP_PB_INT32},
                {FP_PB_FIELD_MASK, 1, FP_PB_STRING}};
    for (uint32_t i = 0; i < l->pool->messages_n; i++) {
        const struct fp_pb_message *m = &l->pool->messages[i];
        bool good = m->wkt != FP_PB_WRAPPER || fp_pb_field_by_number(m, 1);
        for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
            if (want[k].wkt != m->wkt)
                continue;
            const struct fp_pb_field *f = fp_pb_field_by_number(m, want[k].number);
            good &= f && f->type == want[k].type;
        }
        if (m->map_entry)
            good &= m->fields_n == 2 && m->fields[0].number == 1 && m->fields[1].number == 2 &&
                    m->fields[0].type != FP_PB_MESSAGE && m->fields[0].type != FP_PB_BYTES &&
                    !((m->fields[0].flags | m->fields[1].flags) & FP_PB_REPEATED);
        if (!good)
            return fail(l, "%.*s: not as the protocol defines it", FP_STR_ARG(m->full_name));
    }
    return 0;
}

/* Runs of rules for the fields; needs types resolved and shapes checked. */
static int load_rules(struct load *l)
{
    struct fp_pb_pool *p = l->pool;
    const struct beside *beside = (const struct beside *)l->beside.data;
    for (uint32_t i = 0; i < p->messages_n; i++) {
        struct fp_pb_message *m = &p->messages[i];
        for (uint32_t n = m->first; n < m->first + m->fields_n; n++) {
            struct fp_pb_field *f = &p->fields[n];
            uint32_t runs[3];
            if (!beside[n].rules.data)
                continue;
            if (fp_pb_rules_load(p, f, beside[n].rules, &l->rules, runs, l->why_arena, &l->why))
                return fail(l, "%.*s: malformed rules", FP_STR_ARG(m->full_name));
            if (l->rules.len / sizeof *p->rules > MAX_RULES)
                return fail(l, "too many validate rules");
            f->rules = (uint16_t)runs[0];
            if (f->flags & FP_PB_MAP) {
                struct fp_pb_field *entry = &p->fields[fp_pb_field_message(p, f)->first];
                entry[0].rules = (uint16_t)runs[1];
                entry[1].rules = (uint16_t)runs[2];
            }
        }
    }
    p->rules_n = (uint32_t)(l->rules.len / sizeof *p->rules);
    p->rules = fp_arena_dup(p->arena, p->rules_n ? l->rules.data : "", l->rules.len);
    for (uint32_t i = 0; i < p->messages_n; i++) {
        struct fp_pb_message *m = &p->messages[i];
        m->checked = m->rules != 0;
        for (struct fp_pb_field *f = &p->fields[m->first]; f < &p->fields[m->first] + m->fields_n;
             f++)
            if (f->rules && fp_pb_check_is_needed(p, f)) {
                f->flags |= FP_PB_NEEDED;
                m->checked = true;
            }
    }
    return 0;
}

static void *keep(struct fp_arena *a, const struct fp_buf *b, size_t size, uint32_t *n)
{
    *n = (uint32_t)(b->len / size);
    return fp_arena_dup(a, b->len ? b->data : "", b->len); /* never NULL: pointers into it add up */
}

static int finish(struct load *l)
{
    struct fp_pb_pool *p = l->pool;
    p->messages = keep(p->arena, &l->messages, sizeof *p->messages, &p->messages_n);
    p->fields = keep(p->arena, &l->fields, sizeof *p->fields, &p->fields_n);
    p->enums = keep(p->arena, &l->enums, sizeof *p->enums, &p->enums_n);
    p->values = keep(p->arena, &l->values, sizeof *p->values, &p->values_n);
    p->files = keep(p->arena, &l->files, sizeof *p->files, &p->files_n);
    if (!p->messages_n)
        return fail(l, "no messages in it");
    int err = sort_fields(l);
    if (err)
        return err;
    struct fp_str twice = fp_pb_pool_index(p);
    if (twice.data)
        return fail(l, "%.*s is defined twice", FP_STR_ARG(twice));
    err = resolve(l);
    if (!err)
        err = check_shapes(l);
    return err ? err : load_rules(l);
}

int fp_pb_pool_load(struct fp_pb_pool *p, struct fp_str set, struct fp_arena *a, const char **why)
{
    struct load l = {.pool = p, .why_arena = a};
    struct fp_pb_wire w = fp_pb_wire_of(set);
    struct fp_pb_item it;
    int r, err = 0;
    while (!err && (r = fp_pb_wire_next(&w, &it)) != 0) {
        if (r < 0)
            err = fail(&l, "not a google.protobuf.FileDescriptorSet");
        else if (it.number == 1)
            err = load_file(&l, it.bytes);
    }
    if (!err)
        err = finish(&l);
    struct fp_buf *bufs[] = {&l.messages, &l.fields, &l.enums, &l.values,
                             &l.files,    &l.beside, &l.rules};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        fp_buf_fini(bufs[i]);
    *why = l.why;
    return err;
}
