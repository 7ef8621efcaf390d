"""What every object of the harness needs: deadlines, ports, a private directory, processes."""
import ctypes
import fcntl
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import fp_tap as tap

TOP = pathlib.Path(os.environ.get("FP_TOP", ".")).resolve()
OBJS = TOP / os.environ.get("FP_OBJS", "objs")
ROOT = os.geteuid() == 0


def _sanitized():
    try:
        return 'FP_SANITIZER ""' not in (OBJS / "fp_config.h").read_text()
    except OSError:
        return False


SANITIZED = _sanitized()
SLOW = float(os.environ.get("FP_SLOW", "4" if SANITIZED else "1"))
LONG = os.environ.get("FP_LONG") == "1"  # make check-long
PATIENCE = 60.0


def patience(deadline=0.0):
    """The seconds to wait at most.  A deadline ends the test of a broken program and measures nothing: what a test
    thinks is enough is raised to what a machine under load may take."""
    return max(deadline, PATIENCE) * SLOW


def rounds(short, long=None):
    """How often a test repeats: `short`, FP_LONG=1: `long` or ten times that; FP_ROUNDS says it."""
    return int(os.environ.get("FP_ROUNDS", (long or 10 * short) if LONG else short))


def seed(short=None):
    """Of a test's random input, printed: FP_SEED repeats a run.  `short`: always that one, but with FP_LONG=1."""
    chosen = int(os.environ.get("FP_SEED", random.randrange(10**9) if LONG or short is None else short))
    tap.diag(f"FP_SEED={chosen}")
    return chosen


class Timeout(AssertionError):
    pass


def wait_until(cond, deadline=0.0, what=None, every=0.02):
    """Returns cond()'s first true value; raises Timeout when our patience ends."""
    end = time.monotonic() + patience(deadline)
    while True:
        value = cond()
        if value:
            return value
        if time.monotonic() >= end:
            raise Timeout(f"not within {patience(deadline):g} s: {what or getattr(cond, '__doc__', None) or cond}")
        time.sleep(every)


# ---- ports: below the ephemeral range, each held by a lock while the test lives

_PORT_LOCKS = []


def free_port():
    folder = pathlib.Path(tempfile.gettempdir(), "fp-ports")
    folder.mkdir(exist_ok=True)
    if ROOT:
        folder.chmod(0o1777)
    while True:
        port = random.randrange(20000, 32000)
        try:
            lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except PermissionError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for address in ("127.0.0.1", "0.0.0.0"):
                with socket.socket() as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind((address, port))
        except OSError:
            os.close(lock)
            continue
        _PORT_LOCKS.append(lock)
        return port


def port_open(port, address="127.0.0.1"):
    try:
        with socket.create_connection((address, port), timeout=patience()):
            return True
    except OSError:
        return False


# ---- one directory per test, removed at its end

_tmp = None


def tmp():
    """This test's directory; kept when FP_KEEP=1 or the test failed under FP_KEEP=failed."""
    global _tmp
    if _tmp is None:
        _tmp = pathlib.Path(tempfile.mkdtemp(prefix="fp-"))
        _tmp.chmod(0o755)  # the servers' own users pass through
        # registered first, runs last
        tap._at_end.insert(0, _tmp_remove)
    return _tmp


def _tmp_remove():
    keep = os.environ.get("FP_KEEP", "")
    if keep == "1" or (keep == "failed" and tap._failed):
        tap.diag(f"kept: {_tmp}")
    else:
        shutil.rmtree(_tmp, ignore_errors=True)


# ---- processes

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(argv, log, env=None, user=None, **more):
    """Popen in a session of its own, output to the file `log`, killed when the test dies."""
    if user is not None:
        more.update(user=user[0], group=user[1], extra_groups=[])
        argv = [reachable(argv[0]), *argv[1:]]
    with open(log, "ab") as out:
        return subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                env=env, start_new_session=True, preexec_fn=_die_with_parent, **more)


def stop_process(popen, sig=signal.SIGTERM, deadline=0.0):
    """Exit status; kills after the deadline, and says so by returning None."""
    if popen.poll() is None:
        popen.send_signal(sig)
    try:
        return popen.wait(patience(deadline))
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
        return None


def reachable(program):
    """The program, or a copy that any user can run: a checkout or a home below /root is root's alone."""
    program = pathlib.Path(program)
    if all(p.stat().st_mode & 0o001 for p in program.resolve().parents):
        return program
    copy = tmp() / "bin" / program.name
    if not copy.exists():
        copy.parent.mkdir(exist_ok=True)
        shutil.copy2(program, copy)
        copy.chmod(0o755)
    return copy


def unprivileged():
    """(uid, gid) for servers that refuse to be root; None when we are not root."""
    import pwd
    if not ROOT:
        return None
    for name in ("postgres", "nobody"):
        try:
            p = pwd.getpwnam(name)
            return p.pw_uid, p.pw_gid
        except KeyError:
            pass
    return 65534, 65534


def _stat(pid):
    try:
        text = pathlib.Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2:].split()
    return {"state": fields[0], "ppid": int(fields[1]), "session": int(fields[3]), "start": fields[19]}


def alive(pid):
    s = _stat(pid)
    return s is not None and s["state"] not in "ZX"


def processes():
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            s = _stat(name)
            if s and s["state"] not in "ZX":
                found[int(name)] = s
    return found


def descendants(pid):
    """{pid: start time} of children, their children, and whoever is left of the session."""
    all_ = processes()
    found, grew = {pid}, True
    while grew:
        more = {p for p, s in all_.items() if p not in found and (s["ppid"] in found or s["session"] == pid)}
        grew = bool(more)
        found |= more
    return {p: all_[p]["start"] for p in found - {pid}}


def same_alive(pid, start):
    s = _stat(pid)
    return s is not None and s["start"] == start and s["state"] not in "ZX"


def cmdline(pid):
    try:
        return pathlib.Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def open_fds(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return -1


def fd_links(pid):
    """{descriptor: what it leads to}; those that close meanwhile are left out."""
    found = {}
    try:
        for n in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(n)] = os.readlink(f"/proc/{pid}/fd/{n}")
            except FileNotFoundError:
                pass
    except OSError:  # gone, or another user's
        pass
    return found


def pss_kib(pid):
    try:
        for line in pathlib.Path("/proc", str(pid), "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def log_tail(path, lines=10, width=300):
    """For diag() when a test failed; FP_LOG_LINES=200 for more."""
    lines = int(os.environ.get("FP_LOG_LINES", lines))
    text = pathlib.Path(path).read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"last lines of {path}:", *(line if len(line) <= width else line[:width] + "…" for line in text)])


def shared_memory(pids):
    """Names in /dev/shm that these processes have mapped."""
    found = set()
    for pid in pids:
        try:
            maps = pathlib.Path("/proc", str(pid), "maps").read_text()
        except OSError:
            continue
        found |= {line.split("/dev/shm/")[1].split(" ")[0] for line in maps.splitlines() if "/dev/shm/" in line}
    return found


def find_program(name, variable=None, folders=()):
    """A peer's program, by environment, PATH or usual place; without it the test is skipped (fails in CI)."""
    wanted = variable and os.environ.get(variable)
    if wanted:
        path = wanted if os.access(wanted, os.X_OK) else None
    else:
        path = shutil.which(name) or next(
            (f"{f}/{name}" for f in folders if os.access(f"{f}/{name}", os.X_OK)), None)
    if path is None:
        tap.skip_all(f"{name} is not here" + (f" (PATH, {variable})" if variable else ""))
    return path


def need_module(name, package):
    try:
        return __import__(name)
    except ImportError as e:
        tap.skip_all(f"python module {name} ({package}): {e}")


def _on_signal(signum, _frame):
    raise KeyboardInterrupt(f"signal {signum}")


# `timeout` sends TERM: objects still get their stop
signal.signal(signal.SIGTERM, _on_signal)
sys.setswitchinterval(0.002)
