#!/usr/bin/env python3
"""What a real Envoy rejects: one NACK and no loop (N-3, N-4), the good beside it is applied (N-6, N-9), the fix and the way back arrive (N-10)."""
import urllib.parse

import fp_fleet as fleet
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port, wait_until
from fp_tap import is_, like, ok, run

NOT_OURS = "192.0.2.1"  # an address no host has (RFC 5737)
STATS = {"CDS": "cluster_manager.cds", "LDS": "listener_manager.lds", "RDS": "http.ingress_http.rds.shop"}


def rejected(type_):
    return envoy.stat(STATS[type_] + ".update_rejected")


def lines(type_):
    return sum(f"{type_} rejected by node {envoy.node_id}" in e.get("fields", {}).get("message", "") for e in fp.log_events())


def node_type(type_):
    return next(n for n in fp.api("GET", "/nodes") if n["id"] == envoy.node_id)["types"][type_]


def fence(n=[10]):
    """Something that every stream gets behind all that was done before: an endpoint set that moves."""
    n[0] += 1
    fp.api("PUT", "/clusters/fence", fleet.cluster("fence", n[0]))
    wait_until(lambda: f"fence::127.0.0.1:{n[0]}::" in envoy.admin("/clusters"), 10, "the fence")


def quiet(type_, what):
    """N-3: things move on this stream, and what was rejected does not come again."""
    before = rejected(type_), envoy.stat(STATS[type_] + ".update_attempt")
    for _ in range(5):
        fence()
    is_((rejected(type_), envoy.stat(STATS[type_] + ".update_attempt")), before, f"N-3: {what} is not sent again")


def listeners():
    """Updates of one turn: a rejected listener, and a good one that comes and goes with it."""
    fp.api("POST", "/listeners", {**fleet.listener("bad", extra, "shop"), "address": NOT_OURS}, want=201)
    envoy.wait_stat(STATS["LDS"] + ".update_rejected", lambda n: n == 1)
    quiet("LDS", "a listener on an address of another host")
    is_((rejected("LDS"), lines("LDS")), (1, 1), "N-4: one NACK, logged once")
    nack = node_type("LDS")["nack"]
    is_(nack["names"], ["bad"], "N-8: REST names the suspect")
    like(nack["message"], f"cannot bind '{NOT_OURS}:{extra}'", "N-8: and Envoy's words")
    is_(envoy.get(port), (200, "one"), "the listener it has goes on")

    changed = fleet.listener("shop", port, "shop")
    changed["filterChains"][0]["filters"][0]["serverName"] = "edge"
    fp.api("PUT", "/listeners/shop", changed)
    envoy.wait_for(lambda d: "edge" in str(d["listeners"]["shop"]))
    ok(True, "N-9: a change of another listener arrives, the rejected one beside it")
    fp.api("PUT", "/listeners/bad", fleet.listener("bad", extra, "shop"))
    is_(envoy.wait_get(extra), (200, "one"), "N-10: the fix reaches the same stream")
    wait_until(lambda: node_type("LDS")["nack"] is None, 5, "the rejection is resolved")
    fp.api("DELETE", "/listeners/bad")
    envoy.wait_for(lambda d: set(d["listeners"]) == {"shop"})


def clusters():
    fp.api("POST", "/clusters", ODD, want=201)
    envoy.wait_stat(STATS["CDS"] + ".update_rejected", lambda n: n == 1)
    quiet("CDS", "a raw cluster")
    is_(lines("CDS"), 1, "logged once")
    fp.api("POST", "/clusters", fleet.cluster("new", two.port), want=201)
    fp.api("PUT", "/routes/shop", fleet.route("shop", "new"))
    wait_until(lambda: envoy.get(port) == (200, "two"), 3, "a new cluster and a route to it")
    ok(True, "N-6: a new cluster beside a rejected one is used, and the route to it waits for no ACK that cannot come")
    fp.api("PUT", "/routes/shop", fleet.route("shop", "shop"))
    wait_until(lambda: envoy.get(port) == (200, "one"), 3, "the route goes back")


def restarted():
    """N-12: the first answers of a stream hold what was never accepted."""
    envoy.restart()
    envoy.wait_get(port)
    fp.api("PUT", "/routes/shop", fleet.route("shop", "new"))
    wait_until(lambda: envoy.get(port) == (200, "two"), 10, "the route moves")
    ok(True, "N-12: a started Envoy gets the good clusters and its routes, with no time-out in the way")
    fp.api("PUT", "/routes/shop", fleet.route("shop", "shop"))
    with fleet.Load(envoy, port) as load:
        envoy.wait_stat(STATS["CDS"] + ".update_rejected", lambda n: n == 2)
        load.more(100)
    is_(load.failed(), {}, f"P7: the rejected cluster is tried once more, alone: none of {load.total()} requests failed")
    quiet("CDS", "what failed its trial")
    fp.api("DELETE", "/clusters/new")
    fp.api("DELETE", "/clusters/odd")
    envoy.wait_for(lambda d: set(d["clusters"]) == {"shop", "fence"})
    is_(envoy.stat("cluster.xds_cluster.upstream_rq_total"), 1, "N-10: all on one stream")


def odd(name):
    return {**ODD, "name": name, "envoy": {**ODD["envoy"], "name": name, "loadAssignment": {"clusterName": name}}}


def named():
    """P7: Envoy's words name the culprits, whatever their names hold: the others are in the next set, under load."""
    culprits, good = ["odd one", "com,ma: it's"], ["a", "b", "one", "p", "q", "t"]
    before = rejected("CDS")
    with fleet.Load(envoy, port, keep=True) as load:
        fp.api("POST", "/apply?source=test", [{"kind": "cluster", **(odd(n) if n in culprits else fleet.cluster(n, two.port))}
                                              for n in good + culprits])
        envoy.wait_stat(STATS["CDS"] + ".update_rejected", lambda n: n >= before + 1 + len(culprits))
        wait_until(lambda: node_type("CDS")["pending"] is False, 20, "all trials are done")
        fp.api("PUT", "/routes/shop", fleet.route("shop", "t"))
        wait_until(lambda: envoy.get(port) == (200, "two"), 10, "a route to one of the good ones")
        fp.api("PUT", "/routes/shop", fleet.route("shop", "shop"))
        load.more(50)
    is_(load.failed(), {}, f"N-6: nothing that Envoy runs is taken away: none of {load.total()} requests failed")
    is_(set(good) - set(envoy.config_dump()["clusters"]), set(), "the good ones are there")
    is_(node_type("CDS")["nack"] is not None, True, "N-8: which stays told")
    quiet("CDS", "what failed its trial")
    is_(rejected("CDS") - before, 1 + len(culprits), "P7: the set, and each culprit alone")
    for n in good + culprits:
        fp.api("DELETE", "/clusters/" + urllib.parse.quote(n))
    envoy.wait_for(lambda d: set(d["clusters"]) == {"shop", "fence", "new"})


def unnamed():
    """P7: of an endpoint set Envoy says what is wrong, and not which one: halves are tried."""
    ads = {"ads": {}, "resourceApiVersion": "V3"}
    sets = {n: "127.0.0.1" for n in "abcdefgh"} | {"e": "no.address"}
    fp.api("POST", "/apply?source=test", [
        item for n, host in sets.items() for item in (
            {"kind": "endpoint", "name": n, "envoy": {"clusterName": n, "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {
                "socketAddress": {"address": host, "portValue": two.port}}}}]}]}},
            {"kind": "cluster", "name": n, "envoy": {"name": n, "type": "EDS", "connectTimeout": "1s",
                                                     "edsClusterConfig": {"edsConfig": ads}}})])
    of_bad = "cluster.e.update_rejected"  # each rejection counts with all who share the subscription
    envoy.wait_stat(of_bad, lambda n: n >= 3, 30)
    wait_until(lambda: set(sets) - {"e"} <= set(envoy.config_dump(eds=True)["endpoints"]), 20, "the good ones")
    for _ in range(5):
        fence()
    is_(envoy.stat(of_bad), 3, f"P7: one of {len(sets)} is found by halving, alone at last; N-3: and not sent again")
    is_(node_type("EDS")["nack"] is not None, True, "N-8: which stays told")
    for n in sets:
        fp.api("DELETE", "/clusters/" + n)
        fp.api("DELETE", "/endpoints/" + n)
    envoy.wait_for(lambda d: set(d["clusters"]) == {"shop", "fence", "new"})


def reconnected():
    """N-6, N-12: a bad change of a cluster, and Envoy's stream is a new one: nobody knows any more what it runs."""
    fp.api("PUT", "/routes/shop", fleet.route("shop", "shop"))
    before, streams = rejected("CDS"), envoy.stat("cluster.xds_cluster.upstream_rq_total")
    was = fleet.cluster("shop", one.port)
    fp.api("PUT", "/clusters/shop", {**ODD, "name": "shop", "envoy": {**ODD["envoy"], "name": "shop",
                                                                     "loadAssignment": {"clusterName": "shop"}}})
    envoy.wait_stat(STATS["CDS"] + ".update_rejected", lambda n: n > before)
    with fleet.Load(envoy, port, keep=True) as load:
        fp.reload()
        envoy.wait_stat("cluster.xds_cluster.upstream_rq_total", lambda n: n > streams, 30)
        envoy.wait_stat(STATS["CDS"] + ".update_rejected", lambda n: n > before + 1, 30)
        quiet("CDS", "what it rejected on the new stream")
        load.more(100)
    is_(load.failed(), {}, f"N-6: the cluster it runs goes on in older bytes: none of {load.total()} requests failed")
    fp.api("PUT", "/clusters/shop", was)
    wait_until(lambda: node_type("CDS")["nack"] is None, 10, "N-10: the fix resolves it")


def routes():
    twice = {"name": "shop", "envoy": {"name": "shop", "virtualHosts": [{"name": n, "domains": ["*"]} for n in "ab"]}}
    fp.api("PUT", "/routes/shop", twice)
    envoy.wait_stat(STATS["RDS"] + ".update_rejected", lambda n: n == 1)
    quiet("RDS", "a route configuration with two wildcards")
    is_(envoy.get(port), (200, "one"), "the routes it has go on")
    fp.api("PUT", "/routes/shop", fleet.route("shop", "shop", prefixRewrite="/fixed"))
    envoy.wait_for(lambda d: "/fixed" in str(d["routes"]["shop"]))
    is_((rejected("RDS"), lines("RDS")), (1, 1), "N-10: the fix arrives; one NACK, logged once")


def way_back(table, *bodies):
    """Two come in one commit, one good and one bad, and go in one commit: back to what Envoy ACKed last."""
    good, bad = (b["name"] for b in bodies)
    both = f"name IN ('{good}', '{bad}')"
    for body in bodies:  # the rows as the API makes them
        fp.api("POST", f"/{table}", body, want=201)
    pg.psql(f"CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE {both}; DELETE FROM {table} WHERE {both}")
    envoy.wait_for(lambda d: good not in d[table])
    fence()
    before = rejected({"clusters": "CDS", "listeners": "LDS"}[table])
    pg.psql(f"INSERT INTO {table} SELECT * FROM kept_{table}")
    envoy.wait_for(lambda d: good in d[table])
    ok(rejected({"clusters": "CDS", "listeners": "LDS"}[table]) > before,
       f"N-6: of two new {table} in one answer Envoy rejects one, and applies the other")
    pg.psql(f"DELETE FROM {table} WHERE {both}")
    envoy.wait_for(lambda d: good not in d[table])
    ok(True, f"N-6: back to the {table} it ACKed last: it lets go of the one it had applied")


ODD = {"name": "odd", "envoy": {"name": "odd", "type": "STATIC", "connectTimeout": "1s", "lbPolicy": "CLUSTER_PROVIDED",
                                "loadAssignment": {"clusterName": "odd"}}}

with run():
    pg = Postgres()
    fp = Flowplane(pg, conf={"bootstrap.default_gateway": False, "process.worker_shutdown_timeout": "1s",
                             "xds.ordering_timeout": "1h"})  # no rule may need it
    one, two, port, extra = Backend("one"), Backend("two"), free_port(), free_port()
    fleet.lay(fp, port, one)
    fp.api("POST", "/clusters", fleet.cluster("fence", 1), want=201)
    envoy = Envoy(fp.xds_port)
    envoy.wait_get(port)
    listeners()
    clusters()
    named()
    unnamed()
    restarted()
    reconnected()
    routes()
    way_back("clusters", fleet.cluster("good", two.port), ODD)
    way_back("listeners", fleet.listener("good", extra, "shop"), {**fleet.listener("bad", extra, "shop"), "address": NOT_OURS})
