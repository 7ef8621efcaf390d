/*
 * nghttp2's memory is ours: core_mem, but for the frame buffer of a session.  It has 16 KiB, of
 * which small frames touch the first page; in pages that others have touched before it would cost
 * all of them.  In workers.
 */
#include "http/http2_int.h"
#include "os/os_blocks.h"

#define BUFFER_LEAST (16u << 10)
#define BUFFER_BYTES (20u << 10)
#define BUFFERS_N    32768u /* sessions; those of more are the heap's */

static uint32_t free_buffers[BUFFERS_N];
static struct fp_blocks buffers = {
    .block_bytes = BUFFER_BYTES, .blocks_n = BUFFERS_N, .free = free_buffers};

static void *allocate(size_t n, void *user)
{
    void *p = NULL;
#ifndef __SANITIZE_ADDRESS__ /* which watches the heap only */
    if (n >= BUFFER_LEAST && n <= BUFFER_BYTES)
        p = fp_blocks_take(&buffers);
#endif
    return p ? p : fp_mem_alloc(n ? n : 1);
}

static void release(void *p, void *user)
{
    if (fp_blocks_has(&buffers, p))
        fp_blocks_give(&buffers, p);
    else
        fp_mem_free(p);
}

static void *allocate_zeroed(size_t n, size_t size, void *user)
{
    return fp_mem_calloc(n ? n : 1, size ? size : 1);
}

static void *resize(void *p, size_t n, void *user)
{
    if (!p)
        return allocate(n, user); /* where the frame buffer comes from */
    if (!fp_blocks_has(&buffers, p))
        return fp_mem_realloc(p, n ? n : 1);
    if (n <= BUFFER_BYTES)
        return p;
    void *q = memcpy(fp_mem_alloc(n), p, BUFFER_BYTES);
    fp_blocks_give(&buffers, p);
    return q;
}

nghttp2_mem fp_http2_memory = {NULL, allocate, release, allocate_zeroed, resize};
