#!/usr/bin/env python3
"""Each writable field of contract §5.2 to §5.5: it is in the Envoy message, in the response, and back again."""
import fp_model
import fp_tap as tap
from fp_model import at, put

DNS = dict(fp_model.CLUSTER, endpoints=[{"host": "a.test", "port": 80}])
TLS = dict(DNS, useTls=True)
CTX = "transportSocket.typedConfig.commonTlsContext"
OPT = "typedExtensionProtocolOptions.envoy~extensions~upstreams~http~v3~HttpProtocolOptions"
CFG = "config."
SDS = {"ads": {}, "resourceApiVersion": "V3"}
ANY = "@type"

# base, path in the body, value, path in the Envoy message, what is there[, value in `config` when it differs]
CLUSTER = [
    (DNS, "connectTimeoutSeconds", 9, "connectTimeout", "9s"),
    (DNS, "type", "STRICT_DNS", "type", "STRICT_DNS"),
    (DNS, "type", "LOGICAL_DNS", "type", "LOGICAL_DNS"),
    (DNS, "dnsLookupFamily", "V4PREFERRED", "dnsLookupFamily", "V4_PREFERRED", "V4_PREFERRED"),
    (DNS, "dnsLookupFamily", "all", "dnsLookupFamily", "ALL", "ALL"),
    (DNS, "lbPolicy", "random", "lbPolicy", "RANDOM", "RANDOM"),
    (DNS, "lbPolicy", "CLUSTER_PROVIDED", "lbPolicy", "CLUSTER_PROVIDED"),
    (dict(DNS, lbPolicy="LEAST_REQUEST"), "leastRequest.choiceCount", 4, "leastRequestLbConfig.choiceCount", 4),
    (dict(DNS, lbPolicy="RING_HASH"), "ringHash.minimumRingSize", 4, "ringHashLbConfig.minimumRingSize", "4"),
    (dict(DNS, lbPolicy="RING_HASH"), "ringHash.maximumRingSize", 8388608, "ringHashLbConfig.maximumRingSize", "8388608"),
    (dict(DNS, lbPolicy="RING_HASH"), "ringHash.hashFunction", "MURMUR_HASH_2", "ringHashLbConfig.hashFunction", "MURMUR_HASH_2"),
    (dict(DNS, lbPolicy="MAGLEV"), "maglev.tableSize", 5000011, "maglevLbConfig.tableSize", "5000011"),
    (DNS, "protocol", "http1", OPT + ".explicitHttpConfig.httpProtocolOptions", {}),
    (DNS, "protocol", "http2", OPT + ".explicitHttpConfig.http2ProtocolOptions", {}),
    (TLS, "protocol", "auto", OPT + ".autoConfig", {}),
    (DNS, "idleTimeoutSeconds", 0, OPT + ".commonHttpProtocolOptions.idleTimeout", "0s"),
    (DNS, "idleTimeoutSeconds", 0, OPT + ".explicitHttpConfig.httpProtocolOptions", {}),
    (DNS, "maxRequestsPerConnection", 5, OPT + ".commonHttpProtocolOptions.maxRequestsPerConnection", 5),
    (DNS, "tcpKeepalive.probes", 3, "upstreamConnectionOptions.tcpKeepalive.keepaliveProbes", 3),
    (DNS, "tcpKeepalive.timeSeconds", 4, "upstreamConnectionOptions.tcpKeepalive.keepaliveTime", 4),
    (DNS, "tcpKeepalive.intervalSeconds", 5, "upstreamConnectionOptions.tcpKeepalive.keepaliveInterval", 5),
    (DNS, "outlierDetection.consecutive5xx", 6, "outlierDetection.consecutive5xx", 6),
    (DNS, "outlierDetection.intervalSeconds", 7, "outlierDetection.interval", "7s"),
    (DNS, "outlierDetection.baseEjectionTimeSeconds", 8, "outlierDetection.baseEjectionTime", "8s"),
    (DNS, "outlierDetection.maxEjectionPercent", 0, "outlierDetection.maxEjectionPercent", 0),
    (DNS, "outlierDetection.minHosts", 9, "outlierDetection.successRateMinimumHosts", 9),
    (DNS, "outlierDetection.consecutiveGatewayFailure", 10, "outlierDetection.consecutiveGatewayFailure", 10),
    (DNS, "outlierDetection.splitExternalLocalOriginErrors", True, "outlierDetection.splitExternalLocalOriginErrors", True),
    (DNS, "circuitBreakers.default.maxConnections", 1, "circuitBreakers.thresholds.0.maxConnections", 1),
    (DNS, "circuitBreakers.default.maxPendingRequests", 0, "circuitBreakers.thresholds.0.maxPendingRequests", 0),
    (DNS, "circuitBreakers.high.maxRequests", 3, "circuitBreakers.thresholds.0", {"priority": "HIGH", "maxRequests": 3}),
    (DNS, "circuitBreakers.high.maxRetries", 4, "circuitBreakers.thresholds.0", {"priority": "HIGH", "maxRetries": 4}),
    (DNS, "circuitBreakers.default.retryBudget.budgetPercent", 20.5, "circuitBreakers.thresholds.0.retryBudget.budgetPercent", {"value": 20.5}),
    (DNS, "circuitBreakers.default.retryBudget.minRetryConcurrency", 2, "circuitBreakers.thresholds.0.retryBudget.minRetryConcurrency", 2),
    (DNS, "healthChecks", [{}], "healthChecks.0", {"httpHealthCheck": {"path": "/health"}, "interval": "10s", "timeout": "5s",
                                                    "healthyThreshold": 2, "unhealthyThreshold": 3}),
    (DNS, "healthChecks", [{"path": "/a"}], "healthChecks.0.httpHealthCheck.path", "/a"),
    (DNS, "healthChecks", [{"host": "h"}], "healthChecks.0.httpHealthCheck.host", "h"),
    (DNS, "healthChecks", [{"method": "PATCH"}], "healthChecks.0.httpHealthCheck.method", "PATCH"),
    (DNS, "healthChecks", [{"intervalSeconds": 3}], "healthChecks.0.interval", "3s", [{"interval_seconds": 3}]),
    (DNS, "healthChecks", [{"timeoutSeconds": 3}], "healthChecks.0.timeout", "3s", [{"timeout_seconds": 3}]),
    (DNS, "healthChecks", [{"healthyThreshold": 3}], "healthChecks.0.healthyThreshold", 3, [{"healthy_threshold": 3}]),
    (DNS, "healthChecks", [{"unhealthyThreshold": 4}], "healthChecks.0.unhealthyThreshold", 4, [{"unhealthy_threshold": 4}]),
    (DNS, "healthChecks", [{"expectedStatuses": [200, 599]}], "healthChecks.0.httpHealthCheck.expectedStatuses",
     [{"start": "200", "end": "201"}, {"start": "599", "end": "600"}], [{"expected_statuses": [200, 599]}]),
    (DNS, "healthChecks", [{"type": "TCP"}], "healthChecks.0.tcpHealthCheck", {}, [{"type": "tcp"}]),
    (DNS, "healthChecks", [{"type": "grpc", "serviceName": "s", "host": "h"}], "healthChecks.0.grpcHealthCheck",
     {"serviceName": "s", "authority": "h"}),
    (DNS, "useTls", True, CTX + ".validationContext.trustedCa.filename", "/etc/ssl/certs/ca-certificates.crt"),
    (DNS, "useTls", False, "transportSocket", None),
    (TLS, "tlsServerName", " sni.test ", "transportSocket.typedConfig.sni", "sni.test", "sni.test"),
    (TLS, "tls.caFile", "/ca", CTX + ".validationContext.trustedCa.filename", "/ca"),
    (TLS, "tls.caSecret", "ca", CTX + ".combinedValidationContext.validationContextSdsSecretConfig", {"name": "ca", "sdsConfig": SDS}),
    (TLS, "tls.verify", False, CTX, {}),
    (TLS, "tls.subjectAltNames", [{"type": "prefix", "value": "p", "ignoreCase": True}],
     CTX + ".validationContext.matchTypedSubjectAltNames.0", {"sanType": "DNS", "matcher": {"prefix": "p", "ignoreCase": True}}),
    (put(TLS, "tls.keyFile", "/k"), "tls.certFile", "/c", CTX + ".tlsCertificates.0.certificateChain.filename", "/c"),
    (put(TLS, "tls.certFile", "/c"), "tls.keyFile", "/k", CTX + ".tlsCertificates.0.privateKey.filename", "/k"),
    (TLS, "tls.certSecret", "me", CTX + ".tlsCertificateSdsSecretConfigs.0", {"name": "me", "sdsConfig": SDS}),
    (TLS, "tls.alpn", ["h2"], CTX + ".alpnProtocols", ["h2"]),
    (TLS, "tls.minVersion", "TLSv1_3", CTX + ".tlsParams.tlsMinimumProtocolVersion", "TLSv1_3"),
    (TLS, "tls.maxVersion", "TLSv1_2", CTX + ".tlsParams.tlsMaximumProtocolVersion", "TLSv1_2"),
    (TLS, "tls.ciphers", ["A", "B"], CTX + ".tlsParams.cipherSuites", ["A", "B"]),
    (DNS, "endpoints.0.weight", 4294967295, "loadAssignment.endpoints.0.lbEndpoints.0.loadBalancingWeight", 4294967295),
    (DNS, "endpoints.0.priority", 127, "loadAssignment.endpoints.0.priority", 127),
    (DNS, "endpoints.0.locality", {"region": "r", "zone": "z", "subZone": "s"}, "loadAssignment.endpoints.0.locality",
     {"region": "r", "zone": "z", "subZone": "s"}),
    (DNS, "endpoints.0.healthStatus", "DRAINING", "loadAssignment.endpoints.0.lbEndpoints.0.healthStatus", "DRAINING"),
    (DNS, "endpoints.0.hostname", "h", "loadAssignment.endpoints.0.lbEndpoints.0.endpoint.hostname", "h"),
    (DNS, "endpoints.0.host", "b.test", "loadAssignment.endpoints.0.lbEndpoints.0.endpoint.address.socketAddress.address", "b.test"),
    (DNS, "endpoints.0.port", 65535, "loadAssignment.endpoints.0.lbEndpoints.0.endpoint.address.socketAddress.portValue", 65535),
]

VH, RULE = "virtualHosts.0.", "virtualHosts.0.routes.0."
M, A, R = RULE + "match.", RULE + "action.", RULE + "route."
WEIGHTED = put(fp_model.ROUTE, RULE + "action", {"type": "weighted", "clusters": [{"name": "a", "weight": 1}]})
REDIRECT = put(fp_model.ROUTE, RULE + "action", {"type": "redirect"})
DIRECT = put(fp_model.ROUTE, RULE + "action", {"type": "direct", "status": 200})
TEMPLATE = put(fp_model.ROUTE, M + "path", {"type": "template", "template": "/{a}"})
RC = fp_model.ROUTE
HEADER = {"name": "h"}
LIMIT = [{"actions": [{"type": "remoteAddress"}]}]


def edits(base, where, to):
    return [
        (base, where + "requestHeadersToAdd", [{"key": "k", "value": "v"}], to + "requestHeadersToAdd",
         [{"header": {"key": "k", "value": "v"}, "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD"}]),
        (base, where + "responseHeadersToAdd", [{"key": "k", "value": "", "append": True}], to + "responseHeadersToAdd",
         [{"header": {"key": "k"}}]),
        (base, where + "requestHeadersToRemove", ["a", "b"], to + "requestHeadersToRemove", ["a", "b"]),
        (base, where + "responseHeadersToRemove", ["a"], to + "responseHeadersToRemove", ["a"])]


def retry(base, where, to):
    w, t = where + "retryPolicy.", to + "retryPolicy."
    return [
        (base, w + "numRetries", 0, t + "numRetries", 0),
        (base, w + "retryOn", ["5xx", "connect-failure"], t + "retryOn", "5xx,connect-failure"),
        (base, w + "perTryTimeoutSeconds", 14, t + "perTryTimeout", "14s"),
        (base, w + "retriableStatusCodes", [503], t + "retriableStatusCodes", [503]),
        (base, w + "baseIntervalMs", 1, t + "retryBackOff", {"baseInterval": "0.001s", "maxInterval": "1s"}),
        (base, w + "maxIntervalMs", 1234, t + "retryBackOff", {"baseInterval": "0.100s", "maxInterval": "1.234s"})]


def hashes(base):
    w, t = A + "hashPolicy", R + "hashPolicy.0"
    return [(base, w, [{"header": "x"}], t, {"header": {"headerName": "x"}}),
            (base, w, [{"cookie": {"name": "c", "ttlSeconds": 0, "path": "/"}, "terminal": True}], t,
             {"cookie": {"name": "c", "ttl": "0s", "path": "/"}, "terminal": True}),
            (base, w, [{"sourceIp": True}], t, {"connectionProperties": {"sourceIp": True}}),
            (base, w, [{"queryParameter": "q"}], t, {"queryParameter": {"name": "q"}})]


def limits(where, to):
    def action(a, want):
        return (RC, where + "rateLimits", [{"actions": [a]}], to + "rateLimits.0.actions.0", want)
    return [
        (RC, where + "rateLimits", [dict(LIMIT[0], stage=10)], to + "rateLimits.0.stage", 10),
        (RC, where + "rateLimits", [dict(LIMIT[0], disableKey="k")], to + "rateLimits.0.disableKey", "k"),
        action({"type": "remoteAddress"}, {"remoteAddress": {}}),
        action({"type": "sourceCluster"}, {"sourceCluster": {}}),
        action({"type": "destinationCluster"}, {"destinationCluster": {}}),
        action({"type": "requestHeader", "headerName": "h", "descriptorKey": "d"},
               {"requestHeaders": {"headerName": "h", "descriptorKey": "d"}}),
        action({"type": "genericKey", "descriptorValue": "v", "descriptorKey": "k"},
               {"genericKey": {"descriptorValue": "v", "descriptorKey": "k"}}),
        action({"type": "headerValueMatch", "descriptorValue": "v", "expectMatch": False, "headers": [HEADER]},
               {"headerValueMatch": {"descriptorValue": "v", "expectMatch": False,
                                     "headers": [{"name": "h", "presentMatch": True}]}})]


def per_filter(base, where, to):
    typed = {ANY: fp_model.CORS_POLICY_URL, "allowCredentials": True}
    w, t = where + "typedPerFilterConfig", to + "typedPerFilterConfig"
    return [(base, w, {"a.b": typed}, t + ".a~b", typed),
            (base, w, {"a.b": {"typed_config": typed}}, t + ".a~b", typed),
            (base, w, {"a.b": {"type_url": fp_model.CORS_URL, "value": ""}}, t + ".a~b", {ANY: fp_model.CORS_URL}),
            (base, w, {"a.b": {"disabled": True}}, t + ".a~b",
             {ANY: "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True})]


def header(h, want):
    return (RC, M + "headers", [dict(HEADER, **h)], M + "headers.0", dict(HEADER, **want))


def query(q, want):
    return (RC, M + "queryParameters", [dict(HEADER, **q)], M + "queryParameters.0", dict(HEADER, **want))


ROUTE = [
    (RC, "validateClusters", True, "validateClusters", True),
    (RC, "vhds", True, "vhds.configSource", SDS),
    (RC, "vhds", False, "vhds", None),
    *edits(RC, "", ""), *edits(RC, VH, VH), *edits(RC, RULE, RULE),
    (RC, VH + "name", "n", VH + "name", "n"),
    (RC, VH + "domains", ["a", "*.b"], VH + "domains", ["a", "*.b"]),
    (RC, VH + "requireTls", "ALL", VH + "requireTls", "ALL"),
    *retry(RC, VH, VH), *limits(VH, VH), *per_filter(RC, VH, VH),
    (RC, RULE + "name", "n", RULE + "name", "n"),
    *limits(RULE, R), *per_filter(RC, RULE, RULE),
    (RC, M + "path", {"type": "exact", "value": "/x"}, M + "path", "/x"),
    (RC, M + "path", {"type": "prefix", "value": "/x"}, M + "prefix", "/x"),
    (RC, M + "path", {"type": "pathSeparatedPrefix", "value": "/x"}, M + "pathSeparatedPrefix", "/x"),
    (RC, M + "path", {"type": "regex", "value": "/x+"}, M + "safeRegex.regex", "/x+"),
    (RC, M + "path", {"type": "template", "template": "/{x}"}, M + "pathMatchPolicy.typedConfig.pathTemplate", "/{x}"),
    header({}, {"presentMatch": True}), header({"present": False}, {"presentMatch": False}),
    header({"value": "v"}, {"stringMatch": {"exact": "v"}}), header({"regex": "r"}, {"stringMatch": {"safeRegex": {"regex": "r"}}}),
    header({"prefix": "v"}, {"stringMatch": {"prefix": "v"}}), header({"suffix": "v"}, {"stringMatch": {"suffix": "v"}}),
    header({"contains": "v", "invert": True}, {"stringMatch": {"contains": "v"}, "invertMatch": True}),
    query({}, {"presentMatch": True}), query({"present": True}, {"presentMatch": True}),
    query({"value": ""}, {"stringMatch": {"exact": ""}}), query({"prefix": "p"}, {"stringMatch": {"prefix": "p"}}),
    query({"regex": "r"}, {"stringMatch": {"safeRegex": {"regex": "r"}}}),
    (RC, M + "methods", ["GET"], M + "headers.0", {"name": ":method", "stringMatch": {"exact": "GET"}}),
    (RC, M + "methods", ["GET", "M-SEARCH", "A.B*"], M + "headers.0.stringMatch.safeRegex.regex", "^(?:GET|M-SEARCH|A\\.B\\*)$"),
    (RC, M + "caseSensitive", False, M + "caseSensitive", False),
    (RC, M + "caseSensitive", True, M + "caseSensitive", True),
    (RC, M + "fraction", {"numerator": 3, "denominator": "million", "runtimeKey": "k"}, M + "runtimeFraction",
     {"defaultValue": {"numerator": 3, "denominator": "MILLION"}, "runtimeKey": "k"}),
    (RC, A + "cluster", "c", R + "cluster", "c"),
    (put(RC, RULE + "action", {"type": "forward"}), A + "clusterHeader", "x-c", R + "clusterHeader", "x-c"),
    (RC, A + "timeoutSeconds", 315576000000, R + "timeout", "315576000000s"),
    (RC, A + "timeoutMs", 315576000000000, R + "timeout", "315576000000s"), (RC, A + "timeoutMs", 1, R + "timeout", "0.001s"), (RC, A + "timeoutMs", 0, R + "timeout", "0s"),
    (RC, A + "idleTimeoutSeconds", 5, R + "idleTimeout", "5s"),
    (RC, A + "prefixRewrite", "/p", R + "prefixRewrite", "/p"),
    (TEMPLATE, A + "templateRewrite", "/x/{a}", R + "pathRewritePolicy.typedConfig.pathTemplateRewrite", "/x/{a}"),
    (RC, A + "regexRewrite", {"pattern": "a", "substitution": ""}, R + "regexRewrite", {"pattern": {"regex": "a"}}),
    (RC, A + "hostRewrite", "h", R + "hostRewriteLiteral", "h"),
    (RC, A + "autoHostRewrite", True, R + "autoHostRewrite", True),
    *retry(RC, A, R), *hashes(RC),
    (RC, A + "mirror", [{"cluster": "m"}], R + "requestMirrorPolicies.0", {"cluster": "m"}),
    (RC, A + "mirror", [{"cluster": "m", "fraction": {"numerator": 1}}], R + "requestMirrorPolicies.0.runtimeFraction",
     {"defaultValue": {"numerator": 1}}),
    (RC, A + "upgrades", ["websocket", "CONNECT"], R + "upgradeConfigs", [{"upgradeType": "websocket"}, {"upgradeType": "CONNECT"}]),
    (RC, A + "priority", "high", R + "priority", "HIGH"), (RC, A + "priority", "default", R + "priority", None),
    (WEIGHTED, A + "totalWeight", 1, R + "weightedClusters.totalWeight", 1),
    (WEIGHTED, A + "clusters.0.weight", 4294967295, R + "weightedClusters.clusters.0.weight", 4294967295),
    (WEIGHTED, A + "clusters.0.name", "z", R + "weightedClusters.clusters.0.name", "z"),
    (WEIGHTED, A + "timeoutSeconds", 2, R + "timeout", "2s"), (WEIGHTED, A + "timeoutMs", 2, R + "timeout", "0.002s"),
    *retry(WEIGHTED, A, R), *hashes(WEIGHTED),
    *per_filter(WEIGHTED, A + "clusters.0.", R + "weightedClusters.clusters.0."),
    (REDIRECT, A + "hostRedirect", "h", RULE + "redirect.hostRedirect", "h"),
    (REDIRECT, A + "pathRedirect", "/p", RULE + "redirect.pathRedirect", "/p"),
    (REDIRECT, A + "prefixRewrite", "/p", RULE + "redirect.prefixRewrite", "/p"),
    (REDIRECT, A + "schemeRedirect", "wss", RULE + "redirect.schemeRedirect", "wss"),
    (REDIRECT, A + "httpsRedirect", True, RULE + "redirect.httpsRedirect", True),
    (REDIRECT, A + "portRedirect", 65535, RULE + "redirect.portRedirect", 65535),
    (REDIRECT, A + "stripQuery", True, RULE + "redirect.stripQuery", True),
    *[(REDIRECT, A + "responseCode", n, RULE + "redirect.responseCode", w, c) for n, w, c in (
        (301, None, 301), (302, "FOUND", 302), (303, "SEE_OTHER", 303), (307, "TEMPORARY_REDIRECT", 307),
        (308, "PERMANENT_REDIRECT", 308), (0, None, 301), (1, "FOUND", 302), (4, "PERMANENT_REDIRECT", 308))],
    (DIRECT, A + "status", 599, RULE + "directResponse.status", 599),
    (DIRECT, A + "body", "b" * 4096, RULE + "directResponse.body.inlineString", "b" * 4096),
]

FC, F = "filterChains.0.", "filterChains.0.filters.0."
T = F + "typedConfig."
L = fp_model.LISTENER
INLINE = put(L, F[:-1], {"name": "h", "type": "httpConnectionManager", "inlineRouteConfig": {
    k: v for k, v in RC.items() if k != "name"}})
TCP = put(L, F[:-1], {"name": "t", "type": "tcpProxy", "cluster": "c"})
WTCP = put(L, F[:-1], {"name": "t", "type": "tcpProxy"})
CERT = put(L, FC + "tlsContext", {"certSecret": "c"})
FILES = put(L, FC + "tlsContext", {"certChainFile": "/c", "privateKeyFile": "/k"})
X = FC + "transportSocket.typedConfig."
XC = X + "commonTlsContext."
LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
TRACE = {"provider": "otel", "config": {"cluster": "c", "serviceName": "s"}}


def logs(base):
    return [
        (base, F + "accessLog", {"path": "/l"}, T + "accessLog",
         [{"name": "envoy.access_loggers.file", "typedConfig": {ANY: LOG, "path": "/l"}}]),
        (base, F + "accessLog", [{"path": "/l", "format": "f"}], T + "accessLog.0.typedConfig.logFormat",
         {"textFormatSource": {"inlineString": "f"}}),
        (base, F + "accessLog", {"path": "/l", "jsonFormat": {"a_b": "x", "cD": "y"}}, T + "accessLog.0.typedConfig.logFormat",
         {"jsonFormat": {"a_b": "x", "cD": "y"}})]


LISTENER = [
    (L, "address", "::1", "address.socketAddress.address", "::1"),
    (L, "port", 65535, "address.socketAddress.portValue", 65535),
    (L, "protocol", "HTTPS", "name", "edge"),
    (L, "proxyProtocol", True, "listenerFilters.0.name", "envoy.filters.listener.proxy_protocol"),
    (L, "proxyProtocol", False, "listenerFilters", None),
    (L, "perConnectionBufferLimitBytes", 1024, "perConnectionBufferLimitBytes", 1024),
    (L, FC + "name", "n", FC + "name", "n"),
    (L, FC + "match.serverNames", ["a", "*.b"], FC + "filterChainMatch.serverNames", ["a", "*.b"]),
    (L, FC + "match.serverNames", ["a"], "listenerFilters.0.name", "envoy.filters.listener.tls_inspector"),
    (L, FC + "match.applicationProtocols", ["h2"], FC + "filterChainMatch.applicationProtocols", ["h2"]),
    (L, FC + "match.transportProtocol", "raw_buffer", FC + "filterChainMatch.transportProtocol", "raw_buffer"),
    (L, FC + "match.sourcePrefixRanges", ["10.0.0.0/8", "::1"], FC + "filterChainMatch.sourcePrefixRanges",
     [{"addressPrefix": "10.0.0.0", "prefixLen": 8}, {"addressPrefix": "::1", "prefixLen": 128}]),
    (L, FC + "match.destinationPort", 443, FC + "filterChainMatch.destinationPort", 443),
    (FILES, FC + "tlsContext.certChainFile", "/x", XC + "tlsCertificates.0.certificateChain.filename", "/x"),
    (FILES, FC + "tlsContext.privateKeyFile", "/x", XC + "tlsCertificates.0.privateKey.filename", "/x"),
    (L, FC + "tlsContext.certSecret", "s", XC + "tlsCertificateSdsSecretConfigs", [{"name": "s", "sdsConfig": SDS}]),
    (L, FC + "tlsContext.certSecrets", ["s", "t"], XC + "tlsCertificateSdsSecretConfigs.1.name", "t"),
    (CERT, FC + "tlsContext.caCertFile", "/ca", XC + "validationContext.trustedCa.filename", "/ca"),
    (CERT, FC + "tlsContext.caSecret", "ca", XC + "validationContextSdsSecretConfig", {"name": "ca", "sdsConfig": SDS}),
    (put(CERT, FC + "tlsContext.caSecret", "ca"), FC + "tlsContext.requireClientCertificate", True, X + "requireClientCertificate", True),
    (CERT, FC + "tlsContext.requireClientCertificate", False, X + "requireClientCertificate", False),
    (CERT, FC + "tlsContext.minVersion", "TLSv1_2", XC + "tlsParams.tlsMinimumProtocolVersion", "TLSv1_2"),
    (CERT, FC + "tlsContext.maxVersion", "TLSv1_3", XC + "tlsParams.tlsMaximumProtocolVersion", "TLSv1_3"),
    (CERT, FC + "tlsContext.ciphers", ["A"], XC + "tlsParams.cipherSuites", ["A"]),
    (CERT, FC + "tlsContext.alpn", ["h2"], XC + "alpnProtocols", ["h2"]),
    (CERT, FC + "tlsContext.sessionTicketKeysSecret", "k", X + "sessionTicketKeysSdsSecretConfig.name", "k"),
    (L, F + "name", "n", F + "name", "n"),
    (L, F + "routeConfigName", "rc", T + "rds", {"routeConfigName": "rc", "configSource": SDS}),
    (INLINE, F + "inlineRouteConfig.name", "in", T + "routeConfig.name", "in"),
    *logs(L), *logs(TCP),
    (L, F + "tracing", TRACE, T + "tracing.provider", {"name": "envoy.tracers.opentelemetry", "typedConfig": {
        ANY: "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "grpcService": {"envoyGrpc": {"clusterName": "c"}}, "serviceName": "s"}}),
    (L, F + "tracing", {"provider": "zipkin", "config": {"cluster": "c", "endpoint": "/e"}}, T + "tracing.provider",
     {"name": "envoy.tracers.zipkin", "typedConfig": {
         ANY: "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig", "collectorCluster": "c", "collectorEndpoint": "/e",
         "collectorEndpointVersion": "HTTP_JSON"}}),
    (L, F + "tracing", {"provider": "my", "typedConfig": {ANY: fp_model.CORS_URL}}, T + "tracing.provider",
     {"name": "my", "typedConfig": {ANY: fp_model.CORS_URL}}),
    (L, F + "httpFilters", [{"filter": {"type": "router"}, "name": "r"}], T + "httpFilters",
     [{"name": "r", "typedConfig": {ANY: fp_model.ROUTER_URL}}]),
    (L, F + "httpFilters", [{"filter": {"type": "custom", "typed_config": {ANY: fp_model.CORS_URL}}, "is_optional": True}],
     T + "httpFilters.0", {"name": "custom.http.filter", "isOptional": True, "typedConfig": {ANY: fp_model.CORS_URL}}),
    (L, F + "httpFilters", [{"filter": {"type": "custom", "type_url": fp_model.CORS_URL, "value": ""}, "disabled": True, "name": "c"}],
     T + "httpFilters.0", {"name": "c", "disabled": True, "typedConfig": {ANY: fp_model.CORS_URL}}),
    (L, F + "statPrefix", "p", T + "statPrefix", "p"),
    (L, F + "codecType", "HTTP2", T + "codecType", "HTTP2"),
    (L, F + "useRemoteAddress", False, T + "useRemoteAddress", False),
    (L, F + "xffNumTrustedHops", 2, T + "xffNumTrustedHops", 2),
    (L, F + "normalizePath", True, T + "normalizePath", True),
    (L, F + "mergeSlashes", True, T + "mergeSlashes", True),
    (L, F + "serverName", "s", T + "serverName", "s"),
    (L, F + "requestTimeoutMs", 1500, T + "requestTimeout", "1.500s"),
    (L, F + "idleTimeoutSeconds", 5, T + "commonHttpProtocolOptions.idleTimeout", "5s"),
    (L, F + "streamIdleTimeoutSeconds", 0, T + "streamIdleTimeout", "0s"),
    (L, F + "maxRequestHeadersKb", 8192, T + "maxRequestHeadersKb", 8192),
    (L, F + "upgrades", ["websocket"], T + "upgradeConfigs", [{"upgradeType": "websocket"}]),
    (TCP, F + "cluster", "d", T + "cluster", "d"),
    (WTCP, F + "clusters", [{"name": "a", "weight": 2}], T + "weightedClusters.clusters", [{"name": "a", "weight": 2}]),
    (TCP, F + "statPrefix", "p", T + "statPrefix", "p"),
    (TCP, F + "idleTimeoutSeconds", 0, T + "idleTimeout", "0s"),
    (L, FC + "filters", [{"name": "x", "type": "typed", "typedConfig": {ANY: fp_model.CORS_URL}}], F[:-1],
     {"name": "x", "typedConfig": {ANY: fp_model.CORS_URL}}),
    (L, FC + "filters", [{"name": "x", "type": "typed", "typedConfig": {"type_url": fp_model.CORS_URL, "value": ""}}], F[:-1],
     {"name": "x", "typedConfig": {ANY: fp_model.CORS_URL}}),
]

EP = {"name": "set", "endpoints": [{"host": "10.0.0.1", "port": 1}]}
ENDPOINT = [
    (EP, "endpoints", [], "endpoints", None),
    (EP, "endpoints", ["[::1]:5"], "endpoints.0.lbEndpoints.0.endpoint.address.socketAddress",
     {"address": "::1", "portValue": 5}, [{"host": "::1", "port": 5}]),
    (EP, "overprovisioningFactor", 200, "policy.overprovisioningFactor", 200),
    (EP, "dropOverloads", [{"category": "c", "fraction": {"numerator": 1, "denominator": "ten_thousand"}}],
     "policy.dropOverloads", [{"category": "c", "dropPercentage": {"numerator": 1, "denominator": "TEN_THOUSAND"}}]),
    (EP, "localityWeights", [{"locality": {"zone": "z"}, "weight": 3}], "endpoints.1",
     {"locality": {"zone": "z"}, "loadBalancingWeight": 3}),
    (put(EP, "endpoints.0.locality", {"zone": "z"}), "localityWeights", [{"locality": {"zone": "z"}, "weight": 3}],
     "endpoints.0.loadBalancingWeight", 3),
]


def respelled(value, keep=("jsonFormat", "typedPerFilterConfig", "typedConfig", "typed_config", "filterType")):
    """The same body in snake_case."""
    if isinstance(value, list):
        return [respelled(v) for v in value]
    if not isinstance(value, dict):
        return value
    snake = {k: "".join("_" + c.lower() if c.isupper() else c for c in k) for k in value}
    return {snake[k]: v if k in keep else respelled(v) for k, v in value.items()}


def check(model, kind, row):
    base, path, value, to, want = row[:5]
    r = model.parse(kind, put(base, path, value))
    title = f"{kind} {path} = {str(value)[:60]}"
    if not tap.ok(r["ok"], f"{title}: accepted", r.get("problems")):
        return
    tap.is_(at(r["elements"][0], to), want, f"{title}: in the Envoy message")
    shown = r["response"] if kind in ("listener", "endpoint") else r["response"]["config"]
    tap.is_(at(shown, path), row[5] if len(row) > 5 else value, f"{title}: in the response")
    again = model.parse(kind, r["response"])
    tap.ok(again["ok"] and again["hash"] == r["hash"] and again["configuration"] == r["configuration"],
           f"{title}: response = request", again.get("problems"))
    if kind not in ("endpoint",):
        alone = model.parse(kind, {"name": r["name"], "config": r["response"]["config"]})
        tap.ok(alone["ok"] and alone["hash"] == r["hash"], f"{title}: config alone says it all", alone.get("problems"))
    stored = model.stored(kind, r)
    tap.ok(stored["ok"] and stored["hash"] == r["hash"] and stored["configuration"] == r["configuration"],
           f"{title}: the stored row gives the same", stored.get("problems"))
    snake = model.parse(kind, respelled(put(base, path, value)))
    tap.ok(snake["ok"] and snake["hash"] == r["hash"], f"{title}: in snake_case", snake.get("problems"))
    raw = model.parse(kind, {"name": r["name"], "envoy": r["elements"][0]})
    tap.ok(raw["ok"] and raw["configuration"] == r["elements"][0], f"{title}: the message is accepted as envoy", raw.get("problems"))


with tap.run():
    model = fp_model.Model(privileged=True)
    for kind, rows in (("cluster", CLUSTER), ("route", ROUTE), ("listener", LISTENER), ("endpoint", ENDPOINT)):
        for row in rows:
            check(model, kind, row)
    tap.is_(model.close(), 0, "the model ends well")
