#!/usr/bin/env python3
"""The whole road: REST, PostgreSQL, watcher, snapshot, stream; two instances, restarts, a database away."""
import fp_tap as tap
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until

NO_GATEWAY = {"bootstrap.default_gateway": False}


def cluster(name, timeout=5, port=8080):
    return {"name": name, "connectTimeoutSeconds": timeout, "endpoints": [{"host": "127.0.0.1", "port": port}]}


def route(name, cluster_name):
    return {"name": name, "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
        {"name": "all", "match": {"path": {"type": "prefix", "value": "/"}},
         "action": {"type": "forward", "cluster": cluster_name}}]}]}


def listener(name, port, route_name):
    return {"name": name, "address": "127.0.0.1", "port": port, "filterChains": [{"name": "c", "filters": [
        {"name": "envoy.filters.network.http_connection_manager", "type": "httpConnectionManager",
         "routeConfigName": route_name}]}]}


def hold(fp, version=None):
    """A stream with every type subscribed and ACKed: (channel, stream, {type: response})."""
    ch = xds.Channel(fp.xds_port)
    s, r = ch.ads(node_id="live"), {}
    for type_, names in (("cluster", []), ("endpoint", ["a", "b"]), ("listener", []), ("route", ["r"])):
        s.subscribe(type_, names)
        r[type_] = s.expect(type_)
        s.ack(r[type_], names)
    return ch, s, r


def versions(r):
    return {t: m.version_info for t, m in r.items()}


with tap.run():
    pg = Postgres()
    fp = Flowplane(pg, conf=NO_GATEWAY)
    fp.api("POST", "/api/v1/clusters", cluster("a"), want=201)
    fp.api("POST", "/api/v1/clusters", cluster("b"), want=201)
    fp.api("POST", "/api/v1/routes", route("r", "a"), want=201)
    fp.api("POST", "/api/v1/listeners", listener("l", 18080, "r"), want=201)
    fp.settle()

    ch, s, r = hold(fp)
    tap.is_({t: xds.names(m) for t, m in r.items()},
            {"cluster": ["a", "b"], "endpoint": ["a", "b"], "listener": ["l"], "route": ["r"]}, "what REST made is served")
    tap.is_(xds.unpack(r["endpoint"])["a"].endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value, 8080,
            "O-13: the endpoint set of a cluster is generated")

    fp.api("PUT", "/api/v1/clusters/a", cluster("a", timeout=9), want=200)
    m = s.expect("cluster")
    tap.is_(xds.unpack(m)["a"].connect_timeout.seconds, 9, "a change of the cluster")
    e = s.expect("endpoint")
    tap.is_(xds.names(e), ["a"], "O-1: its endpoints right behind")
    s.ack(e, ["a", "b"]), s.ack(m)
    fp.api("PUT", "/api/v1/clusters/a", cluster("a", timeout=9, port=8081), want=200)
    e = s.expect("endpoint")
    tap.is_(xds.names(e), ["a"], "L-4: a change of endpoints moves only EDS")
    s.ack(e, ["a", "b"])
    fp.api("PUT", "/api/v1/clusters/a", cluster("a", timeout=9, port=8081), want=200)
    s.expect_nothing("L-5: the same again moves nothing", settle=0.3)

    other = Flowplane(pg, conf=NO_GATEWAY)
    other.token = fp.token
    fp.settle(), other.settle()
    ch2, s2, r2 = hold(other)
    ch1, s1, r1 = hold(fp)
    tap.is_(versions(r2), versions(r1), "S-17: two instances, the same versions")
    tap.is_({t: xds.raw(m) for t, m in r2.items()}, {t: xds.raw(m) for t, m in r1.items()}, "and the same bytes")
    tap.ok(r1["cluster"].control_plane.identifier != r2["cluster"].control_plane.identifier, "S-19: but other identifiers")
    other.api("POST", "/api/v1/clusters", cluster("c"), want=201)
    v1, v2 = s1.expect("cluster"), s2.expect("cluster")
    tap.is_((xds.names(v1), v1.version_info), (["a", "b", "c"], v2.version_info), "a write on one reaches the streams of both")
    ch1.close(), ch2.close()
    fp.settle(int(other.get("/api/v1/clusters").headers["Flowplane-Revision"]))

    pg.stop()
    with xds.Channel(fp.xds_port) as away:
        s3 = away.ads(node_id="late")
        s3.subscribe("cluster")
        tap.is_(xds.names(s3.expect("cluster")), ["a", "b", "c"], "E-8: a new stream is served while the database is away")
    pg.start()
    fp.wait_database()
    fp.api("POST", "/clusters", cluster("d"), want=201)
    s.expect_until("cluster", lambda m: "d" in xds.names(m), 20)
    tap.ok(True, "E-8: the old stream goes on")

    revision = int(fp.get("/api/v1/clusters").headers["Flowplane-Revision"])
    wait_until(lambda: other.get("/api/v1/clusters", headers={"Flowplane-Revision": str(revision)}).status == 200, what="the other, too")
    other.settle(revision)
    before = versions(hold(other)[2])
    other.restart()
    tap.is_(versions(hold(other)[2]), before, "S-18: a restart changes no version")
    pg.psql("update clusters set configuration = jsonb_set(configuration, '{connectTimeoutSeconds}', '3') where name = 'b'")
    s.expect_until("cluster", lambda m: xds.unpack(m)["b"].connect_timeout.seconds == 3, 20)
    tap.ok(True, "a row edited by hand propagates")
    for kind, name in (("listeners", "l"), ("routes", "r"), ("clusters", "a")):
        fp.api("DELETE", f"/api/v1/{kind}/{name}", want=204)
    s.expect_until("listener", lambda m: xds.names(m) == [], 20)
    s.expect_until("cluster", lambda m: "a" not in xds.names(m), 20)
    tap.ok(True, "O-7: removals arrive, the cluster's last")
