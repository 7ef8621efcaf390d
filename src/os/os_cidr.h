/* Address ranges, "10.0.0.0/8", "2001:db8::/32" or a single address. */
#pragma once
#include "os/os_socket.h"

struct fp_cidr {
    int family; /* AF_INET or AF_INET6 */
    unsigned bits;
    uint8_t bytes[16];
};
int fp_cidr_parse(struct fp_cidr *out, const char *text); /* 0 or -EINVAL; no resolver */
/* IPv4-mapped IPv6 addresses count as IPv4. */
bool fp_cidr_contains(const struct fp_cidr *c, const struct fp_addr *a);
