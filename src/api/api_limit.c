/*
 * Rate limits of writes and penalties for bad credentials (contract §2.9), shared by all workers.
 * Runs in workers; the table is obs_limit.h's.
 */
#include <arpa/inet.h>
#include "api/api_int.h"
#include "core/core_clock.h"

/* The client as a key: an IPv6 address counts by its /64. */
struct fp_str api_limit_address(const struct fp_api_call *c)
{
    const struct fp_addr *a = &c->client;
    if (a->ss.ss_family == AF_INET6)
        return fp_str_n(&((const struct sockaddr_in6 *)(const void *)&a->ss)->sin6_addr, 8);
    if (a->ss.ss_family == AF_INET)
        return fp_str_n(&((const struct sockaddr_in *)(const void *)&a->ss)->sin_addr, 4);
    return FP_STR("unix");
}

static void too_many(struct fp_api_call *c, uint64_t wait_ms, const char *what)
{
    struct api_headers h = {.n = 0};
    unsigned long long s = (wait_ms + 999) / 1000;
    api_header_add(&h, "retry-after", fp_str_of(fp_arena_printf(c->r->arena, "%llu", s)));
    api_fail(c, 429, &h, NULL, "%s; try again in %llu s", what, s);
}

bool api_limit_failure(struct fp_api_call *c)
{
    const struct fp_api_options *o = &c->api->o;
    if (!o->failure_limit)
        return false;
    uint64_t wait_ms =
        fp_limit_fail(o->page->limits, api_limit_address(c), o->failure_limit, fp_clock_mono_ms());
    if (wait_ms)
        too_many(c, wait_ms, "too many failed authentications from this address");
    return wait_ms != 0;
}

bool api_limit_write(struct fp_api_call *c)
{
    const struct fp_api_options *o = &c->api->o;
    uint64_t now_ms = fp_clock_mono_ms(), wait_ms = 0;
    if (o->write_rate_token)
        wait_ms = fp_limit_take(o->page->limits, FP_LIMIT_TOKEN_WRITES, c->token.id,
                                o->write_rate_token, o->write_burst, now_ms);
    if (!wait_ms && o->write_rate_address)
        wait_ms = fp_limit_take(o->page->limits, FP_LIMIT_ADDRESS_WRITES, api_limit_address(c),
                                o->write_rate_address, o->write_burst, now_ms);
    if (wait_ms)
        too_many(c, wait_ms, "too many writes");
    return wait_ms != 0;
}
