/*
 * Heap memory.  The only place that calls malloc.  Allocation never returns NULL: it aborts, and
 * the master respawns the process; so every size that comes from outside is bounded before it gets
 * here.
 */
#pragma once
#include <stddef.h>

void *fp_mem_alloc(size_t n);               /* uninitialised */
void *fp_mem_zalloc(size_t n);              /* zeroed */
void *fp_mem_calloc(size_t n, size_t size); /* zeroed, overflow checked */
void *fp_mem_realloc(void *p, size_t n);
char *fp_mem_strdup(const char *s);
void *fp_mem_dup(const void *p, size_t n);
void fp_mem_free(void *p); /* NULL is fine */
/* What a burst has left free goes back to the system; for a quiet moment of a long-lived process.
 */
void fp_mem_give_back(void);
