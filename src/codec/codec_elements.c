/*
 * JSON arrays read element by element: this file finds where an element ends, codec_json judges it.
 * Any process; no I/O.
 */
#include "codec/codec_elements.h"
#include "codec/codec_json.h"
#include "core/core_err.h"

struct fp_elements {
    struct fp_str text;
    size_t at; /* what is before was read */
    unsigned max_depth;
    bool array, wrapped; /* elements come; the array stands in an object */
    bool some;           /* an element was read */
    bool done, failed;
};

static void skip_blank(struct fp_elements *e)
{
    while (e->at < e->text.len && memchr(" \t\r\n", e->text.data[e->at], 4))
        e->at++;
}

static bool take(struct fp_elements *e, struct fp_str what)
{
    skip_blank(e);
    struct fp_str rest = fp_str_n(e->text.data + e->at, e->text.len - e->at);
    if (!fp_str_starts(rest, what))
        return false;
    e->at += what.len;
    return true;
}

struct fp_elements *fp_elements_open(struct fp_arena *a, struct fp_str text, const char *wrapper,
                                     unsigned max_depth)
{
    struct fp_elements *e = FP_ARENA_NEW(a, struct fp_elements);
    e->text = text.data ? text : FP_STR("");
    e->max_depth = max_depth;
    e->array = take(e, FP_STR("["));
    if (e->array || !wrapper)
        return e;
    const char *key = fp_arena_printf(a, "\"%s\"", wrapper);
    e->array = e->wrapped = take(e, FP_STR("{")) && take(e, fp_str_of(key)) &&
                            take(e, FP_STR(":")) && take(e, FP_STR("["));
    if (!e->array)
        e->at = 0;
    return e;
}

static int fail(struct fp_elements *e, struct fp_problems *ps, enum fp_problem_code code,
                const char *what)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < e->at; i++) {
        column = e->text.data[i] == '\n' ? 1 : column + 1;
        line += e->text.data[i] == '\n';
    }
    fp_problem_add(ps, "", code, "JSON line %zu column %zu: %s", line, column, what);
    e->failed = true;
    return FP_ERR_INVALID;
}

/* Up to the comma or bracket that ends it; what it holds is for the parser to judge. */
static struct fp_str extent(const struct fp_elements *e)
{
    size_t i = e->at, depth = 0;
    bool quoted = false;
    for (; i < e->text.len; i++) {
        char c = e->text.data[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            depth++;
        } else if (c == ']' || c == '}') {
            if (depth-- == 0)
                break;
        } else if (c == ',' && depth == 0) {
            break;
        }
    }
    if (i > e->text.len) /* behind a backslash */
        i = e->text.len;
    return fp_str_n(e->text.data + e->at, i - e->at);
}

static int end(struct fp_elements *e, struct fp_problems *ps)
{
    if (e->wrapped && !take(e, FP_STR("}")))
        return fail(e, ps, FP_P_INVALID_FORMAT, "no other member may stand beside the array");
    skip_blank(e);
    if (e->at < e->text.len)
        return fail(e, ps, FP_P_INVALID_FORMAT, "text goes on after its end");
    e->done = true;
    return 0;
}

/* The problem of an element says where in the element: add where the element is. */
static int parse(struct fp_elements *e, struct fp_arena *a, struct fp_problems *ps,
                 struct fp_str text, json_t **out)
{
    struct fp_problems *own = fp_problems_new(a);
    *out = fp_json_parse(a, text, e->max_depth, own);
    if (*out)
        return 1;
    return fail(
        e, ps, own->items[0].code,
        e->array ? fp_arena_printf(a, "in the element that starts here: %s", own->items[0].message)
                 : own->items[0].message);
}

int fp_elements_next(struct fp_elements *e, struct fp_arena *a, struct fp_problems *ps,
                     json_t **out)
{
    if (e->failed)
        return FP_ERR_INVALID;
    if (e->done)
        return 0;
    if (!e->array) {
        e->done = true;
        return parse(e, a, ps, e->text, out);
    }
    if (take(e, FP_STR("]")))
        return end(e, ps);
    if (e->some && !take(e, FP_STR(",")))
        return fail(e, ps, FP_P_INVALID_FORMAT, "a comma or the end of the array must stand here");
    skip_blank(e);
    e->some = true;
    struct fp_str text = extent(e);
    int rc = parse(e, a, ps, text, out);
    if (rc > 0)
        e->at += text.len;
    return rc;
}
