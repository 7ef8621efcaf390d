/*
 * Prints how long a cluster, a listener and a route configuration take from Envoy JSON to bytes.
 * Asserts nothing.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include "core/core_arena.h"
#include "core/core_buf.h"
#include "core/core_clock.h"
#include "core/core_problem.h"
#include "pb/pb_json.h"

static const char cluster[] =
    "{\"name\":\"shop\",\"type\":\"EDS\",\"connect_timeout\":\"5s\",\"lb_policy\":\"LEAST_"
    "REQUEST\","
    "\"eds_cluster_config\":{\"eds_config\":{\"ads\":{},\"resource_api_version\":\"V3\"}},"
    "\"circuit_breakers\":{\"thresholds\":[{\"max_connections\":1024,\"max_requests\":4096}]}}";
static const char listener[] =
    "{\"name\":\"edge\",\"address\":{\"socket_address\":{\"address\":\"0.0.0.0\",\"port_value\":"
    "8080}},\"filter_chains\":[{\"filters\":[{\"name\":"
    "\"envoy.filters.network.http_connection_manager\",\"typed_config\":{\"@type\":"
    "\"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
    "HttpConnectionManager\",\"stat_prefix\":\"ingress_http\",\"rds\":{\"route_config_name\":"
    "\"shop\",\"config_source\":{\"ads\":{},\"resource_api_version\":\"V3\"}},\"http_filters\":[{"
    "\"name\":\"envoy.filters.http.router\",\"typed_config\":{\"@type\":\"type.googleapis.com/"
    "envoy.extensions.filters.http.router.v3.Router\"}}]}}]}]}";

static json_t *routes(int n)
{
    json_t *rules = json_array();
    for (int i = 0; i < n; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "/part-%d/", i);
        json_array_append_new(rules, json_pack("{s:{s:s},s:{s:s,s:s}}", "match", "prefix", prefix,
                                               "route", "cluster", "shop", "timeout", "3s"));
    }
    return json_pack("{s:s,s:[{s:s,s:[s],s:o}]}", "name", "shop", "virtual_hosts", "name", "all",
                     "domains", "*", "routes", rules);
}

static void measure(const char *what, const char *type, json_t *v)
{
    enum { ROUNDS = 20000 };
    struct fp_pb_pool *pool;
    if (fp_pb_pool_builtin(&pool) < 0 || v == NULL) {
        printf("%s: cannot be measured\n", what);
        return;
    }
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_problems *ps = fp_problems_new(a);
    size_t bytes = 0;
    uint64_t began = fp_clock_mono_ns();
    for (int i = 0; i < ROUNDS; i++) {
        struct fp_buf out = {0};
        if (fp_pb_element(pool, type, v, "", ps, &out) < 0) {
            printf("%s: does not encode\n", what);
            break;
        }
        bytes = out.len;
        fp_buf_fini(&out);
    }
    double us = (double)(fp_clock_mono_ns() - began) / 1e3 / ROUNDS;
    printf("%-52s %9.3g us  %zu bytes\n", what, us, bytes);
    fp_arena_free(&a);
    fp_pb_pool_free(&pool);
    json_decref(v);
}

int main(void)
{
    puts("\nEncoding");
    measure("cluster", "envoy.config.cluster.v3.Cluster", json_loads(cluster, 0, NULL));
    measure("listener", "envoy.config.listener.v3.Listener", json_loads(listener, 0, NULL));
    measure("route configuration, 10 rules", "envoy.config.route.v3.RouteConfiguration",
            routes(10));
    measure("route configuration, 100 rules", "envoy.config.route.v3.RouteConfiguration",
            routes(100));
    return 0;
}
