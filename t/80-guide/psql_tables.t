#!/usr/bin/env python3
"""§16 "psql … -c "\\dt"", "CREATE INDEX idx_clusters_name … and the four others", "pg_stat_activity, pg_stat_statements queries"."""
import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
from fp_harness import Postgres, wait_until

guide.need("psql")
TABLES = """clusters routes listeners endpoints secrets resources resource_refs tokens audit_logs api_definitions api_routes config_revision
 config_changes xds_nacks schema_migrations""".split()
INDICES = ("CREATE INDEX idx_clusters_name ON clusters(name)", "CREATE INDEX idx_routes_name ON routes(name)",
           "CREATE INDEX idx_listeners_name ON listeners(name)", "CREATE INDEX idx_tokens_token_id ON tokens(token_id)",
           "CREATE INDEX idx_audit_logs_created_at ON audit_logs(created_at)")

with tap.run():
    pg = Postgres(conf={"shared_preload_libraries": "pg_stat_statements"})
    fp = guide.Instance(pg)

    def psql(sql):
        return [line.split("|") for line in fp.sh('psql "$DATABASE_URL" -At -F "|" -c "$SQL"', SQL=sql).splitlines()]

    have = {row[1] for row in psql(r"\dt")}
    tap.is_([t for t in TABLES if t not in have], [], r"\dt: the tables of section 14 under these names")
    for sql in INDICES:
        tap.is_(psql(sql), [["CREATE INDEX"]], sql)

    for i in range(5):
        fp.api("POST", "/clusters", fleet.cluster(f"c{i}", 8000 + i))
        fp.api("GET", "/audit-logs?limit=1")
    wait_until(lambda: psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flowplane-listen'") == [["1"]], 10, "LISTEN")
    names = {row[0] for row in psql("SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name LIKE 'flowplane%'")}
    tap.is_(names, {"flowplane", "flowplane-listen"}, "pg_stat_activity: application_name")
    active = psql("SELECT pid, usename, application_name, client_addr, state, query FROM pg_stat_activity WHERE datname = 'flowplane'")
    tap.ok(len(active) >= 3, "pg_stat_activity: our connections are there", active)
    tap.is_(psql("SELECT query FROM pg_stat_activity WHERE application_name LIKE 'flowplane%' AND state = 'idle in transaction'"
                 " AND now() - state_change > interval '1 s'"), [], "none is idle in transaction for more than a second")
    psql("CREATE EXTENSION pg_stat_statements")  # ours needs none; this query does
    for i in range(5):
        fp.api("PUT", f"/clusters/c{i}", fleet.cluster(f"c{i}", 9000 + i))
    slow = psql("SELECT calls, mean_exec_time > 0, replace(query, E'\\n', ' ') FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
                " WHERE datname = 'flowplane' ORDER BY mean_exec_time DESC LIMIT 100")
    tap.ok(any(int(r[0]) == 5 and r[1] == "t" and "flowplane_" in r[2] and "$1" in r[2] for r in slow),
           "pg_stat_statements: five writes are one normalised statement", slow)
    tap.is_([r for r in slow if "c0" in r[2] or "127.0.0.1" in r[2]], [], "without their values")
    fp.stop()
    pg.createdb("named")
    fp = guide.Instance(pg, DATABASE_URL=pg.url("named", application_name="shop-cp"))
    tap.is_({row[0] for row in psql("SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = 'named' AND application_name <> 'psql'"
                                " AND backend_type = 'client backend'")},
            {"shop-cp"}, "an application_name in the URL stays")
