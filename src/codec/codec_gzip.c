/* gzip of whole response bodies; memory from core_mem. */
#include <limits.h>
#define ZLIB_CONST /* next_in may point to const */
#include <zlib.h>
#include "codec/codec_gzip.h"
#include "core/core_err.h"
#include "core/core_mem.h"

enum { LEVEL = 6, WINDOW_BITS_GZIP = 15 + 16, MEM_LEVEL = 8 };

static void *take(void *unused, uInt n, uInt size)
{
    (void)unused;
    return fp_mem_calloc(n, size);
}

static void give(void *unused, void *p)
{
    (void)unused;
    fp_mem_free(p);
}

int fp_gzip(struct fp_buf *out, struct fp_str in)
{
    z_stream z = {.zalloc = take, .zfree = give};
    if (in.len > UINT_MAX / 2)
        return FP_ERR_LIMIT;
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, WINDOW_BITS_GZIP, MEM_LEVEL, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return FP_ERR_INVALID;
    size_t bound = deflateBound(&z, in.len);
    fp_buf_reserve(out, bound); /* the bound holds for one deflate call with Z_FINISH */
    z.next_in = (const Bytef *)in.data;
    z.avail_in = (uInt)in.len;
    z.next_out = (Bytef *)out->data + out->len;
    z.avail_out = (uInt)bound;
    int rc = deflate(&z, Z_FINISH);
    if (rc == Z_STREAM_END)
        out->len += z.total_out;
    deflateEnd(&z);
    return rc == Z_STREAM_END ? 0 : FP_ERR_INVALID;
}
