#!/usr/bin/env python3
"""One cluster change to many SotW streams, beside a peer in the same run; needs the measuring tools."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import fp_bench as bench
import fp_util as util
from fp_harness import Flowplane, Postgres

TOOLS = pathlib.Path(os.environ.get("FP_BENCH_TOOLS", util.TOP / "../shared/tools")).resolve()
BUILD = util.OBJS / "t" / "bench"
STREAMS = [int(n) for n in os.environ.get("FP_BENCH_STREAMS", "500 2000 5000").split()]
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


def tell(who, streams, d):
    """The tool's own names; memory is what synced streams add to the idle server."""
    start, changes, memory = d["initial"], d["updates"], {m["at"]: m for m in d["memory"]}
    name = f"{who}, {streams} streams: "
    bench.figure(name + "first configuration, wall", start["wall_ms"], "ms")
    bench.figure(name + "first configuration, server CPU", start["server_cpu_s"], "s")
    bench.figure(name + "a change at all of them, p50", changes["all_streams_ms"]["p50"], "ms")
    bench.figure(name + f"{UPDATES} changes, server CPU", changes["server_cpu_s"], "s")
    bench.figure(name + "PSS a stream", (memory["updated"]["pss_kb"] - memory["idle"]["pss_kb"]) / streams, "KiB", 20)
    if d["violations"] or d["errors"]:
        print(f"{name}violations {d['violations']}, errors {d['errors']}")


with bench.run("Fan-out (SotW)"):
    if not (TOOLS / "xdsfan").is_dir():
        print(f"the measuring tools are not in {TOOLS} (FP_BENCH_TOOLS)")
        sys.exit(0)
    fan = build("xdsfan", ["make", "xdsfan"], TOOLS / "xdsfan")
    peer = shutil.which("go") and build("gcp-peer", ["go", "build", "-o", "gcp-peer", "."], TOOLS / "gcp-peer")
    if not peer:
        print("no peer (needs Go): Flowplane alone")
    fp = Flowplane(Postgres(), conf={"bootstrap.default_gateway": False, "process.nofile": 65536})
    fill(fp)
    token, one = f"Authorization: Bearer {fp.token}", util.tmp() / "bump.json"
    one.write_text(json.dumps({"name": "cluster-000", "connectTimeoutSeconds": 1000, "endpoints": [
        {"host": "backend-0.test", "port": 8080}]}).replace("1000", "1%d"))
    for streams in STREAMS:
        d = fan and measure(fan, fp.xds_port, streams, fp.master_pid, [
            "-bump-url", f"http://127.0.0.1:{fp.api_port}/api/v1/clusters/cluster-000", "-bump-method", "PUT",
            "-bump-body-file", str(one), "-bump-header", token])
        if d:
            tell("flowplane", streams, d)
        if not peer:
            continue
        ports = util.free_port(), util.free_port()
        other = util.spawn([peer, "-listen", f"127.0.0.1:{ports[0]}", "-admin", f"127.0.0.1:{ports[1]}", "-clusters", CLUSTERS,
                            "-routes", ROUTES, "-routes-per", ROUTES_PER, "-listeners", LISTENERS, "-cache", "linear"],
                           util.tmp() / "peer.log")
        util.wait_until(lambda: util.port_open(ports[0]) and util.port_open(ports[1]), 10, "the peer listens")
        p = measure(fan, ports[0], streams, other.pid, ["-bump-url", f"http://127.0.0.1:{ports[1]}/bump"])
        util.stop_process(other)
        if p:
            tell("peer", streams, p)
        if d and p:
            bench.figure(f"server CPU of changes, flowplane / peer, {streams}",
                         d["updates"]["server_cpu_s"] / max(p["updates"]["server_cpu_s"], 1e-9), "", 0.25)
