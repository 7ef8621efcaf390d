#!/usr/bin/env python3
"""/api/v1/tokens (contract §3, §4.2, §4.3): fields, effects, guards; here and on a second instance."""
import calendar
import json
import time
import uuid

from fp_harness import Flowplane, Postgres
from fp_tap import is_, like, ok, run, unlike

NONE = "9c41f0de-2f6c-4b39-8f53-1d4b7e1c20a7"


def pointers(r):
    return sorted((d.get("pointer", d.get("parameter")), d["code"]) for d in r.json.get("details", []))


with run():
    pg = Postgres()
    fp = Flowplane(pg)
    admin_id = fp.token[7:43]

    def make(name="ci-deployer", scopes=("clusters:read",), want=201, path="/tokens", **more):
        return fp.request("POST", f"/api/v1{path}", {"name": name, "scopes": list(scopes), **more})

    def token(*scopes, **more):
        return make("some-token", scopes, **more).json

    def status(value, path="/api/v1/clusters"):
        return fp.get(path, token=value).status

    # ---- create
    r = make(scopes=["clusters:write", "clusters:read", "clusters:write"], description="für CI", expiresAt="2031-05-01T02:00:00+02:00")
    is_(r.status, 201, "POST: 201")
    is_(sorted(r.json), ["id", "token"], "the secret response is id and token")
    like(r.json["token"], rf"^fp_pat_{r.json['id']}\.[A-Za-z0-9]{{48}}$", "§4.1: the form of the value")
    is_(uuid.UUID(r.json["id"]).version, 4, "the id is a UUID v4")
    is_((r.headers["Location"], r.headers["ETag"], r.headers["Flowplane-Wait"]), (f"/api/v1/tokens/{r.json['id']}", '"1"', "published"),
        "Location, ETag; it waited without being asked")
    ok(int(r.headers["Flowplane-Revision"]) > 0, "Flowplane-Revision")
    is_(status(r.json["token"]), 200, "valid at once")
    one = r.json
    g = fp.get(f"/api/v1/tokens/{one['id']}")
    is_(list(g.json), ["id", "name", "description", "status", "expiresAt", "lastUsedAt", "createdBy", "createdAt", "updatedAt", "scopes",
                       "version"], "the record has the contract's fields in its order")
    got = {k: g.json[k] for k in ("id", "name", "description", "status", "expiresAt", "createdBy", "scopes", "version")}
    is_(got, {"id": one["id"], "name": "ci-deployer", "description": "für CI", "status": "active", "expiresAt": "2031-05-01T00:00:00Z",
              "createdBy": admin_id, "scopes": ["clusters:read", "clusters:write"], "version": 1}, "with their values: scopes sorted, once each")
    like(g.json["createdAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", "createdAt")
    is_(g.headers["ETag"], '"1"', "ETag of GET")
    is_(fp.get(f"/api/v1/tokens/fp_pat_{one['id']}").json["id"], one["id"], "id as fp_pat_<uuid>")
    is_(fp.get(f"/api/v1/tokens/{one['id'].upper()}").status, 200, "in capitals too")
    is_(fp.get(f"/api/v1/tokens/{one['id']}", headers={"If-None-Match": '"1"'}).status, 304, "If-None-Match: 304")
    secret = one["token"].split(".")[1]
    is_(pg.psql(f"SELECT encode(secret_hash, 'hex') = encode(sha256('{secret}'), 'hex') FROM tokens WHERE token_id = '{one['id']}'"), "t",
        "stored is the digest of the secret")
    r = fp.get(f"/api/v1/tokens/{one['token']}")
    is_(r.status, 404, "a whole token in a path: 404")
    unlike(r.text, secret, "its secret is not echoed")
    is_(r.json["message"], f"Token with name '{one['id']}' not found", "404 message")
    is_(fp.get(f"/api/v1/tokens/{NONE}").status, 404, "unknown id: 404")
    is_(fp.get("/api/v1/tokens/x").status, 404, "no id at all: 404")

    # ---- field rules: body, what is wrong with it
    s = ["clusters:read"]
    for body, want in (
            ({}, [("/name", "required"), ("/scopes", "required")]),
            ([], [("", "invalid_type")]),
            ({"name": "ab", "scopes": s}, [("/name", "too_short")]),
            ({"name": "a" * 65, "scopes": s}, [("/name", "too_long")]),
            ({"name": "a b c", "scopes": s}, [("/name", "invalid_format")]),
            ({"name": "täg", "scopes": s}, [("/name", "invalid_format")]),
            ({"name": None, "scopes": s}, [("/name", "invalid_type")]),
            ({"name": "abc", "scopes": s, "description": "x" * 1001}, [("/description", "too_long")]),
            ({"name": "abc", "scopes": s, "description": 1}, [("/description", "invalid_type")]),
            ({"name": "abc", "scopes": []}, [("/scopes", "too_few")]),
            ({"name": "abc", "scopes": s * 101}, [("/scopes", "too_many")]),
            ({"name": "abc", "scopes": "clusters:read"}, [("/scopes", "invalid_type")]),
            ({"name": "abc", "scopes": ["clusters", 7, "Clusters:read", "team:A:clusters:read", "team:a:b"]},
             [(f"/scopes/{i}", "invalid_type" if i == 1 else "invalid_format") for i in range(5)]),
            ({"name": "abc", "scopes": s, "expiresAt": "tomorrow"}, [("/expiresAt", "invalid_format")]),
            ({"name": "abc", "scopes": s, "expiresAt": "0000-01-01T00:00:00Z"}, [("/expiresAt", "out_of_range")]),
            ({"name": "abc", "scopes": s, "expiresAt": 1700000000}, [("/expiresAt", "invalid_type")]),
            ({"name": "abc", "scopes": s, "createdBy": "me", "id": NONE, "status": "active", "version": 1},
             [("/createdBy", "read_only"), ("/id", "read_only"), ("/status", "read_only"), ("/version", "read_only")]),
            ({"name": "abc", "scope": s}, [("/scope", "unknown_field"), ("/scopes", "required")])):
        r = fp.post("/api/v1/tokens", body)
        is_((r.status, pointers(r)), (400, want), f"create {json.dumps(body)[:70]}")
    is_(fp.post("/api/v1/tokens", {"name": "a" * 64, "scopes": s, "description": "ä" * 1000}).status, 201, "the longest name and description")
    is_(fp.post("/api/v1/tokens", {"name": "a" * 64, "scopes": s, "description": None, "expiresAt": None}).status, 201, "names need not be unique; nulls")
    is_(fp.post("/api/v1/tokens", {"name": "abc", "scopes": [f"x{chr(97 + i // 26)}{chr(97 + i % 26)}".replace("x", "s") + ":read"
                                                             for i in range(100)]}).status, 201, "a hundred scopes")
    r = make(scopes=["widgets:read", "clusters:fly", "clusters:read", "team:red:*:*"])
    is_((r.status, r.headers["Flowplane-Warning"]), (201, "unknown_scope 'clusters:fly' and 1 more grant nothing"), "unknown scopes are stored with a warning")
    is_(fp.get(f"/api/v1/tokens/{r.json['id']}").json["scopes"], ["clusters:fly", "clusters:read", "team:red:*:*", "widgets:read"], "all of them")
    r = make(expiresAt="2020-01-01T00:00:00Z", name="envoy-readonly")
    like(r.headers["Flowplane-Warning"], "^already_expired ", "§16: an expiry in the past is accepted with a warning")
    e = fp.get("/api/v1/clusters", token=r.json["token"])
    is_((e.status, e.json["message"]), (401, "unauthorized: token expired"), "§16: and the token is of no use")

    # ---- list
    r = fp.get("/api/v1/tokens")
    made = [t["createdAt"] for t in r.json]
    is_((r.status, made), (200, sorted(made)), "list: by creation")
    is_((int(r.headers["X-Total-Count"]), r.headers["ETag"]), (len(r.json), None), "X-Total-Count; no ETag")
    is_(r.json[0]["name"], "bootstrap-admin", "the oldest first")
    is_(r.json[0]["createdBy"], "system", "made by system")
    r2 = fp.get("/api/v1/tokens?limit=2&offset=1")
    is_((r2.json, r2.headers["X-Total-Count"]), (r.json[1:3], r.headers["X-Total-Count"]), "limit and offset")
    is_(fp.get("/api/v1/tokens?offset=100000").json, [], "beyond the end: empty")
    is_(pointers(fp.get("/api/v1/tokens?limit=x")), [("limit", "invalid_type")], "a bad limit")
    unlike(r.text, "hash", "no digest in a record")

    # ---- self
    r = fp.get("/api/v1/tokens/self", token=one["token"])
    is_((r.status, r.json["id"]), (200, one["id"]), "tokens/self needs no scope")
    is_(fp.request("DELETE", "/api/v1/tokens/self").status, 405, "only GET")

    # ---- PATCH
    path = f"/api/v1/tokens/{one['id']}"
    for body, want in (
            ({}, [("", "too_few")]),
            ({"status": "dead"}, [("/status", "invalid_value")]),
            ({"status": None, "name": None, "scopes": None}, [("/name", "invalid_type"), ("/scopes", "invalid_type"), ("/status", "invalid_type")]),
            ({"createdBy": "x", "nme": 1}, [("/createdBy", "read_only"), ("/nme", "unknown_field")])):
        r = fp.request("PATCH", path, body)
        is_((r.status, pointers(r)), (400, want), f"PATCH {json.dumps(body)}")
    r = fp.request("PATCH", path, {"name": "renamed", "expiresAt": None, "description": None})
    is_((r.status, r.json["name"], r.json["expiresAt"], r.json["description"], r.json["version"], r.headers["ETag"]),
        (200, "renamed", None, None, 2, '"2"'), "PATCH: null clears")
    rev = r.headers["Flowplane-Revision"]
    r = fp.request("PATCH", path, {"name": "renamed"})
    is_((r.status, r.json["version"], r.headers["Flowplane-Revision"], r.headers["Flowplane-Wait"]), (200, 2, rev, "unchanged"), "the same again: no change")
    r = fp.request("PATCH", path, {"name": "again"}, headers={"If-Match": '"1"'})
    is_((r.status, r.json["details"][0]["code"]), (412, "stale_version"), "If-Match stale: 412")
    like(r.json["details"][0]["message"], "2", "which names the current one")
    for match in ('"2"', 'W/"2"', "2", "*"):
        is_(fp.request("PATCH", path, {"name": "renamed"}, headers={"If-Match": match}).status, 200, f"If-Match: {match}")
    is_(fp.request("PATCH", path, {"name": "renamed"}, headers={"If-Match": "x"}).status, 400, "If-Match: x")
    is_(fp.request("PATCH", f"/api/v1/tokens/{NONE}", {"name": "abc"}).status, 404, "PATCH of an unknown one")
    is_(fp.request("PATCH", "/api/v1/tokens/x", {"name": 1}).status, 400, "the body before existence")
    is_(fp.request("PATCH", path, {"name": "renamed"}, headers={"Content-Type": "text/plain"}).status, 415, "415")

    # ---- dry runs
    r = fp.post("/api/v1/tokens?dryRun=true", {"name": "dry-run", "scopes": ["no-such:read"] + s})
    is_(r.status, 200, "dryRun create: 200")
    is_(r.json["changes"], [{"kind": "token", "name": "dry-run", "action": "create", "fromVersion": None, "diff": [
        {"op": "add", "path": "", "value": {"name": "dry-run", "description": None, "status": "active", "expiresAt": None, "scopes": ["clusters:read", "no-such:read"]}}]}], "its changes")
    is_([w["code"] for w in r.json["warnings"]], ["unknown_scope"], "its warnings")
    unlike(r.text, "fp_pat_", "no secret")
    r = fp.request("PATCH", path + "?dryRun=true", {"status": "revoked"})
    is_((r.status, r.json["changes"]), (200, [{"kind": "token", "name": "renamed", "action": "update", "fromVersion": 2, "diff": [
        {"op": "replace", "path": "/status", "from": "active", "value": "revoked"}]}]), "dryRun PATCH")
    is_(fp.request("PATCH", path + "?dryRun=true", {"name": "renamed"}).json["changes"][0]["action"], "unchanged", "dryRun without a change")
    r = fp.request("POST", path + "/rotate?dryRun=true")
    is_((r.status, r.json["changes"][0]["action"]), (200, "update"), "dryRun rotate")
    unlike(r.text, "fp_pat_", "no secret")
    is_(sorted({d["path"].split("/")[1] for d in fp.delete(path + "?dryRun=true").json["changes"][0]["diff"]}), ["scopes", "status"], "dryRun DELETE")
    is_(fp.delete(f"/api/v1/tokens/{NONE}?dryRun=true").status, 404, "dryRun of an unknown one: the error of the real write")
    is_((fp.get(path).json["version"], status(one["token"])), (2, 200), "nothing was done")

    # ---- rotate
    r = fp.request("POST", path + "/rotate", headers={"If-Match": '"1"'})
    is_(r.status, 412, "rotate: If-Match")
    r = fp.request("POST", path + "/rotate")
    is_((r.status, r.json["id"], sorted(r.json), r.headers["ETag"]), (200, one["id"], ["id", "token"], '"3"'), "rotate: the same id, a new secret")
    is_((status(one["token"]), status(r.json["token"])), (401, 200), "the old secret is dead, the new one valid")
    is_(fp.get(path).json["scopes"], ["clusters:read", "clusters:write"], "scopes kept")
    one = r.json
    is_(fp.request("POST", f"/api/v1/tokens/{NONE}/rotate").status, 404, "rotate of an unknown one: 404")

    # ---- narrow, revoke
    r = fp.request("PATCH", path, {"scopes": ["routes:read"]})
    is_((status(one["token"]), status(one["token"], "/api/v1/routes")), (403, 200), "narrowed at once")
    r = fp.delete(path)
    is_((r.status, r.json["status"], r.json["scopes"], r.json["version"]), (200, "revoked", [], 5), "DELETE: 200 with the record, scopes emptied")
    r401 = fp.get("/api/v1/routes", token=one["token"])
    is_((r401.status, r401.json["message"]), (401, "unauthorized: token not found"), "revoked: 401 as if unknown")
    r = fp.delete(path)
    is_((r.status, r.json["version"], r.headers["Flowplane-Wait"]), (200, 5, "unchanged"), "repeated DELETE: 200, unchanged")
    r = fp.request("POST", path + "/rotate")
    is_(r.status, 409, "rotate of a revoked one: 409")
    r = fp.request("PATCH", path, {"status": "active"})
    is_((r.status, pointers(r)), (409, [("/scopes", "required")]), "active again needs scopes: 409")
    r = fp.request("PATCH", path, {"status": "active", "scopes": ["clusters:read"]})
    is_((r.status, status(one["token"])), (200, 200), "with scopes it lives again")
    r = fp.request("PATCH", path, {"status": "expired"})
    e = fp.get("/api/v1/clusters", token=one["token"])
    is_((r.status, e.status, e.json["message"]), (200, 401, "unauthorized: token inactive"), "status expired: inactive")
    is_(fp.request("POST", path + "/rotate").status, 409, "rotate of an expired one: 409")

    # ---- admin:all
    maker = token("tokens:write", "tokens:read")
    mk = {"token": maker["token"]}
    r = fp.post("/api/v1/tokens", {"name": "evil", "scopes": ["admin:all"]}, **mk)
    is_((r.status, r.json["error"]), (403, "forbidden"), "only admin:all grants admin:all: create")
    r = fp.request("PATCH", f"/api/v1/tokens/{maker['id']}", {"scopes": ["admin:all", "tokens:write"]}, **mk)
    is_(r.status, 403, "PATCH")
    boss = token("admin:all")
    is_(fp.request("POST", f"/api/v1/tokens/{boss['id']}/rotate", **mk).status, 403, "rotate of one that holds it")
    is_(fp.request("PATCH", f"/api/v1/tokens/{boss['id']}", {"name": "renamed"}, **mk).status, 200, "another change of it is allowed")
    is_(fp.request("PATCH", f"/api/v1/tokens/{boss['id']}", {"status": "expired"}, **mk).status, 200, "taking it away too")
    is_(fp.request("PATCH", f"/api/v1/tokens/{boss['id']}", {"status": "active"}, **mk).status, 403, "giving it back is not")
    is_(fp.post("/api/v1/tokens", {"name": "good", "scopes": ["secrets:*"]}, **mk).status, 201, "all else tokens:write may grant")
    is_(fp.post("/api/v1/tokens", {"name": "good", "scopes": ["clusters:read"]}, token=token("tokens:read")["token"]).status, 403, "tokens:read may not write")
    is_(fp.get("/api/v1/tokens", token=token("tokens:write")["token"]).status, 403, "write does not include read")

    # ---- last admin
    for t in fp.get("/api/v1/tokens").json:
        if t["status"] == "active" and t["id"] != admin_id and {"tokens:write", "admin:all"} & set(t["scopes"]):
            is_(fp.delete(f"/api/v1/tokens/{t['id']}").status, 200, "others may go")
    me = f"/api/v1/tokens/{admin_id}"
    for deed, body in (("DELETE", None), ("PATCH", {"status": "revoked"}), ("PATCH", {"scopes": ["clusters:read"]}),
                       ("PATCH", {"expiresAt": "2020-01-01T00:00:00Z"})):
        r = fp.request(deed, me, body)
        is_((r.status, r.json["details"][0]["code"]), (409, "last_admin_token"), f"the last one: {deed} {body}")
        is_(fp.request(deed, me + "?dryRun=true", body).status, 409, "dry too")
    is_(fp.request("PATCH", me, {"scopes": ["tokens:*", "clusters:*", "routes:*"]}).status, 200, "tokens:* is enough")
    is_(fp.delete(me + "?force=maybe").status, 400, "force=maybe")
    spare = fp.post("/api/v1/tokens", {"name": "spare", "scopes": ["tokens:write"]}).json
    is_(fp.delete(f"/api/v1/tokens/{admin_id}", token=spare["token"]).status, 200, "§16: the bootstrap token revoked with another one")
    is_(fp.get("/api/v1/clusters").status, 401, "§16: then 401")
    is_(fp.delete(f"/api/v1/tokens/{spare['id']}", token=spare["token"]).status, 409, "two left one")
    is_(fp.delete(f"/api/v1/tokens/{spare['id']}?force=true", token=spare["token"]).status, 200, "force=true overrides")
    is_(fp.get("/api/v1/clusters", token=spare["token"]).status, 401, "and locks everybody out")

    # ---- auth.default_lifetime
    pg.createdb("short")
    short = Flowplane(pg, database="short", conf={"auth.default_lifetime": "90d"})
    for body, days in (({}, 90), ({"expiresAt": None}, 90), ({"expiresAt": "2400-01-01T00:00:00Z"}, None)):
        t = short.post("/api/v1/tokens", {"name": "abc", "scopes": s, **body}).json
        at = short.get(f"/api/v1/tokens/{t['id']}").json["expiresAt"]
        left = calendar.timegm(time.strptime(at, "%Y-%m-%dT%H:%M:%SZ")) - time.time()
        ok(abs(left - 90 * 86400) < 3600 if days else at == "2400-01-01T00:00:00Z", f"auth.default_lifetime: {body}", at)
    short.request("PATCH", f"/api/v1/tokens/{t['id']}", {"expiresAt": None})
    is_(short.get(f"/api/v1/tokens/{t['id']}").json["expiresAt"], None, "a PATCH may clear it all the same")

    # ---- audit rows of these deeds
    rows = pg.psql(f"SELECT event_type, user_id FROM audit_logs WHERE resource_id = '{one['id']}' AND revision IS NOT NULL ORDER BY id")
    is_([r.split("\t")[0].replace("auth.token.", "") for r in rows.splitlines()],
        ["created", "updated", "rotated", "updated", "revoked", "updated", "expired"], "each change has its audit row")
    is_({r.split("\t")[1] for r in rows.splitlines()}, {f"fp_pat_{admin_id}"}, "with its author")
    unlike(pg.psql("SELECT * FROM audit_logs") + pg.psql("SELECT * FROM config_changes"), r"secret_hash|fp_pat_[0-9a-f-]{36}\.", "nothing secret in them")
    unlike(fp.log().replace(fp.token, ""), r"fp_pat_[0-9a-f-]{36}\.[A-Za-z0-9]", "no value in the log")
