#!/usr/bin/env python3
"""Trace collectors that are down, hang, refuse, talk nonsense or read nothing (contract §11.4): requests go on, memory stays
bounded, and what is lost is counted by flowplane_trace_spans_dropped_total."""
import json
import re
import socket

from fp_collector import Collector
from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, ok, run
import fp_tap as tap
import fp_util as util

REQUESTS, AT_ONCE = 4000, 50  # two spans each: well beyond 2048 that wait and a batch under way
GROWTH_KB = 24 * 1024  # two collectors: a queue of 1 MiB and a batch of it each; the rest is for the requests themselves


def dropped(fp):
    return int(float(re.search(r"^flowplane_trace_spans_dropped_total\{[^}]*\} (\S+)$", fp.get("/metrics", token=None).text, re.M)[1]))


def resident_kb(fp):
    return sum(int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{p}/status").read())[1]) for p in fp.workers())


def burst(fp, n):
    """n requests on one connection, many at once; those answered 200."""
    request = f"GET /api/v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fp.token}\r\n\r\n".encode()
    answered = 0
    with socket.create_connection(("127.0.0.1", fp.api_port), util.patience()) as s:
        for _ in range(n // AT_ONCE):
            s.sendall(request * AT_ONCE)
            got = b""
            while got.count(b"HTTP/1.1 200 ") < AT_ONCE:
                data = s.recv(1 << 16)
                if not data:
                    return answered
                got += data
            answered += AT_ONCE
    return answered


def lost(fp):
    """Lines that tell of a collector: (process, collector)."""
    out = []
    for line in fp.log().splitlines():
        if "spans are lost" in line:
            f = json.loads(line)["fields"]
            out.append((f["pid"], f["message"].split(":")[0]))
    return out


with run():
    pg = Postgres()
    deaf = socket.create_server(("127.0.0.1", 0), backlog=8)  # connects, reads nothing
    tap.at_end(deaf.close)
    nobody = util.free_port()
    collectors = {"hangs": Collector("hang"), "answers 500": Collector(500), "answers nonsense": Collector("garbage"),
                  "closes": Collector("close")}
    urls = {**{what: c.conf for what, c in collectors.items()},
            "reads nothing": {"observability.otlp_endpoint": f"http://127.0.0.1:{deaf.getsockname()[1]}"},
            "is down": {"observability.otlp_endpoint": f"http://127.0.0.1:{nobody}"}}
    token, fps = None, {}
    for what, conf in urls.items():
        fp = fps[what] = Flowplane(pg, conf={**conf, "observability.enable_tracing": True, "observability.log_filter": "warn",
                                             "process.workers": 1}, name=re.sub(r"\W", "-", what))
        token = fp.token = fp.token or token
        burst(fp, 500)
        before = resident_kb(fp)
        is_(burst(fp, REQUESTS), REQUESTS, f"{what}: every request is answered")
        grown = resident_kb(fp) - before
        ok(util.SANITIZED or grown < GROWTH_KB, f"{what}: memory is bounded", f"{before} KiB and {grown} more")
    for what, fp in fps.items():
        wait_until(lambda: dropped(fp) > 2048, 20, f"{what}: spans are dropped")
        ok(True, f"{what}: what the queue does not take is counted")
        r = fp.post("/api/v1/clusters", {"name": re.sub(r"\W", "-", what), "endpoints": [{"host": "127.0.0.1", "port": 80}]},
                    headers={"traceparent": f"00-{'5' * 32}-{'6' * 16}-01"})
        is_(r.status, 201, f"{what}: writes too")
        wait_until(lambda: "spans are lost" in fp.log(), 20, f"{what}: is told")
        is_(sorted(lost(fp)), sorted(set(lost(fp))), f"{what}: told once for each process and collector")
    for fp in fps.values():
        fp.stop()

    # ---- one that recovers is sent what waited
    c = Collector("hang")
    fp = Flowplane(pg, conf={**c.conf, "process.workers": 1}, name="recovers")
    fp.token = token
    trace = "8" * 32
    wait_until(lambda: c.posts > 0 or fp.get("/api/v1/clusters", headers={"traceparent": f"00-{trace}-{'6' * 16}-01"}).status != 200,
               20, "a request hangs in the collector")
    c.mode = 200
    c.released.set()
    wait_until(lambda: all("http_request" in c.trace(trace, via) for via in ("otlp", "jaeger")), 60, "spans come after all")
    ok(True, "a collector that recovers gets what waited for it")
    is_(dropped(fp), 0, "and nothing was dropped")
