"""A Flowplane in the foreground: its configuration file, REST client, log, processes, hidden checks."""
import http.client
import json
import os
import re
import signal as signals
import ssl
import subprocess

import fp_tap as tap
import fp_util as util

PROGRAM = util.OBJS / "flowplane"
# Lines that must not occur in any log.
NEVER = re.compile(r"assert(ion)? failed|\bFP_ASSERT\b|: unreachable\b|\[alert\]|\"level\":\"ALERT\"|"
                   r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|UndefinedBehavior|runtime error: |"
                   r"stack smashing|buffer overflow detected|double free|malloc\(\): |free\(\): ", re.I)


def libconfig(value, indent=0):
    """A dict as libconfig text."""
    pad = "  " * indent
    if isinstance(value, dict):
        out = []
        for key, v in value.items():
            if isinstance(v, dict):
                out.append(f"{pad}{key} : {{\n{libconfig(v, indent + 1)}{pad}}};\n")
            else:
                out.append(f"{pad}{key} = {libconfig(v)};\n")
        return "".join(out)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}L" if abs(value) >= 2**31 else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(libconfig(v) for v in value) + "]"
    return json.dumps(str(value))


def merge(base, more):
    """Nested; keys of `more` may be dotted: {"api.port": 1}."""
    out = {k: merge(v, {}) if isinstance(v, dict) else v for k, v in base.items()}
    for key, value in more.items():
        head, _, rest = key.partition(".")
        if rest:
            value = {rest: value}
        if isinstance(value, dict):
            out[head] = merge(out.get(head) if isinstance(out.get(head), dict) else {}, value)
        elif value is None:
            out.pop(head, None)
        else:
            out[head] = value
    return out


class Response:
    def __init__(self, status, headers, raw):
        self.status, self.headers, self.raw = status, headers, raw

    @property
    def text(self):
        return self.raw.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.raw)

    def __repr__(self):
        return f"<{self.status} {self.text[:300]}>"


class Flowplane:
    count = 0

    def __init__(self, pg=None, conf=None, env=None, args=(), wait="ready", start=True, database=None, certs=None,
                 name=None):
        """pg: a Postgres, or None with database.embedded in conf.  conf: overrides, dotted keys allowed, None
        removes.  wait: "ready" (GET /readyz), "alive" (GET /healthz) or None."""
        Flowplane.count += 1
        self.dir = util.tmp() / (name or f"fp{Flowplane.count}")
        self.run_dir, self.state_dir = self.dir / "run", self.dir / "state"
        for d in (self.dir, self.run_dir, self.state_dir):
            d.mkdir()
        self.file, self.log_path = self.dir / "flowplane.conf", self.dir / "log"
        self.log_path.touch()
        self.api_port, self.xds_port = util.free_port(), util.free_port()
        self.certs = certs
        self.env, self.args = env or {}, list(args)
        self.token = None
        self.process = None
        self._seen = {}
        self._allowed = []
        base = {
            "process": {"workers": 2, "pid_file": self.run_dir / "flowplane.pid", "runtime_dir": self.run_dir,
                        "state_dir": self.state_dir, "instance_id": self.dir.name},
            "database": {"statement_timeout": "60s", "connect_timeout": "30s", "startup_timeout": "10m"},  # no test of them is slower
            "api": {"bind_address": ["127.0.0.1"], "port": self.api_port},
            "xds": {"bind_address": ["127.0.0.1"], "port": self.xds_port},
            "bootstrap": {"print": True},
            "observability": {"log_format": "json"},
        }
        if pg is not None:
            base["database"]["url"] = pg.url(database)
        if util.ROOT:
            import pwd
            import grp
            uid, gid = util.unprivileged()
            base["process"].update(user=pwd.getpwuid(uid).pw_name, group=grp.getgrgid(gid).gr_name)
            for d in (self.run_dir, self.state_dir):
                os.chown(d, uid, gid)
        self.conf = merge(base, conf or {})
        self.write_conf()
        tap.at_end(self._finish)
        if start:
            self.start(wait)

    # ---- life

    def write_conf(self, more=None, raw=None):
        """The configuration file anew: with overrides, or raw text."""
        if more:
            self.conf = merge(self.conf, more)
        self.file.write_text(raw if raw is not None else libconfig(self.conf))

    def environment(self):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("FLOWPLANE_", "DATABASE_", "RUST_LOG", "BOOTSTRAP_", "PG"))}
        env.update(self.env)
        return env

    def start(self, wait="ready"):
        if not PROGRAM.exists():
            raise RuntimeError(f"{PROGRAM} is not built")
        self._log_from = self.log_path.stat().st_size
        self.process = self.spawn()
        if wait:
            path = "/readyz" if wait == "ready" else "/healthz"
            util.wait_until(lambda: self._answers(path), 30, f"GET {path} is 200")
            self.find_token()
        return self

    def spawn(self):
        return util.spawn([PROGRAM, "-c", self.file, *self.args], self.log_path, env=self.environment())

    def _answers(self, path):
        if self.process.poll() is not None:
            raise RuntimeError(f"flowplane ended with {self.process.returncode}:\n{self.log()[-4000:]}")
        try:
            return self.get(path, token=None).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def find_token(self):
        m = re.search(r"token: (fp_pat_\S+) ", self.log())
        if m:
            self.token = m.group(1)
        return self.token

    def command(self, *args, env=None, timeout=0):
        """Runs the program with other options and the same file: command("-t")."""
        e = self.environment()
        e.update(env or {})
        return subprocess.run([str(PROGRAM), "-c", str(self.file), *map(str, args)], capture_output=True, text=True,
                              env=e, stdin=subprocess.DEVNULL, timeout=util.patience(timeout))

    def signal(self, sig):
        self.process.send_signal(sig)

    def reload(self):
        self.signal(signals.SIGHUP)

    def stop(self, sig=signals.SIGTERM, deadline=0):
        """Exit status of the master."""
        if self.process is None:
            return None
        self._note()
        status = util.stop_process(self.process, sig, deadline)
        self.process = None
        return status

    def restart(self, wait="ready", sig=signals.SIGTERM):
        self.stop(sig)
        return self.start(wait)

    def kill(self):
        """kill -9 of the master; the children are on their own."""
        self._note()
        self.process.kill()
        self.process.wait()
        self.process = None

    # ---- processes

    @property
    def master_pid(self):
        return self.process.pid

    def children(self):
        """Pids of the master's children."""
        return sorted(p for p, s in util.processes().items() if s["ppid"] == self.process.pid)

    def workers(self):
        return [p for p in self.children() if "worker" in util.cmdline(p)]

    def watcher(self):
        found = [p for p in self.children() if "watcher" in util.cmdline(p)]
        return found[0] if found else None

    def pss_kib(self):
        return sum(map(util.pss_kib, [self.master_pid, *self.children()]))

    def _note(self):
        if self.process and self.process.poll() is None:
            self._seen.update(util.descendants(self.process.pid))

    # ---- log

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_events(self):
        """The JSON lines as objects; other lines are left out."""
        out = []
        for line in self.log().splitlines():
            try:
                out.append(json.loads(line))
            except ValueError:
                pass
        return out

    def wait_log(self, pattern, deadline=0, start=0):
        """Waits for a match after offset `start` (take len(fp.log()) before the deed)."""
        return util.wait_until(lambda: re.search(pattern, self.log()[start:]), deadline, f"log has {pattern!r}")

    def allow(self, pattern):
        """Lets a log line pass the hidden checks."""
        self._allowed.append(re.compile(pattern))

    # ---- REST

    def request(self, method, path, body=None, token="", headers=None, timeout=0):
        """token "": the bootstrap token; None: none.  body: anything JSON, or bytes as they are."""
        h = dict(headers or {})
        token = self.token if token == "" else token
        if token is not None:
            h.setdefault("Authorization", f"Bearer {token}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            h.setdefault("Content-Type", "application/json")
        if self.conf["api"].get("tls", {}).get("enabled"):
            context = ssl.create_default_context(cafile=self.certs and self.certs.ca_file)
            c = http.client.HTTPSConnection("localhost", self.api_port, timeout=util.patience(timeout), context=context)
        else:
            c = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=util.patience(timeout))
        try:
            c.request(method, path, body, h)
            r = c.getresponse()
            return Response(r.status, r.headers, r.read())
        finally:
            c.close()

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body, **more):
        return self.request("POST", path, body, **more)

    def put(self, path, body, **more):
        return self.request("PUT", path, body, **more)

    def delete(self, path, **more):
        return self.request("DELETE", path, **more)

    def api(self, method, path, body=None, want=None, **more):
        """The JSON of the answer; dies when the status is not `want` (default: any 2xx)."""
        r = self.request(method, path if path.startswith("/api/") else "/api/v1" + path, body, **more)
        if (r.status != want) if want else not 200 <= r.status < 300:
            raise AssertionError(f"{method} {path}: {r.status} {r.text}")
        return r.json if r.raw else None

    def settle(self, revision=0):
        """Waits until every worker serves that revision, or the last one written here."""
        n = revision or int(self.get("/api/v1/clusters").headers["Flowplane-Revision"])
        util.wait_until(lambda: self.api("GET", f"/revisions/{n}/status")["published"], what=f"revision {n} at each worker")

    def wait_database(self):
        """Waits until each worker has the database (again): each comes back by itself, and sixteen connections reach both."""
        util.wait_until(lambda: all(self.get("/api/v1/tokens/self").status == 200 for _ in range(16)), what="the database is back")

    # ---- hidden checks

    def _finish(self):
        if self.process is not None:
            self._note()
            status = self.stop()
            tap.ok(status is not None, f"{self.dir.name}: stopped in time", self.log()[-3000:])
        bad = [line for line in self.log().splitlines()
               if NEVER.search(line) and not any(p.search(line) for p in self._allowed)]
        tap.ok(not bad, f"{self.dir.name}: no assert, alert or sanitizer line", "\n".join(bad[:20]))
        try:
            util.wait_until(lambda: not self._left(), 10, "gone")
        except util.Timeout:
            tap.ok(False, f"{self.dir.name}: all children gone",
                   "\n".join(f"{p} {util.cmdline(p)}" for p in self._left()))
            for p in self._left():
                os.kill(p, signals.SIGKILL)
        else:
            tap.ok(True, f"{self.dir.name}: all children gone")
        still = [p for p in (self.api_port, self.xds_port) if util.port_open(p)]
        tap.is_(still, [], f"{self.dir.name}: its ports are closed")
        if tap._failed:
            tap.diag(util.log_tail(self.log_path))

    def _left(self):
        return [p for p, start in self._seen.items() if util.same_alive(p, start)]
