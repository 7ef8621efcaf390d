/*
 * Arenas: a chain of blocks, the newest first; the struct lives at the head of its oldest block, so
 * that a small arena is one allocation.  All processes; never used from two threads.
 */
#include <stdio.h>
#include "core/core_arena.h"
#include "core/core_assert.h"
#include "core/core_list.h"
#include "core/core_mem.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum {
    ALIGN = 16,
    FIRST_BYTES = 1024, /* a connection with one small request stays within it */
    BLOCK_MAX_BYTES = 64 * 1024,
};

struct block {
    struct block *older;
    size_t size, used; /* of the whole block, header included */
} __attribute__((aligned(ALIGN)));

struct cleanup {
    struct cleanup *older;
    void (*fn)(void *);
    void *arg;
};

struct fp_arena {
    struct block *top;      /* allocations come from here */
    struct block *first;    /* holds this struct; kept by reset */
    struct cleanup *newest; /* allocated in the arena */
    struct fp_arena *parent;
    struct fp_list children; /* of link */
    struct fp_list link;     /* in parent->children, when parent is set */
    size_t bytes;
} __attribute__((aligned(ALIGN)));

enum { HEAD_BYTES = sizeof(struct block) + sizeof(struct fp_arena) };

static struct block *block_new(size_t size)
{
    struct block *b = fp_mem_alloc(size);
    b->older = NULL;
    b->size = size;
    b->used = sizeof(*b);
    POISON((char *)b + b->used, size - b->used);
    return b;
}

static void block_free(struct block *b)
{
    UNPOISON((char *)b, b->size);
    fp_mem_free(b);
}

struct fp_arena *fp_arena_new(struct fp_arena *parent)
{
    struct block *b = block_new(FIRST_BYTES);
    struct fp_arena *a = (struct fp_arena *)(b + 1);
    UNPOISON(a, sizeof(*a));
    b->used = HEAD_BYTES;
    *a = (struct fp_arena){.top = b, .first = b, .parent = parent, .bytes = b->size};
    fp_list_init(&a->children);
    if (parent)
        fp_list_push_back(&parent->children, &a->link);
    return a;
}

/* Children first, then cleanups newest first: each may still use what was there before it. */
static void empty(struct fp_arena *a)
{
    while (!fp_list_empty(&a->children)) {
        struct fp_arena *child = FP_CONTAINER(a->children.prev, struct fp_arena, link);
        fp_arena_free(&child);
    }
    while (a->newest) {
        struct cleanup c = *a->newest;
        a->newest = c.older;
        c.fn(c.arg);
    }
    FP_ASSERT(fp_list_empty(&a->children)); /* a cleanup must not make new ones */
    while (a->top != a->first) {
        struct block *b = a->top;
        a->top = b->older;
        block_free(b);
    }
}

void fp_arena_free(struct fp_arena **ap)
{
    struct fp_arena *a = *ap;
    *ap = NULL;
    if (!a)
        return;
    empty(a);
    if (a->parent)
        fp_list_remove(&a->link);
    block_free(a->first);
}

void fp_arena_reset(struct fp_arena *a)
{
    empty(a);
    a->first->used = HEAD_BYTES;
    a->bytes = a->first->size;
    POISON((char *)a->first + HEAD_BYTES, a->first->size - HEAD_BYTES);
}

static struct block *block_add(struct fp_arena *a, size_t need)
{
    size_t size = a->top->size * 2;
    if (size > BLOCK_MAX_BYTES)
        size = BLOCK_MAX_BYTES;
    bool own = need + sizeof(struct block) > size;
    struct block *b = block_new(own ? need + sizeof(struct block) : size);
    a->bytes += b->size;
    if (own) { /* big: put it under the top, whose room is still good */
        if (a->top == a->first) {
            b->older = a->top;
            a->top = b;
        } else {
            b->older = a->top->older;
            a->top->older = b;
        }
    } else {
        b->older = a->top;
        a->top = b;
    }
    return b;
}

void *fp_arena_alloc(struct fp_arena *a, size_t n)
{
    FP_ASSERT(n < SIZE_MAX / 2);
    size_t need = ((n ? n : 1) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct block *b = a->top;
    if (b->size - b->used < need)
        b = block_add(a, need);
    char *p = (char *)b + b->used;
    b->used += need;
    UNPOISON(p, n);
    if (n)
        memset(p, 0, n);
    return p;
}

void *fp_arena_dup(struct fp_arena *a, const void *p, size_t n)
{
    void *q = fp_arena_alloc(a, n);
    if (n)
        memcpy(q, p, n);
    return q;
}

char *fp_arena_strdup(struct fp_arena *a, const char *s)
{
    return fp_arena_dup(a, s, strlen(s) + 1);
}

struct fp_str fp_arena_str(struct fp_arena *a, struct fp_str s)
{
    if (!s.data)
        return FP_STR_NULL;
    char *p = fp_arena_alloc(a, s.len + 1);
    if (s.len)
        memcpy(p, s.data, s.len);
    return fp_str_n(p, s.len);
}

char *fp_arena_printf(struct fp_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = fp_arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}

char *fp_arena_vprintf(struct fp_arena *a, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    FP_ASSERT(n >= 0);
    char *s = fp_arena_alloc(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

void fp_arena_cleanup(struct fp_arena *a, void (*fn)(void *), void *arg)
{
    struct cleanup *c = FP_ARENA_NEW(a, struct cleanup);
    *c = (struct cleanup){a->newest, fn, arg};
    a->newest = c;
}

size_t fp_arena_bytes(const struct fp_arena *a)
{
    size_t n = a->bytes;
    FP_LIST_FOREACH (it, (struct fp_list *)&a->children)
        n += fp_arena_bytes(FP_CONTAINER(it, struct fp_arena, link));
    return n;
}
