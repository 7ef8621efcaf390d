#!/usr/bin/env python3
"""kill -9 of each process (contract §13.1): workers and watcher are replaced, nothing answers late or
keeps a port when the master is gone, and the next start needs nobody's help."""
import os
import signal
import threading

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres, wait_until


def gets(fp, stop, failed, refused):
    """GET with a token, a connection each, until told to stop."""
    while not stop.is_set():
        try:
            r = fp.get("/api/v1/clusters", timeout=60)
            if r.status != 200:
                refused.append(r)
        except OSError as e:
            failed.append(repr(e))


with tap.run():
    fp = Flowplane(Postgres())

    # a worker
    before = fp.workers()
    tap.is_(len(before), 2, "two workers")
    os.kill(before[0], signal.SIGKILL)
    after = wait_until(lambda: (w := fp.workers()) and len(w) == 2 and before[0] not in w and w, 5, "a new worker")
    tap.ok(before[1] in after, "the other worker goes on")
    fp.wait_log(r"worker \d \(pid %d\) was killed by signal 9" % before[0])
    wait_until(lambda: fp.get("/readyz", token=None).status == 200, 5, "ready")

    # while one dies, connects to the other do not fail, and its own slot's wait for the next
    stop, failed, refused = threading.Event(), [], []
    asker = threading.Thread(target=gets, args=(fp, stop, failed, refused), daemon=True)
    asker.start()
    for _ in range(3):
        victim = fp.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in fp.workers() and len(fp.workers()) == 2, 15, "replaced")
    stop.set()
    asker.join()
    tap.ok(len(failed) <= 3, "at most the request in flight was lost with each worker", failed)
    tap.is_(refused, [], "and none was told 503: a new worker accepts when it has a snapshot")
    tap.ok(len([e for e in fp.log_events() if "started worker" in e["fields"]["message"]]) >= 6, "respawns are logged")

    # the watcher: workers do not even notice
    workers, watcher = fp.workers(), fp.watcher()
    os.kill(watcher, signal.SIGKILL)
    tap.is_(fp.get("/readyz", token=None).status, 200, "ready without a watcher")
    wait_until(lambda: fp.watcher() not in (None, watcher), 5, "a new watcher")
    tap.is_(fp.workers(), workers, "the workers are the same")

    # back-off: a child that dies again and again is not respawned in a tight loop
    for _ in range(4):
        w = wait_until(fp.watcher, 15, "a watcher")
        os.kill(w, signal.SIGKILL)
        wait_until(lambda: not util.alive(w), 5, "dead")
    tap.ok(len([1 for e in fp.log_events() if "started watcher" in e["fields"]["message"]]) <= 7, "watcher: back-off")
    tap.is_(fp.get("/readyz", token=None).status, 200, "still ready")

    # the master
    children = fp.children()
    fp.kill()
    wait_until(lambda: not any(util.alive(p) for p in children), 6, "children are gone")
    tap.ok(True, "kill -9 of the master: no orphan is left")
    tap.is_([p for p in (fp.api_port, fp.xds_port) if util.port_open(p)], [], "no port is left open")
    fp.start()
    tap.is_(fp.get("/readyz", token=None).status, 200, "the next start needs no help with lock and pid file")

    # again, and start at once: what is left of the old processes is waited for
    fp.kill()
    mark = len(fp.log())
    fp.start(wait=None)
    fp.wait_log("flowplane is up", 20, mark)
    wait_until(lambda: fp._answers("/readyz"), what="ready")
    tap.ok(True, "a start right after kill -9")
