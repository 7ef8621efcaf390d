/*
 * Blocks of one size in address space of their own: for large buffers that are used for a moment,
 * or hardly touched.  From the common heap they would come with pages that somebody else has
 * touched, and leave such pages behind.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fp_blocks {      /* static, one a use; the first four are set by its owner */
    size_t block_bytes; /* whole pages */
    uint32_t blocks_n;
    uint32_t resident_n;     /* free ones that keep their memory */
    uint32_t *free;          /* blocks_n of them; free_n are given back, the last one on top */
    uint32_t free_n, used_n; /* from used_n on: never used */
    char *base;              /* NULL: not reserved yet */
    bool refused;
};

void *fp_blocks_take(struct fp_blocks *b); /* NULL: all are taken, or there is no such space */
void fp_blocks_give(struct fp_blocks *b, void *p);
static inline bool fp_blocks_has(const struct fp_blocks *b, const void *p)
{
    return b->base && (const char *)p >= b->base &&
           (const char *)p < b->base + b->blocks_n * b->block_bytes;
}
