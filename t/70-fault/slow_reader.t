#!/usr/bin/env python3
"""xDS clients that do not read (issue 3, rules L-1, L-2, T-11, contract P14)."""
import time

import fp_util as util
import fp_xds as xds
from fp_echo import Raw
from fp_h2 import Client, S, ev
from fp_harness import Flowplane, Postgres, wait_until
from fp_load import Follower
from fp_metrics import scrape, value
from fp_tap import diag, is_, ok, patiently, run

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
PAD, CLUSTERS = 300_000, 20  # an answer of 6 MB: more than the kernel takes for a peer that does not read
TIMEOUT = int(4 * util.SLOW)
WIDE = 2**31 - 1


def fat(name, mark):
    return {"name": name, "envoy": {"type": "STATIC", "connectTimeout": "1s", "loadAssignment": {"clusterName": name},
                                    "metadata": {"filterMetadata": {"test": {"mark": mark, "pad": "x" * PAD}}}}}


def client(fp, wide, rcvbuf=None):
    """An HTTP/2 connection with one ADS stream that asked for all clusters."""
    c = Client(None, raw=Raw(fp.xds_port, rcvbuf=rcvbuf))
    c.acknowledge = False
    if wide:
        c.h.update_settings({S.INITIAL_WINDOW_SIZE: WIDE})
        c.h.increment_flow_control_window(WIDE - 65535)
        c.flush()
    r = xds.discovery_pb2.DiscoveryRequest(type_url=xds.TYPES["cluster"])
    r.node.id = "slow"
    c.stream = c.call(ADS, r.SerializeToString())
    return c


def server_end(fp, c):
    """State of the server's socket of this connection, by the kernel: "01" is established; None: gone."""
    ours = c.raw.sock.getsockname()[1]
    for line in open("/proc/net/tcp").read().splitlines()[1:]:
        _, local, remote, state = line.split()[:4]
        if int(local.split(":")[1], 16) == fp.xds_port and int(remote.split(":")[1], 16) == ours:
            return state
    return None


def pss(fp):
    return sum(util.pss_kib(p) for p in fp.workers())


class Updates:
    """PUTs of one fat cluster; each must reach the follower while the slow one is connected."""

    def __init__(self, fp, follower):
        self.fp, self.follower, self.n, self.slowest = fp, follower, 0, 0

    def one(self):
        self.n += 1
        name = f"fat{self.n % CLUSTERS}"
        before = self.follower.version
        start = time.monotonic()
        self.fp.api("PUT", f"/clusters/{name}", fat(name, self.n))
        wait_until(lambda: self.follower.version != before, 10, "the update of others")
        self.slowest = max(self.slowest, time.monotonic() - start)


def never_reads(fp, updates, wide):
    """wide: the socket is full; else the HTTP/2 window is, and the client even reads its socket."""
    what = "a full socket" if wide else "an HTTP/2 window never opened again"
    base, peak, first, meanwhile = pss(fp), 0, updates.n, 0
    fds = sum(map(util.open_fds, fp.workers()))
    opened = time.monotonic()  # before the server can have written: the time is never taken as too short
    c = client(fp, wide, rcvbuf=4096 if wide else None)
    wait_until(lambda: server_end(fp, c) == "01", 5, "connected")
    # The kernel may take another window's worth now and then: each starts the time-out anew.
    while server_end(fp, c) == "01" and time.monotonic() < opened + 10 * TIMEOUT:
        updates.one()
        meanwhile += server_end(fp, c) == "01"
        peak = max(peak, pss(fp))
        if not wide:
            c.pump(wait=False)
    took = time.monotonic() - opened
    ok(TIMEOUT <= took and server_end(fp, c) != "01", f"{what}: closed after xds.write_timeout",
       f"{took:.2f} s of {TIMEOUT}")
    diag(f"{what}: {updates.n - first} updates of 6 MB meanwhile, memory of the workers {base} -> at most {peak} KiB")
    is_(server_end(fp, c), None, "the kernel keeps nothing of it either")
    ok(meanwhile, f"L-2: others got {meanwhile} updates while it was connected")
    # others are being served while it is measured: some generations live, but not one for each update
    ok(util.SANITIZED or peak - base < 5 * PAD * CLUSTERS / 1024, "its memory is bounded: not one buffer an update (L-1)", f"{base} -> {peak}")
    c.raw.close()
    updates.one(), updates.one()
    wait_until(lambda: sum(map(util.open_fds, fp.workers())) <= fds, 5, "its descriptor is closed")
    wait_until(lambda: util.SANITIZED or pss(fp) - base < PAD * CLUSTERS / 1024, 10, "and its memory given back")
    ok(True, "what it held is given back")


def reads_slowly(fp):
    """A client that takes its time, but does read, is not closed: 6 MB in twice the timeout."""
    c = client(fp, True, rcvbuf=65536)
    got, start = 0, time.monotonic()
    c.raw.sock.settimeout(util.patience())
    pieces = 8 * TIMEOUT
    while got < PAD * CLUSTERS:
        want = min(got + PAD * CLUSTERS // pieces, PAD * CLUSTERS)
        while got < want:
            data = c.raw.sock.recv(65536)
            if not data:
                break
            got += len(data)
        if not data:
            break
        end = time.monotonic() + 0.25
        wait_until(lambda: time.monotonic() > end, 2)
    took = time.monotonic() - start
    ok(got >= PAD * CLUSTERS and took > TIMEOUT, f"a slow but steady reader gets all {got >> 20} MB ({took:.1f} s, timeout {TIMEOUT} s)")
    is_(server_end(fp, c), "01", "and stays connected")
    c.raw.close()


def blocked_neighbour(fp):
    """T-11: on one connection, a stream whose window is full does not block another stream."""
    c = client(fp, False)
    c.wait(ev.DataReceived, c.stream)
    while len(c.data(c.stream)) < 65535:
        c.pump()
    c.h.increment_flow_control_window(1 << 20)  # the connection's window, not the stream's
    c.flush()
    r = xds.discovery_pb2.DiscoveryRequest(type_url=xds.TYPES["listener"])
    r.node.id = "neighbour"
    other = c.call(ADS, r.SerializeToString())
    c.wait(ev.DataReceived, other, deadline=2)
    ok(True, "T-11: a stream without window does not block the other streams of its connection")
    is_(len(c.data(c.stream)), 65535, "and is given exactly what its window takes")
    c.h.increment_flow_control_window(WIDE - 65535 - (1 << 20))
    c.h.increment_flow_control_window(WIDE - 65535, c.stream)
    c.flush()
    end = time.monotonic() + util.patience()
    while len(c.data(c.stream)) < PAD * CLUSTERS and time.monotonic() < end:
        c.pump()
    ok(len(c.data(c.stream)) > PAD * CLUSTERS, "a window that opens later lets the rest through")
    c.raw.close()


def scene(pg, scale):
    global TIMEOUT
    TIMEOUT = int(4 * util.SLOW * scale)
    pg.createdb(f"x{scale}")
    fp = Flowplane(pg, {"xds.write_timeout": f"{TIMEOUT}s", "xds.keepalive_time": f"{15 * TIMEOUT}s"}, database=f"x{scale}")
    for i in range(CLUSTERS):
        fp.api("POST", "/clusters", fat(f"fat{i}", 0))
    pids = fp.workers()
    with Follower(fp.xds_port) as follower:
        follower.wait(lambda names: len(names) == CLUSTERS + 1)
        updates = Updates(fp, follower)
        for _ in range(6):
            updates.one()
        blocked_neighbour(fp)
        reads_slowly(fp)
        never_reads(fp, updates, True)
        never_reads(fp, updates, False)
        diag(f"L-2: the others: at most {updates.slowest * 1000:.0f} ms an update")
        is_(follower.ended, None, "nor closed")
    wait_until(lambda: value(scrape(fp), "flowplane_xds_write_timeouts_total") == 2, 10, "both time-outs are counted")
    ok(value(scrape(fp), "flowplane_xds_coalesced_pushes_total") > 0, "and states that were never sent to them")
    is_(fp.workers(), pids, "the workers are the same processes")
    fp.stop()


with run():
    pg = Postgres()
    patiently(lambda scale: scene(pg, scale))  # several updates must fit into the time-out
