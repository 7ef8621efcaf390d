"""The model room for tests: a body in, the stored configuration, Envoy JSON and response out.

    m = fp_model.Model()
    r = m.parse("cluster", {"name": "a", "endpoints": ["127.0.0.1:80"]})
    r["ok"], r["configuration"], r["elements"][0], r["response"], r["refs"], r["hash"]
"""
import copy
import json
import os
import subprocess

MESSAGES = {"cluster": "envoy.config.cluster.v3.Cluster", "route": "envoy.config.route.v3.RouteConfiguration",
            "listener": "envoy.config.listener.v3.Listener"}


class Model:
    def __init__(self, privileged=False):
        env = dict(os.environ)
        env.pop("ALLOW_PRIVILEGED", None)
        if privileged:
            env["ALLOW_PRIVILEGED"] = "1"
        self.process = subprocess.Popen([os.path.join(os.environ.get("FP_OBJS", "objs"), "t/lib/model_tool")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the model died on: {line}")
        return json.loads(answer)

    def parse(self, kind, body, path_name="-"):
        text = body if isinstance(body, str) else json.dumps(body)
        return self.ask(f"P {kind} {path_name} {text}")

    def stored(self, kind, result):
        service = result["summary"]["service_name"] or "-"
        return self.ask(f"S {kind} {result['form']} {result['name']} {service} {json.dumps(result['configuration'])}")

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


def at(value, path):
    """at({"a": [{"b": 1}]}, "a.0.b") == 1; None when there is nothing."""
    for part in path.split("."):
        part = part.replace("~", ".")  # a dot inside a key
        if isinstance(value, list):
            value = value[int(part)] if part.isdigit() and int(part) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return None
    return value


def put(value, path, new):
    """A copy of value with new at path; missing objects are made."""
    out = copy.deepcopy(value)
    parts = [p.replace("~", ".") for p in path.split(".")]
    here = out
    for part in parts[:-1]:
        here = here[int(part)] if isinstance(here, list) else here.setdefault(part, {})
    if isinstance(here, list):
        here[int(parts[-1])] = new
    else:
        here[parts[-1]] = new
    return out


ROUTER_URL = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
CORS_URL = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"
CORS_POLICY_URL = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy"

CLUSTER = {"name": "shop", "endpoints": [{"host": "10.0.0.1", "port": 8080}]}

# Every member of contract 5.2.1 that may stand beside the others.
RICH_CLUSTER = {
    "name": "rich", "serviceName": "rich-service", "team": "shop",
    "endpoints": [
        {"host": "stock-1.shop.test", "port": 8443, "weight": 3, "priority": 0, "healthStatus": "HEALTHY",
         "hostname": "one.shop.test", "locality": {"region": "eu", "zone": "a", "subZone": "1"}},
        {"host": "[2001:db8::17]", "port": 8443, "weight": 1, "priority": 1, "healthStatus": "DRAINING"},
        "10.9.8.7:8443"],
    "connectTimeoutSeconds": 7, "type": "STRICT_DNS", "useTls": True, "tlsServerName": "stock.shop.test",
    "tls": {"subjectAltNames": [{"type": "exact", "value": "stock.shop.test"},
                                {"type": "suffix", "value": ".shop.test", "ignoreCase": True},
                                {"type": "regex", "value": "spiffe://[a-z]+/x"}],
            "caFile": "/etc/ssl/certs/ca-certificates.crt", "alpn": ["h2", "http/1.1"], "minVersion": "TLSv1_2",
            "maxVersion": "TLSv1_3", "ciphers": ["ECDHE-ECDSA-AES128-GCM-SHA256"]},
    "dnsLookupFamily": "v4only", "lbPolicy": "ring_hash",
    "ringHash": {"minimumRingSize": 64, "maximumRingSize": 4096, "hashFunction": "MURMUR_HASH_2"},
    "healthChecks": [
        {"type": "HTTP", "path": "/up", "host": "stock.shop.test", "method": "HEAD", "intervalSeconds": 4,
         "timeoutSeconds": 2, "healthyThreshold": 1, "unhealthyThreshold": 5, "expectedStatuses": [200, 204]},
        {"type": "tcp"}, {"type": "grpc", "serviceName": "stock.v1.Stock", "host": "stock"}],
    "circuitBreakers": {
        "default": {"maxConnections": 1, "maxPendingRequests": 2, "maxRequests": 3, "maxRetries": 4,
                    "retryBudget": {"budgetPercent": 12.5, "minRetryConcurrency": 6}},
        "high": {"maxRetries": 9}},
    "outlierDetection": {"consecutive5xx": 3, "intervalSeconds": 11, "baseEjectionTimeSeconds": 12,
                         "maxEjectionPercent": 50, "minHosts": 2, "consecutiveGatewayFailure": 4,
                         "splitExternalLocalOriginErrors": True},
    "protocol": "auto", "idleTimeoutSeconds": 90, "maxRequestsPerConnection": 1000,
    "tcpKeepalive": {"probes": 3, "timeSeconds": 60, "intervalSeconds": 10}}

RETRY = {"numRetries": 3, "retryOn": ["5xx", "reset", "retriable-status-codes"], "perTryTimeoutSeconds": 1,
         "retriableStatusCodes": [503, 429], "baseIntervalMs": 25, "maxIntervalMs": 1250}
RATE_LIMITS = [{"stage": 3, "disableKey": "off", "actions": [
    {"type": "remoteAddress"}, {"type": "sourceCluster"}, {"type": "destinationCluster"},
    {"type": "requestHeader", "headerName": "x-user", "descriptorKey": "user"},
    {"type": "genericKey", "descriptorValue": "v", "descriptorKey": "k"},
    {"type": "headerValueMatch", "descriptorValue": "m", "expectMatch": False,
     "headers": [{"name": "x-a", "prefix": "p"}]}]}]
EDITS = {"requestHeadersToAdd": [{"key": "x-in", "value": "1", "append": True}],
         "responseHeadersToAdd": [{"key": "x-out", "value": "%RESPONSE_CODE%"}],
         "requestHeadersToRemove": ["x-drop"], "responseHeadersToRemove": ["server"]}
PER_FILTER = {"envoy.filters.http.cors": {"@type": CORS_POLICY_URL, "allowCredentials": True},
              "envoy.filters.http.buffer": {"disabled": True}}

ROUTE = {"name": "shop-rc", "virtualHosts": [{"name": "shop", "domains": ["*"], "routes": [
    {"match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "forward", "cluster": "shop"}}]}]}

RICH_ROUTE = {
    "name": "rich-rc", "team": "shop", "validateClusters": False, **EDITS, "virtualHosts": [
        {"name": "one", "domains": ["shop.test", "*.shop.test"], "requireTls": "EXTERNAL_ONLY", "retryPolicy": RETRY,
         "rateLimits": RATE_LIMITS, "typedPerFilterConfig": PER_FILTER, **EDITS, "routes": [
             {"name": "exact", "match": {
                 "path": {"type": "exact", "value": "/one"}, "methods": ["GET", "HEAD"], "caseSensitive": False,
                 "fraction": {"numerator": 5, "denominator": "ten_thousand", "runtimeKey": "one.share"},
                 "headers": [{"name": "a", "value": "1"}, {"name": "b", "regex": "[a-z]{2,3}"}, {"name": "c"},
                             {"name": "d", "present": False}, {"name": "e", "prefix": "p"},
                             {"name": "f", "suffix": "s", "invert": True}, {"name": ":authority", "contains": "c"}],
                 "queryParameters": [{"name": "q", "value": "1"}, {"name": "r", "regex": "x+"},
                                     {"name": "s", "present": True}, {"name": "t", "prefix": "p"}, {"name": "u"}]},
              "action": {"type": "forward", "cluster": "shop", "timeoutMs": 2500, "idleTimeoutSeconds": 60,
                         "prefixRewrite": "/uno", "hostRewrite": "one.internal", "retryPolicy": RETRY,
                         "hashPolicy": [{"header": "x-user", "terminal": True},
                                        {"cookie": {"name": "sid", "ttlSeconds": 60, "path": "/"}},
                                        {"sourceIp": True}, {"queryParameter": "user"}],
                         "mirror": [{"cluster": "shadow", "fraction": {"numerator": 10}}, {"cluster": "shadow"}],
                         "upgrades": ["websocket"], "priority": "high"},
              "typedPerFilterConfig": PER_FILTER, "rateLimits": RATE_LIMITS, **EDITS},
             {"match": {"path": {"type": "pathSeparatedPrefix", "value": "/two"}, "methods": ["POST"]},
              "action": {"type": "weighted", "totalWeight": 100, "timeoutSeconds": 0,
                         "clusters": [{"name": "shop", "weight": 90, "typedPerFilterConfig": PER_FILTER},
                                      {"name": "shadow", "weight": 10}],
                         "retryPolicy": {"numRetries": 1}, "hashPolicy": [{"sourceIp": True}]}},
             {"match": {"path": {"type": "regex", "value": "/v[0-9]+/(.*)"}},
              "action": {"type": "forward", "cluster": "shop", "autoHostRewrite": True,
                         "regexRewrite": {"pattern": "^/v[0-9]+/(.*)$", "substitution": "/\\1"}}},
             {"match": {"path": {"type": "template", "template": "/items/{sku}/{rest=**}"}},
              "action": {"type": "forward", "cluster": "shop", "timeoutSeconds": 3,
                         "templateRewrite": "/v2/{rest}/{sku}"}},
             {"match": {"path": {"type": "prefix", "value": "/by-header"}},
              "action": {"type": "forward", "clusterHeader": "x-cluster"}},
             {"match": {"path": {"type": "prefix", "value": "/old"}},
              "action": {"type": "redirect", "hostRedirect": "new.shop.test", "pathRedirect": "/new",
                         "schemeRedirect": "https", "portRedirect": 8443, "stripQuery": True, "responseCode": 308}},
             {"match": {"path": {"type": "prefix", "value": "/older"}},
              "action": {"type": "redirect", "prefixRewrite": "/old", "httpsRedirect": True, "responseCode": 1}},
             {"match": {"path": {"type": "prefix", "value": "/"}},
              "action": {"type": "direct", "status": 404, "body": "nothing here"}}]},
        {"name": "rest", "domains": ["*"], "routes": [
            {"match": {"path": {"type": "prefix", "value": "/"}},
             "action": {"type": "forward", "cluster": "shop"}}]}]}

HCM = "envoy.filters.network.http_connection_manager"
LISTENER = {"name": "edge", "address": "127.0.0.1", "port": 18080, "filterChains": [{"filters": [
    {"name": HCM, "type": "httpConnectionManager", "routeConfigName": "shop-rc"}]}]}

RICH_HCM = {
    "name": HCM, "type": "httpConnectionManager", "inlineRouteConfig": {k: v for k, v in RICH_ROUTE.items() if k != "team"},
    "accessLog": [{"path": "/dev/null", "format": "%REQ(:PATH)% %RESPONSE_CODE%\n"},
                  {"path": "/dev/null", "jsonFormat": {"path": "%REQ(:PATH)%", "camelKey": "%PROTOCOL%"}}],
    "tracing": {"provider": "otel", "config": {"cluster": "shop", "serviceName": "edge"}},
    "httpFilters": [{"filter": {"type": "router"}},
                    {"name": "envoy.filters.http.cors", "filter": {"type": "custom", "typed_config": {"@type": CORS_URL}}},
                    {"name": "by.bytes", "disabled": True, "is_optional": True,
                     "filter": {"type": "custom", "type_url": CORS_URL, "value": ""}}],
    "statPrefix": "edge", "codecType": "HTTP1", "useRemoteAddress": True, "xffNumTrustedHops": 2, "normalizePath": True,
    "mergeSlashes": True, "serverName": "shop", "requestTimeoutMs": 1500, "idleTimeoutSeconds": 100,
    "streamIdleTimeoutSeconds": 50, "maxRequestHeadersKb": 96, "upgrades": ["websocket"]}

RICH_LISTENER = {
    "name": "rich-edge", "address": "127.0.0.1", "port": 18443, "protocol": "HTTPS", "team": "shop", "proxyProtocol": True,
    "perConnectionBufferLimitBytes": 65536, "filterChains": [
        {"name": "web", "match": {"serverNames": ["shop.test", "*.shop.test"], "applicationProtocols": ["h2", "http/1.1"],
                                  "transportProtocol": "tls", "sourcePrefixRanges": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"],
                                  "destinationPort": 443},
         "tlsContext": {"certSecrets": ["shop-cert", "shop-cert-rsa"], "caSecret": "clients", "requireClientCertificate": True,
                        "minVersion": "TLSv1_2", "maxVersion": "TLSv1_3", "ciphers": ["ECDHE-ECDSA-AES128-GCM-SHA256"],
                        "alpn": ["h2", "http/1.1"], "sessionTicketKeysSecret": "tickets"},
         "filters": [RICH_HCM]},
        {"name": "zipkin", "match": {"serverNames": ["zipkin.test"]}, "tlsContext": {"certSecret": "shop-cert"},
         "filters": [{"name": HCM, "type": "httpConnectionManager", "routeConfigName": "shop-rc",
                      "accessLog": {"path": "/dev/null"},
                      "tracing": {"provider": "zipkin", "config": {"cluster": "shop", "endpoint": "/api/v2/spans"}}}]},
        {"name": "raw", "match": {"destinationPort": 5432},
         "filters": [{"name": "limit", "type": "typed", "typedConfig": {
             "@type": "type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
             "statPrefix": "limit", "maxConnections": "100"}},
                     {"name": "tcp", "type": "tcpProxy", "clusters": [{"name": "shop", "weight": 3}, {"name": "shadow", "weight": 1}],
                      "statPrefix": "pg", "idleTimeoutSeconds": 600, "accessLog": {"path": "/dev/null"}}]}]}

ENDPOINTS = {"name": "stock", "team": "shop", "endpoints": [
    {"host": "10.0.0.1", "port": 80, "weight": 2, "locality": {"zone": "a"}},
    {"host": "::1", "port": 80, "priority": 1, "healthStatus": "DEGRADED", "hostname": "h"}, "10.0.0.2:81"],
             "overprovisioningFactor": 150, "dropOverloads": [{"category": "lb", "fraction": {"numerator": 5, "denominator": "million"}}],
             "localityWeights": [{"locality": {"zone": "a"}, "weight": 7}, {"locality": {"zone": "b"}, "weight": 1}]}
