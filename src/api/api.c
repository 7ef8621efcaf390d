/* The REST API of a worker: made once, given each new generation.  Never sees xds or a snapshot
 * writer. */
#include "api/api_int.h"
#include "core/core_mem.h"

struct fp_api *fp_api_new(struct fp_loop *loop, const struct fp_api_options *o)
{
    struct fp_api *api = fp_mem_zalloc(sizeof(*api));
    api->loop = loop;
    api->o = *o;
    api->handlers = (struct fp_http_handlers){
        .arg = api,
        .on_headers = api_call_headers,
        .on_request = api_call_request,
        .on_too_large = api_too_large,
        .on_bad = api_bad,
    };
    api->metrics_handlers = api->handlers;
    api->metrics_handlers.on_headers = api_call_metrics_headers;
    fp_list_init(&api->waiting);
    api->proxies = fp_mem_calloc(o->trusted_proxies_n + 1, sizeof(*api->proxies));
    for (size_t i = 0; i < o->trusted_proxies_n; i++)
        if (fp_cidr_parse(&api->proxies[api->proxies_n], o->trusted_proxies[i].data) == 0)
            api->proxies_n++;
    api_audit_init(api);
    return api;
}

void fp_api_free(struct fp_api **api)
{
    if (!*api)
        return;
    api_audit_fini(*api);
    fp_snap_unref(&(*api)->snap);
    fp_buf_fini(&(*api)->document_text);
    fp_buf_fini(&(*api)->document.gzip);
    fp_buf_fini(&(*api)->swagger.gzip);
    fp_buf_fini(&(*api)->swagger_policy);
    fp_mem_free((*api)->proxies);
    fp_mem_free(*api);
    *api = NULL;
}

const struct fp_http_handlers *fp_api_handlers(struct fp_api *api)
{
    return &api->handlers;
}

const struct fp_http_handlers *fp_api_metrics_handlers(struct fp_api *api)
{
    return &api->metrics_handlers;
}

void fp_api_publish(struct fp_api *api, struct fp_snap *s)
{
    fp_snap_unref(&api->snap);
    api->snap = fp_snap_ref(s);
    api->behind_since_ms = 0;
    api_wait_wake(api);
}
