#!/usr/bin/env python3
"""Contract §4.6: the seeded token and the default gateway."""
import hashlib
import re

import fp_tap as tap
from fp_follower import Follower
from fp_harness import Postgres

with tap.run():
    pg = Postgres()
    f = Follower(pg.url(), refuse=1)
    f.expect("^fatal the bootstrap token cannot be handed over")
    f.stop()
    tap.is_(pg.psql("SELECT count(*) FROM tokens"), "0", "a token that cannot be handed over is not made")

    for secret in ("short", "x" * 40, "ä" * 40, "a b" * 20, "ab" * 129):
        f = Follower(pg.url(), secret=secret)
        f.expect("^fatal BOOTSTRAP_TOKEN must be")
        f.stop()
    tap.is_(pg.psql("SELECT count(*) FROM tokens"), "0", "an unusable secret is a start error")

    f = Follower(pg.url(), gateway=1)
    token = f.expect(r"^token (.*)")[1]
    tap.like(token, r"^fp_pat_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.[A-Za-z0-9]{48}$", "the token's form (§4.1)")
    f.expect("^loaded ok full")
    tap.unlike(f.log(), re.escape(token.split(".")[1]), "its secret is not in the log")
    f.stop()
    c = pg.connect()
    db = c.cursor()
    db.execute("SELECT token_id::text, name, description, created_by, expires_at, status, scopes, secret_hash FROM tokens")
    (row,) = db.fetchall()
    tap.is_(row[:6], (token[7:43], "bootstrap-admin", "Initial bootstrap token", "system", None, "active"), "its row")
    tap.is_(row[6], "tokens:read tokens:write clusters:read clusters:write routes:read routes:write listeners:read listeners:write"
            " gateways:import admin:all".split(), "its scopes")
    tap.is_(bytes(row[7]), hashlib.sha256(token.split(".")[1].encode()).digest(), "only the digest of the secret is stored")
    db.execute("SELECT user_id, resource_name, metadata FROM audit_logs WHERE event_type = 'auth.token.seeded'")
    tap.is_(db.fetchall(), [("system", "bootstrap-admin", {"name": "bootstrap-admin"})], "exactly one auth.token.seeded")
    db.execute("SELECT 'c', name, source, version FROM clusters UNION ALL SELECT 'r', name, source, version FROM routes"
               " UNION ALL SELECT 'l', name, source, version FROM listeners ORDER BY 1")
    tap.is_(db.fetchall(), [("c", "default-gateway-cluster", "system", 1), ("l", "default-gateway-listener", "system", 1),
                            ("r", "default-gateway-routes", "system", 1)], "the default gateway's rows")
    db.execute("SELECT DISTINCT user_id FROM config_changes WHERE kind <> 'epoch'")
    tap.is_(db.fetchall(), [("system",)], "written by system")
    db.execute("SELECT revision FROM config_revision")
    tap.is_(db.fetchone()[0], 1, "all of it one revision")

    db.execute("UPDATE tokens SET status = 'revoked'; DELETE FROM routes")
    f = Follower(pg.url(), gateway=1)
    f.expect("^loaded ok full")
    f.stop()
    tap.ok(not any(line.startswith("token ") for line in f.lines), "any token of any status: no other is made")
    db.execute("SELECT count(*) FROM routes")
    tap.is_(db.fetchone()[0], 1, "a missing gateway row is made anew")

    pg.createdb("given")
    f = Follower(pg.url("given"), secret="Passw0rd_" * 4)
    tap.is_(f.expect(r"^token fp_pat_\S{36}\.(.*)")[1], "Passw0rd_" * 4, "BOOTSTRAP_TOKEN is the secret part")
    f.stop()
    pg.createdb("whole")
    f = Follower(pg.url("whole"), secret=token)
    tap.isnt(f.expect(r"^token fp_pat_\S{36}\.(.*)")[1], token.split(".")[1], "a whole token is ignored")
    tap.like(f.log(), "ignored", "with a warning")
    f.stop()
