/*
 * Rules that a word names: an address, a URI, a header's name.  Pure functions; where the rules'
 * definition leaves freedom, the looser reading.
 */
#include <arpa/inet.h>
#include "pb/pb_check_int.h"

#define HOSTNAME_MAX 253
#define LABEL_MAX    63
#define LOCAL_MAX    64

size_t fp_pb_check_code_points(struct fp_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.data[i] & 0xC0) != 0x80;
    return n;
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alnum(char c)
{
    return is_alpha(c) || (c >= '0' && c <= '9');
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool is_ip(int family, struct fp_str s)
{
    char text[INET6_ADDRSTRLEN], address[16];
    if (s.len >= sizeof text)
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = 0;
    return inet_pton(family, text, address) == 1;
}

/* RFC 1034, a digit may come first (RFC 1123); the root's dot may be there */
static bool is_hostname(struct fp_str s)
{
    size_t label = 0;
    if (s.len > 1 && s.data[s.len - 1] == '.')
        s.len--;
    if (s.len == 0 || s.len > HOSTNAME_MAX)
        return false;
    for (size_t i = 0; i <= s.len; i++) {
        if (i < s.len && (is_alnum(s.data[i]) || (s.data[i] == '-' && label > 0))) {
            label++;
            continue;
        }
        if ((i < s.len && s.data[i] != '.') || label == 0 || label > LABEL_MAX ||
            s.data[i - 1] == '-')
            return false;
        label = 0;
    }
    return true;
}

static bool is_email(struct fp_str s)
{
    const char *at = s.data ? memrchr(s.data, '@', s.len) : NULL;
    if (!at || at == s.data || at - s.data > LOCAL_MAX)
        return false;
    for (const char *c = s.data; c < at; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("()<>,;:\\\"[]@", *c))
            return false;
    return is_hostname(fp_str_n(at + 1, (size_t)(s.data + s.len - at - 1)));
}

/* RFC 3986: the characters, and before a colon a scheme */
static bool is_uri(struct fp_str s, bool absolute)
{
    size_t scheme = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if ((unsigned char)c <= ' ' || (unsigned char)c >= 0x7f || strchr("\"<>\\^`{|}", c))
            return false;
        if (c == '%' && (i + 2 >= s.len || !is_hex(s.data[i + 1]) || !is_hex(s.data[i + 2])))
            return false;
    }
    while (scheme < s.len &&
           (is_alnum(s.data[scheme]) || (s.data[scheme] && strchr("+-.", s.data[scheme]))))
        scheme++;
    bool has_scheme = scheme > 0 && scheme < s.len && s.data[scheme] == ':' && is_alpha(s.data[0]);
    return has_scheme || (!absolute && (scheme == s.len || s.data[scheme] != ':'));
}

static bool is_uuid(struct fp_str s)
{
    if (s.len != 36)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.data[i] != '-' : !is_hex(s.data[i]))
            return false;
    }
    return true;
}

bool fp_pb_check_word(uint8_t op, struct fp_str s)
{
    switch (op) {
    case FP_PB_RULE_EMAIL:
        return is_email(s);
    case FP_PB_RULE_HOSTNAME:
        return is_hostname(s);
    case FP_PB_RULE_IP:
        return is_ip(AF_INET, s) || is_ip(AF_INET6, s);
    case FP_PB_RULE_IPV4:
        return is_ip(AF_INET, s);
    case FP_PB_RULE_IPV6:
        return is_ip(AF_INET6, s);
    case FP_PB_RULE_URI:
    case FP_PB_RULE_URI_REF:
        return is_uri(s, op == FP_PB_RULE_URI);
    case FP_PB_RULE_ADDRESS:
        return is_hostname(s) || is_ip(AF_INET, s) || is_ip(AF_INET6, s);
    default:
        return is_uuid(s);
    }
}

/* validate.KnownRegex; loose (`strict: false`): only what would end the header is refused. */
bool fp_pb_check_header(uint64_t well_known, struct fp_str s)
{
    size_t i = 0;
    if (well_known == FP_PB_HEADER_NAME) {
        i = s.len > 0 && s.data[0] == ':'; /* HTTP/2's own */
        if (i == s.len)
            return false;
    }
    for (; i < s.len; i++) {
        char c = s.data[i];
        bool good = c != 0 && c != '\n' && c != '\r';
        if (well_known == FP_PB_HEADER_NAME)
            good = is_alnum(c) || (c && strchr("!#$%&'*+,-.^_|~`", c));
        else if (well_known == FP_PB_HEADER_VALUE)
            good = c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
        if (!good)
            return false;
    }
    return true;
}
