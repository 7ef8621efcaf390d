#!/usr/bin/env python3
"""Clients that are slow, many or gone: timeouts of HTTP/1, lack of descriptors, max_connections. Times are short, not slept for."""
import socket
import time

import fp_tap as tap
import fp_util as util
from fp_echo import Echo


def timeouts(scale):
    brief = int(1000 * util.SLOW * scale)
    e = Echo(header_timeout=brief, request_timeout=brief, idle_timeout=brief, write_timeout=brief)

    c = e.connect()
    tap.ok(c.at_end(), "a connection that says nothing is closed without a word")
    c = e.connect().send(b"GET /x HTTP/1.1\r\nHost: a\r\n")
    r = c.response()
    tap.ok(r.status == 408 and c.at_end(), "a head that does not end: 408 and close")
    c.close()
    c = e.connect().send(b"GET /x HTTP/1.1\r\nHost: a\r\n")
    end = time.monotonic() + util.patience()
    try:  # slow loris: each field comes in time, the head never ends
        c.sock.settimeout(0.02 * util.SLOW * scale)
        while time.monotonic() < end:
            c.send(b"X: y\r\n")
            try:
                c.fill()
                break
            except TimeoutError:
                pass
    except OSError:
        pass
    tap.like(c.data.decode(), "^HTTP/1.1 408 ", "slow loris: the whole head has one deadline")
    c.close()
    c = e.connect().send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    r = c.response()
    tap.ok(r.status == 408 and c.at_end(), "a body that does not end: 408 and close")
    c.close()
    c = e.connect().request("GET", "/x")
    tap.is_(c.response().status, 200, "keep-alive")
    tap.ok(c.at_end(), "ends after idle_timeout")
    c = e.connect().request("GET", f"/late?n={brief + 300}")
    tap.is_(c.response().body, b"late\n", "a handler may take longer than all of these")
    c = e.connect(rcvbuf=4096).request("GET", "/big?n=50000000")
    util.wait_until(lambda: e.closed("slow_read") == 1, what="the close of a client that does not read")
    tap.ok(e.stats()["heap"] < 1 << 20, "L-2: and its memory is free")
    c = e.connect(rcvbuf=65536).request("GET", "/big?n=16000000")
    got, start = 0, time.monotonic()
    while got < 16000000:  # slow, but it reads: for longer than the write timeout
        got += len(c.sock.recv(65536))
        util.wait_until(lambda: (time.monotonic() - start) * 1000 > got / 16000000 * 1.5 * brief, every=0.002)
    tap.ok(True, "a client that reads slowly gets everything: progress counts, not the whole time")
    closed = e.stats()["closed"]
    tap.ok(closed["slow_head"] >= 2 and closed["slow_body"] == 1 and closed["idle"] >= 1, "each is counted by its reason", closed)
    e.stop()


with tap.run():
    tap.patiently(timeouts)

    # descriptors run out
    e = Echo(nofile=40)
    first = e.connect().request("GET", "/x")
    first.response()
    many = []
    for _ in range(60):
        many.append(e.connect())
    util.wait_until(lambda: "Cannot accept connections" in e.text(), what="the log line")
    tap.is_(first.request("GET", "/x").response().status, 200, "EMFILE: open connections are served")
    before = e.stats(first)["turns"]
    first.request("GET", "/late?n=1000").response()
    turns = e.stats(first)["turns"] - before
    tap.ok(turns < 200, "EMFILE: accepting pauses, no busy loop", f"{turns} turns of the loop in a second")
    for c in many:
        c.close()
    util.wait_until(lambda: "Accepting connections again" in e.text(), what="the recovery")
    tap.is_(e.get("/x").status, 200, "EMFILE: new connections are accepted again")
    tap.is_(e.text().count("Cannot accept connections"), 1, "EMFILE: said once")
    e.stop()

    e = Echo(connections=3)
    held = [e.connect() for _ in range(3)]
    for c in held:
        tap.is_(c.request("GET", "/x").response().status, 200, "below max_connections")
    tap.ok(e.connect().at_end(), "above max_connections a connection is closed")
    tap.is_(held[0].request("GET", "/x").response().status, 200, "the others are not touched")
    tap.is_(e.text().count("max_connections"), 1, "and it is logged once")
    held.pop().close()

    def room():
        try:
            return e.get("/x").status == 200
        except (EOFError, OSError):
            return False

    util.wait_until(room, what="room for a new one")
    tap.ok(True, "room again")
