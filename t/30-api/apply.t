#!/usr/bin/env python3
"""POST /api/v1/apply (contract §7.1): all or nothing, one revision, one audit row per change and one for the set;
source, prune, dryRun, ifRevision, force, allowMissing, wait; every problem with the member's number."""
import hashlib
import json
import uuid

from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, like, ok, run


def cluster(name, port=80, **more):
    return {"kind": "cluster", "name": name, "endpoints": [{"host": "10.0.0.1", "port": port}], **more}


def route(name, target):
    return {"kind": "route", "name": name, "virtualHosts": [{"name": "v", "domains": [f"{name}.test"], "routes": [
        {"name": "r", "match": {"path": {"type": "prefix", "value": "/"}},
         "action": {"type": "forward", "cluster": target}}]}]}


def listener(name, port, target):
    return {"kind": "listener", "name": name, "address": "127.0.0.1", "port": port, "filterChains": [
        {"filters": [{"name": "tcp", "type": "tcpProxy", "cluster": target}]}]}


with run():
    pg = Postgres()
    fp = Flowplane(pg)
    yaml = {"Content-Type": "application/yaml"}

    def apply(items, query="", status=200, **more):
        r = fp.post("/api/v1/apply" + (f"?{query}" if query else ""), items, **more)
        return r if r.status == status else is_((r.status, r.text), status, "status of apply") or r

    def revision():
        return int(pg.psql("SELECT revision FROM config_revision"))

    def names(kind="clusters"):
        return [c["name"] for c in fp.get(f"/api/v1/{kind}").json if not c["name"].startswith("default-")]

    # ---- a set
    before = revision()
    r = apply([listener("edge", 18001, "a"), cluster("a"), route("ra", "b"), cluster("b")], "wait=published")
    is_(r.json["summary"], {"created": 4, "updated": 0, "deleted": 0, "unchanged": 0}, "a set in any order: 4 created")
    is_((r.json["revision"], r.json["changed"]), (before + 1, True), "one revision")
    is_(int(r.headers["Flowplane-Revision"]), before + 1, "in the header too")
    is_(r.headers["Flowplane-Wait"], "published", "wait=published")
    is_(r.json["results"][0], {"kind": "listener", "name": "edge", "action": "create", "version": 1}, "results in the set's order")
    is_(revision(), before + 1, "one revision in the database")
    is_(names(), ["a", "b"], "served")
    is_(pg.psql(f"SELECT event_type, count(*), min(resource_type) FROM audit_logs WHERE revision = {before + 1} GROUP BY 1 ORDER BY 1").split(),
        ["config.applied", "1", "config", "resource.created", "4", "cluster"], "an audit row for each and one for the set")
    audit = json.loads(pg.psql(f"SELECT to_jsonb(a) FROM audit_logs a WHERE event_type = 'config.applied' AND revision = {before + 1}"))
    is_((audit["metadata"], audit["resource_id"]), ({"summary": r.json["summary"]}, str(before + 1)), "its summary and revision")
    like(audit["user_id"], r"^fp_pat_", "and who")
    is_(pg.psql(f"SELECT count(*) FROM config_changes WHERE revision = {before + 1}").strip(), "4", "change rows")
    is_(pg.psql("SELECT kind, name, target_name FROM resource_refs WHERE kind IN ('route', 'listener') AND name NOT LIKE 'default%' ORDER BY 1").split(),
        ["listener", "edge", "a", "route", "ra", "b"], "references are kept")
    is_(pg.psql("SELECT count(*) FROM clusters WHERE encoded IS NULL OR content_hash <> sha256(encoded)").strip(), "0", "encoded with it")
    r = apply([cluster("a"), cluster("b")], "wait=published")
    is_((r.json["changed"], r.json["revision"], r.json["summary"]["unchanged"]), (False, before + 1, 2), "again: unchanged, no revision")
    is_(r.headers["Flowplane-Wait"], "unchanged", "and nothing to wait for")
    is_(revision(), before + 1, "no revision in the database")
    r = apply([cluster("a", 81), cluster("b"), cluster("c")])
    is_([(x["action"], x["version"]) for x in r.json["results"]], [("update", 2), ("unchanged", 1), ("create", 1)], "update, unchanged, create")

    # ---- forms of the body
    is_(apply({"resources": [cluster("a", 81)]}).json["summary"]["unchanged"], 1, '{"resources": […]}')
    is_(apply(cluster("a", 81)).json["summary"]["unchanged"], 1, "one object")
    text = "---\n" + json.dumps(cluster("a", 81)) + "\n---\nkind: cluster\nname: y\nendpoints:\n- {host: 10.0.0.9, port: 0x50}\n"
    is_([x["action"] for x in apply(text.encode(), headers=yaml).json["results"]], ["unchanged", "create"], "YAML documents, one of them JSON")
    is_(fp.get("/api/v1/clusters/y").json["config"]["endpoints"], [{"host": "10.0.0.9", "port": 80}], "as JSON would mean it")
    text = "resources:\n- &c {kind: cluster, name: y, endpoints: [&e {host: 10.0.0.9, port: 80}]}\n- {kind: cluster, name: z, endpoints: [*e]}\n"
    is_([x["action"] for x in apply(text.encode(), headers={"Content-Type": "application/x-yaml; charset=utf-8"}).json["results"]],
        ["unchanged", "create"], "a YAML mapping, with an alias")
    is_(apply([]).json, {"revision": revision(), "changed": False, "summary": dict.fromkeys(("created", "updated", "deleted", "unchanged"), 0), "results": []}, "nothing")
    is_(fp.post("/api/v1/clusters", b"a: 1", headers=yaml).status, 415, "YAML only where it is said")
    is_(fp.post("/api/v1/apply", b"a: 1", headers={"Content-Type": "text/plain"}).status, 415, "no other type")
    stored = fp.get("/api/v1/clusters/y").json
    is_(apply([{"kind": "cluster", **stored}]).json["summary"]["unchanged"], 1, "a response is a member: read-only keys are ignored")
    is_(fp.get("/api/v1/apply").status, 405, "only POST")
    is_(fp.post("/api/v1/apply", [], token=None).status, 401, "with a token")

    # ---- problems
    def details(r):
        return [(d.get("pointer"), d["code"]) for d in r.json["details"]]

    at = revision()
    r = fp.post("/api/v1/apply", [cluster("ok1"), cluster("bad1", 0), {"kind": "clusters", "name": "x"}, {"name": "x"}, 5,
                                  cluster("bad2", lbPolicyy="x"), cluster("ok1")])
    is_(r.status, 400, "mistakes: 400")
    is_(details(r), [("/1/endpoints/0/port", "out_of_range"), ("/2/kind", "invalid_value"), ("/3/kind", "required"), ("/4", "invalid_type"),
                     ("/5/lbPolicyy", "unknown_field"), ("/6/name", "duplicate")], "all of them, with the number of the member")
    is_(details(fp.post("/api/v1/apply", {"resources": [cluster("bad1", 0)]})), [("/0/endpoints/0/port", "out_of_range")], "the same inside resources")
    is_(details(fp.post("/api/v1/apply", [{"kind": "token", "name": "x"}])), [("/0/kind", "invalid_value")], "tokens are none of it")
    for body in (b"[", b"[{},]", b'{"resources": [], "b": 1}', b'[{"kind": "cluster", "kind": "route"}]', b""):
        r = fp.post("/api/v1/apply", body)
        is_((r.status, r.json["details"][-1]["pointer"]), (400, ""), f"{body}: 400")
    for body in (b"a: [", b"a: 1\na: 2", b"a: !x 1", b"[&a [*a]]"):
        r = fp.post("/api/v1/apply", body, headers=yaml)
        is_((r.status, r.json["details"][0]["pointer"]), (400, ""), f"{body} as YAML: 400")
        like(r.json["details"][0]["message"], "YAML line [12] column", "with line and column")
    for query in ("source=", "source=Big", "source=system", "source=" + "a" * 64, "prune=true", "prune=x", "force=1", "ifRevision=-1", "ifRevision=x", "wait=x"):
        r = fp.post(f"/api/v1/apply?{query}", [])
        is_((r.status, r.json["details"][0]["parameter"]), (400, query.split("=")[0]), f"{query[:20]}: 400")
    r = fp.post("/api/v1/apply", [cluster("new1"), listener("bad", 18002, "ghost"), route("bad", "new1")])
    is_((r.status, details(r)), (400, [("/1/filterChains/0/filters/0/cluster", "reference_not_found")]), "a missing reference: 400 where it stands")
    is_(names(), ["a", "b", "c", "y", "z"], "and nothing of the set is there")
    is_(revision(), at, "no revision was used")
    r = apply([listener("bad", 18002, "ghost")], "allowMissing=true")
    is_(r.json["summary"]["created"], 1, "allowMissing")
    is_(apply([cluster("ghost")]).json["summary"]["created"], 1, "and it may come later")

    # ---- addresses
    r = fp.post("/api/v1/apply", [listener("edge2", 18001, "a")])
    is_((r.status, details(r)), (409, [("/0/port", "already_exists")]), "a taken address: 409")
    r = fp.post("/api/v1/apply", [listener("edge2", 18003, "a"), listener("edge3", 18003, "a")])
    is_((r.status, details(r)), (409, [("/1/port", "already_exists")]), "twice in the set: 409")
    r = apply([listener("edge", 18002, "a"), listener("bad", 18001, "ghost")])
    is_(r.json["summary"]["updated"], 2, "addresses are swapped inside a set")
    is_([(x["name"], x["port"], x["version"]) for x in fp.get("/api/v1/listeners").json if x["name"][0] != "d"], [("bad", 18001, 2), ("edge", 18002, 2)], "both ways")
    is_(pg.psql("SELECT name, old_row ->> 'port', new_row ->> 'port' FROM config_changes WHERE kind = 'listener' ORDER BY id DESC LIMIT 2").split(),
        ["bad", "18002", "18001", "edge", "18001", "18002"], "the history tells it as one change each")
    r = apply([listener("edge", 18005, "a"), listener("edge4", 18002, "a")])
    is_(r.json["summary"], {"created": 1, "updated": 1, "deleted": 0, "unchanged": 0}, "a new listener takes what another gives up")

    # ---- source, force, prune
    r = apply([cluster("g1"), cluster("g2"), route("gr", "g1")], "source=git")
    is_(fp.get("/api/v1/clusters/g1").json["source"], "git", "source is written to each row")
    is_(json.loads(pg.psql("SELECT metadata FROM audit_logs WHERE event_type = 'config.applied' ORDER BY id DESC LIMIT 1"))["source"], "git", "and to the audit row")
    r = fp.post("/api/v1/apply?source=other", [cluster("g1", 81), cluster("n1")])
    is_((r.status, details(r)), (409, [("/0", "protected")]), "another label's row: 409")
    is_(apply([cluster("g1", 81)], "source=other&force=true").json["summary"]["updated"], 1, "force")
    is_(fp.get("/api/v1/clusters/g1").json["source"], "other", "takes it over")
    is_(apply([cluster("g1", 82)]).json["summary"]["updated"], 1, "without a label")
    is_(fp.get("/api/v1/clusters/g1").json["source"], "other", "a row keeps its own")
    is_(apply([cluster("a", 81)], "source=git").json["results"][0]["action"], "update", "a row of nobody's is adopted")
    is_(apply([cluster("g1", 82)], "source=git&force=true").json["summary"]["updated"], 1, "back again")
    r = fp.post("/api/v1/apply?source=git&prune=true", [cluster("g2")])
    is_((r.status, {d["code"] for d in r.json["details"]}), (409, {"still_referenced"}), "a pruned row that is named by others: 409")
    like(r.json["details"][0]["message"], "cluster 'a' is used by listener/edge", "which says by whom")
    apply([cluster("a", 81)], "source=mine&force=true")
    r = apply([cluster("g2"), cluster("g3")], "source=git&prune=true&dryRun=true")
    is_([(c["kind"], c["name"], c["action"], c["fromVersion"]) for c in r.json["changes"]],
        [("cluster", "g2", "unchanged", 1), ("cluster", "g3", "create", None), ("cluster", "g1", "delete", 4), ("route", "gr", "delete", 1)], "dry run with prune")
    is_([[d["op"] for d in c["diff"]] for c in r.json["changes"]], [[], ["add"], ["remove"], ["remove"]], "with differences")
    ok("g1" in names() and "g3" not in names(), "nothing was done")
    at = revision()
    r = apply([cluster("g2"), cluster("g3")], "source=git&prune=true")
    is_(r.json["summary"], {"created": 1, "updated": 0, "deleted": 2, "unchanged": 1}, "prune")
    is_(r.json["results"][-1], {"kind": "route", "name": "gr", "action": "delete", "version": 1}, "pruned rows are in the results")
    is_(revision(), at + 1, "in the same revision")
    is_([n for n in names() if n[0] == "g" and n != "ghost"], ["g2", "g3"], "they are gone")

    # ---- dry run, ifRevision
    at = revision()
    r = apply([cluster("g2", 99), cluster("a", 81)], "dryRun=true")
    is_((r.json["dryRun"], r.json["warnings"], int(r.headers["Flowplane-Revision"])), (True, [], at), "dry run: the current revision")
    is_(r.json["changes"][0]["diff"], [{"op": "replace", "path": "/endpoints/0/port", "from": 80, "value": 99}], "one change an item with its difference")
    is_([c["action"] for c in r.json["changes"]], ["update", "unchanged"], "unchanged ones too")
    is_(fp.post("/api/v1/apply?dryRun=true", [listener("x", 18009, "nope")]).status, 400, "errors are those of the real write")
    is_(revision(), at, "no revision")
    r = fp.post(f"/api/v1/apply?ifRevision={at - 1}", [cluster("g2", 99)])
    is_((r.status, r.json["details"][0]["code"]), (412, "stale_version"), "ifRevision that is over: 412")
    is_(apply([cluster("g2", 99)], f"ifRevision={at}").json["summary"]["updated"], 1, "the current one: done")
    r = apply([cluster("tls", endpoints=[{"host": "a.test", "port": 443}])])
    like(r.headers["Flowplane-Warning"], "^unverified_tls ", "warnings in headers")

    # ---- the default gateway
    gateway = fp.get("/api/v1/clusters/default-gateway-cluster").json
    is_(apply([{"kind": "cluster", **gateway}]).json["summary"]["unchanged"], 1, "an untouched default row stays the system's")
    is_(apply([{"kind": "cluster", **gateway}], "source=git").json["summary"]["updated"], 1, "it may be adopted")
    is_(apply([cluster("g2", 99)], "source=git&prune=true&dryRun=true").json["changes"][-1]["name"], "g3", "but is never pruned")

    # ---- teams and scopes
    def token(*scopes):
        number, secret = uuid.uuid4(), "s" * 31 + "x" * 17
        pg.psql("INSERT INTO tokens (token_id, name, secret_hash, scopes, created_by) VALUES"
                f" ('{number}', 'team', '\\x{hashlib.sha256(secret.encode()).hexdigest()}', '{{{','.join(scopes)}}}', 'system')")
        text = f"fp_pat_{number}.{secret}"
        wait_until(lambda: fp.get("/api/v1/clusters", token=text).status != 401, 10, "the token is known")
        return text

    red, only = token("team:red:clusters:*", "team:red:routes:*"), token("clusters:write")
    is_(apply([cluster("red1"), cluster("red2", team="red")], token=red).json["summary"]["created"], 2, "a team's token")
    is_(fp.get("/api/v1/clusters/red1").json["team"], "red", "writes into its team")
    is_(fp.post("/api/v1/apply", [cluster("red1", team="blue")], token=red).status, 403, "into no other")
    r = fp.post("/api/v1/apply", [cluster("red1"), cluster("a")], token=red)
    is_((r.status, details(r)), (409, [("/1/name", "already_exists")]), "a name of another team is taken, not told whose")
    is_(fp.post("/api/v1/apply", [listener("l", 18010, "red1")], token=red).status, 403, "a kind without scope: 403")
    is_(fp.post("/api/v1/apply", [cluster("n", 81), route("n", "n")], token=only).status, 403, "so for every kind of the set")
    r = fp.post("/api/v1/apply", [route("rr", "blue1")], token=red)
    is_((r.status, details(r)[0][1]), (400, "reference_not_found"), "what is not there is missing")
    apply([cluster("blue1", team="blue")])
    is_(fp.post("/api/v1/apply", [route("rr", "blue1")], token=red).status, 400, "another team's row is missing too")
    apply([cluster("red3", team="red"), cluster("open3")], "source=mix")
    r = apply([cluster("red4")], "source=mix&prune=true", token=red)
    is_(r.json["summary"], {"created": 1, "updated": 0, "deleted": 1, "unchanged": 0}, "a team's token prunes its team's rows only")
    ok("open3" in names() and "red3" not in names(), "and leaves others")

    # ---- limits
    small = Flowplane(pg, {"api.bulk_body_limit": "8K", "api.body_limit": "4K"}, name="small")
    small.token = fp.token
    is_(small.post("/api/v1/apply", b" " * 9000).status, 413, "api.bulk_body_limit")
    is_(small.post("/api/v1/apply", b"[" + b" " * 6000 + b"]").status, 200, "which is not api.body_limit")
    r = fp.post("/api/v1/apply?dryRun=true", ("[" + ",".join(["{}"] * 100001) + "]").encode())
    is_((r.status, len(r.json["details"])), (400, 100), "at most 100,000 members, at most 100 problems told")

    # ---- many
    many = [cluster(f"m{i:04}", 1 + i) for i in range(2000)]
    r = apply(many, "source=many&wait=published&timeout=60s")
    is_((r.json["summary"]["created"], r.headers["Flowplane-Wait"]), (2000, "published"), "2,000 in one apply")
    is_(fp.get("/api/v1/clusters?source=many&limit=1").headers["X-Total-Count"], "2000", "served")
    r = apply([listener(f"m{i:04}", 20000 + i, f"m{i:04}") for i in range(2000)], "source=many")
    r = apply([listener(f"m{i:04}", 20001 + i, f"m{i:04}") for i in range(2000)], "source=many&timeout=60s&wait=published")
    is_(r.json["summary"]["updated"], 2000, "2,000 listeners move on by one port")
    r = apply([], "source=many&prune=true")
    is_(r.json["summary"]["deleted"], 4000, "and all go at once")
