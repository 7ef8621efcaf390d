/*
 * HTTP/1 parser: whatever the bytes, parsing them whole and in two parts agrees, no read is outside
 * of the buffer (it is sized exactly), and a body's pieces add up.
 */
#include <stdlib.h>
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "http/http1_parse.h"

static const struct fp_http1_limits limits = {256, 1024, 16};

static int parse(struct fp_http1_head *h, const char *p, size_t n, size_t cut, char **copy)
{
    int rc = FP_HTTP1_MORE;
    fp_http1_head_init(h);
    *copy = fp_mem_dup(p, cut);
    if (cut)
        rc = fp_http1_head_parse(h, *copy, cut, &limits);
    if (cut == n || rc != FP_HTTP1_MORE)
        return rc;
    *copy = fp_mem_realloc(*copy, n);
    memcpy(*copy + cut, p + cut, n - cut);
    return fp_http1_head_parse(h, *copy, n, &limits);
}

static void check_spans(const struct fp_http1_head *h, size_t n)
{
    FP_ASSERT(h->pos <= n && h->fields_n <= limits.fields_n);
    for (uint32_t i = 0; i < h->fields_n; i++) {
        FP_ASSERT(h->name[i].at + h->name[i].n < h->value[i].at + 1);
        FP_ASSERT(h->value[i].at + h->value[i].n <= h->pos);
    }
}

static void body(const struct fp_http1_head *h, const char *p, size_t n)
{
    struct fp_http1_body b;
    struct fp_str in = fp_str_n(p, n), out;
    size_t sum = 0;
    int rc;
    fp_http1_body_init(&b, h->chunked, h->length);
    while ((rc = fp_http1_body_feed(&b, &in, &out)) == FP_HTTP1_BODY_DATA)
        sum += out.len;
    FP_ASSERT(sum <= n);
    FP_ASSERT(rc != FP_HTTP1_BODY_DONE || h->chunked || sum == h->length);
    FP_ASSERT(rc != FP_HTTP1_BODY_MORE || in.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct fp_http1_head whole, parts;
    char *a, *b;
    if (n < 2)
        return 0;
    size_t cut = data[0] % n;
    data++, n--;
    if (cut > n)
        cut = n;
    int rc = parse(&whole, (const char *)data, n, n, &a);
    int again = parse(&parts, (const char *)data, n, cut, &b);
    FP_ASSERT(rc == again && whole.pos == parts.pos && whole.fields_n == parts.fields_n);
    if (rc == FP_HTTP1_DONE) {
        check_spans(&whole, n);
        body(&whole, a + whole.pos, n - whole.pos);
    } else {
        FP_ASSERT(rc == FP_HTTP1_MORE || (rc >= 400 && rc < 600 && whole.error));
    }
    fp_mem_free(a);
    fp_mem_free(b);
    return 0;
}
