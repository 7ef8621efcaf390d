#!/usr/bin/env python3
"""Contract §14: revision order is commit order, whoever writes; no write waits for another in a circle."""
import random
import threading

import fp_tap as tap
from fp_follower import Follower
from fp_harness import Postgres

with tap.run():
    pg = Postgres(conf={"track_commit_timestamp": "on", "deadlock_timeout": "100ms"})
    f = Follower(pg.url(), no_seed=1)
    f.expect("^loaded ok full 0")
    c = pg.connect()
    db = c.cursor()
    for i in range(20):
        db.execute("INSERT INTO clusters (name, service_name, configuration) VALUES (%s, '', '{}')", (f"c{i}",))
    start = 20
    errors = []

    def sql(seed):
        rand = random.Random(seed)
        own = pg.connect(autocommit=False)
        for n in range(40):
            try:
                cursor = own.cursor()
                cursor.execute("UPDATE clusters SET configuration = %s WHERE name = %s", (f'{{"n":{seed * 1000 + n}}}', f"c{rand.randrange(20)}"))
                if rand.random() < 0.2:
                    own.rollback()
                else:
                    own.commit()
            except Exception as e:
                errors.append(e)
                own.rollback()

    writers = [Follower(pg.url(), program="store_writer", queue=200) for _ in range(2)]
    threads = [threading.Thread(target=sql, args=(i,)) for i in range(5)]
    for t in threads:
        t.start()
    for i, w in enumerate(writers):
        w.process.stdin.write("".join(f"w{i}-{n}\n=c{(n * 7 + i) % 20}\n" for n in range(60)))
        w.process.stdin.flush()
    for t in threads:
        t.join()
    for w in writers:
        w.stop()
        tap.is_({line.split()[1] for line in w.lines}, {"done"}, "every write of a pool is done")
    tap.is_([str(e)[:200] for e in errors], [], "no direct write fails")
    db.execute("SELECT revision FROM config_revision")
    last = db.fetchone()[0]
    db.execute("SELECT revision, min(pg_xact_commit_timestamp(xmin)), count(DISTINCT commit_id) FROM config_changes WHERE revision > %s GROUP BY 1 ORDER BY 1", (start,))
    rows = db.fetchall()
    tap.is_([r[0] for r in rows], list(range(start + 1, last + 1)), f"{len(rows)} revisions without a gap")
    tap.is_([r[1] for r in rows], sorted(r[1] for r in rows), "in the order of the commits")
    tap.is_({r[2] for r in rows}, {1}, "one commit each")
    told = [int(line.split()[2]) for w in writers for line in w.lines]
    db.execute("SELECT revision FROM config_changes WHERE user_id IS NULL AND kind = 'cluster'")
    tap.is_(sorted(told), sorted(r[0] for r in db.fetchall()), "each writer was told the revision of its commit")
    f.caught_up(last)
    db.execute("SELECT name, version FROM clusters")
    tap.is_({k[1]: v.split()[0] for k, v in f.rows().items()}, {n: f"version={v}" for n, v in db.fetchall()}, "a follower has it all")
    tap.is_(pg.log.read_text().count("deadlock detected"), 0, "no deadlock")
