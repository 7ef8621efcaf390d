#!/usr/bin/env python3
"""Every status that the OpenAPI document gives an operation is reached, every status that comes is in the document, and the bodies of
errors have the form of contract §2.4: error, message, parameter or pointer and code.  The operations come from the document."""
import collections
import http.client
import re
import uuid

import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, like, ok, run

ERRORS = {400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 409: "conflict",
          412: "precondition_failed", 413: "payload_too_large", 414: "bad_request", 415: "unsupported_media_type", 429: "too_many_requests",
          431: "bad_request", 503: "service_unavailable"}
CODES = set("required unknown_field invalid_type invalid_value invalid_format out_of_range too_short too_long too_few too_many duplicate "
            "mutually_exclusive reference_not_found still_referenced already_exists read_only unsupported constraint last_admin_token "
            "protected stale_version".split())
# Documented of every operation (§3), and never the answer of these.
NEVER = {(None, None, 500): "nothing foreseen ends in it",
         ("get", "/api/v1/tokens/self", 403): "any valid token may",
         ("post", "/api/v1/apply", 404): "what is missing is created; of another team: 403"}
NOBODY = str(uuid.UUID(int=7 << 96 | 4 << 76 | 2 << 62))
TCP = {"name": "tcp", "type": "tcpProxy", "cluster": "used"}
BODIES = {"cluster": lambda name: {"name": name, "endpoints": ["10.0.0.1:80"]},
          "route": lambda name: {"name": name, "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
              {"name": "r", "match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "forward", "cluster": "used"}}]}]},
          "listener": lambda name: {"name": name, "address": "127.0.0.1", "port": 20000 + sum(name.encode()), "filterChains": [{"filters": [TCP]}]},
          "endpoint": lambda name: {"name": name, "endpoints": ["10.0.0.1:80"]},
          "token": lambda name: {"name": name, "scopes": ["clusters:read"]}}
SEEN = collections.defaultdict(set)  # (method, path): statuses


class Operation:
    def __init__(self, doc, method, path, op):
        self.method, self.path, self.op = method, path, op
        self.parameters = [self.resolve(doc, p) for p in op["parameters"]]
        self.statuses = {int(s) for s in op["responses"]}
        self.public = op.get("security") == []
        group = re.match(r"/api/v1/(\w+?)s?(/|$)", path)
        self.kind = group[1] if group and group[1] in BODIES else None
        self.has_body = "requestBody" in op

    @staticmethod
    def resolve(doc, v):
        return doc["components"]["parameters"][v["$ref"].rsplit("/", 1)[1]] if "$ref" in v else v

    def takes(self, name):
        return any(p["name"] == name for p in self.parameters)

    def url(self, value="ghost"):
        return re.sub(r"\{\w+\}", value, self.path)

    def __str__(self):
        return f"{self.method.upper()} {self.path}"


def seen(op, r, status=None, code=None, at=None):
    """Notes an answer; what is said of it must hold."""
    SEEN[op.method, op.path].add(r.status)
    if status is None and r.status < 400:
        return r
    body = r.json if r.status >= 400 and (r.headers["Content-Type"] or "").startswith("application/json") else {}
    details = body.get("details", [])
    problems = []
    if status is not None and r.status != status:
        problems.append(f"status {r.status}, expected {status}")
    if r.status in ERRORS and body.get("status") != "unready":
        if body.get("error") != ERRORS[r.status] or not body.get("message") or body.get("requestId") != r.headers["X-Request-Id"]:
            problems.append("the error form")
        if not all(d["code"] in CODES and d["message"] and ("pointer" in d) != ("parameter" in d) for d in details):
            problems.append("the details")
    if code and not any(d["code"] == code and d.get("pointer", d.get("parameter")) == at for d in details):
        problems.append(f"no {code} at {at!r}")
    if r.status == 405 and not r.headers["Allow"] or r.status in (429, 503) and not r.headers["Retry-After"] or \
            r.status == 401 and not r.headers["WWW-Authenticate"]:
        problems.append("its header")
    if problems:
        ok(False, f"{op}: {', '.join(problems)}", f"{r.status} {r.text[:600]}")
    return r


def send(fp, op, url=None, body=None, **more):
    return fp.request(op.method.upper(), url or op.url(), body, **more)


def target(fp, op, tokens):
    """A URL whose row exists."""
    if "{name}" in op.path:
        return op.url(f"row-{op.kind}")
    if "/tokens/{id}" in op.path:
        return op.url(next(tokens))
    return op.url("1")


def unauthenticated(fp, ops, narrow):
    """401, 403, 404 of the path: before anything else is looked at."""
    for op in ops:
        if op.public:
            continue
        for value, message in ((None, "bearer token missing"), ("x", "malformed bearer token"), (f"fp_pat_{NOBODY}.{'x' * 48}", "token not found")):
            r = seen(op, send(fp, op, token=value), 401)
            if r.json["message"] != f"unauthorized: {message}":
                is_(r.json["message"], f"unauthorized: {message}", f"{op}: 401")
        if (op.method, op.path, 403) not in NEVER:
            r = seen(op, send(fp, op, body=[{"kind": "cluster", **BODIES["cluster"]("c")}] if op.path.endswith("/apply") else {} if op.has_body else None,
                              token=narrow), 403)
            if r.json["message"] != "forbidden: missing required scope":
                is_(r.json["message"], "forbidden: missing required scope", f"{op}: 403")


def transport(fp, ops):
    """405, 413, 414, 415, 431: of every path, whatever its handler."""
    for op in ops:
        r = seen(op, fp.request("BREW", op.url()), 405)
        allowed = {m for o in ops if o.path == op.path for m in (o.method.upper(), "HEAD" if o.method == "get" else "OPTIONS")} | {"OPTIONS"}
        if set(r.headers["Allow"].split(", ")) != allowed:
            is_(set(r.headers["Allow"].split(", ")), allowed, f"{op}: Allow")
        seen(op, send(fp, op, op.url() + "?x=" + "a" * 8200), 414)
        seen(op, send(fp, op, headers={"X-Long": "a" * 33000}), 431)
        if op.has_body:
            seen(op, send(fp, op, body=b"{}", headers={"Content-Type": "text/plain"}), 415)
        seen(op, send(fp, op, body=b"{}", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}), 415)
        seen(op, announce(fp, op), 413)


def announce(fp, op):
    """Headers alone: the size is judged before a byte of the body."""
    c = http.client.HTTPConnection("127.0.0.1", fp.api_port, timeout=60)
    try:
        c.putrequest(op.method.upper(), op.url())
        for name, value in (("Authorization", f"Bearer {fp.token}"), ("Content-Type", "application/json"), ("Content-Length", str((64 << 20) + 1))):
            c.putheader(name, value)
        c.endheaders()
        r = c.getresponse()
        return type(fp.get("/healthz", token=None))(r.status, r.headers, r.read())
    finally:
        c.close()


def parameters(fp, ops):
    """400: each parameter that has a form, each body that has none."""
    bad = {"integer": ("x", "invalid_type"), "boolean": ("yes", "invalid_value"), "enum": ("none-such", "invalid_value"),
           "pattern": ("?", "invalid_value"), "date-time": ("tomorrow", "invalid_format")}
    n = 0
    for op in ops:
        for p in op.parameters:
            schema = p["schema"].get("items", p["schema"])
            if p["in"] == "path" and schema["type"] == "string":
                continue
            form = "enum" if "enum" in schema else "pattern" if "pattern" in schema else schema.get("format") if schema.get("format") == "date-time" \
                else schema["type"]
            if form not in bad or p["in"] == "header":
                continue
            value, code = bad[form]
            if p["in"] == "path":
                r = send(fp, op, op.url(value))
            else:
                body = [] if op.path.endswith("/apply") else {} if op.has_body else None
                r = send(fp, op, f"{op.url('1')}?{p['name']}={value}", body)
            seen(op, r, 400)
            pair = {"kind": "name"}.get(p["name"]) if op.path.endswith("rollback") else None  # what is missing of the pair is named
            if r.status == 400 and not any(d.get("parameter") in (p["name"], pair) for d in r.json.get("details", [])):
                ok(False, f"{op}: 400 names the parameter {p['name']}", r.text)
            n += 1
        if op.has_body:
            for text in (b"", b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":"\\u0000"}', b"{} {}", b'{"a":"\xff"}', b"[" * 65 + b"]" * 65):
                seen(op, send(fp, op, body=text), 400)
            of_apply = op.path.endswith("/apply")
            seen(op, send(fp, op, body=7), 400, "invalid_type", "/0" if of_apply else "")
            seen(op, send(fp, op, body={"nameless": 1}), 400, *(("required", "/0/kind") if of_apply else ("unknown_field", "/nameless")))
        for header in ("If-Match", "Flowplane-Revision"):
            if op.takes(header):
                seen(op, send(fp, op, headers={header: "x"}, body={} if op.has_body else None), 400)
        if "{name}" in op.path or "{id}" in op.path:
            seen(op, send(fp, op, op.url("%ff"), body={} if op.has_body else None), 400)
        seen(op, send(fp, op, headers={"X-Bad": "a\x01b"}), 400)
    ok(n > 100, f"{n} bad parameters")


def rows(fp, ops, tokens):
    """200, 201, 204, 304, 404, 409, 412."""
    for op in ops:
        body = BODIES[op.kind] if op.kind and op.has_body else None
        if 404 in op.statuses and "{" in op.path:
            missing = {"{id}": NOBODY if "tokens" in op.path else "ghost", "{n}": "999999999"}.get(re.search(r"\{\w+\}", op.path)[0], "ghost")
            r = seen(op, send(fp, op, op.url(missing), {"name": "abc"} if op.method == "patch" else body and body("ghost")), 404)
            title = {"token": "Token"}.get(op.kind, None)
            if title:
                like(r.json["message"], f"^{title} with name '{missing}' not found$", f"{op}: 404")
        if 201 in op.statuses:
            name = "tok" if op.kind == "token" else f"{'row' if op.path.endswith('s') else 'one'}-{op.kind}"
            seen(op, send(fp, op, body=body(name)), 201)
            if 409 in op.statuses:
                again = body(name)
                if not op.path.endswith("s"):  # a singular path takes what is the same
                    again["team"] = "another"
                r = seen(op, send(fp, op, body=again), 409, "already_exists", "/name")
            r = seen(op, send(fp, op, op.url() + "?dryRun=true", body(name + "-dry")), 200)
            continue
        url = target(fp, op, tokens)
        if 412 in op.statuses:
            given = {"name": "abc"} if op.method == "patch" else body and body(url.rsplit("/", 1)[1])
            if op.path.endswith("/apply"):
                seen(op, send(fp, op, url + "?ifRevision=0", [{"kind": "cluster", **BODIES["cluster"]("other")}]), 412, "stale_version", "ifRevision")
            else:
                seen(op, send(fp, op, url, given, headers={"If-Match": '"99"'}), 412)
        if 304 in op.statuses:
            etag = seen(op, send(fp, op, url), 200).headers["ETag"]
            r = seen(op, send(fp, op, url, headers={"If-None-Match": etag}), 304)
            is_(r.raw, b"", f"{op}: 304 has no body")
        if op.method == "get":
            seen(op, send(fp, op, url))


def conflicts(fp, pg, at, tokens):
    """409: taken, protected, still referenced, in no state for it."""
    def refused(method, path, code, pointer, url=None, body=None):
        return seen(at[method, path], send(fp, at[method, path], url, body), 409, code, pointer)

    for kind, row in (("cluster", "default-gateway-cluster"), ("route", "default-gateway-routes"), ("listener", "default-gateway-listener")):
        refused("delete", f"/api/v1/{kind}s/{{name}}", "protected", "", f"/api/v1/{kind}s/{row}")
    refused("delete", "/api/v1/clusters/{name}", "still_referenced", "", "/api/v1/clusters/used")
    taken = dict(BODIES["listener"]("other"), port=BODIES["listener"]("row-listener")["port"])
    refused("post", "/api/v1/listeners", "already_exists", "/port", body=taken)
    refused("post", "/api/v1/endpoints", "already_exists", "/name", body=BODIES["endpoint"]("used"))
    # generated rows (§5.1): edit the API definition
    for kind in ("cluster", "route", "listener", "endpoint"):
        name = f"row-{kind}"
        pg.psql(f"UPDATE {table_of(kind)} SET source = 'platform_api' WHERE name = '{name}'")
        wait_until(lambda: fp.get(f"/api/v1/{kind}s/{name}").json["source"] == "platform_api")
        refused("put", f"/api/v1/{kind}s/{{name}}", "protected", "", f"/api/v1/{kind}s/{name}", BODIES[kind](name) | {"team": "t"})
        refused("delete", f"/api/v1/{kind}s/{{name}}", "protected", "", f"/api/v1/{kind}s/{name}")
    refused("post", "/api/v1/apply", "protected", "/0", body=[{"kind": "cluster", **BODIES["cluster"]("row-cluster"), "team": "t"}])
    # a listener that went, whose port another has now
    listener = BODIES["listener"]
    n = fp.post("/api/v1/listeners", listener("gone")).headers["Flowplane-Revision"]
    fp.api("DELETE", "/listeners/gone", want=204)
    fp.api("POST", "/listeners", dict(listener("heir"), port=listener("gone")["port"]), want=201)
    refused("post", "/api/v1/revisions/{n}/rollback", "already_exists", "", f"/api/v1/revisions/{n}/rollback?kind=listener&name=gone")
    # tokens: the last of its kind; not active
    one, me = next(tokens), fp.token[7:43]
    seen(at["delete", "/api/v1/tokens/{id}"], fp.delete(f"/api/v1/tokens/{one}"), 200)
    refused("post", "/api/v1/tokens/{id}/rotate", None, None, f"/api/v1/tokens/{one}/rotate")
    refused("patch", "/api/v1/tokens/{id}", "required", "/scopes", f"/api/v1/tokens/{one}", {"status": "active"})
    refused("patch", "/api/v1/tokens/{id}", "last_admin_token", "", f"/api/v1/tokens/{me}", {"scopes": ["clusters:read"]})
    refused("delete", "/api/v1/tokens/{id}", "last_admin_token", "", f"/api/v1/tokens/{me}")


def table_of(kind):
    return {"cluster": "clusters", "route": "routes", "listener": "listeners", "endpoint": "endpoints"}[kind]


def done(fp, at, tokens):
    """The ways that end well and were not gone yet."""
    def well(method, path, url, body=None, status=200):
        return seen(at[method, path], send(fp, at[method, path], url, body), status)

    for kind in ("cluster", "route", "listener", "endpoint"):
        path, url, body = f"/api/v1/{kind}s/{{name}}", f"/api/v1/{kind}s/last-{kind}", BODIES[kind](f"last-{kind}")
        fp.api("POST", f"/{kind}s", body, want=201)
        well("put", path, url, body | {"team": "t"})
        well("delete", path, url + "?dryRun=true")
        well("delete", path, url, status=204)
    well("post", "/api/v1/apply", "/api/v1/apply", [{"kind": "cluster", **BODIES["cluster"]("applied")}])
    n = fp.get("/api/v1/clusters").headers["Flowplane-Revision"]
    well("post", "/api/v1/revisions/{n}/rollback", f"/api/v1/revisions/{n}/rollback")
    one = next(tokens)
    well("patch", "/api/v1/tokens/{id}", f"/api/v1/tokens/{one}", {"name": "renamed"})
    well("post", "/api/v1/tokens/{id}/rotate", f"/api/v1/tokens/{one}/rotate")
    with xds.Channel(fp.xds_port) as channel:
        channel.ads("someone").subscribe("cluster")
        wait_until(lambda: fp.get("/api/v1/nodes/someone").status == 200)
        well("get", "/api/v1/nodes/{id}", "/api/v1/nodes/someone")


def unavailable(pg, ops):
    """503 while nobody can be known, 404 of metrics that are off."""
    dead = Flowplane(pg, {"database.url": pg.url("never"), "database.startup": "retry", "observability.enable_metrics": False}, wait="alive", name="dead")
    dead.token = f"fp_pat_{NOBODY}.{'x' * 48}"
    dead.allow(".*")
    for op in ops:
        if not op.public:
            r = seen(op, send(dead, op), 503)
            if (r.json["message"], r.headers["Retry-After"]) != ("auth service unavailable", "2"):
                is_((r.json["message"], r.headers["Retry-After"]), ("auth service unavailable", "2"), f"{op}: 503")
        elif op.path in ("/readyz", "/metrics"):
            seen(op, send(dead, op))


def penalized(pg, ops):
    """429: bad credentials again and again; and writes beyond their rate."""
    fp = Flowplane(pg, {"auth.failure_limit": 1}, name="strict")
    bad = f"fp_pat_{NOBODY}.{'x' * 48}"
    wait_until(lambda: fp.get("/api/v1/clusters", token=bad).status == 429)
    for op in ops:
        if not op.public:
            seen(op, wait_until(lambda: (lambda r: r.status == 429 and r)(send(fp, op, token=bad)), what=f"{op}: 429"), 429)


with run():
    pg = Postgres()
    fp = Flowplane(pg, conf={"auth.failure_limit": 0})
    doc = fp.get("/api-docs/openapi.json", token=None).json
    ops = [Operation(doc, m, p, op) for p, item in doc["paths"].items() for m, op in item.items()]
    at = {(o.method, o.path): o for o in ops}
    narrow = fp.api("POST", "/tokens", {"name": "narrow", "scopes": ["nothing:read"]}, want=201)["token"]
    fp.api("POST", "/clusters", BODIES["cluster"]("used"), want=201)
    ids = iter([fp.api("POST", "/tokens", {"name": f"t{n:02}x", "scopes": ["clusters:read"]}, want=201)["id"] for n in range(20)])
    unauthenticated(fp, ops, narrow)
    transport(fp, ops)
    parameters(fp, ops)
    rows(fp, ops, ids)
    conflicts(fp, pg, at, ids)
    done(fp, at, ids)
    unavailable(pg, ops)
    penalized(pg, ops)
    for op in ops:
        never = {s for m, p, s in NEVER if (m, p) in ((op.method, op.path), (None, None))} | ({429, 503} if op.public else set())
        is_((op.statuses - SEEN[op.method, op.path] - never, SEEN[op.method, op.path] - op.statuses), (set(), set()),
            f"{op}: what is documented and was not reached; what came and is not documented")
