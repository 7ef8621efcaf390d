/* Digests, hex, UUID, base64: pure functions, all processes. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "codec/codec_hash.h"
#include "core/core_assert.h"
#include "core/core_rand.h"

void fp_sha256(const void *p, size_t n, uint8_t out[FP_SHA256_BYTES])
{
    /* One context for ever: SHA256() looks the algorithm up at each call, 1.6 us against 0.2 */
    static EVP_MD_CTX *ctx;
    if (!ctx) {
        EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
        ctx = EVP_MD_CTX_new();
        FP_ASSERT(md && ctx && EVP_DigestInit_ex2(ctx, md, NULL));
        EVP_MD_free(md); /* the context holds it */
    }
    FP_ASSERT(EVP_DigestInit_ex2(ctx, NULL, NULL) && EVP_DigestUpdate(ctx, p ? p : "", n) &&
              EVP_DigestFinal_ex(ctx, out, NULL));
}

bool fp_equal_ct(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

void fp_hex(char *out, const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        unsigned char c = ((const unsigned char *)p)[i];
        *out++ = digits[c >> 4];
        *out++ = digits[c & 15];
    }
    *out = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool fp_unhex(void *out, struct fp_str hex)
{
    unsigned char *to = out;
    if (hex.len % 2)
        return false;
    for (size_t i = 0; i < hex.len; i += 2) {
        int hi = nibble(hex.data[i]), lo = nibble(hex.data[i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        *to++ = (unsigned char)(hi << 4 | lo);
    }
    return true;
}

static bool dash_at(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void fp_uuid_v4(char out[FP_UUID_TEXT_BYTES])
{
    uint8_t b[16];
    char hex[33];
    fp_rand_bytes(b, sizeof(b));
    b[6] = (uint8_t)(0x40 | (b[6] & 0x0f)); /* version 4 */
    b[8] = (uint8_t)(0x80 | (b[8] & 0x3f)); /* RFC 9562 variant */
    fp_hex(hex, b, sizeof(b));
    for (size_t i = 0, from = 0; i < FP_UUID_TEXT_BYTES - 1; i++)
        out[i] = dash_at(i) ? '-' : hex[from++];
    out[FP_UUID_TEXT_BYTES - 1] = '\0';
}

bool fp_uuid_is(struct fp_str s)
{
    if (s.len != FP_UUID_TEXT_BYTES - 1)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (dash_at(i) ? s.data[i] != '-' : nibble(s.data[i]) < 0)
            return false;
    return true;
}

void fp_base64_encode(struct fp_buf *out, const void *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = p;
    fp_buf_reserve(out, n / 3 * 4 + 4);
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        unsigned v = (unsigned)in[i] << 16;
        v |= have > 1 ? (unsigned)in[i + 1] << 8 : 0;
        v |= have > 2 ? in[i + 2] : 0;
        char *to = out->data + out->len;
        to[0] = digits[v >> 18];
        to[1] = digits[v >> 12 & 63];
        to[2] = have > 1 ? digits[v >> 6 & 63] : '=';
        to[3] = have > 2 ? digits[v & 63] : '=';
        out->len += 4;
    }
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool fp_base64_decode(struct fp_buf *out, struct fp_str s)
{
    size_t n = s.len, pad = 0, start = out->len;
    while (n && s.data[n - 1] == '=' && pad < 2)
        n--, pad++;
    if (n % 4 == 1 || (pad && (n + pad) % 4))
        return false;
    fp_buf_reserve(out, n / 4 * 3 + 3);
    uint32_t v = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < n; i++) {
        int d = base64_digit(s.data[i]);
        if (d < 0) {
            out->len = start;
            return false;
        }
        v = v << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8)
            out->data[out->len++] = (char)(v >> (bits -= 8));
    }
    return true;
}
