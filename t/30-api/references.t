#!/usr/bin/env python3
"""Names that may come later, or that allowMissing permits: stored, with the warning missing_reference (contract §2.2, §2.6, §5.3, §5.9)."""
from fp_harness import Flowplane, Postgres
from fp_tap import is_, run


def tcp(cluster, **more):
    return {"name": "edge", "address": "127.0.0.1", "port": 18443, "filterChains": [{"filters": [
        {"name": "tcp", "type": "tcpProxy", "cluster": cluster}]}], **more}


def hcm(route):
    return {"name": "web", "address": "127.0.0.1", "port": 18444, "filterChains": [{"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "type": "httpConnectionManager", "routeConfigName": route,
         "httpFilters": [{"filter": {"type": "router"}}]}]}]}


def warnings(r):
    return [v for k, v in r.headers.items() if k.lower() == "flowplane-warning"]


with run():
    fp = Flowplane(Postgres())
    fp.api("POST", "/clusters", {"name": "one", "endpoints": [{"host": "127.0.0.1", "port": 8081}]})
    fp.settle()
    r = fp.post("/api/v1/listeners", tcp("ghost"))
    is_((r.status, r.json["details"][0]["code"]), (400, "reference_not_found"), "a cluster that does not exist: 400")
    r = fp.post("/api/v1/listeners?allowMissing=true&dryRun=true", tcp("ghost"))
    is_((r.status, [w["code"] for w in r.json["warnings"]]), (200, ["missing_reference"]), "allowMissing, dry: a warning in the body")
    r = fp.post("/api/v1/listeners?allowMissing=true", tcp("ghost"))
    is_((r.status, warnings(r)), (201, ["missing_reference Cluster 'ghost' does not exist"]), "allowMissing: stored, with a warning")
    fp.settle()
    r = fp.put("/api/v1/listeners/edge?allowMissing=true", tcp("one"))
    is_((r.status, warnings(r)), (200, []), "one that exists: none")
    fp.settle()
    r = fp.put("/api/v1/listeners/edge?allowMissing=true", tcp("xds_cluster"))
    is_((r.status, warnings(r)), (200, []), "nor for a cluster of Envoy's bootstrap (validation.external_clusters)")
    fp.settle()
    r = fp.post("/api/v1/listeners", hcm("later"))
    is_((r.status, [w.split()[0] for w in warnings(r)]), (201, ["missing_reference"]), "a route configuration may come later: a warning")
    for _ in range(20):  # a pipeline does not wait between its calls
        fp.api("POST", "/routes", {"name": "now", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
            {"name": "r", "match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "direct", "status": 204}}]}]})
        r = fp.put("/api/v1/listeners/web", hcm("now"))
        is_((r.status, warnings(r)), (200, []), "one that was committed just now is never called missing")
        fp.api("PUT", "/listeners/web", hcm("later"))
        fp.api("DELETE", "/routes/now", want=204)
