#!/usr/bin/env python3
"""Many writers at once over both workers: every answered write is seen by the next read, whoever takes it (contract §2.5)."""
import collections
import random
import threading

from fp_harness import Flowplane, Postgres, wait_until
from fp_load import Follower, Threads, cluster
from fp_tap import diag, is_, ok, run

WRITERS, ROUNDS = 12, 25


class Storm(Threads):
    """Each writer creates, reads, replaces, reads, deletes and reads its own clusters; each request on a connection of
    its own, so that the kernel deals them to the workers.  A third of the rounds also fights over one shared name."""

    def __init__(self, fp):
        super().__init__(WRITERS, 0)
        self.fp, self.done = fp, [0] * WRITERS
        self.wrong, self.statuses, self.revisions, self.kept = [], collections.Counter(), [], {}
        self.shared_versions, self.lock = [], threading.Lock()

    def write(self, method, path, body=None):
        r = self.fp.request(method, path, body)
        self.statuses[method, r.status] += 1
        if r.status in (200, 201, 204):
            with self.lock:
                self.revisions.append(int(r.headers["Flowplane-Revision"]))
        return r

    def expect(self, what, got, want):
        if got != want:
            self.wrong.append((what, got, want))

    def step(self, i):
        if self.done[i] >= ROUNDS:
            self.stop.wait(0.05)
            return
        n, name = self.done[i], f"s{i}-{self.done[i]}"
        path = f"/api/v1/clusters/{name}"
        r = self.write("POST", "/api/v1/clusters", cluster(name))
        self.expect(f"create {name}", r.status, 201)
        revision = int(r.headers["Flowplane-Revision"])
        got = self.fp.get(path)
        self.expect(f"read {name}", (got.status, got.raw), (200, r.raw))
        self.expect(f"revision of the read of {name}", int(got.headers["Flowplane-Revision"]) >= revision, True)
        r = self.write("PUT", path, cluster(name, port=9000 + n))
        self.expect(f"replace {name}", (r.status, r.json["version"]), (200, 2))
        self.expect(f"read replaced {name}", self.fp.get(path).raw, r.raw)
        listed = {c["name"]: c["version"] for c in self.fp.api("GET", "/clusters")}
        self.expect(f"{name} in the list", listed.get(name), 2)
        if n % 3 == 0:
            self.expect(f"delete {name}", self.write("DELETE", path).status, 204)
            self.expect(f"read deleted {name}", self.fp.get(path).status, 404)
        else:
            with self.lock:
                self.kept[name] = 9000 + n
        if n % 3 == 1:
            r = self.write("PUT", "/api/v1/clusters/shared", cluster("shared", port=random.randrange(1, 65536)))
            self.expect("replace shared", r.status, 200)
            with self.lock:
                self.shared_versions.append(r.json["version"])
            self.expect("read shared", self.fp.get("/api/v1/clusters/shared").json["version"] >= r.json["version"], True)
        self.done[i] += 1


class Creators(Threads):
    """All want the same names; one gets each."""

    def __init__(self, fp, n):
        super().__init__(n, 0)
        self.fp, self.got, self.lock = fp, collections.Counter(), threading.Lock()
        self.i = [0] * n

    def step(self, i):
        if self.i[i] >= 20:
            self.stop.wait(0.05)
            return
        name = f"one{self.i[i]}"
        status = self.fp.post("/api/v1/clusters", cluster(name, port=1000 + i)).status
        with self.lock:
            self.got[name, status] += 1
        self.i[i] += 1


with run():
    pg = Postgres()
    fp = Flowplane(pg, {"process.workers": 2, "database.max_connections": 10})
    fp.api("POST", "/clusters", cluster("shared"))
    with Follower(fp.xds_port, "a") as a, Follower(fp.xds_port, "b") as b:
        with Storm(fp) as storm:
            wait_until(lambda: storm.died or min(storm.done) >= ROUNDS, 600, "all rounds")
        is_(storm.wrong, [], f"{sum(storm.statuses.values())} writes: each is seen by the next read, over fresh connections")
        is_({s for _, s in storm.statuses}, {200, 201, 204}, "all succeeded")
        ok(len(storm.revisions) == len(set(storm.revisions)), "each commit has a revision of its own")
        is_(len(storm.shared_versions), len(set(storm.shared_versions)), "no version of the shared one was given twice")

        rows = dict(line.split("\t") for line in pg.psql("SELECT name, version FROM clusters").split("\n"))
        listed = {c["name"]: c for c in fp.api("GET", "/clusters")}
        is_({n: str(c["version"]) for n, c in listed.items()}, rows, "names and versions as in the database")
        is_(sorted(set(rows) - {"shared", "default-gateway-cluster"}), sorted(storm.kept), "exactly what was not deleted")
        is_({n: listed[n]["config"]["endpoints"][0]["port"] for n in storm.kept}, storm.kept, "with the contents that were said")
        changes = pg.psql("SELECT count(*), count(DISTINCT revision) FROM config_changes WHERE kind = 'cluster' AND user_id LIKE 'fp_pat_%'")
        is_(changes.split("\t"), [str(len(storm.revisions) + 1)] * 2, "a change row for each, a revision for each")
        newest = int(pg.psql("SELECT revision FROM config_revision"))
        is_(max(storm.revisions), newest, "the greatest revision answered is the database's")
        is_(pg.psql("SELECT count(*) FROM audit_logs WHERE resource_type = 'cluster' AND user_id LIKE 'fp_pat_%'"),
            str(len(storm.revisions) + 1), "an audit row for each")
        for f in (a, b):
            f.wait(lambda names: names == set(rows), 5, "the last state on the stream")
        is_((a.version, a.bytes), (b.version, b.bytes), "S-17: two streams hold the same version and bytes")
        diag(f"L-3: {len(storm.revisions)} commits were {len(a.sets)} pushes")  # how many: t/00-unit/watch_debounce.c

        with Creators(fp, 8) as c:
            wait_until(lambda: c.died or min(c.i) >= 20, 60, "all tried")
        is_({n: c.got[n, 201] for n, _ in c.got}, {f"one{i}": 1 for i in range(20)}, "of eight that create the same name one succeeds")
        is_({s for _, s in c.got}, {201, 409}, "the others are told 409")
    per_worker = collections.Counter(e["fields"]["pid"] for e in fp.log_events()
                                     if e["fields"].get("message") == "API request processed")
    diag(f"requests by worker: {dict(per_worker)}")
    ok(len(per_worker) == 2 and min(per_worker.values()) > 100, "both workers took their share", per_worker)
    used = int(pg.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'flowplane%'"))
    ok(used <= 11, f"contract §16: at most database.max_connections + 1 connections ({used})")
