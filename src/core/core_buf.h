/* A growable byte buffer on the heap.  {0} is a valid empty buffer; fini frees it. */
#pragma once
#include <stdarg.h>
#include "core/core_str.h"

struct fp_buf {
    char *data; /* NULL while cap == 0 */
    size_t len, cap;
};

void fp_buf_fini(struct fp_buf *b);
void fp_buf_reserve(struct fp_buf *b, size_t more); /* room for `more` bytes behind len */
void fp_buf_append(struct fp_buf *b, const void *p, size_t n);
void fp_buf_append_str(struct fp_buf *b, struct fp_str s);
void fp_buf_append_c(struct fp_buf *b, const char *s);
void fp_buf_append_byte(struct fp_buf *b, uint8_t c);
void fp_buf_printf(struct fp_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fp_buf_vprintf(struct fp_buf *b, const char *fmt, va_list ap);
void fp_buf_append_json(struct fp_buf *b,
                        struct fp_str s);         /* quoted JSON string; bad UTF-8 → U+FFFD */
void fp_buf_consume(struct fp_buf *b, size_t n);  /* drop n bytes at the front */
void fp_buf_clear(struct fp_buf *b);              /* len = 0, memory kept */
struct fp_str fp_buf_str(const struct fp_buf *b); /* borrowed until the next change */
const char *fp_buf_cstr(struct fp_buf *b);        /* NUL-terminated in place */
