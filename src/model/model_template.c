/*
 * Path templates by the rules of Envoy's uri_template library: "/a/{name}/{rest=**}".  Pure; API
 * workers and the watcher.
 */
#include "model/model_int.h"

#define VARIABLES_MAX 5
#define NAME_MAX_LEN  16

struct template
{
    struct fp_str names[VARIABLES_MAX];
    unsigned n;
    bool text_glob; /* ** was seen: only literals may follow */
};

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Inside a literal, where a star is a character like others. */
static bool is_literal(char c)
{
    return is_alpha(c) || is_digit(c) || (c && strchr("-._~%!$&'()+,;:@=*", c));
}

static bool is_name(struct fp_str s)
{
    if (s.len == 0 || s.len > NAME_MAX_LEN || !is_alpha(s.data[0]))
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!is_alpha(s.data[i]) && !is_digit(s.data[i]) && s.data[i] != '_')
            return false;
    return true;
}

static const char *glob(struct template *t, struct fp_str *s)
{
    if (t->text_glob)
        return "nothing but literals may follow **";
    bool text = s->len > 1 && s->data[1] == '*';
    t->text_glob = text;
    *s = fp_str_n(s->data + 1 + text, s->len - 1 - text);
    return NULL;
}

static void skip_literal(struct fp_str *s)
{
    while (s->len && is_literal(s->data[0]))
        *s = fp_str_n(s->data + 1, s->len - 1);
}

/* The part of {name=part}: literals, * and ** with / between them. */
static const char *variable_pattern(struct template *t, struct fp_str s)
{
    for (bool more = true; more;) {
        const char *why = NULL;
        if (s.len == 0)
            return "a variable's pattern must not be empty or end with /";
        if (s.data[0] == '*') {
            why = glob(t, &s);
        } else {
            size_t before = s.len;
            skip_literal(&s);
            why = s.len == before ? "bad character in a variable" : NULL;
        }
        if (why)
            return why;
        more = s.len && s.data[0] == '/';
        if (more)
            s = fp_str_n(s.data + 1, s.len - 1);
    }
    return s.len ? "bad character in a variable" : NULL;
}

static const char *variable(struct template *t, struct fp_str *s)
{
    const char *close = memchr(s->data, '}', s->len);
    if (!close)
        return "missing }";
    if (t->text_glob)
        return "nothing but literals may follow **";
    struct fp_str body = fp_str_n(s->data + 1, (size_t)(close - s->data - 1)), pattern;
    struct fp_str name = fp_str_split(body, '=', &pattern);
    *s = fp_str_n(close + 1, s->len - body.len - 2);
    if (!is_name(name))
        return "a variable's name has 1 to 16 letters, digits or _, a letter first";
    for (unsigned i = 0; i < t->n; i++)
        if (fp_str_eq(t->names[i], name))
            return "a variable is used twice";
    if (t->n == VARIABLES_MAX)
        return "more than 5 variables";
    t->names[t->n++] = name;
    return pattern.data ? variable_pattern(t, pattern) : NULL;
}

/* One segment up to its slash: [literal] [glob or variable] [literal]; a glob only begins it. */
static const char *segment(struct template *t, struct fp_str *s)
{
    bool begins = true, taken = false;
    if (s->data[0] == '/')
        return "empty segment";
    while (s->len && s->data[0] != '/') {
        const char *why = NULL;
        if (begins && s->data[0] == '*') {
            why = glob(t, s);
            taken = true;
        } else if (s->data[0] == '{') {
            why = taken ? "two variables or stars in one segment" : variable(t, s);
            taken = true;
        } else if (is_literal(s->data[0])) {
            skip_literal(s);
        } else {
            why = "bad character";
        }
        if (why)
            return why;
        begins = false;
    }
    return NULL;
}

static const char *parse(struct template *t, struct fp_str s)
{
    if (s.len == 0 || s.data[0] != '/')
        return "must start with /";
    s = fp_str_n(s.data + 1, s.len - 1);
    while (s.len) {
        const char *why = segment(t, &s);
        if (why)
            return why;
        if (s.len) /* the slash */
            s = fp_str_n(s.data + 1, s.len - 1);
    }
    return NULL;
}

const char *fp_model_template_check(struct fp_arena *a, struct fp_str s)
{
    struct template t = {.n = 0};
    return parse(&t, s);
}

const char *fp_model_template_rewrite_check(struct fp_arena *a, struct fp_str rewrite,
                                            struct fp_str match)
{
    struct template t = {.n = 0};
    if (parse(&t, match))
        return NULL; /* reported for the match itself */
    struct fp_str s = rewrite;
    if (s.len == 0 || s.data[0] != '/')
        return "must start with /";
    while (s.len) {
        if (fp_str_starts(s, FP_STR("//")))
            return "empty segment";
        if (s.data[0] != '{') {
            if (!is_literal(s.data[0]) && s.data[0] != '/')
                return "bad character";
            s = fp_str_n(s.data + 1, s.len - 1);
            continue;
        }
        const char *close = memchr(s.data, '}', s.len);
        if (!close)
            return "missing }";
        struct fp_str name = fp_str_n(s.data + 1, (size_t)(close - s.data - 1));
        bool found = false;
        for (unsigned i = 0; i < t.n; i++)
            found |= fp_str_eq(t.names[i], name);
        if (!found)
            return fp_arena_printf(a, "{%.*s} is not a variable of the match", FP_STR_ARG(name));
        s = fp_str_n(close + 1, (size_t)(s.data + s.len - close - 1));
    }
    return NULL;
}
