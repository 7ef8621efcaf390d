#!/usr/bin/env python3
"""10,000 clusters in one apply: until every worker serves them, JSON and YAML; unchanged, changed; what others feel."""
import http.client
import json
import threading
import time

import fp_bench as bench
from fp_harness import Flowplane, Postgres

N = 10000


def cluster(i, port):
    return {"kind": "cluster", "name": f"c{i:05}", "endpoints": [{"host": f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", "port": port}],
            "connectTimeoutSeconds": 5, "lbPolicy": "ROUND_ROBIN"}


def as_yaml(items):
    return "".join(f"---\nkind: {i['kind']}\nname: {i['name']}\nendpoints:\n- host: {i['endpoints'][0]['host']}\n  port: {i['endpoints'][0]['port']}\n"
                   f"connectTimeoutSeconds: 5\nlbPolicy: {i['lbPolicy']}\n" for i in items)


def others(fp, stop, slowest):
    """What a small request feels meanwhile, on every worker: a connection for each."""
    kept = [http.client.HTTPConnection("127.0.0.1", fp.api_port) for _ in range(8)]
    while not stop.is_set():
        for c in kept:
            begin = time.monotonic()
            c.request("GET", "/healthz")
            c.getresponse().read()
            slowest[0] = max(slowest[0], time.monotonic() - begin)


def main():
    fp = Flowplane(Postgres())
    for what, body, kind in (("created, JSON", json.dumps([cluster(i, 80) for i in range(N)]), "json"),
                             ("unchanged, JSON", json.dumps([cluster(i, 80) for i in range(N)]), "json"),
                             ("changed, YAML", as_yaml([cluster(i, 81) for i in range(N)]), "yaml"),
                             ("dry run, JSON", json.dumps([cluster(i, 82) for i in range(N)]), "json")):
        stop, slowest = threading.Event(), [0]
        thread = threading.Thread(target=others, args=(fp, stop, slowest))
        thread.start()
        begin = time.monotonic()
        query = "dryRun=true" if what.startswith("dry") else "wait=published&timeout=60s"
        r = fp.post(f"/api/v1/apply?{query}", body.encode(), headers={"Content-Type": f"application/{kind}"}, timeout=120)
        took = time.monotonic() - begin
        stop.set()
        thread.join()
        assert r.status == 200, r
        bench.figure(f"{what} ({len(body) >> 10} KiB)", took, "s", 5.0, r.headers.get("Flowplane-Wait", ""))
        bench.figure("  slowest other request meanwhile", slowest[0] * 1000, "ms")
    begin = time.monotonic()
    r = fp.get("/api/v1/export", timeout=60)
    bench.figure(f"export as YAML ({len(r.raw) >> 10} KiB)", time.monotonic() - begin, "s")


with bench.run(f"One apply of {N} clusters, until every worker serves them"):
    main()
