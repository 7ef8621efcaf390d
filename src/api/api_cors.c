/*
 * CORS (contract §2.2): off unless api.cors_origins is set.  Runs in workers.  Credentials are
 * never allowed; the token travels in a field that the script sets itself.
 */
#include "api/api_int.h"

static bool listed(const struct fp_api *api, struct fp_str origin)
{
    for (size_t i = 0; i < api->o.cors_origins_n; i++)
        if (fp_str_eq(api->o.cors_origins[i], FP_STR("*")) ||
            fp_str_eq(api->o.cors_origins[i], origin))
            return true;
    return false;
}

void api_cors_headers(struct fp_api_call *c, struct api_headers *h)
{
    struct fp_str origin = fp_http_header(c->r, "origin");
    if (!c->api->o.cors_origins_n)
        return;
    api_header_add(h, "vary", FP_STR("Origin"));
    if (!origin.data || !listed(c->api, origin))
        return;
    api_header_add(h, "access-control-allow-origin", origin);
    api_header_add(h, "access-control-expose-headers",
                   FP_STR("ETag, Flowplane-Revision, Flowplane-Wait, X-Request-Id, X-Total-Count"));
}

void api_cors_preflight(struct fp_api_call *c, struct api_headers *h, const char *methods)
{
    struct fp_str origin = fp_http_header(c->r, "origin");
    if (!origin.data || !fp_http_header(c->r, "access-control-request-method").data ||
        !listed(c->api, origin))
        return;
    api_header_add(h, "access-control-allow-methods", fp_str_of(methods));
    api_header_add(
        h, "access-control-allow-headers",
        FP_STR("Authorization, Content-Type, If-Match, If-None-Match, X-Request-Id, traceparent"));
    api_header_add(h, "access-control-max-age", FP_STR("600"));
}
