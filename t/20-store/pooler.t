#!/usr/bin/env python3
"""PgBouncer in transaction mode (contract §14, §16): everything works, changes within 2 s, one warning."""
import time

import fp_tap as tap
import fp_util as util
from fp_follower import Follower
from fp_harness import Postgres, wait_until
from fp_pgbouncer import Bouncer


with tap.run():
    pg = Postgres()
    bouncer = Bouncer(pg)
    five = [Follower(bouncer.url()) for _ in range(3)]
    for f in five:
        f.expect("^state up deaf")
        f.expect("^loaded ok full")
    tap.is_(sum(line.startswith("token ") for f in five for line in f.lines), 1, "migrations and the seed through a pooler, three at once")
    f = five[0]
    tap.is_(f.log().count("a pooler stands between"), 1, "one warning")
    for other in five[1:]:
        other.stop()

    c = pg.connect()
    start = time.monotonic()
    c.cursor().execute("INSERT INTO clusters (name, service_name, configuration) VALUES ('a', '', '{}')")
    f.expect("^row cluster a there")
    tap.diag(f"a change is seen after {time.monotonic() - start:.2f} s, by the poll")
    pg.cut("application_name LIKE 'flowplane%'")
    c.cursor().execute("INSERT INTO clusters (name, service_name, configuration) VALUES ('b', '', '{}')")
    f.expect("^row cluster b there")
    tap.is_(f.log().count("a pooler stands between"), 1, "cut and back: still one warning")

    w = Follower(bouncer.url(), program="store_writer", pool=8, queue=300)
    w.process.stdin.write("".join(f"w{i}\n" for i in range(200)))
    w.process.stdin.flush()
    wait_until(lambda: len(w.lines) == 200, 30, "200 answers")
    tap.is_({line.split()[1] for line in w.lines}, {"done"}, "200 writes by 8 connections over 3")
    w.stop()
    c.cursor().execute("SELECT 1")
    db = c.cursor()
    db.execute("SELECT count(*), count(DISTINCT revision) FROM config_changes WHERE name LIKE 'w%'")
    tap.is_(db.fetchone(), (200, 200), "each its revision")
    db.execute("SELECT DISTINCT user_id FROM config_changes WHERE name LIKE 'w%'")
    tap.is_(db.fetchall(), [(None,)], "the writer's setting does not leak into other transactions")
    db.execute("SELECT user_id FROM config_changes WHERE name = 'b'")
    tap.is_(db.fetchall(), [("db:postgres",)], "nor does another's")
    f.stop()

    direct = Follower(bouncer.url(), listen=pg.url())
    direct.expect("^state up listening")
    direct.expect("^loaded ok full")
    c.cursor().execute("INSERT INTO clusters (name, service_name, configuration) VALUES ('d', '', '{}')")
    direct.expect("^row cluster d there")
    tap.unlike(direct.log(), "pooler", "with listen_url: at once, no warning")
    direct.stop()
