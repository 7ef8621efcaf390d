#!/usr/bin/env python3
"""TERM, INT, QUIT (contract §13.1): fast, graceful, and fast during graceful; no word is lost."""
import signal
import socket

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres, wait_until

with tap.run():
    fp = Flowplane(Postgres(), conf={"process.worker_shutdown_timeout": "1h"})
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        if fp.process is None:
            fp.start()
        tap.is_(fp.stop(sig), 0, f"{sig.name}: idle, at once: status 0")  # not after an hour
        tap.unlike(fp.log(), "killing it", f"{sig.name}: nobody had to be killed")

    # a slow request: QUIT waits for it, and closes the listening sockets at once
    fp.start()
    c = socket.create_connection(("127.0.0.1", fp.api_port))
    c.sendall(b"POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n")
    idle = socket.create_connection(("127.0.0.1", fp.api_port))
    idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    tap.contains(idle.recv(4096), b"200", "a connection that is kept alive")
    fp.signal(signal.SIGQUIT)
    fp.wait_log("graceful stop")
    wait_until(lambda: not util.port_open(fp.api_port), 5, "no new connections")
    c.sendall(b"Content-Type: application/json\r\n\r\n")
    c.settimeout(util.patience())
    c.sendall(b"{\"name\": 1}"[:10])
    tap.like(c.recv(4096).decode(), r"^HTTP/1.1 4", "QUIT: the request under way is answered")
    tap.is_(fp.process.wait(util.patience()), 0, "QUIT: then it ends with 0")
    fp.process = None
    c.close()
    idle.close()

    # TERM during QUIT
    fp.start()
    c = socket.create_connection(("127.0.0.1", fp.api_port))
    c.sendall(b"POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\n")
    wait_until(lambda: fp.get("/healthz", token=None).status == 200, 5, "answers")
    fp.signal(signal.SIGQUIT)
    fp.wait_log("graceful stop")
    tap.is_(fp.stop(signal.SIGTERM), 0, "TERM during QUIT: fast, status 0")
    c.close()

    # USR2 and WINCH are told to come later, and harm nothing
    fp.start()
    fp.signal(signal.SIGUSR2)
    fp.wait_log("USR2 .binary upgrade. is not handled in this version")
    fp.signal(signal.SIGWINCH)
    fp.wait_log("WINCH .drain workers. is not handled in this version")
    tap.is_(fp.get("/readyz", token=None).status, 200, "USR2, WINCH: serves on")
