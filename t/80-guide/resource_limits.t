#!/usr/bin/env python3
"""§16 "resource limits: 256 MB < 100 Envoys, 512 MB 100-500, 1 GB 500-2000, 2 GB more": all processes, idle ADS streams of as many
connections, 500 resources in sum.  FP_LONG: 2,000 and 4,000 too."""
import os
import resource
import socket
import struct

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_util as util
import fp_xds as xds
from fp_harness import Postgres, wait_until

ADS = b"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
STEPS = [(99, 256), (500, 512)] + ([(2000, 1024), (4000, 2048)] if os.environ.get("FP_LONG") else [])


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


HEAD = b"".join(b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in (
    (b":method", b"POST"), (b":scheme", b"http"), (b":path", ADS), (b":authority", b"cp"), (b"content-type", b"application/grpc"), (b"te", b"trailers")))


class Proxy:
    """A connection with one ADS stream that has CDS and LDS, acknowledged."""

    def __init__(self, port, i):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=util.patience())
        self.data, self.grpc = b"", b""
        self.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, struct.pack(">HI", 4, 1 << 24))
                          + frame(8, 0, 0, struct.pack(">I", 1 << 24)) + frame(1, 4, 1, HEAD))
        for type_ in "cluster", "listener":
            first = xds.discovery_pb2.DiscoveryRequest(type_url=xds.TYPES[type_])
            first.node.id = f"envoy-{i}"
            first.node.cluster = "production"
            self.send(first)
            r = self.receive()
            self.send(xds.discovery_pb2.DiscoveryRequest(type_url=r.type_url, version_info=r.version_info, response_nonce=r.nonce))
            self.n = len(r.resources)

    def send(self, message):
        data = message.SerializeToString()
        self.sock.sendall(frame(0, 0, 1, b"\0" + struct.pack(">I", len(data)) + data))

    def receive(self):
        while True:
            if len(self.grpc) >= 5:
                n = struct.unpack(">I", self.grpc[1:5])[0]
                if len(self.grpc) >= 5 + n:
                    message, self.grpc = self.grpc[5:5 + n], self.grpc[5 + n:]
                    return xds.discovery_pb2.DiscoveryResponse.FromString(message)
            more = self.sock.recv(1 << 18)
            assert more, "the server closed the connection"
            self.data += more
            while len(self.data) >= 9:
                n = int.from_bytes(self.data[:3], "big")
                if len(self.data) < 9 + n:
                    break
                kind, flags, payload = self.data[3], self.data[4], self.data[9:9 + n]
                self.data = self.data[9 + n:]
                if kind == 0:
                    self.grpc += payload
                elif kind == 4 and not flags & 1:
                    self.sock.sendall(frame(4, 1, 0))


with tap.run():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    # The proxies answer no PING: on a slow machine the first would be closed before the last is there.
    fp = guide.Instance(Postgres(), FLOWPLANE_XDS_KEEPALIVE_TIME="1h")
    n = 500 // 3
    fp.api("POST", "/apply", [
        *({"kind": "cluster", **fleet.cluster(f"c{i:03}", 8000 + i, healthChecks=[{"path": "/up"}])} for i in range(500 - 2 * n)),
        *({"kind": "route", **fleet.route(f"r{i:03}", f"c{i:03}")} for i in range(n)),
        *({"kind": "listener", **fleet.listener(f"l{i:03}", 11000 + i, f"r{i:03}")} for i in range(n))])
    proxies = []
    for streams, limit_mb in STEPS:
        while len(proxies) < streams:
            proxies.append(Proxy(fp.xds_port, len(proxies)))
        wait_until(lambda: fp.metric("flowplane_xds_connections") == streams, 10, "the gauge")
        used = fp.pss_kib() / 1024
        tap.ok(used < limit_mb or util.SANITIZED, f"{streams} idle ADS streams, 500 resources: {used:.0f} MB of {limit_mb} MB")
    tap.is_(proxies[-1].n, n + 1, "each has all listeners")
