#!/usr/bin/env python3
"""Sets by apply and prune under 200 requests a second on kept connections: a new cluster, routes and the listener's name of them replace
the old ones in one revision, while Envoy drains old filter chains (O-15); not one fails, beside a rejected cluster neither."""
import fp_fleet as fleet
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port
from fp_tap import diag, is_, ok, run

BAD = {"kind": "cluster", "name": "odd", "envoy": {"name": "odd", "type": "STATIC", "connectTimeout": "1s", "lbPolicy": "CLUSTER_PROVIDED",
                                                   "loadAssignment": {"clusterName": "odd"}}}
DRAIN_S = 4  # at its end Envoy cuts connections that had not enough answers to be told, in the middle of one if need be

with run():
    fp = Flowplane(Postgres(), conf={"bootstrap.default_gateway": False})
    backs, port = [Backend("one"), Backend("two")], free_port()

    def move(n, *more):
        fp.api("POST", "/apply?source=test&prune=true", [
            {"kind": "cluster", **fleet.cluster(f"shop-{n}", backs[n % 2].port)},
            {"kind": "route", **fleet.route(f"routes-{n}", f"shop-{n}")}, *more,
            {"kind": "listener", **fleet.listener("shop", port, f"routes-{n}")}])

    def rounds(first, last, *more):
        with fleet.Load(envoy, port, keep=True) as load:
            for n in range(first, last):
                move(n, *more)
                envoy.wait_for(lambda d: f"routes-{n}" in str(d["listeners"]["shop"]), 10, f"set {n}")
                load.more(40)
            move(last)
            envoy.wait_for(lambda d: set(d["clusters"]) == {f"shop-{last}"}, 10 + 5 * DRAIN_S, "what was replaced has drained and is gone")
            load.more(40)
        return load

    move(0)
    envoy = Envoy(fp.xds_port, drain_s=DRAIN_S)
    envoy.wait_get(port)
    load = rounds(1, 15)
    is_(load.failed(), {}, f"O-7, O-9, O-15: {load.total()} requests while sets replaced each other: none failed")
    diag(f"at {load.rate():.0f} requests a second, {load.closed} on connections just closed")
    ok({b for _, b in load.seen} == {"one", "two"}, "both backends answered", load.seen)

    load = rounds(16, 24, BAD)
    is_(load.failed(), {}, f"N-6, P7: beside a rejected cluster, {load.total()} requests: none failed")
    ok(envoy.stat("cluster_manager.cds.update_rejected") > 0, "it was rejected")
    is_(envoy.stat("cluster_manager.warming_clusters"), 0, "none is warming")
    is_(envoy.stat("cluster.xds_cluster.upstream_rq_total"), 1, "all on one stream")
