#!/usr/bin/env python3
"""Either side restarts, a worker is killed: Envoy keeps serving and comes back to the same configuration."""
import os
import signal

import fp_fleet as fleet
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port, wait_until
from fp_tap import is_, ok, run

with run():
    fp = Flowplane(Postgres())
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

    for pid in fp.workers():
        os.kill(pid, signal.SIGKILL)
    fp.allow(r"worker .*signal|killed|SIGKILL")
    wait_until(lambda: len(fp.workers()) == 2 and envoy.stat("control_plane.connected_state") == 1, 20, "workers are back")
    follows(one, "kill -9 of all workers: Envoy reconnects and follows")
    os.kill(fp.watcher(), signal.SIGKILL)
    wait_until(lambda: fp.watcher(), 20, "a new watcher")
    follows(two, "kill -9 of the watcher: the new one follows")
    fp.reload()
    fp.wait_log("reload")
    follows(one, "a reload: the new generation follows")
    fp.kill()
    is_(envoy.get(port), (200, "one"), "kill -9 of the master: Envoy serves on")
    fp.start()
    follows(two, "and follows the new master")
