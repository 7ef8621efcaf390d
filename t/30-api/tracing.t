#!/usr/bin/env python3
"""Tracing (contract §11.4, §2.2): each story is one trace, by OTLP/HTTP and by Jaeger's Thrift; its id is in the log (§11.3)."""
import json

from fp_collector import Collector
from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, like, ok, run
import fp_xds as xds

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
BOTH = ("otlp", "jaeger")


def cluster(name):
    return {"name": name, "endpoints": [{"host": "127.0.0.1", "port": 80}]}


def traced(number, sampled="01"):
    """A trace of its own for each story."""
    return f"{number:032x}", {"traceparent": f"00-{number:032x}-{CALLER}-{sampled}"}


def names(c, trace, via="otlp"):
    return {name: len(spans) for name, spans in c.trace(trace, via).items()}


def arrives(c, trace, want, what):
    """All that is wanted, by both forms, and nothing else; but a use is audited once a minute, in whose trace it happens."""
    for via in BOTH:
        wait_until(lambda: all(names(c, trace, via).get(n, 0) >= k for n, k in want.items()), 20, f"{what}: {want} by {via}")
        got = {n: k for n, k in names(c, trace, via).items() if n in want or n != "audit_write"}
        is_(got, want, f"{via}: {what}")


def lines(fp, **fields):
    return [e["fields"] for e in fp.log_events() if all(e["fields"].get(k) == v for k, v in fields.items())]


with run():
    c = Collector()
    pg = Postgres()
    fp = Flowplane(pg, conf={**c.conf, "observability.service_name": "shop-cp"})
    fp.get("/api/v1/clusters")  # the token's first use has its own row

    # ---- write → database → push → ACK
    channel = xds.Channel(fp.xds_port)
    s = channel.ads(node_id="envoy-1")
    s.subscribe("cluster")
    s.ack(s.expect("cluster"))
    r = fp.post("/api/v1/clusters", cluster("a"), headers={"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "shop=7"})
    is_(r.status, 201, "a traced write")
    like(r.headers["traceparent"], rf"^00-{TRACE}-[0-9a-f]{{16}}-01$", "the answer names the server span (§2.2)")
    is_(r.headers.get("tracestate"), "shop=7", "and the caller's state")
    mine = r.headers["traceparent"].split("-")[2]
    s.ack(s.expect("cluster"))
    arrives(c, TRACE, {"http_request": 1, "auth": 1, "db_transaction": 1, "snapshot_build": 1, "xds_push": 1, "xds_ack": 1},
            "write, database, snapshot, push and ACK are one trace")
    revision = int(pg.psql("SELECT revision FROM config_changes WHERE name = 'a'"))
    for via in BOTH:
        one = {n: v[0] for n, v in c.trace(TRACE, via).items()}
        top = one["http_request"]
        is_((top.service, top.id, top.parent, top.state), ("shop-cp", mine, CALLER, "shop=7"), f"{via}: service, span, caller")
        is_({n: one[n].parent for n in ("auth", "db_transaction", "snapshot_build")},
            dict.fromkeys(("auth", "db_transaction", "snapshot_build"), mine), f"{via}: the children of the request")
        is_((one["xds_push"].parent, one["xds_ack"].parent), (one["snapshot_build"].id, one["xds_push"].id), f"{via}: push below snapshot, ACK below push")
        is_((top.tags["method"], top.tags["path"], int(top.tags["status"]), top.tags["request_id"]),
            ("POST", "/api/v1/clusters", 201, r.headers["X-Request-Id"]), f"{via}: tags of the request")
        is_([(one[n].tags["node_id"], one[n].tags["type"], int(one[n].tags["revision"])) for n in ("xds_push", "xds_ack")],
            [("envoy-1", "CDS", revision)] * 2, f"{via}: tags of push and ACK")
        is_(one["xds_ack"].tags["result"], "ack", f"{via}: the verdict")
        ok(top.duration_ns >= one["db_transaction"].duration_ns > 0, f"{via}: durations")
    is_(pg.psql("SELECT trace_context FROM config_changes WHERE name = 'a'"), r.headers["traceparent"],
        "the context is stored with the revision")
    access = lines(fp, message="API request processed", request_id=r.headers["X-Request-Id"])
    is_([f.get("trace_id") for f in access], [TRACE], "the access log has trace_id")

    # ---- a rejection is told as such
    trace, headers = traced(2)
    fp.post("/api/v1/clusters", cluster("bad"), headers=headers)
    s.nack(s.expect("cluster"), "I will not")
    wait_until(lambda: "xds_ack" in c.trace(trace), 20, "the verdict of the NACK")
    ack = c.trace(trace)["xds_ack"][0]
    is_((ack.failed, ack.tags["result"], ack.tags["message"]), (True, "nack", "I will not"), "a NACK: failed, with its message")

    # ---- a change through another instance: the trace goes by the database
    trace, headers = traced(3)
    other = Flowplane(pg, name="other")  # not traced itself
    second = Flowplane(pg, conf={**c.conf, "observability.service_name": "second", "observability.trace_sampling_ratio": 0.0}, name="second")
    ch3 = xds.Channel(second.xds_port)
    s3 = ch3.ads(node_id="envoy-3")
    s3.subscribe("cluster")
    s3.ack(s3.expect("cluster"))
    fp.post("/api/v1/clusters", cluster("b"), headers=headers)
    s3.ack(s3.expect("cluster"))
    wait_until(lambda: {(x.service, x.name) for x in sum(c.trace(trace).values(), [])} >=
               {("shop-cp", "http_request"), ("second", "snapshot_build"), ("second", "xds_push"), ("second", "xds_ack")},
               20, "both instances in one trace")
    ok(True, "push and ACK on another instance are in the trace of the write: parent-based, its own ratio is 0")
    like(second.get("/api/v1/clusters", token=fp.token).headers["traceparent"], r"^00-[0-9a-f]{32}-[0-9a-f]{16}-00$", "ratio 0: no trace of its own")
    ch3.close()
    second.stop()
    channel.close()

    # ---- who connects is sent what is old: no push of that write
    trace, headers = traced(4)
    r = fp.post("/api/v1/clusters", cluster("c"), headers=headers)
    fp.settle()  # by each worker: to a stream of one that had it later it would be news
    with xds.Channel(fp.xds_port) as ch:
        s = ch.ads(node_id="late")
        s.subscribe("cluster")
        s.ack(s.expect("cluster"))
    wait_until(lambda: "snapshot_build" in c.trace(trace), 20, "the snapshot of the fourth")

    # ---- at most ten pushes a revision
    trace5, headers = traced(5)
    with xds.Channel(fp.xds_port) as ch:
        many = [ch.ads(node_id=f"n{i}") for i in range(14)]
        for s in many:
            s.subscribe("cluster")
            s.ack(s.expect("cluster"))
        fp.post("/api/v1/clusters", cluster("d"), headers=headers)
        for s in many:
            s.ack(s.expect("cluster"))
        wait_until(lambda: names(c, trace5).get("xds_ack", 0) >= 10, 20, "ten ACKs")
    is_((names(c, trace5)["xds_push"], names(c, trace5)["xds_ack"]), (10, 10), "14 nodes: ten pushes and ACKs have spans")
    is_(names(c, trace).get("xds_push"), None, "a stream that connects afterwards is no push of an older write")

    # ---- authentication → audit write
    trace, headers = traced(6)
    r = fp.get("/api/v1/clusters", token="fp_pat_00000000-0000-4000-8000-000000000000.nobody-knows-this-secret-of-mine", headers=headers)
    is_(r.status, 401, "an authentication that fails")
    wait_until(lambda: "audit_write" in c.trace(trace), 20, "its audit row")
    one = {n: v[0] for n, v in c.trace(trace).items()}
    is_((one["auth"].parent, one["auth"].failed, one["audit_write"].parent), (one["http_request"].id, True, one["auth"].id),
        "authentication and audit write are one trace")
    token = fp.api("POST", "/tokens", {"name": "fresh", "scopes": ["clusters:read"]})["token"]
    trace, headers = traced(7)
    fp.get("/api/v1/clusters", token=token, headers=headers)
    arrives(c, trace, {"http_request": 1, "auth": 1, "audit_write": 1}, "a token's first use and its audit row")

    # ---- a set → generation
    trace, headers = traced(8)
    r = fp.post("/api/v1/apply", [{"kind": "cluster", **cluster(n)} for n in "xy"], headers=headers)
    is_(r.status, 200, "apply")
    arrives(c, trace, {"http_request": 1, "auth": 1, "db_transaction": 1, "snapshot_build": 1}, "apply and its snapshot are one trace")

    # ---- several writes in one generation: each trace is whole
    stories = [traced(100 + i) for i in range(6)]
    for i, (_, headers) in enumerate(stories):
        fp.post("/api/v1/clusters", cluster(f"z{i}"), headers=headers)
    wait_until(lambda: all("snapshot_build" in c.trace(t) for t, _ in stories), 20, "a snapshot in each")
    is_([names(c, t)["snapshot_build"] for t, _ in stories], [1] * 6, "writes that share a generation: each trace has its snapshot_build")

    # ---- sampling
    trace, headers = traced(9, "00")
    r = fp.post("/api/v1/clusters", cluster("quiet"), headers=headers)
    like(r.headers["traceparent"], rf"^00-{trace}-[0-9a-f]{{16}}-00$", "parent-based: an unsampled trace stays so")
    r = fp.get("/api/v1/clusters", headers={"traceparent": "00-junk-01", "tracestate": "shop=7"})
    is_(r.headers.get("tracestate"), None, "no state without its trace")
    trace_new = r.headers["traceparent"].split("-")[1]
    wait_until(lambda: "http_request" in c.trace(trace_new), 20, "the new trace by otlp")
    is_(c.trace(trace_new)["http_request"][0].parent, "", "a bad traceparent: a new trace")
    is_(c.trace(trace), {}, "nothing of the unsampled one")
    is_([s for s in list(c.spans) if s.tags.get("path") == "/readyz"], [], "probes begin no traces")

    # ---- errors while a request runs: its ids are in the line
    pg.psql("ALTER TABLE clusters ADD CONSTRAINT never CHECK (name <> 'refused')")
    trace, headers = traced(10)
    r = fp.post("/api/v1/clusters", cluster("refused"), headers=headers)
    is_(r.status, 500, "the database refuses a row")
    fp.allow("the database refuses a")
    is_([(f.get("trace_id"), f.get("request_id")) for f in lines(fp) if "refuses a" in f["message"]],
        [(trace, r.headers["X-Request-Id"])], "the error log has trace_id and request_id")
    wait_until(lambda: "http_request" in c.trace(trace), 20, "its span")
    ok(c.trace(trace)["http_request"][0].failed, "a 500 is a failed span")

    c.mode = 503
    fp.get("/api/v1/clusters")
    wait_until(lambda: "answers 503" in fp.log(), 20, "the failure is told")
    c.mode = 200
    wait_until(lambda: "spans are taken again" in fp.log(), 20, "and its end")
    ok(True, "flowplane::otel tells a change of state")

    r = other.get("/api/v1/clusters", token=fp.token, headers={"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "shop=7"})
    is_((r.headers.get("traceparent"), r.headers.get("tracestate")), (None, None), "off: no headers")
    is_([f for f in lines(other) if "trace_id" in f], [], "and no trace_id in the log")
