#!/usr/bin/env python3
"""The road of a change: REST write to an ADS stream and to a real Envoy, at 100 clusters."""
import http.client
import json
import select
import time

import fp_bench as bench
import fp_road as road
from fp_harness import Envoy, Flowplane, Postgres, free_port

CLUSTERS, WRITES = 100, 200


def body(i, n):
    return {"name": f"c{i}", "connectTimeoutSeconds": 1 + n % 1000, "endpoints": [{"host": "127.0.0.1", "port": 9000 + i}]}


def route(n):
    return {"name": "bench", "virtualHosts": [{"name": "all", "domains": ["*"], "routes": [
        {"name": "all", "match": {"path": {"type": "prefix", "value": "/"}},
         "action": {"type": "direct", "status": 200, "body": str(n)}}]}]}


with bench.run(f"The road of a change ({CLUSTERS} clusters, {WRITES} writes)"):
    pg = Postgres(conf={"synchronous_commit": "on"})
    fp = Flowplane(pg, conf={"bootstrap.default_gateway": False})
    for i in range(CLUSTERS):
        fp.api("POST", "/clusters", body(i, 0))
    stream, keep, times, rest = road.Clusters(fp.xds_port), road.Keep(fp), [], []
    while len(stream.read()[1]) < CLUSTERS:
        pass
    for n in range(1, WRITES + 1):
        i = n % CLUSTERS
        what, seen = body(i, n), None
        began = time.monotonic()
        keep.send(f"/api/v1/clusters/c{i}", what)
        answered = None
        while answered is None or seen is None:
            ready, _, _ = select.select([keep.c.sock, stream.client.raw.sock], [], [], 20)
            now = time.monotonic()
            assert ready, "neither answered nor received"
            if keep.c.sock in ready:
                answered = now
                keep.answer()
            if stream.client.raw.sock in ready:
                now, clusters = stream.read()
                if clusters[f"c{i}"].connect_timeout.seconds == what["connectTimeoutSeconds"]:
                    seen = now
        rest.append((answered - began) * 1000)
        times.append((seen - began) * 1000)
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
