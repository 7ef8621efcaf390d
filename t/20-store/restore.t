#!/usr/bin/env python3
"""Contract §16: pg_dump as the service's role, restored into an empty database by psql, then followed."""
import subprocess

import fp_tap as tap
from fp_follower import Follower
from fp_harness import Postgres, tmp

with tap.run():
    pg = Postgres()
    pg.psql("CREATE ROLE service LOGIN; ALTER DATABASE flowplane OWNER TO service", "postgres")
    url = pg.url().replace("postgres@", "service@")
    f = Follower(url, gateway=1)
    f.expect("^loaded ok full")
    tap.ok(True, "an ordinary role that owns its database is enough")
    c = pg.connect()
    db = c.cursor()
    for i in range(30):
        db.execute("INSERT INTO clusters (name, service_name, configuration) VALUES (%s, '', '{}')", (f"c{i}",))
    db.execute("DELETE FROM clusters WHERE name = 'c3'")
    db.execute("SELECT revision, epoch FROM config_revision")
    revision, epoch = db.fetchone()
    f.caught_up(revision)
    before = f.rows()

    dump = tmp() / "dump.sql"
    dump.write_bytes(subprocess.run([pg.bin / "pg_dump", url], check=True, capture_output=True).stdout)
    tap.unlike(dump.read_text(), "CREATE EXTENSION", "a plain dump without extensions")
    restored = pg.createdb("restored")
    pg.psql("ALTER DATABASE restored OWNER TO service", "postgres")
    pg.psql_file(dump, "restored")
    g = Follower(restored.replace("postgres@", "service@"), gateway=1)
    g.expect(f"^loaded ok full {revision}")
    tap.is_(g.rows(), before, "restored: the same rows at the same versions")
    tap.ok(not any(line.startswith("token ") for line in g.lines), "no second bootstrap token")
    counts = "SELECT (SELECT count(*) FROM audit_logs), (SELECT count(*) FROM config_changes), (SELECT count(*) FROM tokens)"
    tap.is_(pg.psql(counts, "restored"), pg.psql(counts), "audit, history and tokens too, each row once")
    pg.psql("INSERT INTO clusters (name, service_name, configuration) VALUES ('new', '', '{}')", "restored")
    g.expect(f"^loaded ok changes {revision + 1}")
    tap.ok(True, "its triggers work")

    # a single table restored by hand, triggers on: rows come as changes
    data = subprocess.run([pg.bin / "pg_dump", "--data-only", "-t", "clusters", url], check=True, capture_output=True).stdout
    (tmp() / "data.sql").write_bytes(data)
    pg.psql("DELETE FROM clusters", "restored")
    g.expect("^row cluster c1 deleted")
    pg.psql_file(tmp() / "data.sql", "restored")
    g.expect("^row cluster c1 there")
    tap.ok(True, "a table restored under a running instance arrives")
