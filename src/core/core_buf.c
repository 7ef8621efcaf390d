/* Growable byte buffers.  All processes; sizes are bounded by the caller. */
#include <stdio.h>
#include "core/core_assert.h"
#include "core/core_buf.h"
#include "core/core_mem.h"

enum { FIRST_BYTES = 64 };

void fp_buf_fini(struct fp_buf *b)
{
    fp_mem_free(b->data);
    *b = (struct fp_buf){0};
}

void fp_buf_reserve(struct fp_buf *b, size_t more)
{
    if (b->cap - b->len >= more)
        return;
    FP_ASSERT(more < SIZE_MAX / 2 - b->len);
    size_t cap = b->cap ? b->cap : FIRST_BYTES;
    while (cap - b->len < more)
        cap *= 2;
    b->data = fp_mem_realloc(b->data, cap);
    b->cap = cap;
}

void fp_buf_append(struct fp_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    fp_buf_reserve(b, n);
    memcpy(b->data + b->len, p, n);
    b->len += n;
}

void fp_buf_append_str(struct fp_buf *b, struct fp_str s)
{
    fp_buf_append(b, s.data, s.len);
}

void fp_buf_append_c(struct fp_buf *b, const char *s)
{
    fp_buf_append(b, s, strlen(s));
}

void fp_buf_append_byte(struct fp_buf *b, uint8_t c)
{
    fp_buf_append(b, &c, 1);
}

void fp_buf_printf(struct fp_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fp_buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void fp_buf_vprintf(struct fp_buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(b->data ? b->data + b->len : NULL, b->cap - b->len, fmt, ap);
    FP_ASSERT(n >= 0);
    if ((size_t)n >= b->cap - b->len) {
        fp_buf_reserve(b, (size_t)n + 1);
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    b->len += (size_t)n;
}

static void append_json_char(struct fp_buf *b, unsigned char c)
{
    static const char pairs[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *p = pairs; *p; p += 2)
        if ((unsigned char)p[0] == c) {
            fp_buf_append_byte(b, '\\');
            fp_buf_append_byte(b, (uint8_t)p[1]);
            return;
        }
    fp_buf_printf(b, "\\u%04x", c);
}

static bool json_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

void fp_buf_append_json(struct fp_buf *b, struct fp_str s)
{
    size_t from = 0, i = 0; /* from..i is text that needs no change */
    fp_buf_append_byte(b, '"');
    while (i < s.len) {
        size_t step = fp_utf8_step(s.data + i, s.len - i);
        if (step > 1 || (step == 1 && json_plain((unsigned char)s.data[i]))) {
            i += step;
            continue;
        }
        fp_buf_append(b, s.data + from, i - from);
        if (step)
            append_json_char(b, (unsigned char)s.data[i]);
        else
            fp_buf_append_c(b, "\xef\xbf\xbd"); /* U+FFFD */
        from = ++i;
    }
    fp_buf_append(b, s.data + from, i - from);
    fp_buf_append_byte(b, '"');
}

void fp_buf_consume(struct fp_buf *b, size_t n)
{
    FP_ASSERT(n <= b->len);
    if (n && n < b->len)
        memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

void fp_buf_clear(struct fp_buf *b)
{
    b->len = 0;
}

struct fp_str fp_buf_str(const struct fp_buf *b)
{
    return fp_str_n(b->data ? b->data : "", b->len);
}

const char *fp_buf_cstr(struct fp_buf *b)
{
    fp_buf_reserve(b, 1);
    b->data[b->len] = '\0';
    return b->data;
}
