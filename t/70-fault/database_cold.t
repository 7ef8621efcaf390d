#!/usr/bin/env python3
"""PostgreSQL is not there at the start (contract §1 snapshot cache, §12.2 database.startup; rule E-9)."""
import re
import time

import fp_util as util
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_load import cluster, snapshot_of
from fp_tap import is_, like, ok, run, unlike


def retry(pg):
    """startup=retry: alive, not ready, xDS waits; all by itself when the database comes."""
    fp = Flowplane(pg, {"database.startup": "retry", "database.startup_timeout": "1s"}, wait="alive", name="retry")
    is_(fp.get("/healthz", token=None).status, 200, "retry: /healthz 200 before the database was reached")
    r = fp.get("/readyz", token=None)
    is_((r.status, r.json["status"]), (503, "unready"), "/readyz 503")
    r = fp.get("/api/v1/clusters", token="fp_pat_9c41f0de-2f6c-4b39-8f53-1d4b7e1c20a7." + "x1" * 24)
    is_((r.status, r.json["message"], r.headers["Retry-After"]), (503, "auth service unavailable", "2"),
        "REST: 503, nobody can be known (contract §4.3)")
    with xds.Channel(fp.xds_port) as ch:
        s = ch.ads(node_id="early")
        for t in ("cluster", "listener"):
            s.subscribe(t)
        s.expect_nothing("E-9: no answer before the first snapshot, above all no empty set", settle=1.5)
        is_(s.ended, None, "the stream stays open")
        is_(fp.process.poll(), None, "and the server stays up beyond database.startup_timeout")
        pg.start()
        pg.createdb("flowplane")
        is_(xds.names(s.expect("cluster", 10)), ["default-gateway-cluster"], "the database comes: the stream is answered")
        is_(xds.names(s.expect("listener", 10)), ["default-gateway-listener"], "all types of it")
    wait_until(lambda: fp._answers("/readyz"), 5, "ready")
    ok(fp.find_token(), "the token was made then")
    wait_until(lambda: all(fp._answers("/readyz") for _ in range(16)), what="each worker is ready")
    is_({fp.get("/api/v1/tokens/self").status for _ in range(16)}, {200}, "who is ready has the database, no back-off is waited out")
    return fp


def cached(pg, fp):
    """Stopped, database stopped, started: the last known good snapshot, and it says so."""
    wait_until((fp.state_dir / "snapshot").exists, 5, "the first cache")
    fp.api("POST", "/clusters", cluster("kept"))
    fp.settle()
    before = snapshot_of(fp.xds_port)
    rest = fp.get("/api/v1/clusters").raw
    is_(fp.stop(), 0, "stopped in order")
    files = sorted(p.name for p in fp.state_dir.iterdir() if p.name.startswith("snapshot"))
    is_(files, ["snapshot", "snapshot.previous"], "two snapshots are kept")
    is_({oct((fp.state_dir / f).stat().st_mode & 0o777) for f in files}, {"0o600"}, "0600: there are hashes of tokens inside")
    pg.stop()
    start = len(fp.log())
    fp.write_conf({"database.startup_timeout": "1h"})
    fp.start("ready")
    ok(True, "ready without a database, whatever database.startup_timeout is")
    fp.wait_log(r"from the cache in ", start=start)
    ok(True, "the log says that it serves from the cache")
    r = snapshot_of(fp.xds_port)
    is_((r.version_info, xds.raw(r)), (before.version_info, xds.raw(before)), "S-18: the same version, the same bytes")
    is_(fp.get("/api/v1/clusters").raw, rest, "REST reads the same, the token is known")
    is_(fp.post("/api/v1/clusters", cluster("x")).status, 503, "a write: 503")
    with xds.Channel(fp.xds_port) as ch:
        s = ch.ads(node_id="over")
        s.subscribe("cluster")
        s.ack(s.expect("cluster"))
        pg.start()
        fp.wait_log("serving revision [0-9]+ of the database", start=start)
        s.expect_nothing("the database comes back with the same contents: nothing is sent (L-5)")
        wait_until(lambda: fp.post("/api/v1/clusters", cluster("after")).status in (201, 409), 10, "writes flow")
        is_(xds.names(s.expect("cluster")), ["after", "default-gateway-cluster", "kept"], "and reach the same stream")


def spoil(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


def broken_cache(pg, fp):
    """A cache file that does not hold is passed over for the one before it; none that holds: unready, not garbage."""
    fp.stop()
    pg.stop()
    newest, previous = fp.state_dir / "snapshot", fp.state_dir / "snapshot.previous"
    spoil(newest, newest.stat().st_size // 2)
    start = len(fp.log())
    fp.start("ready")
    like(fp.log()[start:], "snapshot .*does not hold", "a spoilt cache is noticed")
    r = snapshot_of(fp.xds_port)
    ok("kept" in xds.names(r), "the one before it is served", xds.names(r))
    fp.stop()
    for p in (newest, previous):
        p.write_bytes(p.read_bytes()[:-100] if p is newest else b"")
    start = len(fp.log())
    fp.start("alive")
    fp.wait_log("snapshot.previous does not hold", start=start)
    is_(fp.get("/readyz", token=None).status, 503, "none holds: unready")
    with xds.Channel(fp.xds_port) as ch:
        s = ch.ads(node_id="none")
        s.subscribe("cluster")
        s.expect_nothing("and xDS is not answered", settle=0.7)
    pg.start()
    wait_until(lambda: fp._answers("/readyz"), 10, "ready with the database")
    is_(len(snapshot_of(fp.xds_port).resources), 3, "all is there")
    fp.stop()


def exits(pg):
    """startup=exit without a usable cache: the two lines of the guide, status 1."""
    pg.stop()
    for form in ("json", "text"):
        fp = Flowplane(pg, {"database.startup": "exit", "database.startup_timeout": "4s",
                            "observability.log_format": form}, start=False, name=f"exit-{form}")
        began = time.monotonic()
        fp.start(wait=None)
        status = fp.process.wait(util.patience())
        took = time.monotonic() - began
        is_(status, 1, f"exit, {form}: status 1")
        ok(took >= 4, f"after database.startup_timeout ({took:.1f} s)")
        plain = [line for line in fp.log().splitlines() if line.startswith("Error: ")]
        is_(plain, ["Error: Failed to connect to database", "Error: connection refused"], "two lines on stderr (contract §16)")
        if form == "json":
            events = [e["fields"]["message"] for e in fp.log_events() if e["level"] == "ERROR"]
            is_([m for m in events if m.startswith("Error: ")], plain, "the same as events of level ERROR")
        unlike(fp.log(), r"\bup, API port", "it never said that it is up")
        fp.process = None


def exit_with_cache(pg, token):
    """startup=exit with a usable cache: it starts, and does not end after the timeout."""
    pg.start()
    fp = Flowplane(pg, {"database.startup": "exit", "database.startup_timeout": "2s"}, name="exit-cache")
    fp.token = token
    fp.stop()
    pg.stop()
    fp.start("ready")
    end = time.monotonic() + 2.5
    wait_until(lambda: time.monotonic() > end, 5)
    is_(fp.process.poll(), None, "exit with a usable cache: it stays")
    is_(fp.get("/api/v1/clusters").status, 200, "and serves")
    pg.start()
    wait_until(lambda: fp.post("/api/v1/clusters", cluster("x")).status in (201, 409), 10, "writes flow with the database")
    fp.stop()


def unwritable(pg, token):
    """The state directory cannot be written for a while: told once, served on; later the cache is written again."""
    if not pg.process:
        pg.start()
    fp = Flowplane(pg, {"database.startup": "exit"}, name="unwritable")
    fp.token = token
    wait_until((fp.state_dir / "snapshot").exists, 5, "the first cache")
    fp.state_dir.chmod(0o500)
    start = len(fp.log())
    fp.api("POST", "/clusters", cluster("one"))
    fp.wait_log("no snapshot cache: .*: Permission denied", start=start)
    for n in (2, 3):
        fp.api("PUT", "/clusters/one", cluster("one", n))
        end = time.monotonic() + 1.2  # a cache is written a second after its generation
        wait_until(lambda: time.monotonic() > end, 5)
    is_(fp.log()[start:].count("no snapshot cache"), 1, "a state directory that cannot be written: one warning")
    is_(fp.get("/api/v1/clusters/one").status, 200, "served on")
    fp.state_dir.chmod(0o700)
    fp.api("PUT", "/clusters/one", cluster("one", 4))
    fp.wait_log("cache is written again", start=start)
    fp.stop()
    pg.stop()
    fp.start("ready")
    is_(fp.api("GET", "/clusters/one")["config"]["endpoints"][0]["port"], 4, "the newest state is in the cache again")
    fp.stop()


def slow_database(pg):
    """A database that accepts connections and says nothing: the same as none, and start-up does not hang on it."""
    import socket
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", util.free_port()))
        deaf.listen(64)
        url = re.sub(r":\d+/", f":{deaf.getsockname()[1]}/", pg.url())
        fp = Flowplane(None, {"database.url": url, "database.startup": "exit", "database.startup_timeout": "6s",
                              "database.connect_timeout": "1s"}, wait="alive", name="deaf")
        is_(fp.get("/healthz", token=None).status, 200, "a database that says nothing: /healthz 200 meanwhile")
        is_(fp.process.wait(util.patience()), 1, "then status 1")
        like(fp.log(), "(?m)^Error: Failed to connect to database\nError: .*timed out", "with the cause")
        fp.process = None


with run():
    pg = Postgres(start=False)
    fp = retry(pg)
    cached(pg, fp)
    broken_cache(pg, fp)
    exits(pg)
    exit_with_cache(pg, fp.token)
    unwritable(pg, fp.token)
    slow_database(pg)
