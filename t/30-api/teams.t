#!/usr/bin/env python3
"""Contract §4.5: team-scoped tokens over every kind that has a team, and where they may not go at all."""
import re

from fp_harness import Flowplane, Postgres
from fp_tap import contains, is_, ok, run

PORT = [20100]


def body(kind, name, team=None, **more):
    b = {"name": name, **({"team": team} if team else {}), **more}
    if kind == "clusters":
        b.setdefault("endpoints", ["10.0.0.1:80"])
    elif kind == "routes":
        b.setdefault("virtualHosts", [{"name": "v", "domains": ["*"], "routes": [
            {"name": "r", "match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "redirect", "pathRedirect": "/x"}}]}])
    elif kind == "listeners":
        PORT[0] += 1
        b.update({"address": "127.0.0.1", "port": PORT[0], "filterChains": [{"name": "c", "filters": [{
            "name": "envoy.filters.network.tcp_proxy", "type": "tcpProxy", "cluster": "open-clusters", "statPrefix": "x"}]}]})
    elif kind == "endpoints":
        b.setdefault("endpoints", [])
    return b


with run():
    pg = Postgres()
    fp = Flowplane(pg)

    def token(*scopes):
        r = fp.post("/api/v1/tokens", {"name": "a-team", "scopes": list(scopes)})
        assert r.status == 201, r.text
        return r.json["token"]

    kinds = ["clusters", "routes", "listeners", "endpoints"]
    for kind in kinds:
        for team in ("red", "blue", None):
            r = fp.post(f"/api/v1/{kind}", body(kind, f"{team or 'open'}-{kind}", team))
            if r.status != 201:
                ok(False, f"{kind} of {team}", r.text)

    star, both = token("team:red:*:*"), token("team:red:*:*", "team:blue:*:*")
    for kind in kinds:
        base = f"/api/v1/{kind}"
        own = token(f"team:red:{kind}:*")
        for name, t in ((f"team:red:{kind}:*", own), ("team:red:*:*", star)):
            is_([x["name"] for x in fp.get(base, token=t).json], [f"red-{kind}"], f"{kind}: {name} lists its team's rows")
            is_(fp.get(f"{base}?team=blue", token=t).json, [], "asking for another team lists nothing")
            is_(fp.get(base, token=t).headers["X-Total-Count"], "1", "nor does the total tell of others")
            is_(fp.get(f"{base}/red-{kind}", token=t).status, 200, "its own row")
            for foreign in ("blue", "open"):
                path = f"{base}/{foreign}-{kind}"
                put = body(kind, f"{foreign}-{kind}", "red")
                is_([fp.get(path, token=t).status, fp.put(path, put, token=t).status, fp.delete(path, token=t).status,
                     fp.delete(path + "?dryRun=true", token=t).status, fp.put(path + "?dryRun=true", put, token=t).status],
                    [404] * 5, f"a row of {foreign}: 404 to read, write, delete, dry run")
        is_(sorted(x["name"] for x in fp.get(base, token=both).json), [f"blue-{kind}", f"red-{kind}"], "two teams: both see theirs")
        # create
        r = fp.post(base, body(kind, f"new-{kind}"), token=own)
        is_((r.status, r.json.get("team")), (201, "red"), f"{kind}: without team it takes the token's")
        r = fp.post(base, body(kind, f"new2-{kind}"), token=both)
        is_((r.status, r.json["details"][0]["pointer"], r.json["details"][0]["code"]), (400, "/team", "required"), "several teams: 400 required")
        is_(fp.post(base, body(kind, f"new2-{kind}", "blue"), token=both).json.get("team"), "blue", "named: it is that one")
        r = fp.post(base, body(kind, f"new3-{kind}", "blue"), token=own)
        is_((r.status, r.json["error"]), (403, "forbidden"), "a team outside its grants: 403")
        is_(fp.post(base + "?dryRun=true", body(kind, f"new3-{kind}", "blue"), token=own).status, 403, "dry too")
        is_(fp.post(base, body(kind, f"blue-{kind}"), token=own).status, 409, "a name of another team is taken all the same")
        # the team of a row changes only through an unscoped token
        path = f"{base}/new-{kind}"
        again = body(kind, f"new-{kind}")
        is_(fp.put(path, {**again, "team": "blue"}, token=own).status, 403, "PUT to another team: 403")
        r = fp.put(path, again, token=own)
        is_((r.status, r.json.get("team")), (200, "red"), "PUT without team keeps it")
        r = fp.put(path, {**again, "team": "blue"})
        is_((r.status, r.json.get("team")), (200, "blue"), "an unscoped token moves it")
        is_(fp.get(path, token=own).status, 404, "then it is gone for the old team")
        # read is not write
        reader = token(f"team:red:{kind}:read")
        is_([fp.get(base, token=reader).status, fp.post(base, body(kind, "x1"), token=reader).status,
             fp.delete(f"{base}/red-{kind}", token=reader).status], [200, 403, 403], "team read: no write")
        # unscoped read, team write
        mixed = token(f"{kind}:read", f"team:red:{kind}:write")
        contains([x["name"] for x in fp.get(base, token=mixed).json], f"open-{kind}", "unscoped read sees all")
        is_([fp.get(f"{base}/open-{kind}", token=mixed).status, fp.delete(f"{base}/blue-{kind}", token=mixed).status], [200, 404], "and writes its team's only")

    # ---- references: the same team or none; a foreign row counts as missing
    def uses(cluster):
        return body("routes", f"uses-{cluster}", virtualHosts=[{"name": "v", "domains": ["*"], "routes": [
            {"name": "r", "match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "forward", "cluster": cluster}}]}])
    is_([fp.post("/api/v1/routes", uses(c), token=star).status for c in ("red-clusters", "open-clusters", "blue-clusters", "no-such")],
        [201, 201, 400, 400], "references: own, of no team; foreign and missing are refused alike")
    r1, r2 = (fp.post("/api/v1/routes", uses(c), token=star).json["details"][0] for c in ("blue-clusters", "no-such"))
    is_((r1["code"], r1["pointer"], r1["message"].replace("blue-clusters", "no-such")), (r2["code"], r2["pointer"], r2["message"]), "with the same words")

    # ---- what team scopes never open (§4.5), also with "*" and when they name it
    never = token("team:red:*:*", *(f"team:red:{r}:*" for r in ("tokens", "audit", "revisions", "gateways")))
    for method, path in (("GET", "/api/v1/tokens"), ("POST", "/api/v1/tokens"), ("GET", "/api/v1/audit-logs")):
        is_(fp.request(method, path, {} if method == "POST" else None, token=never).status, 403, f"{method} {path}: 403")
    is_(fp.get("/api/v1/tokens/self", token=never).status, 200, "tokens/self needs no scope")
    n = int(fp.put("/api/v1/clusters/red-clusters", body("clusters", "red-clusters", "red", connectTimeoutSeconds=8)).headers["Flowplane-Revision"])
    fp.put("/api/v1/clusters/red-clusters", body("clusters", "red-clusters", "red"))
    back = f"/api/v1/revisions/{n}/rollback?kind=cluster&name=red-clusters"
    is_([fp.request("POST", back, token=token("revisions:write", *scopes)).status
         for scopes in (["team:red:clusters:*"], ["team:red:*:*"], ["clusters:read"], ["clusters:write"])], [403, 403, 403, 200],
        "a rollback needs the unscoped scope of each kind, even for a team's own row")
    is_(fp.get("/api/v1/nodes", token=star).json, [], "nodes: filtered")
    is_(fp.get("/api/v1/nacks", token=star).json, [], "nacks: filtered")

    # ---- apply and export
    r = fp.get("/api/v1/export", token=star)
    is_(r.status, 200, "export with a team")
    names = re.findall(r"^name: (\S+)$", r.text, re.M)
    ok("red-clusters" in names and not [n for n in names if n.startswith(("blue-", "open-"))], "exports the team's rows only", names)
    doc = {"resources": [{"kind": "cluster", **body("clusters", "applied", "blue")}]}
    r = fp.post("/api/v1/apply", doc, token=star)
    ok(r.status in (400, 403, 404), "apply of another team's row is refused", r)
    is_(fp.get("/api/v1/clusters/applied").status, 404, "nothing was stored")
