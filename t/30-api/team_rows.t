#!/usr/bin/env python3
"""Contract §4.5: for a team-scoped token the rows of other teams, and of none, are not there to read or write."""
import hashlib
import uuid

import fp_fleet as fleet

from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, run

with run():
    pg = Postgres()
    fp = Flowplane(pg)

    def token(*scopes):
        number, secret = uuid.uuid4(), "s" * 31 + "x" * 17
        pg.psql("INSERT INTO tokens (token_id, name, secret_hash, scopes, created_by) VALUES"
                f" ('{number}', 'team', '\\x{hashlib.sha256(secret.encode()).hexdigest()}', '{{{','.join(scopes)}}}', 'system')")
        text = f"fp_pat_{number}.{secret}"
        wait_until(lambda: fp.get("/api/v1/clusters", token=text).status != 401, 10, "the token is known")
        return text

    def body(name, **more):
        return {"name": name, "endpoints": [{"host": "10.0.0.1", "port": 80}], **more}

    for name, team in (("red-1", "red"), ("blue-1", "blue"), ("open-1", None)):
        is_(fp.post("/api/v1/clusters", body(name, team=team)).status, 201, f"{name} made by an unscoped token")
    red = token("team:red:clusters:*")
    is_([c["name"] for c in fp.get("/api/v1/clusters", token=red).json], ["red-1"], "the list has the team's rows only")
    for name in ("blue-1", "open-1", "none"):
        is_(fp.get(f"/api/v1/clusters/{name}", token=red).status, 404, f"GET {name}: 404")
        is_(fp.put(f"/api/v1/clusters/{name}", body(name, team="red", connectTimeoutSeconds=9), token=red).status, 404, f"PUT {name}: 404")
        is_(fp.delete(f"/api/v1/clusters/{name}", token=red).status, 404, f"DELETE {name}: 404")
    is_(fp.get("/api/v1/clusters/blue-1").json["team"], "blue", "nothing was taken over")
    is_(fp.post("/api/v1/clusters", body("blue-1"), token=red).status, 409, "names are unique over all teams")
    is_(fp.put("/api/v1/clusters/red-1", body("red-1", connectTimeoutSeconds=9), token=red).status, 200, "its own row is replaced")
    is_(fp.get("/api/v1/clusters/red-1").json["team"], "red", "and keeps its team")
    is_(fp.delete("/api/v1/clusters/red-1", token=red).status, 204, "and deleted")

    # §4.5: who still uses a row is named only as far as the token may read it
    fp.api("POST", "/clusters", {**fleet.cluster("red-2", 80), "team": "red"}, want=201)
    for name, team in (("red-r", "red"), ("blue-r", None), ("open-r", None)):
        fp.api("POST", "/routes", {**fleet.route(name, "red-2"), **({"team": team} if team else {})}, want=201)
    pg.psql("UPDATE routes SET team = 'blue' WHERE name = 'blue-r'")  # the API would not let it name a row of another team
    both = token("team:red:clusters:*", "team:red:routes:read")

    def users(who, path, method="DELETE", body=None):
        r = fp.request(method, "/api/v1" + path, body, token=who)
        return r.status, [d["message"].split("used by ")[1] for d in r.json["details"] if d["code"] == "still_referenced"], r.json["message"]

    HIDDEN = "a resource that this token may not read"
    wait_until(lambda: fp.get("/api/v1/routes/blue-r").json["team"] == "blue", 10, "the snapshot has them")
    for query in ("", "?dryRun=true"):
        path = "/clusters/red-2" + query
        is_(users(both, path)[:2], (409, ["route/red-r", "2 resources that this token may not read"]), f"DELETE{query}: its own user is named, others are counted")
        is_(users(red, path)[:2], (409, ["3 resources that this token may not read"]), f"DELETE{query}: without a scope to read routes none is")
        is_(users(fp.token, path)[1], ["route/blue-r", "route/open-r", "route/red-r"], f"DELETE{query}: an unscoped token is told all")
        is_("3 resources" in users(red, path)[2], True, f"DELETE{query}: the number is the same")
    # a set that leaves the row out
    fp.api("PUT", "/clusters/red-2", {**fleet.cluster("red-2", 80), "team": "red"}, want=200)
    applied = fp.request("POST", "/api/v1/apply?source=ci&force=true", [{"kind": "cluster", **fleet.cluster("red-2", 80), "team": "red"}], token=red)
    is_(applied.status, 200, "a set takes the row over")
    pruned = users(red, "/apply?source=ci&prune=true", "POST", [{"kind": "cluster", **fleet.cluster("red-3", 80), "team": "red"}])
    is_((pruned[0], set(pruned[1])), (409, {HIDDEN}), "apply with prune: nobody is named whom the token may not read")
    is_(any(n in str(pruned) for n in ("blue-r", "open-r")), False, "no name of another team is anywhere in it")
