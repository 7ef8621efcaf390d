"""The ground of t/80-guide/: the operations guide's own commands, run by sh, against instances that are configured by
the environment alone (contract §16).

Where the system allows it the test runs in a network of its own, so that the guide's ports, 8080 and 50051, are free."""
import os
import re
import subprocess
import sys

import fp_tap as tap
import fp_util as util
from fp_server import PROGRAM, Flowplane

# root: a network; others: a user namespace in which they stay who they are, and may set up its loopback
_UNSHARE = ["unshare", "--net"] if util.ROOT else ["unshare", "--net", "--map-current-user", "--keep-caps"]
_UP = "ip link set lo up && echo '33000 49999' > /proc/sys/net/ipv4/ip_local_port_range"  # neither 50051 nor a free_port() by chance


def _enter():
    if "FP_GUIDE_NET" in os.environ:
        return os.environ["FP_GUIDE_NET"] == "own"
    os.environ["FP_GUIDE_NET"] = "shared"
    try:
        if subprocess.run([*_UNSHARE, "sh", "-c", _UP], capture_output=True, timeout=60).returncode == 0:
            os.environ["FP_GUIDE_NET"] = "own"
            os.execvp(_UNSHARE[0], [*_UNSHARE, "sh", "-c", _UP + ' && exec "$@"', "sh", sys.executable, *sys.argv])
    except (OSError, subprocess.TimeoutExpired):
        pass
    return False


OWN = _enter()


CTL = util.OBJS / "flowplanectl"


def port(wanted):
    return wanted if OWN else util.free_port()


def sh(command, want=0, **env):
    """The output (both streams) of a command line of the guide; dies when its exit status is not `want`."""
    r = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                       stdin=subprocess.DEVNULL, cwd=util.tmp(), timeout=120 * util.SLOW,
                       env={**os.environ, **{k: str(v) for k, v in env.items()}})
    if want is not None and r.returncode != want:
        raise AssertionError(f"{command}: exit status {r.returncode}\n{r.stdout[-2000:]}")
    return r.stdout.rstrip("\n")


class Instance(Flowplane):
    """flowplane without a file, as in a container: an unprivileged user, variables, output in one file."""

    def __init__(self, pg=None, api=8080, xds=50051, name=None, database=None, wait="ready", start=True, certs=None, **env):
        super().__init__(None, name=name, start=False, certs=certs)
        self.api_port, self.xds_port = port(api), port(xds)
        self.conf = {"api": {"tls": {"enabled": env.get("FLOWPLANE_API_TLS_ENABLED") == "true"}}}
        self.file.unlink()
        self.env = {"FLOWPLANE_PROCESS_WORKERS": "2", "FLOWPLANE_PROCESS_RUNTIME_DIR": str(self.run_dir),
                    "FLOWPLANE_PROCESS_PID_FILE": str(self.run_dir / "flowplane.pid"),
                    "FLOWPLANE_DATABASE_STATEMENT_TIMEOUT": "60s",  # no test may fail because a machine is slow
                    "FLOWPLANE_PROCESS_STATE_DIR": str(self.state_dir), "FLOWPLANE_PROCESS_INSTANCE_ID": self.dir.name}
        if pg is not None:
            self.env["DATABASE_URL"] = pg.url(database)
        for name_, have, usual in ("FLOWPLANE_API_PORT", self.api_port, 8080), ("FLOWPLANE_XDS_PORT", self.xds_port, 50051):
            if have != usual:
                self.env[name_] = str(have)
        self.env.update((k, str(v)) for k, v in env.items() if v is not None)
        if start:
            self.start(wait)

    def spawn(self):
        return util.spawn([PROGRAM, *self.args], self.log_path, env={**self.environment(), "HOME": str(self.dir)},
                          user=util.unprivileged(), cwd=self.dir)

    @property
    def url(self):
        return f"{'https' if self.conf['api']['tls']['enabled'] else 'http'}://localhost:{self.api_port}"

    def sh(self, command, want=0, **env):
        """`sh` with what an operator has at hand: $FLOWPLANE, $API, $XDS, $TOKEN, $DATABASE_URL."""
        return sh(command, want, **{"API": self.url, "XDS": f"localhost:{self.xds_port}", "TOKEN": self.token or "",
                                    "LOG": self.log_path, "DATABASE_URL": self.env.get("DATABASE_URL", ""), **env})

    def listening(self, tool):
        """The ports on which `netstat -tlnp` or `ss -tlnp` shows our processes."""
        ours, ports = {self.master_pid, *self.children()}, set()
        for line in sh(tool).splitlines():
            pids = {int(a or b) for a, b in re.findall(r"(\d+)/flowplane|pid=(\d+)", line)}
            local = re.search(r"(?:[\d.]+|\*|\[?[\da-f:]+\]?):(\d+)\s", line)
            if local and pids & ours:
                ports.add(int(local[1]))
        return ports

    def fails(self, text):
        """A start that ends by itself: exit status 1 and this on the terminal."""
        self.start(wait=None)
        status = self.process.wait(util.patience())
        self.process = None
        tap.is_(status, 1, f"the start fails: {text}")
        tap.contains(self.log(), text, f"and says: {text}")

    def metric(self, name, **labels):
        """The sum of the series with these labels, None without any."""
        found = None
        for line in self.get("/metrics", token=None).text.splitlines():
            m = re.match(r"^(\w+)(?:\{(.*)\})? (\S+)$", line)
            if m and m.group(1) == name:
                have = dict(re.findall(r'(\w+)="([^"]*)"', m.group(2) or ""))
                if all(have.get(k) == v for k, v in labels.items()):
                    found = (found or 0) + float(m.group(3))
        return found


def need(*programs):
    """The guide's tools; without one of them the test is skipped (a failure in CI)."""
    for name in programs:
        util.find_program(name)
