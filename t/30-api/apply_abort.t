#!/usr/bin/env python3
"""Clients that leave in the middle of an apply, a dry run, an export, a rollback: the worker goes on; what was sent to the
database is done or not, never in part."""
import json
import socket

from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, run

with run():
    pg = Postgres()
    fp = Flowplane(pg)

    def cluster(i, port):
        return {"kind": "cluster", "name": f"c{i:04}", "endpoints": [{"host": "10.0.0.1", "port": port}]}

    def sent(method, path, body, after):
        """Sends a request, and leaves `after` seconds later."""
        s = socket.create_connection(("127.0.0.1", fp.api_port))
        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fp.token}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        s.settimeout(after)
        try:
            s.recv(1)
        except TimeoutError:
            pass
        s.close()

    fp.post("/api/v1/apply", [cluster(i, 80) for i in range(1000)])
    pids = fp.workers()
    for port in range(81, 93):
        body = json.dumps([cluster(i, port) for i in range(1000)]).encode()
        after = 0.002 * (1 << (port - 81) % 8)
        sent("POST", "/api/v1/apply?wait=published", body, after)
        sent("POST", "/api/v1/apply?dryRun=true", body, after)
        sent("GET", "/api/v1/export", b"", after / 4)
        sent("POST", f"/api/v1/revisions/{pg.psql('SELECT revision FROM config_revision').strip()}/rollback", b"", after / 4)
    last = [cluster(i, 99) for i in range(1000)]
    is_(fp.post("/api/v1/apply?wait=published&timeout=30s", last).json["summary"]["updated"], 1000, "the next one is served")
    is_(fp.workers(), pids, "no worker died")
    counts = pg.psql("SELECT DISTINCT count(*) FROM config_changes WHERE kind = 'cluster' AND name LIKE 'c0%' GROUP BY revision").split()
    is_(counts, ["1000"], "each was done whole")

    def is_last():
        """What was left in the other worker's queue may have been done behind it: then it is said again."""
        fp.post("/api/v1/apply?wait=published&timeout=30s", last)
        return fp.get("/api/v1/clusters?limit=1&name=c0000").json[0]["config"]["endpoints"][0]["port"] == 99
    wait_until(is_last, 60, "the last one stands")
    wait_until(lambda: pg.psql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'").strip() == "0", 60, "nothing is left open")
