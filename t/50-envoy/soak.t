#!/usr/bin/env python3
"""Three Envoys through random writes, a listener under load among what moves; then also while workers and the watcher are killed, the
configuration reloaded and an Envoy started anew, and the listener under load is left alone.  No request fails, nothing is rejected,
nothing warms for ever, each ends with what REST says.  FP_LONG=1: many minutes of it.  FP_SEED repeats one."""
import collections
import os
import random
import signal

import fp_fleet as fleet
import fp_util as util
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port, wait_until
from fp_tap import diag, is_, ok, run

STEPS, EVERY = util.rounds(60, 6000), 12
DRAIN_S = 4  # at its end Envoy cuts connections that had not enough answers to be told, in the middle of one if need be
NAMES = [f"n{i}" for i in range(6)]


class World:
    """What there is: clusters, routes by the cluster they name, listeners by the routes."""

    def __init__(self, fp, rng, backs):
        self.fp, self.rng, self.backs = fp, rng, backs
        self.clusters, self.routes, self.listeners = set(), {}, {}
        self.ports = {n: free_port() for n in NAMES}
        self.anchor, self.anchor_port, self.moves = "anchor", free_port(), 0
        self.odd = set()

    def cluster(self, name):
        more = {"connectTimeoutSeconds": self.rng.randrange(1, 9)} if self.rng.random() < 0.5 else {}
        return fleet.cluster(name, self.rng.choice(self.backs).port, **more)

    def put(self, table, name, body, there):
        self.fp.api("PUT" if there else "POST", f"/{table}/{name}" if there else f"/{table}", body, want=200 if there else 201)

    def make(self):
        name = self.rng.choice(NAMES)
        self.put("clusters", name, self.cluster(name), name in self.clusters)
        self.clusters.add(name)

    def aim(self):
        if self.clusters:
            name, target = self.rng.choice(NAMES), self.rng.choice(sorted(self.clusters))
            self.put("routes", name, fleet.route(name, target), name in self.routes)
            self.routes[name] = target

    def listen(self):
        if self.routes:
            name, routes = self.rng.choice(NAMES), self.rng.choice(sorted(self.routes))
            self.put("listeners", name, fleet.listener(name, self.ports[name], routes), name in self.listeners)
            self.listeners[name] = routes

    def drop(self):
        """Of each what nothing names any more."""
        for table, have, used in (("listeners", self.listeners, ()), ("routes", self.routes, self.listeners.values()),
                                  ("clusters", self.clusters, self.routes.values())):
            free = sorted(set(have) - set(used))
            if free and self.rng.random() < 0.5:
                name = self.rng.choice(free)
                self.fp.api("DELETE", f"/{table}/{name}", want=204)
                have.remove(name) if table == "clusters" else have.pop(name)

    def move_anchor(self):
        """Everything behind the listener under load: at once, or step by step with the old removed right behind."""
        old, self.moves = self.anchor, self.moves + 1
        self.anchor = new = f"anchor-{self.moves}"
        cluster, route = self.cluster(new), fleet.route(new, new)
        listener = fleet.listener("anchor", self.anchor_port, new)
        if self.rng.random() < 0.5:
            self.fp.api("POST", "/clusters", cluster, want=201)
            self.fp.api("POST", "/routes", route, want=201)
            self.fp.api("PUT", "/listeners/anchor", listener)
        else:
            self.fp.api("POST", "/apply?source=soak&force=true", [
                {"kind": "cluster", **cluster}, {"kind": "route", **route}, {"kind": "listener", **listener}], want=200)
        self.fp.api("DELETE", f"/routes/{old}", want=204)
        self.fp.api("DELETE", f"/clusters/{old}", want=204)

    def spoil(self):
        """A cluster that Envoy rejects comes, changes or goes; of one it says the name, of the other none that we recognize."""
        name = self.rng.choice(("odd", "odd one"))
        there = name in self.odd
        if there and self.rng.random() < 0.5:
            self.odd.remove(name)
            self.fp.api("DELETE", "/clusters/" + name.replace(" ", "%20"), want=204)
            return
        self.odd.add(name)
        odd = {"name": name, "type": "STATIC", "connectTimeout": f"{self.rng.randrange(1, 9)}s", "lbPolicy": "CLUSTER_PROVIDED",
               "loadAssignment": {"clusterName": name}}
        self.put("clusters", name.replace(" ", "%20") if there else name, {"name": name, "envoy": odd}, there)

    def replace_all(self):
        """Another set of everything in one revision, after what it has no more is gone."""
        names = self.rng.sample(NAMES, 3)
        listeners = {n: self.rng.choice(names) for n in names[:2]}
        for name in sorted(set(self.listeners) - set(listeners)):
            self.fp.api("DELETE", f"/listeners/{name}", want=204)
        items = [{"kind": "cluster", **self.cluster(n)} for n in names]
        routes = {n: self.rng.choice(names) for n in names}
        items += [{"kind": "route", **fleet.route(n, t)} for n, t in routes.items()]
        items += [{"kind": "listener", **fleet.listener(n, self.ports[n], r)} for n, r in listeners.items()]
        self.fp.api("POST", "/apply?source=soak&force=true", items, want=200)
        for table, have, kept in (("routes", self.routes, routes), ("clusters", self.clusters, names)):
            for name in sorted(set(have) - set(kept)):
                self.fp.api("DELETE", f"/{table}/{name}", want=204)
        self.clusters, self.routes, self.listeners = set(names), routes, listeners


def disturb(fp, envoys, rng):
    what = rng.choice(("worker", "watcher", "reload", "envoy"))
    if what == "worker":
        os.kill(rng.choice(fp.workers()), signal.SIGKILL)
    elif what == "watcher":
        os.kill(wait_until(fp.watcher, 20, "a watcher"), signal.SIGKILL)
    elif what == "reload":
        fp.reload()
    else:
        envoys[-1].restart()
    wait_until(lambda: len(fp.workers()) >= 2 and fp.get("/readyz", token=None).status == 200, 30, f"ready after {what}")
    return what


def has(envoy):
    """(clusters, {route: cluster}, listeners): of its routes those that its listeners name, others may drain yet."""
    d = envoy.config_dump()
    named = {l["filter_chains"][0]["filters"][0]["typed_config"]["rds"]["route_config_name"] for l in d["listeners"].values()}
    routes = {n: r["virtual_hosts"][0]["routes"][0]["route"]["cluster"] for n, r in d["routes"].items() if n in named}
    return set(d["clusters"]), routes, set(d["listeners"])


def settled(fp, world, envoys):
    """Each Envoy ends with what REST says."""
    if not world.listeners:
        world.replace_all()
    routes = {r: world.routes[r] for r in world.listeners.values()}
    all_ = (world.clusters | {world.anchor}, {**routes, world.anchor: world.anchor}, set(world.listeners) | {"anchor"})
    for envoy, want in zip(envoys, (all_, all_, (set(routes.values()), routes, set(world.listeners)))):
        try:
            wait_until(lambda: has(envoy) == want, 40, "what REST says")
        except util.Timeout:
            is_(has(envoy), want, "an Envoy ends with what REST says")


def quiet(fp):
    return all(not t["pending"] and not t["nack"] for n in fp.api("GET", "/nodes") for t in n["types"].values() if t)


with run():
    rng = random.Random(util.seed())
    fp = Flowplane(Postgres(), conf={"bootstrap.default_gateway": False, "process.worker_shutdown_timeout": "1s"})
    fp.allow("was killed by signal 9")
    backs = [Backend("one"), Backend("two")]
    world = World(fp, rng, backs)
    fp.api("POST", "/clusters", world.cluster("anchor"), want=201)
    fp.api("POST", "/routes", fleet.route("anchor", "anchor"), want=201)
    fp.api("POST", "/listeners", fleet.listener("anchor", world.anchor_port, "anchor"), want=201)
    # Envoys share ports (SO_REUSEPORT); the third, which is started anew, has no part in the anchor's
    envoys = [*(Envoy(fp.xds_port, drain_s=DRAIN_S) for _ in range(2)), Envoy(fp.xds_port, metadata={"listener_allowlist": NAMES})]
    for envoy in envoys[:2]:
        envoy.wait_for(lambda d: "anchor" in d["routes"])
    disturbed = collections.Counter()
    writes = (world.make, world.aim, world.aim, world.listen, world.listen, world.drop, world.drop, world.replace_all)

    with fleet.Load(envoys[0], world.anchor_port, keep=True) as load:
        for n in range(STEPS // 2):
            rng.choice(writes + (world.move_anchor,) * 3)()
        load.more(50)
    is_(load.failed(), {}, f"{load.total()} requests while everything behind them moved {world.moves} times: none failed")
    with fleet.Load(envoys[0], world.anchor_port, per_second=50, keep=True) as load:
        for n in range(STEPS):
            rng.choice(writes)()
            if n % EVERY == EVERY - 1:
                disturbed[disturb(fp, envoys, rng)] += 1
        settled(fp, world, envoys)
        load.more(50)
    diag(f"{STEPS} writes, {dict(disturbed)}")
    is_(load.failed(), {}, f"what the writes leave alone never fails: {load.total()} requests")
    for envoy in envoys:
        stats = envoy.stats("update_rejected|warming")
        is_({k: v for k, v in stats.items() if v}, {}, f"{envoy.node_id}: nothing was rejected, nothing is warming")
        ok(any("update_rejected" in k for k in stats), "as its statistics say")
    wait_until(lambda: quiet(fp), 20, "GET /nodes has nothing pending")
    is_(len(fp.api("GET", "/nodes")), 3, "and three nodes")

    if util.LONG:  # with what Envoy rejects among it
        streams = [e.stat("cluster.xds_cluster.upstream_rq_total") for e in envoys]
        with fleet.Load(envoys[0], world.anchor_port, keep=True) as load:
            for n in range(STEPS // 2):
                rng.choice(writes + (world.move_anchor, world.spoil) * 3)()
            settled(fp, world, envoys)
            while world.odd:
                world.spoil()
            settled(fp, world, envoys)
            load.more(50)
        is_(load.failed(), {}, f"N-6: {load.total()} requests beside rejected clusters: none failed")
        is_([e.stat("cluster.xds_cluster.upstream_rq_total") for e in envoys], streams, "N-10: all on the same streams")
        wait_until(lambda: quiet(fp), 20, "all rejections are resolved")
