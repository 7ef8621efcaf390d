#!/usr/bin/env python3
"""Contract §4.6: the seeded token and the default gateway."""
import hashlib
import re
import socket
import threading

import fp_tap as tap
from fp_follower import Follower
from fp_harness import Postgres


class Cutter:
    """Passes a connection on to the server; of the first COMMIT the answer is lost, and the connection with it."""

    def __init__(self, pg):
        self.pg, self.cut = pg, False
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database):
        return self.pg.url(database).replace(f":{self.pg.port}/", f":{self.server.getsockname()[1]}/")

    def _accept(self):
        while True:
            here, _ = self.server.accept()
            there = socket.create_connection(("127.0.0.1", self.pg.port))
            state = {"mute": False}
            threading.Thread(target=self._pass, args=(here, there, state, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(there, here, state, False), daemon=True).start()

    def _pass(self, a, b, state, up):
        try:
            while data := a.recv(65536):
                if up and b"COMMIT" in data and not self.cut:
                    self.cut = state["mute"] = True
                if not up and state["mute"]:
                    break  # it has answered, thus committed
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


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

    # a commit that fails: the database is as before, and so is who waits for the token
    db = pg.connect().cursor()
    db.execute("CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid());"
               " PERFORM pg_sleep(10); RETURN NULL; END $$;"
               "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON tokens DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()")
    f = Follower(pg.url(), gateway=1)
    f.expect("^prepared")
    f.expect("^no token")
    f.expect("^prepared")
    tap.ok(not any(line.startswith("token ") for line in f.lines), "the connection dies in the commit: no token is announced")
    db.execute("DROP TRIGGER die ON tokens")
    token = f.expect(r"^token (.*)")[1]
    tap.like(token, r"^fp_pat_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.[A-Za-z0-9]{48}$", "the token's form (§4.1)")
    f.expect("^loaded ok full")
    tap.is_(sum(line.startswith("token ") for line in f.lines), 1, "the next attempt makes it, once")
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

    # a commit whose answer is lost: it is looked for, and announced all the same
    pg.createdb("lost")
    cutter = Cutter(pg)
    f = Follower(pg.url("lost"), no_seed=1)
    f.expect("^loaded ok full")
    f.stop()
    f = Follower(cutter.url("lost"))
    token = f.expect(r"^token (.*)")[1]
    f.expect("^loaded ok full")
    f.stop()
    tap.ok(cutter.cut, "the answer of a COMMIT was lost")
    tap.is_(pg.psql("SELECT token_id FROM tokens", "lost"), token[7:43], "the token is announced all the same, and is the only one")
    tap.is_(sum(line.startswith(("token ", "no token")) for line in f.lines), 1, "once")

    pg.createdb("given")
    f = Follower(pg.url("given"), secret="Passw0rd_" * 4)
    tap.is_(f.expect(r"^token fp_pat_\S{36}\.(.*)")[1], "Passw0rd_" * 4, "BOOTSTRAP_TOKEN is the secret part")
    f.stop()
    pg.createdb("whole")
    f = Follower(pg.url("whole"), secret=token)
    tap.isnt(f.expect(r"^token fp_pat_\S{36}\.(.*)")[1], token.split(".")[1], "a whole token is ignored")
    tap.like(f.log(), "ignored", "with a warning")
    f.stop()
