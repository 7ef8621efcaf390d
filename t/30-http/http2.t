#!/usr/bin/env python3
"""HTTP/2 on the wire: prior knowledge, limits, flow control (T-11), PING (T-12), floods, slow and silent clients (L-2)."""
import fp_tap as tap
import fp_util as util
from fp_echo import Echo
from fp_h2 import Client, S, ev, h2


def slow_clients(scale):
    """With short times."""
    brief = int(1000 * util.SLOW * scale)
    e = Echo(header_timeout=brief, request_timeout=brief, idle_timeout=brief, write_timeout=brief)
    c = e.connect().send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n")
    tap.ok(c.at_end() and e.closed("slow_head") == 1, "a preface that does not end")
    c = Client(e)
    c.settings()
    c.raw.send(b"\0\0\x20\x01\x05\0\0\0\1\x82")
    tap.ok(c.wait_eof() and e.closed("slow_head") == 2, "a header block that does not end")
    c = Client(e)
    st = c.open("POST", "/echo", end=False)
    tap.is_(c.wait(ev.StreamReset, st).error_code, 8, "a body that does not come: CANCEL, for this stream only")
    tap.is_(c.answer(c.open())[0], 200, "the connection lives")
    tap.is_(c.wait(ev.ConnectionTerminated).error_code, 0, "an idle connection is told GOAWAY NO_ERROR")
    tap.ok(c.wait_eof(), "and closed")
    c.raw.close()
    util.wait_until(lambda: e.closed("idle") == 1, what="the count of idle connections")

    c = Client(e)
    c.acknowledge = False
    st = c.open(path="/big?n=1000000")
    c.wait_eof()
    tap.is_(e.closed("slow_read"), 1, "L-2: a window that is never opened ends the connection after write_timeout")
    tap.is_(len(c.data(st)), 65535, "it had what its window allows")
    c = Client(e, rcvbuf=4096)
    c.h.increment_flow_control_window(2**30)
    c.h.update_settings({S.INITIAL_WINDOW_SIZE: 2**30})
    c.flush()
    heap = e.stats()["heap"]
    st = c.open(path="/big?n=50000000")
    util.wait_until(lambda: e.closed("slow_read") == 2, what="the close of a connection that does not read")
    tap.ok(e.stats()["heap"] < heap + 2**20, "L-2: a client that never reads is closed, its memory is free")
    e.stop()


with tap.run():
    e = Echo()
    c = Client(e)
    tap.is_(c.answer(c.open()), (200, b"GET /x ? host=test v=20 body=0\n"), "a request by prior knowledge")
    tap.is_(c.settings().get(S.MAX_CONCURRENT_STREAMS), 100, "api.h2_max_streams is announced")
    st = c.open("POST", "/echo", end=False)
    c.h.send_data(st, b"abc")
    c.h.send_data(st, b"def", end_stream=True)
    c.flush()
    tap.is_(c.answer(st), (200, b"abcdef"), "a body")
    st = c.open("POST", "/echo", [("content-length", "2000000")], end=False)
    tap.is_(c.answer(st)[0], 413, "413 before the body")
    tap.is_(c.wait(ev.StreamReset, st).error_code, 0, "and a NO_ERROR reset a while later, not at once (curl 7.88)")
    tap.is_(c.answer(c.open("POST", "/refuse", end=False))[0], 401, "401 before the body")
    many = [c.open(path="/late?n=50") for _ in range(50)]
    tap.is_([c.answer(s)[1] for s in many], [b"late\n"] * 50, "50 requests at once")
    tap.is_(c.answer(c.open("HEAD", "/big?n=5000")), (200, b""), "HEAD has no body")
    tap.is_(c.answer(c.open(path="/" + "a" * 8192))[0], 414, "a target above 8 KiB: 414")
    tap.is_(c.answer(c.open(headers=[("x", "a" * 33000)]))[0], 431, "fields above 32 KiB: 431")
    tap.is_(c.answer(c.open(headers=[("x", "a")] * 101))[0], 431, "101 fields: 431")
    tap.is_(c.answer(c.open())[0], 200, "and the connection lives on")

    st = c.open("POST", "/echo", [("content-length", "5")], end=False)
    c.h.send_data(st, b"abc", end_stream=True)
    c.flush()
    tap.is_(c.wait(ev.StreamReset, st).error_code, 1, "a body shorter than content-length: PROTOCOL_ERROR")
    for bad in (("Upper", "x"), ("connection", "close"), ("transfer-encoding", "chunked"), ("x", "a\0b"), (":path", "/y"),
                ("x", "a\rb"), ("te", "gzip")):
        st = c.open(headers=[bad])
        tap.is_(c.wait(ev.StreamReset, st).error_code, 1, f"{bad!r}: PROTOCOL_ERROR")

    before = e.stats()["aborts"]
    st = c.open(path="/late?n=60000")
    c.h.reset_stream(st)
    c.flush()
    util.wait_until(lambda: e.stats()["aborts"] == before + 1, what="the abort")
    tap.ok(True, "a reset aborts the handler")
    c.h.ping(b"12345678")
    c.flush()
    tap.is_(c.wait(ev.PingAckReceived).ping_data, b"12345678", "PING is acknowledged (T-12)")
    c.raw.send(b"\0\0\4\x09\0\0\0\0\1abcd")
    tap.ok(c.wait(ev.ConnectionTerminated).error_code != 0 and c.wait_eof(), "a stray CONTINUATION ends the connection with GOAWAY")

    # T-11: a stream without window blocks nobody
    c = Client(e)
    c.h.update_settings({S.INITIAL_WINDOW_SIZE: 1000})
    c.flush()
    c.settings()
    c.acknowledge = False
    big, small = c.open(path="/big?n=100000"), c.open()
    tap.is_(c.answer(small)[0], 200, "T-11: another stream is served while one waits for its window")
    tap.is_(len(c.data(big)), 1000, "exactly what fits was sent")
    c.h.increment_flow_control_window(100000, big)
    c.h.increment_flow_control_window(200000)
    c.flush()
    tap.is_(len(c.answer(big)[1]), 100000, "the rest comes with WINDOW_UPDATE")

    # two big answers finish together, not one after the other
    c = Client(e)
    a, b = c.open(path="/big?n=3000000"), c.open(path="/big?n=3000000")
    c.wait(ev.StreamEnded)
    la, lb = len(c.data(a)), len(c.data(b))
    tap.ok(min(la, lb) > 2000000, "streams of one connection share it", f"{la} {lb}")

    # floods
    c = Client(e)
    try:
        for _ in range(3000):
            c.h.reset_stream(c.open(path="/late?n=60000", end=False))
            c.flush()
            c.pump(wait=False)
        c.wait_eof()
    except (OSError, h2.exceptions.ProtocolError):
        pass
    tap.ok(c.all(ev.ConnectionTerminated), "rapid reset is cut off with GOAWAY (CVE-2023-44487)")
    c = Client(e)
    c.settings()
    c.raw.sock.settimeout(1)
    try:
        for i in range(1, 400000, 2):
            c.raw.send(b"\0\0\x06\x01\x04" + i.to_bytes(4, "big") + b"\x83\x84\x86\x41\x01a")
    except OSError:
        pass
    tap.ok(e.stats()["heap"] < 8 << 20, "a flood of streams above the limit, whose resets nobody reads, costs no memory", e.stats()["heap"])
    c.raw.close()
    c, refused = Client(e), False
    c.raw.sock.settimeout(2)
    try:
        for _ in range(400):
            c.raw.send(b"\0\0\x08\x06\0\0\0\0\0abcdefgh" * 5000)
    except OSError:
        refused = True
    tap.ok(refused, "a PING flood whose answers nobody reads is cut off or not read")
    tap.ok(e.stats()["heap"] < 8 << 20, "and costs no memory", e.stats()["heap"])
    c.raw.close()
    e.stop()

    tap.patiently(slow_clients)
