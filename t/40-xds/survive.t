#!/usr/bin/env python3
"""What clients do to a server: never read, send garbage, come and go (L-1, L-2, T-10, E-2)."""
import socket

import fp_tap as tap
import fp_util as util
import fp_xds as xds
from fp_xds_serve import XdsServe

util.need_module("h2", "h2")
import h2.config  # noqa: E402
import h2.connection  # noqa: E402
import h2.events  # noqa: E402
import h2.settings  # noqa: E402
from envoy.service.discovery.v3 import discovery_pb2  # noqa: E402


def grown_kib(work, pid, enough, rounds=5):
    """Growth by the work once more: of several rounds the least, a leak is in each of them."""
    least = None
    for _ in range(rounds):
        before = heap_kib(pid)
        work()
        grown = heap_kib(pid) - before
        least = grown if least is None else min(least, grown)
        if least < enough:
            break
    return least


def heap_kib(pid):
    """Anonymous memory alone: what is shared with other processes counts differently as those come and go."""
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("RssAnon:")).split()[1])


class Slow:
    """An ADS client that grants no window and reads only its socket's end."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        request = discovery_pb2.DiscoveryRequest(type_url=xds.TYPES["cluster"], node={"id": "slow"})
        body = request.SerializeToString()
        self.h2.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":authority", "x"),
                                 (":path", xds.ADS + "StreamAggregatedResources"),
                                 ("content-type", "application/grpc"), ("te", "trailers")])
        self.h2.send_data(1, b"\0" + len(body).to_bytes(4, "big") + body)
        self.sock.sendall(self.h2.data_to_send())

    def until_closed(self, deadline):
        """Bytes of DATA that came until the server closed the connection."""
        data, self.reset = 0, False
        self.sock.settimeout(deadline)
        while True:
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                return data
            for event in self.h2.receive_data(got):
                if isinstance(event, h2.events.DataReceived):
                    data += len(event.data)
                self.reset |= isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated))


def never_reads():
    x = XdsServe(write_timeout=1000)
    for i in range(200):
        x.cluster(f"c{i:03d}", eds=False)
    x.publish()
    with x.channel() as ch:
        good = ch.ads()
        good.subscribe("cluster")
        good.ack(good.expect("cluster"))
        slow = [Slow(x.port) for _ in range(50)]
        before = heap_kib(x.process.pid)
        for i in range(2, 42):
            x.cluster("c000", mark=i, eds=False)
            x.publish()
            good.ack(good.expect("cluster"))
        grown = heap_kib(x.process.pid) - before
        tap.ok(util.SANITIZED or grown < 4096, f"L-1, L-2: 40 changes of 20 kB for 50 that do not read cost {grown} KiB")
        data = [s.until_closed(util.patience()) for s in slow]
        tap.is_(set(data), {0}, "L-2: no window, no DATA, and they are closed after the write timeout")
        x.cluster("c001", mark=3, eds=False)
        x.publish()
        good.expect("cluster")
        tap.ok(True, "L-2: the others go on")


def garbage(x):
    """E-2 at every truncation; and messages nested thousands deep where a Node's metadata is expected."""
    import grpc
    node = {"id": "n", "cluster": "c", "metadata": {"team": "a"}, "locality": {"region": "eu"}}
    whole = discovery_pb2.DiscoveryRequest(node=node, type_url=xds.TYPES["route"], resource_names=["r1", "r2"],
                                           version_info="v", error_detail={"code": 3, "message": "no"}).SerializeToString()
    ended, lived = 0, 0
    with x.channel() as ch:
        for n in range(len(whole)):
            s = ch.ads()
            s.send(raw=whole[:n])
            s.half_close()
            code = s.expect_end().code
            ended += code == grpc.StatusCode.INVALID_ARGUMENT
            lived += code == grpc.StatusCode.OK
        tap.is_(ended + lived, len(whole), f"E-2: {len(whole)} truncations: {ended} refused, {lived} were messages")
        deep = b""
        for _ in range(10000):  # Struct { fields { value { struct_value … } } }
            deep = b"\x2a" + varint(len(deep)) + deep
            deep = b"\x12" + varint(len(deep)) + deep
            deep = b"\x0a" + varint(len(deep)) + deep
            if len(deep) > 60000:
                break
        s = ch.ads()
        body = b"\x0a\x01n" + b"\x1a" + varint(len(deep)) + deep
        s.send(raw=b"\x12" + varint(len(body)) + body + b"\x22" + varint(len(xds.TYPES["cluster"])) +
               xds.TYPES["cluster"].encode())
        tap.is_(s.expect_end().code, grpc.StatusCode.INVALID_ARGUMENT, "E-2: a metadata nested thousands deep is refused")
        s = ch.ads()
        s.subscribe("cluster")
        tap.is_(xds.names(s.expect("cluster")), ["c1"], "E-2: other streams of the connection live")


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def come_and_go(x, rounds):
    with x.channel() as ch:
        for i in range(rounds):
            s = ch.ads(node_id=f"n{i}")
            s.subscribe("cluster")
            s.expect("cluster")
            if i % 2:
                s.half_close()
            else:
                s.close()
            s.expect_end()
            ch.streams.clear()


def flat(x):
    come_and_go(x, 50)
    grown = grown_kib(lambda: come_and_go(x, 500), x.process.pid, 256)
    tap.ok(util.SANITIZED or grown < 256, f"T-10: 500 streams come and go, {grown} KiB")


with tap.run():
    x = XdsServe()
    x.cluster("c1", eds=False)
    x.publish()
    garbage(x)
    flat(x)
    never_reads()
