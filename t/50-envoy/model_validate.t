#!/usr/bin/env python3
"""What the models expand to is what Envoy accepts: rich samples of each kind in a static bootstrap, `envoy --mode validate`."""
import json
import os
import subprocess

import fp_envoy
import fp_model
import fp_tap as tap
import fp_util as util
from fp_model import put

ENVOY = fp_envoy.program()
if not ENVOY:
    tap.skip_all("needs the program envoy")

XDS = {"name": "xds_cluster", "connectTimeout": "1s", "type": "STATIC",
       "typedExtensionProtocolOptions": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
           "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
           "explicitHttpConfig": {"http2ProtocolOptions": {}}}},
       "loadAssignment": {"clusterName": "xds_cluster", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {
           "socketAddress": {"address": "127.0.0.1", "portValue": 1}}}}]}]}}


def bootstrap(clusters=(), listeners=()):
    grpc = {"apiType": "GRPC", "transportApiVersion": "V3", "grpcServices": [{"envoyGrpc": {"clusterName": "xds_cluster"}}]}
    return {"node": {"id": "validate", "cluster": "test"}, "dynamicResources": {"adsConfig": grpc},
            "staticResources": {"clusters": [XDS, *clusters], "listeners": list(listeners)}}


def validate(document):
    path = os.path.join(util.tmp(), "bootstrap.json")
    with open(path, "w") as f:
        json.dump(document, f)
    done = subprocess.run([ENVOY, "--mode", "validate", "-c", path, "--log-level", "error"], capture_output=True,
                          text=True, timeout=util.patience())
    return done.returncode == 0, done.stdout + done.stderr


def secrets_from_file(value):
    """Envoy dies in validate mode on a static cluster with SDS over ADS; a file stands in."""
    path = os.path.join(util.tmp(), "sds.json")
    with open(path, "w") as f:
        json.dump({"resources": []}, f)
    if isinstance(value, list):
        return [secrets_from_file(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: {"pathConfigSource": {"path": path}} if k == "sdsConfig" else secrets_from_file(v) for k, v in value.items()}


class Samples:
    """Expanded samples by kind, with the body for the message when one is refused."""

    def __init__(self, model):
        self.model = model
        self.clusters = []
        self.listeners = []

    def expand(self, kind, body, what):
        r = self.model.parse(kind, body)
        if tap.ok(r["ok"], f"{what}: accepted by the model", r.get("problems")):
            return r["elements"][0]
        return None

    def cluster(self, what, **changes):
        body = dict(fp_model.CLUSTER, name=f"c{len(self.clusters)}", **changes)
        self.clusters.append((what, secrets_from_file(self.expand("cluster", body, what))))

    def listener(self, what, body):
        n = len(self.listeners)
        body = dict(body, name=f"l{n}", port=20000 + n)
        self.listeners.append((what, self.expand("listener", body, what)))

    def route(self, what, body):
        """A route configuration is tried inside a listener: RDS has no place in a static bootstrap."""
        self.expand("route", dict(body, name="r"), what)
        self.listener(what + " (inline)", put(
            {k: v for k, v in fp_model.LISTENER.items()}, "filterChains.0.filters.0",
            {"name": fp_model.HCM, "type": "httpConnectionManager",
             "inlineRouteConfig": {k: v for k, v in body.items() if k != "team"}}))


def rule(match=None, action=None, **more):
    return put(fp_model.ROUTE, "virtualHosts.0.routes.0",
               {"match": match or {"path": {"type": "prefix", "value": "/"}},
                "action": action or {"type": "forward", "cluster": "shop"}, **more})


def filters(*list_):
    return put(fp_model.LISTENER, "filterChains.0.filters", list(list_))


def collect(s):
    two = [{"host": "a.test", "port": 443}, {"host": "10.0.0.1", "port": 443}]
    s.cluster("an EDS cluster")
    s.cluster("EDS without endpoints", type="EDS", endpoints=None, serviceName="set")
    s.cluster("a static cluster", type="STATIC", endpoints=["10.0.0.1:80", "[::1]:80"])
    s.cluster("a logical DNS cluster with implicit TLS", endpoints=["a.test:443"])
    s.cluster("a strict DNS cluster, TLS, default CA", endpoints=two, useTls=True)
    s.cluster("TLS without verification", endpoints=two, tls={"verify": False})
    s.cluster("TLS with secrets", endpoints=two, tls={"caSecret": "ca", "certSecret": "me"})
    s.cluster("TLS with a CA secret and no name", useTls=True, tls={"caSecret": "ca"})
    s.cluster("http2", protocol="http2", lbPolicy="LEAST_REQUEST", leastRequest={"choiceCount": 3})
    s.cluster("maglev", lbPolicy="maglev", maglev={"tableSize": 65537}, idleTimeoutSeconds=0)
    s.cluster("gRPC health without a protocol", endpoints=two, healthChecks=[{"type": "grpc"}])
    s.cluster("long durations", endpoints=two, connectTimeoutSeconds=9223372035, idleTimeoutSeconds=9223372035)
    s.cluster("a small ring", endpoints=two, lbPolicy="RING_HASH", ringHash={"maximumRingSize": 1024})
    s.cluster("random", lbPolicy="Random", maxRequestsPerConnection=0, circuitBreakers={"maxRequests": 5})
    s.clusters.append(("every cluster field", s.expand("cluster", fp_model.RICH_CLUSTER, "every cluster field")))
    s.route("a plain route", fp_model.ROUTE)
    s.route("every route field", dict(fp_model.RICH_ROUTE))
    for t in ("/{a}", "/a/*/b", "/a/{b=x/*}/c", "/a/**", "/{x=**}", "/a/{b=c/**}", "/~-._%!$&'()+,;:@"):
        s.route(f"the template {t}", rule({"path": {"type": "template", "template": t}}))
    for p in ("[[:alpha:]]+", "(?i)a|b", "a{90}", "(?P<n>x)(?:y)", "\\pL\\p{Greek}\\x{FF}\\xe9", "[^]a]", "\\Q(a\\E", "a{,3}"):
        s.route(f"the expression {p}", rule({"path": {"type": "regex", "value": p}}))
    s.route("command operators", dict(fp_model.ROUTE, requestHeadersToAdd=[{"key": "a", "value": v} for v in (
        "%%", "%REQ(x)%", "%REQ(x):5%", "%START_TIME(%Y)%", "100%%", "%DOWNSTREAM_REMOTE_ADDRESS%")]))
    s.listener("chains side by side", put(fp_model.LISTENER, "filterChains", [
        dict(fp_model.LISTENER["filterChains"][0], match=m) for m in (
            {}, {"serverNames": ["a"]}, {"serverNames": ["*.a"]}, {"serverNames": ["a"], "applicationProtocols": ["h2"]}, {"destinationPort": 1},
            {"sourcePrefixRanges": ["10.0.0.0/8"]}, {"sourcePrefixRanges": ["10.0.0.0/9", "::/0"]})]))
    s.listener("a plain listener", fp_model.LISTENER)
    s.listener("every listener field", fp_model.RICH_LISTENER)
    s.listener("a TCP proxy", filters({"name": "t", "type": "tcpProxy", "cluster": "shop"}))
    s.listener("otel by typedConfig", filters({"name": "h", "type": "httpConnectionManager", "routeConfigName": "r", "tracing": {
        "provider": "envoy.tracers.zipkin", "typedConfig": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig", "collectorCluster": "shop",
            "collectorEndpoint": "/x", "collectorEndpointVersion": "HTTP_PROTO"}}}))
    s.listener("HTTP2 only", filters({"name": "h", "type": "httpConnectionManager", "routeConfigName": "r", "codecType": "HTTP2"}))


def upstreams(model):
    return [model.parse("cluster", dict(fp_model.CLUSTER, name=n, type="STATIC"))["elements"][0] for n in ("shop", "shadow")]


with tap.run():
    model = fp_model.Model()
    s = Samples(model)
    collect(s)
    base = upstreams(model)
    good, why = validate(bootstrap(base + [c for _, c in s.clusters if c], [x for _, x in s.listeners if x]))
    tap.ok(good, "Envoy accepts all samples together", why)
    if not good:  # which one is it
        for what, c in s.clusters:
            one, why = validate(bootstrap(base + [c]))
            tap.ok(one, what, why + json.dumps(c))
        for what, x in s.listeners:
            one, why = validate(bootstrap(base, [x]))
            tap.ok(one, what, why + json.dumps(x))
    broken = dict(base[0], name="broken", lbPolicy="CLUSTER_PROVIDED")
    tap.ok(not validate(bootstrap(base + [broken]))[0], "and would refuse what is wrong")
    tap.is_(model.close(), 0, "the model ends well")
