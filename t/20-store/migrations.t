#!/usr/bin/env python3
"""Migrations: five at once, checksums, a newer schema, another schema than public, auto_migrate off."""
import pathlib
import shutil

import fp_tap as tap
from fp_follower import Follower
from fp_harness import Postgres, TOP, tmp

with tap.run():
    pg = Postgres()
    files = sorted(pathlib.Path(TOP, "sql").glob("*.sql"))

    five = [Follower(pg.url()) for _ in range(5)]
    for f in five:
        f.expect("^loaded ok full")
    tap.ok(True, "five instances migrate one empty database at once")
    applied = sum(f.log().count("applied migration") for f in five)
    tap.is_(applied, len(files), "each migration is applied once")
    tokens = [line for f in five for line in f.lines if line.startswith("token ")]
    tap.is_(int(pg.psql("SELECT count(*) FROM tokens")), 1, "§4.6: exactly one token")
    tap.is_(len(tokens), 1, "told by exactly one of them")
    tap.is_(pg.psql("SELECT event_type FROM audit_logs ORDER BY 1"), "auth.token.created\nauth.token.seeded", "and its audit events")
    for f in five:
        f.stop()

    off = pg.createdb("off")
    f = Follower(off, no_migrate=1)
    f.expect("^fatal .*auto_migrate is off")
    tap.is_(f.stop(), 0, "without auto_migrate an empty database is refused")
    tap.is_(pg.psql("SELECT count(*) FROM pg_class WHERE relname = 'schema_migrations'", "off"), "0", "and left alone")

    f = Follower(pg.url(), no_migrate=1)
    f.expect("^loaded ok")
    f.stop()
    tap.ok(True, "a current schema needs no migration")

    pg.psql("INSERT INTO schema_migrations (version, name, checksum) VALUES (999, 'later', '')")
    f = Follower(pg.url())
    f.expect("^fatal the database schema is at version 999, this program knows")
    f.stop()
    tap.ok(True, "a newer schema is refused")
    pg.psql("DELETE FROM schema_migrations WHERE version = 999")
    pg.psql("UPDATE schema_migrations SET checksum = sha256('x') WHERE version = 1")
    f = Follower(pg.url())
    f.expect("^fatal migration 1 of the database is not the one")
    f.stop()
    tap.ok(True, "another checksum is refused")

    sql = tmp() / "sql"
    shutil.copytree(TOP / "sql", sql)
    (sql / "9000_extra.sql").write_text("CREATE TABLE extra (x int);\nSELECT nonsense;\n")
    (sql / "README").write_text("not a migration\n")
    own = pg.createdb("own")
    f = Follower(own, sql=sql)
    f.expect("^fatal extra: column \"nonsense\" does not exist")
    f.stop()
    tap.is_(pg.psql("SELECT max(version) FROM schema_migrations", "own"), str(int(files[-1].name[:4])), "a migration that fails is undone as a whole")
    tap.is_(pg.psql("SELECT to_regclass('extra') IS NULL", "own"), "t", "its first statement too")
    (sql / "9000_extra.sql").write_text("CREATE TABLE extra (x int);\n")
    f = Follower(own, sql=sql)
    f.expect("^loaded ok full")
    f.stop()
    tap.is_(pg.psql("SELECT to_regclass('extra') IS NOT NULL", "own"), "t", "the repaired one is applied from its directory")

    pg.createdb("elsewhere")
    pg.psql("CREATE SCHEMA fleet", "elsewhere")
    pg.psql("ALTER DATABASE elsewhere SET search_path = fleet, public", "elsewhere")
    f = Follower(pg.url("elsewhere"))
    f.expect("^loaded ok full")
    tap.is_(pg.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "elsewhere"), "0", "the first schema of the search path is used")
    pg.psql("INSERT INTO clusters (name, service_name, configuration) VALUES ('a', '', '{}')", "elsewhere")
    f.expect("^row cluster a there")
    tap.ok(True, "and its triggers work there")
    f.stop()
