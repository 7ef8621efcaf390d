#!/usr/bin/env python3
"""sslmode in the URL (contract §16): encrypted where the server can, refused where it cannot."""
import os
import shutil

import fp_tap as tap
from fp_follower import Follower
from fp_harness import Certs, Postgres

with tap.run():
    pg = Postgres()
    f = Follower(pg.url(sslmode="require"))
    w = Follower(pg.url(sslmode="require"), program="store_writer")
    w.process.stdin.write("a\n")
    w.process.stdin.flush()
    w.expect("^a unavailable")
    tap.like(w.log(), "does not support SSL", "sslmode=require against a server without TLS is refused, the log says why")
    w.stop()
    tap.ok(not any(line.startswith("state up") for line in f.lines), "the follower too")
    f.stop()

    crt, key = Certs().server()
    for source, name in ((crt, "server.crt"), (key, "server.key")):
        target = pg.data / name
        shutil.copy(source, target)
        target.chmod(0o600)
        if pg.user:
            os.chown(target, *pg.user)
    pg.conf["ssl"] = "on"
    pg.restart()
    f = Follower(pg.url(sslmode="require"))
    f.expect("^state up listening")
    f.expect("^loaded ok full")
    w = Follower(pg.url(sslmode="require"), program="store_writer")
    w.process.stdin.write("".join(f"c{i}\n" for i in range(40)))
    w.process.stdin.flush()
    for i in range(40):
        w.expect("^c[0-9]+ done")
    tap.is_(pg.psql("SELECT count(*) > 1, bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)"
                    " WHERE a.application_name LIKE 'flowplane%'"), "t\tt", "every connection is encrypted")
    f.caught_up(int(pg.psql("SELECT revision FROM config_revision")))
    tap.is_(sum(kind == "cluster" for kind, _ in f.rows()), 40, "40 writes arrive over TLS")
    w.stop()
    f.stop()
