#!/usr/bin/env python3
"""Sets by apply and prune under 200 requests a second: a new cluster, routes and the listener's name of them in one revision, what
they replace pruned one set later (old filter chains still serve their last requests); not one fails, beside a rejected cluster neither."""
import fp_fleet as fleet
from fp_harness import Backend, Envoy, Flowplane, Postgres, SLOW, free_port
from fp_tap import is_, ok, run

BAD = {"kind": "cluster", "name": "odd", "envoy": {"name": "odd", "type": "STATIC", "connectTimeout": "1s", "lbPolicy": "CLUSTER_PROVIDED",
                                                   "loadAssignment": {"clusterName": "odd"}}}

with run():
    fp = Flowplane(Postgres(), conf={"bootstrap.default_gateway": False})
    backs, port = [Backend("one"), Backend("two")], free_port()

    def move(n, *more):
        """Set n, and what set n-1 had but for the listener."""
        both = [item for i in (n - 1, n) for item in (
            {"kind": "cluster", **fleet.cluster(f"shop-{i}", backs[i % 2].port)},
            {"kind": "route", **fleet.route(f"routes-{i}", f"shop-{i}")})]
        fp.api("POST", "/apply?source=test&prune=true", [*both, *more, {"kind": "listener", **fleet.listener("shop", port, f"routes-{n}")}])

    def settled(n):
        envoy.wait_for(lambda d: set(d["clusters"]) == {f"shop-{n - 1}", f"shop-{n}"} and f"routes-{n}" in str(d["listeners"]["shop"]),
                       10, f"set {n}")

    move(0)
    envoy = Envoy(fp.xds_port)
    envoy.wait_get(port)
    with fleet.Load(envoy, port) as load:
        for n in range(1, 11):
            move(n)
            settled(n)
            load.more(40)
    is_(load.failed(), {}, f"O-7, O-9: {load.total()} requests while ten sets replaced each other: none failed")
    ok(load.rate() > 200 / 2 / SLOW, f"at {load.rate():.0f} requests a second")
    ok({b for _, b in load.seen} == {"one", "two"}, "both backends answered", load.seen)

    with fleet.Load(envoy, port) as load:  # beside what Envoy rejects
        for n in range(11, 17):
            move(n, BAD)
            settled(n)
            load.more(40)
        move(17)
        settled(17)
        load.more(40)
    is_(load.failed(), {}, f"N-6, P7: beside a rejected cluster, {load.total()} requests: none failed")
    ok(envoy.stat("cluster_manager.cds.update_rejected") > 0, "it was rejected")
    is_(envoy.stat("cluster_manager.warming_clusters"), 0, "none is warming")
    is_(envoy.stat("cluster.xds_cluster.upstream_rq_total"), 1, "all on one stream")
