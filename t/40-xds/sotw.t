#!/usr/bin/env python3
"""State of the world over the real wire, rule by rule (xds-rules.md), with a client that does only what it is told."""
import fp_tap as tap
import fp_util as util
import fp_xds as xds
from fp_xds_serve import XdsServe


def sent(stream, expected, name):
    """A test: exactly these (short type, names) come, in this order, and nothing behind them."""
    got = []
    try:
        for _ in expected:
            r = stream.expect_any()
            got.append((xds.SHORT[r.type_url], xds.names(r)))
        stream.fence(), stream.fence()
        got += [(t, "too many") for t in stream.pending()]
    except util.Timeout:
        pass
    return tap.is_(got, expected, name)


def start(ch, names=("r1",), clusters=("c1", "c2")):
    """A stream brought up as Envoy does it (§11), with everything ACKed."""
    s = ch.ads(node_id="envoy")
    s.subscribe("cluster")
    cds = s.expect("cluster")
    s.subscribe("endpoint", clusters)
    eds = s.expect("endpoint")
    s.ack(cds)
    s.subscribe("listener")
    lds = s.expect("listener")
    s.ack(eds, clusters)
    s.subscribe("route", names)
    rds = s.expect("route")
    s.ack(lds)
    s.ack(rds, names)
    return s, {"cluster": cds, "endpoint": eds, "listener": lds, "route": rds}


def world(**options):
    x = XdsServe(**options)
    x.cluster("c1"), x.cluster("c2"), x.endpoint("c1"), x.endpoint("c2")
    x.listener("l1", 10001, "r1"), x.route("r1", "c1"), x.route("r2", "c2")
    x.publish()
    return x


def bring_up(x):
    with x.channel() as ch:
        s, r = start(ch)
        tap.is_(xds.names(r["cluster"]), ["c1", "c2"], "S-11: CDS holds all")
        tap.is_(xds.names(r["endpoint"]), ["c1", "c2"], "EDS holds the named")
        tap.is_(xds.names(r["route"]), ["r1"], "S-12: RDS only the named")
        tap.is_(len({m.nonce for m in r.values()}), 4, "S-2: nonces are unique on the stream")
        tap.ok(all(m.version_info for m in r.values()), "S-3: versions are not empty")
        tap.ok(all(m.nonce for m in r.values()), "S-2: nonces are not empty")
        tap.is_({m.control_plane.identifier for m in r.values()}, {"flowplane/test"}, "S-19: control_plane")
        for m in r.values():
            tap.is_({a.type_url for a in m.resources}, {m.type_url}, f"E-11: {xds.SHORT[m.type_url]} type URLs are equal")
        s.expect_nothing("S-15: ACKs are not answered")
        return r


def changes(x):
    with x.channel() as ch:
        s, r = start(ch)
        x.cluster("c1", mark=2)
        x.publish()
        sent(s, [("cluster", ["c1", "c2"]), ("endpoint", ["c1"])], "O-1: EDS right behind the changed cluster")
        s.send("endpoint", ["c2", "c1"], version=r["endpoint"].version_info, nonce=r["endpoint"].nonce)
        s.expect_nothing("O-2, S-6: the re-request with the old nonce is stale")
        x.endpoint("c2", port=81)
        x.publish()
        sent(s, [("endpoint", ["c2"])], "L-4: only EDS, only c2")
        x.publish()
        s.expect_nothing("L-5: the same bytes again")
        x.route("r2", "c1")
        x.publish()
        s.expect_nothing("S-12: a route that was not named")


def subscriptions(x):
    with x.channel() as ch:
        s = ch.ads()
        s.subscribe("route", ["r2", "r9"])
        r = s.expect("route")
        tap.is_(xds.names(r), ["r2"], "S-14: what exists of the named")
        s.ack(r, ["r9", "r2"])
        s.ack(r, ["r9", "r2", "r9"])
        s.expect_nothing("S-9: order and duplicates")
        x.route("r9", "c1")
        x.publish()
        r = s.expect("route")
        tap.is_(xds.names(r), ["r9"], "S-14: sent when it comes to exist")
        s.ack(r, ["r9", "r2", "r1"])
        r = s.expect("route")
        tap.is_(xds.names(r), ["r1"], "S-8: a gained name")
        s.ack(r, ["r1"])
        s.expect_nothing("S-10: lost names")
        x.delete("route", "r9")
        x.publish()
        s.expect_nothing("S-13: nothing is said of a removed route")
        s.subscribe("endpoint")
        s.subscribe("secret")
        s.expect_nothing("W-8: no wildcard for EDS and SDS")
        s.subscribe("cluster", ["*"])
        tap.is_(xds.names(s.expect("cluster")), ["c1", "c2"], "W-2: explicit wildcard")


def nacks(x):
    with x.channel() as ch:
        s, r = start(ch)
        other, _ = start(ch)
        x.cluster("c1", mark=7)
        x.publish()
        bad = s.expect("cluster")
        s.ack(s.expect("endpoint"), ["c1", "c2"])
        s.nack(bad, "no such thing\nin two lines", version=r["cluster"].version_info)
        s.expect_nothing("N-3: not sent again")
        tap.is_(other.expect("cluster").version_info, bad.version_info, "N-9: others get it")
        x.endpoint("c1", port=99)
        x.publish()
        sent(s, [("endpoint", ["c1"])], "N-9: other types go on")
        x.cluster("c1", mark=8)
        x.publish()
        sent(s, [("cluster", ["c1", "c2"]), ("endpoint", ["c1"])], "N-10: the fix reaches the same stream")
        log = [line for line in x.text().splitlines() if "CDS rejected by node envoy" in line]
        tap.is_(len(log), 1, "the NACK is logged once")
        tap.ok("WARN" in log[0] and "in two lines" in log[0], "as a warning, with the message", log[0])


def reconnect(x, other):
    with x.channel() as ch, other.channel() as ch2:
        _, r = start(ch)
        s = ch2.ads()
        s.send("cluster", version=r["cluster"].version_info)
        s.send("endpoint", ["c1", "c2"], version=r["endpoint"].version_info)
        s.send("listener", version=r["listener"].version_info)
        s.send("route", ["r1"], version=r["route"].version_info)
        sent(s, [("endpoint", ["c1", "c2"]), ("route", ["r1"])],
                "S-16, S-17: on another instance only named types are answered")


def ends(x):
    import grpc
    code = grpc.StatusCode
    with x.channel() as ch:
        s = ch.ads()
        s.send("", [])
        tap.is_(s.expect_end().code, code.INVALID_ARGUMENT, "T-4: the first request without type_url")
        s = ch.ads(node_id="")
        s.subscribe("cluster")
        tap.is_(s.expect_end().code, code.INVALID_ARGUMENT, "I-4: no node.id")
        s = ch.ads()
        s.send(raw=b"\x0a\x7f\x00")
        tap.is_(s.expect_end().code, code.INVALID_ARGUMENT, "E-2: not a DiscoveryRequest")
        s = ch.ads()
        s.subscribe("type.googleapis.com/no.such.Type", ["x"])
        s.expect_nothing("E-1: an unknown type gets no answer")
        s.subscribe("cluster")
        tap.is_(xds.names(s.expect("cluster")), ["c1", "c2"], "E-1: and the stream lives")
        s.half_close()
        tap.is_(s.expect_end().code, code.OK, "T-9: half-close ends with OK")
        tap.is_(ch.unary("/envoy.api.v2.ClusterDiscoveryService/FetchClusters")[0], code.UNIMPLEMENTED, "T-5: v2 names")
        tap.is_(ch.unary(xds.ADS + "FetchAggregatedResources")[0], code.UNIMPLEMENTED, "T-5: unknown methods")
        tap.is_(ch.unary("/grpc.health.v1.Health/Check")[0], code.OK, "T-5: the connection lives on")


def heavy_node(x):
    """I-6: 516 extensions; T-7, T-8: 61 kB in many DATA frames."""
    from envoy.config.core.v3 import base_pb2
    node = base_pb2.Node(id="heavy", cluster="edge")
    for i in range(516):
        node.extensions.add(name=f"envoy.filters.http.some_filter_{i}", category="envoy.filters.http",
                            type_urls=["envoy.extensions.filters.http.some_filter.v3.SomeFilterConfigOfThatName"])
    with x.channel() as ch:
        s = ch.ads(node=node)
        s.subscribe("cluster")
        r = s.expect("cluster")
        tap.ok(node.ByteSize() > 60000, f"a node of {node.ByteSize()} bytes")
        tap.is_(xds.names(r), ["c1", "c2"], "I-6: is taken")


def early():
    x = XdsServe()
    with x.channel() as ch:
        s = ch.ads()
        s.subscribe("cluster")
        s.subscribe("listener")
        s.expect_nothing("E-9: no answer before the first snapshot")
        x.publish()
        sent(s, [("cluster", []), ("listener", [])], "O-12: then empty sets")


def removal(x):
    with x.channel() as ch:
        s, r = start(ch)
        x.cluster("c3"), x.endpoint("c3"), x.route("r1", "c3"), x.delete("cluster", "c1")
        x.publish()
        cds = s.expect("cluster")
        tap.is_(xds.names(cds), ["c1", "c2", "c3"], "O-10: the removed cluster is held")
        s.expect_nothing("O-7: the route waits for the new cluster", "route")
        s.ack(cds)
        rds = s.expect("route")
        s.expect_nothing("O-9: c1 stays until the route is ACKed")
        s.ack(rds, ["r1"])
        tap.is_(xds.names(s.expect("cluster")), ["c2", "c3"], "O-9: then it goes")


def timeout():
    x = world(ordering_timeout=300)
    with x.channel() as ch:
        s, r = start(ch)
        x.cluster("c3"), x.endpoint("c3"), x.route("r1", "c3"), x.delete("cluster", "c1")
        x.publish()
        s.expect("cluster")
        tap.is_(xds.names(s.expect("route")), ["r1"], "P10: without ACKs the ordering timeout sets it free")
        tap.is_(xds.names(s.expect("cluster")), ["c2", "c3"], "P10: the removal too")


with tap.run():
    x = world()
    bring_up(x)
    reconnect(x, world())
    changes(x)
    subscriptions(x)
    nacks(x)
    ends(x)
    heavy_node(x)
    removal(x)
    early()
    timeout()
