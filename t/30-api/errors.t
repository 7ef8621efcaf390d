#!/usr/bin/env python3
"""The error form and the order of checks (contract §2.1, §2.4, §4.3)."""
from fp_harness import Flowplane, Postgres
from fp_tap import is_, isnt, like, ok, run

with run():
    pg = Postgres()
    fp = Flowplane(pg)
    ID = "9c41f0de-2f6c-4b39-8f53-1d4b7e1c20a7"


    def error(r):
        return (r.status, r.json.get("error"), r.json.get("message"))


    r = fp.get("/healthz", token=None)
    is_((r.status, r.json), (200, {"status": "ok"}), "/healthz without a token")
    is_(fp.get("/livez", token=None).status, 200, "/livez")
    is_(fp.get("/readyz", token=None).json, {"status": "ok"}, "/readyz")
    is_(fp.get("/nowhere", token=None).status, 404, "an unknown path outside the API: 404 without a token")
    is_(error(fp.get("/api/v1/nowhere", token=None)), (401, "unauthorized", "unauthorized: bearer token missing"),
        "an unknown path under /api/v1: authentication first")
    is_(fp.get("/api/v1/nowhere").status, 404, "then 404")
    is_(fp.get("/api/v1/clusters/").status, 404, "trailing slashes are not normalised")

    for value, message in ((None, "unauthorized: bearer token missing"),
                           ("hello", "unauthorized: malformed bearer token"),
                           (f"fp_pat_{ID}.{'x' * 48}", "unauthorized: token not found"),
                           (fp.token[:-1] + ("a" if fp.token[-1] != "a" else "b"), "unauthorized: token not found")):
        r = fp.get("/api/v1/clusters", token=value)
        is_(error(r), (401, "unauthorized", message), f"401: {message}")
        like(r.headers["WWW-Authenticate"], r'^Bearer realm="flowplane"', "WWW-Authenticate")
    is_('error="invalid_token"' in r.headers["WWW-Authenticate"], True, "invalid_token when one was sent")
    is_(fp.get("/api/v1/clusters", headers={"Authorization": "bearer  " + fp.token}, token=None).status, 200,
        "the word Bearer in any case")
    is_(fp.get("/api/v1/clusters", headers={"Authorization": fp.token}, token=None).status, 200, "a bare value")

    r = fp.request("PATCH", "/api/v1/clusters", {})
    is_((r.status, r.json["error"]), (405, "method_not_allowed"), "405")
    is_(sorted(r.headers["Allow"].split(", ")), ["GET", "HEAD", "OPTIONS", "POST"], "with Allow")
    r = fp.request("OPTIONS", "/api/v1/clusters/x", token=None)
    is_((r.status, sorted(r.headers["Allow"].split(", "))), (204, ["DELETE", "GET", "HEAD", "OPTIONS", "PUT"]),
        "OPTIONS: 204 with Allow, no token")
    is_(fp.request("PATCH", "/api/v1/clusters", {}, token=None).status, 401, "authentication before the method")

    is_(error(fp.post("/api/v1/clusters", b"x", headers={"Content-Type": "text/plain"}))[:2],
        (415, "unsupported_media_type"), "415 for text/plain")
    is_(fp.post("/api/v1/clusters", b"{}", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}).status,
        415, "415 for a gzip body")
    is_(fp.post("/api/v1/clusters", b"{}", headers={"Content-Type": "application/vnd.x+json; charset=utf-8"}).status, 400,
        "application/*+json is JSON")
    r = fp.request("POST", "/api/v1/clusters", b" " * (3 << 20), headers={"Content-Type": "application/json"})
    is_(error(r)[:2], (413, "payload_too_large"), "413 beyond api.body_limit")
    like(r.json["message"], "2097152", "the message states the limit")

    for body, code in ((b"", None), (b"{", None), (b'{"name":"a","name":"b"}', None), (b'{"a":NaN}', None), (b"[" * 10000, None),
                       (b'{"name":"\xff"}', None), (b'{"name":"a\\u0000"}', None), (b"{} x", None), (b"[]", "invalid_type")):
        r = fp.post("/api/v1/clusters", body)
        is_(error(r)[:2], (400, "bad_request"), f"400: {body[:24]!r}")
        if code:
            is_(r.json["details"][0]["code"], code, f"details: {code}")

    r = fp.post("/api/v1/clusters", {"endpoints": [{"host": "10.0.0.1", "port": 0}, {"port": 80}], "lbPolicyy": "RANDOM",
                                     "connectTimeoutSeconds": "x"})
    is_(r.status, 400, "many problems: 400")
    got = {(d["pointer"], d["code"]) for d in r.json["details"]}
    for want in (("/name", "required"), ("/endpoints/0/port", "out_of_range"), ("/endpoints/1/host", "required"),
                 ("/lbPolicyy", "unknown_field"), ("/connectTimeoutSeconds", "invalid_type")):
        ok(want in got, f"all at once: {want}", str(got))
    like([d["message"] for d in r.json["details"] if d["pointer"] == "/lbPolicyy"][0], "did you mean lbPolicy", "with a hint")
    is_(r.json["requestId"], r.headers["X-Request-Id"], "requestId is the header's")
    is_(r.headers["Cache-Control"], "no-store", "Cache-Control")
    is_(r.headers["X-Content-Type-Options"], "nosniff", "nosniff")
    like(r.headers["Content-Type"], r"^application/json; charset=utf-8$", "Content-Type")
    is_(fp.get("/healthz", headers={"X-Request-Id": "abc.1:2-3_x"}).headers["X-Request-Id"], "abc.1:2-3_x", "a good X-Request-Id is kept")
    isnt(fp.get("/healthz", headers={"X-Request-Id": "a b"}).headers["X-Request-Id"], "a b", "a bad one is replaced")

    fp.wait_log("API request processed")
    event = [e for e in fp.log_events() if e["fields"].get("message") == "API request processed"][0]
    is_(sorted(event), ["fields", "level", "target", "timestamp"], "log events have exactly four keys (contract §11.3)")
    is_(event["target"], "flowplane::api", "target")
    ok({"method", "path", "status", "duration_ms", "user_id"} <= set(event["fields"]), "fields of a request", str(event))
    fp.get(f"/api/v1/tokens/{fp.token}")
    fp.wait_log(r"fp_pat_[0-9a-f-]{36}\*\*\*")
    secret = fp.token.split(".")[1]
    is_(sum(secret in line for line in fp.log().splitlines() if "API request" in line), 0, "a token in a path is masked in the log")
