/* Blocks in reserved address space; all processes.  Must never touch a block itself. */
#include "os/os_blocks.h"
#include <sys/mman.h>

void *fp_blocks_take(struct fp_blocks *b)
{
    if (!b->base && !b->refused) {
        void *p = mmap(NULL, b->blocks_n * b->block_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        b->refused = p == MAP_FAILED;
        b->base = b->refused ? NULL : p;
    }
    if (b->free_n)
        return b->base + b->free[--b->free_n] * b->block_bytes;
    if (b->base && b->used_n < b->blocks_n)
        return b->base + b->used_n++ * b->block_bytes;
    return NULL;
}

void fp_blocks_give(struct fp_blocks *b, void *p)
{
    if (b->free_n >= b->resident_n)
        madvise(p, b->block_bytes, MADV_DONTNEED); /* refused: it stays, which costs memory only */
    b->free[b->free_n++] = (uint32_t)((size_t)((char *)p - b->base) / b->block_bytes);
}
