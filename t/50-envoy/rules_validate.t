#!/usr/bin/env python3
"""Validate rules against a real Envoy: what src/pb refuses as `constraint`, `envoy --mode validate` refuses as its own rule;
what it takes at the limit, Envoy takes."""
import json
import subprocess
import sys

import fp_envoy
import fp_tap as tap
import fp_util as util

sys.path.insert(0, "t/20-pb")
try:
    import fp_protos as protos
except ImportError as e:
    tap.skip_all(f"needs the Python package protobuf: {e}")

ENVOY = fp_envoy.program()
if not ENVOY:
    tap.skip_all("needs the program envoy")

URL = "type.googleapis.com/"
HCM = "envoy.filters.network.http_connection_manager"
EXT = "envoy.extensions."
FILTERS = "filterChains.0.filters.0.typedConfig.httpFilters"
VHOST = "filterChains.0.filters.0.typedConfig.routeConfig.virtualHosts.0"
ROUTE = f"{VHOST}.routes.0"
CHECK = {"timeout": "1s", "interval": "1s", "unhealthyThreshold": 1, "healthyThreshold": 1, "tcpHealthCheck": {}}

CLUSTER = {"name": "c", "type": "STATIC", "connectTimeout": "1s", "loadAssignment": {"clusterName": "c", "endpoints": [{
    "lbEndpoints": [{"endpoint": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 1}}}}]}]}}
LISTENER = {"name": "l", "address": {"socketAddress": {"address": "127.0.0.1", "portValue": 20000}}, "filterChains": [{"filters": [{
    "name": HCM, "typedConfig": {
        "@type": URL + EXT + "filters.network.http_connection_manager.v3.HttpConnectionManager", "statPrefix": "x",
        "routeConfig": {"name": "r", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "c"}}]}]},
        "httpFilters": [{"name": "envoy.filters.http.router",
                         "typedConfig": {"@type": URL + EXT + "filters.http.router.v3.Router"}}]}}]}]}


def put(document, path, value):
    """A copy with a member changed; None takes it away."""
    document = json.loads(json.dumps(document))
    at = document
    *way, last = [int(k) if k.isdigit() else k for k in path.split(".")]
    for k in way:
        at = at.setdefault(k, {}) if isinstance(at, dict) else at[k]
    if value is None:
        del at[last]
    elif isinstance(at, list):
        at[last:last + 1] = [value]
    else:
        at[last] = value
    return document


def http_filter(type_name, **config):
    router = LISTENER["filterChains"][0]["filters"][0]["typedConfig"]["httpFilters"][0]
    return put(LISTENER, FILTERS, [{"name": "f", "typedConfig": {"@type": URL + EXT + type_name, **config}}, router])


def cluster(path, bad, good, rule, base=CLUSTER, below=""):
    return ("cluster", put(base, path, bad), good is not None and put(base, path, good), path + below, rule)


def listener(path, bad, good, rule, below="", base=LISTENER):
    return ("listener", put(base, path, bad), good is not None and put(base, path, good), path + below, rule)


def http_check(**more):
    return {**{k: v for k, v in CHECK.items() if k != "tcpHealthCheck"}, "httpHealthCheck": {"path": "/", **more}}


def by_header(name):
    return [{"name": "envoy.http.original_ip_detection.custom_header",
             "typedConfig": {"@type": URL + EXT + "http.original_ip_detection.custom_header.v3.CustomHeaderConfig", "headerName": name}}]


def filtered(bad, good, where, rule):
    return ("listener", bad, good, f"{FILTERS}.0.typedConfig" + (f".{where}" if where else ""), rule)


BASIC, BUFFER, FAULT = "filters.http.basic_auth.v3.BasicAuth", "filters.http.buffer.v3.Buffer", "filters.http.fault.v3.HTTPFault"
# (kind, refused, taken, pointer with dots, rule)
TABLE = [
    cluster("name", "", "c2", "string.min_len"),
    cluster("connectTimeout", "0s", "0.001s", "duration.gt"),
    cluster("dnsRefreshRate", "0.001s", "0.001000001s", "duration.gt"),
    cluster("dnsLookupFamily", 77, "V4_ONLY", "enum.defined_only"),
    cluster("lbPolicy", 77, "RANDOM", "enum.defined_only"),
    cluster("leastRequestLbConfig", {"choiceCount": 1}, {"choiceCount": 2}, "uint32.gte", below=".choiceCount",
            base=dict(CLUSTER, lbPolicy="LEAST_REQUEST")),
    cluster("ringHashLbConfig", {"minimumRingSize": 8388609}, {"minimumRingSize": 8388608, "maximumRingSize": 8388608},
            "uint64.lte", below=".minimumRingSize", base=dict(CLUSTER, lbPolicy="RING_HASH")),
    cluster("commonLbConfig", {"localityWeightedLbConfig": {}, "updateMergeWindow": "1s", "healthyPanicThreshold": {"value": 101}},
            {"localityWeightedLbConfig": {}, "healthyPanicThreshold": {"value": 100}}, "double.lte",
            below=".healthyPanicThreshold.value"),
    cluster("healthChecks", [CHECK] * 9, None, "repeated.max_items"),
    cluster("healthChecks", [put(CHECK, "timeout", None)], [CHECK], "duration.required", below=".0.timeout"),
    cluster("healthChecks", [put(CHECK, "tcpHealthCheck", None)], [CHECK], "oneof.required", below=".0"),
    cluster("healthChecks", [put(CHECK, "interval", "0s")], [CHECK], "duration.gt", below=".0.interval"),
    cluster("healthChecks", [http_check(host="a\x01b")], [http_check(host="a\tb é")], "string.well_known_regex",
            below=".0.httpHealthCheck.host"),
    cluster("healthChecks", [http_check(method="CONNECT")], [http_check(method="POST")], "enum.not_in",
            below=".0.httpHealthCheck.method"),
    cluster("healthChecks", [http_check(requestHeadersToRemove=["a\nb"])], [http_check(requestHeadersToRemove=["a\tb"])],
            "string.well_known_regex", below=".0.httpHealthCheck.requestHeadersToRemove.0"),
    cluster("outlierDetection", {"maxEjectionPercent": 101}, {"maxEjectionPercent": 100}, "uint32.lte", below=".maxEjectionPercent"),
    cluster("metadata", {"filterMetadata": {"": {}}}, {"filterMetadata": {"a": {}}}, "string.min_len", below=".filterMetadata."),
    cluster("transportSocket", {"name": ""}, None, "string.min_len", below=".name"),
    listener("address.socketAddress.address", "", None, "string.min_len"),
    listener("address.socketAddress.portValue", 65536, 65535, "uint32.lte"),
    listener("address.socketAddress.portValue", None, None, "oneof.required"),
    listener("filterChains.0.filters.0.typedConfig.statPrefix", "", "y", "string.min_len"),
    listener("filterChains.0.filters.0.typedConfig.codecType", 9, "HTTP2", "enum.defined_only"),
    listener("filterChains.0.filters.0.typedConfig.serverHeaderTransformation", 9, "PASS_THROUGH", "enum.defined_only"),
    listener("filterChains.0.filters.0.typedConfig.maxRequestHeadersKb", 8193, 8192, "uint32.lte"),
    listener("filterChains.0.filters.0.typedConfig.serverName", "a\nb", "a b", "string.well_known_regex"),
    listener("filterChains.0.filters.0.typedConfig.originalIpDetectionExtensions", by_header("a b"), by_header(":x!#$%&'*+,-.^_|~`A9"),
             "string.well_known_regex", below=".0.typedConfig.headerName"),
    listener("filterChains.0.filters.0.typedConfig.originalIpDetectionExtensions", by_header(":"), by_header("x"),
             "string.well_known_regex", below=".0.typedConfig.headerName"),
    listener(f"{VHOST}.name", "", "w", "string.min_len"),
    listener(f"{VHOST}.domains", [], ["a", "b"], "repeated.min_items"),
    listener(f"{VHOST}.requestHeadersToRemove", ["a\nb"], ["a b"], "string.well_known_regex", below=".0"),
    listener(f"{VHOST}.requestHeadersToAdd", [{"header": {"key": ""}}], [{"header": {"key": "x", "value": "y"}}], "string.min_len",
             below=".0.header.key"),
    listener(f"{VHOST}.responseHeadersToAdd", [{}], [{"header": {"key": "x"}}], "message.required", below=".0.header"),
    listener(ROUTE + ".match", {"pathSeparatedPrefix": "/a/"}, {"pathSeparatedPrefix": "/a"}, "string.pattern",
             below=".pathSeparatedPrefix"),
    listener(ROUTE + ".match", {}, {"path": "/"}, "oneof.required"),
    listener(ROUTE + ".match", {"safeRegex": {"regex": ""}}, {"safeRegex": {"regex": "a"}}, "string.min_len", below=".safeRegex.regex"),
    listener(ROUTE + ".route", {"cluster": ""}, {"cluster": "c"}, "string.min_len", below=".cluster"),
    listener(ROUTE + ".route", {"cluster": "c", "hostRewriteLiteral": "a\rb"}, {"cluster": "c", "hostRewriteLiteral": "b"},
             "string.well_known_regex", below=".hostRewriteLiteral"),
    listener(ROUTE + ".route", {"cluster": "c", "retryPolicy": {"retryBackOff": {"baseInterval": "0s"}}},
             {"cluster": "c", "retryPolicy": {"retryBackOff": {"baseInterval": "0.001s"}}}, "duration.gt",
             below=".retryPolicy.retryBackOff.baseInterval"),
    listener(ROUTE + ".route", {"cluster": "c", "hashPolicy": [{"cookie": {"name": ""}}]},
             {"cluster": "c", "hashPolicy": [{"cookie": {"name": "a"}}]}, "string.min_len", below=".hashPolicy.0.cookie.name"),
    listener(ROUTE, {"match": {"prefix": "/"}, "directResponse": {"status": 199}},
             {"match": {"prefix": "/"}, "directResponse": {"status": 200}}, "uint32.gte", below=".directResponse.status"),
    filtered(http_filter(BASIC, users={"inlineString": "u:{SHA}x"}, realm="a\x7f"), None, "realm", "string.pattern"),
    filtered(http_filter(BUFFER), http_filter(BUFFER, maxRequestBytes=1), "maxRequestBytes", "message.required"),
    filtered(http_filter(BUFFER, maxRequestBytes=0), http_filter(BUFFER, maxRequestBytes=2), "maxRequestBytes", "uint32.gt"),
    filtered(http_filter(FAULT, abort={"percentage": {"numerator": 1}}), http_filter(FAULT, abort={"httpStatus": 200}), "abort",
             "oneof.required"),
    filtered(http_filter(FAULT, abort={"httpStatus": 600}), http_filter(FAULT, abort={"httpStatus": 599}), "abort.httpStatus", "uint32.lt"),
    filtered(http_filter(FAULT, delay={"fixedDelay": "0s"}), http_filter(FAULT, delay={"fixedDelay": "1s"}), "delay.fixedDelay",
             "duration.gt"),
]
TYPES = {"cluster": "envoy.config.cluster.v3.Cluster", "listener": "envoy.config.listener.v3.Listener"}


def validate(clusters, listeners):
    path = util.tmp() / "bootstrap.json"
    path.write_text(json.dumps({"node": {"id": "validate", "cluster": "test"},
                                "staticResources": {"clusters": clusters, "listeners": listeners}}))
    done = subprocess.run([ENVOY, "--mode", "validate", "-c", path, "--log-level", "error"], capture_output=True, text=True,
                          timeout=util.patience())
    return done.returncode == 0, done.stdout + done.stderr


def pair(kind, document):
    return ([CLUSTER, document], []) if kind == "cluster" else ([CLUSTER], [document])


with tap.run():
    tool = protos.Tool()
    taken = {"cluster": [CLUSTER], "listener": []}
    for kind, bad, good, where, rule in TABLE:
        # A member that is missing is a problem of its own pointer, a oneof's of the message around it.
        pointer = "/" + where.replace(".", "/")
        if rule == "oneof.required" and pointer.endswith("/portValue"):
            pointer = pointer[:-len("/portValue")]
        accepted, answer = tool.ask("E", TYPES[kind], json.dumps(bad))
        problems = [] if accepted else json.loads(answer)
        tap.ok([(p, c) for p, c, _ in problems] == [(pointer, "constraint")] and f"(rule {rule})" in problems[0][2],
               f"{where}: constraint, rule {rule}", problems)
        accepted, log = validate(*pair(kind, bad if kind == "listener" else dict(bad)))
        if not tap.ok(not accepted and "onstraint" in log, "and Envoy's own rule"):
            tap.diag(log[-600:])
        if good:
            accepted, answer = tool.ask("E", TYPES[kind], json.dumps(good))
            tap.ok(accepted, f"{where}: at the limit", answer)
            n = len(taken[kind])
            name = good["name"] if good["name"] not in ("c", "l") else f"{kind}{n}"
            good = dict(good, name=name)
            if kind == "listener" and good["address"]["socketAddress"]["portValue"] == 20000:
                good = put(good, "address.socketAddress.portValue", 21000 + n)
            taken[kind].append(good)
    accepted, log = validate(taken["cluster"], taken["listener"])
    tap.ok(accepted, f"Envoy takes all {len(taken['cluster']) + len(taken['listener'])} that are at the limit")
    if not accepted:
        tap.diag(log[-1500:])
    tap.is_(tool.close(), 0, "the tool ends well")
