#!/usr/bin/env python3
"""PostgreSQL dies in other ways: kill -9, restarts, read-only, a standby that becomes the primary, a restored dump."""
import os
import re
import signal
import time

import fp_util as util
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_load import Follower, Writers, cluster, snapshot_of
from fp_tap import is_, ok, run


def backends(pg, where="true"):
    return [int(p) for p in pg.psql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'flowplane%' "
                                    f"AND {where}").split()]


def writable(fp, name, deadline=15):
    return wait_until(lambda: fp.post("/api/v1/clusters", cluster(name)).status in (201, 409), deadline, "writes flow again")


def agree(pg, fp, writers, follower, what):
    rows = set(pg.psql("SELECT name FROM clusters").split("\n"))
    lost = sorted(set(writers.acknowledged()) - rows)
    is_(lost, [], f"{what}: none of {len(writers.acknowledged())} acknowledged writes is lost")
    is_(set(writers.statuses()) - {201, 409, 503}, set(), "writers saw nothing but 201, 503 and then 409")
    follower.wait(lambda names: names == rows, 10, "xDS holds exactly the rows")
    is_({c["name"] for c in fp.api("GET", "/clusters")}, rows, "so does REST")


def killed_backend(pg, fp, follower):
    """kill -9 of one backend: the postmaster ends all sessions and recovers."""
    with Writers(fp, prefix="k") as writers:
        for kind in ("'flowplane'", "'flowplane-listen'"):
            n = len(writers.acknowledged())
            wait_until(lambda: len(writers.acknowledged()) > n + 20, 15, "writes flow")
            victim = wait_until(lambda: backends(pg, f"application_name = {kind}"), 20, f"a session of {kind}")[0]
            before = backends(pg)
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: not any(map(util.alive, before)), 20, "the postmaster has noticed")
            wait_until(lambda: pg.is_up(), 20)
            n = len(writers.acknowledged())
            wait_until(lambda: len(writers.acknowledged()) > n + 20, 20, "and again, by themselves")
    agree(pg, fp, writers, follower, "kill -9 of a backend")


def restarts(pg, fp, follower):
    with Writers(fp, prefix="r") as writers:
        for way in ("fast", "immediate", "kill"):
            n = len(writers.acknowledged())
            wait_until(lambda: len(writers.acknowledged()) > n + 20, 15, "writes flow")
            pg.kill() if way == "kill" else pg.stop(immediate=way == "immediate")
            pg.start()
        n = len(writers.acknowledged())
        wait_until(lambda: len(writers.acknowledged()) > n + 20, 15, "writes flow again")
    agree(pg, fp, writers, follower, "three restarts")


def refused(fp, what):
    r = wait_until(lambda: (lambda r: r if r.status == 503 else None)(fp.put("/api/v1/clusters/base", cluster("base", 77))), 10)
    is_((r.json["error"], r.headers["Retry-After"]), ("service_unavailable", "2"), f"{what}: 503 with Retry-After")
    is_("SQL" in r.text or "read-only" in r.text, False, "without a word of SQL")
    is_(fp.get("/api/v1/clusters/base").status, 200, "reads go on")
    ok("base" in xds.names(snapshot_of(fp.xds_port)), "xDS goes on")


def read_only(pg, fp, follower):
    """default_transaction_read_only, as failover tools set it."""
    pg.psql("ALTER SYSTEM SET default_transaction_read_only = on", "postgres")
    pg.psql("SELECT pg_reload_conf()", "postgres")
    refused(fp, "read-only")
    auto = pg.data / "postgresql.auto.conf"  # the setting forbids to take itself back by SQL
    auto.write_text("".join(line for line in auto.read_text().splitlines(True) if "read_only" not in line))
    pg.process.send_signal(signal.SIGHUP)
    writable(fp, "rw-again")
    follower.wait(lambda names: "rw-again" in names, 10)
    ok(True, "writes flow when it is over")


def standby(pg, fp, follower):
    """The server comes back as a standby; later it is promoted."""
    pg.stop()
    (pg.data / "standby.signal").touch()
    pg.start()
    is_(pg.psql("SELECT pg_is_in_recovery()"), "t", "a standby")
    refused(fp, "a standby")
    before = len(fp.log().splitlines())
    start = time.monotonic()
    wait_until(lambda: time.monotonic() > start + 3)
    grown, took = len(fp.log().splitlines()) - before, time.monotonic() - start
    ok(grown < 20 * took, f"the log is not flooded meanwhile ({grown} lines in {took:.1f} s)")
    pg.psql("SELECT pg_promote()")
    writable(fp, "promoted")
    follower.wait(lambda names: "promoted" in names, 10)
    ok(True, "promoted: writes flow, and are followed")


def host_list(pg, token):
    """Two servers in the URL, the first a standby: the primary is found (contract §16)."""
    other = Postgres(conf={"hot_standby": "on"})
    other.stop()
    (other.data / "standby.signal").touch()
    other.start()
    url = re.sub(r"@127\.0\.0\.1:\d+/", f"@127.0.0.1:{other.port},127.0.0.1:{pg.port}/", pg.url())
    fp = Flowplane(None, {"database.url": url}, name="list")
    fp.token = token
    is_(fp.put("/api/v1/clusters/base", cluster("base", 78)).status, 200, "a host list: writes go to the primary")
    wait_until(lambda: fp.api("GET", "/clusters/base")["config"]["endpoints"][0]["port"] == 78, 5)
    ok(True, "and the primary is followed")
    fp.stop()


def restored(pg, fp, follower, n, between=lambda: None, what="a restored dump"):
    """An older dump takes the database's place: all converges to it, nothing hangs on a revision that is gone."""
    (pg.dir / "dump").write_text(pg._run("pg_dump", "-h", pg.dir, "-p", pg.port, "-U", "postgres", pg.database))
    kept = set(pg.psql("SELECT name FROM clusters").split("\n"))
    for i in range(10):
        fp.api("POST", "/clusters", cluster(f"later{n}-{i}"))
    follower.wait(lambda names: f"later{n}-9" in names, 5)
    revision = int(pg.psql("SELECT revision FROM config_revision"))
    pg.createdb("restored")
    pg.psql_file(pg.dir / "dump", "restored")
    pg.dropdb(pg.database)
    between()
    pg.psql(f"ALTER DATABASE restored RENAME TO {pg.database}", "postgres")
    follower.wait(lambda names: names == kept, 20, "the restored state")
    ok(True, f"{what}: streams converge to it")
    wait_until(lambda: {c["name"] for c in fp.api("GET", "/clusters")} == kept, 10, "the restored state at the other worker")
    ok(True, "REST too, not 503: it waits for no revision that is gone")
    writable(fp, f"after-restore{n}")
    follower.wait(lambda names: f"after-restore{n}" in names, 5)
    ok(int(pg.psql("SELECT revision FROM config_revision")) > revision, "revisions never go back (new epoch)")


def kill_watcher(fp):
    old = fp.watcher()
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: fp.watcher() not in (None, old), 10, "a new watcher")


with run():
    pg = Postgres()
    fp = Flowplane(pg)
    fp.api("POST", "/clusters", cluster("base"))
    pids = fp.workers() + [fp.watcher()]
    with Follower(fp.xds_port) as follower:
        killed_backend(pg, fp, follower)
        restarts(pg, fp, follower)
        read_only(pg, fp, follower)
        standby(pg, fp, follower)
        host_list(pg, fp.token)
        restored(pg, fp, follower, 1)
        is_(fp.workers() + [fp.watcher()], pids, "all processes lived through all of it")
        restored(pg, fp, follower, 2, lambda: kill_watcher(fp), "a dump restored, and the watcher killed meanwhile")
        is_(follower.ended, None, "the stream lived through all of it")
        ok(min(follower.sets) > 0, "and never got an empty set")
    is_(fp.workers(), pids[:-1], "so did the workers")
