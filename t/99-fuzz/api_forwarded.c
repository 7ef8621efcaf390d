/* Forwarded, X-Forwarded-For and X-Real-IP (contract §2.2): whatever a client puts there, it cannot
 * make itself another one than the hop that the last trusted proxy has added. */
#include <arpa/inet.h>
#include <stdint.h>
#include "api/api_int.h"
#include "core/core_assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELDS_MAX 100
#define CLIENT     "198.51.100.7"

static struct fp_api api;
static struct fp_cidr proxies[3];

static bool is_ip(const struct fp_addr *a, const char *text)
{
    char ip[FP_ADDR_TEXT_BYTES];
    return strcmp(fp_addr_ip_text(a, ip), text) == 0;
}

/* Lines of "name: value"; other names do not matter. */
static void read_fields(struct fp_http_request *r, struct fp_http_header *h, struct fp_str in)
{
    r->headers = h;
    while (in.data && r->headers_n < FIELDS_MAX) {
        struct fp_str value, name = fp_str_split(fp_str_split(in, '\n', &in), ':', &value);
        if (value.data)
            h[r->headers_n++] = (struct fp_http_header){name, fp_str_trim(value)};
    }
}

static void add(struct fp_http_request *r, const char *name, const char *value)
{
    struct fp_http_header *h = (struct fp_http_header *)(uintptr_t)r->headers;
    h[r->headers_n++] = (struct fp_http_header){fp_str_of(name), fp_str_of(value)};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fp_http_header fields[FIELDS_MAX + 2];
    struct fp_http_request r = {.arena = fp_arena_new(NULL)};
    static const char *const trusted[] = {"10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"};
    for (size_t i = 0; i < 3; i++)
        FP_ASSERT(fp_cidr_parse(&proxies[i], trusted[i]) == 0);
    api.proxies = proxies;
    api.proxies_n = 3;
    read_fields(&r, fields, fp_str_n(data, size < 32768 ? size : 32768));
    FP_ASSERT(fp_addr_parse(&r.peer, "203.0.113.9", 1) == 0);
    struct fp_addr client = api_client_of(&api, &r);
    FP_ASSERT(is_ip(&client, "203.0.113.9")); /* the peer is no proxy of ours */
    FP_ASSERT(fp_addr_parse(&r.peer, "10.1.2.3", 1) == 0);
    client = api_client_of(&api, &r);
    FP_ASSERT(client.ss.ss_family == AF_INET || client.ss.ss_family == AF_INET6);
    if (!fp_http_header_count(&r, "forwarded")) {
        add(&r, "x-forwarded-for", CLIENT);
        client = api_client_of(&api, &r);
        FP_ASSERT(is_ip(&client, CLIENT));
    }
    add(&r, "forwarded", "proto=https; For=\"" CLIENT ":4711\";by=_x");
    client = api_client_of(&api, &r);
    FP_ASSERT(is_ip(&client, CLIENT));
    fp_arena_free(&r.arena);
    return 0;
}
