#!/usr/bin/env python3
"""Clusters over REST: create, read, list, replace, delete (contract §2.6, §3, §5.2)."""
from fp_harness import Flowplane, Postgres
from fp_tap import is_, ok, run

with run():
    pg = Postgres()
    fp = Flowplane(pg)

    STOCK = {
        "name": "stock-api",
        "endpoints": [{"host": "stock-1.shop.test", "port": 8443, "weight": 3}, {"host": "2001:db8::17", "port": 8443, "weight": 1}],
        "useTls": True, "tlsServerName": "stock.shop.test", "lbPolicy": "MAGLEV", "maglev": {"tableSize": 65537},
        "healthChecks": [{"type": "grpc", "serviceName": "stock.v1.Stock", "intervalSeconds": 4}],
        "circuitBreakers": {"default": {"maxRequests": 512}, "high": {"maxRetries": 9}},
    }

    r = fp.post("/api/v1/clusters", STOCK)
    is_(r.status, 201, "create: 201")
    made = r.json
    is_(r.headers["Location"], "/api/v1/clusters/stock-api", "Location")
    is_(r.headers["ETag"], '"1"', "ETag of the first version")
    revision = int(r.headers["Flowplane-Revision"])
    ok(revision > 0, "Flowplane-Revision of the commit")
    is_(made["version"], 1, "version 1")
    is_(made["source"], "native_api", "source")
    is_(made["serviceName"], "stock-api", "serviceName is the name")
    is_(made["config"]["maglev"], {"tableSize": 65537}, "config echoes what was said")
    is_(made["config"]["healthChecks"][0]["interval_seconds"], 4, "health checks are echoed in snake_case")

    r = fp.get("/api/v1/clusters/stock-api")
    is_(r.status, 200, "read back at once, whichever worker answers")
    is_(r.json, made, "GET answers what POST answered")
    is_(r.headers["ETag"], '"1"', "ETag on GET")
    ok(int(r.headers["Flowplane-Revision"]) >= revision, "served from that revision or a later one")
    is_(fp.get("/api/v1/clusters/stock-api", headers={"If-None-Match": '"1"'}).status, 304, "If-None-Match: 304")
    is_(fp.request("HEAD", "/api/v1/clusters/stock-api").status, 200, "HEAD")

    r = fp.post("/api/v1/clusters", STOCK)
    is_(r.status, 409, "the same name again: 409")
    is_((r.json["error"], r.json["details"][0]["code"]), ("conflict", "already_exists"), "conflict, already_exists")

    r = fp.put("/api/v1/clusters/stock-api", STOCK)
    is_((r.status, r.json["version"], int(r.headers["Flowplane-Revision"])), (200, 1, revision),
        "PUT of the same content: 200, same version, same revision")
    changed = dict(STOCK, connectTimeoutSeconds=7)
    r = fp.put("/api/v1/clusters/stock-api", changed, headers={"If-Match": '"1"'})
    is_((r.status, r.json["version"]), (200, 2), "PUT of other content: version 2")
    ok(int(r.headers["Flowplane-Revision"]) > revision, "and a new revision")
    r = fp.put("/api/v1/clusters/stock-api", STOCK, headers={"If-Match": '"1"'})
    is_((r.status, r.json["error"]), (412, "precondition_failed"), "a stale If-Match: 412")
    is_(r.json["details"][0]["code"], "stale_version", "details name it")
    for form in ('W/"2"', "2", "*"):
        is_(fp.put("/api/v1/clusters/stock-api", changed, headers={"If-Match": form}).status, 200, f"If-Match: {form}")
    is_(fp.put("/api/v1/clusters/other", STOCK).status, 400, "a body name that differs from the path: 400")
    unnamed = {k: v for k, v in changed.items() if k != "name"}
    is_(fp.put("/api/v1/clusters/stock-api", unnamed).status, 200, "PUT without a name in the body")
    r = fp.put("/api/v1/clusters/none", unnamed)
    is_((r.status, r.json["message"]), (404, "Cluster with name 'none' not found"), "PUT of a missing one: 404")

    is_(fp.post("/api/v1/clusters", {k: v for k, v in made.items()} | {"name": "copy", "serviceName": "copy"}).status, 201,
        "a response is accepted as a create body")

    names = [c["name"] for c in fp.api("GET", "/clusters")]
    is_(names, ["copy", "default-gateway-cluster", "stock-api"], "list: all, by name")
    r = fp.get("/api/v1/clusters?limit=1&offset=1")
    is_([c["name"] for c in r.json], ["default-gateway-cluster"], "limit and offset")
    is_(r.headers["X-Total-Count"], "3", "X-Total-Count")
    is_(fp.get("/api/v1/clusters?limit=x").json["details"][0].get("parameter"), "limit", "limit=x: 400 with the parameter")
    is_([c["name"] for c in fp.api("GET", "/clusters?name=copy")], ["copy"], "list by name")

    r = fp.delete("/api/v1/clusters/copy", headers={"If-Match": "9"})
    is_(r.status, 412, "DELETE with a stale If-Match: 412")
    version = fp.get("/api/v1/clusters/copy").headers["ETag"]
    r = fp.delete("/api/v1/clusters/copy")
    is_((r.status, r.headers["ETag"]), (204, version), "DELETE: 204, with the ETag of what is gone (§2.6)")
    is_(fp.get("/api/v1/clusters/copy").status, 404, "gone")
    is_(fp.delete("/api/v1/clusters/copy").status, 404, "DELETE again: 404")
    r = fp.delete("/api/v1/clusters/default-gateway-cluster")
    is_(r.status, 409, "the default gateway is protected (or still in use)")

    odd = "a b/ü%"
    r = fp.post("/api/v1/clusters", {"name": odd, "endpoints": ["127.0.0.1:80"]})
    is_((r.status, r.headers["Location"]), (201, "/api/v1/clusters/a%20b%2F%C3%BC%25"), "an odd name, encoded in Location")
    is_(fp.api("GET", r.headers["Location"])["name"], odd, "and read through it")

    raw = {"name": "raw-one", "envoy": {"connectTimeout": "1.5s", "type": "STATIC", "loadAssignment": {
        "clusterName": "raw-one", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"socketAddress": {
            "address": "127.0.0.1", "portValue": 80}}}}]}]}}}
    r = fp.post("/api/v1/clusters", raw)
    is_(r.status, 201, "the raw Envoy form")
    is_(r.json.get("envoy", {}).get("connectTimeout"), "1.500s", "comes back as canonical Envoy JSON")
    r = fp.post("/api/v1/clusters", {"name": "raw-two", "envoy": {"connectTimeoutt": "1s"}})
    is_((r.status, r.json["details"][0]["pointer"], r.json["details"][0]["code"]),
        (400, "/envoy/connectTimeoutt", "unknown_field"), "an unknown field in it: 400 with its pointer")

    rows = pg.psql("SELECT event_type, resource_name, user_id FROM audit_logs WHERE resource_type = 'cluster' "
                   "AND resource_name = 'stock-api' ORDER BY id")
    ok("resource.created" in str(rows) and "resource.updated" in str(rows) and "fp_pat_" in str(rows),
       "audit rows of create and update with the user", str(rows))
