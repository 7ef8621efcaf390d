#!/usr/bin/env python3
"""Real Envoys while the database is away: the running one loses nothing, one that starts gets everything (rule E-8)."""
import http.client
import threading

import fp_util as util
from fp_harness import Backend, Envoy, Flowplane, Postgres, wait_until
from fp_load import Threads, cluster
from fp_tap import is_, ok, run


class Requests(Threads):
    """GETs through Envoy, one after the other."""

    def __init__(self, port):
        super().__init__(1, 0.01)
        self.port, self.seen, self.lock = port, {}, threading.Lock()

    def step(self, _):
        got = get(self.port)
        with self.lock:
            self.seen[got] = self.seen.get(got, 0) + 1


def get(port):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=util.patience())
    try:
        c.request("GET", "/")
        r = c.getresponse()
        r.read()
        return r.status
    except (OSError, http.client.HTTPException) as e:
        return type(e).__name__
    finally:
        c.close()


def route(to):
    return {"name": "rc", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
        {"name": "r", "match": {"path": {"type": "prefix", "value": "/"}}, "action": to}]}]}


with run():
    pg = Postgres()
    fp = Flowplane(pg, {"bootstrap.default_gateway": False, "process.worker_shutdown_timeout": "3s"})
    backend = Backend()
    port = util.free_port()
    fp.api("POST", "/clusters", cluster("up", port=backend.port))
    fp.api("POST", "/routes", route({"type": "forward", "cluster": "up"}))
    fp.api("POST", "/listeners", {"name": "l", "address": "127.0.0.1", "port": port, "filterChains": [{"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "type": "httpConnectionManager", "routeConfigName": "rc"}]}]})
    envoy = Envoy(fp.xds_port)
    envoy.wait_live()
    wait_until(lambda: get(port) == 200, 10, "traffic flows")
    with Requests(port) as load:
        pg.stop(immediate=True)
        wait_until(lambda: fp.post("/api/v1/clusters", cluster("x")).status == 503, 10, "the database is away")
        wait_until(lambda: load.seen.get(200, 0) > 100, 20)
        # a reload while the database is away replaces all processes: Envoy reconnects to the new ones
        old = set(fp.children())
        fp.reload()
        wait_until(lambda: not old & set(fp.children()) and len(fp.children()) == 3, 45, "a new generation of processes")
        is_(fp.get("/readyz", token=None).status, 200, "a reload without a database: the new workers are ready")
        n = load.seen[200]
        wait_until(lambda: load.seen[200] > n + 50, 20)
    is_(set(load.seen), {200}, f"{load.seen[200]} requests through Envoy, none failed")
    envoy.kill()
    envoy.start()
    envoy.wait_live()
    wait_until(lambda: get(port) == 200, 10, "traffic flows")
    ok(True, "an Envoy that starts without a database gets all its configuration")
    dump = envoy.config_dump()
    is_((sorted(dump["clusters"]), sorted(dump["listeners"]), dump["warming"]), (["up"], ["l"], []), "config_dump, nothing warming")
    pg.start()
    wait_until(lambda: fp.put("/api/v1/routes/rc", route({"type": "direct", "status": 418, "body": "x"})).status == 200, 15,
               "the database is back")
    wait_until(lambda: get(port) == 418, 5, "a change reaches Envoy")
    ok(True, "and changes flow again")
    is_(envoy.stat("cluster_manager.cds.update_rejected"), 0, "Envoy rejected nothing")
