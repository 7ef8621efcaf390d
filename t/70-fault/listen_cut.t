#!/usr/bin/env python3
"""The LISTEN connection is cut while a hundred commits happen (issue 3, contract §14 follower)."""
import threading

from fp_harness import Flowplane, Postgres, wait_until
from fp_load import Follower, cluster
from fp_tap import is_, ok, run

LISTEN = "application_name = 'flowplane-listen'"


class Cutter:
    """Terminates the LISTEN backend as soon as there is one, until the end of the with."""

    def __init__(self, pg, pause):
        self.db, self.pause, self.cuts, self.stop = pg.connect(), pause, 0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.db.close()

    def _run(self):
        with self.db.cursor() as c:
            while not self.stop.wait(self.pause):
                c.execute(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {LISTEN}")
                self.cuts += c.fetchone()[0]


def listening(pg):
    return pg.psql(f"SELECT pid FROM pg_stat_activity WHERE {LISTEN}")


def round_(pg, fp, follower, n, pause):
    with Cutter(pg, pause) as cutter:
        for i in range(100):
            fp.api("POST", "/clusters", cluster(f"r{n}-{i}"))
        wait_until(lambda: cutter.cuts > 0, 10, "at least one cut")
        last = fp.api("POST", "/clusters", cluster(f"last{n}"))["name"]
    pg.cut(LISTEN)
    took = follower.wait(lambda names: last in names, 10, "the last state")  # not by the poll, see below
    ok(True, f"{cutter.cuts} cuts in 100 commits: the last state arrives ({took * 1000:.0f} ms)")
    follower.wait(lambda names: {f"r{n}-{i}" for i in range(100)} <= names, 2, "all of them")
    is_(fp.get(f"/api/v1/clusters/{last}").status, 200, "and is read")


with run():
    pg = Postgres()
    fp = Flowplane(pg, {"database.poll_interval": "1m"})
    with Follower(fp.xds_port) as follower:
        for n, pause in enumerate((0.02, 0.1, 0.5)):
            round_(pg, fp, follower, n, pause)

        # no commit afterwards that could hide a deaf follower: the cut and one commit, nothing else
        for i in range(5):
            wait_until(lambda: listening(pg), 5, "it listens")
            before = follower.version
            pg.cut(LISTEN)
            pg.psql(f"UPDATE clusters SET configuration = jsonb_set(configuration, '{{connectTimeoutSeconds}}', '{i + 11}') "
                    "WHERE name = 'last0'")
            wait_until(lambda: follower.version != before, 10, "the change")
            ok(True, "cut, then one commit, nothing else: seen")

        pid = wait_until(lambda: (p := listening(pg)) and len(p.split()) == 1 and p, 5, "it listens again, what was cut is gone")
        fp.api("POST", "/clusters", cluster("heard"))
        follower.wait(lambda names: "heard" in names, 2)
        ok(True, "heard by NOTIFY again, not by the poll")
        is_(listening(pg), pid, "on one connection")
        is_(len(pid.split()), 1, "there is one")
        is_(follower.ended, None, "the stream lived through all of it")
        is_([b for a, b in zip(follower.sets, follower.sets[1:]) if b < a], [], "and never lost a cluster")
    warns = [e for e in fp.log_events() if e["level"] == "WARN" and "following the database" in e["fields"]["message"]]
    ok(warns, "the loss is logged")
