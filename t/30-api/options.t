#!/usr/bin/env python3
"""Options of writes and reads in depth: dryRun, wait, lists, view=envoy (contract §2.5 to §2.8)."""
from fp_harness import Flowplane, Postgres
from fp_tap import is_, like, ok, run

with run():
    pg = Postgres()
    fp = Flowplane(pg)
    ONE = {"name": "one", "endpoints": [{"host": "127.0.0.1", "port": 8081}], "team": "shop"}
    EDGE = {"name": "edge", "address": "127.0.0.1", "port": 18443, "filterChains": [{"filters": [
        {"name": "tcp", "type": "tcpProxy", "cluster": "one"}]}]}

    # ---- dry run
    r = fp.post("/api/v1/clusters?dryRun=true", ONE)
    is_((r.status, r.json["dryRun"]), (200, True), "dry run of a create: 200")
    change = r.json["changes"][0]
    is_((change["kind"], change["name"], change["action"], change["fromVersion"]), ("cluster", "one", "create", None), "its change")
    is_([d["op"] for d in change["diff"]], ["add"], "all of it is added")
    is_(fp.get("/api/v1/clusters/one").status, 404, "nothing was stored")
    is_(pg.psql("SELECT count(*) FROM clusters WHERE name = 'one'").strip(), "0", "nothing in the table")
    fp.api("POST", "/clusters", ONE, want=201)
    is_(fp.post("/api/v1/clusters?dryRun=true", ONE).status, 409, "an existing name: the error of the real write")
    r = fp.put("/api/v1/clusters/one?dryRun=true", dict(ONE, connectTimeoutSeconds=9))
    change = r.json["changes"][0]
    is_((change["action"], change["fromVersion"]), ("update", 1), "dry run of a replace")
    is_(change["diff"], [{"op": "add", "path": "/connectTimeoutSeconds", "value": 9}], "its difference")
    is_(fp.put("/api/v1/clusters/one?dryRun=true", ONE).json["changes"][0]["action"], "unchanged", "the same content")
    is_(fp.put("/api/v1/clusters/one?dryRun=true", ONE, headers={"If-Match": "7"}).status, 412, "a stale If-Match: 412")
    is_(fp.put("/api/v1/clusters/two?dryRun=true", dict(ONE, name="two")).status, 404, "a missing row: 404")
    r = fp.post("/api/v1/clusters?dryRun=true", dict(ONE, name="tls", endpoints=[{"host": "a.test", "port": 443}]))
    is_([w["code"] for w in r.json["warnings"]], ["unverified_tls"], "warnings are in the body")
    r = fp.post("/api/v1/listeners?dryRun=true", EDGE | {"filterChains": [{"filters": [
        {"name": "tcp", "type": "tcpProxy", "cluster": "ghost"}]}]})
    is_((r.status, r.json["details"][0]["code"]), (400, "reference_not_found"), "a missing reference: 400")
    fp.api("POST", "/listeners", EDGE, want=201)
    is_(fp.post("/api/v1/listeners?dryRun=true", EDGE | {"name": "e2"}).status, 409, "a taken address: 409")
    r = fp.delete("/api/v1/clusters/one?dryRun=true")
    is_((r.status, r.json["details"][0]["code"]), (409, "still_referenced"), "dry run of a delete: still referenced")
    r = fp.delete("/api/v1/listeners/edge?dryRun=true")
    is_((r.status, r.json["changes"][0]["action"]), (200, "delete"), "dry run of a delete")
    is_(fp.get("/api/v1/listeners/edge").status, 200, "it is still there")
    is_(fp.delete("/api/v1/clusters/default-gateway-cluster?dryRun=true").json["details"][0]["code"], "protected", "protected")
    for bad in ("dryRun=yes", "wait=soon", "timeout=1ms", "timeout=2h", "timeout=x", "allowMissing=1"):
        r = fp.post(f"/api/v1/clusters?{bad}", {})
        is_((r.status, r.json["details"][0].get("parameter")), (400, bad.split("=")[0]), f"{bad}: 400 with its parameter")

    # ---- wait
    r = fp.put("/api/v1/clusters/one?wait=published&timeout=60s", dict(ONE, connectTimeoutSeconds=3))
    is_((r.status, r.headers["Flowplane-Wait"]), (200, "published"), "wait=published")
    r = fp.put("/api/v1/clusters/one?wait=published&timeout=60s", dict(ONE, connectTimeoutSeconds=3))
    is_((r.status, r.headers["Flowplane-Wait"]), (200, "unchanged"), "nothing changed: unchanged")
    r = fp.delete("/api/v1/listeners/edge?wait=published&timeout=60s")
    is_((r.status, r.headers["Flowplane-Wait"]), (204, "published"), "wait on DELETE")

    # ---- freshness
    revision = int(fp.put("/api/v1/clusters/one", ONE).headers["Flowplane-Revision"])
    r = fp.get("/api/v1/clusters/one", headers={"Flowplane-Revision": str(revision)})
    ok(r.status == 200 and int(r.headers["Flowplane-Revision"]) >= revision, "a read of at least that revision")
    is_(fp.get("/api/v1/clusters/one", headers={"Flowplane-Revision": "x"}).status, 400, "not a revision: 400")
    r = fp.get("/api/v1/clusters/one", headers={"Flowplane-Revision": str(revision + 1000)}, timeout=20)
    is_((r.status, r.headers["Retry-After"]), (503, "2"), "a revision that does not come: 503 after 5 s")

    # ---- lists
    fp.api("POST", "/clusters", {"name": "two", "endpoints": ["127.0.0.1:1"]}, want=201)
    r = fp.get("/api/v1/clusters")
    like(r.headers["ETag"], r'^"[0-9a-f]+"$', "a list has a strong ETag")
    is_(fp.get("/api/v1/clusters", headers={"If-None-Match": r.headers["ETag"]}).status, 304, "If-None-Match: 304")
    fp.api("PUT", "/clusters/two", {"endpoints": ["127.0.0.1:2"]})
    is_(fp.get("/api/v1/clusters", headers={"If-None-Match": r.headers["ETag"]}).status, 200, "other content: 200")
    names = lambda q: [c["name"] for c in fp.api("GET", "/clusters?" + q)]  # noqa: E731
    is_(names("team=shop"), ["one"], "by team")
    is_(names("source=system"), ["default-gateway-cluster"], "by source")
    is_(names("name=one&name=two&name=three"), ["one", "two"], "by name, repeated")
    is_(names("limit=0"), names("limit=1"), "limit is clamped to 1")
    is_(names("offset=-5"), names(""), "offset to 0")

    # ---- view=envoy
    r = fp.get("/api/v1/clusters/one?view=envoy")
    is_(r.json["envoy"]["name"], "one", "view=envoy shows the message that is served")
    is_(r.json["envoy"]["edsClusterConfig"]["edsConfig"]["ads"], {}, "in canonical JSON")
    is_(fp.get("/api/v1/clusters/one?view=xml").status, 400, "another view: 400")

    # ---- endpoints are a kind of their own
    r = fp.post("/api/v1/endpoints", {"name": "set", "endpoints": [{"host": "10.0.0.1", "port": 80, "weight": 2}]})
    is_((r.status, r.headers["Location"]), (201, "/api/v1/endpoints/set"), "an endpoint set")
    is_(fp.api("GET", "/endpoints/set"), r.json, "GET answers what POST answered")
    is_(fp.post("/api/v1/endpoints", {"name": "n", "endpoints": [{"host": "a.test", "port": 80}]}).status, 400, "hosts are IP literals")
    is_([e["name"] for e in fp.api("GET", "/endpoints")], ["set"], "generated sets are not listed")
    r = fp.post("/api/v1/endpoints", {"name": "one", "endpoints": []})
    is_((r.status, r.json["error"]), (409, "conflict"), "a name that a cluster generates: 409")
    fp.api("POST", "/clusters", {"name": "by-set", "serviceName": "set", "type": "EDS"}, want=201)
    is_(fp.api("GET", "/clusters/by-set?view=envoy")["envoy"]["edsClusterConfig"]["serviceName"], "set", "a cluster that uses it")
    is_(fp.delete("/api/v1/endpoints/set").status, 204, "an endpoint set may go first")
