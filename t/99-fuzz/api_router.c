/* The router (contract §3): any path finds the route whose pattern it is, the first such, or none.
 */
#include "../../src/api/api_routes.c"
#include "core/core_assert.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same question asked differently: what stands in for the braces, when text fits around them.
 */
static bool stands_in(const char *pattern, struct fp_str path, struct fp_str *name)
{
    const char *open = strchr(pattern, '{'), *close = open ? strchr(open, '}') + 1 : NULL;
    *name = FP_STR_NULL;
    if (!open)
        return fp_str_eq_c(path, pattern);
    size_t head = (size_t)(open - pattern), tail = strlen(close);
    if (path.len <= head + tail || memcmp(path.data, pattern, head) != 0 ||
        memcmp(path.data + path.len - tail, close, tail) != 0)
        return false;
    *name = fp_str_n(path.data + head, path.len - head - tail);
    return !memchr(name->data, '/', name->len);
}

static void methods(struct fp_arena *a, const struct fp_api_route *found)
{
    static const char *const all[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "FOO", ""};
    struct fp_str allow = fp_str_of(api_route_allow(found, a));
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const struct fp_api_route *r = api_route_method(found, fp_str_of(all[i]));
        bool told = *all[i] && memmem(allow.data, allow.len, all[i], strlen(all[i]));
        FP_ASSERT((r != NULL) == told);
        FP_ASSERT(!r || strcmp(r->pattern, found->pattern) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fp_str path = fp_str_n(data, size < 8192 ? size : 8192), name, want = FP_STR_NULL;
    struct fp_arena *a = fp_arena_new(NULL);
    const struct fp_api_route *first = NULL, *found = api_route_path(path, &name);
    for (size_t i = 0; i < ROUTES_N && !first; i++)
        if (stands_in(routes[i].pattern, path, &want))
            first = &routes[i];
    FP_ASSERT(found == first);
    if (found) {
        FP_ASSERT((name.data != NULL) == (want.data != NULL));
        FP_ASSERT(!name.data || fp_str_eq(name, want));
        methods(a, found);
        struct fp_str decoded = fp_http_decode(a, name, false);
        FP_ASSERT(!decoded.data || decoded.len <= name.len);
    }
    fp_arena_free(&a);
    return 0;
}
