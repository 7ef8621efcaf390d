#!/usr/bin/env python3
"""Rule O-1 through the whole product: a changed cluster never waits for Envoy's 15 s."""
import time

import fp_fleet as fleet
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port
from fp_tap import diag, is_, run

with run():
    fp = Flowplane(Postgres())
    back, port = Backend("one"), free_port()
    fleet.lay(fp, port, back)
    envoy = Envoy(fp.xds_port)
    envoy.wait_get(port)
    for n in range(2, 12):
        began = time.monotonic()
        fp.api("PUT", "/clusters/shop", fleet.cluster("shop", back.port, connectTimeoutSeconds=n))
        envoy.wait_for(lambda d: d["clusters"]["shop"].get("connect_timeout") == f"{n}s" and not d["warming"], 20)
        diag(f"change {n}: warm after {(time.monotonic() - began) * 1000:.0f} ms")
        is_(envoy.gave_up(), {}, f"O-1: change {n} is warm, and not because Envoy gave up waiting")
        is_(envoy.stat("cluster_manager.warming_clusters"), 0, "warming_clusters is 0")
    for n in range(20, 40):  # a burst: the last state arrives, and none stays warming
        fp.api("PUT", "/clusters/shop", fleet.cluster("shop", back.port, connectTimeoutSeconds=n))
    envoy.wait_for(lambda d: d["clusters"]["shop"].get("connect_timeout") == "39s" and not d["warming"], 5)
    is_(envoy.get(port), (200, "one"), "traffic flows")
