#!/usr/bin/env python3
"""Each rule of contract §5 that refuses a body: code and pointer (RFC 6901, as sent)."""
import fp_model
import fp_tap as tap
from fp_model import put

C = fp_model.CLUSTER
DNS = dict(C, endpoints=[{"host": "a.test", "port": 80}])
RC = fp_model.ROUTE
L = fp_model.LISTENER
EP = {"name": "set", "endpoints": []}
URL = "type.googleapis.com/"


def without(body, *keys):
    return {k: v for k, v in body.items() if k not in keys}


# title, body, [(pointer, code), …] exactly
COMMON = [
    ("no object", [], [("", "invalid_type")]),
    ("no name", without(C, "name"), [("/name", "required")]),
    ("an empty name", dict(C, name=""), [("/name", "too_short")]),
    ("a long name", dict(C, name="n" * 51), [("/name", "too_long")]),
    ("a name with a control character", dict(C, name="a\u0007b"), [("/name", "invalid_format")]),
    ("a name with C1 control characters", dict(C, name="a\u0085b"), [("/name", "invalid_format")]),
    ("a name with a blank before", dict(C, name=" a"), [("/name", "invalid_format")]),
    ("a name with a blank behind", dict(C, name="a\t"), [("/name", "invalid_format")]),
    ("a name of a wrong type", dict(C, name=7), [("/name", "invalid_type")]),
    ("an unknown field", dict(C, lbPolicyy="RANDOM"), [("/lbPolicyy", "unknown_field")]),
    ("a pointer is escaped", dict(C, **{"a/b~c": 1}), [("/a~1b~0c", "unknown_field")]),
    ("a mixed spelling", dict(C, connect_timeoutSeconds=1), [("/connect_timeoutSeconds", "unknown_field")]),
    ("both spellings", dict(C, lbPolicy="RANDOM", lb_policy="RANDOM"), [("/lb_policy", "duplicate")]),
    ("a blank team", dict(C, team="  "), [("/team", "invalid_format")]),
    ("a team with a colon", dict(C, team="a:b"), [("/team", "invalid_format")]),
    ("an empty team", dict(C, team=""), [("/team", "too_short")]),
    ("a long team", dict(C, team="t" * 101), [("/team", "too_long")]),
    ("all problems at once", dict(without(C, "name"), team=1, protocol="x", lbPolicy=5),
     [("/team", "invalid_type"), ("/protocol", "invalid_value"), ("/lbPolicy", "invalid_type"), ("/name", "required")]),
    ("config of a wrong type", {"name": "a", "config": []}, [("/config", "invalid_type")]),
    ("config and a different member", {"name": "a", "config": without(C, "name"), "endpoints": ["10.0.0.2:1"]},
     [("/endpoints", "invalid_value")]),
    ("an unknown field in config", {"name": "a", "config": put(without(C, "name"), "x", 1)}, [("/config/x", "unknown_field")]),
    ("a bad value in config", {"name": "a", "config": put(without(C, "name"), "protocol", 1)}, [("/config/protocol", "invalid_type")]),
    ("id inside config", {"name": "a", "config": put(without(C, "name"), "id", "x")}, [("/config/id", "unknown_field")]),
    ("envoy of a wrong type", {"name": "a", "envoy": 1}, [("/envoy", "invalid_type")]),
    ("envoy and a field", {"name": "a", "envoy": {}, "endpoints": []}, [("/endpoints", "mutually_exclusive")]),
    ("envoy and config", {"name": "a", "envoy": {}, "config": {}}, [("/config", "mutually_exclusive")]),
    ("envoy without a name", {"envoy": {"name": "a"}}, [("/name", "required")]),
    ("envoy with another name", {"name": "a", "envoy": {"name": "b"}}, [("/envoy/name", "invalid_value")]),
    ("envoy with a long name", {"name": "a" * 256, "envoy": {}}, [("/name", "too_long")]),
    ("envoy with an unknown field", {"name": "a", "envoy": {"x": 1}}, [("/envoy/x", "unknown_field")]),
    ("envoy with a wrong type", {"name": "a", "envoy": {"connectTimeout": 5}}, [("/envoy/connectTimeout", "invalid_type")]),
    ("envoy with an unknown type URL", {"name": "a", "envoy": {"transportSocket": {"name": "x", "typedConfig": {"@type": URL + "no.Such"}}}},
     [("/envoy/transportSocket/typedConfig/@type", "unsupported")]),
    ("envoy with two of a oneof", {"name": "a", "envoy": {"ringHashLbConfig": {}, "maglevLbConfig": {}}},
     [("/envoy/maglevLbConfig", "mutually_exclusive")]),
]


def cluster(path, value, *problems, base=C):
    return (f"{path} = {value!r:.50}", put(base, path, value), [(p, c) for p, c in problems])


def one(path, value, code, base=C):
    return cluster(path, value, ("/" + path.replace(".", "/"), code), base=base)


def below(path, value, where, code, base=C):
    return cluster(path, value, ("/" + path.replace(".", "/") + where, code), base=base)


CHECK = dict(DNS, healthChecks=[{}])
TLS = dict(DNS, useTls=True)
CLUSTER = [
    ("no endpoints", without(C, "endpoints"), [("/endpoints", "required")]),
    one("endpoints", [], "too_few"), one("endpoints", {}, "invalid_type"),
    one("endpoints", [], "too_few", base=dict(C, type="EDS")),
    one("endpoints.0", 5, "invalid_type"), one("endpoints.0", "a.test", "invalid_format"),
    one("endpoints.0", "::1:80", "invalid_format"), one("endpoints.0", "a.test:0", "out_of_range"),
    one("endpoints.0", "a.test:65536", "out_of_range"), one("endpoints.0", ":80", "too_short"),
    one("endpoints.0", "a b:80", "invalid_format"), one("endpoints.0", "a.test:99999999999", "invalid_format"),
    one("endpoints.0.host", "", "too_short"), one("endpoints.0.host", "a" * 256, "too_long"),
    one("endpoints.0.host", "1.2.3.256", "invalid_format"), one("endpoints.0.host", "[::1", "invalid_format"),
    one("endpoints.0.host", "a..b", "invalid_format"), one("endpoints.0.host", "-a", "invalid_format"),
    one("endpoints.0.host", "ü.test", "invalid_format"), one("endpoints.0.host", None, "required"),
    one("endpoints.0.port", 0, "out_of_range"), one("endpoints.0.port", 65536, "out_of_range"),
    one("endpoints.0.port", "80", "invalid_type"), one("endpoints.0.port", 80.5, "invalid_type"),
    one("endpoints.0.port", -1, "out_of_range"), one("endpoints.0.port", True, "invalid_type"),
    one("endpoints.0.weight", 0, "out_of_range"), one("endpoints.0.weight", 2**32, "out_of_range"),
    one("endpoints.0.priority", 128, "out_of_range"), one("endpoints.0.healthStatus", "healthy", "invalid_value"),
    one("endpoints.0.locality", "eu", "invalid_type"), one("endpoints.0.locality.area", "x", "unknown_field"),
    one("endpoints.0.locality.zone", 1, "invalid_type"),
    cluster("endpoints", [{"host": "10.0.0.1", "port": 1, "weight": 4294967295}, {"host": "10.0.0.2", "port": 1}],
            ("/endpoints/1", "out_of_range")),
    one("serviceName", "s" * 51, "too_long"), one("serviceName", " s", "invalid_format"),
    one("connectTimeoutSeconds", 0, "out_of_range"), one("connectTimeoutSeconds", 315576000001, "out_of_range"),
    one("type", "static", "invalid_value"), one("type", "ORIGINAL_DST", "invalid_value"),
    cluster("type", "STATIC", ("/endpoints/0/host", "invalid_value"), base=DNS),
    cluster("type", "EDS", ("/endpoints/0/host", "invalid_value"), base=DNS),
    cluster("type", "LOGICAL_DNS", ("/endpoints", "too_many"), base=put(DNS, "endpoints", ["a.test:1", "b.test:1"])),
    one("dnsLookupFamily", "V4", "invalid_value", base=DNS), one("dnsLookupFamily", "AUTO", "mutually_exclusive"),
    one("lbPolicy", "LEAST", "invalid_value"), one("useTls", "yes", "invalid_type"), one("useTls", 1, "invalid_type"),
    cluster("leastRequest", {"choiceCount": 2}, ("/leastRequest", "mutually_exclusive")),
    cluster("leastRequest", {"choiceCount": 1}, ("/leastRequest/choiceCount", "out_of_range"), base=dict(C, lbPolicy="LEAST_REQUEST")),
    below("leastRequest", {}, "/choiceCount", "required", base=dict(C, lbPolicy="LEAST_REQUEST")),
    cluster("ringHash", {}, ("/ringHash", "mutually_exclusive"), base=dict(C, lbPolicy="MAGLEV")),
    below("ringHash", {"minimumRingSize": 8388609}, "/minimumRingSize", "out_of_range", base=dict(C, lbPolicy="RING_HASH")),
    below("ringHash", {"minimumRingSize": 8, "maximumRingSize": 7}, "/maximumRingSize", "out_of_range", base=dict(C, lbPolicy="RING_HASH")),
    below("ringHash", {"hashFunction": "MD5"}, "/hashFunction", "invalid_value", base=dict(C, lbPolicy="RING_HASH")),
    cluster("maglev", {"tableSize": 65537}, ("/maglev", "mutually_exclusive"), base=dict(C, lbPolicy="RANDOM")),
    below("maglev", {"tableSize": 65536}, "/tableSize", "invalid_value", base=dict(C, lbPolicy="MAGLEV")),
    below("maglev", {"tableSize": 5000077}, "/tableSize", "out_of_range", base=dict(C, lbPolicy="MAGLEV")),
    ("healthCheck and healthChecks", dict(C, healthChecks=[], healthCheck={}), [("/healthCheck", "duplicate")]),
    one("healthCheck", [], "invalid_type"), one("healthChecks", {}, "invalid_type"),
    one("healthChecks.0.type", "udp", "invalid_value", base=CHECK),
    one("healthChecks.0.method", "CONNECT", "invalid_value", base=CHECK),
    one("healthChecks.0.method", "get", "invalid_value", base=CHECK),
    one("healthChecks.0.path", "", "too_short", base=CHECK),
    one("healthChecks.0.path", "/a\nb", "invalid_format", base=CHECK),
    one("healthChecks.0.intervalSeconds", 0, "out_of_range", base=CHECK),
    one("healthChecks.0.timeout_seconds", 0, "out_of_range", base=CHECK),
    one("healthChecks.0.healthyThreshold", 0, "out_of_range", base=CHECK),
    one("healthChecks.0.unhealthyThreshold", 0, "out_of_range", base=CHECK),
    one("healthChecks.0.expectedStatuses", 200, "invalid_type", base=CHECK),
    below("healthChecks.0.expectedStatuses", [99], "/0", "out_of_range", base=CHECK),
    below("healthChecks.0.expectedStatuses", [200, 600], "/1", "out_of_range", base=CHECK),
    below("healthChecks.0.expectedStatuses", [200, 200], "/1", "duplicate", base=CHECK),
    one("healthChecks.0.serviceName", "s", "mutually_exclusive", base=CHECK),
    below("healthChecks.0", {"type": "tcp", "path": "/x"}, "/path", "mutually_exclusive", base=CHECK),
    below("healthChecks.0", {"type": "grpc", "expectedStatuses": []}, "/expectedStatuses", "mutually_exclusive", base=CHECK),
    below("healthChecks.0", {"type": "tcp", "host": "x"}, "/host", "mutually_exclusive", base=CHECK),
    one("circuitBreakers.default.maxConnections", -1, "out_of_range"), one("circuitBreakers.low", {}, "unknown_field"),
    one("circuitBreakers.high.maxRetries", "3", "invalid_type"),
    one("circuitBreakers.default.retryBudget.budgetPercent", 100.5, "out_of_range"),
    one("circuitBreakers.default.retryBudget.budgetPercent", "x", "invalid_type"),
    cluster("circuitBreakers", {"maxRequests": 1, "default": {"maxRequests": 1}}, ("/circuitBreakers/maxRequests", "duplicate")),
    one("outlierDetection.maxEjectionPercent", 101, "out_of_range"), one("outlierDetection.intervalSeconds", 0, "out_of_range"),
    one("outlierDetection.consecutive5xx", 2**32, "out_of_range"), one("outlierDetection.enforcing", 1, "unknown_field"),
    below("ringHash", {"maximumRingSize": 1023}, "/maximumRingSize", "out_of_range", base=dict(C, lbPolicy="RING_HASH")),
    cluster("protocol", "http1", ("/protocol", "mutually_exclusive"), base=dict(DNS, healthChecks=[{"type": "grpc"}])),
    one("protocol", "HTTP2", "invalid_value"), one("protocol", "auto", "mutually_exclusive"),
    one("tcpKeepalive.probes", "x", "invalid_type"),
    cluster("tls", {}, ("/tls", "mutually_exclusive"), base=dict(DNS, useTls=False)),
    cluster("tlsServerName", "a", ("/tlsServerName", "mutually_exclusive"), base=dict(DNS, useTls=False)),
    cluster("tlsServerName", "a", ("/tlsServerName", "mutually_exclusive"), base=DNS),
    cluster("tlsServerName", "  ", ("/tlsServerName", "too_short"), base=TLS),
    below("tls", {"caFile": "a", "caSecret": "b"}, "/caSecret", "mutually_exclusive", base=TLS),
    below("tls", {"certFile": "a"}, "/keyFile", "required", base=TLS),
    below("tls", {"keyFile": "a"}, "/certFile", "required", base=TLS),
    below("tls", {"certFile": "a", "keyFile": "b", "certSecret": "c"}, "/certSecret", "mutually_exclusive", base=TLS),
    below("tls", {"keyFile": "b", "cert_secret": "c"}, "/keyFile", "mutually_exclusive", base=TLS),
    below("tls", {"minVersion": "TLSv1_3", "maxVersion": "TLSv1_2"}, "/maxVersion", "invalid_value", base=TLS),
    below("tls", {"minVersion": "TLSv1_1"}, "/minVersion", "invalid_value", base=TLS),
    below("tls", {"verify": False, "caFile": "x"}, "/caFile", "mutually_exclusive", base=TLS),
    below("tls", {"verify": False, "subjectAltNames": [{"type": "exact", "value": "x"}]}, "/subjectAltNames", "mutually_exclusive", base=TLS),
    below("tls", {"subjectAltNames": [{"type": "regex", "value": "(?=a)"}]}, "/subjectAltNames/0/value", "invalid_format", base=TLS),
    below("tls", {"subjectAltNames": [{"type": "regex", "value": "a", "ignoreCase": True}]}, "/subjectAltNames/0/ignoreCase",
          "mutually_exclusive", base=TLS),
    below("tls", {"subjectAltNames": [{"type": "suffix", "value": ""}]}, "/subjectAltNames/0/value", "too_short", base=TLS),
    below("tls", {"subjectAltNames": [{"type": "glob", "value": "x"}]}, "/subjectAltNames/0/type", "invalid_value", base=TLS),
    below("tls", {"alpn": ["h2", "h2"]}, "/alpn/1", "duplicate", base=TLS),
    below("tls", {"alpn": [""]}, "/alpn/0", "too_short", base=TLS),
]

VH, RULE = "virtualHosts.0", "virtualHosts.0.routes.0"
M, A = RULE + ".match", RULE + ".action"


def route(path, value, where, code, base=RC):
    return below(path, value, where, code, base=base)


def path_(value, where, code):
    return route(M + ".path", value, where, code)


def action(value, where, code, base=RC):
    return route(A, value, where, code, base=base)


def forward(more, where, code, base=RC):
    return action(dict({"type": "forward", "cluster": "c"}, **more), where, code, base)


TEMPLATE = put(RC, M + ".path", {"type": "template", "template": "/{a}"})
ONE = [{"name": "a", "weight": 1}]
ROUTE = [
    ("a long name", dict(RC, name="n" * 101), [("/name", "too_long")]),
    ("no virtual hosts", {"name": "a"}, [("/virtualHosts", "required")]),
    route("virtualHosts", [], "", "too_few"), route("virtualHosts", {}, "", "invalid_type"),
    route(VH + ".name", "", "", "too_short"), route(VH + ".name", "n" * 101, "", "too_long"), route(VH + ".name", None, "", "required"),
    ("two hosts of one name", put(RC, "virtualHosts", [RC["virtualHosts"][0], put(RC["virtualHosts"][0], "domains", ["x"])]),
     [("/virtualHosts/1/name", "duplicate")]),
    ("a domain twice, by case", put(RC, VH + ".domains", ["a.test", "A.test"]), [("/virtualHosts/0/domains/1", "duplicate")]),
    ("a domain in two hosts", put(RC, "virtualHosts", [RC["virtualHosts"][0], put(RC["virtualHosts"][0], "name", "x")]),
     [("/virtualHosts/1/domains/0", "duplicate")]),
    route(VH + ".domains", [], "", "too_few"), route(VH + ".domains", [" "], "/0", "invalid_value"),
    route(VH + ".domains", [""], "/0", "too_short"), route(VH + ".domains", None, "", "required"),
    route(VH + ".routes", [], "", "too_few"), route(VH + ".routes", None, "", "required"),
    route(VH + ".requireTls", "SOME", "", "invalid_value"), route(VH + ".retryPolicy", {"retryOn": ["6xx"]}, "/retryOn/0", "invalid_value"),
    route("vhds", 1, "", "invalid_type"), route(RULE + ".name", "n" * 101, "", "too_long"),
    route(RULE + ".match", None, "", "required"), route(RULE + ".action", None, "", "required"), route(M, {}, "/path", "required"),
    path_({"type": "exact"}, "/value", "required"), path_({"value": "/"}, "/type", "required"),
    path_({"type": "glob", "value": "/"}, "/type", "invalid_value"), path_({"type": 1}, "/type", "invalid_type"),
    path_("x", "", "invalid_type"), path_({"type": "exact", "value": " "}, "/value", "invalid_value"),
    path_({"type": "exact", "template": "/"}, "/template", "unknown_field") [:2] + (
        [("/virtualHosts/0/routes/0/match/path/template", "unknown_field"), ("/virtualHosts/0/routes/0/match/path/value", "required")],),
    path_({"type": "prefix", "value": ""}, "/value", "too_short"),
    *[path_({"type": "pathSeparatedPrefix", "value": v}, "/value", "invalid_value") for v in ("a", "/", "/a/", "/a?b", "/a#b")],
    *[path_({"type": "regex", "value": v}, "/value", "invalid_format")
      for v in ("(a", "a)", "[a", "a**", "*a", "(a)\\1", "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?>a)", "a{1001}", "(a{100}){11}", "a{3,2}",
                "\\", "\\q", "[z-a]", "[[:foo:]]", "\\x{100}", "(?P<n", "\\8")],
    path_({"type": "regex", "value": ""}, "/value", "too_short"),
    *[path_({"type": "template", "template": v}, "/template", "invalid_format")
      for v in ("", "a", "/{a}/{a}", "/{a", "/a}", "/{1a}", "/{a}/{b}/{c}/{d}/{e}/{f}", "/**/{a}", "/**/*", "/{a}{b}", "//", "/a b",
                "/{abcdefghijklmnopq}", "/{a=}", "/{a=/b}")],
    path_({"Exact": ""}, "/Exact", "too_short"), path_({"Exact": 1}, "/Exact", "invalid_type"),
    path_({"Template": "x"}, "/Template", "invalid_format"), path_({"Glob": "x"}, "/type", "required"),
    route(M + ".headers", [{"value": "x"}], "/0/name", "required"), route(M + ".headers", [{"name": " "}], "/0/name", "too_short"),
    route(M + ".headers", [{"name": "a b"}], "/0/name", "invalid_format"),
    route(M + ".headers", [{"name": "a", "value": "x", "regex": "y"}], "/0/regex", "mutually_exclusive"),
    route(M + ".headers", [{"name": "a", "prefix": ""}], "/0/prefix", "too_short"),
    route(M + ".headers", [{"name": "a", "regex": "("}], "/0/regex", "invalid_format"),
    route(M + ".queryParameters", [{"name": "a", "suffix": "x"}], "/0/suffix", "unknown_field"),
    route(M + ".queryParameters", [{"name": "a", "present": True, "value": "y"}], "/0/present", "mutually_exclusive"),
    route(M + ".query_parameters", [{"name": ""}], "/0/name", "too_short"),
    route(M + ".methods", ["GET", "GET"], "/1", "duplicate"), route(M + ".methods", ["G T"], "/0", "invalid_format"),
    route(M + ".methods", "GET", "", "invalid_type"), route(M + ".fraction", {}, "/numerator", "required"),
    route(M + ".fraction", {"numerator": 1, "denominator": "HUNDRED"}, "/denominator", "invalid_value"),
    action({"type": "forward"}, "/cluster", "required"), action({"type": "forward", "cluster": " "}, "/cluster", "invalid_value"),
    action({"type": "proxy"}, "/type", "invalid_value"), action({"cluster": "x"}, "/type", "required"),
    forward({"clusterHeader": "x"}, "/clusterHeader", "mutually_exclusive"),
    forward({"timeoutSeconds": 1, "timeoutMs": 1}, "/timeoutMs", "mutually_exclusive"),
    forward({"timeoutMs": 315576000000001}, "/timeoutMs", "out_of_range"), forward({"prefixRewrite": "x"}, "/prefixRewrite", "invalid_value"),
    forward({"prefixRewrite": "/x", "regexRewrite": {"pattern": "a", "substitution": "b"}}, "/regexRewrite", "mutually_exclusive"),
    forward({"regexRewrite": {"pattern": "("}}, "/regexRewrite/pattern", "invalid_format")[:2] + (
        [("/virtualHosts/0/routes/0/action/regexRewrite/pattern", "invalid_format"),
         ("/virtualHosts/0/routes/0/action/regexRewrite/substitution", "required")],),
    forward({"hostRewrite": "a", "autoHostRewrite": True}, "/autoHostRewrite", "mutually_exclusive"),
    forward({"templateRewrite": "/x"}, "/templateRewrite", "mutually_exclusive"),
    forward({"templateRewrite": "/{b}"}, "/templateRewrite", "invalid_format", base=TEMPLATE),
    forward({"templateRewrite": "x"}, "/templateRewrite", "invalid_format", base=TEMPLATE),
    forward({"prefixRewrite": "/x"}, "/prefixRewrite", "mutually_exclusive", base=TEMPLATE),
    forward({"retryPolicy": {"perTryTimeoutSeconds": 15}}, "/retryPolicy/perTryTimeoutSeconds", "out_of_range"),
    forward({"timeoutMs": 3000, "retryPolicy": {"per_try_timeout_seconds": 3}}, "/retryPolicy/per_try_timeout_seconds", "out_of_range"),
    forward({"retryPolicy": {"baseIntervalMs": 50, "maxIntervalMs": 49}}, "/retryPolicy/maxIntervalMs", "out_of_range"),
    forward({"retryPolicy": {"baseIntervalMs": 1001}}, "/retryPolicy/baseIntervalMs", "out_of_range"),
    forward({"retryPolicy": {"retriableStatusCodes": [99]}}, "/retryPolicy/retriableStatusCodes/0", "out_of_range"),
    forward({"hashPolicy": [{}]}, "/hashPolicy/0/header", "required"),
    forward({"hashPolicy": [{"header": "a", "sourceIp": True}]}, "/hashPolicy/0/sourceIp", "mutually_exclusive"),
    forward({"hashPolicy": [{"sourceIp": False}]}, "/hashPolicy/0/sourceIp", "invalid_value"),
    forward({"hashPolicy": [{"cookie": {}}]}, "/hashPolicy/0/cookie/name", "required"),
    forward({"mirror": [{}]}, "/mirror/0/cluster", "required"), forward({"upgrades": ["a", "A"]}, "/upgrades/1", "duplicate"),
    forward({"priority": "HIGH"}, "/priority", "invalid_value"),
    action({"type": "weighted"}, "/clusters", "required"), action({"type": "weighted", "clusters": []}, "/clusters", "too_few"),
    action({"type": "weighted", "clusters": [{"name": "", "weight": 1}]}, "/clusters/0/name", "too_short"),
    action({"type": "weighted", "clusters": [{"name": "a", "weight": 0}]}, "/clusters/0/weight", "out_of_range"),
    action({"type": "weighted", "clusters": [{"name": "a"}]}, "/clusters/0/weight", "required"),
    action({"type": "weighted", "clusters": ONE, "totalWeight": 2}, "/totalWeight", "invalid_value"),
    action({"type": "weighted", "clusters": [{"name": "a", "weight": 4294967295}] * 2}, "/clusters", "out_of_range"),
    action({"type": "weighted", "clusters": ONE, "priority": "high"}, "/priority", "unknown_field"),
    action({"type": "weighted", "clusters": ONE}, "", "mutually_exclusive", base=TEMPLATE),
    action({"type": "redirect", "hostRedirect": " "}, "/hostRedirect", "invalid_value"),
    action({"type": "redirect", "pathRedirect": ""}, "/pathRedirect", "too_short"),
    action({"type": "redirect", "pathRedirect": "/a", "prefixRewrite": "/b"}, "/prefixRewrite", "mutually_exclusive"),
    action({"type": "redirect", "schemeRedirect": "a", "httpsRedirect": True}, "/httpsRedirect", "mutually_exclusive"),
    action({"type": "redirect", "portRedirect": 0}, "/portRedirect", "out_of_range"),
    *[action({"type": "redirect", "responseCode": n}, "/responseCode", "invalid_value") for n in (5, 200, 304, 309, -1)],
    action({"type": "redirect", "responseCode": "301"}, "/responseCode", "invalid_type"),
    action({"type": "redirect"}, "", "mutually_exclusive", base=TEMPLATE),
    action({"type": "direct"}, "/status", "required"), action({"type": "direct", "status": 199}, "/status", "out_of_range"),
    action({"type": "direct", "status": 600}, "/status", "out_of_range"),
    action({"type": "direct", "status": 200, "body": "ü" * 2049}, "/body", "too_long"),
    ("rate limits on a redirect", put(RC, RULE, {"match": {"path": {"Prefix": "/"}}, "action": {"type": "redirect"}, "rateLimits": []}),
     [("/virtualHosts/0/routes/0/rateLimits", "mutually_exclusive")]),
    route(VH + ".rateLimits", [{}], "/0/actions", "required"), route(VH + ".rateLimits", [{"actions": []}], "/0/actions", "too_few"),
    route(VH + ".rateLimits", [{"stage": 11, "actions": [{"type": "remoteAddress"}]}], "/0/stage", "out_of_range"),
    route(VH + ".rateLimits", [{"actions": [{"type": "user"}]}], "/0/actions/0/type", "invalid_value"),
    route(VH + ".rateLimits", [{"actions": [{"type": "headerValueMatch", "descriptorValue": "v", "headers": []}]}], "/0/actions/0/headers", "too_few"),
    route("requestHeadersToAdd", [{"value": "v"}], "/0/key", "required"), route("requestHeadersToAdd", [{"key": ":path", "value": "v"}], "/0/key", "invalid_value"),
    route("requestHeadersToAdd", [{"key": "Host", "value": "v"}], "/0/key", "invalid_value"),
    route("requestHeadersToAdd", [{"key": "a", "value": "v\r\nx: y"}], "/0/value", "invalid_format"),
    *[route("requestHeadersToAdd", [{"key": "a", "value": v}], "/0/value", "invalid_format")
      for v in ("100%", "%", "%REQ(x", "%protocol%", "a%b%c", "%REQ(x):y%")],
    route("responseHeadersToRemove", [""], "/0", "too_short"), route("responseHeadersToRemove", [":status"], "/0", "invalid_value"),
    route(VH + ".typedPerFilterConfig", [], "", "invalid_type"),
    route(VH + ".typedPerFilterConfig", {"f": {"disabled": False}}, "/f/disabled", "invalid_value"),
    route(VH + ".typedPerFilterConfig", {"f": {"requests": 1}}, "/f", "unsupported"),
    route(VH + ".typedPerFilterConfig", {"f": {"@type": URL + "no.Such"}}, "/f/@type", "unsupported"),
    route(VH + ".typedPerFilterConfig", {"f": {"@type": fp_model.CORS_POLICY_URL, "x": 1}}, "/f/x", "unknown_field"),
    route(VH + ".typedPerFilterConfig", {"f": {"type_url": fp_model.CORS_URL}}, "/f/value", "required"),
    route(VH + ".typedPerFilterConfig", {"f": {"type_url": fp_model.CORS_URL, "value": "!"}}, "/f/value", "invalid_format"),
    route(VH + ".typedPerFilterConfig", {" ": {"disabled": True}}, "/ ", "invalid_value"),
]

FC, F = "filterChains.0", "filterChains.0.filters.0"
HCM = {"name": "h", "type": "httpConnectionManager", "routeConfigName": "r"}
TCP = {"name": "t", "type": "tcpProxy", "cluster": "c"}
TYPED = {"name": "x", "type": "typed", "typedConfig": {"@type": fp_model.CORS_URL}}


def listener(path, value, where, code):
    return below(path, value, where, code, base=L)


def hcm(more, where, code):
    return listener(F, dict(HCM, **more), where, code)


def custom(**more):
    return dict({"type": "custom", "typed_config": {"@type": fp_model.CORS_URL}}, **more)


LISTENER = [
    ("a long name", dict(L, name="n" * 256), [("/name", "too_long")]),
    listener("address", None, "", "required"), listener("address", "", "", "too_short"), listener("address", "a b", "", "invalid_format"),
    listener("address", "a" * 256, "", "too_long"), listener("port", None, "", "required"), listener("port", 0, "", "out_of_range"),
    listener("port", 1023, "", "out_of_range"), listener("port", 65536, "", "out_of_range"), listener("port", "80", "", "invalid_type"),
    listener("protocol", "", "", "too_short"), listener("protocol", "p" * 33, "", "too_long"),
    listener("filterChains", [], "", "too_few"), listener("filterChains", None, "", "required"),
    listener("proxyProtocol", 1, "", "invalid_type"), listener("perConnectionBufferLimitBytes", 2**32, "", "out_of_range"),
    listener(FC + ".filters", [], "", "too_few"), listener(FC + ".filters", None, "", "required"),
    listener(F, {"name": "x"}, "/type", "required"), listener(F, {"name": "x", "type": "redis"}, "/type", "invalid_value"),
    listener(F, dict(HCM, name=" "), "/name", "invalid_value"), listener(F, {k: v for k, v in HCM.items() if k != "name"}, "/name", "required"),
    listener(FC + ".filters", [HCM, TCP], "/0", "invalid_value"), listener(FC + ".filters", [TYPED, TCP, HCM], "/1", "invalid_value"),
    ("two chains of equal match", put(L, "filterChains", [
        {"match": {"serverNames": ["a", "b"]}, "filters": [HCM]}, {"match": {"server_names": ["B", "a"]}, "filters": [HCM]}]),
     [("/filterChains/1", "duplicate")]),
    ("two chains without a match", put(L, "filterChains", [{"filters": [HCM]}, {"match": {}, "filters": [HCM]}]), [("/filterChains/1", "duplicate")]),
    *[("two chains that overlap: " + str(x) + str(y), put(L, "filterChains", [{"match": x, "filters": [HCM]}, {"match": y, "filters": [HCM]}]),
       [("/filterChains/1", "duplicate")]) for x, y in (
           ({"serverNames": ["a"]}, {"serverNames": ["b", "a"]}), ({"serverNames": ["a"]}, {"serverNames": ["A"]}),
           ({"sourcePrefixRanges": ["10.0.0.0/8"]}, {"sourcePrefixRanges": ["11.0.0.0/8", "10.1.2.3/8"]}),
           ({"sourcePrefixRanges": ["::1"]}, {"sourcePrefixRanges": ["::1/128"]}),
           ({"serverNames": ["a"], "applicationProtocols": ["x", "y"]}, {"serverNames": ["a"], "applicationProtocols": ["y"]}))],
    listener(FC + ".filters", [{"name": "x", "type": "typed", "typedConfig": {
        "@type": URL + "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
        "statPrefix": "x", "maxConnections": "1"}}], "/0", "invalid_value"),
    listener(FC + ".match", {"serverNames": ["a*b"]}, "/serverNames/0", "invalid_format"),
    listener(FC + ".match", {"sourcePrefixRanges": ["10.0.0.0/33"]}, "/sourcePrefixRanges/0", "invalid_format"),
    listener(FC + ".match", {"sourcePrefixRanges": ["x"]}, "/sourcePrefixRanges/0", "invalid_format"),
    listener(FC + ".match", {"destinationPort": 0}, "/destinationPort", "out_of_range"),
    listener(FC + ".tlsContext", {}, "/certChainFile", "required"),
    listener(FC + ".tlsContext", {"certChainFile": "a"}, "/privateKeyFile", "required"),
    listener(FC + ".tlsContext", {"private_key_file": "a"}, "/certChainFile", "required"),
    listener(FC + ".tlsContext", {"certChainFile": "a", "privateKeyFile": "b", "certSecret": "c"}, "/certSecret", "mutually_exclusive"),
    listener(FC + ".tlsContext", {"certSecret": "a", "certSecrets": ["b"]}, "/certSecrets", "mutually_exclusive"),
    listener(FC + ".tlsContext", {"privateKeyFile": "a", "certSecrets": ["b"]}, "/privateKeyFile", "mutually_exclusive"),
    listener(FC + ".tlsContext", {"certSecret": "a", "caSecret": "b", "caCertFile": "c"}, "/caSecret", "mutually_exclusive"),
    listener(FC + ".tlsContext", {"certSecret": "a", "requireClientCertificate": True}, "/caCertFile", "required"),
    listener(FC + ".tlsContext", {"certSecret": "a", "minVersion": "TLSv1_3", "maxVersion": "TLSv1_2"}, "/maxVersion", "invalid_value"),
    listener(F, {"name": "h", "type": "httpConnectionManager"}, "/routeConfigName", "required"),
    hcm({"inlineRouteConfig": {"virtualHosts": []}}, "/inlineRouteConfig/virtualHosts", "too_few"),
    listener(F, {"name": "h", "type": "httpConnectionManager", "inlineRouteConfig": dict(RC, vhds=True)}, "/inlineRouteConfig/vhds", "unsupported"),
    hcm({"accessLog": {}}, "/accessLog/path", "required"), hcm({"accessLog": [{"path": " "}]}, "/accessLog/0/path", "invalid_value"),
    hcm({"accessLog": {"path": "a", "format": "b", "jsonFormat": {}}}, "/accessLog/jsonFormat", "mutually_exclusive"),
    hcm({"accessLog": {"path": "a", "format": "100%"}}, "/accessLog/format", "invalid_format"),
    hcm({"accessLog": {"path": "a", "jsonFormat": {"x": "100%"}}}, "/accessLog/jsonFormat/x", "invalid_format"),
    hcm({"accessLog": {"path": "a", "jsonFormat": {"x": 1}}}, "/accessLog/jsonFormat/x", "invalid_type"),
    hcm({"accessLog": "a"}, "/accessLog", "invalid_type"),
    hcm({"tracing": {"config": {"cluster": "c"}}}, "/tracing/provider", "required"),
    hcm({"tracing": {"provider": "jaeger", "config": {"cluster": "c"}}}, "/tracing/provider", "invalid_value"),
    hcm({"tracing": {"provider": "otel"}}, "/tracing/config", "required"),
    hcm({"tracing": {"provider": "otel", "config": {"serviceName": "s"}}}, "/tracing/config/cluster", "required"),
    hcm({"tracing": {"provider": "otel", "config": {"cluster": "c", "endpoint": "s"}}}, "/tracing/config/endpoint", "unknown_field"),
    hcm({"tracing": {"provider": "zipkin", "config": {"cluster": "c"}}}, "/tracing/config/endpoint", "required"),
    hcm({"tracing": {"provider": "otel", "config": {"cluster": "c"}, "typedConfig": {"@type": fp_model.CORS_URL}}}, "/tracing/config", "mutually_exclusive"),
    hcm({"codecType": "HTTP3"}, "/codecType", "invalid_value"), hcm({"maxRequestHeadersKb": 8193}, "/maxRequestHeadersKb", "out_of_range"),
    hcm({"statPrefix": ""}, "/statPrefix", "too_short"), hcm({"cluster": "x"}, "/cluster", "unknown_field"),
    hcm({"httpFilters": {}}, "/httpFilters", "invalid_type"), hcm({"httpFilters": [{}]}, "/httpFilters/0/filter", "required"),
    hcm({"httpFilters": [{"filter": {}}]}, "/httpFilters/0/filter/type", "required"),
    hcm({"httpFilters": [{"filter": {"type": "lua"}}]}, "/httpFilters/0/filter/type", "invalid_value"),
    *[hcm({"httpFilters": [{"filter": {"type": t}}]}, "/httpFilters/0/filter/type", "unsupported") for t in (
        "cors", "local_rate_limit", "jwt_authn", "rate_limit", "rate_limit_quota", "header_mutation", "health_check",
        "credential_injector", "custom_response", "ext_proc")],
    hcm({"httpFilters": [{"filter": {"type": "router"}}, {"name": "b", "filter": {"type": "router"}}]}, "/httpFilters/1", "duplicate"),
    hcm({"httpFilters": [{"filter": {"type": "router"}}, {"filter": {"type": "custom", "typed_config": {"@type": fp_model.ROUTER_URL}}}]},
        "/httpFilters/1", "duplicate"),
    hcm({"httpFilters": [{"filter": custom()}, {"filter": custom()}]}, "/httpFilters/1", "duplicate"),
    hcm({"httpFilters": [{"filter": {"type": "router"}, "disabled": True}]}, "/httpFilters/0/disabled", "invalid_value"),
    hcm({"httpFilters": [{"filter": {"type": "router", "x": 1}}]}, "/httpFilters/0/filter/x", "unknown_field"),
    hcm({"httpFilters": [{"filter": {"type": "custom"}}]}, "/httpFilters/0/filter/typed_config", "required"),
    hcm({"httpFilters": [{"filter": custom(type_url="x")}]}, "/httpFilters/0/filter/type_url", "mutually_exclusive"),
    hcm({"httpFilters": [{"filter": {"type": "custom", "typed_config": {"@type": fp_model.CORS_URL, "x": 1}}}]},
        "/httpFilters/0/filter/typed_config/x", "unknown_field"),
    hcm({"httpFilters": [{"filter": {"type": "custom", "typed_config": {}}}]}, "/httpFilters/0/filter/typed_config/@type", "required"),
    listener(F, {"name": "t", "type": "tcpProxy"}, "/cluster", "required"),
    listener(F, dict(TCP, clusters=ONE), "/clusters", "mutually_exclusive"),
    listener(F, {"name": "t", "type": "tcpProxy", "clusters": []}, "/clusters", "too_few"),
    listener(F, {"name": "x", "type": "typed"}, "/typedConfig", "required"),
    listener(F, {"name": "x", "filter_type": {"Redis": {}}}, "/filter_type/type", "required"),
    listener(F, {"name": "x", "filter_type": {"TcpProxy": {"cluster": ""}}}, "/filter_type/TcpProxy/cluster", "too_short"),
    listener(F, {"name": "x", "filter_type": {"TcpProxy": {"cluster": "c"}}, "cluster": "c"}, "/cluster", "unknown_field"),
    ("another port in envoy", {"name": "l", "envoy": {"address": {"socketAddress": {"address": "::", "portValue": 1}}}, "port": 2},
     [("/port", "invalid_value")]),
    ("another address in envoy", {"name": "l", "envoy": {"address": {"socketAddress": {"address": "::", "portValue": 1}}}, "address": "::1"},
     [("/address", "invalid_value")]),
]

ENDPOINT = [
    below("endpoints", ["a.test:80"], "/0/host", "invalid_value", base=EP), below("endpoints", {}, "", "invalid_type", base=EP),
    below("overprovisioningFactor", 0, "", "out_of_range", base=EP), below("dropOverloads", [{}], "/0/category", "required", base=EP)[:2] + (
        [("/dropOverloads/0/category", "required"), ("/dropOverloads/0/fraction", "required")],),
    below("dropOverloads", [{"category": "c", "fraction": {"numerator": 1, "runtimeKey": "x"}}], "/0/fraction/runtimeKey", "unsupported", base=EP),
    below("localityWeights", [{"locality": {}, "weight": 0}], "/0/weight", "out_of_range", base=EP),
    below("localityWeights", [{"locality": {"zone": "a"}, "weight": 1}] * 2, "/1", "duplicate", base=EP),
    ("config", {"name": "e", "endpoints": [], "x": 1}, [("/x", "unknown_field")]),
]


def check(model, kind, title, body, want):
    r = model.parse(kind, body)
    if not tap.ok(not r["ok"], f"{kind}, {title}: refused"):
        return
    got = [(p, c) for p, c, _ in r["problems"]]
    tap.is_(sorted(got), sorted(want), f"{kind}, {title}: {want}")
    tap.ok(all(m and len(m) < 300 for _, _, m in r["problems"]), f"{kind}, {title}: has a message")


def check_paths(model):
    r = model.parse("cluster", C, path_name="other")
    tap.is_([p[:2] for p in r["problems"]], [["/name", "invalid_value"]], "a name that differs from the path's")
    tap.ok(model.parse("cluster", without(C, "name"), path_name="shop")["ok"], "no name beside the path's")
    r = model.parse("cluster", dict(C, lbPolicyy="x"))
    tap.like(r["problems"][0][2], "did you mean lbPolicy", "an unknown field comes with a hint")
    r = model.parse("cluster", dict(C, lb_policyy="x"))
    tap.like(r["problems"][0][2], "did you mean lb_policy", "in the spelling that was used")
    r = model.parse("cluster", dict(C, endpoints=["bad"] * 300))
    tap.is_(len(r["problems"]), 100, "at most 100 problems are kept")
    low = fp_model.Model(privileged=True)
    tap.ok(low.parse("listener", dict(L, port=443))["ok"], "validation.allow_privileged_ports lets port 443 pass")
    low.close()


with tap.run():
    model = fp_model.Model()
    for kind, rows in (("cluster", COMMON + CLUSTER), ("route", ROUTE), ("listener", LISTENER), ("endpoint", ENDPOINT)):
        for row in rows:
            check(model, kind, *row)
    check_paths(model)
    tap.is_(model.close(), 0, "the model ends well")
