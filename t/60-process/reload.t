#!/usr/bin/env python3
"""HUP (contract §13.1): a good file makes a new generation without a failed connect, a broken one changes
nothing and says why, HUPs during a reload are not lost."""
import os
import re
import signal
import threading

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres, wait_until


def gets(fp, stop, failed, done):
    while not stop.is_set():
        try:
            if fp.get("/healthz", token=None, timeout=60).status != 200:
                failed.append("status")
            done.append(1)
        except OSError as e:
            failed.append(repr(e))


def reloaded(fp, start):
    return fp.wait_log(r"configuration reloaded, generation (\d+) serves", 20, start)


with tap.run():
    fp = Flowplane(Postgres(), conf={"process.worker_shutdown_timeout": "5s"})
    stop, failed, done = threading.Event(), [], []
    asker = threading.Thread(target=gets, args=(fp, stop, failed, done), daemon=True)
    asker.start()

    # good
    for round_ in range(3):
        old, mark = fp.children(), len(fp.log())
        fp.reload()
        reloaded(fp, mark)
        wait_until(lambda: not any(util.alive(p) for p in old), 10, "the old generation is gone")
        tap.is_(len(fp.children()), 3, f"reload {round_}: two workers and a watcher, all new")
    wait_until(lambda: failed or len(done) > 20, what="requests")
    tap.ok(not failed, f"no request failed during three reloads ({len(done)} were made)", failed[:5])

    # a directive takes effect
    mark = len(fp.log())
    fp.write_conf({"observability.log_level": "debug", "process.workers": 3})
    fp.reload()
    reloaded(fp, mark)
    wait_until(lambda: len(fp.workers()) == 3, 10, "three workers")
    fp.wait_log('"level":"DEBUG"', 10, mark)
    tap.ok(True, "a reload takes up log level and number of workers")
    # fewer slots: a connect in the middle of its handshake goes down with a socket that is closed
    stop.set()
    asker.join()
    tap.ok(not failed, "no request failed when slots were added", failed[:5])
    mark = len(fp.log())
    fp.write_conf({"process.workers": 1})
    fp.reload()
    reloaded(fp, mark)
    wait_until(lambda: len(fp.workers()) == 1, 10, "one worker")
    wait_until(lambda: len(fp.children()) == 2, 10, "the old ones are gone")
    tap.is_(fp.get("/readyz", token=None).status, 200, "ready with one worker")

    stop.clear()
    asker = threading.Thread(target=gets, args=(fp, stop, failed, done), daemon=True)
    asker.start()

    # class W, of the processes themselves
    mark = len(fp.log())
    fp.write_conf({"process.nofile": 300})
    fp.reload()
    reloaded(fp, mark)
    wait_until(lambda: len(fp.children()) == 2, 10, "the old ones are gone")
    limits = {re.search(r"Max open files +(\d+)", open(f"/proc/{p}/limits").read()).group(1) for p in fp.children()}
    tap.is_(limits, {"300"}, "process.nofile: of the new processes")
    fp.write_conf({"process.nofile": None})

    # broken in every way: the same processes, the same ports, an ERROR with file and line
    same = fp.children()
    good = fp.file.read_text()
    busy = util.free_port()
    import socket
    taken = socket.create_server(("127.0.0.1", busy))
    lines = good.count("\n")
    for what, text, why in (
            ("unknown key", good + "foo = 1;\n", rf"{re.escape(str(fp.file))}:{lines + 1}: unknown directive ..foo"),
            ("syntax", good + "more {\n", rf"{re.escape(str(fp.file))}:\d+: syntax error"),
            ("empty", "", "DATABASE_URL is not set"),
            ("port in use", good.replace(f"port = {fp.xds_port};", f"port = {busy};"),
             f"cannot listen on 127.0.0.1:{busy} .xds.port.: address in use"),
            ("missing certificate", re.sub(r"xds : \{\n", 'xds : {\n  tls : { cert_path = "/nonexistent/c"; key_path = "/nonexistent/k"; };\n', good),
             "xds.tls.cert_path: cannot open /nonexistent/c"),
            ("a certificate that is none", re.sub(r"xds : \{\n", f'xds : {{\n  tls : {{ cert_path = "{fp.file}"; key_path = "{fp.file}"; }};\n', good),
             "reload failed, the configuration stays as it was: .*flowplane.conf")):
        mark = len(fp.log())
        fp.write_conf(raw=text)
        fp.reload()
        fp.wait_log(r'"level":"ERROR"[^\n]*' + why, 15, mark)
        tap.ok(True, f"broken ({what}): {why}")
        fp.wait_log("reload failed, the configuration stays as it was", 15, mark)
        wait_until(lambda: fp.children() == same, 10, "the same processes")
        tap.is_(fp.get("/readyz", token=None).status, 200, f"broken ({what}): serves on with the same processes")
    taken.close()
    r = fp.command("-s", "reload")
    tap.is_(r.returncode, 1, "-s reload sends nothing when the file is bad")
    tap.is_(fp.children(), same, "-s reload: the same processes")
    fp.allow("reload failed")

    # another port: the new one opens, the old one closes
    new_port, old_port, mark = util.free_port(), fp.api_port, len(fp.log())
    stop.set()
    asker.join()
    tap.ok(not failed, "no request failed while reloads failed", failed[:5])
    fp.write_conf({"api.port": new_port})
    fp.reload()
    reloaded(fp, mark)
    fp.api_port = new_port
    tap.is_(fp.get("/readyz", token=None).status, 200, "a new port answers")
    wait_until(lambda: not util.port_open(old_port), 10, "the old port is closed")
    tap.ok(True, "and the old one is closed")

    # class R: said, not done; -s reload
    mark = len(fp.log())
    fp.write_conf({"process.instance_id": "renamed", "bootstrap.default_gateway": False})
    r = fp.command("-s", "reload")
    tap.is_(r.returncode, 0, "-s reload") or tap.diag(r.stderr)
    fp.wait_log("process.instance_id has changed and takes effect at the next restart", 10, mark)
    fp.wait_log("bootstrap.default_gateway has changed and takes effect at the next restart", 10, mark)
    reloaded(fp, mark)
    tap.ok(True, "a changed R directive is named, the rest is applied")

    # it is said when the old workers accept no more, not before: who waits for it meets the new configuration
    wait_until(lambda: len(fp.children()) == 2, 20, "one generation")
    mark, old = len(fp.log()), fp.workers()
    fp.write_conf({"observability.log_level": "debug", "process.workers": 2})
    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    fp.reload()
    wait_until(lambda: len(re.findall(r"\(pid \d+\) is ready", fp.log()[mark:])) == 3, 30, "the new processes are ready")
    tap.is_(fp.get("/readyz", token=None).status, 200, "the new workers answer while the old ones do not stir")
    log = fp.log()[mark:]
    tap.ok("configuration reloaded" not in log or "does not say that it drains" in log, "the reload is not complete yet", log)
    for pid in old:
        os.kill(pid, signal.SIGCONT)
    reloaded(fp, mark)
    tap.ok(True, "the reload is complete when the old ones say that they drain")

    # max_old_generations: the oldest draining one is ended when there are too many
    def hold():
        c = socket.create_connection(("127.0.0.1", fp.api_port))
        c.sendall(b"POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Authorization: Bearer %s\r\nContent-Length: 10\r\n\r\n{" % fp.token.encode())
        return c

    mark = len(fp.log())
    fp.write_conf({"process.max_old_generations": 1, "process.worker_shutdown_timeout": "1h", "process.workers": 1, "api.request_timeout": "1h"})
    fp.reload()
    reloaded(fp, mark)
    wait_until(lambda: len(fp.children()) == 2, 20, "one generation")
    held, firsts = [], []
    for _ in range(3):
        firsts.append(next(p for p in fp.workers() if p not in firsts))
        held.append(hold())
        wait_until(lambda: fp.get("/healthz", token=None).status == 200, 5, "the request was read")
        mark = len(fp.log())
        fp.reload()
        reloaded(fp, mark)
    wait_until(lambda: not util.alive(firsts[0]) and not util.alive(firsts[1]), 10, "the oldest are ended")
    tap.ok(util.alive(firsts[2]), "max_old_generations = 1: the newest of the old ones goes on draining")
    for c in held:
        c.close()

    # a burst is answered (last: a signal may be left that reloads the same once more): what is in the file at the last HUP is what runs
    mark = len(fp.log())
    for level in ("info", "warn", "error", "info", "debug"):
        fp.write_conf({"observability.log_level": level})
        fp.reload()
    fp.write_conf({"process.workers": 2})
    fp.reload()
    wait_until(lambda: sorted(map(util.cmdline, fp.children())) == ["flowplane: watcher", "flowplane: worker 0", "flowplane: worker 1"],
               30, "the last state of the file")
    tap.ok(True, "HUPs during a reload are queued, not lost")
    tap.is_(fp.get("/readyz", token=None).status, 200, "ready at the end")
