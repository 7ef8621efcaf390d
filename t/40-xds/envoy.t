#!/usr/bin/env python3
"""A real Envoy on the engine alone: what the recordings of xds-rules.md §11 say must hold against the original."""
import threading
import time

import fp_tap as tap
import fp_util as util
from fp_envoy import Backend, Envoy
from fp_xds_serve import XdsServe


def warming_ends(x, envoy):
    """O-1: without EDS right behind CDS Envoy would warm for 15 s."""
    for i in range(2, 6):
        x.cluster("c1", mark=i)
        start = time.monotonic()
        x.publish()
        envoy.wait_for(lambda d: d["clusters"].get("c1", {}).get("connect_timeout") == f"{i}s" and not d["warming"],
                       10, "the changed cluster, warm")
        took = time.monotonic() - start
        tap.diag(f"a changed cluster is warm after {took * 1000:.0f} ms")
        tap.is_(envoy.gave_up(), {}, "O-1: a changed cluster is warm, and not because Envoy gave up waiting")
    tap.is_(envoy.stat("cluster_manager.warming_clusters"), 0, "none is warming")


class Load:
    """Requests one after the other, until the end of the with; counts by status and body."""

    def __init__(self, envoy, port):
        self.envoy, self.port, self.seen, self.stop = envoy, port, {}, False

    def __enter__(self):
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()

    def total(self):
        return sum(self.seen.values())

    def _run(self):
        while not self.stop:
            try:
                status, body = self.envoy.get(self.port)
            except Exception as e:  # refused, reset: a failure like a 503
                status, body = 0, type(e).__name__
            self.seen[status, body] = self.seen.get((status, body), 0) + 1


def moves(x, envoy, port, backends):
    """O-7, O-9: each move makes a new cluster, points the route at it and removes the old one, in one generation."""
    with Load(envoy, port) as load:
        old = "c1"
        for i in range(12):
            new = f"move{i}"
            x.cluster(new), x.endpoint(new, port=backends[i % 2].port), x.route("r1", new)
            x.delete("cluster", old), x.delete("endpoint", old)
            x.publish()
            envoy.wait_for(lambda d: set(d["clusters"]) == {new, "c2"}, 20, f"{new} instead of {old}")
            old, passed = new, load.total() + 10
            util.wait_until(lambda: load.total() >= passed, 20, "requests between two moves")
    failed = {k: n for k, n in load.seen.items() if k[0] != 200}
    tap.is_(failed, {}, f"O-7, O-9: {load.total()} requests while a route moved 12 times, none failed")
    tap.ok(len([k for k in load.seen if k[0] == 200]) > 1, "and both backends answered", load.seen)
    return old


def rejected(x, envoy, keep):
    """N-3, N-10: a listener Envoy cannot take."""
    x.put("listener", "bad", {"name": "bad", "address": {"socketAddress": {"address": "999.1.1.1", "portValue": 1}},
                              "filterChains": [{}]})
    x.publish()
    util.wait_until(lambda: "LDS rejected by node" in x.text(), 10, "the NACK in the log")
    before = envoy.stat("listener_manager.lds.update_rejected")
    x.endpoint(keep, port=1)  # another type still flows, and nothing is resent
    x.publish()
    envoy.wait_for(lambda d: True)
    util.wait_until(lambda: ":1::" in envoy.admin("/clusters"), 10, "the new endpoint")
    tap.is_(envoy.stat("listener_manager.lds.update_rejected"), before, "N-3: not sent again")
    tap.is_(before, 1, "N-4: one NACK")
    x.delete("listener", "bad")
    x.listener("l2", util.free_port(), "r1")
    x.publish()
    envoy.wait_for(lambda d: "l2" in d["listeners"], 10, "the fixed set")
    tap.ok(True, "N-10: the fix reaches the same stream")
    tap.is_(envoy.stat("control_plane.connected_state"), 1, "without a reconnect")


def held():
    """N-6, O-10: Envoy runs the new bytes of a cluster that came with a bad one; replaced, it is held in the old ones: a change, which
    waits for endpoints that the generation has no more."""
    x = XdsServe(nack_hold=1, ordering_timeout=3600000)
    backends, port = [Backend("one"), Backend("two")], util.free_port()
    x.cluster("c1"), x.endpoint("c1", port=backends[0].port), x.listener("l1", port, "r1"), x.route("r1", "c1")
    x.publish()
    envoy = Envoy(x.port)
    envoy.wait_get(port)
    x.cluster("c1", mark=2)
    x.put("cluster", "bad", {"name": "bad", "type": "STATIC", "connectTimeout": "1s", "lbPolicy": "CLUSTER_PROVIDED",
                             "loadAssignment": {"clusterName": "bad"}})
    x.publish()
    util.wait_until(lambda: "CDS rejected by node" in x.text(), 10, "the NACK in the log")
    envoy.wait_for(lambda d: d["clusters"]["c1"]["connect_timeout"] == "2s" and not d["warming"], 10, "c1 as it was rejected")
    x.cluster("c3"), x.endpoint("c3", port=backends[1].port), x.route("r1", "c3")
    x.delete("cluster", "c1"), x.delete("endpoint", "c1"), x.delete("cluster", "bad")
    with Load(envoy, port) as load:
        x.publish()
        envoy.wait_for(lambda d: set(d["clusters"]) == {"c3"}, 30, "c3 instead of c1")
    tap.is_([line for line in envoy.log().splitlines() if "fetch timed out" in line], [],  # the counter went with c1
            "O-1, O-10: a held cluster has its endpoints behind it: Envoy gave up waiting for none")
    tap.is_({k: n for k, n in load.seen.items() if k[0] != 200}, {}, f"O-9: none of {load.total()} requests failed")
    tap.is_(envoy.wait_get(port), (200, "two"), "and the route has moved")


with tap.run():
    held()
    x = XdsServe()
    backends = [Backend("one"), Backend("two")]
    port = util.free_port()
    x.cluster("c1"), x.endpoint("c1", port=backends[0].port)
    x.cluster("c2"), x.endpoint("c2", hosts=())
    x.listener("l1", port, "r1"), x.route("r1", "c1")
    x.publish()
    envoy = Envoy(x.port)
    envoy.wait_live()
    tap.is_(envoy.wait_get(port)[0], 200, "a request goes through")
    tap.is_(envoy.gave_up(), {}, "O-12, O-13: no warming timeout at the start, not for c2 without hosts")
    warming_ends(x, envoy)
    last = moves(x, envoy, port, backends)
    rejected(x, envoy, last)
