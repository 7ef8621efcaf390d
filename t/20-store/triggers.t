#!/usr/bin/env python3
"""Contract §14: what direct SQL sets off.  Revision, version, change rows, audit rows, encoded bytes, NOTIFY."""
import select

import fp_tap as tap
from fp_follower import Follower
from fp_harness import Postgres


def one(sql, *args):
    db.execute(sql, args)
    return db.fetchone()


def revision():
    return one("SELECT revision FROM config_revision")[0]


def steps(sql, *args):
    before = revision()
    db.execute(sql, args)
    return revision() - before


def notes(connection, until="last"):
    """Payloads that came, up to a marker sent now."""
    db.execute("SELECT pg_notify('flowplane_config', %s)", (until,))
    got = []
    while until not in got:
        select.select([connection], [], [], 10)
        connection.poll()
        got += [n.payload for n in connection.notifies]
        connection.notifies.clear()
    return got[:-1]


with tap.run():
    pg = Postgres()
    f = Follower(pg.url(), no_seed=1)
    f.expect("^loaded ok full 0")
    f.stop()
    c = pg.connect()
    db = c.cursor()
    ear = pg.connect()
    ear.cursor().execute("LISTEN flowplane_config")

    new = "INSERT INTO clusters (name, service_name, configuration, encoded, encoder_version) VALUES (%s, 's', '{}', '\\x01', 1)"
    tap.is_(steps(new, "a"), 1, "an insert is one revision")
    tap.is_(notes(ear), [str(revision())], "one notification, its payload the revision alone")
    tap.is_(steps("BEGIN; INSERT INTO clusters (name, service_name, configuration) SELECT 'n' || i, '', '{}'"
                  " FROM generate_series(1, 5) i; UPDATE clusters SET team = 'x' WHERE name = 'n1'; COMMIT"), 1,
            "many changes in one transaction are one revision")
    tap.is_(len(notes(ear)), 1, "and one notification")
    tap.is_(one("SELECT count(*), count(DISTINCT commit_id) FROM config_changes WHERE revision = %s", revision()), (6, 1),
            "each has its change row, all of one commit")
    tap.is_(steps("BEGIN; UPDATE clusters SET team = 'y' WHERE name = 'n1'; ROLLBACK"), 0, "a rollback is none")
    tap.is_(steps("BEGIN; SAVEPOINT s; UPDATE clusters SET team = 'y' WHERE name = 'n1'; ROLLBACK TO s;"
                  " UPDATE clusters SET team = 'z' WHERE name = 'n2'; COMMIT"), 1, "a savepoint rolled back does not confuse it")
    tap.is_(one("SELECT count(*) FROM config_changes WHERE revision = %s", revision())[0], 1, "one change row is left")

    # version, encoded
    db.execute("SET flowplane.revision = '1 99'")
    tap.is_(steps("UPDATE clusters SET configuration = '{\"a\":1}' WHERE name = 'a'"), 1,
            "a setting left by somebody is not taken for this transaction's")
    db.execute("RESET flowplane.revision")
    tap.is_(one("SELECT version, encoded, encoder_version, content_hash FROM clusters WHERE name = 'a'"), (2, None, None, None),
            "another configuration with the old bytes: version 2, bytes gone")
    tap.is_(steps("UPDATE clusters SET configuration = '{\"a\":1}', team = team WHERE name = 'a'"), 0, "the same content is no change")
    tap.is_(steps("UPDATE clusters SET encoded = '\\x02', encoder_version = 1, content_hash = sha256('x') WHERE name = 'a'"), 0,
            "bytes alone are no change")
    tap.is_(one("SELECT version, encoded::text FROM clusters WHERE name = 'a'"), (2, "\\x02"), "but stored")
    db.execute("UPDATE clusters SET configuration = '{}', encoded = '\\x03' WHERE name = 'a'")
    tap.is_(one("SELECT version, encoded::text FROM clusters WHERE name = 'a'"), (3, "\\x03"), "new bytes with the new configuration stay")
    db.execute("UPDATE clusters SET team = 'q', version = 77 WHERE name = 'a'")
    tap.is_(one("SELECT version, encoded::text FROM clusters WHERE name = 'a'"), (4, "\\x03"), "a team keeps the bytes; the version is ours")
    db.execute("UPDATE clusters SET service_name = 'other' WHERE name = 'a'")
    tap.is_(one("SELECT encoded FROM clusters WHERE name = 'a'")[0], None, "a service name is part of the bytes")

    # a rename, deletion, TRUNCATE
    db.execute("INSERT INTO resource_refs VALUES ('cluster', 'a', 'secret', 's')")
    tap.is_(steps("UPDATE clusters SET name = 'b' WHERE name = 'a'"), 1, "a rename is one revision")
    db.execute("SELECT action, name FROM config_changes WHERE revision = %s ORDER BY id", (revision(),))
    tap.is_(db.fetchall(), [("delete", "a"), ("create", "b")], "a row gone and a row come")
    tap.is_(one("SELECT count(*) FROM resource_refs")[0], 0, "its references go with the name")
    tap.is_(steps("DELETE FROM clusters WHERE name = 'b'"), 1, "a deletion")
    tap.is_(one("SELECT action, old_row ->> 'name', new_row, old_row ? 'encoded' FROM config_changes WHERE revision = %s",
                revision()), ("delete", "b", None, False), "its tombstone, without bytes")
    tap.is_(steps("TRUNCATE clusters CASCADE"), 1, "TRUNCATE counts as change")
    tap.is_(one("SELECT count(*) FROM config_changes WHERE revision = %s AND action = 'delete'", revision())[0], 5,
            "a tombstone for each row")

    # audit
    one_audit = "SELECT event_type, resource_type, resource_name, old_configuration, new_configuration, user_id FROM audit_logs WHERE revision = %s"
    db.execute("INSERT INTO secrets (name, type, configuration) VALUES ('s', 'tls', '{\"key\": {\"sealed\": \"v1:k:AAAA\"}, \"chain\": \"pem\"}')")
    tap.is_(one(one_audit, revision()), ("resource.created", "secret", "s", None, {"key": "***", "chain": "pem"}, "db:postgres"),
            "direct SQL is audited as db:<role>, sealed parts are masked")
    token = "INSERT INTO tokens (token_id, name, secret_hash, scopes, created_by) VALUES (gen_random_uuid(), 't', sha256('a'), '{admin:all}', 'system')"
    tap.is_(steps(token), 1, "tokens count")
    tap.is_(one("SELECT event_type, resource_type, new_configuration, metadata FROM audit_logs WHERE revision = %s", revision()),
            ("auth.token.created", "auth.token", None, {"scopes": ["admin:all"], "created_by": "system"}), "auth.token.created")
    tap.is_(one("SELECT old_row, new_row FROM config_changes WHERE revision = %s", revision()), (None, None), "change rows hold nothing of tokens")
    tap.is_(steps("UPDATE tokens SET last_used_at = now()"), 0, "last_used_at is no change")
    for event, assignment in (("rotated", "secret_hash = sha256('b')"), ("updated", "name = 'u'"), ("expired", "status = 'expired'"),
                              ("revoked", "status = 'revoked'")):
        db.execute(f"UPDATE tokens SET {assignment}")
        tap.is_(one("SELECT event_type FROM audit_logs WHERE revision = %s", revision())[0], f"auth.token.{event}", f"auth.token.{event}")
    tap.is_(one("SELECT version FROM tokens")[0], 5, "each a version")

    # definitions, other kinds
    tap.is_(steps("BEGIN; INSERT INTO api_definitions (id, team, domain) VALUES ('11111111-1111-1111-1111-111111111111', 't', 'd.test');"
                  " INSERT INTO api_routes (id, api_definition_id, match_type, match_value, upstream_targets)"
                  " VALUES (gen_random_uuid(), '11111111-1111-1111-1111-111111111111', 'prefix', '/', '[]'); COMMIT"), 1, "API definitions count")
    tap.is_(steps("UPDATE api_routes SET deployment_note = 'x'"), 1, "their routes too")
    tap.is_(steps("UPDATE api_routes SET deployment_note = 'x'"), 0, "unless nothing changed")
    tap.is_(steps("DELETE FROM api_definitions"), 1, "a cascade is one")
    db.execute("INSERT INTO resources (name, type, configuration) VALUES ('r', 'scoped-routes', '{}')")
    tap.is_(one("SELECT kind FROM config_changes WHERE revision = %s", revision())[0], "scoped-route", "the kind follows from the type")
    for kind, table, extra in (("route", "routes", ""), ("listener", "listeners", ", address"), ("endpoint", "endpoints", "")):
        db.execute(f"INSERT INTO {table} (name, configuration{extra}) VALUES ('x', '{{}}'{', %s' if extra else ''})", ("::",) if extra else None)
        tap.is_(one("SELECT kind, action FROM config_changes WHERE revision = %s", revision()), (kind, "create"), kind)

    # another search path: pg_restore, psql users
    db.execute("SET search_path = ''")
    db.execute("INSERT INTO public.clusters (name, service_name, configuration) VALUES ('p', '', '{}')")
    db.execute("RESET search_path")
    tap.is_(one("SELECT name FROM config_changes WHERE revision = %s", revision())[0], "p", "with an empty search path")

    # names of the operations guide
    for statement in ("clusters_name ON clusters(name)", "routes_name ON routes(name)", "listeners_name ON listeners(name)",
                      "tokens_token_id ON tokens(token_id)", "audit_logs_created_at ON audit_logs(created_at)"):
        db.execute(f"CREATE INDEX idx_{statement}")
    tap.ok(True, "the five indices of the guide can be made")
    tap.is_(one("SELECT count(*) FROM audit_log WHERE action LIKE 'resource.%%'")[0] > 5, True, "view audit_log")
    tap.is_(one("SELECT name FROM personal_access_tokens")[0], "u", "view personal_access_tokens")
    tap.is_(one("SELECT scope FROM token_scopes")[0], "admin:all", "view token_scopes")
    tap.is_(one("SELECT count(*) FROM pg_extension WHERE extname <> 'plpgsql'")[0], 0, "no extension")
