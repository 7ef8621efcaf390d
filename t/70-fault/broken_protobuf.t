#!/usr/bin/env python3
"""Bytes on the xDS port that are no request: every truncation, garbage, nesting 10,000 deep (issue 3, rules E-2, I-6)."""
import random

import fp_xds as xds
from fp_harness import Flowplane, Postgres
from fp_load import Follower, cluster
from fp_tap import diag, is_, ok, run
from fp_xds import discovery_pb2, grpc

INVALID = grpc.StatusCode.INVALID_ARGUMENT
DEPTH = 10000


def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def nested(numbers, depth=DEPTH):
    """A chain of messages: the fields `numbers` inside one another."""
    inner = b""
    for _ in range(depth):
        for n in reversed(numbers):
            inner = field(n, inner)
    return inner


def request(node=b"", more=b"", node_id=b"x"):
    """A DiscoveryRequest for clusters: node = more fields of Node, more = more fields of it."""
    return (field(2, field(1, node_id) + node)
            + field(4, xds.TYPES["cluster"].encode()) + more)


def outcome(ch, message):
    """The status with which the stream ends, or "answered"."""
    s = ch.ads()
    s.send(raw=message)
    s.half_close()
    try:
        s.expect("cluster", 10)
        s.close()
        return "answered"
    except xds.Ended as e:
        return e.code


def parses(data):
    try:
        discovery_pb2.DiscoveryRequest.FromString(data)
        return True
    except Exception:
        return False


def truncations(ch, data, cuts, what):
    """Every prefix: INVALID_ARGUMENT, or what the prefix that happens to be a request deserves (T-4, I-4)."""
    wrong, refused, answered = [], 0, 0
    for n in cuts:
        got = outcome(ch, data[:n])
        if not parses(data[:n]):
            wrong += [(n, got)] * (got != INVALID)
        else:
            r = discovery_pb2.DiscoveryRequest.FromString(data[:n])
            want = "answered" if r.type_url == xds.TYPES["cluster"] and r.node.id else \
                INVALID if not r.type_url or not r.node.id else grpc.StatusCode.OK
            wrong += [(n, got)] * (got != want)
        refused += got == INVALID
        answered += got == "answered"
    diag(f"{what}: {refused} refused, {answered} answered")
    ok(refused and not wrong, f"{what}: {len(cuts)} truncations end as they must", wrong[:10])


def full_request():
    """As Envoy 1.40 sends it, with everything that can be set; small."""
    r = discovery_pb2.DiscoveryRequest(type_url=xds.TYPES["cluster"], version_info="", response_nonce="")
    r.node.id, r.node.cluster = "node-ü", "c"
    r.node.metadata.update({"team": "a", "list": [1, {"x": None}]})
    r.node.locality.region = "r"
    r.node.user_agent_name = "envoy"
    r.node.user_agent_build_version.version.major_number = 1
    r.node.user_agent_build_version.metadata.update({"build.type": "RELEASE"})
    r.node.client_features.append("envoy.lb.does_not_support_overprovisioning")
    e = r.node.extensions.add(name="envoy.x", category="envoy.y")
    e.type_urls.append("a.b")
    r.resource_names.extend(["*"])
    r.error_detail.code, r.error_detail.message = 3, "no"
    return r


def garbage():
    """(name, bytes) that no protobuf parser takes."""
    yield "field number 0", b"\x02\x01x"
    yield "wire type 6", b"\x0e"
    yield "wire type 7", b"\x0f"
    yield "a varint of eleven bytes", b"\x08" + b"\xff" * 10 + b"\x01"
    yield "a length beyond the end", b"\x12\x7f\x0a\x01x"
    yield "a length of 2^63", b"\x12" + varint(2**63)
    yield "a length of 2^64 - 1", b"\x12" + varint(2**64 - 1)
    yield "a length of 2^32 + 3", b"\x12" + varint(2**32 + 3) + b"\x0a\x01x"
    yield "a node of garbage", field(2, b"\xff\xff\xff") + field(4, xds.TYPES["cluster"].encode())
    yield "node.id is no UTF-8", request(node_id=b"\xff\xfe")
    yield "a name is no UTF-8", request(more=field(3, b"\xc0\xaf"))
    yield "the type URL is no UTF-8", field(2, field(1, b"x")) + field(4, b"\xed\xa0\x80")
    yield "error_detail of garbage", request(more=field(6, b"\x0a\xff"))
    yield "a group never ended", request(more=b"\x3b")
    yield "a group end alone", request(more=b"\x3c")
    yield f"{DEPTH} groups in one another", request(more=b"\x3b" * DEPTH + b"\x3c" * DEPTH)


def deep():
    """(name, bytes, outcome): well-formed but for their depth.  What is not needed is stepped over unread (I-6)."""
    struct = nested((1, 2, 5))  # Struct.fields entry: value: struct_value
    lists = field(6, nested((1, 6)))  # Value.list_value.values
    large = grpc.StatusCode.RESOURCE_EXHAUSTED  # E-3: metadata is kept, so it has a limit
    yield "metadata, Struct in Struct", request(node=field(3, struct)), large
    yield "metadata, lists in lists", request(node=field(3, field(1, field(1, b"k") + field(2, lists)))), large
    yield "metadata of a size that is kept", request(node=field(3, nested((1, 2, 5), 1000))), INVALID
    yield "metadata nested as deep as may be", request(node=field(3, nested((1, 2, 5), 8))), "answered"
    yield "build version metadata", request(node=field(8, field(2, struct))), "answered"
    yield "extensions", request(node=field(9, nested((7,)))), "answered"
    yield "an unknown field", request(more=field(99, nested((99,)))), "answered"
    yield "resource_locators", request(more=field(7, nested((2,)))), "answered"
    yield "error_detail.details", request(more=field(6, field(3, nested((3,))))), "answered"


with run():
    pg = Postgres()
    fp = Flowplane(pg)
    pids = fp.workers()
    with xds.Channel(fp.xds_port) as ch, Follower(fp.xds_port, channel=ch) as other:
        other.wait(lambda names: len(names) == 1)
        data = full_request().SerializeToString(deterministic=True)
        is_(outcome(ch, data), "answered", "the whole request is answered")
        truncations(ch, data, range(len(data)), f"a request of {len(data)} bytes")

        big = full_request()
        for i in range(516):
            big.node.extensions.add(name=f"envoy.extension.number.{i}", category="envoy.filters.http").type_urls.append(
                "type.googleapis.com/envoy.extensions.filters.http.some.v3.Filter")
        data = big.SerializeToString(deterministic=True)
        is_(outcome(ch, data), "answered", f"a node of {len(data) // 1000} kB is answered")
        rand = random.Random(3)
        truncations(ch, data, sorted(rand.sample(range(len(data)), 100)), "Envoy's first request")

        for name, data in garbage():
            is_(outcome(ch, data), INVALID, f"E-2: {name}")
        bad = []
        for i in range(200):
            data = rand.randbytes(rand.randrange(1, 200))
            got = outcome(ch, data)
            bad += [(data, got)] * (got != INVALID)
        ok(not bad, "E-2: 200 random messages", bad[:3])
        for name, data, want in deep():
            is_(outcome(ch, data), want, f"nested {DEPTH} deep: {name}")

        # in mid-stream, too
        s = ch.ads(node_id="mid")
        s.subscribe("cluster")
        s.ack(s.expect("cluster"))
        s.send(raw=b"\x12\x7f")
        is_(s.expect_end().code, INVALID, "garbage as the third message ends the stream")

        # calls of the small services are walked by the same code
        for data, want in ((b"\xff", INVALID), (b"\x0a\x7f", INVALID), (b"\x0b" * DEPTH, INVALID),
                           (nested((1,)), INVALID),
                           (field(1, b"none"), grpc.StatusCode.NOT_FOUND)):
            is_(ch.unary("/grpc.health.v1.Health/Check", data)[0], want, f"health check of {data[:4]}…")

        is_(other.ended, None, "E-2: another stream of the same connection lived through it")
        fp.api("POST", "/clusters", cluster("still"))
        other.wait(lambda names: "still" in names)
        ok(True, "and gets its updates")
    is_(fp.workers(), pids, "the workers are the same processes")
