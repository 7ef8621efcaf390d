#!/usr/bin/env python3
"""The guide's backup and restore loop, and the singular paths it uses (contract §5.1, §16)."""
import json

from fp_harness import Flowplane, Postgres
from fp_tap import is_, run

KINDS = (("clusters", "cluster"), ("routes", "route"), ("listeners", "listener"))


def content(fp):
    """All rows without what a database gives them."""
    out = {}
    for plural, _ in KINDS:
        out[plural] = [{k: v for k, v in row.items() if k not in ("id", "createdAt", "updatedAt", "version", "source")}
                       for row in fp.api("GET", f"/{plural}")]
    return out


with run():
    pg = Postgres()
    fp = Flowplane(pg)
    fp.api("POST", "/cluster", {"name": "a", "endpoints": [{"host": "127.0.0.1", "port": 8081}]}, want=201)
    fp.api("POST", "/cluster", {"name": "raw", "envoy": {"type": "STATIC", "connectTimeout": "2s"}}, want=201)
    fp.api("POST", "/route", {"name": "r", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
        {"name": "x", "match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "forward", "cluster": "a"}}]}]}, want=201)
    fp.api("POST", "/listener", {"name": "l", "address": "127.0.0.1", "port": 18080, "filterChains": [{"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "type": "httpConnectionManager", "routeConfigName": "r"}]}]}, want=201)
    other = Flowplane(pg)
    other.token = fp.token
    for i in range(20):  # a name that another instance has taken just now: judged by what the database has
        one, two = (fp, other) if i % 2 else (other, fp)
        body = {"name": f"two-{i}", "endpoints": ["127.0.0.1:8081"]}
        one.api("POST", "/cluster", body, want=201)
        is_(two.post("/api/v1/cluster", body).status, 200, "the same content: unchanged")
        one.api("PUT", f"/clusters/two-{i}", {**body, "connectTimeoutSeconds": 9})
        is_(two.post("/api/v1/cluster", body).status, 409, "what it was before: another content")
        one.api("DELETE", f"/clusters/two-{i}", want=204)
    other.stop()
    same = fp.api("GET", "/clusters/a")
    r = fp.post("/api/v1/cluster", same)
    is_((r.status, r.json, r.headers["ETag"]), (200, same, '"1"'), "the same content again: 200, unchanged")
    is_(fp.post("/api/v1/cluster", dict(same, config=dict(same["config"], connectTimeoutSeconds=9))).status, 409, "other content: 409")
    is_(fp.post("/api/v1/clusters", same).status, 409, "the plural path: 409")
    r = fp.post("/api/v1/cluster", {"name": "default-gateway-cluster", "endpoints": ["127.0.0.1:9"]})
    is_((r.status, r.json["version"]), (200, 2), "an untouched default gateway is replaced: 200")
    is_(fp.post("/api/v1/cluster", {"name": "default-gateway-cluster", "endpoints": ["127.0.0.1:10"]}).status, 409, "a touched one: 409")
    backup = {plural: json.dumps(fp.api("GET", f"/{plural}")) for plural, _ in KINDS}

    def restore(target):
        return [target.post(f"/api/v1/{one}", row).status for plural, one in KINDS for row in json.loads(backup[plural])]

    before = fp.get("/api/v1/clusters").headers["Flowplane-Revision"]
    is_(set(restore(fp)), {200}, "over itself: all unchanged")
    is_(fp.get("/api/v1/clusters").headers["Flowplane-Revision"], before, "and no revision")
    pg.createdb("other")
    other = Flowplane(pg, database="other", name="other")
    got = restore(other)
    is_(set(got) <= {200, 201}, True, f"into an empty instance: every element is accepted {got}")
    is_(content(other), content(fp), "afterwards the configuration equals the backup")
    is_(other.delete("/api/v1/clusters/default-gateway-cluster").status, 409, "the default gateway stays protected")
