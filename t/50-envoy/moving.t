#!/usr/bin/env python3
"""200 requests a second while a route moves between clusters, new ones too: not one fails (O-7, O-9)."""
import fp_fleet as fleet
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port
from fp_tap import diag, is_, ok, run

with run():
    fp = Flowplane(Postgres())
    backs, port = [Backend("one"), Backend("two")], free_port()
    fleet.lay(fp, port, backs[0])
    fp.api("POST", "/clusters", fleet.cluster("other", backs[1].port), want=201)
    envoy = Envoy(fp.xds_port)
    envoy.wait_get(port)
    with fleet.Load(envoy, port) as load:
        for n in range(10):  # back and forth between clusters that stay
            fp.api("PUT", "/routes/shop", fleet.route("shop", ("other", "shop")[n % 2]))
            load.more(50)
        old = "shop"
        for n in range(10):  # a new cluster each time, the old one removed right behind
            new = f"shop-{n}"
            fp.api("POST", "/clusters", fleet.cluster(new, backs[n % 2].port), want=201)
            fp.api("PUT", "/routes/shop", fleet.route("shop", new))
            fp.api("DELETE", f"/clusters/{old}")
            load.more(20)
            old = new
        envoy.wait_for(lambda d: {c for c in d["clusters"] if c.startswith("shop")} == {old}, 20)
    is_(load.failed(), {}, f"{load.total()} requests while the route moved 20 times: none failed")
    diag(f"at {load.rate():.0f} requests a second")
    ok(len(load.seen) > 1, "both backends answered", load.seen)
