#!/usr/bin/env python3
"""Contract §14, follower: NOTIFY, lost NOTIFY, cut connections, restored dumps, a stopped server."""
import os
import re
import signal
import threading

import fp_tap as tap
from fp_follower import Follower
from fp_harness import Postgres, wait_until

INSERT = "INSERT INTO clusters (name, service_name, configuration) VALUES (%s, '', '{}')"


def revision():
    db.execute("SELECT revision FROM config_revision")
    return db.fetchone()[0]


def names(follower):
    return sorted(name for kind, name in follower.rows() if kind == "cluster")


def clusters():
    db.execute("SELECT name FROM clusters ORDER BY name COLLATE \"C\"")
    return [r[0] for r in db.fetchall()]


with tap.run():
    pg = Postgres()
    f = Follower(pg.url(), poll_ms=3600000, no_seed=1)
    f.expect("^state up listening")
    f.expect("^loaded ok full 0")
    c = pg.connect()
    db = c.cursor()

    db.execute(INSERT, ("a",))
    f.expect("^loaded ok changes 1")
    tap.ok(True, "NOTIFY: a change is loaded long before the poll")
    tap.is_(f.rows(), {("cluster", "a"): "version=1 encoded=0 refs=0"}, "the row")
    db.execute("INSERT INTO resource_refs VALUES ('cluster', 'a', 'secret', 'x y'), ('cluster', 'a', 'route', 'r');"
               "UPDATE clusters SET team = 't', encoded = '\\x0102' WHERE name = 'a'")
    f.caught_up(revision())
    tap.is_(f.rows(), {("cluster", "a"): "version=2 encoded=0 refs=2"}, "bytes that are not what their hash says count as none")
    db.execute("UPDATE clusters SET team = 'u', content_hash = sha256(encoded) WHERE name = 'a'")
    f.caught_up(revision())
    tap.is_(f.rows(), {("cluster", "a"): "version=3 encoded=2 refs=2"}, "with its bytes and references")
    db.execute("UPDATE clusters SET name = 'b'")
    f.caught_up(revision())
    tap.is_(names(f), ["b"], "a rename")
    db.execute("TRUNCATE clusters CASCADE")
    f.caught_up(revision())
    tap.is_(names(f), [], "TRUNCATE")
    db.execute("INSERT INTO tokens (token_id, name, secret_hash, scopes, created_by) VALUES"
               " ('11111111-1111-4111-8111-111111111111', 't', sha256('a'), '{a:read,b:read}', 'x')")
    f.caught_up(revision())
    tap.is_(f.rows()["token", "11111111-1111-4111-8111-111111111111"], "version=1 encoded=0 refs=0 name=t scopes=13 hash=32", "a token by its id")
    db.execute("DELETE FROM tokens")
    f.caught_up(revision())
    tap.is_(f.rows(), {}, "and its deletion")
    for kind, sql in (("secret", "INSERT INTO secrets (name, type, configuration) VALUES ('k', 'tls', '{}')"),
                      ("scoped-route", "INSERT INTO resources (name, type, configuration) VALUES ('k', 'scoped-routes', '{}')"),
                      ("virtual-host", "INSERT INTO resources (name, type, configuration) VALUES ('k', 'virtual-hosts', '{}')"),
                      ("runtime", "INSERT INTO resources (name, type, configuration) VALUES ('k', 'runtimes', '{}')"),
                      ("extension-config", "INSERT INTO resources (name, type, configuration) VALUES ('k', 'extension-configs', '{}')"),
                      ("endpoint", "INSERT INTO endpoints (name, configuration) VALUES ('k', '{}')"),
                      ("route", "INSERT INTO routes (name, configuration) VALUES ('k', '{}')"),
                      ("listener", "INSERT INTO listeners (name, address, configuration) VALUES ('k', '::', '{}')")):
        db.execute(sql)
        f.expect(f"^row {kind} k there")
        tap.ok(True, f"{kind} rows are followed")
    db.execute("DELETE FROM resources WHERE type = 'runtimes'")
    f.caught_up(revision())
    tap.ok(("runtime", "k") not in f.rows() and ("virtual-host", "k") in f.rows(), "kinds of one table are told apart")

    f.tell("rest")
    wait_until(lambda: pg.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flowplane-listen'"
                               " AND query LIKE 'UNLISTEN%' AND state = 'idle'") == "1", what="the follower no longer listens")
    seen = len(f.lines)
    for name in ("r1", "r2", "r3"):
        db.execute(INSERT, (name,))
    f.tell("load")
    f.caught_up(revision())
    tap.is_([line for line in f.lines[seen:] if line.startswith("behind")], [], "a follower that rests is told nothing")
    tap.ok({"r1", "r2", "r3"} <= set(names(f)), "its next load finds all of it")
    db.execute("DELETE FROM clusters WHERE name LIKE 'r_'")
    f.expect(f"^behind {revision()}")
    f.caught_up(revision())
    tap.ok(True, "and it listens again")

    # the LISTEN connection is cut while 100 commits happen
    def commits():
        other = pg.connect()
        for i in range(100):
            other.cursor().execute(INSERT, (f"n{i:03}",))
            other.cursor().execute("UPDATE clusters SET team = 'x' WHERE name = %s", (f"n{i:03}",))
            if i % 3 == 0:
                other.cursor().execute("DELETE FROM clusters WHERE name = %s", (f"n{i:03}",))
    writer = threading.Thread(target=commits)
    writer.start()
    for _ in range(4):
        pg.cut("application_name = 'flowplane-listen'")
        f.expect("^state down")
        f.expect("^state up")
    writer.join()
    last = revision()
    wait_until(lambda: names(f) == clusters(), 15, "the follower has what the database has")
    tap.is_(names(f), clusters(), f"cut four times in 100 commits: nothing is missed (revision {last})")
    tap.is_(len(clusters()), 66, "66 rows are left")

    # a NOTIFY that never came
    g = Follower(pg.url(), poll_ms=200, no_seed=1)
    g.expect("^loaded ok full")
    before = revision()
    db.execute("BEGIN; ALTER TABLE clusters DISABLE TRIGGER USER; INSERT INTO clusters (name, service_name, configuration) VALUES ('silent', '', '{}');"
               "UPDATE config_revision SET revision = revision + 1, commit_id = gen_random_uuid();"
               "INSERT INTO config_changes (revision, epoch, commit_id, kind, resource_id, name, action)"
               " SELECT revision, epoch, commit_id, 'cluster', '', 'silent', 'create' FROM config_revision;"
               "ALTER TABLE clusters ENABLE TRIGGER USER; COMMIT")
    g.expect(f"^loaded ok changes {before + 1}")
    tap.contains(names(g), "silent", "a lost NOTIFY: the poll finds it")
    g.stop()

    # a connection that hangs
    g = Follower(pg.url(application_name="hangs"), poll_ms=200, no_seed=1, statement_ms=1000)
    g.expect("^loaded ok full")
    mine = wait_until(lambda: pg.psql("SELECT max(pid) FROM pg_stat_activity WHERE application_name = 'hangs'"), what="its connection")
    os.kill(int(mine), signal.SIGSTOP)
    db.execute(INSERT, ("hung",))
    g.expect("^state down")
    g.caught_up(revision())
    os.kill(int(mine), signal.SIGCONT)
    tap.contains(names(g), "hung", "a connection that hangs is given up")
    g.stop()

    # the server goes and comes
    pg.stop()
    f.expect("^state down")
    pg.start()
    c = pg.connect()
    db = c.cursor()
    db.execute(INSERT, ("after",))
    wait_until(lambda: "after" in names(f), 20, "the row written after the restart")
    tap.ok(True, "a restarted server is found again")
    tap.is_([line for line in f.lines if re.match("loaded ok full", line)], ["loaded ok full 0"], "without loading all again")

    # a restored dump: the revision goes back, other commits take its place
    db.execute("SELECT epoch, revision FROM config_revision")
    epoch, seen = db.fetchone()
    db.execute("BEGIN; ALTER TABLE clusters DISABLE TRIGGER USER; DELETE FROM clusters WHERE name = 'after'; ALTER TABLE clusters ENABLE TRIGGER USER;"
               f"DELETE FROM config_changes WHERE revision > {seen - 10};"
               f"UPDATE config_revision SET revision = {seen - 10}, commit_id = (SELECT commit_id FROM config_changes WHERE revision = {seen - 10} LIMIT 1); COMMIT")
    db.execute(INSERT, ("other",))
    h = Follower(pg.url(), poll_ms=100, no_seed=1)  # has seen nothing: takes what there is
    h.expect("^loaded ok full")
    pg.cut("application_name = 'flowplane-listen'")  # f polls when it is back
    f.expect("^loaded ok full")
    tap.is_(names(f), clusters(), "a restored dump is loaded in full")
    db.execute("SELECT epoch, revision FROM config_revision")
    now = db.fetchone()
    tap.ok(now[0] != epoch and now[1] == seen + 1, "a new epoch, its revision beyond all seen", f"{now} after {epoch, seen}")
    wait_until(lambda: h.loaded() == now[1], 15, "the other follower is there too")
    db.execute(INSERT, ("later",))
    for x in (f, h):
        x.expect(f"^loaded ok changes {now[1] + 1}")
    tap.is_(names(h), clusters(), "followers that were not ahead go on with changes")

    # history that was pruned: no new epoch
    i = Follower(pg.url(), poll_ms=100, no_seed=1)
    i.expect("^loaded ok full")
    db.execute("SELECT epoch FROM config_revision")
    epoch = db.fetchone()
    i.process.send_signal(19)  # stopped: it cannot follow meanwhile
    db.execute("INSERT INTO clusters (name, service_name, configuration) VALUES ('p1', '', '{}')")
    db.execute("INSERT INTO clusters (name, service_name, configuration) VALUES ('p2', '', '{}')")
    db.execute("DELETE FROM config_changes WHERE revision < (SELECT revision FROM config_revision)")
    i.process.send_signal(18)
    i.expect("^loaded ok full")
    tap.is_(names(i), clusters(), "pruned history: everything is loaded")
    db.execute("SELECT epoch FROM config_revision")
    tap.is_(db.fetchone(), epoch, "the epoch stays")
