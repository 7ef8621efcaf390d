#!/usr/bin/env python3
"""The road of a change: REST write to an ADS stream and to a real Envoy, at 100 clusters."""
import http.client
import json
import threading
import time

import fp_bench as bench
import fp_xds as xds
from fp_harness import Envoy, Flowplane, Postgres, wait_until

CLUSTERS, WRITES = 100, 200


def body(i, n):
    return {"name": f"c{i}", "connectTimeoutSeconds": 1 + n % 1000, "endpoints": [{"host": "127.0.0.1", "port": 9000 + i}]}


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

    envoy = Envoy(fp.xds_port)
    envoy.wait_live()
    wait_until(lambda: envoy.stat("cluster_manager.active_clusters") >= CLUSTERS + 1)
    c = http.client.HTTPConnection("127.0.0.1", envoy.admin_port)

    def updates():
        c.request("GET", "/stats?filter=^cluster_manager.cluster_modified$")
        return int(c.getresponse().read().decode().rpartition(": ")[2] or 0)

    times = []
    for n in range(1, WRITES + 1):
        i, before = n % CLUSTERS, updates()
        began = time.monotonic()
        keep.put(f"/api/v1/clusters/c{i}", body(i, n + 500))
        while updates() == before:
            assert time.monotonic() - began < 20
        times.append((time.monotonic() - began) * 1000)
        time.sleep(0.25)
    bench.quantiles("REST PUT sent to applied in Envoy", times, "ms", 8)
