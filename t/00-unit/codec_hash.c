/* codec_hash and codec_gzip: digests, hex, UUID, base64, gzip. */
#include "../lib/tap.h"
#include <zlib.h>
#include "codec/codec_gzip.h"
#include "codec/codec_hash.c"
#include "core/core_mem.h"

static void digests(void)
{
    uint8_t d[FP_SHA256_BYTES], back[FP_SHA256_BYTES];
    char hex[2 * FP_SHA256_BYTES + 1];
    fp_sha256("abc", 3, d);
    fp_hex(hex, d, sizeof(d));
    is_str(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
           "SHA-256 of FIPS 180-4");
    ok(fp_unhex(back, FP_STR("BA7816BF8F01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")) &&
           fp_equal_ct(d, back, sizeof(d)),
       "unhex, any case");
    back[31] ^= 1;
    ok(!fp_equal_ct(d, back, sizeof(d)), "one bit off");
    fp_sha256(NULL, 0, d);
    is_int(d[0], 0xe3, "SHA-256 of nothing");
    ok(!fp_unhex(back, FP_STR("abc")) && !fp_unhex(back, FP_STR("0g")) &&
           !fp_unhex(back, FP_STR("0@")) && fp_unhex(back, FP_STR("")),
       "unhex refuses odd lengths and other characters");
}

static void uuids(void)
{
    char u[FP_UUID_TEXT_BYTES], v[FP_UUID_TEXT_BYTES];
    fp_uuid_v4(u);
    fp_uuid_v4(v);
    ok(fp_uuid_is(fp_str_of(u)) && strcmp(u, v), "a UUID: %s", u);
    ok(u[14] == '4' && strchr("89ab", u[19]), "version 4, variant");
    ok(fp_uuid_is(FP_STR("5D0C0B1E-6a53-4b0e-9a53-0b1f7a4b8f11")), "any case");
    ok(!fp_uuid_is(FP_STR("5d0c0b1e-6a53-4b0e-9a53-0b1f7a4b8f1")) &&
           !fp_uuid_is(FP_STR("5d0c0b1e-6a53-4b0e-9a53-0b1f7a4b8f1g")) &&
           !fp_uuid_is(FP_STR("5d0c0b1e06a53-4b0e-9a53-0b1f7a4b8f11")) &&
           !fp_uuid_is(FP_STR("-d0c0b1e-6a53-4b0e-9a53-0b1f7a4b8f11")),
       "short, no digit, no dash, dash elsewhere");
}

static void base64(void)
{
    static const struct {
        const char *text, *raw;
    } good[] = {{"", ""},
                {"Zg==", "f"},
                {"Zm8=", "fo"},
                {"Zm9v", "foo"},
                {"Zm9vYg", "foob"},
                {"Zm9vYmE", "fooba"},
                {"++//", "\xfb\xef\xff"},
                {"--__", "\xfb\xef\xff"}};
    static const char *const bad[] = {"Z",        "Zg=",   "Zg===", "Zm8==",
                                      "Zm9v====", "Zm9v=", "Zm 9v", "Zm9v\n",
                                      "=",        "====",  "Z=g=",  "\xc3\xa9=="};
    struct fp_buf b = {0};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        fp_buf_clear(&b);
        bool fine = fp_base64_decode(&b, fp_str_of(good[i].text));
        is_str(fine ? fp_buf_cstr(&b) : NULL, good[i].raw, "decode \"%s\"", good[i].text);
    }
    fp_buf_clear(&b);
    fp_buf_append_c(&b, "kept");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ok(!fp_base64_decode(&b, fp_str_of(bad[i])) && b.len == 4, "refuse \"%s\"", bad[i]);
    bool same = true;
    for (size_t n = 0; n < 100; n++) {
        char raw[100];
        struct fp_buf text = {0}, back = {0};
        for (size_t i = 0; i < n; i++)
            raw[i] = (char)(i * 37 + n);
        fp_base64_encode(&text, raw, n);
        same &= text.len == (n + 2) / 3 * 4 && fp_base64_decode(&back, fp_buf_str(&text)) &&
                fp_str_eq(fp_buf_str(&back), fp_str_n(raw, n));
        fp_buf_fini(&text);
        fp_buf_fini(&back);
    }
    ok(same, "every length there and back");
    fp_buf_fini(&b);
}

static void gzip(void)
{
    enum { N = 300000 };
    struct fp_buf z = {0};
    char *raw = fp_mem_alloc(N), *back = fp_mem_zalloc(N);
    for (size_t i = 0; i < N; i++)
        raw[i] = (char)("{\"name\":\"x\"}"[i % 12] + (i % 1000 == 0));
    fp_buf_append_c(&z, "head");
    is_int(fp_gzip(&z, fp_str_n(raw, N)), 0, "gzip");
    ok(z.len < N / 20 && memcmp(z.data, "head\x1f\x8b", 6) == 0, "appended, and smaller");
    z_stream s = {.next_in = (Bytef *)z.data + 4,
                  .avail_in = (uInt)z.len - 4,
                  .next_out = (Bytef *)back,
                  .avail_out = N};
    inflateInit2(&s, 15 + 16);
    is_int(inflate(&s, Z_FINISH), Z_STREAM_END, "zlib reads it back");
    ok(memcmp(raw, back, N) == 0, "the same bytes");
    inflateEnd(&s);
    fp_buf_clear(&z);
    ok(fp_gzip(&z, FP_STR("")) == 0 && z.len > 0, "nothing is a stream too");
    fp_buf_fini(&z);
    fp_mem_free(raw);
    fp_mem_free(back);
}

int main(void)
{
    digests();
    uuids();
    base64();
    gzip();
    return done_testing();
}
