"""A trace collector: takes OTLP/HTTP (JSON) and Jaeger's Thrift, and misbehaves when told to.

    c = Collector()
    fp = Flowplane(pg, conf={"observability.enable_tracing": True, "observability.otlp_endpoint": c.url, ...})
    c.trace(trace_id)      # {name: [Span]} of both forms
"""
import http.server
import json
import struct
import threading

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


def _unsigned(v):
    return v & (2**64 - 1)


class Span:
    def __init__(self, via, service, trace, id_, parent, name, tags, duration_ns, failed, state):
        self.via, self.service, self.trace, self.id, self.parent, self.name = via, service, trace, id_, parent, name
        self.tags, self.duration_ns, self.failed, self.state = tags, duration_ns, failed, state

    def __repr__(self):
        return f"{self.name}({self.via} {self.trace}/{self.id} < {self.parent or '-'} {self.tags})"


def _otlp(body):
    for r in json.loads(body)["resourceSpans"]:
        service = {a["key"]: a["value"] for a in r["resource"]["attributes"]}["service.name"]["stringValue"]
        for s in r["scopeSpans"][0]["spans"]:
            tags = {a["key"]: next(iter(a["value"].values())) for a in s["attributes"]}
            yield Span("otlp", service, s["traceId"], s["spanId"], s.get("parentSpanId", ""), s["name"], tags,
                       int(s["endTimeUnixNano"]) - int(s["startTimeUnixNano"]), s.get("status", {}).get("code") == 2,
                       s.get("traceState"))


def _jaeger(body):
    t = Thrift(body)
    batch = t.struct()
    assert t.at == len(body), "bytes behind the batch"
    for s in batch[2]:
        tags = {g[1]: g.get(3, g.get(6, g.get(5))) for g in s[10]}
        yield Span("jaeger", batch[1][1], f"{_unsigned(s[2]):016x}{_unsigned(s[1]):016x}", f"{_unsigned(s[3]):016x}",
                   f"{_unsigned(s[4]):016x}" if s[4] else "", s[5], tags, s[9] * 1000, bool(tags.get("error")),
                   tags.get("w3c.tracestate"))


class _Handler(http.server.BaseHTTPRequestHandler):
    forms = {"/base/v1/traces": ("application/json", _otlp),
             "/api/traces?format=jaeger.thrift": ("application/vnd.apache.thrift.binary", _jaeger)}

    def do_POST(self):
        c = self.server.collector
        c.posts += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        mode = c.mode
        if mode == "hang":
            c.released.wait()
        if mode in ("hang", "close"):
            self.close_connection = True
            return
        if mode == "garbage":
            self.wfile.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n" * 100)
            self.close_connection = True
            return
        form = self.forms.get(self.path)
        status = 404 if not form else 415 if self.headers["Content-Type"] != form[0] else mode
        if status == 200:
            c.spans.extend(form[1](body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Collector:
    def __init__(self, mode=200):
        """mode: a status, "hang" (no answer), "close" (none either, at once) or "garbage"."""
        self.mode, self.spans, self.posts, self.released = mode, [], 0, threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.collector = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        tap.at_end(self.stop)
        self.url = f"http://localhost:{self.server.server_port}"
        self.conf = {"observability.enable_tracing": True, "observability.otlp_endpoint": self.url + "/base/",
                     "observability.jaeger_endpoint": self.url}

    def stop(self):
        self.released.set()
        self.server.shutdown()

    def trace(self, id_, via="otlp"):
        """{name: [spans]} of a trace."""
        out = {}
        for s in list(self.spans):
            if s.trace == id_ and s.via == via:
                out.setdefault(s.name, []).append(s)
        return out
