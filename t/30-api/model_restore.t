#!/usr/bin/env python3
"""The guide's backup and restore (contract §16): lists saved, everything deleted, each element posted again."""
import fp_model
import fp_tap as tap
from fp_harness import Flowplane, Postgres

KINDS = ("clusters", "routes", "listeners")


def content(items):
    """What a backup is about: without ids, versions and times."""
    return [{k: v for k, v in i.items() if k not in ("id", "version", "createdAt", "updatedAt")} for i in items]


def without_team(body):
    return {k: v for k, v in body.items() if k != "team"}


def fill(fp):
    names = {"name": "shadow", "endpoints": ["10.0.0.2:80"]}
    for body in (fp_model.CLUSTER, names, without_team(fp_model.RICH_CLUSTER)):
        tap.is_(fp.post("/api/v1/clusters", body).status, 201, f"cluster {body['name']}")
    raw = {"name": "raw", "envoy": {"type": "EDS", "edsClusterConfig": {"edsConfig": {"ads": {}}}, "connectTimeout": "0.25s"}}
    tap.is_(fp.post("/api/v1/clusters", raw).status, 201, "a raw cluster")
    for body in (fp_model.ROUTE, without_team(fp_model.RICH_ROUTE), {"name": "raw-rc", "envoy": {"virtualHosts": []}}):
        r = fp.post("/api/v1/routes", body)
        tap.is_(r.status, 201, f"route {body['name']}")
    for body in (fp_model.LISTENER, without_team(fp_model.RICH_LISTENER)):
        r = fp.post("/api/v1/listeners?allowMissing=true", body)
        tap.ok(r.status == 201, f"listener {body['name']}", r.json)


with tap.run():
    fp = Flowplane(Postgres())
    fill(fp)
    backup = {kind: fp.get(f"/api/v1/{kind}").json for kind in KINDS}
    tap.is_([len(backup[k]) for k in KINDS], [5, 4, 3], "bare arrays, with the default gateway")

    for kind in KINDS:
        for item in backup[kind]:
            if item["source"] == "system":  # a write would make it the user's
                continue
            r = fp.put(f"/api/v1/{kind}/{item['name']}?allowMissing=true", item)
            tap.ok(r.status == 200 and r.json["version"] == item["version"],
                   f"{kind}/{item['name']}: its response changes nothing", r.json)
    for kind in reversed(KINDS):
        for item in backup[kind]:
            if item["source"] != "system":
                tap.is_(fp.delete(f"/api/v1/{kind}/{item['name']}").status, 204, f"{kind}/{item['name']} deleted")
    for kind in KINDS:
        for item in backup[kind]:
            if item["source"] != "system":
                tap.is_(fp.post(f"/api/v1/{kind}?allowMissing=true", item).status, 201, f"{kind}/{item['name']} restored")
    for kind in KINDS:
        tap.is_(content(fp.get(f"/api/v1/{kind}").json), content(backup[kind]), f"{kind} equal the backup")
