#!/usr/bin/env python3
"""The watcher on a real database: rows edited by hand, nonsense, cut connections, a start without a database."""
import json
import re
import threading

import fp_tap as tap
from fp_follower import Follower
from fp_harness import Postgres, tmp, wait_until

GOOD = {"endpoints": [{"host": "127.0.0.1", "port": 8081}]}


class Watcher(Follower):
    def __init__(self, pg, **more):
        super().__init__(pg.url(), program="watch_tool", **more)

    def snapshot(self):
        """Of the last publish: (revision, {(kind, name): fields})."""
        lines = list(self.lines)
        last = max(i for i, line in enumerate(lines) if line.startswith("published"))
        start = max([i for i, line in enumerate(lines[:last]) if line.startswith("published")], default=-1)
        entries = (line.split(" ") for line in lines[start + 1:last] if line.startswith("entry"))
        return int(lines[last].split()[1]), {(e[1], " ".join(e[2:-4])): tuple(e[-4:]) for e in entries}

    def at(self, revision, deadline=15):
        wait_until(lambda: any(line.startswith("published") for line in self.lines) and self.snapshot()[0] >= revision,
                   deadline, f"revision {revision} is published; last {self.lines[-1:]}")
        return self.snapshot()[1]

    def page(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return dict(f.split("=") for f in self.expect("^page (.*)")[1].split())


def revision():
    db.execute("SELECT revision FROM config_revision")
    return db.fetchone()[0]


def put(name, configuration, table="clusters"):
    db.execute("INSERT INTO clusters (name, service_name, configuration) VALUES (%s, %s, %s) ON CONFLICT (name)"
               " DO UPDATE SET configuration = EXCLUDED.configuration", (name, name, json.dumps(configuration)))
    return revision()


with tap.run():
    pg = Postgres()
    state = tmp() / "state"
    state.mkdir()
    w = Watcher(pg, gateway=1, state=state)
    w.expect("^published 1 ")
    c = pg.connect()
    db = c.cursor()
    kinds = w.at(1)
    tap.is_({k: v[0] for k, v in kinds.items() if k[0] != "token"},
            {("cluster", "default-gateway-cluster"): "v1", ("endpoint", "default-gateway-cluster"): "v0",
             ("listener", "default-gateway-listener"): "v1", ("route", "default-gateway-routes"): "v1"},
            "§4.6: the default gateway is encoded and served")
    tap.is_([v[2:] for k, v in sorted(kinds.items()) if k[0] != "token"],
            [("refs=1", "rest"), ("refs=0", "generated"), ("refs=1", "rest"), ("refs=1", "rest")], "with references and REST forms")
    tap.is_(sum(k[0] == "token" for k in kinds), 1, "the token is in")
    encoded = "SELECT count(*) FROM (SELECT encoded, encoder_version, content_hash FROM clusters UNION ALL SELECT encoded, encoder_version," \
        " content_hash FROM routes UNION ALL SELECT encoded, encoder_version, content_hash FROM listeners) x" \
        " WHERE encoded IS NOT NULL AND encoder_version = 1 AND content_hash = sha256(encoded)"

    def stored(n):
        db.execute(encoded)
        return db.fetchone()[0] == n
    wait_until(lambda: stored(3), 10, "what was encoded is stored")
    tap.ok(True, "what was encoded is stored back, with its hash")
    tap.is_(revision(), 1, "without a revision")
    db.execute("SELECT kind, name, target_kind, target_name FROM resource_refs ORDER BY 1")
    tap.is_(db.fetchall(), [("cluster", "default-gateway-cluster", "endpoint", "default-gateway-cluster"),
                            ("listener", "default-gateway-listener", "route", "default-gateway-routes"),
                            ("route", "default-gateway-routes", "cluster", "default-gateway-cluster")], "and its references")

    # rows by hand
    good = w.at(put("a", GOOD))["cluster", "a"]
    tap.ok(good[0] == "v1", "a row made by psql is served")
    n = put("a", {"endpoints": "nonsense"})
    put("b", GOOD)
    snapshot = w.at(n + 1)
    tap.is_(snapshot["cluster", "a"], good, "P18: a row edited to nonsense keeps its last good bytes and REST form")
    tap.contains(snapshot, ("cluster", "b"), "all else flows")
    tap.is_(w.page()["unbuildable"], "1", "it is counted")
    tap.like(w.log(), r"WARN[^\n]*cluster 'a' cannot be built and keeps its last good bytes: /endpoints", "and told: kind, name, why")
    n = put("never", {"bogus": 1})
    tap.ok(("cluster", "never") not in w.at(n), "a new row of nonsense is left out")
    tap.is_(w.page()["unbuildable"], "2", "counted too")
    db.execute("UPDATE clusters SET configuration = %s WHERE name = 'a'", (json.dumps(GOOD),))
    w.at(revision())
    db.execute("DELETE FROM clusters WHERE name = 'never'")
    tap.is_(w.at(revision())["cluster", "a"][0], "v3", "a repaired row is served")
    tap.is_(w.page()["unbuildable"], "0", "nothing is unbuildable any more")
    db.execute("UPDATE clusters SET encoded = '\\x12ff', configuration = configuration || '{\"connectTimeoutSeconds\": 7}' WHERE name = 'a'")
    snapshot = w.at(revision())
    tap.ok(snapshot["cluster", "a"][1] != good[1], "bytes that are no resource are not served: encoded anew")
    tap.is_(w.page()["unbuildable"], "0", "without alarm")
    db.execute("INSERT INTO endpoints (name, configuration) VALUES ('a', '{\"endpoints\": [{\"host\": \"10.0.0.1\", \"port\": 1}]}')")
    w.at(revision())
    wait_until(lambda: "generates that name" in w.log(), 10, "the warning")
    tap.is_(w.snapshot()[1]["endpoint", "a"][3], "generated", "§5.2.2: the set a cluster generates wins over a row of its name")
    db.execute("DELETE FROM endpoints")
    put("deep", json.loads('{"endpoints":' + "[" * 200 + "]" * 200 + "}"))
    put("c", GOOD)
    tap.contains(w.at(revision()), ("cluster", "c"), "a configuration nested deep takes nothing along")
    db.execute("DELETE FROM clusters WHERE name = 'deep'")

    # LISTEN cut while 100 commits happen
    def commits():
        other = pg.connect()
        for i in range(100):
            other.cursor().execute("INSERT INTO clusters (name, service_name, configuration) VALUES (%s, '', %s)", (f"n{i}", json.dumps(GOOD)))
    writer = threading.Thread(target=commits)
    writer.start()
    for _ in range(3):
        pg.cut("application_name = 'flowplane-listen'")
        wait_until(lambda: w.page()["up"] == "1", 10, "the connection is back")
    writer.join()
    snapshot = w.at(revision())
    tap.is_(sum(name.startswith("n") for kind, name in snapshot if kind == "cluster"), 100, "LISTEN cut in 100 commits: every row is served")

    # equal bytes on every instance
    other = Watcher(pg)
    mine = w.at(revision())
    theirs = other.at(revision())
    tap.is_(theirs, mine, "another instance serves the same bytes")
    other.stop()

    # P18 over a restart of the watcher
    keep = w.at(revision())["cluster", "a"], w.at(revision())["endpoint", "a"]
    n = put("a", {"endpoints": "nonsense"})
    w.at(n)
    w.stop()
    w = Watcher(pg, state=state)
    snapshot = w.at(n)
    tap.is_((snapshot["cluster", "a"], snapshot["endpoint", "a"]), keep, "P18: a new watcher keeps the last good bytes too")
    tap.is_(w.page()["unbuildable"], "1", "counted")
    db.execute("DELETE FROM clusters WHERE name = 'a'")
    w.at(revision())
    n = put("a", {"endpoints": "nonsense"})
    w.at(n)
    w.stop()
    w = Watcher(pg, state=state)
    tap.ok(("cluster", "a") not in w.at(n), "another row of that name does not inherit them")
    db.execute("UPDATE clusters SET configuration = %s WHERE name = 'a'", (json.dumps(GOOD),))
    mine = w.at(revision())

    # without a database
    wait_until(lambda: (state / "snapshot").exists(), 10, "a cached snapshot")
    w.stop()
    tap.is_((state / "snapshot").stat().st_mode & 0o777, 0o600, "the cache is 0600")
    pg.stop()
    w = Watcher(pg, state=state)
    w.expect("^published ")
    tap.is_(w.snapshot()[1], mine, "with the database away an instance starts from its cache")
    page = w.page()
    tap.is_((page["up"], page["cache"]), ("0", "1"), "and says so")
    pg.start()
    wait_until(lambda: w.page()["cache"] == "0", 20, "the database is used again")
    c = pg.connect()
    db = c.cursor()
    tap.is_(w.at(put("d", GOOD))["cluster", "d"][0], "v1", "when it comes the instance follows it")
    generations = [int(m[1]) for m in (re.match(r"published \d+ (\d+)", line) for line in w.lines) if m]
    tap.is_(generations, sorted(set(generations)), "generations only grow")
