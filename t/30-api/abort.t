#!/usr/bin/env python3
"""Clients that leave in the middle of every kind of request, over HTTP/1.1 and HTTP/2: while it is sent, while its statement
waits in the database, while its answer is being made.  No worker touches what is gone, and the next one is served."""
import json
import os
import random
import socket
import struct

import fp_util as util
from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import diag, is_, ok, run
from fp_wire import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST, SETTINGS, block, frame

SEED = int(os.environ.get("FP_SEED", random.randrange(1 << 30)))
ROUNDS = 40 if os.environ.get("FP_LONG") else 4
ID = "9c41f0de-2f6c-4b39-8f53-1d4b7e1c20a7"
CLUSTER = {"name": "c1", "endpoints": [{"host": "127.0.0.1", "port": 8080}]}
ROUTE = {"name": "r1", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
    {"name": "all", "match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "forward", "cluster": "c1"}}]}]}
LISTENER = {"name": "l1", "address": "127.0.0.1", "port": 18080, "filterChains": [{"filters": [
    {"name": "tcp", "type": "tcpProxy", "cluster": "c1"}]}]}
ENDPOINT = {"name": "e1", "endpoints": [{"host": "127.0.0.1", "port": 8080}]}
SET = [{"kind": "cluster", **CLUSTER, "name": f"s{i}"} for i in range(300)]
BODIES = {"clusters": CLUSTER, "routes": ROUTE, "listeners": LISTENER, "endpoints": ENDPOINT}
TOKEN = {"name": "left", "scopes": ["clusters:read"]}


def requests(fp, token_id):
    """(method, path, body, fields) of every operation of the document, writes in all their ways to wait."""
    out = []
    revision = fp.pg.psql("SELECT revision FROM config_revision").strip()
    values = {"{n}": revision, "{id}": token_id, "{name}": "c1"}
    for pattern, operations in fp.get("/api-docs/openapi.json", token=None).json["paths"].items():
        path = pattern
        for name, value in values.items():
            path = path.replace(name, value)
        kind = path.split("/")[3] if path.startswith("/api/v1/") else ""
        plural = kind if kind in BODIES else kind + "s"
        body = BODIES.get(plural, SET if kind == "apply" else TOKEN if kind == "tokens" else None)
        if plural in BODIES and "{name}" in pattern:
            path = path.replace("c1", BODIES[plural]["name"])
        for method in operations:
            method = method.upper()
            if method in ("GET", "HEAD"):
                out.append((method, path, None, []))
                out.append((method, path, None, ["Flowplane-Revision: 999999999"]))
                continue
            for query in "", "dryRun=true", "wait=published", "wait=acked&timeout=250ms":
                out.append((method, f"{path}?{query}", body, []))
    return out


class Client:
    def __init__(self, fp, two):
        self.s, self.two, self.token = socket.create_connection(("127.0.0.1", fp.api_port), timeout=util.patience()), two, fp.token

    def data(self, method, path, body, fields, token):
        body = b"" if body is None else json.dumps(body).encode()
        if not self.two:
            head = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", f"Content-Length: {len(body)}", *fields]
            return "\r\n".join(head).encode() + b"\r\n\r\n" + body
        more = [(k.lower().encode(), v.encode()) for k, v in (f.split(": ") for f in fields)]
        head = block((b":method", method.encode()), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"x"),
                     (b"authorization", f"Bearer {token}".encode()), *more)
        pieces = [body[i:i + 16384] for i in range(0, len(body), 16384)] if len(body) < 65000 else [body[:16384]]
        return (PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS | (0 if body else END_STREAM), 1, head)
                + b"".join(frame(DATA, END_STREAM if i == len(pieces) - 1 else 0, 1, p) for i, p in enumerate(pieces)))

    def leave(self, rng):
        """Gone in order, by a reset of the connection, or of the stream alone."""
        how = rng.randrange(3)
        try:
            if how == 0 and self.two:
                self.s.sendall(frame(RST, 0, 1, struct.pack(">I", 8)))
                return
            if how == 1:
                self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.s.close()
        except OSError:
            self.s.close()


def one_round(fp, rng, all_, locked):
    """All requests; with `locked` none that needs the database goes on before its client has left."""
    clients = []
    rng.shuffle(all_)
    for n, request in enumerate(all_):
        c = Client(fp, n % 2)
        token = rng.choice([fp.token] * 6 + [f"fp_pat_{ID}.{'x' * 48}", fp.token[:-1]])
        data = c.data(*request, token)
        try:
            c.s.sendall(data[:rng.randrange(len(data))] if rng.random() < 0.2 else data)
        except OSError:
            pass  # refused early
        clients.append(c)
        while len(clients) > (20 if locked else rng.randrange(4)):
            clients.pop(rng.randrange(len(clients))).leave(rng)
    return clients


def locks(db):
    try:
        db.cursor().execute("LOCK TABLE config_revision, tokens, config_changes, audit_logs, xds_nacks IN ACCESS EXCLUSIVE MODE NOWAIT")
        return True
    except db.OperationalError:
        db.rollback()
        return False


with run():
    diag(f"FP_SEED={SEED}")
    rng = random.Random(SEED)
    pg = Postgres()
    fp = Flowplane(pg, {"database.pool_size": 4, "auth.failure_limit": 0})
    fp.pg = pg
    for kind, body in BODIES.items():
        fp.api("POST", f"/{kind}", body)
    token_id = fp.api("POST", "/tokens", TOKEN)["id"]
    all_ = requests(fp, token_id)
    pids = fp.workers()
    for _ in range(ROUNDS):
        for c in one_round(fp, rng, all_, False):
            c.leave(rng)
        with pg.connect(autocommit=False) as db:  # every statement of a request waits for this one
            wait_until(lambda: locks(db), 60, "a moment without statements")
            left = one_round(fp, rng, all_, True)
            for c in left[::2]:
                c.leave(rng)
            db.rollback()
        for c in left[1::2]:
            c.leave(rng)
        fp.wait_database()  # the next request is served by each worker
    is_(fp.workers(), pids, f"{2 * ROUNDS * len(all_)} requests left alone, no worker died")
    name = {**CLUSTER, "name": "after"}
    is_(fp.post("/api/v1/clusters?wait=published", name).status, 201, "the next write is served")
    wait_until(lambda: pg.psql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'").strip() == "0", 20)
    ok(True, "nothing is left open")
