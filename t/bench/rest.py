#!/usr/bin/env python3
"""REST: reads and creates per second, the latter beside PostgreSQL's own ceiling; another instance; idle connections."""
import contextlib
import json
import os
import re
import resource
import select
import socket
import statistics
import subprocess
import threading
import time

import fp_bench as bench
import fp_road as road
import fp_util as util
from fp_harness import Flowplane, Postgres, wait_until

LOAD = util.OBJS / "t" / "bench" / "rest_load"
CLUSTERS, SECONDS, CHANGES, IDLE = 100, 3, 100, 10000
ROUNDS, ROUND_SECONDS = 9, 1  # of creates: many short ones in turn, for others may use the machine
ROWS = []  # of the README's table
NEW = '{"name":"n%d","endpoints":[{"host":"10.0.0.1","port":8080}],"connectTimeoutSeconds":5}'


def row(what, peer, aim, ours, ceiling="–"):
    """peer: a good control plane in Rust on such a machine (issue 4)."""
    ROWS.append(f"| {what} | {peer} | {aim} | {ours} | {ceiling} |")


def load(fp, connections, seconds, method, path, *body):
    r = subprocess.run([LOAD, str(fp.api_port), str(connections), str(seconds), fp.token, method, "/api/v1" + path, *body],
                       capture_output=True, text=True)
    out = json.loads(r.stdout)
    if out["errors"]:
        print(f"{out['errors']} errors: {r.stderr[:500]}")
    return out


def statements(fp):
    """Those of the workers: the watcher's own are left out."""
    text = fp.get("/metrics").text
    return sum(float(v) for op, v in re.findall(r'^db_queries_total{.*operation="(\w+)".* (\S+)$', text, re.M)
               if op not in ("load", "poll", "heartbeat", "listen", "chores", "bootstrap", "migration"))


def reads(fp):
    before, n, rates = statements(fp), 0, []
    for what, path, connections, aim in (("GET one cluster", "/clusters/c7", 1, 8000), ("GET one cluster", "/clusters/c7", 32, 20000),
                                         (f"list of {CLUSTERS} clusters", "/clusters", 32, 6000)):
        out = load(fp, connections, SECONDS, "GET", path)
        n += out["n"]
        rates.append(f"{out['rate']:,.0f}")
        bench.figure(f"{what}, {connections} connection{'s'[:connections > 1]}", out["rate"], "per s", aim,
                     f"p50 {out['p50_ms']}, p99 {out['p99_ms']} ms; client {out['client_cpu']:.2f} CPU", more=True)
    sql = statements(fp) - before
    bench.figure(f"SQL statements of these {n:,} reads", sql, "(last use of the token)")
    row("GET one cluster, authenticated, 1 / 32 connections", "398 / 1,139 per s", "≥ 8,000 / 20,000 per s, no SQL",
        f"{rates[0]} / {rates[1]} per s; {sql:.0f} statements")
    row(f"list of {CLUSTERS} clusters, 32 connections", "806 per s", "≥ 6,000 per s", f"{rates[2]} per s")


class Ceiling:
    """pgbench with the statement and the parameters that a worker sends, in a database of its own on the same server, with
    somebody who listens."""

    def __init__(self, pg):
        self.pg, self.url = pg, pg.url("ceiling")
        pg.createdb("ceiling")
        fp = Flowplane(pg, database="ceiling", conf={"bootstrap.default_gateway": False, "observability.log_filter": "info,sqlx=debug"})
        fp.api("POST", "/clusters", json.loads(NEW % 0))
        sql = [s for s in (e["fields"].get("statement", "") for e in fp.log_events()) if "create_clusters" in s][-1]
        fp.stop()
        # $5, the team, is null: a variable that pgbench does not know
        self.script = util.tmp() / "create.sql"
        self.script.write_text("\\set p4 random(100000000000, 999999999999)\n" + re.sub(r"\$(\d+)", r":p\1", sql) + ";\n")
        row = pg.psql("SELECT configuration, encoded, content_hash, encoder_version, service_name FROM clusters", "ceiling").split("\t")
        who = pg.psql("SELECT jsonb_strip_nulls(jsonb_build_object('user_id', user_id, 'client_ip', client_ip, 'request_id', request_id))"
                      " FROM audit_logs WHERE resource_type = 'cluster'", "ceiling")
        self.parameters = {1: who, 2: 4000, 3: "[]", 6: "native_api", 7: "model", **dict(zip((8, 9, 10, 11, 12), row))}
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        c = self.pg.connect("ceiling")
        c.cursor().execute("LISTEN flowplane_config")
        while True:
            select.select([c], [], [])
            try:
                c.poll()
            except Exception:
                return
            c.notifies.clear()

    def run(self, clients):
        r = subprocess.run([self.pg.bin / "pgbench", "-n", "-M", "extended", "-f", self.script, "-c", str(clients),
                            "-T", str(ROUND_SECONDS), *(f"-Dp{n}={v}" for n, v in self.parameters.items()), self.url], capture_output=True, text=True)
        m = re.search(r"tps = ([\d.]+)", r.stdout)
        if not m:
            print(f"pgbench: {r.stderr[-500:]}")
        return float(m.group(1)) if m else None


def empty(pg, fp):
    """Both databases as they were: a generation of the snapshot costs what all its clusters cost."""
    for database, keep in ((None, "name ~ '^c'"), ("ceiling", "false")):
        pg.psql(f"DELETE FROM clusters WHERE NOT ({keep})", database)
        for table in ("clusters", "config_changes", "config_revision", "audit_logs"):
            pg.psql(f"VACUUM ANALYZE {table}", database)
    wait_until(lambda: len(fp.get("/api/v1/clusters").json) == CLUSTERS, 60, "deleted clusters are gone")


@contextlib.contextmanager
def placed(cpus):
    """All of this run, servers and clients, on these CPUs only."""
    def place(where):
        for pid in (os.getpid(), *util.descendants(os.getpid())):
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(task), where)

    before = os.sched_getaffinity(0)
    place(cpus)
    try:
        yield
    finally:
        place(before)


def creates(pg, fp):
    """Once wherever the scheduler puts the processes, once on one CPU.  A round trip to a process on another CPU costs 30 µs and
    more each way on virtual machines; a real-time priority makes it the rule, because Linux pushes whom a real-time process
    wakes to another CPU.  pgbench has one such round trip, a POST has two.  On one CPU what is left is the work itself."""
    ceiling, number = Ceiling(pg), 1
    everywhere = os.sched_getaffinity(0)
    one = {min(everywhere)}
    for clients, cpus, aim, peer in ((1, everywhere, 1500, "205 per s"), (1, one, None, "–"), (16, everywhere, 2500, "639 per s")):
        ours, theirs, times = [], [], []
        for _ in range(ROUNDS):
            empty(pg, fp)
            with placed(cpus):
                out = load(fp, clients, ROUND_SECONDS, "POST", "/clusters", NEW, str(number))
                theirs.append(ceiling.run(clients))
            number = out["next"]
            ours.append(out["rate"])
            times.append(out["p50_ms"])
        what = f"POST cluster, {clients} client{'s'[:clients > 1]}" + (", all on one CPU" if cpus == one else "")
        rate = statistics.median(ours)
        bench.figure(what, rate, "per s", aim, f"p50 {statistics.median(times)} ms; " + ", ".join(f"{r:.0f}" for r in ours), more=True)
        if all(theirs):
            ratio = statistics.median(a / b for a, b in zip(ours, theirs))
            bench.figure("  pgbench, the same statement", statistics.median(theirs), "per s", None, ", ".join(f"{t:.0f}" for t in theirs))
            bench.figure("  ours / pgbench, median of the rounds", ratio, "", 0.8, more=True)
            row(what, peer, f"≥ {aim:,} per s, ≥ 80 % of the ceiling" if aim else "≥ 80 % of the ceiling",
                f"{rate:,.0f} ({min(ours):,.0f}–{max(ours):,.0f}) per s = {100 * ratio:.0f} %", f"{statistics.median(theirs):,.0f} per s")


def elsewhere(pg, fp):
    """A change on one instance until a stream of another has it; the answer counts in, so this is more than commit → served."""
    other = Flowplane(pg, conf={"bootstrap.default_gateway": False})
    stream, keep, times = road.Clusters(other.xds_port), road.Keep(fp), []
    while len(stream.read()[1]) < CLUSTERS:
        pass
    for n in range(CHANGES):
        began = time.monotonic()
        keep.put("/api/v1/clusters/c7", {"name": "c7", "connectTimeoutSeconds": 10 + n, "endpoints": [{"host": "10.0.0.1", "port": 80}]})
        seen, clusters = stream.read()
        while clusters["c7"].connect_timeout.seconds != 10 + n:
            seen, clusters = stream.read()
        times.append((seen - began) * 1000)
        time.sleep(0.2)  # beyond the debounce
    bench.quantiles("PUT sent → received from another instance", times, "ms", 10, 50)
    times.sort()
    row("commit → served on another instance, p50 / p99", "–", "≤ 10 / 50 ms",
        f"{statistics.median(times):.1f} / {times[len(times) * 99 // 100]:.1f} ms, the PUT included")
    other.stop()


def idle(pg, token):
    """Connections that have had an answer, spread over the workers as the kernel spreads them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, IDLE + 1000), hard))
    fp = Flowplane(pg, conf={"bootstrap.default_gateway": False, "api.max_connections": IDLE})
    fp.token = token
    request = f"GET /api/v1/clusters/c7 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fp.token}\r\n\r\n".encode()
    load(fp, 32, SECONDS, "GET", "/clusters/c7")  # what any traffic touches is no part of it
    fds(fp)
    before, kept = fp.pss_kib(), []
    for _ in range(IDLE):
        s = socket.create_connection(("127.0.0.1", fp.api_port))
        s.sendall(request)
        kept.append(s)
    for s in kept:
        s.recv(65536)
    grown = (fp.pss_kib() - before) / 1024
    bench.figure(f"memory of {IDLE:,} idle connections (PSS)", grown, "MB", 25)
    for s in kept:
        s.close()
    wait_until(lambda: fds(fp) < 1000, 30, "the server closes too")
    time.sleep(2.5)  # what is free is given back with the heartbeat, once a second
    left = (fp.pss_kib() - before) / 1024
    bench.figure("  left of it when they have gone", left, "MB")
    row(f"memory with {IDLE:,} idle connections", "+25 MB", "≤ +25 MB, and given back", f"+{grown:.1f} MB; {left:.1f} MB stay")


def fds(fp):
    return int(re.search(r"^process_open_fds{?.*}? (\d+)", fp.get("/metrics").text, re.M).group(1))


with bench.run(f"REST ({CLUSTERS} clusters, {SECONDS} s each; of creates and pgbench the median of {ROUNDS} turns of {ROUND_SECONDS} s)"):
    pg = Postgres(conf={"shared_buffers": "128MB", "synchronous_commit": "on"})
    fp = Flowplane(pg, conf={"bootstrap.default_gateway": False})
    for i in range(CLUSTERS):
        fp.api("POST", "/clusters", {"name": f"c{i}", "endpoints": [{"host": "127.0.0.1", "port": 9000 + i}]})
    reads(fp)
    creates(pg, fp)
    empty(pg, fp)
    elsewhere(pg, fp)
    fp.stop()
    idle(pg, fp.token)
    print("\n| what | a good control plane in Rust | aim | ours | pgbench, the same statement |\n|---|---|---|---|---|", *ROWS, sep="\n")
