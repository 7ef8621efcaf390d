#!/usr/bin/env python3
"""sh auto/quickstart (issue 3, part 11): traffic flows, Ctrl-C leaves nothing, nor do other ends; the second start has the data."""
import http.client
import os
import re
import shutil
import signal
import subprocess
import time

import fp_envoy
import fp_tap as tap
import fp_util as util
from fp_util import wait_until

RUN = util.tmp() / "run"
ENV = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


class Quickstart:
    def __init__(self, n, *options):
        self.log_path = util.tmp() / f"quickstart{n}.log"
        self.log_path.touch()
        began = time.monotonic()
        self.process = util.spawn(["sh", "auto/quickstart", f"--dir={RUN}", *options], self.log_path, env=ENV)
        tap.at_end(self.kill)
        wait_until(self.running, 120, "the quick start says that it runs")
        self.seconds = time.monotonic() - began
        self.seen = util.descendants(self.process.pid)

    def log(self):
        return self.log_path.read_text()

    def running(self):
        if self.process.poll() is not None:
            raise RuntimeError("it ended:\n" + self.log())
        return "Ctrl-C stops everything" in self.log()

    def find(self, pattern):
        m = re.search(pattern, self.log())
        return m and m.group(1)

    def interrupt(self, sig=signal.SIGINT):
        self.seen.update(util.descendants(self.process.pid))
        return util.stop_process(self.process, sig, 30)

    def left(self):
        return [util.cmdline(p) for p, start in self.seen.items() if util.same_alive(p, start)]

    def kill(self):
        if self.process.poll() is None:
            tap.diag(self.log())
            tap.is_(self.interrupt(), 0, "ended at last")


def request(method, url):
    host, path = re.match(r"http://([^/]+)(/.*)", url).groups()
    c = http.client.HTTPConnection(host, timeout=util.patience())
    c.request(method, path)
    r = c.getresponse()
    return r.status, r.read().decode()


with tap.run():
    ENV["FP_ENVOY"] = fp_envoy.program()
    for name in ("curl", "make", "cc"):
        util.find_program(name)
    if shutil.which("dpkg-query") is None and not util.ROOT:
        tap.skip_all("not a Debian")
    # the ports of a last time: several of these tests may run on one machine
    RUN.mkdir()
    (RUN / "ports").write_text(" ".join(str(util.free_port()) for _ in range(5)))

    q = Quickstart(1)
    tap.like(q.log(), r"\$ curl http://127\.0\.0\.1:\d+/\nHello from behind Envoy\.", "a request goes through Envoy")
    token, api, envoy = q.find(r"token +(fp_pat_\S+)"), q.find(r"REST API +(http\S+)"), q.find(r"Envoy +(http\S+)")
    tap.ok(token and api and envoy, "token and URLs are printed", q.log())
    tap.is_((RUN / "state" / "bootstrap-token").stat().st_mode & 0o077, 0, "the token's file is private")
    commands = q.log().split("Next, in another terminal:")[1].split("Ctrl-C stops")[0]
    r = subprocess.run(["sh", "-e", "-c", commands], capture_output=True, text=True)
    tap.is_(r.returncode, 0, "the printed commands run")
    tap.like(r.stdout, r'"name":"hello"', "and show the cluster")
    wait_until(lambda: request("GET", envoy)[1] == "changed by one PUT\n", 10, "the change is in Envoy")
    r = subprocess.run(["sh", "auto/quickstart", f"--dir={RUN}"], capture_output=True, text=True, env=ENV, stdin=subprocess.DEVNULL)
    tap.is_(r.returncode, 1, "a second one beside it is refused")
    tap.like(r.stderr, "already running", "which says why")
    shm = util.shared_memory(q.seen)
    tap.is_(q.interrupt(), 0, "Ctrl-C: exit status 0")
    tap.like(q.log(), "Stopped", "it says so")
    wait_until(lambda: not q.left(), 10, "processes gone")
    tap.is_(q.left(), [], "no process is left")
    tap.is_([str(p) for p in RUN.rglob("*") if p.is_socket()], [], "no socket is left")
    tap.is_(shm & set(os.listdir("/dev/shm")), set(), "no shared memory is left")
    for url in (api, envoy):
        tap.ok(not util.port_open(int(re.search(r":(\d+)/", url).group(1))), f"{url} is closed")

    (RUN / "quickstart.pid").write_text(str(os.getppid()))  # left over, and now somebody else's
    # as if the last start had been broken off while it loaded the example, at other ports
    (RUN / "example").unlink()
    ports = (RUN / "ports").read_text().split()
    (RUN / "ports").write_text(" ".join([*ports[:2], str(util.free_port()), str(util.free_port()), ports[4]]))

    q = Quickstart(2)
    tap.unlike(q.log(), "Configuring|Building|Getting|installed", f"the second start builds and installs nothing ({q.seconds:.1f} s)")
    tap.is_(q.find(r"token +(fp_pat_\S+)"), token, "same token")
    tap.isnt(q.find(r"Envoy +(http\S+)"), envoy, "Envoy's port has changed")
    envoy = q.find(r"Envoy +(http\S+)")
    wait_until(lambda: request("GET", envoy)[1] == "changed by one PUT\n", 10, "the data were kept, Envoy has them")
    tap.is_(q.interrupt(signal.SIGHUP), 0, "its terminal is closed")
    wait_until(lambda: not q.left(), 10, "processes gone")

    (RUN / "quickstart.pid").write_text("999999999")  # left over, and nobody's
    q = Quickstart(3, "--no-envoy")
    tap.unlike(q.log(), "Starting Envoy", "--no-envoy starts none")
    tap.is_(request("GET", api.replace("/api/v1/", "/healthz"))[0], 200, "but Flowplane")
    tap.unlike(q.log(), "No such file", "nothing is said about the number of nobody")
    tap.is_(q.interrupt(signal.SIGKILL), -signal.SIGKILL, "it is killed")
    wait_until(lambda: not q.left(), 10, "and takes all with it")

    # who reads what it says goes first, as with: sh auto/quickstart | tee log
    reader, writer = os.pipe()
    p = subprocess.Popen(["sh", "auto/quickstart", f"--dir={RUN}", "--no-envoy"], stdout=writer, stderr=writer,
                         stdin=subprocess.DEVNULL, env=ENV, start_new_session=True,
                         preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL))
    tap.at_end(lambda: p.poll() is None and p.kill())
    os.close(writer)
    with os.fdopen(reader) as said:
        while "Ctrl-C stops everything" not in (line := said.readline()) and line:
            pass
    seen = util.descendants(p.pid)
    tap.ok(seen, "runs, and nobody listens")
    util.stop_process(p, signal.SIGTERM, 30)
    wait_until(lambda: not [i for i, start in seen.items() if util.same_alive(i, start)], 10, "no process is left either")

    # nothing is written where something is in the way
    (RUN.parent / "file").touch()
    r = subprocess.run(["sh", "auto/quickstart", f"--dir={RUN.parent}/file/run"], capture_output=True, text=True, env=ENV,
                       stdin=subprocess.DEVNULL)
    tap.is_(r.returncode, 1, "a directory that cannot be made is an error")
    tap.like(r.stderr, r"cannot write .*another place with --dir=DIR", "which says what to do")
