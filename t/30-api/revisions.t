#!/usr/bin/env python3
"""History (contract §7.3): revisions, what each changed, rollback as a new revision, whole or in part."""
import json

import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, like, ok, run


def cluster(name, port=80, **more):
    return {"name": name, "endpoints": [{"host": "10.0.0.1", "port": port}], **more}


def listener(name, port, target):
    return {"name": name, "address": "127.0.0.1", "port": port, "filterChains": [
        {"filters": [{"name": "tcp", "type": "tcpProxy", "cluster": target}]}]}


with run():
    pg = Postgres()
    fp = Flowplane(pg)

    def export():
        return fp.get("/api/v1/export").raw

    def written(r):
        return int(r.headers["Flowplane-Revision"])

    def rollback(n, query="", status=200):
        r = fp.request("POST", f"/api/v1/revisions/{n}/rollback{query}{'&' if query else '?'}timeout=60s")
        return r if r.status == status else is_((r.status, r.text), status, f"rollback to {n}") or r

    r1 = written(fp.post("/api/v1/clusters", cluster("a"), headers={"X-Request-Id": "first"}))
    e1 = export()
    r2 = written(fp.put("/api/v1/clusters/a", cluster("a", 81)))
    r3 = written(fp.post("/api/v1/listeners", listener("edge", 18001, "a")))
    e3 = export()
    r4 = written(fp.post("/api/v1/apply?source=git", [{"kind": "cluster", **cluster("b")}, {"kind": "cluster", **cluster("c", team="red")},
                                                      {"kind": "listener", **listener("edge", 18002, "b")}]))
    e4 = export()

    # ---- lists
    r = fp.get("/api/v1/revisions")
    is_([x["revision"] for x in r.json], list(range(r4, 0, -1)), "newest first")
    is_(int(r.headers["X-Total-Count"]), r4, "and how many")
    user = fp.get("/api/v1/tokens").json[0]["id"]
    one = next(x for x in r.json if x["revision"] == r1)
    is_({k: one[k] for k in ("requestId", "source", "changes")}, {"requestId": "first", "source": "native_api", "changes": 1}, "one of them")
    like(one["userId"], "^fp_pat_", "who")
    like(one["createdAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", "when")
    is_(one["epoch"], pg.psql("SELECT epoch FROM config_revision").strip(), "in which epoch")
    is_([(x["revision"], x["changes"], x["source"]) for x in fp.get("/api/v1/revisions?limit=1").json], [(r4, 3, "git")], "limit")
    is_([x["revision"] for x in fp.get("/api/v1/revisions?limit=1&offset=1").json], [r3], "offset")
    r = fp.get("/api/v1/revisions?offset=1000")
    is_((r.json, r.headers["X-Total-Count"]), ([], str(r4)), "beyond the end")
    is_([x["revision"] for x in fp.get("/api/v1/revisions?kind=listener&name=edge").json], [r4, r3], "kind and name")
    is_(fp.get("/api/v1/revisions?kind=listener&name=edge").json[0]["changes"], 3, "with all their changes")
    is_(fp.get("/api/v1/revisions?userId=nobody").json, [], "userId")
    is_([x["revision"] for x in fp.get(f"/api/v1/revisions?userId={one['userId']}").json], [r4, r3, r2, r1], "of one user")
    is_(fp.get("/api/v1/revisions?limit=x").status, 400, "limit must be a number")

    r = fp.get(f"/api/v1/revisions/{r2}").json
    is_((r["revision"], r["changes"]), (r2, 1), "one revision")
    is_(r["items"], [{"kind": "cluster", "name": "a", "action": "update", "fromVersion": 1, "toVersion": 2,
                      "diff": [{"op": "replace", "path": "/endpoints/0/port", "from": 80, "value": 81}]}], "its changes with differences")
    items = fp.get(f"/api/v1/revisions/{r4}").json["items"]
    is_(sorted((i["name"], i["action"], i["fromVersion"], i["toVersion"]) for i in items),
        [("b", "create", None, 1), ("c", "create", None, 1), ("edge", "update", 1, 2)], "of a set")
    token = next(x["revision"] for x in fp.get("/api/v1/revisions?kind=token").json)
    is_([(i["kind"], i["diff"]) for i in fp.get(f"/api/v1/revisions/{token}").json["items"] if i["kind"] == "token"], [("token", [])],
        "tokens without content")
    is_(fp.get("/api/v1/revisions/100000").status, 404, "unknown: 404")
    is_(fp.get("/api/v1/revisions/x").status, 400, "no number: 400")

    # ---- rollback
    at = r4
    r = rollback(r3, "?dryRun=true")
    is_(sorted((c["kind"], c["name"], c["action"]) for c in r.json["changes"]),
        [("cluster", "b", "delete"), ("cluster", "c", "delete"), ("listener", "edge", "update")], "dry run of a rollback")
    is_(export(), e4, "does nothing")
    r = rollback(r3)
    is_(r.json["summary"], {"created": 0, "updated": 1, "deleted": 2, "unchanged": 0}, "rollback: result as apply")
    is_((r.json["revision"], r.headers["Flowplane-Wait"]), (r4 + 1, "published"), "a new revision, waited for")
    is_(export(), e3, "what was then is now")
    audit = json.loads(pg.psql("SELECT to_jsonb(a) FROM audit_logs a WHERE event_type = 'config.rolled_back'"))
    is_((audit["metadata"]["to"], audit["resource_type"], audit["revision"]), (r3, "config", r4 + 1), "config.rolled_back")
    r = rollback(r3)
    is_((r.json["changed"], r.json["revision"], r.headers["Flowplane-Wait"]), (False, r4 + 1, "unchanged"), "again: nothing changes")
    rollback(r1)
    is_(export(), e1, "to the first")
    rollback(r4)
    is_(export(), e4, "and forward again")
    is_(fp.get("/api/v1/clusters/c").json["source"], "git", "sources come back")
    is_(fp.get("/api/v1/clusters/c").json["team"], "red", "teams too")
    rows = pg.psql("SELECT count(*) FILTER (WHERE encoded IS NULL), count(*) FROM clusters").split()
    is_(rows[0], "0", "rows are encoded when they are written")
    is_(pg.psql("SELECT target_name FROM resource_refs WHERE kind = 'listener' AND name = 'edge'").strip(), "b", "references too")

    # ---- the export of then
    for n, was in ((r1, e1), (r3, e3), (r4, e4)):
        r = fp.get(f"/api/v1/export?revision={n}")
        is_((r.raw, r.headers["Flowplane-Revision"]), (was, str(n)), f"export of revision {n}")
    is_(fp.get(f"/api/v1/export?revision={r3}&kinds=cluster&format=json").json, [{"kind": "cluster", **cluster("a", 81)}], "with its other parameters")
    for bad in ("x", "0", "100000"):
        is_(fp.get(f"/api/v1/export?revision={bad}").status, 400, f"revision={bad}: 400")

    # ---- in part
    fp.put("/api/v1/clusters/a", cluster("a", 82))
    now = fp.put("/api/v1/clusters/b", cluster("b", 82))
    r = rollback(r4, "?kind=cluster&name=a")
    is_([(x["name"], x["action"]) for x in r.json["results"]], [("a", "update")], "one of them")
    is_(fp.get("/api/v1/clusters/b").json["config"]["endpoints"][0]["port"], 82, "the other stays")
    r = rollback(r4, "?kind=cluster&name=a&kind=cluster&name=b&kind=listener&name=none")
    is_([(x["name"], x["action"]) for x in r.json["results"]], [("a", "unchanged"), ("b", "update")], "pairs")
    for query in ("?kind=cluster", "?name=a", "?kind=token&name=a", "?kind=x&name=a", "?dryRun=x"):
        is_(rollback(r4, query, 400).status, 400, f"{query}: 400")
    is_(rollback(100000, "", 404).status, 404, "unknown: 404")
    is_(rollback("x", "", 400).status, 400, "no number: 400")

    # ---- impossible
    r = rollback(r1, "?kind=cluster&name=b", 409)
    is_([(d["code"], d["message"]) for d in r.json["details"]], [("still_referenced", "cluster 'b' is used by listener/edge")], "a row of today names it: 409 says which")
    fp.delete("/api/v1/listeners/edge")
    fp.delete("/api/v1/clusters/b")
    r = rollback(r4, "?kind=listener&name=edge", 409)
    is_([d["code"] for d in r.json["details"]], ["reference_not_found"], "what it names is gone: 409")
    fp.post("/api/v1/listeners", listener("other", 18002, "a"))
    r = rollback(r4, "?kind=listener&name=edge&kind=cluster&name=b", 409)
    is_([d["code"] for d in r.json["details"]], ["already_exists"], "its address is taken: 409")
    r = rollback(r4, "?allowMissing=true&kind=cluster&name=b")
    is_(r.json["results"], [{"kind": "cluster", "name": "b", "action": "create", "version": 1}], "what is possible is done")

    # ---- status: how far a revision has come
    n = written(fp.post("/api/v1/clusters?wait=published", cluster("seen")))
    r = fp.get(f"/api/v1/revisions/{n}/status").json
    is_((r["revision"], r["published"], r["currentRevision"], r["items"]), (n, True, n, []), "status without nodes")
    is_(r["nodes"], {"total": 0, "acked": 0, "pending": 0, "rejected": 0, "unaffected": 0}, "counts")
    like(r["publishedAt"], r"^\d{4}-", "when")
    with xds.Channel(fp.xds_port) as ch:
        one, two = ch.ads("one"), ch.ads("two")
        one.subscribe("cluster")
        two.subscribe("listener")
        response = one.expect("cluster")
        two.ack(two.expect("listener"))

        def status(revision):
            r = fp.get(f"/api/v1/revisions/{revision}/status").json
            return {i["nodeId"]: i["state"] for i in r["items"]}, r

        wait_until(lambda: status(n)[0] == {"one": "pending", "two": "unaffected"}, what="sent and not yet acknowledged; not subscribed")
        one.ack(response)
        wait_until(lambda: status(n)[0] == {"one": "acked", "two": "unaffected"}, 10, "acknowledged")
        is_(status(n)[1]["nodes"], {"total": 2, "acked": 1, "pending": 0, "rejected": 0, "unaffected": 1}, "counted")
        o = written(fp.post("/api/v1/clusters", cluster("fine")))
        one.ack(one.expect("cluster"))
        # else the next answer may overtake this ACK, which is stale then (S-6)
        wait_until(lambda: status(o)[0]["one"] == "acked", what="acknowledged before the next change")
        m = written(fp.put("/api/v1/clusters/seen", cluster("seen", connectTimeoutSeconds=9)))
        one.nack(one.expect("cluster"), "does not like it")
        wait_until(lambda: status(m)[0]["one"] == "rejected", 10, "rejected")
        nack = next(i for i in status(m)[1]["items"] if i["nodeId"] == "one")["types"]["CDS"]["nack"]
        is_(nack["message"], "does not like it", "with its words")
        is_(status(o)[0]["one"], "acked", "one before with other rows is acknowledged still")
        r = fp.post("/api/v1/apply?wait=acked&timeout=250ms", [{"kind": "cluster", **cluster("late")}])
        is_(r.headers["Flowplane-Wait"], "timeout", "wait=acked of a set waits for the nodes of its kinds")
    is_(fp.get("/api/v1/revisions/100000/status").status, 404, "unknown: 404")
    is_(fp.get("/api/v1/revisions/x/status").status, 400, "no number: 400")

    # ---- history_retention: a chore at each start of a watcher
    first = int(pg.psql("SELECT min(revision) FROM config_changes"))
    last = int(pg.psql("SELECT revision FROM config_revision"))
    pg.psql("UPDATE config_changes SET created_at = now() - interval '2 days'")
    pg.psql(f"SELECT flowplane_prune_history(86400000, {last - 5})")
    is_(int(pg.psql("SELECT min(revision) FROM config_changes")), 6, "what is old goes, the last revisions stay")
    is_(pg.psql(f"SELECT flowplane_prune_history(864000000, 0)").strip(), "0", "what is young stays")
    is_(fp.get("/api/v1/revisions/3").status, 404, "a pruned revision: 404")
    rollback(3, "", 404)
    is_(fp.get("/api/v1/revisions").json[-1]["revision"], 6, "and not in the list")
    pg.psql("DO $$ BEGIN FOR i IN 1..1100 LOOP UPDATE clusters SET team = i::text WHERE name = 'a'; COMMIT; END LOOP; END $$")
    pg.psql("UPDATE config_changes SET created_at = now() - interval '2 days'")
    pg.psql("INSERT INTO xds_nacks (instance, node_id, type_url, resource_names, version_rejected, code, message, last_seen)"
            " SELECT 'i', n, 't', '{}', 'v', 3, '', now() - d * interval '1 hour' FROM (VALUES ('old', 25), ('young', 23)) x(n, d)")
    fp.write_conf({"database.history_retention": "1d"})
    fp.restart()
    last = int(pg.psql("SELECT revision FROM config_revision"))
    wait_until(lambda: int(pg.psql("SELECT min(revision) FROM config_changes")) == last - 999, 20, "1,000 revisions are kept")
    wait_until(lambda: pg.psql("SELECT string_agg(node_id, ' ') FROM xds_nacks WHERE instance = 'i'") == "young", 20, "old rejections go too")
    ok(True, "rejections of nodes that never came back go with the history")
    is_(fp.get(f"/api/v1/revisions/{last - 1000}").status, 404, "the one before them is not")
    rollback(last - 999)

    # ---- the database away
    pg.stop()
    for r in (fp.get("/api/v1/revisions"), fp.get(f"/api/v1/revisions/{r1}"), fp.request("POST", f"/api/v1/revisions/{r1}/rollback")):
        is_((r.status, r.headers.get("Retry-After")), (503, "2"), "the database away: 503")
    is_(fp.get("/api/v1/export").status, 200, "an export needs none")
