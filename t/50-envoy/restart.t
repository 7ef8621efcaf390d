#!/usr/bin/env python3
"""Either side restarts, a worker is killed: Envoy keeps serving and comes back to the same configuration."""
import http.client
import os
import signal

import fp_fleet as fleet
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port, wait_until
from fp_tap import is_, ok, run

with run():
    fp = Flowplane(Postgres(), conf={"process.worker_shutdown_timeout": "3s"})
    one, two, port = Backend("one"), Backend("two"), free_port()
    fleet.lay(fp, port, one)
    envoy = Envoy(fp.xds_port)
    envoy.wait_get(port)

    envoy.restart()
    is_(envoy.wait_get(port), (200, "one"), "Envoy restarts: it gets everything again")

    def follows(backend, what):
        fp.api("PUT", "/clusters/shop", fleet.cluster("shop", backend.port))
        wait_until(lambda: envoy.get(port) == (200, backend.name), 20, what)
        ok(True, what)

    with fleet.Load(envoy, port) as load:
        updates = envoy.stat("cluster_manager.cluster_modified")
        fp.restart()
        wait_until(lambda: envoy.stat("control_plane.connected_state") == 1, 20, "reconnected")
        is_(envoy.stat("cluster_manager.cluster_modified"), updates, "Flowplane restarts: no cluster changes by that")
        load.more(20)
    is_(load.failed(), {}, f"{load.total()} requests meanwhile, none failed")
    follows(two, "and Envoy follows again")

    # ---- one worker after the other dies while clusters are written: what was acknowledged arrives
    fp.allow(r"worker .*signal|killed|SIGKILL")
    made, n = set(), 0
    with fleet.Load(envoy, port, 50) as load:
        for _ in range(4):
            victim = fp.workers()[0]
            for i in range(6):
                if i == 3:
                    os.kill(victim, signal.SIGKILL)
                n += 1
                try:
                    r = fp.post("/api/v1/clusters", fleet.cluster(f"w{n}", one.port))
                    made |= {f"w{n}"} if r.status == 201 else set()
                except (OSError, http.client.HTTPException):  # it was this worker's connection
                    pass
            wait_until(lambda: len(fp.workers()) == 2 and victim not in fp.workers(), 20, "a new worker")
        envoy.wait_for(lambda d: made <= set(d["clusters"]), 20, "all acknowledged clusters")
    ok(len(made) >= n - 4, f"kill -9 of a worker, four times: {len(made)} of {n} writes acknowledged, all arrived")
    is_(load.failed(), {}, f"{load.total()} requests meanwhile, none failed")

    for pid in fp.workers():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(fp.workers()) == 2 and envoy.stat("control_plane.connected_state") == 1, 20, "workers are back")
    follows(one, "kill -9 of all workers: Envoy reconnects and follows")
    os.kill(fp.watcher(), signal.SIGKILL)
    wait_until(lambda: fp.watcher(), 20, "a new watcher")
    follows(two, "kill -9 of the watcher: the new one follows")
    streams = envoy.stat("cluster.xds_cluster.upstream_rq_total")
    fp.reload()
    for n in range(3):
        follows((one, two)[n % 2], f"a reload: change {n + 1} while the old generation drains")
    envoy.wait_stat("cluster.xds_cluster.upstream_rq_total", lambda n: n > streams, 40)
    follows(two, "the new generation follows")
    follows(one, "and again")
    fp.kill()
    is_(envoy.get(port), (200, "one"), "kill -9 of the master: Envoy serves on")
    fp.start()
    follows(two, "and follows the new master")
