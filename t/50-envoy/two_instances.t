#!/usr/bin/env python3
"""Two instances on one database: a write on one reaches the Envoys of both; versions are the same bytes (S-17)."""
import fp_fleet as fleet
import fp_xds as xds
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port, wait_until
from fp_tap import is_, ok, run

with run():
    pg = Postgres()
    a = Flowplane(pg, name="a")
    b = Flowplane(pg, name="b")
    b.token = a.token
    one, two, port = Backend("one"), Backend("two"), free_port()
    is_(len(a.log().split("Token: ")) - 1 + len(b.log().split("Token: ")) - 1, 1, "one bootstrap token, however many start")
    fleet.lay(a, port, one)
    ea, eb = Envoy(a.xds_port), Envoy(b.xds_port)
    ea.wait_get(port)
    eb.wait_for(lambda d: "shop" in d["clusters"] and "shop" in d["routes"])
    b.api("PUT", "/clusters/shop", fleet.cluster("shop", two.port, connectTimeoutSeconds=7))
    for e in (ea, eb):
        e.wait_for(lambda d: d["clusters"]["shop"].get("connect_timeout") == "7s")
    ok(True, "a write on one reaches the Envoys of both")

    def versions(fp):
        out = {}
        with xds.Channel(fp.xds_port) as channel:
            s = channel.ads()
            for kind, names in (("cluster", ()), ("endpoint", ("shop",)), ("listener", ()), ("route", ("shop",))):
                s.subscribe(kind, names)
                r = s.expect(kind)
                out[kind] = (r.version_info, sorted(xds.raw(r)))
                s.ack(r, names)
        return out

    revision = int(b.get("/api/v1/clusters").headers["Flowplane-Revision"])
    wait_until(lambda: a.get("/api/v1/clusters", headers={"Flowplane-Revision": str(revision)}).status == 200, what="the other, too")
    a.settle(revision), b.settle(revision)
    is_(versions(a), versions(b), "S-17: versions and bytes are the same on both instances")

    with xds.Channel(b.xds_port) as channel:  # an Envoy that moves over, with what it has
        s = channel.ads()
        have = versions(a)
        for kind in ("cluster", "listener"):
            s.send(kind, version=have[kind][0])
        s.expect_nothing("S-16: an Envoy that moves to the other instance is sent nothing it has")

    # ---- a real Envoy moves over, back and forth: equal versions, so nothing of CDS and LDS is sent
    road = fleet.Relay(a.xds_port)
    mover, here, there = Envoy(road.port), a, b
    mover.wait_for(lambda d: "shop" in d["clusters"] and "shop" in d["routes"])
    identifier = "control_plane.identifier"
    with fleet.Load(mover, port, 50) as load:
        for n in range(1, 5):
            here, there = there, here
            before = {k: mover.stat(k) for k in ("cluster_manager.cds.update_success", "listener_manager.lds.update_success")}
            road.move(here.xds_port)
            # RDS is asked for by name, thus answered: then CDS and LDS, asked before, were dealt with
            mover.wait_stat("cluster.xds_cluster.upstream_rq_total", lambda v, n=n: v > n, 20)
            mover.wait_stat("control_plane.connected_state", lambda v: v == 1, 20)
            wait_until(lambda: f"{identifier}: \"flowplane/{here.dir.name}\"" in mover.admin(f"/stats?type=TextReadouts&filter={identifier}"),
                       10, f"Envoy shows the other instance ({n})")
            is_({k: mover.stat(k) for k in before}, before, f"S-16: move {n}: nothing it has is sent again")
            fp, timeout = (there, 20 + n)
            fp.api("PUT", "/clusters/shop", fleet.cluster("shop", two.port, connectTimeoutSeconds=timeout))
            mover.wait_for(lambda d: d["clusters"]["shop"].get("connect_timeout") == f"{timeout}s")
            ok(True, f"move {n}: what is written on the one it left reaches it")
    is_(load.failed(), {}, f"none of {load.total()} requests failed meanwhile")

    r = a.get("/api/v1/clusters/shop", headers={"Flowplane-Revision": b.put(
        "/api/v1/clusters/shop", fleet.cluster("shop", one.port)).headers["Flowplane-Revision"]})
    is_(r.json["config"]["endpoints"][0]["port"], one.port, "Flowplane-Revision: read on one what was written on the other")
