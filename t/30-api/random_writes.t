#!/usr/bin/env python3
"""Random sequences of writes over two instances against a small model: after each, the answers, the database, what both
instances serve over REST and what a raw xDS client of each sees agree.  80 sequences; FP_LONG=1: 1,000.  FP_SEED repeats one."""
import collections
import json
import random

import fp_util as util
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import diag, is_, ok, run

SEQUENCES = util.rounds(80, 1000)
WRITES = 8
CLUSTERS, LISTENERS, PORTS = [f"c{i}" for i in range(6)], [f"l{i}" for i in range(4)], range(18000, 18006)
SEED = util.seed()


def cluster(name, timeout):
    return {"name": name, "connectTimeoutSeconds": timeout, "endpoints": [{"host": "backend.test", "port": 80}]}


def listener(name, port, target):
    return {"name": name, "address": "127.0.0.1", "port": port, "filterChains": [
        {"filters": [{"name": "tcp", "type": "tcpProxy", "cluster": target}]}]}


OUTCOMES = collections.Counter()


class Model:
    """What the configuration is: clusters with their timeout, listeners with port and cluster, sources, history."""

    def __init__(self):
        self.rows, self.history = {}, {}

    def copy(self):
        return dict(self.rows)

    def body(self, key):
        row = self.rows[key]
        return cluster(key[1], row[0]) if key[0] == "cluster" else listener(key[1], row[0], row[1])

    @staticmethod
    def fault(rows, changed=None):
        """The status a state is refused with, None when it is fine."""
        ports = [r[0] for k, r in rows.items() if k[0] == "listener"]
        if len(ports) != len(set(ports)):
            return 409
        for key, row in rows.items():
            if key[0] == "listener" and ("cluster", row[1]) not in rows:
                return 400 if changed is None or key in changed else 409
        return None


class Run:
    def __init__(self, rng, instances):
        self.rng, self.fps, self.model, self.revision = rng, instances, Model(), 0

    def row(self, key, source="native_api"):
        return (self.rng.randrange(1, 5), None, source) if key[0] == "cluster" else \
            (self.rng.choice(PORTS), self.rng.choice(CLUSTERS), source)

    def key(self):
        return ("cluster", self.rng.choice(CLUSTERS)) if self.rng.random() < 0.6 else ("listener", self.rng.choice(LISTENERS))

    def known(self):
        rows = sorted(self.model.rows)
        return self.rng.choice(rows) if rows and self.rng.random() < 0.8 else self.key()

    # each gives the request, the status wanted and the rows afterwards

    def create(self):
        key = self.key()
        after = {**self.model.rows, key: self.row(key)}
        if key in self.model.rows:
            status = 409
        else:
            status = self.one_fault(after, key) or 201
        return ("POST", f"/api/v1/{key[0]}s", self.of(after, key)), status, after

    def replace(self):
        key = self.known()
        after = {**self.model.rows, key: self.row(key)}
        status = 404 if key not in self.model.rows else self.one_fault(after, key) or 200
        return ("PUT", f"/api/v1/{key[0]}s/{key[1]}", self.of(after, key)), status, after

    def delete(self):
        key = self.known()
        after = {k: v for k, v in self.model.rows.items() if k != key}
        status = 404 if key not in self.model.rows else 409 if Model.fault(after) else 204
        return ("DELETE", f"/api/v1/{key[0]}s/{key[1]}", None), status, after

    def apply(self):
        label, prune = self.rng.choice((None, "git", "ops")), self.rng.random() < 0.4
        keys = {self.key() for _ in range(self.rng.randrange(0, 6))}
        keys = sorted(keys, key=lambda _: self.rng.random())
        after, owned, missing = self.model.copy(), False, False
        for key in keys:
            old = self.model.rows.get(key)
            after[key] = self.row(key, label or (old[2] if old else "native_api"))
            owned |= bool(label and old and old[2] not in ("native_api", label))
        query = []
        if label:
            query.append(f"source={label}")
            if owned and self.rng.random() < 0.5:
                query.append("force=true")
                owned = False
            if prune:
                query.append("prune=true")
                after = {k: v for k, v in after.items() if k in keys or v[2] != label}
        dry = self.rng.random() < 0.15
        if dry:
            query.append("dryRun=true")
        ports = [after[k][0] for k in after if k[0] == "listener"]
        missing = any(k[0] == "listener" and ("cluster", after[k][1]) not in after for k in keys)
        users = any(k[0] == "listener" and ("cluster", r[1]) not in after for k, r in after.items())
        status = 409 if owned or len(ports) != len(set(ports)) else 400 if missing else 409 if users else 200
        body = [{"kind": k[0], **self.of(after, k)} for k in keys]
        return ("POST", "/api/v1/apply" + ("?" + "&".join(query) if query else ""), body), status, None if dry else after

    def rollback(self):
        if not self.model.history:
            return self.create()
        n = self.rng.choice(sorted(self.model.history))
        return ("POST", f"/api/v1/revisions/{n}/rollback", None), 200, dict(self.model.history[n])

    def one_fault(self, after, key):
        if key[0] == "listener" and ("cluster", after[key][1]) not in after:
            return 400
        return 409 if Model.fault(after) == 409 else None

    def of(self, rows, key):
        row = rows[key]
        return cluster(key[1], row[0]) if key[0] == "cluster" else listener(key[1], row[0], row[1])

    def step(self):
        kind = self.rng.choice(("create", "create", "replace", "delete", "apply", "apply", "apply", "rollback"))
        request, status, after = getattr(self, kind)()
        r = self.rng.choice(self.fps).request(*request)
        # both faults at once: which of the two is told first is the server's choice
        if r.status != status and not (status in (400, 409) and r.status in (400, 409)):
            raise AssertionError(f"{request}: {r.status} and not {status}: {r.text}\nmodel: {self.model.rows}")
        OUTCOMES[kind, r.status // 100] += 1
        if r.status < 300 and after is not None:
            revision = int(r.headers["Flowplane-Revision"])
            changed = after != self.model.rows
            if changed != (revision > self.revision):
                raise AssertionError(f"{request}: revision {revision} after {self.revision}, changed: {changed}")
            self.model.rows, self.revision = after, max(revision, self.revision)
            self.model.history[revision] = dict(after)


def served(fp, revision):
    """The rows that an instance serves at this revision or later, as the model has them."""
    out, headers = {}, {"Flowplane-Revision": str(revision)}
    for c in fp.get("/api/v1/clusters", headers=headers).json:
        if c["source"] != "system":
            out["cluster", c["name"]] = (c["config"]["connectTimeoutSeconds"], None, c["source"])
    for l in fp.get("/api/v1/listeners", headers=headers).json:
        if l["source"] != "system":
            out["listener", l["name"]] = (l["port"], l["filterChains"][0]["filters"][0]["cluster"], l["source"])
    return out


def stored(pg):
    text = pg.psql("SELECT jsonb_agg(x) FROM (SELECT 'cluster' AS kind, name, (configuration ->> 'connectTimeoutSeconds')::int AS a, source"
                   " FROM clusters WHERE source <> 'system' UNION ALL SELECT 'listener', name, port, source FROM listeners WHERE source <> 'system') x")
    return {(r["kind"], r["name"]): (r["a"], r["source"]) for r in json.loads(text.strip() or "null") or []}


class View:
    """What a client of an instance has after its ACKs: names and timeouts or ports."""

    def __init__(self, fp):
        self.client = xds.Channel(fp.xds_port)
        self.stream = self.client.ads("random")
        self.have = {"cluster": {}, "listener": {}}
        for kind in self.have:
            self.stream.subscribe(kind)

    def follow(self, wanted):
        def fits():
            if self.stream.ended:
                raise self.stream.ended
            while self.stream.pending():
                r = self.stream.expect_any()
                kind = next(k for k, v in xds.TYPES.items() if v == r.type_url)
                self.have[kind] = {n: m.connect_timeout.seconds if kind == "cluster" else m.address.socket_address.port_value
                                   for n, m in xds.unpack(r).items() if not n.startswith("default-")}
                self.stream.ack(r)
            return {(k, n): v for k, names in self.have.items() for n, v in names.items()} == wanted
        wait_until(fits, 20, f"the client sees {wanted}")


with run():
    pg = Postgres()
    # What a replaced listener may still use would stay for the time that proxies drain.
    one, two = (Flowplane(pg, conf={"xds.proxy_drain_time": "0s"}) for _ in range(2))
    two.token = one.token
    views = [View(one), View(two)]
    good = 0
    for n in range(SEQUENCES):
        rng = random.Random(SEED + n)
        r = Run(rng, (one, two))
        for k in [*(f"/api/v1/listeners/{n}" for n in LISTENERS), *(f"/api/v1/clusters/{n}" for n in CLUSTERS)]:
            if one.delete(k).status not in (204, 404):
                raise AssertionError(k)
        r.revision = int(pg.psql("SELECT revision FROM config_revision"))
        for _ in range(WRITES):
            r.step()
        want = r.model.rows
        for fp in (one, two):
            if served(fp, r.revision) != want:
                is_(served(fp, r.revision), want, f"sequence {SEED + n}: REST")
        if stored(pg) != {k: (v[0], v[2]) for k, v in want.items()}:
            is_(stored(pg), {k: (v[0], v[2]) for k, v in want.items()}, f"sequence {SEED + n}: database")
        for view in views:
            view.follow({k: v[0] for k, v in want.items()})
        good += 1
    is_(good, SEQUENCES, f"{SEQUENCES} sequences of {WRITES} writes")
    diag(sorted(OUTCOMES.items()))
    ok(all(OUTCOMES[k, c] > SEQUENCES / 20 for k in ("create", "replace", "delete", "apply") for c in (2, 4)), "of each kind some are done and some refused")
    broken = pg.psql("SELECT count(*) FROM resource_refs f WHERE f.target_kind = 'cluster' AND NOT EXISTS (SELECT FROM clusters c WHERE c.name = f.target_name)")
    is_(broken.strip(), "0", "no reference dangles")
    numbers = pg.psql("SELECT count(DISTINCT revision) = max(revision) - min(revision) + 1 FROM config_changes").strip()
    is_(numbers, "t", "no revision without changes")
