/*
 * Keys in both spellings, pointers while reading, and what the reader remembers: warnings and names
 * of other resources.  Runs in API workers and the watcher; never does I/O.
 */
#include <stdio.h>
#include "core/core_assert.h"
#include "model/model_int.h"

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

void fp_model_snake(char out[FP_M_NAME_BYTES], const char *name)
{
    size_t n = 0;
    for (const char *p = name; *p; p++) {
        FP_ASSERT(n + 3 < FP_M_NAME_BYTES);
        if (is_upper(*p))
            out[n++] = '_';
        out[n++] = is_upper(*p) ? (char)(*p - 'A' + 'a') : *p;
    }
    out[n] = '\0';
}

/* The next character of a key in camelCase: "_x" reads as 'X'. */
static char next_camel(const char **p)
{
    char c = *(*p)++;
    bool word = c == '_' && ((**p >= 'a' && **p <= 'z') || (**p >= '0' && **p <= '9'));
    if (!word)
        return c;
    c = *(*p)++;
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

bool fp_model_key_is(const char *name, const char *key)
{
    if (name[0] != key[0]) /* the first letter is the same in both */
        return false;
    if (strcmp(name, key) == 0)
        return true;
    bool upper = false, under = false;
    for (const char *p = key; *p; p++) {
        upper |= is_upper(*p);
        under |= *p == '_';
    }
    if (upper && under) /* neither of the two spellings */
        return false;
    const char *a = name, *b = key;
    while (*a && *b)
        if (next_camel(&a) != next_camel(&b))
            return false;
    return !*a && !*b;
}

const json_t *fp_model_key_find(const json_t *v, const char *name, const char **key)
{
    char other[FP_M_NAME_BYTES];
    const json_t *m = json_object_get(v, name);
    const char *spelling = name;
    if (!m || json_is_null(m)) {
        if (strchr(name, '_')) {
            size_t n = 0;
            for (const char *p = name; *p;)
                other[n++] = next_camel(&p);
            other[n] = '\0';
        } else {
            fp_model_snake(other, name);
        }
        spelling = other;
        m = json_object_get(v, other);
    }
    if (!m || json_is_null(m))
        return NULL;
    if (key) { /* the object's own string: ours may not live as long */
        void *iter = json_object_iter_at((json_t *)v, spelling);
        *key = json_object_iter_key(iter);
    }
    return m;
}

/* ---- pointers of the objects being read: a stack of chunks, taken back step by step ---- */
#define CHUNK_BYTES 4096

struct chunk {
    struct chunk *next;
    size_t base, cap; /* the stack's length below this chunk; room in it */
    char text[];
};
struct fp_model_paths {
    struct chunk *first, *top;
    size_t len; /* of the whole stack */
};

static struct chunk *chunk_new(struct fp_arena *a, size_t base, size_t cap)
{
    struct chunk *c = fp_arena_alloc(a, sizeof(*c) + cap);
    c->base = base;
    c->cap = cap;
    return c;
}

static char *take(struct fp_model_reader *r, size_t n)
{
    struct fp_model_paths *p = r->paths;
    if (!p) {
        p = r->paths = FP_ARENA_NEW(r->arena, struct fp_model_paths);
        p->first = p->top = chunk_new(r->arena, 0, CHUNK_BYTES);
    }
    while (p->len - p->top->base + n > p->top->cap) {
        struct chunk *next = p->top->next;
        if (!next || next->cap < n) { /* a too small one is left to the arena */
            next = chunk_new(r->arena, 0, n > CHUNK_BYTES ? n : CHUNK_BYTES);
            p->top->next = next;
        }
        next->base = p->len;
        p->top = next;
    }
    char *out = p->top->text + (p->len - p->top->base);
    p->len += n;
    return out;
}

size_t fp_model_path_mark(const struct fp_model_reader *r)
{
    return r->paths ? r->paths->len : 0;
}

void fp_model_path_rewind(struct fp_model_reader *r, size_t mark)
{
    struct fp_model_paths *p = r->paths;
    if (!p)
        return;
    p->len = mark;
    struct chunk *c = p->first;
    while (c != p->top && c->next->base <= mark)
        c = c->next;
    p->top = c;
}

const char *fp_model_path_push(struct fp_model_reader *r, const char *pointer, const char *key)
{
    size_t base = strlen(pointer), n = base + 2;
    for (const char *p = key; *p; p++)
        n += *p == '~' || *p == '/' ? 2 : 1;
    char *out = take(r, n), *to = out + base;
    memcpy(out, pointer, base);
    *to++ = '/';
    for (const char *p = key; *p; p++) {
        bool escape = *p == '~' || *p == '/';
        *to++ = escape ? '~' : *p;
        if (escape)
            *to++ = *p == '~' ? '0' : '1';
    }
    *to = '\0';
    return out;
}

const char *fp_model_path_push_index(struct fp_model_reader *r, const char *pointer, size_t index)
{
    char text[24];
    snprintf(text, sizeof(text), "%zu", index);
    return fp_model_path_push(r, pointer, text);
}

/* ---- what is remembered ---- */

static void notes_fini(void *notes)
{
    fp_map_fini(notes);
}

static struct fp_str note_key(struct fp_arena *a, enum fp_kind kind, struct fp_str name)
{
    return fp_str_of(fp_arena_printf(a, "%d %.*s", (int)kind, FP_STR_ARG(name)));
}

void fp_model_note(struct fp_model_reader *r, enum fp_kind kind, struct fp_str name,
                   const char *pointer)
{
    if (r->trusted || fp_model_noted(r, kind, name))
        return;
    if (!r->notes.cap)
        fp_arena_cleanup(r->arena, notes_fini, &r->notes);
    fp_map_set(&r->notes, note_key(r->arena, kind, name), fp_arena_strdup(r->arena, pointer));
}

const char *fp_model_noted(const struct fp_model_reader *r, enum fp_kind kind, struct fp_str name)
{
    return r->notes.n ? fp_map_get(&r->notes, note_key(r->arena, kind, name)) : NULL;
}

void fp_model_warn(struct fp_model_reader *r, const char *code, const char *pointer,
                   const char *fmt, ...)
{
    if (r->trusted)
        return;
    if (r->warnings_n == r->warnings_cap) {
        r->warnings_cap = r->warnings_cap ? 2 * r->warnings_cap : 8;
        struct fp_model_warning *w = fp_arena_alloc(r->arena, r->warnings_cap * sizeof(*w));
        if (r->warnings_n)
            memcpy(w, r->warnings, r->warnings_n * sizeof(*w));
        r->warnings = w;
    }
    va_list ap;
    va_start(ap, fmt);
    r->warnings[r->warnings_n++] =
        (struct fp_model_warning){.code = code,
                                  .pointer = fp_arena_strdup(r->arena, pointer),
                                  .message = fp_arena_vprintf(r->arena, fmt, ap)};
    va_end(ap);
}
