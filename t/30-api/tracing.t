#!/usr/bin/env python3
"""Tracing (contract §11.4, §2.2): one trace from a request, to a collector by OTLP/HTTP and by Jaeger's Thrift."""
import http.server
import json
import struct
import threading

from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, like, ok, run
import fp_tap as tap


class Thrift:
    """Reads a struct of the binary protocol into {field id: value}."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        v = struct.unpack_from(">" + form, self.data, self.at)[0]
        self.at += struct.calcsize(">" + form)
        return v

    def value(self, kind):
        if kind in (2, 3, 6, 8, 10):
            return self.take({2: "b", 3: "b", 6: "h", 8: "i", 10: "q"}[kind])
        if kind == 11:
            n = self.take("i")
            self.at += n
            return self.data[self.at - n:self.at].decode()
        if kind == 12:
            return self.struct()
        assert kind == 15, kind
        inner, n = self.take("b"), self.take("i")
        return [self.value(inner) for _ in range(n)]

    def struct(self):
        out = {}
        while (kind := self.take("b")):
            field = self.take("h")
            out[field] = self.value(kind)
        return out


def unsigned(v):
    return v & (2**64 - 1)


class Collector(http.server.BaseHTTPRequestHandler):
    otlp, jaeger, status = [], [], 200

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if Collector.status == 200 and self.path == "/base/v1/traces":
            assert self.headers["Content-Type"] == "application/json"
            for r in json.loads(body)["resourceSpans"]:
                service = {a["key"]: a["value"] for a in r["resource"]["attributes"]}["service.name"]["stringValue"]
                for span in r["scopeSpans"][0]["spans"]:
                    tags = {a["key"]: next(iter(a["value"].values())) for a in span["attributes"]}
                    Collector.otlp.append((service, span["traceId"], span["spanId"], span.get("parentSpanId", ""),
                                           span["name"], tags, int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])))
        elif Collector.status == 200 and self.path == "/api/traces?format=jaeger.thrift":
            t = Thrift(body)
            batch = t.struct()
            assert t.at == len(body), "bytes behind the batch"
            for s in batch[2]:
                tags = {g[1]: g.get(3, g.get(6, g.get(5))) for g in s[10]}
                parent = f"{unsigned(s[4]):016x}" if s[4] else ""
                Collector.jaeger.append((batch[1][1], f"{unsigned(s[2]):016x}{unsigned(s[1]):016x}",
                                         f"{unsigned(s[3]):016x}", parent, s[5], tags, s[9]))
        self.send_response(Collector.status if self.path.startswith(("/base/v1", "/api/traces")) else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def spans(got, trace):
    return {s[4]: s for s in list(got) if s[1] == trace}


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLUSTER = {"name": "a", "endpoints": [{"host": "127.0.0.1", "port": 80}]}

with run():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tap.at_end(server.shutdown)
    base = f"http://localhost:{server.server_port}"
    pg = Postgres()
    fp = Flowplane(pg, conf={"observability.enable_tracing": True, "observability.service_name": "shop-cp",
                             "observability.otlp_endpoint": base + "/base/", "observability.jaeger_endpoint": base})
    r = fp.post("/api/v1/clusters", CLUSTER, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    is_(r.status, 201, "a traced write")
    like(r.headers["traceparent"], rf"^00-{TRACE}-[0-9a-f]{{16}}-01$", "the answer names the server span (§2.2)")
    mine = r.headers["traceparent"].split("-")[2]
    for name, got in (("otlp", Collector.otlp), ("jaeger", Collector.jaeger)):
        wait_until(lambda: len(spans(got, TRACE)) == 3, 20, f"three spans by {name}")
        s = spans(got, TRACE)
        is_(sorted(s), ["auth", "db_transaction", "http_request"], f"{name}: the spans of a write are one trace")
        top = s["http_request"]
        is_((top[0], top[2], top[3]), ("shop-cp", mine, "00f067aa0ba902b7"), f"{name}: service, span and the caller's span")
        is_({s["auth"][3], s["db_transaction"][3]}, {mine}, f"{name}: the others are its children")
        tags = top[5]
        is_((tags["method"], tags["path"], int(tags["status"]), tags["request_id"]),
            ("POST", "/api/v1/clusters", 201, r.headers["X-Request-Id"]), f"{name}: tags")
        ok(top[6] >= s["db_transaction"][6] > 0, f"{name}: durations")
    is_(pg.psql("SELECT trace_context FROM config_changes WHERE name = 'a'"), r.headers["traceparent"],
        "the context is stored with the revision")

    r = fp.get("/api/v1/clusters", headers={"traceparent": f"00-{'7' * 32}-00f067aa0ba902b7-00"})
    like(r.headers["traceparent"], r"^00-7{32}-[0-9a-f]{16}-00$", "parent-based: an unsampled trace stays so")
    r = fp.get("/api/v1/clusters", headers={"traceparent": "00-junk-01"})
    trace = r.headers["traceparent"].split("-")[1]
    wait_until(lambda: "http_request" in spans(Collector.otlp, trace), 20, "the new trace by otlp")
    is_(spans(Collector.otlp, trace)["http_request"][3], "", "a bad traceparent: a new trace")
    is_(spans(Collector.otlp, "7" * 32), {}, "nothing of the unsampled one")
    is_([s for s in list(Collector.otlp) if s[5].get("path") == "/readyz"], [], "probes begin no traces")

    Collector.status = 503
    fp.get("/api/v1/clusters")
    wait_until(lambda: "answers 503" in fp.log(), 20, "the failure is told")
    Collector.status = 200
    wait_until(lambda: "spans are taken again" in fp.log(), 20, "and its end")
    ok(True, "flowplane::otel tells a change of state")

    off = Flowplane(pg)
    r = off.get("/api/v1/clusters", token=fp.token, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    is_(r.headers.get("traceparent"), None, "off: no header")
