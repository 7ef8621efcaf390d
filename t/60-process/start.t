#!/usr/bin/env python3
"""What must not start twice, and what a start says when it fails (contract §13.1, §16)."""
import os
import signal
import socket
import threading

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres, wait_until


MIGRATION_LOCK = "hashtextextended('flowplane_migrations', 0)"


def fails(fp, name, text):
    """A start that ends with status 1 and `text` on the terminal."""
    fp.start(wait=None)
    status = fp.process.wait(util.patience())
    fp.process = None
    tap.is_(status, 1, f"{name}: status 1")
    tap.contains(fp.log(), text, f"{name}: {text}")


with tap.run():
    pg = Postgres()

    # an address in use, on each port, by a stranger and by another instance
    for which, port in (("api", "api_port"), ("xds", "xds_port")):
        fp = Flowplane(pg, start=False, name=f"busy-{which}")
        taken = socket.create_server(("127.0.0.1", getattr(fp, port)))
        fails(fp, f"{which} port in use", f"cannot listen on 127.0.0.1:{getattr(fp, port)} ({which}.port): address in use")
        taken.close()
        fp.start()
        tap.is_(fp.get("/readyz", token=None).status, 200, f"{which} port free again: starts")
        fp.stop()
    one = Flowplane(pg, name="one")
    other = Flowplane(pg, start=False, name="other", conf={"api.port": one.api_port})
    fails(other, "port of another instance", f"cannot listen on 127.0.0.1:{one.api_port} (api.port): address in use")
    tap.is_(one.get("/readyz", token=None).status, 200, "the first one goes on")
    tap.ok(util.port_open(one.api_port), "and keeps its port")
    other.api_port = util.free_port()

    # a second instance on the same state directory
    twin = Flowplane(pg, start=False, name="twin", conf={"process.state_dir": one.state_dir})
    fails(twin, "same state directory", f"another flowplane (pid {one.master_pid}) uses the state directory {one.state_dir}")
    # … and on the same pid file
    twin = Flowplane(pg, start=False, name="twin2", conf={"process.pid_file": one.run_dir / "flowplane.pid"})
    fails(twin, "same pid file", f"already running: pid {one.master_pid} holds {one.run_dir}/flowplane.pid")
    tap.is_((one.run_dir / "flowplane.pid").read_text(), f"{one.master_pid}\n", "the pid file is the first one's")
    tap.is_(one.get("/readyz", token=None).status, 200, "the first one goes on")
    one.stop()
    tap.ok(not (one.run_dir / "flowplane.pid").exists(), "the pid file is removed at the end")

    # log target that cannot be opened
    fp = Flowplane(pg, start=False, name="log", conf={"observability.log_target": "file:/nonexistent/x.log"})
    fails(fp, "log target", "observability.log_target: cannot open file:/nonexistent/x.log: No such file or directory")

    # a certificate that is none: the worker's last word ends the start
    fp = Flowplane(pg, start=False, name="cert")
    fp.write_conf({"xds.tls.cert_path": fp.file, "xds.tls.key_path": fp.file})
    fails(fp, "bad certificate", "Error: ")
    tap.like(fp.log(), rf"Error: .*{fp.file}", "bad certificate: with its path")

    # in the background: the command returns when the server is up, and -s finds it
    fp = Flowplane(pg, start=False, name="daemon", conf={
        "process.daemon": True, "bootstrap.print": False,
        "observability.log_target": f"file:{util.tmp()}/daemon/log"})
    if util.ROOT:
        os.chown(fp.dir, *util.unprivileged())
    r = fp.command()
    tap.is_(r.returncode, 0, "daemon: the command returns 0") or tap.diag(r.stderr + fp.log())
    wait_until(lambda: fp.get("/readyz", token=None).status == 200, what="daemon: and the server is ready then, or after 5 s soon")
    pid = int((fp.run_dir / "flowplane.pid").read_text())
    children = [p for p, s in util.processes().items() if s["ppid"] == pid]
    tap.is_(len(children), 3, "daemon: two workers and a watcher")
    tap.is_({util.fd_links(p).get(n) for p in [pid, *children] for n in (0, 1, 2)}, {"/dev/null"},
            "daemon: no process holds the terminal")
    tap.ok(util.processes()[pid]["session"] == pid or util.processes()[pid]["session"] != os.getsid(0), "daemon: a session of its own")
    r = fp.command()
    tap.is_(r.returncode, 1, "daemon: a second one fails in the foreground of the command")
    tap.contains(r.stderr, f"(pid {pid})", "and names the first")
    r = fp.command("-s", "quit")
    tap.is_(r.returncode, 0, "-s quit") or tap.diag(r.stderr)
    wait_until(lambda: not any(util.alive(p) for p in [pid, *children]), 20, "gone")
    tap.is_(fp.command("-s", "stop").returncode, 3, "-s stop: none is running")

    # -tt: the database too
    fp = Flowplane(pg, start=False, name="tt")
    r = fp.command("-tt")
    tap.is_(r.returncode, 0, "-tt: connects") or tap.diag(r.stderr)
    fp.write_conf({"database.url": f"postgresql://x@127.0.0.1:{util.free_port()}/x", "database.connect_timeout": "1s"})
    r = fp.command("-tt")
    tap.is_(r.returncode, 1, "-tt: fails without a database")
    tap.like(r.stderr, "database.url: cannot connect to the database: .*Connection refused", "-tt: and says why")
    tap.is_(fp.command("-t").returncode, 0, "-t: does not connect")

    # an empty database, and the tables let wait for themselves: nobody asks for them before
    pg.createdb("slow")
    db = pg.connect("slow")
    with db.cursor() as c:
        c.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        fp = Flowplane(pg, database="slow", conf={"database.startup": "retry"}, wait="alive", name="slow")
        wait_until(lambda: pg.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") != "0", what="the migration waits")
        c.execute(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})")
    db.close()
    wait_until(lambda: fp._answers("/readyz"), what="ready")
    told = [e["fields"]["message"] for e in fp.log_events() if e["level"] in ("WARN", "ERROR") and e["target"] == "flowplane::store"]
    tap.is_(told, [], "a first start warns of nothing in the database")
    tap.is_(fp.stop(), 0, "and stops")

    # no database
    gone = util.free_port()
    for conf, env, text in (
            ({"database.startup": "exit", "database.startup_timeout": "3s"}, {}, "Error: Failed to connect to database\n"),
            ({"database.startup_timeout": "3s"}, {}, "Error: Failed to connect to database\n")):
        fp = Flowplane(start=False, conf={"database.url": f"postgresql://x@127.0.0.1:{gone}/x", **conf}, env=env)
        fails(fp, f"no database, {conf}", text)
        tap.like(fp.log(), r"Error: Failed to connect to database\nError: connection refused\n", "with the cause on the next line")
    # in the background too the command tells the end of it, though that takes longer than `retry` would be waited for
    fp = Flowplane(start=False, name="daemon-away", conf={
        "database.url": f"postgresql://x@127.0.0.1:{gone}/x", "process.daemon": True, "database.startup": "exit",
        "database.startup_timeout": "6s", "observability.log_target": f"file:{util.tmp()}/daemon-away/log"})
    if util.ROOT:
        os.chown(fp.dir, *util.unprivileged())
    r = fp.command()
    tap.is_(r.returncode, 1, "daemon without a database: the command fails")
    tap.contains(r.stderr, "Error: Failed to connect to database\nError: connection refused\n", "and says why")
    tap.unlike(fp.log(), "flowplane is up", "nobody was told that it is up")
    fp = Flowplane(conf={"database.url": f"postgresql://x@127.0.0.1:{gone}/x", "database.startup": "retry",
                         "database.startup_timeout": "100ms"}, wait="alive", name="retry")
    fp.wait_log("flowplane is up", 10)
    tap.is_(fp.get("/readyz", token=None).status, 503, "retry: stays up, unready")
    tap.is_(fp.stop(), 0, "retry: stops")

    # ready is ready everywhere: not while one worker is still without the first snapshot
    pg.createdb("everywhere")
    pg.stop()
    fp = Flowplane(pg, {"database.startup": "retry"}, wait="alive", name="everywhere", database="everywhere")
    wait_until(lambda: len(fp.workers()) == 2 and "flowplane is up" in fp.log(), what="both workers")
    late = fp.workers()[0]
    os.kill(late, signal.SIGSTOP)
    mark = len(fp.log())
    pg.start()
    fp.wait_log("serving revision [0-9]+ of the database", start=mark)
    seen = []
    askers = [threading.Thread(target=lambda: seen.append(fp.get("/readyz", token=None).status)) for _ in range(16)]
    for t in askers:
        t.start()
    wait_until(lambda: seen, what="the other worker answers")
    os.kill(late, signal.SIGCONT)
    for t in askers:
        t.join()
    tap.is_(seen[0], 503, "unready while one worker has no snapshot yet")
    wait_until(lambda: fp._answers("/readyz"), what="ready")
    fp.find_token()
    tap.is_({fp.get("/api/v1/clusters").status for _ in range(16)}, {200}, "and then no worker refuses")

    # a HUP in the middle of the start: the start comes to its end all the same
    fp.stop()
    mark = len(fp.log())
    fp.start(wait=None)
    fp.wait_log("started watcher", start=mark)
    fp.reload()
    fp.wait_log("flowplane is up", start=mark)
    fp.wait_log("configuration reloaded", start=mark)
    wait_until(lambda: fp._answers("/readyz") and len(fp.children()) == 3, what="one generation, ready")
    tap.ok(True, "a HUP in the middle of the start")
