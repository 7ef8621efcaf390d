/* Address ranges.  Runs in any process; no resolver, no I/O. */
#include "os/os_cidr.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

int fp_cidr_parse(struct fp_cidr *out, const char *text)
{
    char ip[INET6_ADDRSTRLEN], *end;
    size_t n = strcspn(text, "/");
    memset(out, 0, sizeof(*out));
    if (n >= sizeof(ip))
        return -EINVAL;
    memcpy(ip, text, n);
    ip[n] = '\0';
    out->family = strchr(ip, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(out->family, ip, out->bytes) != 1)
        return -EINVAL;
    unsigned most = out->family == AF_INET ? 32 : 128;
    out->bits = most;
    if (!text[n])
        return 0;
    unsigned long bits = strtoul(text + n + 1, &end, 10);
    if (text[n + 1] < '0' || text[n + 1] > '9' || *end || bits > most)
        return -EINVAL;
    out->bits = (unsigned)bits;
    return 0;
}

/* The address's bytes and their family; a mapped address is its IPv4 part. */
static const uint8_t *bytes_of(const struct fp_addr *a, int *family)
{
    *family = a->ss.ss_family;
    if (*family == AF_INET)
        return (const uint8_t *)&((const struct sockaddr_in *)(const void *)&a->ss)->sin_addr;
    if (*family != AF_INET6)
        return NULL;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)&a->ss)->sin6_addr;
    if (!IN6_IS_ADDR_V4MAPPED(six))
        return six->s6_addr;
    *family = AF_INET;
    return six->s6_addr + 12;
}

bool fp_cidr_contains(const struct fp_cidr *c, const struct fp_addr *a)
{
    int family;
    const uint8_t *bytes = bytes_of(a, &family);
    if (!bytes || family != c->family)
        return false;
    unsigned whole = c->bits / 8, rest = c->bits % 8;
    if (memcmp(bytes, c->bytes, whole) != 0)
        return false;
    return !rest || ((bytes[whole] ^ c->bytes[whole]) >> (8 - rest)) == 0;
}
