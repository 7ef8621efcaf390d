"""The clients of the benchmarks: a kept REST connection, and an ADS stream that takes exact times."""
import http.client
import json
import socket
import time

import fp_h2
import fp_xds as xds


class Keep:
    """One kept connection, as a pipeline would have."""

    def __init__(self, fp):
        self.c = http.client.HTTPConnection("127.0.0.1", fp.api_port)
        self.c.connect()
        self.token = fp.token

    def send(self, path, what):
        self.c.request("PUT", path, json.dumps(what), {"Authorization": f"Bearer {self.token}"})

    def answer(self):
        r = self.c.getresponse()
        r.read()
        assert r.status == 200, r.status

    def put(self, path, what):
        self.send(path, what)
        self.answer()


class Raw:
    """What fp_h2 wants of a connection."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send = self.sock.sendall


class Clusters:
    """An ADS stream without threads: the time is taken when the last byte has been read, before anything is decoded."""

    def __init__(self, port):
        self.client = fp_h2.Client(None, raw=Raw(port))
        self.stream = self.client.call(xds.ADS + "StreamAggregatedResources")
        self.have = b""
        request = xds.discovery_pb2.DiscoveryRequest(type_url=xds.TYPES["cluster"])
        request.node.id = "bench"
        self.client.message(self.stream, request.SerializeToString())
        self.client.flush()

    def read(self):
        """(time, {name: cluster}) of the next response, ACKed."""
        while len(self.have) < 5 or len(self.have) < 5 + int.from_bytes(self.have[1:5], "big"):
            self.client.pump()
            now = time.monotonic()
            self.have += self.client.data(self.stream)
            self.client.events.clear()
        size = 5 + int.from_bytes(self.have[1:5], "big")
        r, self.have = xds.discovery_pb2.DiscoveryResponse.FromString(self.have[5:size]), self.have[size:]
        ack = xds.discovery_pb2.DiscoveryRequest(type_url=r.type_url, version_info=r.version_info, response_nonce=r.nonce)
        self.client.message(self.stream, ack.SerializeToString())
        self.client.flush()
        return now, xds.unpack(r)
