/*
 * Where OpenSSL's memory comes from: core_mem, but for buffers of a record's size, which come from
 * blocks in a range of their own, last used first.  A few stay resident; what a storm of handshakes
 * needed beyond them goes back to the system with each block.  All processes; must never fail.
 */
#include "tls/tls_memory.h"
#include <openssl/crypto.h>
#include <string.h>
#include "core/core_mem.h"
#include "fp_config.h"
#include "os/os_blocks.h"

#define BLOCK_BYTES (24u << 10)
#define BLOCK_LEAST (16u << 10) /* smaller ones are the heap's */
#define BLOCKS_N    4096u       /* two a handshake under way; more are the heap's, too */

static uint32_t free_blocks[BLOCKS_N];
static struct fp_blocks blocks = {
    .block_bytes = BLOCK_BYTES, .blocks_n = BLOCKS_N, .resident_n = 64, .free = free_blocks};

static void *allocate(size_t n, const char *file, int line)
{
    void *p = n >= BLOCK_LEAST && n <= BLOCK_BYTES ? fp_blocks_take(&blocks) : NULL;
    return p ? p : n ? fp_mem_alloc(n) : NULL;
}

static void release(void *p, const char *file, int line)
{
    if (fp_blocks_has(&blocks, p))
        fp_blocks_give(&blocks, p);
    else
        fp_mem_free(p);
}

static void *resize(void *p, size_t n, const char *file, int line)
{
    if (!p || !n) {
        release(p, file, line);
        return allocate(n, file, line);
    }
    if (!fp_blocks_has(&blocks, p))
        return fp_mem_realloc(p, n);
    if (n <= BLOCK_BYTES)
        return p;
    void *q = memcpy(fp_mem_alloc(n), p, BLOCK_BYTES);
    fp_blocks_give(&blocks, p);
    return q;
}

void fp_tls_memory_init(void)
{
    if (!*FP_SANITIZER) /* which then sees what OpenSSL does with its memory */
        CRYPTO_set_mem_functions(allocate, resize, release);
}
