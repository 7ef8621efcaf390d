#!/usr/bin/env python3
"""GET /api/v1/export (contract §7.2): what /apply takes; applied to an empty database and exported again it is the same."""
import difflib
import hashlib
import json
import uuid

import fp_model
from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, like, ok, run, unlike

with run():
    pg = Postgres()
    fp = Flowplane(pg)
    yaml = {"Content-Type": "application/yaml"}

    r = fp.get("/api/v1/export")
    is_((r.status, r.raw), (200, b""), "an untouched default gateway is no configuration")
    is_(fp.get("/api/v1/export?format=json").json, [], "as JSON: an empty array")

    team = {"name": "theirs", "team": "shop", "serviceName": "svc", "endpoints": [{"host": "10.0.0.7", "port": 80}]}
    odd = {"name": "yes: #1 \u2028\U0001f600", "endpoints": ["10.0.0.9:80"]}
    clusters = [fp_model.CLUSTER, {"name": "shadow", "endpoints": ["10.0.0.2:80"]}, fp_model.RICH_CLUSTER, team, odd,
                {"name": "raw", "envoy": {"type": "EDS", "edsClusterConfig": {"edsConfig": {"ads": {}}}, "connectTimeout": "0.25s"}}]
    routes = [fp_model.ROUTE, fp_model.RICH_ROUTE, {"name": "raw-rc", "envoy": {"virtualHosts": []}}]
    listeners = [fp_model.LISTENER, fp_model.RICH_LISTENER,
                 {"name": "rawl", "envoy": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 18081}}}}]
    items = [{"kind": k, **v} for k, vs in (("listener", listeners), ("route", routes), ("cluster", clusters), ("endpoint", [fp_model.ENDPOINTS]))
             for v in vs]
    r = fp.post("/api/v1/apply?allowMissing=true", items)
    ok(r.status == 200, "everything the models can say is applied", r.text)

    r = fp.get("/api/v1/export")
    text, first = r.raw, fp.get("/api/v1/export?format=json")
    is_((r.status, r.headers["Content-Type"]), (200, "application/yaml"), "YAML")
    is_(int(r.headers["Flowplane-Revision"]), int(pg.psql("SELECT revision FROM config_revision")), "with the revision it is of")
    like(r.text, r"^---\nkind: endpoint\nname: stock\n", "a document for each, endpoints first")
    is_([(i["kind"], i["name"]) for i in first.json],
        [(k, n) for k, vs in (("endpoint", [fp_model.ENDPOINTS]), ("cluster", clusters), ("route", routes), ("listener", listeners))
         for n in sorted((v["name"] for v in vs), key=lambda n: n.encode())], "in apply order, by name")
    unlike(r.text, r"createdAt|updatedAt|\bversion:|\bid:|\bsource:", "no ids, times, versions, sources")
    theirs = next(i for i in first.json if i["name"] == "theirs")
    is_(theirs, {"kind": "cluster", **team}, "a member is the create body")
    is_(fp.post("/api/v1/apply?allowMissing=true", text, headers=yaml).json["summary"]["unchanged"], len(items), "applied again: nothing changes")
    is_(fp.post("/api/v1/apply?allowMissing=true", first.raw).json["summary"]["unchanged"], len(items), "JSON the same")

    pg.createdb("other")
    two = Flowplane(pg, database="other")
    r = two.post("/api/v1/apply?allowMissing=true&source=restored", text, headers=yaml)
    is_(r.json["summary"]["created"], len(items), "applied to an empty database")
    again = two.get("/api/v1/export").raw
    ok(again == text, "and exported again: identical bytes", "".join(difflib.unified_diff(
        text.decode().splitlines(True), again.decode().splitlines(True))))
    is_(two.get("/api/v1/export?format=json").raw, first.raw, "as JSON too")

    # ---- parameters
    is_({i["kind"] for i in fp.get("/api/v1/export?format=json&kinds=cluster,endpoint").json}, {"cluster", "endpoint"}, "kinds")
    is_([i["name"] for i in fp.get("/api/v1/export?format=json&kinds=cluster&team=shop").json], ["rich", "theirs"], "team")
    fp.post("/api/v1/apply?source=git", [{"kind": "cluster", "name": "g", "endpoints": ["10.0.0.1:80"]}])
    is_([i["name"] for i in fp.get("/api/v1/export?format=json&source=git").json], ["g"], "source")
    gateway = fp.get("/api/v1/clusters/default-gateway-cluster").json
    fp.put("/api/v1/clusters/default-gateway-cluster", {**gateway, "config": {**gateway["config"], "connectTimeoutSeconds": 9}})
    ok("default-gateway-cluster" in fp.get("/api/v1/export").text, "a touched default row is configuration")
    for query in ("kinds=token", "kinds=cluster,x", "kinds=", "format=xml", "secrets=plain"):
        r = fp.get(f"/api/v1/export?{query}")
        is_((r.status, r.json["details"][0]["parameter"]), (400, query.split("=")[0]), f"{query}: 400")

    # ---- scopes
    def token(*scopes):
        number, secret = uuid.uuid4(), "s" * 31 + "x" * 17
        pg.psql("INSERT INTO tokens (token_id, name, secret_hash, scopes, created_by) VALUES"
                f" ('{number}', 'team', '\\x{hashlib.sha256(secret.encode()).hexdigest()}', '{{{','.join(scopes)}}}', 'system')")
        text = f"fp_pat_{number}.{secret}"
        wait_until(lambda: fp.get("/api/v1/clusters", token=text).status != 401, 10, "the token is known")
        return text

    only, shop = token("clusters:read"), token("team:shop:clusters:read")
    is_(fp.get("/api/v1/export", token=only).status, 403, "every kind that is asked for needs its scope")
    is_(fp.get("/api/v1/export?kinds=cluster", token=only).status, 200, "this one has it")
    is_([i["name"] for i in fp.get("/api/v1/export?kinds=cluster&format=json", token=shop).json], ["rich", "theirs"], "a team's token sees its team")
    is_(fp.get("/api/v1/export", token=None).status, 401, "no token: 401")
