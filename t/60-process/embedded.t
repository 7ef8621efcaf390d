#!/usr/bin/env python3
"""database.embedded (contract §12.2): a private PostgreSQL without TCP, supervised, stopped last, gone with a
killed master."""
import os
import re
import signal
import subprocess
import time

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, wait_until
from fp_postgres import bindir


def postmaster(fp):
    found = [p for p in fp.children() if "postgres" in util.cmdline(p)]
    return found[0] if found else None


def psql(fp, sql):
    """As the service user, who alone may."""
    user = util.unprivileged()
    more = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
    r = subprocess.run([str(bindir() / "psql"), "-XqAt", f"postgresql://flowplane@/flowplane?host={fp.run_dir}/pg",
                        "-c", sql], capture_output=True, text=True, cwd="/", **more)
    return r.stdout.strip() if r.returncode == 0 else None


with tap.run():
    fp = Flowplane(conf={"database.embedded": True, "database.bin_dir": bindir()})
    pid = wait_until(lambda: postmaster(fp), 5, "a postmaster")
    wait_until(lambda: psql(fp, "SELECT 1") == "1", 20, "it answers")
    tap.is_(psql(fp, "SELECT current_database() || current_user"), "flowplaneflowplane", "database and role flowplane")
    tap.is_(os.stat(fp.run_dir / "pg").st_mode & 0o777, 0o700, "the socket's directory is private")
    tap.is_(os.stat(fp.state_dir / "pg").st_mode & 0o777, 0o700, "so is the data directory")
    inodes = {m.group(1) for link in util.fd_links(pid).values() if (m := re.match(r"socket:\[(\d+)\]", link))}
    listening = {line.split()[9] for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}").readlines()[1:]
                 if line.split()[3] == "0A"}
    tap.is_(inodes & listening, set(), "it listens on no TCP port")
    if util.ROOT:
        tap.is_(os.stat(f"/proc/{pid}").st_uid, util.unprivileged()[0], "it runs as the service user")
    told = {e["fields"]["message"] for e in fp.log_events() if e["level"] == "WARN" and e["target"] == "flowplane::store"}
    tap.is_(told, set(), "that it takes its time to start and to have tables is no warning")
    tap.is_(psql(fp, "CREATE TABLE kept AS SELECT 42 AS n"), "", "a table")

    # its death
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: postmaster(fp) not in (None, pid), 10, "restarted")
    wait_until(lambda: psql(fp, "SELECT n FROM kept") == "42", 20, "answers again")
    tap.ok(True, "kill -9 of the postmaster: restarted, nothing is lost")
    tap.is_(fp.get("/readyz", token=None).status, 200, "the server was ready all the time")
    fp.wait_log("the embedded PostgreSQL has ended, see .*/pg.log .signal 9.")

    # a reload leaves it alone
    pid = postmaster(fp)
    mark = len(fp.log())
    fp.reload()
    fp.wait_log("configuration reloaded", 20, mark)
    tap.is_(postmaster(fp), pid, "a reload leaves it alone")

    # stopped last, cleanly
    tap.is_(fp.stop(), 0, "stops")
    messages = [e["fields"]["message"] for e in fp.log_events()]
    ends = [i for i, m in enumerate(messages) if re.search(r"(worker \d|watcher) \(pid \d+\) ended", m)]
    last = max(i for i, m in enumerate(messages) if m == "the embedded PostgreSQL has stopped")
    tap.ok(ends and max(ends) < last, "PostgreSQL is stopped last")
    tap.like((fp.state_dir / "pg.log").read_text(), r"database system is shut down\n$", "and cleanly")
    tap.ok(not (fp.state_dir / "pg" / "postmaster.pid").exists(), "no postmaster.pid is left")

    # the second start keeps the data
    fp.start()
    wait_until(lambda: psql(fp, "SELECT n FROM kept") == "42", what="the table")  # the snapshot's cache may be ready before
    tap.ok(True, "the second start keeps the data")

    # kill -9 of the master: no postmaster lingers, and the next start works at once
    pid = postmaster(fp)
    fp.kill()
    wait_until(lambda: not util.alive(pid), 10, "the postmaster is gone")
    tap.ok(True, "kill -9 of the master: the postmaster goes too")
    fp.start()
    pid = postmaster(fp)
    fp.kill()
    fp.start()
    wait_until(lambda: psql(fp, "SELECT n FROM kept") == "42", 20, "answers")
    tap.ok(True, "a start right after kill -9")
    wait_until(lambda: not util.alive(pid), 10, "the first postmaster is gone")
    fp.stop()

    # a set-up that was cut off leaves nothing half made
    half = Flowplane(conf={"database.embedded": True, "database.bin_dir": bindir()}, start=False, name="half")
    half.start(wait=None)
    wait_until(lambda: (half.state_dir / "pg.new").exists(), 10, "initdb has begun")
    half.kill()
    wait_until(lambda: not half._left(), 10, "all gone")
    half.start()
    wait_until(lambda: (half.state_dir / "pg").exists(), 20, "made")
    tap.ok((half.state_dir / "pg" / "PG_VERSION").exists(), "initdb that was cut off is done anew")
    half.stop()

    # a machine so slow that initdb takes longer than database.startup_timeout
    slow = Flowplane(start=False, name="slow")
    bins, go = slow.dir / "bin", slow.dir / "go"
    bins.mkdir()
    (bins / "postgres").symlink_to(bindir() / "postgres")
    (bins / "initdb").write_text(f"#!/bin/sh\ntouch {slow.state_dir}/begun\nwhile [ ! -e {go} ]; do sleep 0.1; done\n"
                                 f"exec {bindir()}/initdb \"$@\"\n")
    (bins / "initdb").chmod(0o755)
    slow.write_conf({"database": {"embedded": True, "bin_dir": bins, "startup": "exit", "startup_timeout": "500ms"}})
    slow.start(wait="alive")
    wait_until(lambda: (slow.state_dir / "begun").exists(), what="initdb has begun")
    since = time.monotonic()
    wait_until(lambda: slow._answers("/healthz") and time.monotonic() > since + 2, what="four times the startup timeout")
    go.touch()
    wait_until(lambda: slow._answers("/readyz"), what="ready")
    tap.ok(True, "its own PostgreSQL is waited for while it is being made")
    slow.stop()

    # one that cannot run is not: what postgres is comes after initdb
    broken = Flowplane(start=False, name="broken")
    bins = broken.dir / "bin"
    bins.mkdir()
    (bins / "initdb").symlink_to(bindir() / "initdb")
    (bins / "postgres").write_text(f"#!/bin/sh\nfor a; do [ \"$a\" != -k ] || exit 1; done\nexec {bindir()}/postgres \"$@\"\n")
    (bins / "postgres").chmod(0o755)
    broken.write_conf({"database": {"embedded": True, "bin_dir": bins, "startup": "exit", "startup_timeout": "2s"}})
    broken.allow("the embedded PostgreSQL has ended")
    broken.start(wait=None)
    tap.is_(broken.process.wait(util.patience()), 1, "PostgreSQL that ends again and again: status 1")
    broken.process = None
    tap.contains(broken.log(), "Error: Failed to connect to database", "and says so")

    # a state directory of somebody else's
    if util.ROOT:
        alien = Flowplane(conf={"database.embedded": True, "database.bin_dir": bindir()}, start=False, name="alien")
        os.chown(alien.state_dir, 0, 0)
        alien.start(wait=None)
        tap.is_(alien.process.wait(util.patience()), 1, "state directory of root: status 1")
        alien.process = None
        tap.contains(alien.log(), f"Error: the embedded PostgreSQL could not be set up: process.user cannot write {alien.state_dir}/pg.log", "and says so")
        # links put there by the service user are not followed by root
        linked = Flowplane(conf={"database.embedded": True, "database.bin_dir": bindir()}, start=False, name="linked")
        target = util.tmp() / "target"
        target.mkdir()
        (linked.run_dir / "pg").symlink_to(target)
        victim = util.tmp() / "victim"
        victim.write_text("precious\n")
        (linked.state_dir / "lock").symlink_to(victim)
        linked.start(wait=None)
        tap.is_(linked.process.wait(util.patience()), 1, "a link in place of the socket directory: status 1")
        linked.process = None
        tap.is_((target.stat().st_uid, victim.read_text()), (0, "precious\n"), "what links point to is untouched")

    # no programs
    none = Flowplane(conf={"database.embedded": True, "database.bin_dir": "/nonexistent"}, start=False, name="none")
    none.start(wait=None)
    tap.is_(none.process.wait(util.patience()), 1, "without PostgreSQL's programs: status 1")
    none.process = None
    tap.contains(none.log(), "database.embedded: no PostgreSQL 13 or newer found in /nonexistent; set database.bin_dir", "and says so")
