#!/usr/bin/env python3
"""The HTTP surface row by row (contract §2.1, §2.2, §2.4 to §2.6): order of checks, fields, entity tags, queries; HTTP/2 says
the same as HTTP/1.1."""
import json

from fp_echo import Raw
from fp_h2 import Client, ev
from fp_harness import Flowplane, Postgres
from fp_tap import diag, is_, like, ok, run

BODY = {"name": "a", "endpoints": ["127.0.0.1:1"]}
JSON = json.dumps(BODY).encode()
ONE = "/api/v1/clusters/a"


def send(method, path, body=None, *fields, auth=True):
    c = Raw(fp.api_port)
    c.request(method, path, body, [*([f"Authorization: Bearer {fp.token}"] if auth else []), *fields])
    r = c.response(head=method == "HEAD")
    c.close()
    return r


def code(r):
    """Status and the first detail's code."""
    return r.status, (json.loads(r.body).get("details") or [{}])[0].get("code") if r.body else None


def parameter(r):
    d = json.loads(r.body)["details"][0]
    return r.status, d.get("parameter"), d["code"]


def common(r, *without):
    """What must not depend on the protocol."""
    return {n: v for n, v in r if n[0] != ":" and n not in ("date", "x-request-id", "connection", *without)}


def order():
    """Each request has several faults; the first in the contract's order is told."""
    upload, put = ("POST", "/api/v1/clusters"), ("PUT", ONE)
    text, zipped = "Content-Type: text/plain", "Content-Encoding: gzip"
    is_(send("FOO", "/nowhere", b"x", text, auth=False).status, 404, "order: the path outside the API is first")
    is_(send("FOO", "/api/v1/nowhere", b"x", text, auth=False).status, 401, "order: authentication, below /api/v1")
    is_(send("FOO", "/api/v1/clusters/%zz?limit=x", b"{", text).status, 405, "order: the method")
    reader = fp.api("POST", "/tokens", {"name": "reader", "scopes": ["clusters:read"]})["token"]
    is_(send(*put, b"{", text, f"Authorization: Bearer {reader}", auth=False).status, 403, "order: the scope")
    for bad in text, zipped:
        c = Raw(fp.api_port)
        c.send(f"POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fp.token}\r\n{bad}\r\n"
               "Content-Length: 99999999\r\n\r\n".encode())
        is_(c.response().status, 415, f"order: {bad} before the size")
    is_(send("PUT", "/api/v1/clusters/%zz?dryRun=maybe", b"{", text).status, 415, "order: the type before the path's parameter")
    is_(code(send("PUT", "/api/v1/clusters/%zz?dryRun=maybe", b"{")), (400, "invalid_format"), "order: syntax")
    ok("pointer" in json.loads(send(*upload, b"{").body)["details"][0], "order: a fault of syntax points into the body")
    is_(parameter(send("PUT", "/api/v1/clusters/%zz?dryRun=maybe", b'{"x":1}'))[:2], (400, "name"), "order: the path's parameter")
    is_(parameter(send("PUT", ONE + "?dryRun=maybe", b'{"x":1}'))[:2], (400, "dryRun"), "order: query parameters")
    is_(send("PUT", ONE, b'{"x":1}', "If-Match: 9").status, 400, "order: the schema")
    is_(send("PUT", ONE, JSON, "If-Match: 9").status, 412, "order: preconditions")
    is_(send("PUT", "/api/v1/clusters/none", json.dumps({**BODY, "name": "none"}).encode(), "If-Match: *").status, 404,
        "If-Match on what is not there: 404")


def media():
    for fields, want in (
            (["Content-Type: APPLICATION/json ; charset=utf-8"], 409), (["Content-Type: application/x+json"], 409), ([], 409),
            (["Content-Type: application/yaml"], 415), (["Content-Type: application/json", "Content-Type: text/plain"], 415),
            (["Content-Encoding: identity"], 409), (["Content-Encoding: identity", "Content-Encoding: gzip"], 415),
            (["Content-Encoding: identity, gzip"], 415)):
        is_(send("POST", "/api/v1/clusters", JSON, *fields).status, want, f"{fields}: {want}")
    for accept in "text/html", "application/xml;q=1", "*/*":
        is_(send("GET", ONE, None, f"Accept: {accept}")["content-type"], "application/json; charset=utf-8",
            f"Accept: {accept} changes nothing")


def paths():
    for path, want in (("/api/v1/clusters/%61", 200), ("/api/v1/%63lusters", 404), ("/api/v1/clusters/", 404), (ONE + "/", 404),
                       ("//api/v1/clusters", 404), ("/api/v1/clusters/../clusters", 404), ("/api/v1/clusters/a%2Fb", 404),
                       ("/api/v1/clusters/a%00", 400), ("/api/v1/clusters/%ff", 400), ("/api/v1/clusters/%6", 400),
                       ("/healthz/", 404), ("/swagger-ui/", 200), ("http://other" + ONE, 200)):
        is_(send("GET", path).status, want, f"GET {path}: {want}")
    is_(send("OPTIONS", ONE, auth=False)["allow"].split(", "), ["OPTIONS", "GET", "HEAD", "PUT", "DELETE"], "OPTIONS: Allow")
    is_(send("OPTIONS", "/api/v1/nowhere", auth=False).status, 401, "OPTIONS on an unknown path")


def heads():
    for path in ONE, "/api/v1/clusters", "/nowhere", "/api/v1/clusters/none", "/healthz", "/api-docs/openapi.json":
        g, h = send("GET", path), send("HEAD", path)
        is_((h.status, common(h.headers), h.body), (g.status, common(g.headers), b""), f"HEAD {path} is GET without its body")


def tags():
    for value, want in (('"1"', 304), ('W/"1"', 304), ('"9", W/"1"', 304), ("*", 304), ('"9"\r\nIf-None-Match: "1"', 304),
                        ('"9"', 200), ("1", 200), ("", 200), ('"1', 200)):
        r = send("GET", ONE, None, f"If-None-Match: {value}")
        is_((r.status, r["etag"]), (want, '"1"'), f"If-None-Match: {value!r}: {want}")
    etag = send("GET", "/api/v1/clusters")["etag"]
    is_([send(m, "/api/v1/clusters", None, f"If-None-Match: {etag}").status for m in ("GET", "HEAD")], [304, 304], "of a list too")
    for value, want in (('"1"', 200), ('W/"1"', 200), ("1", 200), ("*", 200), ('"9"', 412), ("9", 412), ("x", 400), ("0", 400),
                        ('"1", "2"', 400), ('"99999999999999999999"', 400), ("1\r\nIf-Match: 1", 400), ("", 400)):
        is_(send("PUT", ONE, JSON, f"If-Match: {value}").status, want, f"If-Match: {value!r}: {want}")


def queries():
    for q, want in (("limit=0", 1), ("limit=-5", 1), ("limit=99999999999999999999", 2), ("offset=-99999999999999999999", 2),
                    ("offset=99999999999999999999", 0), ("offset=1", 1), ("name=a&name=default-gateway-cluster", 2), ("name=%61", 1),
                    ("name=a+", 0), ("&&", 2), ("unknown=1", 2)):
        r = send("GET", f"/api/v1/clusters?{q}")
        ok(r.status == 200 and len(json.loads(r.body)) == want, f"?{q}: {want} items", r.body[:200])
    for q, name, want in (("limit=1.5", "limit", "invalid_type"), ("limit=", "limit", "invalid_type"), ("limit", "limit", "invalid_type"),
                          ("limit=+1", "limit", "invalid_type"), ("limit=-", "limit", "invalid_type"),
                          ("limit=1&limit=2", "limit", "duplicate"), ("li%6Dit=1&limit=1", "limit", "duplicate"),
                          ("limit=%zz", "limit", "invalid_format"), ("team=%ff", "team", "invalid_format"),
                          ("source=%00", "source", "invalid_format"), ("%zz=1", "", "invalid_format"),
                          ("&".join(f"p{i}=" for i in range(101)), "p100", "too_many")):
        is_(parameter(send("GET", f"/api/v1/clusters?{q}")), (400, name, want), f"?{q[:40]}: {want}")
    for path in "revisions?userId=%00", "revisions?name=%ff", "nacks?nodeId=%00", "audit-logs?userId=%ff", "export?team=%00":
        is_(send("GET", "/api/v1/" + path).status, 400, f"{path}: no text that the database would refuse")
    for q in "dryRun=true%", "dryRun=true&dryRun=false", "dryRun=true&dry%52un=false", "dryRun=%ff", "dryRun", "dryRun=1":
        is_(send("PUT", f"{ONE}?{q}", json.dumps({**BODY, "connectTimeoutSeconds": 9}).encode()).status, 400,
            f"?{q}: what may have been meant as a dry run writes nothing")
    is_(send("GET", ONE)["etag"], '"1"', "and nothing was written")


def fields():
    for value, same in (("abc", True), ("A.b_c:d-1", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("a/b", False),
                        ("", False), ("\xe4", False)):
        for path, status in ("/healthz", 200), ("/nowhere", 404):
            c = Raw(fp.api_port)
            c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {value}\r\n\r\n".encode("latin-1"))
            r = c.response()
            ok(r.status == status and (r["x-request-id"] == value) == same and r["x-request-id"], f"X-Request-Id {value[:9]!r}, {status}")
            if status == 404:
                is_(json.loads(r.body)["requestId"], r["x-request-id"], "requestId is the same")
    for name, data in (("414", b"GET /" + b"a" * 9000), ("431", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40000),
                       ("400", b"GET / HTTP/1.1\r\n\r\n"), ("417", b"GET / HTTP/1.1\r\nHost: x\r\nExpect: y\r\n\r\n"),
                       ("505", b"GET / HTTP/2.0\r\nHost: x\r\n\r\n")):
        r = Raw(fp.api_port).send(data).response()
        is_((str(r.status), json.loads(r.body)["error"], json.loads(r.body)["requestId"]), (name, "bad_request", r["x-request-id"]),
            f"{name}: the error form, with its id in the field too")
        is_((r["cache-control"], r["x-content-type-options"]), ("no-store", "nosniff"), f"{name}: with the fields that are always there")
    for extra in ("X: y", f"Authorization: Bearer {fp.token}"):
        is_(send("GET", ONE, None, extra).status, 401 if "Auth" in extra else 200, f"Authorization and {extra.split(':')[0]}")
    c = Raw(fp.api_port)
    c.send(f"GET {ONE} HTTP/1.1\r\nHost: x\r\nAuthorization: bEARER   {fp.token}  \r\nUser-Agent: \xff\r\n\r\n".encode("latin-1"))
    is_(c.response().status, 200, "the word Bearer in any case, blanks around")
    for value, want in (("1", 200), ("x", 400), ("-1", 400), ("", 400), ("99999999999999999999", 400)):
        is_(send("GET", ONE, None, f"Flowplane-Revision: {value}").status, want, f"Flowplane-Revision: {value!r}: {want}")
    for value in "100-continue", "100-CONTINUE":
        c = Raw(fp.api_port)
        c.send(f"POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fp.token}\r\nExpect: {value}\r\n"
               f"Content-Length: {len(JSON)}\r\n\r\n".encode())
        is_([c.response().status, c.send(JSON).response().status], [100, 409], f"Expect: {value}")


def versions():
    """HTTP/2 says what HTTP/1.1 says."""
    for method, path, more, body in (
            ("GET", ONE, {}, None), ("HEAD", ONE, {}, None), ("OPTIONS", ONE, {}, None), ("PUT", "/api/v1/clusters", {}, b"{}"),
            ("POST", "/api/v1/clusters", {"content-type": "text/plain"}, b"{}"), ("POST", "/api/v1/clusters", {}, b"{"),
            ("GET", "/nowhere", {}, None), ("GET", "/api/v1/clusters/%zz", {}, None), ("GET", ONE, {"if-none-match": '"1"'}, None),
            ("POST", "/api/v1/clusters", {"expect": "y"}, b"{}"), ("POST", "/api/v1/clusters", {"expect": "100-continue"}, JSON),
            ("GET", "/" + "a" * 9000, {}, None), ("GET", "/api/v1/clusters?limit=x", {}, None), ("OPTIONS", "*", {}, None),
            ("POST", "/api/v1/clusters", {"content-encoding": "gzip"}, JSON)):
        c = Raw(fp.api_port)
        c.request(method, path, body, [f"Authorization: Bearer {fp.token}", *(f"{k}: {v}" for k, v in more.items())])
        one = c.response(head=method == "HEAD")
        if one.status == 100:
            one = c.response()
        h = Client(None, raw=Raw(fp.api_port))
        st = h.open(method, path, [("authorization", f"Bearer {fp.token}"), *more.items()], end=body is None)
        if body is not None:
            h.h.send_data(st, body, end_stream=True)
            h.flush()
        h.wait(ev.StreamEnded, st)
        two = {k.decode(): v.decode() for k, v in h.wait(ev.ResponseReceived, st).headers}
        is_((int(two[":status"]), common(two.items())), (one.status, common(one.headers)), f"HTTP/2: {method} {path[:30]} {more}")


with run():
    fp = Flowplane(Postgres())
    fp.api("POST", "/clusters?wait=published", BODY)
    for part in order, media, paths, heads, tags, queries, fields, versions:
        part()
