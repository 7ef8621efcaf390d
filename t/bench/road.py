#!/usr/bin/env python3
"""The road of a change: REST write to an ADS stream and to a real Envoy, at 100 clusters."""
import http.client
import json
import threading
import time

import fp_bench as bench
import fp_xds as xds
from fp_harness import Envoy, Flowplane, Postgres, free_port, wait_until

CLUSTERS, WRITES = 100, 200


def body(i, n):
    return {"name": f"c{i}", "connectTimeoutSeconds": 1 + n % 1000, "endpoints": [{"host": "127.0.0.1", "port": 9000 + i}]}


def route(n):
    return {"name": "bench", "virtualHosts": [{"name": "all", "domains": ["*"], "routes": [
        {"name": "all", "match": {"path": {"type": "prefix", "value": "/"}},
         "action": {"type": "direct", "status": 200, "body": str(n)}}]}]}


class Keep:
    """One kept connection, as a pipeline would have."""

    def __init__(self, fp):
        self.c = http.client.HTTPConnection("127.0.0.1", fp.api_port)
        self.token = fp.token

    def put(self, path, what):
        self.c.request("PUT", path, json.dumps(what), {"Authorization": f"Bearer {self.token}"})
        r = self.c.getresponse()
        r.read()
        assert r.status == 200, r.status


def acker(stream, arrived):
    """Behaves as a client: ACKs, and notes when a cluster was seen with which timeout."""
    while True:
        try:
            r = stream.expect_any(3600)
        except Exception:
            return
        now = time.monotonic()
        if r.type_url == xds.TYPES["cluster"]:
            for name, c in xds.unpack(r).items():
                arrived.setdefault((name, c.connect_timeout.seconds), now)
        stream.ack(r)


with bench.run(f"The road of a change ({CLUSTERS} clusters, {WRITES} writes)"):
    pg = Postgres(conf={"synchronous_commit": "on"})
    fp = Flowplane(pg, conf={"bootstrap.default_gateway": False})
    for i in range(CLUSTERS):
        fp.api("POST", "/clusters", body(i, 0))
    with xds.Channel(fp.xds_port) as channel:
        s, arrived, keep, times, rest = channel.ads(), {}, Keep(fp), [], []
        threading.Thread(target=acker, args=(s, arrived), daemon=True).start()
        s.subscribe("cluster")
        wait_until(lambda: len(arrived) >= CLUSTERS)
        for n in range(1, WRITES + 1):
            i = n % CLUSTERS
            key = (f"c{i}", body(i, n)["connectTimeoutSeconds"])
            began = time.monotonic()
            keep.put(f"/api/v1/clusters/c{i}", body(i, n))
            rest.append((time.monotonic() - began) * 1000)
            wait_until(lambda: key in arrived, every=0.0005)
            times.append((arrived[key] - began) * 1000)
            # beyond the debounce: single changes, not a storm
            time.sleep(0.25)
        bench.quantiles("REST PUT answered", rest, "ms")
        bench.quantiles("REST PUT sent to received on the stream", times, "ms", 4)

    # Applied is what a request through the proxy shows: asking Envoy's admin port would keep its main thread busy.
    port = free_port()
    fp.api("POST", "/routes", route(0))
    fp.api("POST", "/listeners", {"name": "bench", "address": "127.0.0.1", "port": port, "filterChains": [{"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "type": "httpConnectionManager",
         "routeConfigName": "bench", "httpFilters": [{"filter": {"type": "router"}}]}]}]})
    envoy = Envoy(fp.xds_port)
    envoy.wait_live()
    envoy.wait_get(port)
    c = http.client.HTTPConnection("127.0.0.1", port)

    def seen():
        c.request("GET", "/")
        return c.getresponse().read().decode()

    times = []
    for n in range(1, WRITES + 1):
        began = time.monotonic()
        keep.put("/api/v1/routes/bench", route(n))
        while seen() != str(n):
            assert time.monotonic() - began < 20
            time.sleep(0.0003)
        times.append((time.monotonic() - began) * 1000)
        time.sleep(0.25)
    bench.quantiles("REST PUT sent to applied in Envoy", times, "ms", 8)
