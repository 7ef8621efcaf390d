/*
 * YAML read from libyaml's events into jansson values.  Any process; no I/O.  Depth, containers and
 * the nodes that aliases add are bounded before anything is built; libyaml's own allocations are
 * bounded by the text.
 */
#include "codec/codec_yaml.h"
#include <errno.h>
#include <yaml.h>
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "core/core_err.h"
#include "core/core_map.h"

enum { CONTAINERS_FREE = 65536, BYTES_PER_CONTAINER = 16 }; /* as in codec_json.c */

struct fp_yaml {
    struct fp_arena *arena;
    yaml_parser_t parser;
    struct fp_str wrapper;
    unsigned max_depth;
    size_t containers_left, expanded_left;
    struct fp_map anchors;  /* of this document: name → value; NULL while it is being read */
    bool elements, wrapped; /* inside the top-level sequence; which is a member of a mapping */
    bool failed;
    struct fp_problems *ps; /* of the call of next */
};

static void close_reader(void *arg)
{
    struct fp_yaml *y = arg;
    FP_MAP_FOREACH (it, &y->anchors)
        json_decref(it->value);
    fp_map_fini(&y->anchors);
    yaml_parser_delete(&y->parser);
}

struct fp_yaml *fp_yaml_open(struct fp_arena *a, struct fp_str text, const char *wrapper,
                             unsigned max_depth)
{
    struct fp_yaml *y = FP_ARENA_NEW(a, struct fp_yaml);
    y->arena = a;
    y->wrapper = fp_str_of(wrapper);
    y->max_depth = max_depth;
    y->containers_left = CONTAINERS_FREE + text.len / BYTES_PER_CONTAINER;
    y->expanded_left = FP_YAML_EXPANDED_MAX;
    int ready = yaml_parser_initialize(&y->parser);
    FP_ASSERT(ready);
    yaml_parser_set_encoding(&y->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&y->parser, (const unsigned char *)(text.data ? text.data : ""),
                                 text.len);
    fp_arena_cleanup(a, close_reader, y);
    return y;
}

/* ---- errors: one, then the reader has failed for good */

static void fail_at(struct fp_yaml *y, yaml_mark_t at, enum fp_problem_code code, const char *what)
{
    if (!y->failed)
        fp_problem_add(y->ps, "", code, "YAML line %zu column %zu: %s", at.line + 1, at.column + 1,
                       what);
    y->failed = true;
}

static bool fail(struct fp_yaml *y, const yaml_event_t *e, enum fp_problem_code code,
                 const char *what)
{
    fail_at(y, e->start_mark, code, what);
    return false;
}

/* The event must be given to yaml_event_delete, also after false.  None comes after an error: what
 * it left unread would close other levels, and behind its last event libyaml goes on for ever. */
static bool next_event(struct fp_yaml *y, yaml_event_t *e)
{
    memset(e, 0, sizeof(*e));
    if (y->failed)
        return false;
    if (yaml_parser_parse(&y->parser, e))
        return true;
    memset(e, 0, sizeof(*e));
    fail_at(y, y->parser.problem_mark, FP_P_INVALID_FORMAT,
            y->parser.problem ? y->parser.problem : "not YAML");
    return false;
}

/* ---- scalars: YAML 1.2 core schema */

static bool is_one_of(struct fp_str s, const char *const *words)
{
    for (; *words; words++)
        if (fp_str_eq_c(s, *words))
            return true;
    return false;
}

static size_t digits(const char *p, const char *set)
{
    return strspn(p, set);
}

static bool looks_integer(const char *p)
{
    p += *p == '-' || *p == '+';
    return *p && p[digits(p, "0123456789")] == '\0';
}

static bool looks_based(const char *p, int *base)
{
    *base = strncmp(p, "0x", 2) == 0 ? 16 : strncmp(p, "0o", 2) == 0 ? 8 : 0;
    const char *set = *base == 16 ? "0123456789abcdefABCDEF" : "01234567";
    return *base && p[2] && p[2 + digits(p + 2, set)] == '\0';
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool looks_float(const char *p)
{
    p += *p == '-' || *p == '+';
    size_t whole = digits(p, "0123456789"), fraction = 0;
    p += whole;
    if (*p == '.')
        fraction = digits(p + 1, "0123456789"), p += 1 + fraction;
    if (!whole && !fraction)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        size_t n = digits(p, "0123456789");
        if (!n)
            return false;
        p += n;
    }
    return *p == '\0';
}

static json_t *real(struct fp_yaml *y, const yaml_event_t *e, const char *text)
{
    json_t *v = json_real(strtod(text, NULL)); /* NULL when infinite */
    if (!v)
        fail(y, e, FP_P_OUT_OF_RANGE, "number is out of range");
    return v;
}

/* Beyond int64 a real, as in JSON. */
static json_t *integer(struct fp_yaml *y, const yaml_event_t *e, const char *text, int base)
{
    errno = 0;
    long long v = strtoll(text, NULL, base);
    if (!errno)
        return json_integer(v);
    if (base == 10)
        return real(y, e, text);
    fail(y, e, FP_P_OUT_OF_RANGE, "number is out of range");
    return NULL;
}

/* A plain scalar.  NULL after an error. */
static json_t *resolve(struct fp_yaml *y, const yaml_event_t *e, struct fp_str s)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const not_json[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                           "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                           ".NaN",  ".NAN",  NULL};
    int base;
    if (is_one_of(s, nulls))
        return json_null();
    if (is_one_of(s, trues))
        return json_true();
    if (is_one_of(s, falses))
        return json_false();
    if (is_one_of(s, not_json)) {
        fail(y, e, FP_P_INVALID_VALUE, "not a number that JSON knows");
        return NULL;
    }
    if (looks_integer(s.data))
        return integer(y, e, s.data, 10);
    if (looks_based(s.data, &base))
        return integer(y, e, s.data + 2, base);
    return looks_float(s.data) ? real(y, e, s.data) : json_stringn(s.data, s.len);
}

static const struct {
    const char *tag;
    bool text; /* taken as it is, never resolved */
    json_type types[2];
} scalar_tags[] = {
    {"!", true, {JSON_STRING, JSON_STRING}},
    {YAML_STR_TAG, true, {JSON_STRING, JSON_STRING}},
    {YAML_NULL_TAG, false, {JSON_NULL, JSON_NULL}},
    {YAML_BOOL_TAG, false, {JSON_TRUE, JSON_FALSE}},
    {YAML_INT_TAG, false, {JSON_INTEGER, JSON_INTEGER}},
    {YAML_FLOAT_TAG, false, {JSON_REAL, JSON_INTEGER}},
};

static json_t *tagged(struct fp_yaml *y, const yaml_event_t *e, struct fp_str s, const char *tag)
{
    for (size_t i = 0; i < sizeof(scalar_tags) / sizeof(scalar_tags[0]); i++) {
        if (strcmp(scalar_tags[i].tag, tag) != 0)
            continue;
        json_t *v = scalar_tags[i].text ? json_stringn(s.data, s.len) : resolve(y, e, s);
        if (!v || json_typeof(v) == scalar_tags[i].types[0] ||
            json_typeof(v) == scalar_tags[i].types[1])
            return v;
        json_decref(v);
        fail(y, e, FP_P_INVALID_TYPE, "the value is not what its tag says");
        return NULL;
    }
    fail(y, e, FP_P_UNSUPPORTED, "custom tags are not supported");
    return NULL;
}

static json_t *scalar(struct fp_yaml *y, const yaml_event_t *e)
{
    struct fp_str s = fp_str_n(e->data.scalar.value, e->data.scalar.length);
    const char *tag = (const char *)e->data.scalar.tag;
    if (memchr(s.data, 0, s.len)) {
        fail(y, e, FP_P_INVALID_FORMAT, "NUL is not allowed");
        return NULL;
    }
    if (tag)
        return tagged(y, e, s, tag);
    return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? resolve(y, e, s)
                                                           : json_stringn(s.data, s.len);
}

/* ---- anchors */

static struct fp_str anchor_of(const yaml_event_t *e)
{
    const yaml_char_t *a = e->type == YAML_SCALAR_EVENT           ? e->data.scalar.anchor
                           : e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.anchor
                           : e->type == YAML_MAPPING_START_EVENT  ? e->data.mapping_start.anchor
                                                                  : NULL;
    return fp_str_of((const char *)a);
}

/* v NULL: from now on the name means a value that is not complete. */
static void anchor_set(struct fp_yaml *y, struct fp_str name, json_t *v)
{
    if (name.data)
        json_decref(fp_map_set(&y->anchors, fp_arena_str(y->arena, name), json_incref(v)));
}

static void anchors_clear(struct fp_yaml *y)
{
    FP_MAP_FOREACH (it, &y->anchors)
        json_decref(it->value);
    fp_map_fini(&y->anchors);
}

/* Counts the nodes of v down from *left; false when there are too many or they go too deep. */
static bool fits(json_t *v, unsigned depth_left, size_t *left)
{
    const char *key;
    json_t *item;
    size_t i;
    if (!*left || ((json_is_object(v) || json_is_array(v)) && !depth_left))
        return false;
    (*left)--;
    json_object_foreach (v, key, item)
        if (!fits(item, depth_left - 1, left))
            return false;
    json_array_foreach (v, i, item)
        if (!fits(item, depth_left - 1, left))
            return false;
    return true;
}

static json_t *alias(struct fp_yaml *y, const yaml_event_t *e, unsigned depth)
{
    json_t *v = fp_map_get(&y->anchors, fp_str_of((const char *)e->data.alias.anchor));
    if (!v)
        fail(y, e, FP_P_INVALID_VALUE, "the alias names no complete value before it");
    else if (!fits(v, y->max_depth - depth, &y->expanded_left))
        fail(y, e, FP_P_TOO_MANY, "aliases expand to too many or too deep values");
    return y->failed ? NULL : json_deep_copy(v);
}

/* ---- nodes: each function takes the event it is given over; NULL after an error */

static json_t *node(struct fp_yaml *y, yaml_event_t *e, unsigned depth);

static bool container_ok(struct fp_yaml *y, const yaml_event_t *e, unsigned depth)
{
    bool sequence = e->type == YAML_SEQUENCE_START_EVENT;
    const char *tag =
        (const char *)(sequence ? e->data.sequence_start.tag : e->data.mapping_start.tag);
    if (tag && strcmp(tag, "!") != 0 && strcmp(tag, sequence ? YAML_SEQ_TAG : YAML_MAP_TAG) != 0)
        return fail(y, e, FP_P_UNSUPPORTED, "custom tags are not supported");
    if (depth >= y->max_depth)
        return fail(y, e, FP_P_OUT_OF_RANGE, "nested too deep");
    if (!y->containers_left)
        return fail(y, e, FP_P_TOO_MANY, "too many mappings and sequences");
    y->containers_left--;
    return true;
}

static void sequence(struct fp_yaml *y, json_t *out, unsigned depth)
{
    yaml_event_t e;
    while (next_event(y, &e) && e.type != YAML_SEQUENCE_END_EVENT)
        json_array_append_new(out, node(y, &e, depth + 1));
    yaml_event_delete(&e);
}

/* The text of a key, in *key (freed by the caller).  Whatever it would resolve to: keys are texts.
 */
static bool key_of(struct fp_yaml *y, const yaml_event_t *e, const json_t *in, json_t **key)
{
    *key = NULL;
    if (e->type != YAML_SCALAR_EVENT)
        return fail(y, e, FP_P_INVALID_TYPE, "a key must be a text");
    struct fp_str s = fp_str_n(e->data.scalar.value, e->data.scalar.length);
    if (memchr(s.data, 0, s.len))
        return fail(y, e, FP_P_INVALID_FORMAT, "NUL is not allowed");
    if (e->data.scalar.tag && strcmp((const char *)e->data.scalar.tag, YAML_STR_TAG) != 0 &&
        strcmp((const char *)e->data.scalar.tag, "!") != 0)
        return fail(y, e, FP_P_UNSUPPORTED, "custom tags are not supported");
    if (json_object_get(in, s.data))
        return fail(y, e, FP_P_DUPLICATE, "key is given twice");
    *key = json_stringn(s.data, s.len);
    if (!*key)
        return fail(y, e, FP_P_INVALID_FORMAT, "text is not UTF-8");
    anchor_set(y, anchor_of(e), *key);
    return true;
}

/* The members from the key in *e on. */
static void members(struct fp_yaml *y, yaml_event_t *e, json_t *out, unsigned depth)
{
    while (!y->failed && e->type != YAML_MAPPING_END_EVENT) {
        json_t *key;
        yaml_event_t value;
        bool ok = key_of(y, e, out, &key);
        yaml_event_delete(e);
        memset(e, 0, sizeof(*e));
        if (ok && next_event(y, &value))
            json_object_set_new(out, json_string_value(key), node(y, &value, depth + 1));
        json_decref(key);
        if (!y->failed)
            next_event(y, e);
    }
    yaml_event_delete(e);
}

static void mapping(struct fp_yaml *y, json_t *out, unsigned depth)
{
    yaml_event_t e;
    next_event(y, &e);
    members(y, &e, out, depth);
}

static json_t *node(struct fp_yaml *y, yaml_event_t *e, unsigned depth)
{
    struct fp_str name = anchor_of(e);
    json_t *v = NULL;
    anchor_set(y, name, NULL);
    if (e->type == YAML_ALIAS_EVENT) {
        v = alias(y, e, depth);
    } else if (e->type == YAML_SCALAR_EVENT) {
        v = scalar(y, e);
        if (!v)
            fail(y, e, FP_P_INVALID_FORMAT, "text is not UTF-8");
    } else if (container_ok(y, e, depth)) {
        bool is_sequence = e->type == YAML_SEQUENCE_START_EVENT;
        v = is_sequence ? json_array() : json_object();
        (is_sequence ? sequence : mapping)(y, v, depth);
    }
    if (!y->failed)
        anchor_set(y, name, v);
    yaml_event_delete(e);
    if (y->failed) {
        json_decref(v);
        return NULL;
    }
    return v;
}

/* ---- documents and elements */

static bool skip_event(struct fp_yaml *y, yaml_event_type_t expected, const char *else_what)
{
    yaml_event_t e;
    bool ok = next_event(y, &e);
    if (ok && e.type != expected)
        ok = fail(y, &e, FP_P_UNKNOWN_FIELD, else_what);
    yaml_event_delete(&e);
    return ok;
}

/* A document that is a mapping: its value, or NULL when its elements come next. */
static json_t *root_mapping(struct fp_yaml *y)
{
    yaml_event_t key, value;
    json_t *out = NULL;
    if (!next_event(y, &key)) {
        yaml_event_delete(&key);
        return NULL;
    }
    bool wraps = y->wrapper.data && key.type == YAML_SCALAR_EVENT &&
                 fp_str_eq(y->wrapper, fp_str_n(key.data.scalar.value, key.data.scalar.length));
    if (!wraps) {
        members(y, &key, out = json_object(), 0);
        return out;
    }
    yaml_event_delete(&key);
    if (next_event(y, &value) && value.type == YAML_SEQUENCE_START_EVENT) {
        y->elements = y->wrapped = container_ok(y, &value, 1);
        yaml_event_delete(&value);
        return NULL;
    }
    out = json_object();
    if (!y->failed)
        json_object_set_new(out, y->wrapper.data, node(y, &value, 1));
    if (!y->failed)
        mapping(y, out, 0);
    return out;
}

/* The root of a document: its value, or NULL when its elements come next or after an error. */
static json_t *document(struct fp_yaml *y)
{
    yaml_event_t e;
    json_t *v = NULL;
    if (next_event(y, &e) && e.type == YAML_SEQUENCE_START_EVENT) {
        y->elements = container_ok(y, &e, 0);
        yaml_event_delete(&e);
    } else if (!y->failed && e.type == YAML_MAPPING_START_EVENT) {
        if (container_ok(y, &e, 0))
            v = root_mapping(y);
        yaml_event_delete(&e);
    } else if (!y->failed) {
        v = node(y, &e, 0);
    }
    if (v && !y->failed)
        skip_event(y, YAML_DOCUMENT_END_EVENT, "the document goes on after its end");
    return v;
}

/* The next element; NULL at the end of the sequence or after an error. */
static json_t *element(struct fp_yaml *y)
{
    yaml_event_t e;
    if (next_event(y, &e) && e.type != YAML_SEQUENCE_END_EVENT)
        return node(y, &e, y->wrapped ? 2 : 1);
    yaml_event_delete(&e);
    if (!y->failed && y->wrapped)
        skip_event(y, YAML_MAPPING_END_EVENT, "no other key may stand beside it");
    if (!y->failed)
        skip_event(y, YAML_DOCUMENT_END_EVENT, "the document goes on after its end");
    y->elements = y->wrapped = false;
    return NULL;
}

int fp_yaml_next(struct fp_yaml *y, struct fp_arena *a, struct fp_problems *ps, json_t **out)
{
    y->ps = ps;
    while (!y->failed) {
        json_t *v = NULL;
        yaml_event_t e = {0};
        if (y->elements) {
            v = fp_json_own(a, element(y));
        } else if (next_event(y, &e) && e.type == YAML_DOCUMENT_START_EVENT) {
            anchors_clear(y);
            v = fp_json_own(a, document(y));
            if (json_is_null(v))
                v = NULL; /* an empty document */
        }
        bool end = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
        if (end || (v && !y->failed)) {
            *out = v;
            return end ? 0 : 1;
        }
    }
    return FP_ERR_INVALID;
}
