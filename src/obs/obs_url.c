/*
 * An endpoint's URL: http://host[:port][/path], taken apart and resolved.  Before the loop runs
 * only: the resolver may block.
 */
#include <netdb.h>
#include <stdio.h>
#include "obs/obs_export_int.h"

#define SCHEME "http://"

/* "host", "host:port", "[v6]:port" into host and port */
static bool split_authority(struct fp_str a, char host[256], char port[8])
{
    const char *colon = memrchr(a.data, ':', a.len);
    const char *bracket = memrchr(a.data, ']', a.len);
    struct fp_str h = a, p = FP_STR("80");
    uint64_t number;
    if (colon && (!bracket || colon > bracket)) {
        h = fp_str_n(a.data, (size_t)(colon - a.data));
        p = fp_str_n(colon + 1, a.len - h.len - 1);
    }
    if (h.len > 2 && h.data[0] == '[' && h.data[h.len - 1] == ']')
        h = fp_str_n(h.data + 1, h.len - 2);
    if (!h.len || h.len > 253 || memchr(h.data, '@', h.len) || !fp_str_to_u64(p, &number) ||
        !number || number > UINT16_MAX)
        return false;
    snprintf(host, 256, "%.*s", FP_STR_ARG(h));
    snprintf(port, 8, "%u", (unsigned)number);
    return true;
}

static bool printable(struct fp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] <= ' ' || s.data[i] > '~')
            return false;
    return true;
}

static const char *resolve(struct export_url *u, const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
    int err = getaddrinfo(host, port, &hints, &list);
    if (err)
        return gai_strerror(err);
    for (struct addrinfo *a = list; a && u->addrs_n < EXPORT_ADDRS; a = a->ai_next) {
        struct fp_addr *to = &u->addrs[u->addrs_n];
        if (a->ai_addrlen > sizeof(to->ss))
            continue;
        memcpy(&to->ss, a->ai_addr, a->ai_addrlen);
        to->len = a->ai_addrlen;
        u->addrs_n++;
    }
    freeaddrinfo(list);
    return u->addrs_n ? NULL : "no address";
}

const char *obs_url_open(struct export_url *u, const char *url, const struct export_form *form)
{
    struct fp_str s = fp_str_of(url);
    char host[256], port[8];
    memset(u, 0, sizeof(*u));
    if (!fp_str_starts(s, FP_STR(SCHEME)) || !printable(s))
        return "not an http:// URL";
    s = fp_str_n(s.data + sizeof(SCHEME) - 1, s.len - sizeof(SCHEME) + 1);
    const char *slash = memchr(s.data, '/', s.len);
    struct fp_str authority = slash ? fp_str_n(s.data, (size_t)(slash - s.data)) : s;
    struct fp_str path = fp_str_n(s.data + authority.len, s.len - authority.len);
    if (!split_authority(authority, host, port))
        return "no host and port in it";
    while (path.len && path.data[path.len - 1] == '/')
        path.len--;
    const char *more = form->append || !path.len ? form->path : "";
    if (path.len + strlen(more) >= sizeof(u->path))
        return "its path is too long";
    snprintf(u->path, sizeof(u->path), "%.*s%s", FP_STR_ARG(path), more);
    snprintf(u->host, sizeof(u->host), "%.*s", FP_STR_ARG(authority));
    return resolve(u, host, port);
}
