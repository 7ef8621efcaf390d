/*
 * The text of a configuration file before libconfig sees it.  Runs in the master.  Resolves
 * @include itself, since libconfig's scanner ends the process when an include is a directory, and
 * marks integers as 64 bit wide, since libconfig cuts them to 32 without a word.  An integer beyond
 * 64 bits becomes a string of digits, which the check reports as out of range.
 */
#include <ctype.h>
#include <errno.h>
#include <sys/stat.h>
#include "core/core_buf.h"
#include "core/core_mem.h"
#include "os/os_file.h"
#include "conf/conf_int.h"

#define INCLUDE_DEPTH_MAX 8
#define FILE_MAX_BYTES    ((size_t)1 << 20)
#define TEXT_MAX_BYTES    ((size_t)4 << 20)
#define NESTING_MAX       16

struct scan {
    struct fp_conf_load *l;
    struct fp_conf_text *t;
    const char *file;
    int line;
    int depth;   /* of includes */
    int nesting; /* of braces and brackets */
    const char *p, *end;
};

static void line_begin(struct fp_conf_text *t, const char *file, int line)
{
    if (t->lines_n == t->lines_cap) {
        t->lines_cap = t->lines_cap ? t->lines_cap * 2 : 128;
        t->lines = fp_mem_realloc(t->lines, t->lines_cap * sizeof *t->lines);
    }
    t->lines[t->lines_n++] = (struct fp_conf_line){file, line};
}

static void put(struct scan *s, char c)
{
    fp_buf_append_byte(s->t->out, (uint8_t)c);
    if (c == '\n')
        line_begin(s->t, s->file, ++s->line);
}

static const char *where(const struct scan *s)
{
    return fp_arena_printf(s->l->c->arena, "%s:%d", s->file, s->line);
}

static bool read_level(struct fp_conf_load *l, struct fp_conf_text *t, const char *path,
                       const char *origin, int depth);

/* At `@include "path"` in the first column that is not blank: the file's text takes its place. */
static bool include(struct scan *s)
{
    const char *p = s->p + 8;
    while (p < s->end && (*p == ' ' || *p == '\t'))
        p++;
    const char *close =
        p < s->end && *p == '"' ? memchr(p + 1, '"', (size_t)(s->end - p - 1)) : NULL;
    if (!close || memchr(p, '\n', (size_t)(close - p))) {
        fp_conf_error(s->l, where(s), "@include needs a file name in quotes");
        return false;
    }
    struct fp_arena *a = s->l->c->arena;
    const char *name = fp_arena_printf(a, "%.*s", (int)(close - p - 1), p + 1);
    const char *slash = strrchr(s->file, '/');
    if (name[0] != '/' && slash)
        name = fp_arena_printf(a, "%.*s/%s", (int)(slash - s->file), s->file, name);
    if (s->depth + 1 > INCLUDE_DEPTH_MAX) {
        fp_conf_error(s->l, where(s), "@include nested deeper than %d", INCLUDE_DEPTH_MAX);
        return false;
    }
    if (!read_level(s->l, s->t, name, where(s), s->depth + 1))
        return false;
    s->p = close + 1;
    /* what follows on this line is again this file's */
    s->t->lines[s->t->lines_n - 1] = (struct fp_conf_line){s->file, s->line};
    return true;
}

static void copy_comment(struct scan *s)
{
    if (*s->p == '/' && s->p[1] == '*') {
        put(s, *s->p++);
        put(s, *s->p++);
        while (s->p < s->end && !(s->p[-1] == '*' && *s->p == '/'))
            put(s, *s->p++);
        return;
    }
    while (s->p < s->end && *s->p != '\n')
        put(s, *s->p++);
}

/* libconfig would only say "syntax error", and leak what it has read of the string. */
static bool copy_string(struct scan *s)
{
    const char *opened = where(s);
    put(s, *s->p++);
    while (s->p < s->end && *s->p != '"') {
        if (*s->p == '\\' && s->p + 1 < s->end)
            put(s, *s->p++);
        put(s, *s->p++);
    }
    if (s->p == s->end) {
        fp_conf_error(s->l, opened, "a string is not closed");
        return false;
    }
    put(s, *s->p++);
    return true;
}

/* A word: a name, a boolean or a number.  Only whole decimal integers are touched. */
static void copy_word(struct scan *s)
{
    const char *b = s->p;
    while (s->p < s->end && (isalnum((unsigned char)*s->p) || strchr("_.+-*", *s->p)))
        s->p++;
    struct fp_str w = fp_str_n(b, (size_t)(s->p - b));
    struct fp_str digits = w;
    if (digits.len > 1 && (digits.data[0] == '-' || digits.data[0] == '+'))
        digits = fp_str_n(digits.data + 1, digits.len - 1);
    bool integer = digits.len > 0;
    for (size_t i = 0; i < digits.len; i++)
        integer = integer && isdigit((unsigned char)digits.data[i]);
    int64_t v;
    if (!integer)
        fp_buf_append_str(s->t->out, w);
    else if (fp_str_to_i64(w.data[0] == '+' ? digits : w, &v))
        fp_buf_printf(s->t->out, "%lldL", (long long)v);
    else
        fp_buf_printf(s->t->out, "\"%.*s\"", FP_STR_ARG(w));
}

static bool scan(struct scan *s)
{
    bool line_start = true;
    while (s->p < s->end) {
        char c = *s->p;
        size_t left = (size_t)(s->end - s->p);
        if (c == '@' && line_start && left > 8 && memcmp(s->p, "@include", 8) == 0) {
            if (!include(s))
                return false;
        } else if (c == '#' || (c == '/' && left > 1 && (s->p[1] == '/' || s->p[1] == '*'))) {
            copy_comment(s);
        } else if (c == '"') {
            if (!copy_string(s))
                return false;
        } else if (isalnum((unsigned char)c) || strchr("_.+-*", c)) {
            copy_word(s);
        } else {
            s->nesting += strchr("{[(", c) ? 1 : strchr("}])", c) ? -1 : 0;
            if (s->nesting > NESTING_MAX) {
                fp_conf_error(s->l, where(s), "nested deeper than %d", NESTING_MAX);
                return false;
            }
            put(s, *s->p++);
        }
        line_start = c == '\n' || (line_start && (c == ' ' || c == '\t'));
    }
    return true;
}

static bool read_level(struct fp_conf_load *l, struct fp_conf_text *t, const char *path,
                       const char *origin, int depth)
{
    struct fp_buf in = {0};
    struct stat st = {0};
    bool ok = false;
    int r = stat(path, &st) ? -errno : 0;
    /* a pipe is fine for -c <(…); an include must not block or end elsewhere */
    bool odd = S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode);
    if (r == 0 && !S_ISREG(st.st_mode) && (depth > 0 || !odd))
        r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    if (r == 0)
        r = fp_file_read(path, FILE_MAX_BYTES, &in);
    if (r < 0)
        fp_conf_error(l, origin, "cannot read %s: %s", path, fp_err_text(r));
    else if (in.len && memchr(in.data, 0, in.len))
        fp_conf_error(l, path, "contains a NUL byte");
    else if (t->out->len + in.len > TEXT_MAX_BYTES)
        fp_conf_error(l, path, "the configuration is larger than %zu bytes", TEXT_MAX_BYTES);
    else {
        struct scan s = {
            .l = l, .t = t, .file = fp_arena_strdup(l->c->arena, path), .line = 1, .depth = depth};
        fp_buf_cstr(&in); /* a NUL behind the end: look-ahead by one is safe */
        s.p = in.data ? in.data : "";
        s.end = s.p + in.len;
        if (depth == 0)
            line_begin(t, s.file, 1);
        else
            t->lines[t->lines_n - 1] = (struct fp_conf_line){s.file, 1};
        ok = scan(&s);
    }
    fp_buf_fini(&in);
    return ok;
}

bool fp_conf_text_read(struct fp_conf_load *l, const char *path, struct fp_conf_text *t)
{
    return read_level(l, t, path, NULL, 0);
}

void fp_conf_text_fini(struct fp_conf_text *t)
{
    fp_mem_free(t->lines);
    t->lines = NULL;
}
