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


def direct(name):
    return {"name": name, "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
        {"name": "r", "match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "direct", "status": 204}}]}]}


with run():
    pg = Postgres()
    fp, other = Flowplane(pg), Flowplane(pg)
    other.token = fp.token
    fp.api("POST", "/clusters", {"name": "one", "endpoints": [{"host": "127.0.0.1", "port": 8081}]})
    r = fp.post("/api/v1/listeners", tcp("ghost"))
    is_((r.status, r.json["details"][0]["code"]), (400, "reference_not_found"), "a cluster that does not exist: 400")
    r = fp.post("/api/v1/listeners?allowMissing=true&dryRun=true", tcp("ghost"))
    is_((r.status, r.json["warnings"]), (200, [{"code": "missing_reference", "pointer": "/filterChains/0/filters/0/cluster",
                                               "message": "Cluster 'ghost' does not exist"}]), "allowMissing, dry: a warning in the body")
    r = fp.post("/api/v1/listeners?allowMissing=true", tcp("ghost"))
    is_((r.status, warnings(r)), (201, ["missing_reference Cluster 'ghost' does not exist"]), "allowMissing: stored, with a warning")
    r = fp.put("/api/v1/listeners/edge?allowMissing=true", tcp("ghost"))
    is_((r.status, r.headers["ETag"], len(warnings(r))), (200, '"1"', 1), "the same again: the same warning")
    r = fp.put("/api/v1/listeners/edge?allowMissing=true", tcp("one"))
    is_((r.status, warnings(r)), (200, []), "one that exists: none")
    r = fp.put("/api/v1/listeners/edge?allowMissing=true", tcp("xds_cluster"))
    is_((r.status, warnings(r)), (200, []), "nor for a cluster of Envoy's bootstrap (validation.external_clusters)")
    r = fp.post("/api/v1/listeners", hcm("later"))
    is_((r.status, warnings(r)), (201, ["missing_reference Route 'later' does not exist"]), "a route configuration may come later: a warning")
    r = fp.put("/api/v1/listeners/edge?allowMissing=true", {"envoy": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 18443}},
        "filterChains": [{"filters": [{"name": "t", "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "statPrefix": "t", "cluster": "a\r\nX: y"}}]}]}})
    is_((r.status, warnings(r)), (200, ["missing_reference Cluster '?' does not exist"]), "a name that no header holds")
    # judged by the transaction: what another instance has committed just now counts
    for i in range(10):
        one, two = (fp, other) if i % 2 else (other, fp)
        one.api("POST", "/routes", direct("now"))
        r = two.put("/api/v1/listeners/web", hcm("now"))
        is_((r.status, warnings(r)), (200, []), "committed just now by another instance: not missing")
        one.api("PUT", "/listeners/web", hcm("later"))
        two.api("DELETE", "/routes/now", want=204)
        r = one.put("/api/v1/listeners/web", hcm("now"))
        is_((r.status, len(warnings(r))), (200, 1), "deleted just now by another instance: missing")

    # ---- sets: the state after the whole set counts (§5.9)
    def kind(k, body, **more):
        return {"kind": k, **body, **more}

    def apply(items, query=""):
        r = fp.post(f"/api/v1/apply{query}", items)
        return r.status, warnings(r), r

    at = "/filterChains/0/filters/0/"
    is_(apply([kind("listener", hcm("set")), kind("route", direct("set"))])[:2], (200, []), "apply: what the set brings is not missing")
    is_(apply([kind("listener", hcm("set"))])[:2], (200, []), "nor what is there")
    status, said, _ = apply([kind("listener", tcp("one")), kind("listener", hcm("gone"))])
    is_((status, said), (200, ["missing_reference Route 'gone' does not exist"]), "apply: a warning in the headers")
    is_(apply([kind("listener", hcm("gone"))])[:2], (200, said), "of members that do not change too")
    status, said, r = apply([kind("cluster", {"name": "two", "endpoints": ["10.0.0.1:1"]}), kind("listener", hcm("gone")), kind("listener", tcp("ghost"))],
                            "?dryRun=true&allowMissing=true")
    is_((status, r.json["warnings"]), (200, [
        {"code": "missing_reference", "pointer": f"/1{at}routeConfigName", "message": "Route 'gone' does not exist"},
        {"code": "missing_reference", "pointer": f"/2{at}cluster", "message": "Cluster 'ghost' does not exist"}]), "dry: in the body, where they stand")
    is_(len(said), 2, "and in the headers")
    is_(apply([kind("listener", hcm("set")), kind("route", direct("set"))], "?dryRun=true")[2].json["warnings"], [], "dry: what the set would bring is not missing")
    is_(apply([kind("listener", tcp("ghost"))])[0], 400, "without allowMissing a cluster must be there")
    apply([kind("route", direct("owned")), kind("cluster", {"name": "mine", "endpoints": ["10.0.0.1:1"]})], "?source=git")
    status, said, r = apply([kind("listener", hcm("owned"))], "?source=git&prune=true&allowMissing=true")
    is_((status, [d["code"] for d in r.json["details"]]), (409, ["still_referenced"]), "what the set prunes may not be named by it")
    status, said, r = apply([kind("listener", hcm("of-blue"), team="red"), kind("route", direct("of-blue"), team="blue")])
    is_((status, said), (200, ["missing_reference Route 'of-blue' does not exist"]), "a row of another team is missing (§4.5)")
    # rollbacks are sets
    n = int(fp.put("/api/v1/listeners/web", hcm("gone")).headers["Flowplane-Revision"])
    fp.put("/api/v1/listeners/web", hcm("set"))
    r = fp.request("POST", f"/api/v1/revisions/{n}/rollback?dryRun=true")
    is_((r.status, r.json["warnings"]), (200, [{"code": "missing_reference", "pointer": "", "message": "Route 'gone' does not exist"}]), "of a rollback")
