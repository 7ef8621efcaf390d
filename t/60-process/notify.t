#!/usr/bin/env python3
"""Readiness for the service manager (contract §13.1): after the first snapshot, or after 5 s in retry; reload, stop."""
import os
import socket
import time

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres


def listen(name):
    path = util.tmp() / name
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(str(path))
    os.chmod(path, 0o666)
    s.settimeout(util.patience())
    return s, str(path)


with tap.run():
    s, path = listen("one")
    fp = Flowplane(Postgres(), env={"NOTIFY_SOCKET": path}, conf={"bootstrap.print": True})
    tap.is_(s.recv(200), b"READY=1", "ready")
    tap.is_(fp.get("/readyz", token=None).status, 200, "and it is")
    fp.reload()
    tap.like(s.recv(200).decode(), r"^RELOADING=1\nMONOTONIC_USEC=\d+$", "a reload begins")
    tap.is_(s.recv(200), b"READY=1", "and ends")
    fp.write_conf(raw="nonsense")
    fp.reload()
    tap.like(s.recv(200).decode(), r"^RELOADING=1", "a failed reload begins")
    tap.is_(s.recv(200), b"READY=1", "and ends")
    fp.stop()
    tap.is_(s.recv(200), b"STOPPING=1", "stopping")

    # under a service manager a missing database is waited for: ready after 5 s
    s, path = listen("two")
    began = time.monotonic()
    fp = Flowplane(conf={"database.url": f"postgresql://x@127.0.0.1:{util.free_port()}/x",
                         "database.startup_timeout": "100ms"}, env={"NOTIFY_SOCKET": path}, wait="alive")
    tap.is_(s.recv(200), b"READY=1", "without a database: ready all the same")
    took = time.monotonic() - began
    tap.ok(took >= 4, f"after about 5 s ({took:.1f})")
    tap.is_(fp.get("/readyz", token=None).status, 503, "though /readyz tells the truth")
