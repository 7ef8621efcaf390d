#!/usr/bin/env python3
"""Scope x endpoint x method (contract §3, §4.4): each route of the server's table, each method, tokens of each shape.

What a route needs is written here from the contract, not taken from the table under test."""
import hashlib
import http.client
import json
import re
import subprocess
import uuid

from fp_harness import OBJS, Flowplane, Postgres, wait_until
from fp_tap import is_, ok, run

R, W = "read", "write"
NATIVE = {"GET": R, "POST": W}
ONE = {"GET": R, "PUT": W, "DELETE": W}
# path: {method: scopes, any of which is enough}; () = any valid token; None = no token; "?" = decided by the body
NEEDS = {p: {"GET": None} for p in ("/healthz", "/health", "/livez", "/readyz", "/metrics", "/api-docs/openapi.json", "/swagger-ui", "/swagger-ui/")}
for kind in ("clusters", "routes", "listeners", "endpoints", "secrets"):
    NEEDS[f"/api/v1/{kind}"] = {m: (f"{kind}:{a}",) for m, a in NATIVE.items()}
    NEEDS[f"/api/v1/{kind}/{{name}}"] = {m: (f"{kind}:{a}",) for m, a in ONE.items()}
for kind in ("cluster", "route", "listener"):
    NEEDS[f"/api/v1/{kind}"] = {"POST": (f"{kind}s:write",)}
for kind in ("{type}", "scoped-routes", "virtual-hosts", "runtimes", "extension-configs"):
    NEEDS[f"/api/v1/resources/{kind}"] = {m: (f"resources:{a}",) for m, a in NATIVE.items()}
    NEEDS[f"/api/v1/resources/{kind}/{{name}}"] = {m: (f"resources:{a}",) for m, a in ONE.items()}


def d(action):
    return (f"api-definitions:{action}", f"routes:{action}")


NEEDS |= {
    "/api/v1/tokens": {"POST": ("tokens:write",), "GET": ("tokens:read",)},
    "/api/v1/tokens/{id}": {"GET": ("tokens:read",), "PATCH": ("tokens:write",), "DELETE": ("tokens:write",)},
    "/api/v1/tokens/{id}/rotate": {"POST": ("tokens:write",)},
    "/api/v1/tokens/self": {"GET": ()},
    "/api/v1/api-definitions": {"GET": d(R), "POST": d(W)},
    "/api/v1/api-definitions/from-openapi": {"POST": d(W)},
    "/api/v1/api-definitions/import-openapi": {"POST": d(W)},
    "/api/v1/api-definitions/{id}": {"GET": d(R), "PATCH": d(W), "DELETE": d(W)},
    "/api/v1/api-definitions/{id}/routes": {"POST": d(W)},
    "/api/v1/api-definitions/{id}/bootstrap": {"GET": d(R)},
    "/api/v1/bootstrap": {"GET": d(R)},
    "/api/v1/gateways/openapi": {"POST": ("gateways:import",)},
    "/api/v1/reports/route-flows": {"GET": ("reports:read",)},
    "/api/v1/apply": {"POST": "?"},
    "/api/v1/export": {"GET": "?"},
    "/api/v1/revisions": {"GET": ("revisions:read",)},
    "/api/v1/revisions/{n}": {"GET": ("revisions:read",)},
    "/api/v1/revisions/{n}/status": {"GET": ("revisions:read",)},
    "/api/v1/revisions/{n}/rollback": {"POST": ("revisions:write",)},
    "/api/v1/nodes": {"GET": ("nodes:read",)},
    "/api/v1/nodes/{id}": {"GET": ("nodes:read",)},
    "/api/v1/nacks": {"GET": ("nodes:read",)},
    "/api/v1/audit-logs": {"GET": ("audit:read",)},
}


def shape(pattern):
    """What a parameter is called does not matter here."""
    return re.sub(r"\{\w+\}", "{}", pattern)


NEEDS = {shape(p): n for p, n in NEEDS.items()}
TEAMS = ("clusters", "routes", "listeners", "endpoints", "secrets", "resources", "api-definitions", "reports", "nodes")  # §4.5
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def grants(scopes, need):
    """Does a token with these scopes hold one of `need`?"""
    for scope in scopes:
        if scope == "admin:all":
            return True
        part = scope.split(":")
        if part[0] == "team" and len(part) == 4:
            part = part[2:]
            bearing = True
        else:
            bearing = False
        for n in need:
            resource, action = n.split(":")
            if part[1] not in ("*", action) or (bearing and resource not in TEAMS):
                continue
            if part[0] == resource or (bearing and part[0] == "*"):
                return True
    return False


with run():
    pg = Postgres()
    fp = Flowplane(pg, conf={"auth.failure_limit": 0, "audit.failure_rows_per_minute": 0})
    table = [line.split() for line in subprocess.run([OBJS / "t/lib/route_tool"], capture_output=True, text=True, check=True).stdout.splitlines()]
    routes = {}
    for method, pattern, *_ in table:
        routes.setdefault(shape(pattern), []).append(method)
    for pattern, methods in routes.items():
        is_(sorted(methods), sorted(NEEDS.get(pattern, {})), f"{pattern}: the contract's methods")

    resources = sorted({r.split(":")[0] for m in NEEDS.values() for n in m.values() if n and n != "?" for r in n})
    shapes = [["admin:all"], ["no-such:read"], ["team:red:*:*"], ["team:red:*:read"], []]
    for r in resources:
        shapes += [[f"{r}:read"], [f"{r}:write"], [f"{r}:*"], [f"team:red:{r}:read"], [f"team:red:{r}:write"], [f"team:red:{r}:*"]]
    shapes += [["clusters:read", "routes:write"], ["gateways:import"], [f"{r}:read" for r in resources]]
    # the table takes what the API does not: a token without scopes
    tokens, values = [], []
    for scopes in shapes:
        number, secret = uuid.uuid4(), "s" * 31 + "x" * 17
        values.append(f"('{number}', 'matrix', '\\x{hashlib.sha256(secret.encode()).hexdigest()}', '{{{','.join(scopes)}}}', 'system')")
        tokens.append((scopes, f"fp_pat_{number}.{secret}"))
    pg.psql("INSERT INTO tokens (token_id, name, secret_hash, scopes, created_by) VALUES " + ",".join(values))
    wait_until(lambda: all(fp.get("/api/v1/tokens/self", token=tokens[-1][1]).status == 200 for _ in range(8)), 10, "the tokens are known")

    connection = http.client.HTTPConnection("127.0.0.1", fp.api_port, timeout=60)

    def ask(method, path, token):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else None, {**headers, "Content-Type": "application/json"})
        r = connection.getresponse()
        return r.status, r.headers, r.read()

    cells = 0
    for pattern, methods in routes.items():
        if pattern not in NEEDS:
            continue  # told above
        path = pattern.replace("resources/{}", "resources/runtimes").replace("revisions/{}", "revisions/999999")
        path = path.replace("{}", "none" if "/runtimes/" in path else "9c41f0de-2f6c-4b39-8f53-1d4b7e1c20a7")
        bad = []
        for method in METHODS:
            of = "GET" if method == "HEAD" else method
            need = NEEDS[pattern].get(of, "405")
            public = "GET" in NEEDS[pattern] and NEEDS[pattern]["GET"] is None
            for who in (None, "nonsense", f"fp_pat_{uuid.uuid4()}." + "x" * 48):
                status, headers, _ = ask(method, path, who)
                cells += 1
                if public:
                    good = (status == 405) == (need == "405") and status not in (401, 403)
                else:
                    good = status == 401 and headers["WWW-Authenticate"] == 'Bearer realm="flowplane"' + (', error="invalid_token"' if who else "")
                if not good:
                    bad.append((method, who, status))
            for scopes, token in tokens if not public else tokens[:1]:
                status, headers, body = ask(method, path, token)
                cells += 1
                if need == "405":
                    good = status == 405 and of not in headers["Allow"].replace(" ", "").split(",")
                elif need == "?":
                    good = status not in (401, 405, 500)
                elif need is None or not need or grants(scopes, need):
                    good = status not in (401, 403, 405) and status < 500
                else:
                    good = status == 403 and (method == "HEAD" or json.loads(body)["message"] == "forbidden: missing required scope")
                if not good:
                    bad.append((method, scopes, status))
        is_(bad, [], f"{pattern}: {', '.join(methods)}")
    ok(cells >= 400, f"{cells} cells")

    # unknown paths under /api/v1 are told only to who is known (§2.1); pairs of scopes at one endpoint
    is_(ask("GET", "/api/v1/none", None)[0], 401, "an unknown path under /api/v1 without a token: 401")
    is_(ask("GET", "/api/v1/none", tokens[0][1])[0], 404, "with one: 404")
    is_(ask("GET", "/none", None)[0], 404, "elsewhere: 404")
    for value in (f"bearer {fp.token}", f"BEARER  {fp.token}", fp.token):
        connection.request("GET", "/api/v1/clusters", None, {"Authorization": value})
        r = connection.getresponse()
        r.read()
        is_(r.status, 200, f"Authorization: {value[:8]}…")
