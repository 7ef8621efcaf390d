/* The table of kinds (contract §1, §5.7, §9.1, §14). */
#include "core/core_kind.h"

#define XDS(msg) .message = msg, .type_url = FP_TYPE_URL_PREFIX msg

const struct fp_kind_info fp_kinds[FP_KIND_N] = {
    [FP_KIND_CLUSTER] = {"cluster", "Cluster", "clusters", "clusters",
                         XDS("envoy.config.cluster.v3.Cluster"), .xds = "CDS"},
    [FP_KIND_ENDPOINT] = {"endpoint", "Endpoint", "endpoints", "endpoints",
                          XDS("envoy.config.endpoint.v3.ClusterLoadAssignment"), .xds = "EDS"},
    [FP_KIND_LISTENER] = {"listener", "Listener", "listeners", "listeners",
                          XDS("envoy.config.listener.v3.Listener"), .xds = "LDS"},
    [FP_KIND_ROUTE] = {"route", "Route", "routes", "routes",
                       XDS("envoy.config.route.v3.RouteConfiguration"), .xds = "RDS"},
    [FP_KIND_SECRET] = {"secret", "Secret", "secrets", "secrets",
                        XDS("envoy.extensions.transport_sockets.tls.v3.Secret"), .xds = "SDS"},
    [FP_KIND_SCOPED_ROUTE] = {"scoped-route", "Scoped route", "scoped-routes", "resources",
                              XDS("envoy.config.route.v3.ScopedRouteConfiguration"), .xds = "SRDS"},
    [FP_KIND_VIRTUAL_HOST] = {"virtual-host", "Virtual host", "virtual-hosts", "resources",
                              XDS("envoy.config.route.v3.VirtualHost"), .xds = "VHDS"},
    [FP_KIND_RUNTIME] = {"runtime", "Runtime", "runtimes", "resources",
                         XDS("envoy.service.runtime.v3.Runtime"), .xds = "RTDS"},
    [FP_KIND_EXTENSION_CONFIG] = {"extension-config", "Extension config", "extension-configs",
                                  "resources", XDS("envoy.config.core.v3.TypedExtensionConfig"),
                                  .xds = "ECDS"},
    [FP_KIND_API_DEFINITION] = {"api-definition", "API definition", "api-definitions",
                                "api_definitions", NULL, NULL, NULL},
    [FP_KIND_TOKEN] = {"token", "Token", "tokens", "tokens", NULL, NULL, NULL},
};

/* Eleven rows: a scan is as fast as any index. */
static enum fp_kind find(struct fp_str s, size_t column)
{
    for (int k = 0; k < FP_KIND_N; k++) {
        const char *text = *(const char *const *)((const char *)&fp_kinds[k] + column);
        if (text && fp_str_eq_c(s, text))
            return (enum fp_kind)k;
    }
    return FP_KIND_N;
}

enum fp_kind fp_kind_by_type_url(struct fp_str type_url)
{
    return find(type_url, offsetof(struct fp_kind_info, type_url));
}

enum fp_kind fp_kind_by_name(struct fp_str name)
{
    return find(name, offsetof(struct fp_kind_info, name));
}

enum fp_kind fp_kind_by_path(struct fp_str path)
{
    return find(path, offsetof(struct fp_kind_info, path));
}
