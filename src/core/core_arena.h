/*
 * Arenas: bump allocation, freed as a whole.  One per connection, a child per request or stream.
 * Freeing or resetting a parent frees its children.  Not thread-safe (no process here has threads).
 */
#pragma once
#include <stdarg.h>
#include "core/core_str.h"

struct fp_arena;

struct fp_arena *fp_arena_new(struct fp_arena *parent); /* parent may be NULL */
void fp_arena_free(struct fp_arena **a);                /* *a may be NULL; sets it to NULL */
void fp_arena_reset(struct fp_arena *a);                /* keeps the first block */
void *fp_arena_alloc(struct fp_arena *a, size_t n);     /* zeroed, 16-aligned, never NULL */
void *fp_arena_dup(struct fp_arena *a, const void *p, size_t n);
char *fp_arena_strdup(struct fp_arena *a, const char *s);
struct fp_str fp_arena_str(struct fp_arena *a,
                           struct fp_str s); /* copy, NUL-terminated behind len */
char *fp_arena_printf(struct fp_arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
char *fp_arena_vprintf(struct fp_arena *a, const char *fmt, va_list ap);
/* Runs when the arena is reset or freed, newest first.  For json_decref and the like. */
void fp_arena_cleanup(struct fp_arena *a, void (*fn)(void *), void *arg);
size_t fp_arena_bytes(const struct fp_arena *a); /* held by it and its children */
#define FP_ARENA_NEW(a, type) ((type *)fp_arena_alloc((a), sizeof(type)))
