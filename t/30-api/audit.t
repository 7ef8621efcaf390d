#!/usr/bin/env python3
"""Audit events and their query (contract §11.5, §3, §16 "audit SQL")."""
import json

from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, like, ok, run, unlike

NONE = "9c41f0de-2f6c-4b39-8f53-1d4b7e1c20a7"

with run():
    pg = Postgres()
    fp = Flowplane(pg, conf={"audit.failure_rows_per_minute": 12, "auth.failure_limit": 0, "api.trusted_proxies": ["127.0.0.1"]})
    me = "fp_pat_" + fp.token[7:43]

    def rows(where, columns="event_type, resource_type, resource_id, resource_name, metadata, user_id, client_ip, user_agent, request_id"):
        out = pg.psql(f"SELECT row_to_json(x) FROM (SELECT {columns} FROM audit_logs WHERE {where} ORDER BY id) x")
        return [json.loads(line) for line in out.splitlines()]

    def from_(ip, **more):
        return {"X-Forwarded-For": ip, "User-Agent": "audit-test", **more}

    # ---- each reason of §4.3
    t = fp.post("/api/v1/tokens", {"name": "victim", "scopes": ["clusters:read"]}).json
    cases = [("missing_token", None, None), ("malformed_token", "nonsense", None), ("invalid_token", f"fp_pat_{NONE}." + "x" * 48, NONE),
             ("invalid_token", f"fp_pat_{t['id']}." + "x" * 48, t["id"])]
    states = {"expired_token": {"expiresAt": "2020-01-01T00:00:00Z"}, "inactive_token": {"status": "expired", "expiresAt": None},
              "revoked_token": {"status": "revoked"}}
    n = 0

    def fails(reason, value, token_id, name):
        global n
        n += 1
        ip = f"198.51.100.{n}"
        r = fp.get(f"/api/v1/clusters/fp_pat_{NONE}.{'s' * 48}", token=value, headers=from_(ip, **{"X-Request-Id": f"failure-{n}"}))
        is_(r.status, 401, f"{reason}: 401")
        wait_until(lambda: rows(f"client_ip = '{ip}'"), 5, "the row")
        (row,) = rows(f"client_ip = '{ip}'")
        meta = {"reason": reason, "path": f"/api/v1/clusters/fp_pat_{NONE}***", **({"token_id": token_id} if token_id else {})}
        is_(row, {"event_type": "auth.failed", "resource_type": "auth.token", "resource_id": token_id, "resource_name": name, "metadata": meta,
                  "user_id": None, "client_ip": ip, "user_agent": "audit-test", "request_id": f"failure-{n}"}, f"{reason}: its row")

    for reason, value, token_id in cases:
        fails(reason, value, token_id, None)
    for reason, patch in states.items():
        is_(fp.request("PATCH", f"/api/v1/tokens/{t['id']}", patch).status, 200, str(patch))
        fails(reason, t["token"], t["id"], "victim")

    # ---- at most audit.failure_rows_per_minute of an address
    def told(ip="203.0.113.5"):
        return sum(r["metadata"].get("suppressed", 0) + (r["user_agent"] is not None) for r in rows(f"client_ip = '{ip}'"))
    for i in range(60):
        fp.get("/api/v1/clusters", token="nonsense", headers=from_("203.0.113.5"))
    fp.get("/api/v1/clusters", token="nonsense", headers=from_("203.0.113.6"))
    wait_until(lambda: rows("client_ip = '203.0.113.6'"), 5, "another address has its own measure")
    wait_until(lambda: len(rows("client_ip = '203.0.113.5'")) >= 2, what="some of 60 failures of one address have rows")
    wait_until(lambda: told() == 60, 120, "the suppressed ones are told by number")
    is_(told(), 60, "each failure is told once, alone or as a number")
    most = int(pg.psql("SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY created_at RANGE BETWEEN interval '60 s' PRECEDING AND CURRENT ROW) AS n"
                       " FROM audit_logs WHERE client_ip = '203.0.113.5') x"))
    ok(2 <= most <= 12, f"60 failures of one address: a few rows, in no minute more than its measure: {most}")

    # ---- forbidden
    weak = fp.post("/api/v1/tokens", {"name": "weak-one", "scopes": ["clusters:read"]}).json
    fp.delete("/api/v1/clusters/x", token=weak["token"], headers=from_("192.0.2.1"))
    wait_until(lambda: rows("event_type = 'auth.forbidden'"), 5, "auth.forbidden")
    (row,) = rows("event_type = 'auth.forbidden'")
    is_((row["resource_id"], row["resource_name"], row["metadata"], row["user_id"], row["client_ip"]),
        (weak["id"], "weak-one", {"method": "DELETE", "path": "/api/v1/clusters/x", "required": "clusters:write"}, f"fp_pat_{weak['id']}", "192.0.2.1"),
        "auth.forbidden: its row")

    fp.get("/api/v1/export?kinds=route", token=weak["token"], headers=from_("192.0.2.3"))
    fp.post("/api/v1/apply", [{"kind": "cluster", "name": "x", "endpoints": []}], token=weak["token"], headers=from_("192.0.2.4"))
    wait_until(lambda: len(rows("event_type = 'auth.forbidden'")) == 3, 5, "of export and apply too")
    # rows are written beside the requests, by each worker for itself: in no order
    is_(sorted(r["metadata"]["required"] for r in rows("event_type = 'auth.forbidden' AND client_ip IN ('192.0.2.3', '192.0.2.4')")), ["clusters:write", "routes:read"],
        "with the scope that was missing")

    # ---- authenticated: first use, then at most once per interval
    for _ in range(10):
        fp.get("/api/v1/clusters", token=weak["token"])
    wait_until(lambda: rows(f"event_type = 'auth.token.authenticated' AND resource_id = '{weak['id']}'"), 5)
    got = rows(f"event_type = 'auth.token.authenticated' AND resource_id = '{weak['id']}'")
    is_([(r["resource_name"], r["metadata"], r["user_id"]) for r in got], [("weak-one", {"scopes": ["clusters:read"]}, f"fp_pat_{weak['id']}")],
        "auth.token.authenticated: one row")
    fp.restart()
    fp.get("/api/v1/clusters", token=weak["token"])
    pg.psql("UPDATE tokens SET last_used_at = now() - interval '2 minutes'")
    fp.restart()
    fp.get("/api/v1/clusters", token=weak["token"])
    wait_until(lambda: pg.psql(f"SELECT last_used_at > now() - interval '1 minute' FROM tokens WHERE token_id = '{weak['id']}'") == "t", 5)
    is_(len(rows(f"event_type = 'auth.token.authenticated' AND resource_id = '{weak['id']}'")), 1, "not again after a restart")

    # ---- resource.* by the API and by direct SQL
    body = {"name": "aud", "endpoints": ["10.0.0.1:80"]}
    fp.api("POST", "/clusters", body, headers=from_("192.0.2.2", **{"X-Request-Id": "req-1"}))
    fp.api("PUT", "/clusters/aud", {**body, "connectTimeoutSeconds": 9})
    fp.api("DELETE", "/clusters/aud")
    got = rows("resource_name = 'aud'", "event_type, resource_type, old_configuration, new_configuration, metadata, user_id, request_id, client_ip, revision")
    is_([r["event_type"] for r in got], ["resource.created", "resource.updated", "resource.deleted"], "resource.*: one row a change")
    is_((got[0]["user_id"], got[0]["request_id"], got[0]["client_ip"], got[0]["metadata"]), (me, "req-1", "192.0.2.2", {"version": 1, "team": None}), "who and whence")
    is_([(r["old_configuration"] is None, r["new_configuration"] is None) for r in got], [(True, False), (False, False), (False, True)], "old and new configuration")
    is_(got[1]["new_configuration"]["connectTimeoutSeconds"], 9, "as stored")
    is_([r["revision"] for r in got], sorted({r["revision"] for r in got}), "each with its revision")
    pg.psql("INSERT INTO clusters (name, service_name, configuration) VALUES ('byhand', 'byhand', '{\"endpoints\":[]}');"
            "UPDATE clusters SET configuration = '{\"endpoints\":[],\"connectTimeoutSeconds\":3}' WHERE name = 'byhand'; DELETE FROM clusters WHERE name = 'byhand'")
    got = rows("resource_name = 'byhand'")
    is_([(r["event_type"], r["user_id"]) for r in got], [(f"resource.{w}", "db:postgres") for w in ("created", "updated", "deleted")], "direct SQL: by db:<role>")
    pg.psql(f"UPDATE tokens SET status = 'revoked' WHERE token_id = '{weak['id']}'")
    is_(rows(f"resource_id = '{weak['id']}' AND event_type = 'auth.token.revoked'")[0]["user_id"], "db:postgres", "tokens too")

    # ---- §16: the guide's SQL as written
    is_(int(pg.psql("SELECT count(*) FROM audit_logs WHERE event_type = 'auth.failed' AND created_at > NOW() - INTERVAL '1 hour'")) >= 7, True,
        "§16 audit SQL: auth.failed in the last hour")
    by = dict(line.split("\t") for line in pg.psql(f"SELECT event_type, COUNT(*) FROM audit_logs WHERE user_id = '{me}' GROUP BY event_type").splitlines())
    ok({"auth.token.created", "auth.token.updated", "resource.created", "resource.updated", "resource.deleted"} <= set(by), "§16 audit SQL: count by event_type for one user_id", by)
    is_(pg.psql("SELECT count(*) FROM audit_logs WHERE event_type LIKE 'resource.%' AND resource_name IN ('aud', 'byhand') AND created_at > NOW() - INTERVAL '24 hours'"),
        "6", "§16 audit SQL: resource.% in 24 h")
    is_(pg.psql("SELECT count(*) FROM audit_log WHERE action = 'auth.token.seeded'"), "1", "§16 auth.token.seeded, by the view of the guide's name")

    # ---- GET /api/v1/audit-logs
    def total():
        return int(pg.psql("SELECT count(*) FROM audit_logs"))
    before = total()  # a token's use is noted once a minute: a row may come at any time
    r = fp.get("/api/v1/audit-logs")
    is_((r.status, isinstance(r.json, list)), (200, True), "the query: a bare array")
    ok(before <= int(r.headers["X-Total-Count"]) <= total(), "X-Total-Count")
    at = [row["createdAt"] for row in r.json]
    is_(at, sorted(at, reverse=True), "newest first")
    is_(sorted(r.json[0]), sorted(["id", "eventType", "resourceType", "resourceId", "resourceName", "oldConfiguration", "newConfiguration", "metadata",
                                   "userId", "clientIp", "userAgent", "requestId", "revision", "createdAt"]), "fields")

    def query(q):
        got = fp.get(f"/api/v1/audit-logs?{q}")
        assert got.status == 200, got.text
        return got.json
    is_({x["eventType"] for x in query("eventType=auth.forbidden")}, {"auth.forbidden"}, "eventType")
    is_({x["userId"] for x in query("userId=db:postgres")}, {"db:postgres"}, "userId")
    is_({x["resourceType"] for x in query("resourceType=cluster")}, {"cluster"}, "resourceType")
    is_([x["eventType"] for x in query("resourceName=aud")], ["resource.deleted", "resource.updated", "resource.created"], "resourceName, newest first")
    is_([x["eventType"] for x in query("resourceName=aud&limit=1&offset=1")], ["resource.updated"], "limit and offset")
    is_(query("since=2999-01-01T00:00:00Z"), [], "since")
    is_(query("until=2000-01-01T00:00:00Z"), [], "until")
    is_(len(query("resourceName=aud&since=2000-01-01T00:00:00Z&until=2999-01-01T00:00:00%2B02:00")), 3, "both")
    is_(query("eventType=no.such"), [], "nothing found")
    for q, name in (("since=yesterday", "since"), ("until=1", "until"), ("limit=x", "limit"), ("eventType=%00", "eventType"), ("userId=%ff", "userId")):
        r = fp.get(f"/api/v1/audit-logs?{q}")
        is_((r.status, r.json["details"][0]["parameter"]), (400, name), f"?{q}: 400")
    many = fp.get("/api/v1/audit-logs?limit=5000")
    is_(many.status, 200, "limit is clamped")
    reader = fp.post("/api/v1/tokens", {"name": "auditor", "scopes": ["audit:read"]}).json
    is_(fp.get("/api/v1/audit-logs", token=reader["token"]).status, 200, "audit:read")
    team = fp.post("/api/v1/tokens", {"name": "team-one", "scopes": ["team:red:*:*", "team:red:audit:read", "clusters:*"]}).json
    is_(fp.get("/api/v1/audit-logs", token=team["token"]).status, 403, "needs an unscoped scope")
    wait_until(lambda: "flowplane_audit_log_writes" in fp.get("/metrics", token=None).text, 5)
    like(fp.get("/metrics", token=None).text, r"flowplane_audit_log_writes\{[^}]*\} [1-9]", "§16 flowplane_audit_log_writes counts")

    # ---- audit.retention
    pg.psql("INSERT INTO audit_logs (event_type, resource_type, created_at) SELECT 'old', 'old', now() - interval '40 days' FROM generate_series(1, 50)")
    fp.write_conf({"audit.retention": "30d"})
    fp.restart()
    wait_until(lambda: pg.psql("SELECT count(*) FROM audit_logs WHERE event_type = 'old'") == "0", 10, "audit.retention prunes")
    ok(int(pg.psql("SELECT count(*) FROM audit_logs")) > 20, "and keeps the rest")

    # ---- what waits is written at the end: each failure has been told, suppressed or not
    for i in range(60):
        fp.get("/api/v1/clusters", token="nonsense", headers=from_("203.0.113.7"))
    fp.stop()
    is_(told("203.0.113.7"), 60, "a stop loses no row")
    fp.start()

    # ---- none of it delays or breaks a request: the table is locked, then away
    c = pg.connect(autocommit=False)
    c.cursor().execute("LOCK audit_logs IN ACCESS EXCLUSIVE MODE")
    is_([fp.get("/api/v1/clusters", token="nonsense", headers=from_(f"192.0.2.{100 + i}")).status for i in range(10)], [401] * 10,
        "a locked table delays nobody: answered while it is locked")
    c.rollback()
    c.close()
    wait_until(lambda: len(rows("client_ip LIKE '192.0.2.10_'")) == 10, 15, "and the rows come when it is free")
    unlike(pg.psql("SELECT * FROM audit_logs"), r"fp_pat_[0-9a-f-]{36}\.[A-Za-z0-9x]", "no secret in any row")
