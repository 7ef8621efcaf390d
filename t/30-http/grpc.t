#!/usr/bin/env python3
"""gRPC on the wire: rules T-1, T-5 ... T-10, T-13 ... T-16, L-1, by a raw HTTP/2 client and by grpcio."""
import select
import time

import fp_tap as tap
import fp_util as util
from fp_echo import Echo
from fp_h2 import Client, S, ev, h2


def framed(m, flag=0):
    return bytes([flag]) + len(m).to_bytes(4, "big") + m


def unanswered(scale):
    """T-13"""
    e = Echo(keepalive_time=200 * scale, keepalive_timeout=500 * scale)
    c = Client(e, grpc=True)
    c.call("Echo", b"x")
    util.wait_until(lambda: e.closed("keepalive") == 1, what="the close of a peer that does not answer")
    tap.is_(e.stats()["calls"], 0, "T-13: without an answer its streams are ended and counted")
    e.stop()


def ages(scale):
    """T-15"""
    e = Echo(max_age=2000 * scale, max_age_grace=300 * scale)
    c = Client(e, grpc=True)
    st = c.call("Echo", b"x")
    g = c.wait(ev.ConnectionTerminated)
    tap.is_((g.error_code, g.last_stream_id), (0, 2**31 - 1), "T-15: GOAWAY NO_ERROR with last stream 2^31-1 at max age")
    g = c.wait(ev.ConnectionTerminated, n=2)
    tap.is_((g.error_code, g.last_stream_id), (0, st), "T-15: later the exact one")
    tap.is_(dict(c.wait(ev.TrailersReceived, st).headers)[b"grpc-status"], b"14", "T-15: after the grace time the stream ends UNAVAILABLE")
    c.wait_eof()
    c.raw.close()
    util.wait_until(lambda: e.closed("age") == 1, what="the count of aged connections")
    e.stop()


def drain(scale):
    """T-16"""
    e = Echo()
    clients = [Client(e, grpc=True) for _ in range(20)]
    streams = [c.call("Echo", b"x") for c in clients]
    for c, st in zip(clients, streams):
        c.wait(ev.DataReceived, st)
    idle, busy, silent = e.connect().request("GET", "/x"), e.connect(), e.connect()
    idle.response()
    busy.request("GET", f"/late?n={300 * scale}")
    start = time.monotonic()
    e.get(f"/drain?n={2000 * scale}")
    tap.ok(idle.at_end(), "T-16: an idle keep-alive connection ends at once")
    r = busy.response()
    tap.ok((r.body, r["connection"]) == (b"late\n", "close") and busy.at_end(), "a request at work is finished, then its connection closes")
    r = silent.request("GET", "/x").response()
    tap.ok((r.status, r["connection"]) == (200, "close") and silent.at_end(), "a first request that comes late is answered, too")
    ends = []
    waiting = {c.raw.sock: c for c in clients}
    while waiting:
        for s in select.select(list(waiting), [], [], util.patience())[0]:
            c = waiting[s]
            c.pump()
            t = c.all(ev.TrailersReceived)
            if t or c.eof:
                ends.append((time.monotonic() - start, t and dict(t[0].headers)[b"grpc-status"]))
                del waiting[s]
    tap.is_({s for _, s in ends}, {b"14"}, "T-16: every stream ends UNAVAILABLE")
    tap.ok(all(c.all(ev.ConnectionTerminated) for c in clients), "T-16: every connection has its GOAWAY")
    spread = ends[-1][0] - ends[0][0]
    tap.ok(1.0 * scale < spread, "T-16: they end spread over the budget", f"{spread:.2f} s of {2 * scale}")
    for c in clients:
        c.raw.close()
    tap.is_(util.wait_until(lambda: e.process.poll() is not None) and e.process.returncode, 0, "the drain is over when the last one is gone")


with tap.run():
    e = Echo(max_message=2 << 20)
    c = Client(e, grpc=True)
    tap.ok(c.settings().get(S.MAX_CONCURRENT_STREAMS) == 20000, "T-14: thousands of streams are allowed")

    st = c.call("Echo")
    h = dict(c.wait(ev.ResponseReceived, st).headers)
    tap.is_((h[b":status"], h[b"content-type"]), (b"200", b"application/grpc"), "T-1: headers come before any message")
    one = c.call("Echo", b"abc", end=True)
    tap.is_(c.status(one), (0, "", False), "T-9: half-close ends with OK")
    tap.is_(c.data(one), framed(b"abc"), "and the message came back")

    # T-7
    stream = framed(b"first") + framed(b"") + framed(b"x" * 1000)
    for size in 1, 2, 3, 4, 5, 6, 7, 11, 16384:
        st = c.call("Echo")
        for i in range(0, len(stream), size):
            c.h.send_data(st, stream[i:i + size])
            c.flush()
        c.h.end_stream(st)
        c.flush()
        c.wait(ev.StreamEnded, st)
        tap.ok(c.data(st) == stream, f"T-7: the same messages in frames of {size} bytes")

    # T-5
    for path in ("/envoy.service.discovery.v2.AggregatedDiscoveryService/StreamAggregatedResources", "/test.Echo/Nope", "/", "/x"):
        tap.is_(c.status(c.call(path, b"x"))[::2], (12, True), f"T-5: {path}: trailers-only UNIMPLEMENTED")
    tap.is_(c.status(c.call("Echo", b"x", end=True))[0], 0, "T-5: and the connection lives on")
    for t in "application/grpc-web", "application/json", "text/application/grpc":
        st = c.open("POST", "/test.Echo/Echo", [("content-type", t)])
        tap.is_(c.answer(st)[0], 415, f"content-type {t}: 415")
    st = c.open("POST", "/test.Echo/Echo", [("content-type", "application/grpc+proto")])
    tap.is_(c.answer(st)[0], 200, "application/grpc+proto is gRPC")
    tap.is_(c.answer(c.open("GET", "/test.Echo/Echo", [("content-type", "application/grpc")]))[0], 415, "GET is not")

    # T-6
    st = c.call("Echo", headers=[("grpc-encoding", "gzip")])
    c.h.send_data(st, framed(b"x", 1))
    c.flush()
    tap.is_(c.status(st)[0], 12, "T-6: a compressed message: UNIMPLEMENTED")
    tap.is_(dict(c.all(ev.TrailersReceived, st)[0].headers).get(b"grpc-accept-encoding"), b"identity", "T-6: with grpc-accept-encoding")
    st = c.call("Echo", b"plain", end=True, headers=[("grpc-encoding", "gzip")])
    tap.is_((c.status(st)[0], c.data(st)), (0, framed(b"plain")), "an uncompressed message in such a stream is taken")
    for flag in 1, 2, 255:
        st = c.call("Echo")
        c.h.send_data(st, framed(b"x", flag))
        c.flush()
        tap.is_(c.status(st)[0], 13, f"flag {flag} without an encoding: INTERNAL")
    st = c.call("Echo")
    c.h.send_data(st, framed(b"abcdef")[:-1], end_stream=True)
    c.flush()
    tap.is_(c.status(st)[0], 13, "a stream that ends inside a message: INTERNAL")
    tap.is_(c.status(c.call("Fail", b"x"))[1], "100%25 wrong %C3%BC%0A", "grpc-message is percent-encoded")

    # T-8
    st = c.call("Echo", b"y" * (1 << 20), end=True)
    tap.is_((c.status(st)[0], len(c.data(st))), (0, (1 << 20) + 5), "T-8: 1 MiB is taken")
    st = c.call("Echo")
    heap = e.stats()["heap"]
    c.h.send_data(st, b"\0\0\x20\0\x01")
    c.flush()
    code, message, _ = c.status(st)
    tap.ok(code == 8 and "2097153" in message, "T-8: RESOURCE_EXHAUSTED once the prefix is read", message)
    tap.ok(e.stats()["heap"] < heap + 65536, "T-8: nothing was buffered for it")
    c.raw.close()

    # incomplete messages have a bound in sum
    few = Echo(max_message=10000)
    d = Client(few, grpc=True)
    calls = [d.call("Echo") for _ in range(70)]
    for i, st in enumerate(calls):
        while d.h.local_flow_control_window(st) < 10000:
            d.pump()
        d.h.send_data(st, b"\0\0\0\x27\x10" + b"x" * 9995)
        d.flush()
    tap.is_(d.status(calls[-1])[:2], (8, "too many incomplete messages"), "incomplete messages above 64 limits in sum: RESOURCE_EXHAUSTED")
    d.h.send_data(calls[0], b"x" * 5)
    d.flush()
    d.wait(ev.DataReceived, calls[0])
    tap.ok(True, "the others can still be completed")
    d.raw.close()
    few.stop()

    # shared chunks: head, chunk and tail arrive as one message
    c = Client(e, grpc=True)
    st = c.call("Flood", b"50 100000", end=True)
    c.wait(ev.StreamEnded, st)
    want = b"".join(framed(b"y" * 100000 + b"#%d" % i) for i in range(50))
    tap.ok(c.data(st) == want, "50 messages of one shared chunk, each with its own tail")
    st = c.call("Flood", b"3000 1", end=True)
    c.wait(ev.StreamEnded, st)
    tap.ok(c.data(st) == b"".join(framed(b"y#%d" % i) for i in range(3000)), "3000 small messages share frames")

    # L-1: on_drained only when the kernel has it all
    c.acknowledge = False
    before = e.stats()["drained"]
    st = c.call("Flood", b"1 200000")
    c.wait(ev.DataReceived, st)
    tap.is_(e.stats()["drained"], before, "L-1: not drained while the window is shut")
    c.h.increment_flow_control_window(300000, st)
    c.h.increment_flow_control_window(300000)
    c.flush()
    util.wait_until(lambda: e.stats()["drained"] == before + 1, what="on_drained")
    tap.ok(True, "L-1: drained once all of it is written")
    c.raw.close()

    # T-10
    def cycles(n, how):
        c = Client(e, grpc=True)
        c.settings()
        for i in range(n):
            st = c.call("Echo", b"x")
            c.wait(ev.DataReceived, st)
            if how == "half":
                c.h.end_stream(st)
                c.flush()
                c.wait(ev.StreamEnded, st)
            elif how == "reset":
                c.h.reset_stream(st)
                c.flush()
            c.events.clear()
        c.raw.close()

    util.wait_until(lambda: e.stats()["connections"][1] == 0)
    cycles(200, "half"), cycles(200, "reset")
    util.wait_until(lambda: e.stats()["calls"] == 0)
    heap = e.stats()["heap"]
    cycles(5000, "half")
    for _ in range(5):
        cycles(600, "reset")  # below the limit for one connection
    for _ in range(100):
        cycles(20, "drop")
    util.wait_until(lambda: e.stats()["connections"][1] == 0 and e.stats()["calls"] == 0, what="the end of all streams")
    grown = e.stats()["heap"] - heap
    tap.ok(grown < 65536, "T-10: 10,000 streams opened and closed leave memory flat", f"{grown} bytes")

    # a real peer
    grpc = util.need_module("grpc", "grpcio")
    channel = grpc.insecure_channel(f"127.0.0.1:{e.grpc_port}")
    echo = channel.stream_stream("/test.Echo/Echo")
    sent = [b"", b"a", b"b" * 70000, b"c" * 1500000]
    tap.ok(list(echo(iter(sent))) == sent, "grpcio: messages come back")
    try:
        list(channel.stream_stream("/test.Echo/Fail")(iter([b"x"])))
        tap.ok(False, "grpcio: status")
    except grpc.RpcError as err:
        tap.is_((err.code(), err.details()), (grpc.StatusCode.INVALID_ARGUMENT, "100% wrong ü\n"), "grpcio: status and message")
    channel.close()
    e.stop()

    # T-13
    e = Echo(keepalive_time=200, keepalive_timeout=60000)
    c = Client(e, grpc=True)
    st = c.call("Echo", b"x")
    c.wait(ev.PingReceived, n=3)
    tap.is_(e.closed("keepalive"), 0, "T-13: a silent client is sent PINGs and lives while it answers")
    e.stop()
    tap.patiently(unanswered)
    tap.patiently(ages)
    tap.patiently(drain)
