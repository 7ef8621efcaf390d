#!/usr/bin/env python3
"""PostgreSQL stops under load and comes back (issue 3, contract §1 "database away", rule E-8)."""
import os
import signal
import time

import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_load import Follower, Readers, Writers, cluster, snapshot_of
from fp_tap import diag, is_, like, ok, run

OUTAGE = 30  # seconds at least, says the issue; the work done in it is counted besides


def api_while_away(fp):
    """What REST says; the token is judged by the snapshot."""
    r = fp.post("/api/v1/clusters", cluster("away"))
    is_((r.status, r.json["error"], r.headers["Retry-After"]), (503, "service_unavailable", "2"),
        "POST: 503 with Retry-After: 2")
    for method, body in (("PUT", cluster("base", 9)), ("DELETE", None)):
        r = fp.request(method, "/api/v1/clusters/base", body)
        is_((r.status, r.headers["Retry-After"]), (503, "2"), f"{method}: 503 with Retry-After: 2")
    r = fp.post("/api/v1/clusters", {"name": "x", "nonsense": 1})
    is_(r.status, 400, "what is wrong in itself is 400 also now")
    is_(fp.get("/api/v1/clusters/base").status, 200, "a read of the snapshot")
    is_(fp.get("/api/v1/clusters/none").status, 404, "and of what is not there")
    is_(fp.get("/api/v1/clusters", token=fp.token[:-1] + "#").status, 401, "a wrong token is still refused")
    is_(fp.get("/healthz", token=None).status, 200, "/healthz")
    is_(fp.get("/readyz", token=None).status, 200, "/readyz: degraded, not unready (contract §11.1)")


def streams_while_away(fp, base):
    """New streams, at both workers (six connections), and new subscriptions get the last good state: never less."""
    sizes = []
    for i in range(6):
        with xds.Channel(fp.xds_port) as ch:
            s = ch.ads(node_id=f"new{i}")
            s.subscribe("cluster")
            cds = s.expect("cluster")
            s.ack(cds)
            s.subscribe("listener")
            lds = s.expect("listener")
            s.subscribe("route", ["default-gateway-routes"])
            s.expect("route")
            sizes.append(base <= set(xds.names(cds)) and len(xds.names(lds)) > 0)
    is_(sizes, [True] * 6, "E-8: new streams are served from the last good snapshot, all types")


def processes_die_while_away(fp, base):
    """A worker and the watcher are killed; who comes after them serves the same."""
    version = snapshot_of(fp.xds_port).version_info
    old = fp.workers()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(fp.workers()) == 2 and not set(fp.workers()) & set(old), 10, "two new workers")
    wait_until(lambda: fp._answers("/readyz"), 10, "ready again")
    for i in range(4):
        r = snapshot_of(fp.xds_port, f"after{i}")
        is_((r.version_info, base <= set(xds.names(r))), (version, True), "a new worker serves the same snapshot")
    watcher = fp.watcher()
    os.kill(watcher, signal.SIGKILL)
    wait_until(lambda: fp.watcher() not in (None, watcher), 10, "a new watcher")
    end = time.monotonic() + 1.5  # beyond the moment at which a watcher takes the cache
    seen = set()
    while time.monotonic() < end:
        seen.add(snapshot_of(fp.xds_port).version_info)
        seen.add(fp.get("/api/v1/clusters/latest").status)
    is_(seen, {version, 200}, "a new watcher takes nothing back, though its cache is older")


def reconcile(pg, fp, writers, follower):
    """The database, REST and xDS agree with what clients were told."""
    rows = set(pg.psql("SELECT name FROM clusters").split("\n"))
    acknowledged = set(writers.acknowledged())
    is_(sorted(acknowledged - rows), [], f"none of {len(acknowledged)} acknowledged writes is lost")
    twice = pg.psql("SELECT name FROM config_changes WHERE kind = 'cluster' AND action = 'create' "
                    "GROUP BY name HAVING count(*) > 1")
    is_(twice, "", "nothing was written twice")
    is_(pg.psql("SELECT resource_name FROM audit_logs WHERE event_type = 'resource.created' AND resource_type = "
                "'cluster' GROUP BY 1 HAVING count(*) > 1"), "", "nor audited twice")
    unknown = {a.name for a in writers.answers if a.status in (0, 503)}
    came = {a.name for a in writers.answers if a.status == 409}
    ok(came <= unknown, "a name that existed already was one whose outcome we were not told", sorted(came - unknown))
    diag(f"{len(unknown)} names met a 503, of these {len(came)} had been committed in the moment of the stop")
    is_({c["name"] for c in fp.api("GET", "/clusters")}, rows, "REST lists exactly the rows")
    follower.wait(lambda names: names == rows, 5, "xDS holds exactly the rows")
    ok(follower.ended is None, "on the stream that was open all the time", follower.ended)
    revisions = [a.revision for a in writers.answers if a.status == 201]
    is_(len(revisions), len(set(revisions)), "each commit had a revision of its own")
    r = pg.psql("SELECT revision FROM config_revision")
    ok(int(r) >= max(revisions), "the revision did not go back")


with run():
    pg = Postgres()
    fp = Flowplane(pg)
    fp.api("POST", "/clusters", cluster("base"))
    with Follower(fp.xds_port) as follower:
        with Readers(fp, "/api/v1/clusters/base") as readers, Writers(fp) as writers:
            base = {"base", "default-gateway-cluster"}
            wait_until(lambda: len(writers.acknowledged()) >= 60, 20, "writes flow")
            stopped = time.monotonic()
            pg.stop(immediate=True)
            wait_until(lambda: writers.statuses(stopped)[503] > 0, 10, "writes meet the outage")
            streams_while_away(fp, base)
            api_while_away(fp)
            wait_until(lambda: time.monotonic() > stopped + OUTAGE and writers.statuses(stopped)[503] >= 100, OUTAGE + 50,
                       "the outage, and a hundred refused writes")
            streams_while_away(fp, base)
            is_(fp.get("/readyz", token=None).status, 200, "ready all the time")
            started = time.monotonic()
            pg.start()
            up = time.monotonic()
            n = len(writers.acknowledged())
            wait_until(lambda: len(writers.acknowledged()) > n + 40, 15, "writes flow again, by themselves")
            first = min(a.time + a.took for a in writers.answers if a.status == 201 and a.time > started)
            diag(f"the first one {first - up:.2f} s after PostgreSQL answers")
            follower.wait(lambda names: set(list(writers.acknowledged())[n:n + 20]) <= names, 5, "and reach the stream")
        reconcile(pg, fp, writers, follower)

    refused = [a for a in writers.answers if a.status == 503]
    is_({(a.retry, a.error) for a in refused}, {("2", "service_unavailable")}, "each 503 has its Retry-After and error")
    is_(set(writers.statuses()) - {201, 409, 503}, set(), "no other status was seen by the writers")
    is_(set(readers.statuses()), {200}, f"{len(readers.answers)} reads of the snapshot were all 200 (not even 503 once)")
    ok(readers.slowest() < started - stopped, f"none waited for the end of the outage ({readers.slowest() * 1000:.0f} ms)")
    ok(min(follower.sets) >= 1, "E-8: no stream was ever given an empty set")
    is_([n for a, n in zip(follower.sets, follower.sets[1:]) if n < a], [], "nor a smaller one")
    outage = [e for e in fp.log_events() if e["level"] in ("WARN", "ERROR") and e["target"] == "flowplane::store"]
    ok(1 <= len(outage) < 50 + 10 * (up - stopped), f"the outage is logged, and does not flood the log ({len(outage)} lines)")

    # the last second before the stop: published, but not yet in the cache
    wait_until(lambda: fp.post("/api/v1/clusters", cluster("latest")).status in (201, 409), 10, "one more write")
    fp.settle()
    ok("latest" in xds.names(snapshot_of(fp.xds_port)), "published")
    pg.stop(immediate=True)
    processes_die_while_away(fp, base)
    pg.start()
    wait_until(lambda: fp.post("/api/v1/clusters", cluster("end")).status in (201, 409), 15, "writes flow again")
    wait_until(lambda: "end" in xds.names(snapshot_of(fp.xds_port)), 5, "and are published")
    like(fp.log(), "database reached again", "the log says that it is back")
