#!/usr/bin/env python3
"""Nodes as the operator sees them (contract §10, N-8): any worker answers for all; versions, lag, rejections, teams."""
import os
import signal

import fp_tap as tap
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until


def cluster(name, timeout=5):
    return {"name": name, "connectTimeoutSeconds": timeout, "endpoints": [{"host": "127.0.0.1", "port": 8080}]}


def route(name, cluster_name):
    return {"name": name, "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
        {"name": "all", "match": {"path": {"type": "prefix", "value": "/"}},
         "action": {"type": "forward", "cluster": cluster_name}}]}]}


def listener(name, port, route_name, team):
    return {"name": name, "team": team, "address": "127.0.0.1", "port": port, "filterChains": [{"name": "c", "filters": [
        {"name": "envoy.filters.network.http_connection_manager", "type": "httpConnectionManager",
         "routeConfigName": route_name}]}]}


def hold(fp, node_id, **metadata):
    """(channel, stream, response) of a node with CDS acknowledged and LDS asked for."""
    ch = xds.Channel(fp.xds_port)
    s = ch.ads(node_id=node_id, cluster="edge", metadata=metadata)
    s.subscribe("cluster")
    m = s.expect("cluster")
    s.ack(m)
    s.subscribe("endpoint", ["a", "b"])
    return ch, s, m


def nodes(fp, query="", **more):
    return fp.api("GET", f"/nodes{query}", **more)


def when(fp, cond, what, query=""):
    """The nodes as soon as they are so."""
    def ask():
        found = nodes(fp, query)
        return found if cond(found) else None
    return wait_until(ask, 10, what)


def token(fp, *scopes):
    """A token; made in the database where the API has none yet."""
    r = fp.request("POST", "/api/v1/tokens", {"name": "test", "scopes": list(scopes)})
    return r.json["token"] if r.status == 201 else None


with tap.run():
    pg = Postgres()
    fp = Flowplane(pg, conf={"bootstrap.default_gateway": False, "process.workers": 2})
    tap.is_(nodes(fp), [], "no nodes at first")
    fp.api("POST", "/clusters", cluster("a"), want=201)
    fp.api("POST", "/clusters", cluster("b"), want=201)
    fp.api("POST", "/routes", route("r", "b"), want=201)  # the teams see b alone
    for i, team in enumerate(("ops", "pay")):
        fp.api("POST", "/listeners", listener(team, 18080 + i, "r", team), want=201)
    with xds.Channel(fp.xds_port) as ch:
        when_served = ch.ads()
        when_served.subscribe("listener")
        when_served.expect_until("listener", lambda m: len(xds.names(m)) == 2)
    wait_until(lambda: nodes(fp) == [], 10, "it has left")

    streams = [hold(fp, f"n{i}", team="pay" if i % 2 else "ops", extra={"deep": [1, "x", None, True]}) for i in range(8)]
    for _, s, _ in streams:
        s.ack(s.expect("endpoint"), ["a", "b"])
    found = when(fp, lambda n: len(n) == 8 and all(x["state"] == "synced" for x in n), "eight synced nodes")
    while len({n["worker"] for n in found}) < 2:  # one run in 128: the kernel gave all to one worker
        streams[7][0].close()
        when(fp, lambda n: len(n) == 7, "one leaves")
        streams[7] = hold(fp, "n7", team="pay", extra={"deep": [1, "x", None, True]})
        streams[7][1].ack(streams[7][1].expect("endpoint"), ["a", "b"])
        found = when(fp, lambda n: len(n) == 8 and all(x["state"] == "synced" for x in n), "eight synced nodes")
    tap.is_([n["id"] for n in found], [f"n{i}" for i in range(8)], "by id")
    tap.is_({n["worker"] for n in found}, {0, 1}, "of all workers")
    n, m = found[1], streams[1][2]
    tap.is_({k: n[k] for k in ("cluster", "team", "scope", "mode", "instance", "tls", "metadata")},
            {"cluster": "edge", "team": "pay", "scope": "team", "mode": "sotw", "instance": fp.dir.name, "tls": None,
             "metadata": {"team": "pay", "extra": {"deep": [1, "x", None, True]}}}, "identity")
    tap.like(n["peer"], r"^127\.0\.0\.1:\d+$", "peer")
    tap.like(n["connectedSince"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", "connectedSince")
    tap.is_(sorted(n["types"]), ["CDS", "EDS"], "the types it subscribed to")
    tap.is_(n["types"]["CDS"], {"subscribed": "*", "sentVersion": m.version_info, "ackedVersion": m.version_info,
                                "ackedRevision": n["types"]["CDS"]["ackedRevision"], "pending": False, "lagMs": 0,
                                "held": 0, "nack": None}, "a type")
    tap.is_(n["types"]["EDS"]["subscribed"], 2, "names are counted")
    for i in range(20):
        tap.is_(len(nodes(fp)), 8, "whichever worker answers") if i == 0 else None
        if len(nodes(fp)) != 8:
            tap.ok(False, "whichever worker answers")

    tap.diag("filters")
    tap.is_([n["id"] for n in nodes(fp, "?team=pay")], ["n1", "n3", "n5", "n7"], "team")
    tap.is_([n["id"] for n in nodes(fp, "?limit=2&offset=3")], ["n3", "n4"], "limit and offset")
    r = fp.get("/api/v1/nodes?limit=1")
    tap.is_(r.headers["X-Total-Count"], "8", "X-Total-Count")
    served = fp.get("/api/v1/clusters").headers["Flowplane-Revision"]
    for path in ("nodes", "nodes/n3"):
        r = fp.get(f"/api/v1/{path}", headers={"Flowplane-Revision": served})
        tap.is_((r.status, r.headers["Flowplane-Revision"]), (200, served), f"§3: {path} is a snapshot read: says its revision")
        tap.is_(fp.get(f"/api/v1/{path}", headers={"Flowplane-Revision": str(int(served) + 1000)}).status, 503,
                f"§2.5: {path} waits for the revision asked for")
    tap.is_(nodes(fp, "?cluster=none"), [], "cluster")
    tap.is_(len(nodes(fp, "?state=synced&cluster=edge")), 8, "state")
    tap.is_(nodes(fp, "?state=rejected"), [], "none is rejected")
    for query in ("state=bad", "limit=x"):
        tap.is_(fp.get(f"/api/v1/nodes?{query}").status, 400, f"{query}: 400")
    tap.is_(fp.api("GET", "/nodes/n3")["id"], "n3", "one")
    tap.is_(fp.get("/api/v1/nodes/none").status, 404, "none of that id: 404")
    tap.is_(fp.get("/api/v1/nodes", token=None).status, 401, "no token: 401")

    tap.diag("pending and rejected")
    all_ = [hold(fp, "all"), hold(fp, "bad")]
    for _, s, _ in all_:
        s.ack(s.expect("endpoint"), ["a", "b"])
    when(fp, lambda n: len(n) == 10 and all(x["state"] == "synced" for x in n), "ten synced nodes")
    fp.api("PUT", "/clusters/a", cluster("a", 9), want=200)
    (_, good, _), (_, bad, before) = all_
    g, b = good.expect("cluster"), bad.expect("cluster")
    found = when(fp, lambda n: len(n) == 2, "two pending nodes", "?state=pending")
    t = found[0]["types"]["CDS"]
    tap.is_((t["sentVersion"], t["ackedVersion"], t["pending"]), (g.version_info, before.version_info, True),
            "sent, not acknowledged")
    lag = when(fp, lambda n: n[0]["types"]["CDS"]["lagMs"] > t["lagMs"], "lag grows", "?state=pending")
    for s, m in ((good, g), (bad, b)):
        s.ack(s.expect("endpoint"), ["a", "b"])
    good.ack(g)
    bad.nack(b, "c\u00e4nnot\nbe", version=before.version_info)
    found = when(fp, lambda n: len(n) == 1, "a rejected node", "?state=rejected")
    nack = found[0]["types"]["CDS"]["nack"]
    tap.is_((found[0]["id"], nack["version"], nack["code"], nack["message"], nack["names"]),
            ("bad", b.version_info, 3, "c\u00e4nnot\nbe", ["a"]), "N-8: version, code, message, names")
    when(fp, lambda n: n["state"] == "synced", "N-9: the other is synced", "/all")
    revision = int(fp.get("/api/v1/clusters").headers["Flowplane-Revision"])
    tap.is_(fp.api("GET", "/nodes/all")["types"]["CDS"]["ackedRevision"], revision, "ackedRevision is that of the write")
    fp.api("PUT", "/clusters/a", cluster("a", 11), want=200)
    for s in (good, bad):
        m = s.expect_until("cluster", lambda m: xds.unpack(m)["a"].connect_timeout.seconds == 11)
    found = when(fp, lambda n: n["state"] != "rejected", "resolved", "/bad")
    tap.is_(found["types"]["CDS"]["nack"], None, "N-8: cleared by the next ACK of a newer version")

    tap.diag("teams")
    pay = token(fp, "team:pay:nodes:read")
    if pay:
        tap.is_([n["id"] for n in nodes(fp, token=pay)], ["n1", "n3", "n5", "n7"], "§4.5: a team's token sees its nodes")
        tap.is_(fp.get("/api/v1/nodes/n0", token=pay).status, 404, "and no other")

    tap.diag("rejections in the database")
    def nacks(query="", **more):
        return fp.api("GET", f"/nacks{query}", **more)
    old = wait_until(lambda: [n for n in nacks("?open=false") if n["resolvedAt"]], 10, "the rejection is resolved")
    n = old[0]
    tap.is_((len(old), n["nodeId"], n["type"], n["code"], n["message"], n["resources"], n["count"], n["instance"]),
            (1, "bad", "CDS", 3, "c\u00e4nnot\nbe", ["a"], 1, fp.dir.name), "its row")
    tap.is_((n["versionRejected"], n["versionAccepted"], n["team"]), (b.version_info, before.version_info, None), "versions")
    tap.is_(nacks(), [], "open ones by default")
    names = ["a", "b"]
    e = streams[1][1]
    fp.api("PUT", "/clusters/b", cluster("b", 21), want=200)
    m = e.expect("cluster")
    e.nack(m, "team's", version=streams[1][2].version_info)
    bad.ack(bad.expect("cluster"))
    open_ = wait_until(lambda: nacks(), 10, "an open rejection")
    tap.is_((open_[0]["nodeId"], open_[0]["team"], open_[0]["resolvedAt"]), ("n1", "pay", None), "of a team's node")
    e.nack(m, "team's again", version=streams[1][2].version_info)
    open_ = wait_until(lambda: [n for n in nacks() if n["count"] == 2], 10, "a repeat")
    tap.is_((len(nacks()), open_[0]["message"]), (1, "team's again"), "repeats within 60 s raise the count")
    tap.is_([n["nodeId"] for n in nacks("?open=false&limit=1")], ["n1"], "newest first, limit")
    tap.is_(fp.get("/api/v1/nacks?open=false&limit=1").headers["X-Total-Count"], "2", "§2.2: X-Total-Count, beyond the limit")
    tap.is_([len(nacks(f"?open=false&{q}")) for q in ("nodeId=bad", "nodeId=x", "type=CDS", "type=EDS", "since=2999-01-01T00:00:00Z",
                                                     "since=2020-01-01T00:00:00Z")], [1, 0, 2, 0, 0, 2], "filters")
    for query in ("open=x", "since=x", "type=x", "limit=x"):
        tap.is_(fp.get(f"/api/v1/nacks?{query}").status, 400, f"{query}: 400")
    if pay:
        ops = token(fp, "team:ops:nodes:read")
        tap.is_([n["nodeId"] for n in nacks("?open=false", token=pay)], ["n1"], "§4.5: a team's token sees its own")
        tap.is_(nacks("?open=false", token=ops), [], "and another none")
    pg.stop()
    mem = wait_until(lambda: [n for n in nacks() if n["id"] is None], 20, "from memory")
    tap.is_((len(mem), mem[0]["nodeId"], mem[0]["count"], mem[0]["resources"]), (1, "n1", 2, ["b"]),
            "with the database away the open ones of this instance")
    fp.api("GET", "/nodes")
    pg.start()
    fp.wait_database()
    fp.api("PUT", "/clusters/b", cluster("b", 22), want=200)
    e.ack(e.expect_until("cluster", lambda m: xds.unpack(m)["b"].connect_timeout.seconds == 22, ack=False))
    wait_until(lambda: nacks() == [], 10, "resolved in the database")
    tap.ok(True, "an ACK of a newer set resolves it")
    fp.api("PUT", "/clusters/b", cluster("b", 23), want=200)
    e.nack(e.expect("cluster"), "and gone", version="x")
    wait_until(lambda: len(nacks()) == 1, 10, "an open rejection")
    streams[1][0].close()
    when(fp, lambda n: all(x["id"] != "n1" for x in n), "its node has left")
    tap.is_(len(nacks()), 1, "its rejection stays open when the node leaves")
    streams[1] = hold(fp, "n1", team="pay", extra={"deep": [1, "x", None, True]})
    wait_until(lambda: nacks() == [], 10, "resolved")
    tap.ok(True, "and is resolved by the first ACK of its next stream, on any worker")

    def push(streams, timeout):
        """The answers to a change of b, not acknowledged."""
        wait_until(lambda: fp.request("PUT", "/api/v1/clusters/b", cluster("b", timeout)).status == 200, 20, "written")
        return [s.expect_until("cluster", lambda m: xds.unpack(m)["b"].connect_timeout.seconds == timeout, ack=False) for s in streams]
    pair = [hold(fp, f"m{i}") for i in range(2)]
    for i, m in enumerate(push([s for _, s, _ in pair], 24)):
        pair[i][1].nack(m, "no")
        wait_until(lambda: len(nacks()) == i + 1, 10, "its rejection")
    pg.stop()
    memory = wait_until(lambda: [n for n in nacks() if n["id"] is None], 20, "from memory")
    tap.is_([n["nodeId"] for n in memory], ["m1", "m0"], "§2.5: from memory newest first too")
    r = fp.get("/api/v1/nacks?limit=1")
    tap.is_(([n["nodeId"] for n in r.json], r.headers["X-Total-Count"]), (["m1"], "2"), "with limit and total")
    pg.start()
    for (ch, s, _), m in zip(pair, push([s for _, s, _ in pair], 25)):
        s.ack(m)
    wait_until(lambda: nacks() == [], 10, "resolved")
    for ch, _, _ in pair:
        ch.close()
    when(fp, lambda n: all(x["id"] not in ("m0", "m1") for x in n), "both have left")

    tap.diag("a rejection that the database refuses")
    pg.psql("ALTER TABLE xds_nacks ADD CONSTRAINT never CHECK (node_id <> 'refused')")
    ends = [hold(fp, "bad1"), hold(fp, "refused"), hold(fp, "bad2")]
    for (_, s, _), m in zip(ends, push([s for _, s, _ in ends], 26)):
        s.nack(m, "no")
    wait_until(lambda: {n["nodeId"] for n in nacks()} == {"bad1", "bad2"}, 20, "the others' rows")
    tap.ok(fp.wait_log("a rejection of cluster by node .* is not stored"), "it is told, and keeps no other rejection out")
    for (_, s, _), m in zip(ends, push([s for _, s, _ in ends], 27)):
        s.ack(m)
    wait_until(lambda: nacks() == [], 20, "resolved")
    for ch, _, _ in ends:
        ch.close()
    when(fp, lambda n: all(x["id"] not in ("bad1", "bad2", "refused") for x in n), "they have left")

    tap.diag("gone")
    streams[0][0].close()
    when(fp, lambda n: len(n) == 9 and n[0]["id"] != "n0", "a node that left is gone")
    twice = hold(fp, "n1")
    tap.is_([n["id"] for n in when(fp, lambda n: len(n) == 10, "ten")][2:4], ["n1", "n1"],
            "duplicates of one id are separate items")
    tap.is_(fp.api("GET", "/nodes/n1")["scope"], "all", "the one connected last answers for the id")
    before = nodes(fp)
    gone = [n["id"] for n in before if n["worker"] == 0]
    worker = [p for p in fp.workers() if b"worker 0" in open(f"/proc/{p}/cmdline", "rb").read()][0]
    os.kill(worker, signal.SIGKILL)
    fp.allow("killed by signal")
    found = when(fp, lambda n: len(n) == len(before) - len(gone), "the nodes of a killed worker are gone")
    tap.is_({n["worker"] for n in found}, {1}, "those of the other are there")
    again = hold(fp, "after")
    when(fp, lambda n: len(n) == len(before) - len(gone) + 1, "and new ones come")
    tap.ok(True, "its seat is used again")

    # an id longer than an index entry of the database holds (nothing in it compresses): its rejection is one as any other
    long_id = os.urandom(3000).hex()
    ch, s, m = hold(fp, long_id)
    fp.api("PUT", "/clusters/a", cluster("a", 77))
    m = s.expect("cluster")
    s.nack(m, "from afar")
    wait_until(lambda: [n for n in fp.api("GET", "/nacks?open=false") if n["nodeId"] == long_id], what="the rejection of a node with a long id")
    tap.is_([n["message"] for n in fp.api("GET", f"/nacks?open=false&nodeId={long_id}")], ["from afar"], "found by its id")
