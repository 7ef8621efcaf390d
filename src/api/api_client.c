/*
 * Who is the client when proxies stand before us (contract §2.2): forwarding fields are believed
 * only from peers inside api.trusted_proxies; the client is the right-most hop that is not one of
 * them, and Forwarded wins.  Runs in workers.
 */
#include "api/api_int.h"

static bool trusted(const struct fp_api *api, const struct fp_addr *a)
{
    for (size_t i = 0; i < api->proxies_n; i++)
        if (fp_cidr_contains(&api->proxies[i], a))
            return true;
    return false;
}

/* An address in any form these fields have: 192.0.2.1, 192.0.2.1:80, [2001:db8::1]:80, "…" quoted.
 */
static bool hop(struct fp_str s, struct fp_addr *out)
{
    char ip[64];
    s = fp_str_trim(s);
    if (s.len >= 2 && s.data[0] == '"' && s.data[s.len - 1] == '"')
        s = fp_str_n(s.data + 1, s.len - 2);
    const char *colon = s.len ? memchr(s.data, ':', s.len) : NULL;
    const char *close = s.len ? memchr(s.data, ']', s.len) : NULL;
    if (s.len && s.data[0] == '[' && close)
        s = fp_str_n(s.data + 1, (size_t)(close - s.data) - 1);
    else if (colon && !memchr(colon + 1, ':', s.len - (size_t)(colon + 1 - s.data)))
        s = fp_str_n(s.data, (size_t)(colon - s.data));
    if (s.len == 0 || s.len >= sizeof(ip))
        return false;
    memcpy(ip, s.data, s.len);
    ip[s.len] = '\0';
    return fp_addr_parse(out, ip, 0) == 0;
}

/* The `for` of one element of Forwarded (RFC 7239). */
static struct fp_str forwarded_for(struct fp_str element)
{
    while (element.data) {
        struct fp_str value, pair = fp_str_trim(fp_str_split(element, ';', &element));
        struct fp_str key = fp_str_split(pair, '=', &value);
        if (fp_str_case_eq(fp_str_trim(key), FP_STR("for")))
            return value;
    }
    return FP_STR_NULL;
}

/* One list from the right: hops that are trusted are passed; an unreadable one ends the search. */
static void walk(const struct fp_api *api, struct fp_str list, bool rfc7239, struct fp_addr *client)
{
    while (list.len) {
        const char *comma = memrchr(list.data, ',', list.len);
        struct fp_str last =
            comma ? fp_str_n(comma + 1, list.len - (size_t)(comma + 1 - list.data)) : list;
        struct fp_addr a;
        if (!hop(rfc7239 ? forwarded_for(last) : last, &a))
            return;
        *client = a;
        if (!trusted(api, &a) || !comma)
            return;
        list = fp_str_n(list.data, (size_t)(comma - list.data));
    }
}

/* A repeated field is one list (RFC 9110 §5.3). */
static struct fp_str whole(struct fp_http_request *r, const char *name)
{
    struct fp_str first = fp_http_header(r, name);
    if (fp_http_header_count(r, name) < 2)
        return first;
    const char *all = NULL;
    for (size_t i = 0; i < r->headers_n; i++)
        if (fp_str_eq_c(r->headers[i].name, name))
            all = fp_arena_printf(r->arena, "%s%s%.*s", all ? all : "", all ? ", " : "",
                                  FP_STR_ARG(r->headers[i].value));
    return fp_str_of(all);
}

struct fp_addr api_client_of(const struct fp_api *api, struct fp_http_request *r)
{
    struct fp_addr client = r->peer, real;
    if (!api->proxies_n || !trusted(api, &r->peer))
        return client;
    struct fp_str forwarded = whole(r, "forwarded"), xff = whole(r, "x-forwarded-for");
    if (forwarded.len)
        walk(api, forwarded, true, &client);
    else if (xff.len)
        walk(api, xff, false, &client);
    else if (hop(fp_http_header(r, "x-real-ip"), &real))
        client = real;
    return client;
}
