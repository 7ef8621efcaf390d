#!/usr/bin/env python3
"""Every statement of the store, executed and prepared on a real server (t/lib/store_live.c)."""
import os
import subprocess

import fp_tap as tap
from fp_follower import Follower
from fp_harness import OBJS, Postgres

with tap.run():
    pg = Postgres(conf={"log_min_error_statement": "panic"})
    f = Follower(pg.url())
    f.expect("^loaded ok full")
    f.stop()
    r = subprocess.run([OBJS / "t/lib/store_live"], env={**os.environ, "FP_TEST_DATABASE": pg.url()},
                       capture_output=True, text=True)
    for line in r.stdout.splitlines():
        if line.startswith(("ok", "not ok")):
            tap.ok(line.startswith("ok"), line.split(" - ", 1)[1])
    tap.is_(r.returncode, 0, "the program agrees")
    tap.diag(r.stderr[-2000:])

    c = pg.connect()
    db = c.cursor()
    db.execute("SELECT revision, count(DISTINCT commit_id) FROM config_changes GROUP BY 1 HAVING count(DISTINCT commit_id) > 1")
    tap.is_(db.fetchall(), [], "one commit a revision")
    db.execute("SELECT DISTINCT user_id, client_ip FROM audit_logs WHERE resource_name LIKE 'many-%'")
    tap.is_(db.fetchall(), [("fp_pat_x", "192.0.2.1")], "audit rows name the writer")
    db.execute("SELECT DISTINCT user_id FROM config_changes WHERE name LIKE 'many-%'")
    tap.is_(db.fetchall(), [("fp_pat_x",)], "so do change rows")
    db.execute("SELECT count(*) FROM resource_refs")
    references = db.fetchone()[0]
    db.execute("SELECT count(*) FROM routes")
    tap.is_(references, db.fetchone()[0], "references went with their rows: each route left has its one")
    db.execute("SELECT * FROM resource_refs WHERE target_kind = 'cluster' AND target_name NOT IN (SELECT name FROM clusters)")
    tap.is_(db.fetchall(), [], "no reference dangles")
