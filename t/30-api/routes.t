#!/usr/bin/env python3
"""Routes and listeners over REST, and the references between kinds (contract §5.3, §5.4, §5.9)."""
from fp_harness import Flowplane, Postgres
from fp_tap import is_, like, ok, run

with run():
    pg = Postgres()
    fp = Flowplane(pg)
    for n in ("stock-api", "web-a", "web-b"):
        fp.api("POST", "/clusters", {"name": n, "endpoints": [{"host": "127.0.0.1", "port": 8081}]}, want=201)

    SHOP = {"name": "shop-rc", "virtualHosts": [{"name": "shop", "domains": ["shop.test"], "routes": [
        {"name": "stock", "match": {"path": {"type": "template", "template": "/items/{sku}/stock"}, "methods": ["GET", "HEAD"]},
         "action": {"type": "forward", "cluster": "stock-api", "timeoutSeconds": 3, "templateRewrite": "/v2/stock/{sku}"}},
        {"name": "rest", "match": {"path": {"type": "prefix", "value": "/"}, "queryParameters": [{"name": "beta", "present": True}]},
         "action": {"type": "weighted", "clusters": [{"name": "web-a", "weight": 90}, {"name": "web-b", "weight": 10}]}}]}]}
    r = fp.post("/api/v1/routes", SHOP)
    is_(r.status, 201, "create a route", )
    is_((r.json["pathPrefix"], r.json["clusterTargets"]), ("template:/items/{sku}/stock", "stock-api"), "its summary")
    is_(fp.api("GET", "/routes/shop-rc"), r.json, "GET answers what POST answered")
    is_(fp.put("/api/v1/routes/shop-rc", fp.api("GET", "/routes/shop-rc")).json["version"], 1, "response = request")

    bad = {"name": "bad", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
        {"name": "r", "match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "forward", "cluster": "ghost"}}]}]}
    r = fp.post("/api/v1/routes", bad)
    is_((r.status, r.json["details"][0]["code"]), (400, "reference_not_found"), "a missing cluster: 400 (rule O-8)")
    like(r.json["details"][0]["pointer"], r"/virtualHosts/0/routes/0/action/cluster", "with its pointer")
    is_(fp.post("/api/v1/routes?allowMissing=true", bad).status, 201, "allowMissing=true takes it")
    r = fp.delete("/api/v1/clusters/stock-api")
    is_((r.status, r.json["details"][0]["code"]), (409, "still_referenced"), "a referenced cluster: 409")
    like(r.json["details"][0]["message"], "shop-rc", "details list the user")

    EDGE = {"name": "shop-edge", "address": "::", "port": 18443, "protocol": "HTTPS", "filterChains": [{"name": "main", "filters": [
        {"name": "envoy.filters.network.http_connection_manager", "type": "httpConnectionManager", "routeConfigName": "shop-rc"}]}]}
    r = fp.post("/api/v1/listeners", EDGE)
    is_(r.status, 201, "create a listener")
    is_((r.json["address"], r.json["port"], r.json["protocol"]), ("::", 18443, "HTTPS"), "address, port, protocol at the top")
    ok("HttpConnectionManager" in r.json["config"]["filter_chains"][0]["filters"][0]["filter_type"], "config is externally tagged")
    is_(fp.api("GET", "/listeners/shop-edge"), r.json, "GET answers what POST answered")
    is_(fp.put("/api/v1/listeners/shop-edge", r.json).json["version"], 1, "response = request")
    r = fp.post("/api/v1/listeners", dict(EDGE, name="second"))
    is_((r.status, r.json["error"]), (409, "conflict"), "the same address and port: 409")
    r = fp.post("/api/v1/listeners", dict(EDGE, name="low", port=80))
    is_((r.status, r.json["details"][0]["pointer"], r.json["details"][0]["code"]), (400, "/port", "out_of_range"), "a privileged port: 400")
    late = dict(EDGE, name="late", port=18444)
    late["filterChains"] = [{"filters": [dict(EDGE["filterChains"][0]["filters"][0], routeConfigName="not-yet")]}]
    r = fp.post("/api/v1/listeners", late)
    is_(r.status, 201, "a route configuration may come later")
    filters = dict(EDGE["filterChains"][0]["filters"][0], httpFilters=[{"filter": {"type": "cors", "policy": {}}}])
    r = fp.post("/api/v1/listeners", dict(EDGE, name="f", port=18445, filterChains=[{"filters": [filters]}]))
    is_((r.status, r.json["details"][0]["code"]), (400, "unsupported"), "HTTP filters that come later: unsupported")

    is_(fp.delete("/api/v1/routes/shop-rc").status, 409, "a referenced route configuration: 409")
    is_(fp.delete("/api/v1/listeners/shop-edge").status, 204, "listener first")
    is_(fp.delete("/api/v1/routes/shop-rc").status, 204, "then its routes")
    is_(fp.delete("/api/v1/clusters/stock-api").status, 204, "then the cluster")
