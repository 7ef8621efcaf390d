#!/usr/bin/env python3
"""Thousands of rows by one psql command, which the watcher must encode itself (contract §14 "direct SQL", timing)."""
import time

from fp_harness import Flowplane, Postgres, wait_until
from fp_load import Follower, cluster, snapshot_of
from fp_tap import diag, is_, ok, run

N = 5000


def took(what, start):
    diag(f"{what}: {time.monotonic() - start:.2f} s")
    ok(True, what)


def hollow(pg):
    return int(pg.psql("SELECT count(*) FROM clusters WHERE encoded IS NULL"))


with run():
    pg = Postgres()
    fp = Flowplane(pg)
    fp.api("POST", "/clusters", cluster("seed"))
    pids = fp.workers() + [fp.watcher()]
    with Follower(fp.xds_port) as follower:
        follower.wait(lambda names: "seed" in names)
        before = len(follower.sets)
        pg.psql("INSERT INTO clusters (name, service_name, configuration) SELECT 'bulk' || i, 'bulk' || i, configuration "
                f"FROM clusters, generate_series(1, {N}) i WHERE name = 'seed'")
        start = time.monotonic()
        follower.wait(lambda names: len(names) == N + 2, 15, "all rows on the stream")
        took(f"{N} rows without bytes: encoded and served", start)
        is_(len(follower.sets), before + 1, "in one push")

        # the watcher now stores what it encoded; that must delay nobody
        slowest = 0
        for i in range(10):
            start = time.monotonic()
            fp.api("POST", "/clusters", cluster(f"between{i}"))
            # at once, unless the watcher needs more than 3 s for it (contract §2.5)
            wait_until(lambda: fp.get(f"/api/v1/clusters/between{i}").status == 200, 10, "read back")
            ok(True, "a write meanwhile is read back")
            follower.wait(lambda names: f"between{i}" in names, 5)
            slowest = max(slowest, time.monotonic() - start)
        diag(f"and reaches the stream, at most {slowest:.2f} s later")
        revision = pg.psql("SELECT revision FROM config_revision")
        start = time.monotonic()
        left = hollow(pg)
        while left:  # one by one: it goes on, however long all of them take
            before = left
            left = wait_until(lambda: [n] if (n := hollow(pg)) < before else None, what=f"fewer than {before} rows without bytes")[0]
        took("all bytes are stored back", start)
        is_(pg.psql("SELECT revision FROM config_revision"), revision, "storing them changes no revision")
        version = follower.version

        start = time.monotonic()
        fp.restart()
        took(f"a restart with {N} rows is ready", start)
        wait_until(lambda: snapshot_of(fp.xds_port).version_info == version, 10, "the same version")
        ok(True, "S-18: with the same version")
    with Follower(fp.xds_port) as follower:
        pg.psql(f"UPDATE clusters SET configuration = configuration || '{{\"connectTimeoutSeconds\": 9}}' WHERE name LIKE 'bulk%'")
        start = time.monotonic()
        wait_until(lambda: fp.api("GET", "/clusters/bulk1")["config"].get("connectTimeoutSeconds") == 9, 15)
        took(f"{N} rows changed by one command", start)
        pg.psql("DELETE FROM clusters WHERE name LIKE 'bulk%'")
        start = time.monotonic()
        follower.wait(lambda names: len(names) == 12, 15, "the deletion")
        took(f"{N} rows deleted by one command", start)
        is_(len(fp.api("GET", "/clusters")), 12, "REST agrees")
        is_(follower.ended, None, "the stream lives")
