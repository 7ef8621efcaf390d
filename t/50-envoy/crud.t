#!/usr/bin/env python3
"""From curl to a real Envoy: create, update one kind at a time, delete in both orders; config_dump equals REST."""
import fp_fleet as fleet
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port, wait_until
from fp_tap import is_, ok, run

KINDS = {"clusters": "cluster", "routes": "route", "listeners": "listener"}


def canonical(resource, kind):
    """The message behind either JSON: REST's canonical one or the admin port's."""
    import fp_xds as xds
    # what is inside Any must be known to the parser
    import envoy.extensions.filters.http.router.v3.router_pb2  # noqa: F401
    import envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2  # noqa: F401
    from google.protobuf import json_format
    m = xds.MESSAGES[kind]()
    json_format.ParseDict({k: v for k, v in resource.items() if k != "@type"}, m)
    return m.SerializeToString(deterministic=True)


def hosts_of(fp, name):
    return sorted((e["host"], e["port"]) for e in fp.api("GET", f"/clusters/{name}")["config"]["endpoints"])


def hosts_in(assignment):
    addresses = [h["endpoint"]["address"]["socket_address"] for e in assignment.get("endpoints", []) for h in e["lb_endpoints"]]
    return sorted((a["address"], a["port_value"]) for a in addresses)


def same(fp, envoy):
    """Every dynamic resource of Envoy is what REST says, and there are no others."""
    dump, wrong = envoy.config_dump(eds=True), []
    for path, kind in KINDS.items():
        rest = {r["name"]: fp.api("GET", f"/{path}/{r['name']}?view=envoy")["envoy"] for r in fp.api("GET", f"/{path}")}
        if set(rest) != set(dump[path]):
            wrong.append((path, sorted(rest), sorted(dump[path])))
            continue
        if path == "clusters":
            wrong += [("endpoints", n) for n in rest if hosts_of(fp, n) != hosts_in(dump["endpoints"].get(n, {}))]
        wrong += [(path, n) for n in rest if canonical(rest[n], kind) != canonical(dump[path][n], kind)]
    return wrong


with run():
    fp = Flowplane(Postgres(), conf={"bootstrap.default_gateway": False})
    one, two, port = Backend("one"), Backend("two"), free_port()
    envoy = Envoy(fp.xds_port)
    envoy.wait_live()
    fleet.lay(fp, port, one)
    is_(envoy.wait_get(port), (200, "one"), "created with three calls: a request goes through")
    is_(same(fp, envoy), [], "config_dump equals what REST says")

    # ---- one kind at a time: only that type moves
    def moved(deed, wait, what):
        names = ("cluster_manager.cds.update_success", "listener_manager.lds.update_success")
        before = [envoy.stat(n) for n in names]
        deed()
        wait()
        is_(same(fp, envoy), [], f"{what}: config_dump equals REST")
        return [envoy.stat(n) - b for n, b in zip(names, before)]

    def timeout_is(text):
        envoy.wait_for(lambda d: d["clusters"]["shop"].get("connect_timeout") == text)

    cds, lds = moved(lambda: fp.api("PUT", "/clusters/shop", fleet.cluster("shop", one.port, connectTimeoutSeconds=9)),
                     lambda: timeout_is("9s"), "cluster only")
    is_((cds, lds), (1, 0), "cluster only: CDS moved, LDS did not")
    cds, lds = moved(lambda: fp.api("PUT", "/clusters/shop", fleet.cluster("shop", two.port, connectTimeoutSeconds=9)),
                     lambda: wait_until(lambda: envoy.get(port) == (200, "two"), 10, "the other endpoint"), "endpoints only")
    is_((cds, lds), (0, 0), "endpoints only: neither CDS nor LDS moved (contract §5.2.2)")

    # ---- EDS alone: connections to the hosts that stay are kept
    both = fleet.cluster("shop", two.port, connectTimeoutSeconds=9)
    both["endpoints"].append({"host": "127.0.0.1", "port": one.port})
    opened, closed = (envoy.stat(f"cluster.shop.upstream_cx_{s}") for s in ("total", "destroy"))
    cds, lds = moved(lambda: fp.api("PUT", "/clusters/shop", both),
                     lambda: envoy.wait_stat("cluster.shop.membership_total", lambda n: n == 2), "a second endpoint")
    is_((cds, lds), (0, 0), "a second endpoint: only EDS moved")
    is_({envoy.get(port)[1] for _ in range(8)}, {"one", "two"}, "both are used")
    is_([envoy.stat(f"cluster.shop.upstream_cx_{s}") for s in ("total", "destroy")], [opened + 1, closed],
        "one connection more, to the new host; the old one was kept")
    both["endpoints"].pop()
    moved(lambda: fp.api("PUT", "/clusters/shop", both),
          lambda: envoy.wait_stat("cluster.shop.membership_total", lambda n: n == 1), "without it again")

    cds, lds = moved(lambda: fp.api("PUT", "/routes/shop", fleet.route("shop", "shop", prefixRewrite="/new")),
                     lambda: envoy.wait_for(lambda d: "/new" in str(d["routes"])), "route only")
    is_((cds, lds), (0, 0), "route only: neither CDS nor LDS moved")
    changed = fleet.listener("shop", port, "shop")
    changed["filterChains"][0]["filters"][0]["serverName"] = "edge"
    cds, lds = moved(lambda: fp.api("PUT", "/listeners/shop", changed),
                     lambda: envoy.wait_for(lambda d: '"server_name": "edge"' in str(d["listeners"]).replace("'", '"')), "listener only")
    is_((cds, lds), (0, 1), "listener only: LDS moved, CDS did not")
    is_(envoy.wait_get(port), (200, "two"), "traffic flows all the while")

    # ---- away, listener first
    for path in ("listeners", "routes", "clusters"):
        is_(fp.delete(f"/api/v1/{path}/shop").status, 204, f"DELETE {path}")
    envoy.wait_for(lambda d: not d["clusters"] and not d["listeners"])
    is_([w for w in same(fp, envoy) if w[0] != "routes"], [], "all gone from Envoy; its route lasts as long as the listener drains (O-15)")

    # ---- away, cluster first: allowed only when nothing names it
    fleet.lay(fp, port, one)
    envoy.wait_get(port)
    is_(fp.delete("/api/v1/clusters/shop").status, 409, "the cluster first: 409 while a route names it")
    fp.api("PUT", "/routes/shop", {"name": "shop", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
        {"name": "x", "match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "direct", "status": 204}}]}]})
    is_(fp.delete("/api/v1/clusters/shop").status, 204, "once none names it: gone")
    envoy.wait_for(lambda d: not d["clusters"])
    is_(envoy.wait_get(port, want=204)[0], 204, "the route answers by itself")
    is_(fp.delete("/api/v1/listeners/shop").status, 204, "then the listener")
    envoy.wait_for(lambda d: not d["listeners"])
    rejected = {n: v for n, v in envoy.stats("update_rejected").items() if v}
    ok(not rejected, "nothing was rejected", rejected)
