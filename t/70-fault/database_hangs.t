#!/usr/bin/env python3
"""A database that is there but does not answer: stopped processes, a lock that somebody holds, no free connection
(contract §1, §12.2 database.statement_timeout; rule E-8)."""
import os
import signal
import time

import fp_util as util
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_load import Follower, Readers, Writers, cluster, snapshot_of
from fp_tap import diag, is_, ok, run

STATEMENT = int(2 * util.SLOW)  # seconds


def timed(call):
    start = time.monotonic()
    return call(), time.monotonic() - start


def writable(fp, name, deadline=15):
    return wait_until(lambda: fp.post("/api/v1/clusters", cluster(name)).status in (201, 409), deadline, "writes flow again")


class Frozen:
    """All of PostgreSQL under SIGSTOP: connections stay open, new ones are taken by the kernel, nothing is answered."""

    def __init__(self, pg):
        self.pids = [pg.process.pid, *util.descendants(pg.process.pid)]

    def __enter__(self):
        for p in self.pids:
            os.kill(p, signal.SIGSTOP)
        return self

    def __exit__(self, *_):
        for p in reversed(self.pids):
            try:
                os.kill(p, signal.SIGCONT)
            except ProcessLookupError:
                pass


def frozen(pg, fp, follower):
    with Writers(fp, 3, "f") as writers, Readers(fp, "/api/v1/clusters/base") as readers:
        wait_until(lambda: len(writers.acknowledged()) > 30, 15, "writes flow")
        with Frozen(pg):
            start = time.monotonic()
            wait_until(lambda: writers.statuses(start)[503] >= 6, 30, "writes are given up")
            sizes = [len(snapshot_of(fp.xds_port, f"n{i}").resources) for i in range(4)]
            ok(min(sizes) >= 2, "E-8: new streams are served", sizes)
            is_(fp.get("/healthz", token=None).status, 200, "/healthz")
            end = start + 4 * STATEMENT
            wait_until(lambda: time.monotonic() > end, 20)
            thawed = time.monotonic()
        n = len(writers.acknowledged())
        wait_until(lambda: len(writers.acknowledged()) > n + 20, 20, "it answers again: writes flow, by themselves")
    slowest = max(a.took for a in writers.answers if a.status == 503)
    diag(f"a write is answered 503 after at most {slowest:.1f} s, the statement timeout being {STATEMENT} s")
    is_(set(writers.statuses()) - {201, 409, 503}, set(), "writers saw 201, 503, and 409 for what had been committed")
    is_(set(readers.statuses()), {200}, f"{len(readers.answers)} reads all succeeded")
    ok(readers.slowest() < thawed - start, f"none waited until it went on ({readers.slowest():.1f} s)")
    rows = set(pg.psql("SELECT name FROM clusters").split("\n"))
    is_(sorted(set(writers.acknowledged()) - rows), [], "no acknowledged write is lost")
    is_(pg.psql("SELECT name FROM config_changes WHERE kind = 'cluster' AND action = 'create' GROUP BY name HAVING count(*) > 1"),
        "", "nothing was written twice")
    came = [a.name for a in writers.answers if a.status == 409]
    ok(set(came) <= {a.name for a in writers.answers if a.status == 503}, "a 409 only for a name that was in doubt", came)
    diag(f"{len(came)} writes answered 503 had been committed after all")
    follower.wait(lambda names: names == rows, 10, "xDS holds exactly the rows")
    is_({c["name"] for c in fp.api("GET", "/clusters")}, rows, "so does REST")


def locked(pg, fp, follower):
    """Somebody's open transaction holds the revision row: writes give up, nothing piles up, reads and xDS go on."""
    db = pg.connect(autocommit=False)
    c = db.cursor()
    c.execute("SELECT * FROM config_revision FOR UPDATE")
    r, took = timed(lambda: fp.post("/api/v1/clusters", cluster("locked")))
    is_((r.status, r.headers["Retry-After"]), (503, "2"), "a lock held by somebody else: 503 with Retry-After")
    ok(STATEMENT / 2 <= took, f"while it is still held, after most of the statement timeout ({took:.1f} s)")
    is_(fp.get("/api/v1/clusters/base").status, 200, "reads go on")
    is_(len(snapshot_of(fp.xds_port, "locked").resources) > 1, True, "xDS goes on")
    wait_until(lambda: pg.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'flowplane%'")
               == "0", 10, "no backend of ours waits for the lock")
    ok(True, "no backend of ours is left waiting for the lock")
    db.rollback()
    db.close()
    is_(fp.get("/api/v1/clusters/locked").status, 404, "what was refused was not written")
    writable(fp, "unlocked", 5)
    follower.wait(lambda names: "unlocked" in names, 5)
    ok(True, "released: writes flow at once")


def full(pg, fp, follower):
    """Others take every connection there is."""
    others = [pg.connect()]
    fp.allow("too many")

    def refused():
        """Ours end, others take their place; until none of ours was quicker."""
        with others[0].cursor() as c:
            c.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'flowplane%'")
        try:
            while True:
                others.append(pg.connect())
        except Exception:
            pass
        r = fp.post("/api/v1/clusters", cluster("full"))
        return r if r.status == 503 else None

    with Readers(fp, "/api/v1/clusters/base") as readers:
        r = wait_until(refused, 20, "no connection is left")
        is_(r.headers["Retry-After"], "2", f"all {len(others)} connections taken by others: 503 with Retry-After")
        ok("base" in xds.names(snapshot_of(fp.xds_port)), "xDS goes on")
        for o in others:
            o.close()
        writable(fp, "room")
    is_(set(readers.statuses()), {200}, "reads went on")
    follower.wait(lambda names: "room" in names, 10)
    ok(True, "there is room again: writes flow and are followed")


with run():
    pg = Postgres(conf={"max_connections": "30"})
    fp = Flowplane(pg, {"database.statement_timeout": f"{STATEMENT}s", "database.connect_timeout": "2s"})
    fp.api("POST", "/clusters", cluster("base"))
    pids = fp.workers() + [fp.watcher()]
    with Follower(fp.xds_port) as follower:
        follower.wait(lambda names: "base" in names)
        locked(pg, fp, follower)
        frozen(pg, fp, follower)
        full(pg, fp, follower)
        is_(follower.ended, None, "the stream lived through all of it")
        ok(min(follower.sets) > 0, "and never got an empty set")
    is_(fp.workers() + [fp.watcher()], pids, "so did all processes")
