/*
 * Is this an RE2 expression?  Syntax only: no back-references, no look-around, repetition up to
 * 1000 (nested ones multiplied), as RE2 parses with Perl classes; and how big is its program,
 * about.  PCRE2 accepts other languages, so it never judges.  Recursion is bounded.  Pure; API
 * workers and the watcher.
 */
#include "model/model_int.h"

#define DEPTH_MAX  200 /* RE2 itself stops at 1000; nobody writes this by hand */
#define REPEAT_MAX 1000

struct part {        /* of an expression */
    unsigned repeat; /* how often counting repeats its innermost part */
    size_t size;     /* instructions of RE2's program, about */
};
struct parse {
    const char *p, *end;
    const char *why;
    unsigned depth, groups;
};

static bool fail(struct parse *s, const char *why)
{
    if (!s->why)
        s->why = why;
    return false;
}

static bool at(const struct parse *s, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(s->end - s->p) >= n && memcmp(s->p, text, n) == 0;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_octal(const struct parse *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '7';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f')
        return (c | 32) - 'a' + 10;
    return -1;
}

/* After \x: two digits or {…}; above FF there is no Latin-1 character. */
static bool hex_escape(struct parse *s, unsigned *value)
{
    bool braces = s->p < s->end && *s->p == '{';
    unsigned v = 0, n = 0;
    s->p += braces;
    while (s->p < s->end && hex_digit(*s->p) >= 0 && (braces || n < 2)) {
        v = v * 16 + (unsigned)hex_digit(*s->p++);
        n++;
        if (v > 0xFF)
            return fail(s, "invalid escape sequence");
    }
    bool closed = !braces || (s->p < s->end && *s->p++ == '}');
    *value = v;
    return (n == 2 || (braces && n > 0)) && closed ? true : fail(s, "invalid escape sequence");
}

/* After \p or \P: one letter or {^Name}; names are not looked up. */
static bool unicode_class(struct parse *s)
{
    if (s->p < s->end && *s->p == '{') {
        const char *close = memchr(s->p, '}', (size_t)(s->end - s->p));
        if (!close || close == s->p + 1)
            return fail(s, "invalid character class");
        for (const char *c = s->p + 1 + (s->p[1] == '^'); c < close; c++)
            if (!is_word(*c))
                return fail(s, "invalid character class");
        s->p = close + 1;
        return true;
    }
    if (s->p < s->end && strchr("CLMNPSZ", *s->p) && *s->p) {
        s->p++;
        return true;
    }
    return fail(s, "invalid character class");
}

/* A character escape; p is behind the backslash. */
static bool char_escape(struct parse *s, unsigned *value)
{
    static const char letters[] = "aftnrv", codes[] = "\a\f\t\n\r\v";
    if (s->p == s->end)
        return fail(s, "trailing backslash");
    char c = *s->p++;
    const char *known = c ? strchr(letters, c) : NULL;
    *value = (unsigned char)c;
    if (known) {
        *value = (unsigned char)codes[known - letters];
        return true;
    }
    if (c == 'x')
        return hex_escape(s, value);
    if (c >= '0' && c <= '7') { /* \0, \07, \012; a single digit but 0 is a back-reference */
        if (c != '0' && !is_octal(s))
            return fail(s, "back-references are not supported");
        *value = (unsigned)(c - '0');
        for (int i = 0; i < 2 && is_octal(s); i++)
            *value = *value * 8 + (unsigned)(*s->p++ - '0');
        return *value <= 0xFF ? true : fail(s, "invalid escape sequence");
    }
    if (c == '8' || c == '9' || c == 'k' || c == 'g')
        return fail(s, "back-references are not supported");
    if ((unsigned char)c >= 0x80 || (is_word(c) && c != '_'))
        return fail(s, "invalid escape sequence");
    return true;
}

static bool perl_class(struct parse *s) /* at \d and the like; consumes it */
{
    if (s->end - s->p < 2 || *s->p != '\\')
        return false;
    if (s->p[1] && strchr("dDsSwW", s->p[1])) {
        s->p += 2;
        return true;
    }
    return false;
}

static bool posix_class(struct parse *s)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank",  "cntrl",
                                        "digit", "graph", "lower", "print",  "punct",
                                        "space", "upper", "word",  "xdigit", NULL};
    const char *close = s->p + 2;
    while (close + 1 < s->end && !(close[0] == ':' && close[1] == ']'))
        close++;
    if (close + 1 >= s->end)
        return false; /* "[:" without ":]" is plain text */
    struct fp_str name = fp_str_n(s->p + 2, (size_t)(close - s->p - 2));
    if (name.len && name.data[0] == '^')
        name = fp_str_n(name.data + 1, name.len - 1);
    for (const char *const *n = names; *n; n++)
        if (fp_str_eq_c(name, *n)) {
            s->p = close + 2;
            return true;
        }
    return fail(s, "invalid character class");
}

static unsigned take_char(struct parse *s) /* Envoy compiles with Latin-1: a byte is a character */
{
    return (unsigned char)*s->p++;
}

static bool class_char(struct parse *s, unsigned *value)
{
    if (s->p == s->end)
        return fail(s, "missing closing ]");
    if (*s->p != '\\') {
        *value = take_char(s);
        return true;
    }
    s->p++;
    return char_escape(s, value);
}

static bool class_range(struct parse *s)
{
    unsigned low, high;
    if (!class_char(s, &low))
        return false;
    if (s->end - s->p < 2 || s->p[0] != '-' || s->p[1] == ']')
        return true;
    s->p++;
    if (!class_char(s, &high))
        return false;
    return low <= high ? true : fail(s, "invalid character class range");
}

static bool bracket(struct parse *s) /* behind [ */
{
    bool first = true;
    if (s->p < s->end && *s->p == '^')
        s->p++;
    for (; s->p < s->end && (*s->p != ']' || first); first = false) {
        if (at(s, "[:") && posix_class(s))
            continue;
        if (s->why)
            return false;
        if (perl_class(s))
            continue;
        if (at(s, "\\p") || at(s, "\\P")) {
            s->p += 2;
            if (!unicode_class(s))
                return false;
            continue;
        }
        if (!class_range(s))
            return false;
    }
    if (s->p == s->end)
        return fail(s, "missing closing ]");
    s->p++;
    return true;
}

static bool group_name(struct parse *s)
{
    const char *close = memchr(s->p, '>', (size_t)(s->end - s->p));
    if (!close || close == s->p)
        return fail(s, "invalid named group");
    struct fp_str name = fp_str_n(s->p, (size_t)(close - s->p));
    for (size_t i = 0; i < name.len; i++)
        if (!is_word(name.data[i]))
            return fail(s, "invalid named group");
    s->groups++;
    s->p = close + 1;
    return true;
}

/* Behind "(?": *alone is set for (?i), which is no group and takes no repetition. */
static bool group_head(struct parse *s, bool *alone)
{
    if (at(s, "=") || at(s, "!") || at(s, "<=") || at(s, "<!"))
        return fail(s, "look-around is not supported");
    if (at(s, "P<") || at(s, "<")) {
        s->p += *s->p == 'P' ? 2 : 1;
        return group_name(s);
    }
    if (at(s, "P=") || at(s, "P>"))
        return fail(s, "back-references are not supported");
    bool minus = false, flag = false;
    for (; s->p < s->end; s->p++) {
        if (*s->p && strchr("imsU", *s->p)) {
            flag = true;
        } else if (*s->p == '-' && !minus) {
            minus = true;
            flag = false;
        } else if ((*s->p == ':' || *s->p == ')') && (flag || !minus)) {
            *alone = *s->p == ')';
            s->p++;
            return true;
        } else {
            break;
        }
    }
    return fail(s, "invalid group");
}

static bool alternation(struct parse *s, struct part *out);

static bool group(struct parse *s, struct part *part, bool *alone) /* behind ( */
{
    unsigned groups = s->groups;
    if (at(s, "?")) {
        s->p++;
        if (!group_head(s, alone))
            return false;
        if (*alone)
            return true;
    } else {
        s->groups++;
    }
    bool captures = s->groups > groups;
    if (++s->depth > DEPTH_MAX)
        return fail(s, "nested too deep");
    if (!alternation(s, part))
        return false;
    part->size += captures ? 2 : 0;
    s->depth--;
    if (s->p == s->end)
        return fail(s, "missing closing )");
    s->p++;
    return true;
}

static bool escape(struct parse *s, bool *atom) /* behind the backslash */
{
    unsigned ignored;
    if (at(s, "Q")) {
        s->p++;
        *atom = false;
        while (s->p < s->end && !at(s, "\\E")) {
            s->p++;
            *atom = true;
        }
        s->p = s->p < s->end ? s->p + 2 : s->p;
        return true;
    }
    if (s->p < s->end && *s->p && strchr("dDsSwWbBAzC", *s->p)) {
        s->p++;
        return true;
    }
    if (at(s, "p") || at(s, "P")) {
        s->p++;
        return unicode_class(s);
    }
    if (at(s, "Z") || at(s, "G") || at(s, "K") || at(s, "E"))
        return fail(s, "invalid escape sequence");
    return char_escape(s, &ignored);
}

/* {n}, {n,}, {n,m} at p; anything else is plain text. */
static bool counted(struct parse *s, unsigned *low, unsigned *high)
{
    const char *p = s->p + 1;
    unsigned v[2] = {0, 0}, digits[2] = {0, 0}, i = 0;
    for (; p < s->end && *p != '}'; p++) {
        if (*p == ',' && i == 0 && digits[0]) {
            i = 1;
        } else if (*p >= '0' && *p <= '9') {
            digits[i]++;
            v[i] = v[i] > REPEAT_MAX ? v[i] : v[i] * 10 + (unsigned)(*p - '0');
        } else {
            return false;
        }
    }
    if (p == s->end || !digits[0])
        return false;
    *low = v[0];
    *high = i == 0 ? v[0] : digits[1] ? v[1] : v[0];
    s->p = p + 1;
    return true;
}

/* Repetition behind an atom. */
static bool repetition(struct parse *s, bool atom, struct part *part)
{
    bool done = false;
    while (s->p < s->end) {
        unsigned low = 0, high = 0;
        bool count = *s->p == '{';
        if (*s->p && strchr("*+?", *s->p))
            s->p++;
        else if (!count || !counted(s, &low, &high))
            return true;
        if (!atom)
            return fail(s, "missing argument to repetition operator");
        if (done)
            return fail(s, "bad repetition operator");
        if (low > REPEAT_MAX || high > REPEAT_MAX || high < low)
            return fail(s, "repetition count above 1000 or out of order");
        part->repeat *= high > 1 ? high : 1;
        if (part->repeat > REPEAT_MAX)
            return fail(s, "repetition count above 1000");
        part->size = count ? part->size * high + (high - low) : part->size + 1;
        done = true;
        if (s->p < s->end && *s->p == '?')
            s->p++;
    }
    return true;
}

static bool one_atom(struct parse *s, bool *atom, struct part *part)
{
    bool alone = false;
    char c = *s->p;
    const char *start = s->p;
    *atom = true;
    *part = (struct part){.repeat = 1, .size = 1};
    if (c && strchr("*+?", c)) {
        *atom = false;
        return true;
    }
    if (c == '{') {
        unsigned low, high;
        if (counted(s, &low, &high)) {
            s->p = start;
            *atom = false;
            return true;
        }
    }
    if (c != '(' && c != '[' && c != '\\') {
        take_char(s);
        return true;
    }
    s->p++;
    if (c == '[')
        return bracket(s);
    if (c == '\\') {
        bool quoted = at(s, "Q"), good = escape(s, atom);
        part->size = quoted && s->p > start + 4 ? (size_t)(s->p - start - 4) : 1;
        return good;
    }
    if (!group(s, part, &alone))
        return false;
    *atom = !alone;
    return true;
}

static bool alternation(struct parse *s, struct part *out)
{
    *out = (struct part){.repeat = 1};
    while (s->p < s->end && *s->p != ')') {
        if (*s->p == '|') {
            s->p++;
            out->size++;
            continue;
        }
        struct part part;
        bool atom;
        if (!one_atom(s, &atom, &part) || !repetition(s, atom, &part))
            return false;
        out->repeat = part.repeat > out->repeat ? part.repeat : out->repeat;
        out->size += part.size;
    }
    return true;
}

const char *fp_model_regex_check(struct fp_str s, size_t *size)
{
    struct parse p = {.p = s.data, .end = s.data + s.len};
    struct part whole;
    if (alternation(&p, &whole) && p.p < p.end)
        fail(&p, "unexpected )");
    if (size)
        *size = whole.size;
    return p.why;
}
