/*
 * One strict JSON reader and one canonical writer over jansson values.  All processes.  The reader
 * bounds depth and number of containers before jansson sees the text: its own limit is 2048 levels,
 * and "[[],[],…" grows thirtyfold in memory.
 */
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "core/core_rand.h"

void fp_json_init(void)
{
    uint64_t seed;
    fp_rand_bytes(&seed, sizeof(seed));
    json_set_alloc_funcs(fp_mem_alloc, fp_mem_free);
    json_object_seed((size_t)seed | 1); /* 0 would let jansson choose */
}

static void decref(void *v)
{
    json_decref(v);
}

json_t *fp_json_own(struct fp_arena *a, json_t *v)
{
    if (v)
        fp_arena_cleanup(a, decref, v);
    return v;
}

struct scan {
    unsigned depth; /* the deepest level */
    size_t containers;
    size_t line, column; /* of the bracket that went too deep */
};

/* Brackets outside of strings; ill-formed text is for jansson to judge.  Stops beyond max. */
static struct scan scan(struct fp_str text, unsigned max)
{
    struct scan r = {0};
    unsigned depth = 0;
    size_t line = 1, line_start = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '\n')
            line++, line_start = i + 1;
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            r.containers++;
            r.depth = ++depth > r.depth ? depth : r.depth;
            if (depth > max) {
                r.line = line;
                r.column = i - line_start + 1;
                return r;
            }
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return r;
}

enum {
    CONTAINERS_FREE = 65536, /* … and one for each 16 bytes of text: a {} costs some 250 bytes */
    BYTES_PER_CONTAINER = 16,
    INT64_DIGITS = 19,
};

static void report(struct fp_problems *ps, const json_error_t *e)
{
    static const struct {
        enum json_error_code jansson;
        enum fp_problem_code code;
        const char *text; /* NULL: jansson's */
    } known[] = {
        {json_error_numeric_overflow, FP_P_OUT_OF_RANGE, "number is out of range"},
        {json_error_duplicate_key, FP_P_DUPLICATE, "key is given twice"},
        {json_error_null_character, FP_P_INVALID_FORMAT, "NUL is not allowed"},
        {json_error_null_byte_in_key, FP_P_INVALID_FORMAT, "NUL is not allowed"},
        {json_error_invalid_utf8, FP_P_INVALID_FORMAT, "text is not UTF-8"},
        {json_error_premature_end_of_input, FP_P_INVALID_FORMAT, "text ends too early"},
        {json_error_end_of_input_expected, FP_P_INVALID_FORMAT, "text goes on after its end"},
    };
    enum fp_problem_code code = FP_P_INVALID_FORMAT;
    struct fp_str text = fp_str_of(e->text);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].jansson == json_error_code(e)) {
            code = known[i].code;
            text = fp_str_of(known[i].text);
        }
    while (!fp_str_is_utf8(text)) /* jansson cuts what it quotes at any byte */
        text.len--;
    fp_problem_add(ps, "", code, "JSON line %d column %d: %.*s", e->line, e->column,
                   FP_STR_ARG(text));
}

/*
 * The text with ".0" behind each integer beyond int64, so that it is read as the real it stands
 * for: jsonb writes 1e20 as its digits, and what was stored must come back.
 */
static void widen(struct fp_str text, struct fp_buf *out)
{
    bool quoted = false;
    for (size_t i = 0, n; i < text.len; i += n) {
        const char *p = text.data + i;
        int64_t fits;
        n = 1;
        if (quoted && *p == '\\' && i + 1 < text.len)
            n = 2;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && (*p == '-' || (*p >= '0' && *p <= '9')))
            while (i + n < text.len && p[n] && strchr("0123456789.eE+-", p[n]))
                n++;
        fp_buf_append(out, p, n);
        if (n >= INT64_DIGITS && !memchr(p, '.', n) && !memchr(p, 'e', n) && !memchr(p, 'E', n) &&
            !fp_str_to_i64(fp_str_n(p, n), &fits))
            fp_buf_append_c(out, ".0");
    }
}

static json_t *load(struct fp_str text, json_error_t *e)
{
    return json_loadb(text.data ? text.data : "", text.len,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, e);
}

json_t *fp_json_parse(struct fp_arena *a, struct fp_str text, unsigned max_depth,
                      struct fp_problems *ps)
{
    struct scan s = scan(text, max_depth);
    if (s.depth > max_depth) {
        fp_problem_add(ps, "", FP_P_OUT_OF_RANGE,
                       "JSON line %zu column %zu: nested deeper than %u levels", s.line, s.column,
                       max_depth);
        return NULL;
    }
    if (s.containers > CONTAINERS_FREE + text.len / BYTES_PER_CONTAINER) {
        fp_problem_add(ps, "", FP_P_TOO_MANY, "JSON holds too many objects and arrays: %zu",
                       s.containers);
        return NULL;
    }
    json_error_t e;
    json_t *v = load(text, &e);
    if (!v && json_error_code(&e) == json_error_numeric_overflow) {
        struct fp_buf wide = {0};
        widen(text, &wide);
        v = load(fp_buf_str(&wide), &e);
        fp_buf_fini(&wide);
    }
    if (!v)
        report(ps, &e);
    return fp_json_own(a, v);
}

/* The shortest of 15 to 17 digits that reads back equal: 0.1 is "0.1".  Keeps a '.' or exponent,
 * so that a real stays one. */
static void write_real(struct fp_buf *out, double d)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    fp_buf_append_c(out, text);
    if (!strpbrk(text, ".e"))
        fp_buf_append_c(out, ".0");
}

static void write_value(struct fp_buf *out, const json_t *v, bool sorted);

static void write_array(struct fp_buf *out, const json_t *v, bool sorted)
{
    size_t n = json_array_size(v);
    for (size_t i = 0; i < n; i++) {
        fp_buf_append_byte(out, i ? ',' : '[');
        write_value(out, json_array_get(v, i), sorted);
    }
    fp_buf_append_c(out, n ? "]" : "[]");
}

struct member {
    const char *key;
    json_t *value;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static void write_object(struct fp_buf *out, const json_t *v, bool sorted)
{
    size_t n = 0;
    struct member *m = fp_mem_calloc(json_object_size(v), sizeof(*m));
    const char *key;
    json_t *value, *object = (json_t *)(uintptr_t)v; /* jansson iterates on non-const only */
    json_object_foreach (object, key, value)
        m[n++] = (struct member){key, value};
    if (sorted)
        qsort(m, n, sizeof(*m), by_key);
    for (size_t i = 0; i < n; i++) {
        fp_buf_append_byte(out, i ? ',' : '{');
        fp_buf_append_json(out, fp_str_of(m[i].key));
        fp_buf_append_byte(out, ':');
        write_value(out, m[i].value, sorted);
    }
    fp_buf_append_c(out, n ? "}" : "{}");
    fp_mem_free(m);
}

static void write_value(struct fp_buf *out, const json_t *v, bool sorted)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        write_object(out, v, sorted);
        return;
    case JSON_ARRAY:
        write_array(out, v, sorted);
        return;
    case JSON_STRING:
        fp_buf_append_json(out, fp_json_str(v));
        return;
    case JSON_INTEGER:
        fp_buf_printf(out, "%lld", (long long)json_integer_value(v));
        return;
    case JSON_REAL:
        write_real(out, json_real_value(v));
        return;
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        fp_buf_append_c(out, json_is_true(v) ? "true" : json_is_false(v) ? "false" : "null");
        return;
    }
    FP_UNREACHABLE();
}

void fp_json_write(struct fp_buf *out, const json_t *v, bool sorted)
{
    FP_ASSERT(v);
    write_value(out, v, sorted);
}
