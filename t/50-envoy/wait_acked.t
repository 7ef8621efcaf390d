#!/usr/bin/env python3
"""wait=acked (contract §2.7): the answer comes when every node has acknowledged, or one has rejected."""
import fp_fleet as fleet
import fp_xds as xds
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port
from fp_tap import is_, ok, run

with run():
    fp = Flowplane(Postgres())
    back, port = Backend("one"), free_port()
    fleet.lay(fp, port, back)
    r = fp.put("/api/v1/clusters/shop?wait=acked&timeout=60s", fleet.cluster("shop", back.port, connectTimeoutSeconds=2))
    is_((r.status, r.headers["Flowplane-Wait"]), (200, "acked"), "no node is connected: nobody to wait for")
    envoy = Envoy(fp.xds_port)
    envoy.wait_get(port)
    for n in range(3, 8):
        r = fp.put("/api/v1/clusters/shop?wait=acked&timeout=60s", fleet.cluster("shop", back.port, connectTimeoutSeconds=n))
        is_((r.status, r.headers["Flowplane-Wait"]), (200, "acked"), f"change {n}: acked")
        is_(envoy.config_dump()["clusters"]["shop"]["connect_timeout"], f"{n}s", "and Envoy has it when the answer comes")
    r = fp.put("/api/v1/clusters/shop?wait=acked&timeout=60s", fleet.cluster("shop", back.port, connectTimeoutSeconds=7))
    is_(r.headers["Flowplane-Wait"], "unchanged", "the same again: unchanged")
    bad = {"name": "bad", "envoy": {"address": {"socketAddress": {"address": "192.0.2.1", "portValue": 15001}}, "filterChains": [
        {"filters": [{"name": "tcp", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                                                     "statPrefix": "x", "cluster": "shop"}}]}]}}
    r = fp.post("/api/v1/listeners?wait=acked&timeout=60s", bad)
    is_((r.status, r.headers["Flowplane-Wait"]), (201, "nacked"), "an address that is not on that host: stored, and nacked")
    is_(fp.delete("/api/v1/listeners/bad?wait=acked&timeout=60s").headers["Flowplane-Wait"], "acked", "its removal: acked")
    with xds.Channel(fp.xds_port) as channel:  # a client that never acknowledges
        s = channel.ads(node_id="mute")
        s.subscribe("cluster")
        s.expect("cluster")
        r = fp.put("/api/v1/clusters/shop?wait=acked&timeout=500ms", fleet.cluster("shop", back.port, connectTimeoutSeconds=9))
        is_((r.status, r.headers["Flowplane-Wait"]), (200, "timeout"), "a mute node: timeout, and the write stands")
    ok(fp.api("GET", "/clusters/shop")["config"]["connectTimeoutSeconds"] == 9, "it is stored")
