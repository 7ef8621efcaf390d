#!/usr/bin/env python3
"""One cluster change to many SotW streams, beside a peer in the same run; needs the measuring tools."""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import fp_bench as bench
import fp_util as util
from fp_harness import Flowplane, Postgres

TOOLS = pathlib.Path(os.environ.get("FP_BENCH_TOOLS", util.TOP / "../shared/tools")).resolve()
BUILD = util.OBJS / "t" / "bench"
STREAMS = [int(n) for n in os.environ.get("FP_BENCH_STREAMS", "500 2000 5000").split()]
RUNS = int(os.environ.get("FP_BENCH_RUNS", 3))
CLUSTERS, ROUTES, ROUTES_PER, LISTENERS, UPDATES = 100, 20, 10, 5, 10


def build(name, argv, cwd):
    """The tool's program, made in a copy: nothing is written where it comes from."""
    copy = BUILD / name
    if not (copy / name).exists():
        shutil.copytree(cwd, copy, dirs_exist_ok=True)
        r = subprocess.run(argv, cwd=copy, capture_output=True, text=True)
        if r.returncode != 0:
            print(f"{name} does not build: {r.stderr.strip().splitlines()[-1:]}")
            return None
    return copy / name


def fill(fp):
    for i in range(CLUSTERS):
        fp.api("POST", "/clusters", {"name": f"cluster-{i:03d}", "endpoints": [{"host": f"backend-{i}.test", "port": 8080}]})
    for i in range(ROUTES):
        rules = [{"name": f"r{n}", "match": {"path": {"type": "prefix", "value": f"/r{n}/"}},
                  "action": {"type": "forward", "cluster": f"cluster-{(i * ROUTES_PER + n) % CLUSTERS:03d}"}}
                 for n in range(ROUTES_PER)]
        fp.api("POST", "/routes", {"name": f"route-{i:02d}", "virtualHosts": [
            {"name": "v", "domains": ["*"], "routes": rules}]})
    hcm = "envoy.filters.network.http_connection_manager"
    for i in range(LISTENERS):
        chains = [{"name": f"f{n}", "match": {"destinationPort": 20000 + n}, "filters": [
            {"name": hcm, "type": "httpConnectionManager", "routeConfigName": f"route-{i * ROUTES // LISTENERS + n:02d}",
             "httpFilters": [{"filter": {"type": "router"}}]}]} for n in range(ROUTES // LISTENERS)]
        fp.api("POST", "/listeners", {"name": f"listener-{i}", "address": "127.0.0.1", "port": 15000 + i,
                                      "filterChains": chains})
    # served by each worker before anybody is measured
    for _ in range(20):
        util.wait_until(lambda: len(fp.api("GET", "/listeners")) == LISTENERS)


def measure(fan, port, streams, pid, bump):
    r = subprocess.run([fan, "-t", f"127.0.0.1:{port}", "-mode", "sotw", "-streams", str(streams), "-expect",
                        f"cds={CLUSTERS},lds={LISTENERS},rds={ROUTES}", "-preconnect", "-updates", str(UPDATES),
                        "-pid", str(pid), "-pidtree", "-json", *bump], capture_output=True, text=True, timeout=600)
    try:
        return json.loads(r.stdout)
    except ValueError:
        print(f"xdsfan: {r.returncode} {r.stderr[-500:]} {r.stdout[-500:]}")
        return None


# What is told: its name, how it is read from the tool's answer, unit.
FIGURES = [
    ("first configuration, wall", lambda d, n: d["initial"]["wall_ms"], "ms"),
    ("first configuration, server CPU", lambda d, n: d["initial"]["server_cpu_s"], "s"),
    ("a change at all of them, p50", lambda d, n: d["updates"]["all_streams_ms"]["p50"], "ms"),
    (f"{UPDATES} changes, server CPU", lambda d, n: d["updates"]["server_cpu_s"], "s"),
    ("PSS a stream", lambda d, n: pss(d, "updated") / n, "KiB"),  # what synced streams add to the idle server
]
AIMS = {f"{UPDATES} changes, server CPU": 0.25}  # ours / the peer's


def pss(d, at):
    memory = {m["at"]: m["pss_kb"] for m in d["memory"]}
    return memory[at] - memory["idle"]


def tell(streams, ours, peers):
    """Medians of the runs and their ratio."""
    for name, read, unit in FIGURES:
        a, b = ([read(d, streams) for d in runs] for runs in (ours, peers))
        if a:
            aim = 20 if unit == "KiB" else None
            bench.figure(f"flowplane, {streams} streams: {name}", statistics.median(a), unit, aim, f"{min(a):.3g}–{max(a):.3g}")
        if b:
            bench.figure(f"peer, {streams} streams: {name}", statistics.median(b), unit, None, f"{min(b):.3g}–{max(b):.3g}")
        if a and b:
            ratio = statistics.median(a) / max(statistics.median(b), 1e-9)
            bench.figure("    flowplane / peer", ratio, "", AIMS.get(name))
    for d in ours + peers:
        if d["violations"] or d["errors"]:
            print(f"violations {d['violations']}, errors {d['errors']}")


def run_peer(peer, fan, streams):
    ports = util.free_port(), util.free_port()
    other = util.spawn([peer, "-listen", f"127.0.0.1:{ports[0]}", "-admin", f"127.0.0.1:{ports[1]}", "-clusters", CLUSTERS,
                        "-routes", ROUTES, "-routes-per", ROUTES_PER, "-listeners", LISTENERS, "-cache", "linear"],
                       util.tmp() / "peer.log")
    util.wait_until(lambda: util.port_open(ports[0]) and util.port_open(ports[1]), 10, "the peer listens")
    d = measure(fan, ports[0], streams, other.pid, ["-bump-url", f"http://127.0.0.1:{ports[1]}/bump"])
    util.stop_process(other)
    return d


def run_ours(conf, fan, streams):
    """A new server each time, as the peer is: memory is compared with one that never had streams."""
    fp = Flowplane(Postgres(), conf=conf)
    fill(fp)
    one = util.tmp() / "bump.json"
    one.write_text(json.dumps({"name": "cluster-000", "connectTimeoutSeconds": 1000, "endpoints": [
        {"host": "backend-0.test", "port": 8080}]}).replace("1000", "1%d"))
    d = measure(fan, fp.xds_port, streams, fp.master_pid, [
        "-bump-url", f"http://127.0.0.1:{fp.api_port}/api/v1/clusters/cluster-000", "-bump-method", "PUT",
        "-bump-body-file", str(one), "-bump-header", f"Authorization: Bearer {fp.token}"])
    fp.stop()
    return d


with bench.run("Fan-out (SotW)"):
    if not (TOOLS / "xdsfan").is_dir():
        print(f"the measuring tools are not in {TOOLS} (FP_BENCH_TOOLS)")
        sys.exit(0)
    fan = build("xdsfan", ["make", "xdsfan"], TOOLS / "xdsfan")
    peer = shutil.which("go") and build("gcp-peer", ["go", "build", "-o", "gcp-peer", "."], TOOLS / "gcp-peer")
    if not peer:
        print("no peer (needs Go): Flowplane alone")
    for streams in STREAMS:
        ours, peers = [], []
        for _ in range(RUNS if fan else 0):
            ours.append(run_ours({"bootstrap.default_gateway": False, "process.nofile": 65536}, fan, streams))
            if peer:
                peers.append(run_peer(peer, fan, streams))
        tell(streams, [d for d in ours if d], [d for d in peers if d])
