#!/usr/bin/env python3
"""Streams opened and closed by the thousand, connections dropped in every state, many writes: descriptors and memory stay
flat (issue 3, rules T-9, T-10, I-6)."""
import pathlib
import random
import socket
import struct

import fp_util as util
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_load import Follower, cluster
from fp_tap import diag, is_, ok, run, skip

ADS = b"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
HEADERS, DATA, RST, SETTINGS, GOAWAY, WINDOW = 1, 0, 3, 4, 7, 8
END_STREAM, END_HEADERS = 1, 4
WARM, ROUNDS = 3, 8
STREAMS, RESETS, DROPS = 1000, 200, 100  # of each, a round


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(*fields):
    """HPACK: literals without indexing."""
    return b"".join(b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in fields)


HEAD = block((b":method", b"POST"), (b":scheme", b"http"), (b":path", ADS), (b":authority", b"test"),
             (b"content-type", b"application/grpc"), (b"te", b"trailers"))


def request(big=False):
    r = xds.discovery_pb2.DiscoveryRequest(type_url=xds.TYPES["cluster"])
    r.node.id = "churn"
    for i in range(516 if big else 3):
        r.node.extensions.add(name=f"envoy.extension.number.{i}", category="envoy.filters.http")
    data = r.SerializeToString()
    return b"\0" + struct.pack(">I", len(data)) + data


SMALL, BIG = request(), request(True)


class Wire:
    """An HTTP/2 connection, as bare as it can be: thousands of streams a second."""

    def __init__(self, fp):
        self.sock = socket.create_connection(("127.0.0.1", fp.xds_port), timeout=util.patience())
        self.next, self.data = 1, b""
        self.answered, self.ended, self.resize = set(), set(), b""
        self.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)
                          + frame(WINDOW, 0, 0, struct.pack(">I", 2**31 - 65536)))

    def open(self, message, end):
        st, self.next = self.next, self.next + 2
        out = frame(HEADERS, END_HEADERS, st, self.resize + HEAD)
        self.resize = b""
        pieces = [message[i:i + 16384] for i in range(0, len(message), 16384)]
        for i, p in enumerate(pieces):
            out += frame(DATA, END_STREAM if end and i == len(pieces) - 1 else 0, st, p)
        self.sock.sendall(out)
        return st

    def pump(self):
        more = self.sock.recv(1 << 20)
        assert more, "the server closed the connection"
        self.data += more
        at = 0
        while len(self.data) - at >= 9:
            n = int.from_bytes(self.data[at:at + 3], "big")
            if len(self.data) - at < 9 + n:
                break
            kind, flags = self.data[at + 3:at + 5]
            st = int.from_bytes(self.data[at + 5:at + 9], "big")
            assert kind != GOAWAY, self.data[at + 9:at + 9 + n]
            if kind == DATA and n:
                self.answered.add(st)
            if kind in (HEADERS, DATA) and flags & END_STREAM or kind == RST:
                self.ended.add(st)
            if kind == SETTINGS and not flags & 1:
                self.sock.sendall(frame(SETTINGS, 1, 0))
                self.resize = b"\x20"  # the server wants no dynamic table; RFC 7541 §4.2: say so in the next block
            at += 9 + n
        self.data = self.data[at:]

    def wait(self, done):
        while not done():
            self.pump()


def half_closed(fp):
    """T-9: the client has said all it wants; the server answers and ends the stream."""
    w = Wire(fp)
    for _ in range(STREAMS // 100):
        opened = {w.open(SMALL, True) for _ in range(100)}
        w.wait(lambda: opened <= w.ended)
    w.sock.close()


def reset(fp):
    """T-10: RST_STREAM after the answer; twenty a connection, so that no limit on resets is met."""
    for _ in range(RESETS // 20):
        w = Wire(fp)
        opened = [w.open(BIG if i == 0 else SMALL, False) for i in range(20)]
        w.wait(lambda: set(opened) <= w.answered)
        w.sock.sendall(b"".join(frame(RST, 0, st, struct.pack(">I", 8)) for st in opened))
        w.sock.close()


def dropped(fp, rand):
    """T-10: connections that go away in every state: before the preface ends, in a frame, with open streams, hard and soft."""
    whole = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, HEAD)
             + frame(DATA, 0, 1, SMALL))
    rest = (f"POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fp.token}\r\nContent-Length: 90\r\n\r\n"
            .encode() + b'{"name": "never", "endpoints": ["127.0.0.1:80"]}')
    for i in range(DROPS):
        port, data = (fp.xds_port, whole) if i % 2 else (fp.api_port, rest)
        with socket.create_connection(("127.0.0.1", port), timeout=util.patience()) as s:
            s.sendall(data[:rand.randrange(len(data) + 1)])
            if i % 3 == 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def writes(fp, n):
    for i in range(10):
        fp.api("PUT", f"/clusters/c{i}", cluster(f"c{i}", port=1 + (n * 10 + i) % 60000))
        fp.get("/api/v1/clusters")
        fp.post("/api/v1/clusters", b'{"name": [')


def gone_before_the_answer(fp):
    """A client that leaves while its write is on the way to the database."""
    body = b'{"name": "c0", "endpoints": ["127.0.0.1:80"]}'
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", fp.api_port), timeout=util.patience()) as s:
            s.sendall(f"PUT /api/v1/clusters/c0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fp.token}\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


def anonymous_kib(pid):
    """Private memory: shared pages move with other processes."""
    for line in pathlib.Path("/proc", str(pid), "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1])
    return 0


def everybody(fp):
    return {"master": fp.master_pid, "watcher": fp.watcher(), **{f"worker {i}": p for i, p in enumerate(fp.workers())}}


with run():
    pg = Postgres()
    fp = Flowplane(pg, {"database.idle_timeout": "0s", "database.min_connections": 8})
    for i in range(10):
        fp.api("POST", "/clusters", cluster(f"c{i}"))
    rand = random.Random(9)
    with Follower(fp.xds_port) as follower:
        follower.wait(lambda names: len(names) == 11)
        people = everybody(fp)
        used = {}

        def fds():
            return {n: util.open_fds(p) for n, p in people.items()}

        for n in range(WARM + ROUNDS):
            half_closed(fp)
            reset(fp)
            dropped(fp, rand)
            gone_before_the_answer(fp)
            writes(fp, n)
            if n + 1 == WARM:
                wait_until(lambda: fp.get("/healthz", token=None).status == 200)
                wait_until(lambda: (lambda a: a == fds() and a)(fds()), 10)
                before_fds = fds()
            used[n] = {name: anonymous_kib(p) for name, p in people.items()}
        wait_until(lambda: all(fds()[n] <= before_fds[n] + 1 for n in people), 10, "descriptors are given back")
        ok(True, f"descriptors stay flat: {before_fds} -> {fds()}")
        if util.SANITIZED:
            skip("memory of a sanitizer build says nothing, it looks for leaks itself", len(people))
        for name in people if not util.SANITIZED else ():
            first = max(used[n][name] for n in range(WARM))
            last = min(used[n][name] for n in list(used)[-3:])  # a leak is in each of them
            ok(last - first < 400, f"{name}: private memory stays flat, {first} -> {last} KiB", [used[n][name] for n in used])
        diag(f"{(STREAMS + RESETS) * (WARM + ROUNDS)} streams, {(DROPS + 10) * (WARM + ROUNDS)} dropped connections")
        is_(follower.ended, None, "the stream beside it lives")
    is_(everybody(fp), people, "all processes are the same")
    is_(fp.get("/api/v1/clusters/never").status, 404, "half a request did nothing")
