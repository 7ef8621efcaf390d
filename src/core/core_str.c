/* Byte strings: comparison, numbers, UTF-8, the seeded hash, edit distance. */
#include <sys/random.h>
#include "core/core_assert.h"
#include "core/core_str.h"

int fp_str_cmp(struct fp_str a, struct fp_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.data, b.data, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

bool fp_str_case_eq(struct fp_str a, struct fp_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower((unsigned char)a.data[i]) != lower((unsigned char)b.data[i]))
            return false;
    return true;
}

bool fp_str_starts(struct fp_str s, struct fp_str prefix)
{
    return s.len >= prefix.len && fp_str_eq(fp_str_n(s.data, prefix.len), prefix);
}

bool fp_str_ends(struct fp_str s, struct fp_str suffix)
{
    return suffix.len == 0 || (s.len >= suffix.len &&
                               memcmp(s.data + s.len - suffix.len, suffix.data, suffix.len) == 0);
}

static bool blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct fp_str fp_str_trim(struct fp_str s)
{
    while (s.len && blank(s.data[0]))
        s.data++, s.len--;
    while (s.len && blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

struct fp_str fp_str_split(struct fp_str s, char sep, struct fp_str *rest)
{
    const char *p = s.len ? memchr(s.data, sep, s.len) : NULL;
    if (!p) {
        *rest = FP_STR_NULL;
        return s;
    }
    size_t n = (size_t)(p - s.data);
    *rest = fp_str_n(p + 1, s.len - n - 1);
    return fp_str_n(s.data, n);
}

bool fp_str_to_u64(struct fp_str s, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned d = (unsigned char)s.data[i] - (unsigned)'0';
        if (d > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, d, &v))
            return false;
    }
    if (s.len == 0)
        return false;
    *out = v;
    return true;
}

bool fp_str_to_i64(struct fp_str s, int64_t *out)
{
    bool neg = s.len && s.data[0] == '-';
    uint64_t v;
    if (!fp_str_to_u64(neg ? fp_str_n(s.data + 1, s.len - 1) : s, &v) ||
        v > (uint64_t)INT64_MAX + neg)
        return false;
    *out = neg ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* RFC 3629 table 3-7: the second byte's range depends on the first; the others are 80..BF. */
size_t fp_utf8_step(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned char lo = 0x80, hi = 0xbf;
    size_t len;
    if (n == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        lo = 0xa0; /* overlong */
    else if (p[0] == 0xed)
        hi = 0x9f; /* surrogates */
    else if (p[0] == 0xf0)
        lo = 0x90; /* overlong */
    else if (p[0] == 0xf4)
        hi = 0x8f; /* beyond U+10FFFF */
    if (n < len || p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool fp_str_is_utf8(struct fp_str s)
{
    for (size_t i = 0, step; i < s.len; i += step)
        if ((step = fp_utf8_step(s.data + i, s.len - i)) == 0)
            return false;
    return true;
}

/*
 * SipHash-1-3: keys come from users, so the hash must not be guessable.  The seed is drawn before
 * main, hence equal in the whole process tree.
 */
static uint64_t seed[2];

__attribute__((constructor)) static void seed_hash(void)
{
    FP_ASSERT(getrandom(seed, sizeof(seed), 0) == (ssize_t)sizeof(seed));
}

static inline uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0], v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2], v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

uint64_t fp_str_hash(struct fp_str s)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d,
                     seed[0] ^ 0x6c7967656e657261, seed[1] ^ 0x7465646279746573};
    size_t i = 0;
    uint64_t m;
    for (; i + 8 <= s.len; i += 8) {
        memcpy(&m, s.data + i, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    m = (uint64_t)s.len << 56;
    for (int shift = 0; i < s.len; i++, shift += 8)
        m |= (uint64_t)(unsigned char)s.data[i] << shift;
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xff;
    for (int k = 0; k < 3; k++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

enum { DISTANCE_MAX_LEN = 64 }; /* longer names get no "did you mean" */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein over one row; a row whose minimum exceeds max cannot recover. */
unsigned fp_str_distance(struct fp_str a, struct fp_str b, unsigned max)
{
    unsigned row[DISTANCE_MAX_LEN + 1];
    size_t gap = a.len > b.len ? a.len - b.len : b.len - a.len;
    if (a.len > DISTANCE_MAX_LEN || b.len > DISTANCE_MAX_LEN || gap > max)
        return fp_str_eq(a, b) ? 0 : max + 1;
    for (unsigned j = 0; j <= b.len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0], least = row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a.data[i - 1] != b.data[j - 1]));
            diagonal = above;
            least = row[j] < least ? row[j] : least;
        }
        if (least > max)
            return max + 1;
    }
    return row[b.len] > max ? max + 1 : row[b.len];
}
