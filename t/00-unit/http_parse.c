/* The HTTP/1 parser: every request, cut at every byte, reads the same; limits to the byte. */
#include <stdlib.h>
#include "../../src/http/http1_parse.c"
#include "tap.h"

static const struct fp_http1_limits limits = {8192, 32768, 100};

struct result {
    int rc;
    struct fp_http1_head h;
    char data[65536];
};

/* Feeds `text` in two parts, or byte by byte when cut is 0. */
static void parse(struct result *r, const char *text, size_t n, size_t cut)
{
    memcpy(r->data, text, n);
    fp_http1_head_init(&r->h);
    r->rc = FP_HTTP1_MORE;
    if (cut)
        r->rc = fp_http1_head_parse(&r->h, r->data, cut, &limits);
    for (size_t i = 1; !cut && i < n && r->rc == FP_HTTP1_MORE; i++)
        r->rc = fp_http1_head_parse(&r->h, r->data, i, &limits);
    if (r->rc == FP_HTTP1_MORE)
        r->rc = fp_http1_head_parse(&r->h, r->data, n, &limits);
}

static bool same(const struct result *a, const struct result *b)
{
    if (a->rc != b->rc || a->h.fields_n != b->h.fields_n || a->h.pos != b->h.pos)
        return false;
    if (a->rc != FP_HTTP1_DONE)
        return a->rc == FP_HTTP1_MORE || !strcmp(a->h.error, b->h.error);
    return a->h.length == b->h.length && a->h.chunked == b->h.chunked &&
           a->h.keep_alive == b->h.keep_alive && a->h.host == b->h.host &&
           !memcmp(a->h.name, b->h.name, a->h.fields_n * sizeof *a->h.name) &&
           !memcmp(a->h.value, b->h.value, a->h.fields_n * sizeof *a->h.value);
}

static struct result whole, parts;

static void every_cut(const char *text)
{
    size_t n = strlen(text);
    bool ok = true;
    parse(&whole, text, n, n);
    for (size_t cut = 0; cut < n; cut++) {
        parse(&parts, text, n, cut);
        ok = ok && same(&whole, &parts);
    }
    text += strspn(text, "\r\n");
    ok(ok, "cut at every byte: %d %.*s", whole.rc, (int)strcspn(text, "\r\n"), text);
}

static void test_cuts(void)
{
    every_cut("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest");
    every_cut(
        "\r\nPOST /a?b HTTP/1.0\r\nContent-Length: 12\r\nConnection: keep-alive\r\nX:\t \r\n\r\n");
    every_cut(
        "PUT /a HTTP/1.1\r\nHOST:a\r\nTransfer-Encoding: Chunked\r\nExpect: 100-continue\r\n\r\n");
    every_cut("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n");
    every_cut("GET / HTTP/1.1\nHost: a\r\n\r\n");
    every_cut("GET / HTTP/1.1\r\nHost: a\r\n");
}

static void test_values(void)
{
    const char *t = "GET /p?q HTTP/1.1\r\nHost: h:1\r\nA-B:  x y\t \r\nEmpty:\r\nConnection: a, "
                    "CLOSE\r\n\r\nzz";
    parse(&whole, t, strlen(t), strlen(t));
    is_int(whole.rc, FP_HTTP1_DONE, "complete");
    is_int((int)whole.h.pos, (int)strlen(t) - 2, "the rest is not touched");
    ok(fp_str_eq_c(span(whole.data, whole.h.method), "GET"), "method");
    ok(fp_str_eq_c(span(whole.data, whole.h.target), "/p?q"), "target");
    ok(fp_str_eq_c(span(whole.data, whole.h.name[1]), "a-b"), "names are lower case");
    ok(fp_str_eq_c(span(whole.data, whole.h.value[1]), "x y"), "blanks around a value go");
    is_int((int)whole.h.value[2].n, 0, "an empty value");
    ok(!whole.h.keep_alive, "Connection: close in a list");
    is_int(whole.h.host, 0, "Host");
}

static int status_of(const char *head, size_t fill, const char *tail)
{
    static char text[70000];
    size_t n = strlen(head);
    memcpy(text, head, n);
    memset(text + n, 'a', fill);
    memcpy(text + n + fill, tail, strlen(tail));
    n += fill + strlen(tail);
    parse(&whole, text, n, n);
    return whole.rc;
}

static void test_limits(void)
{
    const char *end = " HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t fixed = strlen("GET / HTTP/1.1\r\n");
    is_int(status_of("GET /", 8192 - fixed, end), FP_HTTP1_DONE, "a request line of 8 KiB");
    is_int(status_of("GET /", 8193 - fixed, end), 414, "one byte more: 414");
    fixed = strlen("Host: a\r\nX: \r\n\r\n");
    const char *head = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    is_int(status_of(head, 32768 - fixed, "\r\n\r\n"), FP_HTTP1_DONE, "fields of 32 KiB");
    is_int(status_of(head, 32769 - fixed, "\r\n\r\n"), 431, "one byte more: 431");
    is_int(
        status_of("GET / HTTP/1.1\r\nContent-Length: 999999999999999999\r\nHost: ", 1, "\r\n\r\n"),
        FP_HTTP1_DONE, "18 digits of Content-Length");
    is_int(
        status_of("GET / HTTP/1.1\r\nContent-Length: 1000000000000000000\r\nHost: ", 1, "\r\n\r\n"),
        400, "19 digits: refused, never an overflow");
}

/* ---- bodies ---- */

static int decode(const char *text, size_t n, size_t step, char *out, size_t *out_n, size_t *left)
{
    struct fp_http1_body b;
    struct fp_str in = FP_STR_NULL, piece;
    int rc = FP_HTTP1_BODY_MORE;
    fp_http1_body_init(&b, true, 0);
    *out_n = 0;
    for (size_t i = 0; i < n && rc == FP_HTTP1_BODY_MORE; i += step) {
        in = fp_str_n(text + i, n - i < step ? n - i : step);
        while ((rc = fp_http1_body_feed(&b, &in, &piece)) == FP_HTTP1_BODY_DATA) {
            memcpy(out + *out_n, piece.data, piece.len);
            *out_n += piece.len;
        }
        *left = n - i - (n - i < step ? n - i : step) + in.len;
    }
    return rc;
}

static void test_chunked(void)
{
    const char *t = "5\r\nhello\r\n00000A;a=\"b c\"\r\n, world...\r\n0\r\nX-Y: z\r\nE:\r\n\r\nGET";
    char out[64];
    bool ok = true;
    size_t n, left;
    for (size_t step = 1; step <= strlen(t); step++)
        ok = ok && decode(t, strlen(t), step, out, &n, &left) == FP_HTTP1_BODY_DONE && n == 15 &&
             !memcmp(out, "hello, world...", 15) && left == 3;
    ok(ok, "a chunked body in steps of every size");
    is_int(decode("fffffffffffffff\r\n", 17, 1, out, &n, &left), FP_HTTP1_BODY_MORE, "15 digits");
    is_int(decode("ffffffffffffffff\r\n", 18, 1, out, &n, &left), FP_HTTP1_BODY_BAD,
           "16 are refused");
    is_int(decode("0\r\n\r\n", 5, 1, out, &n, &left), FP_HTTP1_BODY_DONE, "an empty body");
    is_int(decode("\r\n", 2, 1, out, &n, &left), FP_HTTP1_BODY_BAD, "a size without digits");
    is_int(decode("1;\x01\r\n", 5, 1, out, &n, &left), FP_HTTP1_BODY_BAD, "a control character");
}

int main(void)
{
    test_cuts();
    test_values();
    test_limits();
    test_chunked();
    return done_testing();
}
