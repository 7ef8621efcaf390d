#!/usr/bin/env python3
"""Reloads and kill -9 of workers and watcher in random order between writes: after each all is there again, the last write is
served over REST and to a new stream, and the master keeps nothing open.  FP_LONG=1: 150 rounds."""
import http.client
import os
import random
import signal

import fp_tap as tap
import fp_util as util
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until

ROUNDS = util.rounds(8, 150)


def settled(fp, before):
    """A generation of two workers and a watcher, none of them from `before`."""
    children = set(fp.children())
    return len(children) == 3 and not children & before and fp._answers("/readyz")


def put(fp, seconds):
    """A request may be lost with its worker: then again."""
    try:
        r = fp.put("/api/v1/clusters/churn", {"endpoints": ["10.0.0.1:80"], "connectTimeoutSeconds": seconds})
    except (OSError, http.client.HTTPException):
        return False
    if r.status not in (200, 503):
        raise AssertionError(r.text)
    return r.status == 200


def seen(fp):
    """What a client that connects now is told."""
    with xds.Channel(fp.xds_port) as channel:
        stream = channel.ads("churn")
        stream.subscribe("cluster")
        return xds.unpack(stream.expect("cluster", 20))["churn"].connect_timeout.seconds


with tap.run():
    rng = random.Random(util.seed())
    fp = Flowplane(Postgres(), conf={"process.worker_shutdown_timeout": "2s"})
    fp.api("POST", "/clusters", {"name": "churn", "endpoints": ["10.0.0.1:80"]})
    fds = None
    for n in range(ROUNDS):
        what = rng.choice(("reload", "a worker", "both workers", "the watcher"))
        victims = {"reload": fp.children(), "a worker": fp.workers()[:1], "both workers": fp.workers(),
                   "the watcher": [fp.watcher()]}[what]
        if what == "reload":
            fp.reload()
        for pid in victims if what != "reload" else ():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: put(fp, n + 1), 30, f"round {n}, {what}: a write is taken")
        wait_until(lambda: settled(fp, set(victims)), 60, f"round {n}, {what}: all are there again")
        revision = fp.put("/api/v1/clusters/churn", {"endpoints": ["10.0.0.1:80"], "connectTimeoutSeconds": 1000 + n}).headers["Flowplane-Revision"]
        # 503: the watcher that is to bring it has only begun (contract §2.5)
        got = wait_until(lambda: (r := fp.get("/api/v1/clusters/churn", headers={"Flowplane-Revision": revision})).status != 503 and r,
                         what=f"round {n}, {what}: the write is served")
        if (got.status, got.json["config"]["connectTimeoutSeconds"]) != (200, 1000 + n):
            raise AssertionError(f"round {n}, {what}: {got.text}")
        wait_until(lambda: seen(fp) == 1000 + n, 10, f"round {n}, {what}: xDS")
        fds = fds or util.open_fds(fp.master_pid)
        wait_until(lambda: util.open_fds(fp.master_pid) <= fds, 10, f"round {n}, {what}: the master has {fds} descriptors open")
    tap.ok(True, f"{ROUNDS} reloads and kills")
