#!/usr/bin/env python3
"""Contract §4.5: for a team-scoped token the rows of other teams, and of none, are not there to read or write."""
import hashlib
import uuid

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
