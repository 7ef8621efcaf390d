#!/usr/bin/env python3
"""Node scope over the real wire (contract §9.4, P13, E-6): metadata as Envoy sends it, several nodes at once."""
import fp_tap as tap
import fp_xds as xds
from fp_xds_serve import XdsServe


def make(x, team, n, team_of=None, mark=1):
    x.cluster(f"c{n}", mark), x.endpoint(f"c{n}"), x.route(f"r{n}", f"c{n}")
    x.listener(f"l{n}", 10000 + n, f"r{n}", team=team_of or team)


def everything(ch, **metadata):
    """(stream, {type: sorted names}, {type: version}) of a node with this metadata, all ACKed."""
    s, seen, versions = ch.ads(metadata=metadata), {}, {}
    for type_, names in (("cluster", []), ("endpoint", ["c1", "c2", "c0"]), ("listener", []),
                         ("route", ["r1", "r2", "r0"])):
        s.subscribe(type_, names)
        m = s.expect(type_)
        s.ack(m, names)
        seen[type_], versions[type_] = sorted(xds.names(m)), m.version_info
    return s, seen, versions


def of(*ns, listeners=None):
    return {"cluster": [f"c{n}" for n in ns], "endpoint": [f"c{n}" for n in ns], "route": [f"r{n}" for n in ns],
            "listener": listeners or [f"l{n}" for n in ns]}


with tap.run():
    x = XdsServe()
    x.cluster("c0"), x.endpoint("c0"), x.route("r0", "c0"), x.listener("default-gateway-listener", 10000, "r0")
    make(x, "pay", 1), make(x, "ops", 2)
    x.publish()
    ch = x.channel()
    pay, seen, v_pay = everything(ch, team="pay")
    tap.is_(seen, of(1), "a team sees its listeners and what is reached from them")
    ops, seen, v_ops = everything(ch, team="ops")
    tap.is_(seen, of(2), "so does another on the same connection")
    tap.ok(all(v_pay[t] != v_ops[t] for t in v_pay), "with versions of its own")
    both, seen, _ = everything(ch, team="pay", include_default=True)
    tap.is_(seen, of(0, 1, listeners=["default-gateway-listener", "l1"]), "include_default")
    listed, seen, v_listed = everything(ch, listener_allowlist=["l1"], team="ops")
    tap.is_(seen, of(1), "an allow-list wins over the team")
    tap.is_(v_listed, v_pay, "§9.2: equal contents have equal versions, whatever the scope")
    all_, seen, _ = everything(ch)
    tap.is_(seen, of(0, 1, 2, listeners=["default-gateway-listener", "l1", "l2"]), "no metadata: all")

    tap.diag("pushes")
    make(x, "ops", 2, mark=7)
    x.publish()
    for s in (ops, all_):
        m = s.expect("cluster")
        tap.is_(xds.unpack(m)["c2"].connect_timeout.seconds, 7, "who sees it gets the change")
        s.ack(s.expect("endpoint"), ["c1", "c2", "c0"]), s.ack(m)
    for s, who in ((pay, "team"), (both, "team with default"), (listed, "allow-list")):
        s.expect_nothing(f"P13: nothing to the {who} that does not see it")
    make(x, "pay", 1, team_of="ops")
    x.publish()
    m = pay.expect("listener")
    tap.is_(xds.names(m), [], "a listener that changes hands leaves the scope")
    pay.ack(m)
    m = pay.expect("cluster")
    tap.is_(xds.names(m), [], "P13: leaving scope is a removal, the cluster behind the listener (O-9)")
    pay.ack(m)
    m = ops.expect("cluster")
    tap.is_(sorted(xds.names(m)), ["c1", "c2"], "and comes into the other")
    listed.expect_nothing("an allow-list does not mind the team")

    tap.diag("names")
    s = ch.ads(metadata={"team": "ops"})
    s.subscribe("cluster", ["c0", "c1"])
    tap.is_(xds.names(s.expect("cluster")), ["c1"], "E-6: a named cluster out of scope is missing, as if it did not exist")
    s.subscribe("endpoint", ["c0"])
    s.expect_nothing("S-14: a named endpoint set out of scope is not answered", "endpoint")
    x.listener("l9", 10009, "r0", team="ops")
    x.publish()
    tap.is_(sorted(xds.names(s.expect("cluster"))), ["c0", "c1"], "and is sent the moment it comes into scope")
    tap.is_(xds.names(s.expect("endpoint")), ["c0"], "so are its endpoints")
