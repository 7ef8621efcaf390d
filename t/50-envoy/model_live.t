#!/usr/bin/env python3
"""The models in a real Envoy over ADS: what it has is what REST stored, byte for byte, and requests go where the rules say."""
import http.client

import fp_envoy
import fp_model
import fp_tap as tap
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port, wait_until

if not fp_envoy.program():
    tap.skip_all("needs the program envoy")

ONE_HOST = "model.test"


def rule(path, action, **match):
    return {"match": dict({"path": path}, **match), "action": action}


def forward(cluster, **more):
    return dict({"type": "forward", "cluster": cluster}, **more)


def rules():
    return [
        rule({"type": "exact", "value": "/exact"}, forward("a", prefixRewrite="/other")),
        rule({"type": "pathSeparatedPrefix", "value": "/sep"}, forward("b")),
        rule({"type": "template", "template": "/items/{sku}/stock"}, forward("a", templateRewrite="/v2/stock/{sku}")),
        rule({"type": "regex", "value": "/v[0-9]+/.*"}, forward("b", regexRewrite={"pattern": "^/v[0-9]+/(.*)$", "substitution": "/\\1"})),
        rule({"type": "prefix", "value": "/by-header"}, forward("b"), headers=[{"name": "x-pick", "regex": "b+"}]),
        rule({"type": "prefix", "value": "/by-header"}, forward("a"), headers=[{"name": "x-pick", "present": False}]),
        rule({"type": "prefix", "value": "/by-query"}, forward("b"), queryParameters=[{"name": "q", "prefix": "x"}]),
        rule({"type": "prefix", "value": "/by-method"}, forward("b"), methods=["POST", "PUT"]),
        rule({"type": "prefix", "value": "/case"}, forward("a"), caseSensitive=False),
        rule({"type": "prefix", "value": "/to"}, forward("a") | {"clusterHeader": "x-to"} | {"cluster": None}),
        rule({"type": "prefix", "value": "/weighted"}, {"type": "weighted", "clusters": [
            {"name": "a", "weight": 1}, {"name": "b", "weight": 4294967294}]}),
        rule({"type": "prefix", "value": "/old"}, {"type": "redirect", "hostRedirect": "new.test", "pathRedirect": "/new", "httpsRedirect": True,
                                                 "portRedirect": 8443, "responseCode": 308}),
        rule({"type": "prefix", "value": "/direct"}, {"type": "direct", "status": 418, "body": "short and stout"}) | {
            "responseHeadersToAdd": [{"key": "x-rule", "value": "tea"}]},
    ]


def ask(port, path, method="GET", headers=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        c.request(method, path, headers=dict({"Host": ONE_HOST}, **(headers or {})))
        r = c.getresponse()
        return r.status, r.read().decode(), dict((k.lower(), v) for k, v in r.getheaders())
    finally:
        c.close()


def check_traffic(port):
    def goes(path, backend, seen=None, **more):
        status, body, headers = ask(port, path, **more)
        tap.is_((status, body, headers.get("x-path")), (200, backend, seen or path), f"{path} {more or ''} to {backend} as {seen or path}")
    goes("/exact", "a", "/other")
    goes("/sep/x", "b")
    tap.is_(ask(port, "/separate")[0], 404, "a separated prefix ends at a /")
    goes("/items/42/stock", "a", "/v2/stock/42")
    goes("/v17/things?q=1", "b", "/things?q=1")
    goes("/by-header", "b", headers={"x-pick": "bbb"})
    goes("/by-header", "a")
    tap.is_(ask(port, "/by-header", headers={"x-pick": "a"})[0], 404, "a header that neither rule takes")
    goes("/by-query?q=xyz", "b")
    tap.is_(ask(port, "/by-query?q=y")[0], 404, "a query that does not match")
    goes("/by-method", "b", method="PUT")
    tap.is_(ask(port, "/by-method")[0], 404, "a method that does not match")
    goes("/CaSe", "a")
    goes("/to", "b", headers={"x-to": "b"})
    goes("/weighted", "b")
    status, _, headers = ask(port, "/old/path")
    tap.is_((status, headers["location"]), (308, "https://new.test:8443/new"), "a redirect")
    status, body, headers = ask(port, "/direct")
    tap.is_((status, body, headers.get("x-rule"), headers.get("x-host")), (418, "short and stout", "tea", "yes"), "a direct answer, with its header edits")


def same(model, kind, dump, want):
    """Envoy's dump, taken as a raw body, has the bytes of what was stored."""
    body = {k: v for k, v in dump.items() if k != "@type"}
    r = model.parse(kind, {"name": want["name"], "envoy": body})
    stored = model.parse(kind, {"name": want["name"], "envoy": want["elements"][0]})
    return tap.ok(r["ok"] and r["hash"] == stored["hash"], f"{kind} {want['name']}: Envoy has these bytes",
                  f"{r.get('problems')}\n{r.get('configuration')}\n{stored.get('configuration')}")


with tap.run():
    fp = Flowplane(Postgres())
    model = fp_model.Model()
    a, b = Backend("a"), Backend("b")
    port, tcp, rich = free_port(), free_port(), free_port()
    expected = {"cluster": [], "route": [], "listener": []}

    def create(kind, body):
        r = fp.post(f"/api/v1/{kind}s", body)
        tap.ok(r.status == 201, f"{kind} {body['name']} created", r.json)
        expected[kind].append(model.parse(kind, body))

    create("cluster", {"name": "a", "endpoints": [f"127.0.0.1:{a.port}"]})
    create("cluster", {"name": "b", "endpoints": [f"localhost:{b.port}"], "dnsLookupFamily": "V4_ONLY", "lbPolicy": "least_request",
                       "circuitBreakers": {"maxConnections": 100}, "outlierDetection": {"consecutive5xx": 5}, "protocol": "http1"})
    create("cluster", {"name": "shop", "endpoints": [f"127.0.0.1:{a.port}"]})
    create("cluster", {"name": "shadow", "endpoints": [f"127.0.0.1:{b.port}"], "healthChecks": [{"type": "tcp", "intervalSeconds": 1}]})
    create("cluster", {k: v for k, v in fp_model.RICH_CLUSTER.items() if k != "team"})
    create("route", {"name": "rc", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": rules(),
                                                     "responseHeadersToAdd": [{"key": "x-host", "value": "yes"}]}]})
    create("route", {k: v for k, v in fp_model.RICH_ROUTE.items() if k != "team"})
    create("listener", {"name": "web", "address": "127.0.0.1", "port": port, "filterChains": [{"filters": [
        {"name": fp_model.HCM, "type": "httpConnectionManager", "routeConfigName": "rc"}]}]})
    create("listener", {"name": "rich", "address": "127.0.0.1", "port": rich, "perConnectionBufferLimitBytes": 65536, "filterChains": [{
        "filters": [dict({k: v for k, v in fp_model.RICH_HCM.items() if k != "inlineRouteConfig"}, routeConfigName="rich-rc")]}]})
    create("listener", {"name": "tcp", "address": "127.0.0.1", "port": tcp, "protocol": "TCP", "filterChains": [{"filters": [
        {"name": "tcp", "type": "tcpProxy", "clusters": [{"name": "a", "weight": 1}]}]}]})

    envoy = Envoy(fp.xds_port)
    envoy.wait_live()
    envoy.wait_get(port, "/sep/x")
    check_traffic(port)
    envoy.wait_get(tcp, "/x")
    tap.is_(ask(tcp, "/x")[1], "a", "TCP passes through")
    envoy.wait_get(rich, "/x")  # the last virtual host of the rich routes
    dump = wait_until(lambda: (lambda d: d if "rich-rc" in d["routes"] and "rich" in d["clusters"] else None)(envoy.config_dump()), 20, "all arrived")
    for kind in expected:
        for want in expected[kind]:
            same(model, kind, dump[kind + "s"][want["name"]], want)
    tap.is_((dump["errors"], dump["warming"]), ({}, []), "nothing was refused, nothing waits")
    tap.is_(envoy.stat("cluster_manager.cds.update_rejected") + envoy.stat("listener_manager.lds.update_rejected"), 0, "no update was rejected")
    model.close()
