#!/usr/bin/env python3
"""§16 "DATABASE_URL=…?sslmode=require": encrypted, refused when the server has no TLS; same without the parameter."""
import os
import shutil

import fp_guide as guide
import fp_tap as tap
from fp_certs import Certs
from fp_harness import Flowplane, Postgres, wait_until
import fp_util as util

SSL = "SELECT count(*) > 1, bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name LIKE 'flowplane%'"

with tap.run():
    pg = Postgres()
    fp = guide.Instance(start=False, DATABASE_URL=pg.url(sslmode="require"), FLOWPLANE_DATABASE_STARTUP_TIMEOUT="1s")
    fp.fails("Error: Failed to connect to database\n")
    tap.like(fp.log(), "does not support SSL", "a server without TLS: refused, and why")
    fp = guide.Instance(pg)
    wait_until(lambda: pg.psql(SSL)[0] == "t", what="connections of the watcher and of workers")
    tap.is_(pg.psql(SSL), "t\tf", "without the parameter it is taken as it is")
    fp.stop()
    crt, key = Certs().server()
    for source, name in ((crt, "server.crt"), (key, "server.key")):
        target = pg.data / name
        shutil.copy(source, target)
        target.chmod(0o600)
        if pg.user:
            os.chown(target, *pg.user)
    pg.conf["ssl"] = "on"
    pg.restart()
    for words, url in ("sslmode=require", pg.url(sslmode="require")), ("without the parameter", pg.url()):
        fp = guide.Instance(DATABASE_URL=url)
        wait_until(lambda: pg.psql(SSL)[0] == "t", what="connections of the watcher and of workers")
        tap.is_((fp.get("/healthz", token=None).status, pg.psql(SSL)), (200, "t\tt"), f"{words}: every connection is encrypted")
        fp.stop()

    if util.ROOT:  # libpq looks for certificates in $HOME, which the service's user may not enter
        home = util.tmp() / "home"
        home.mkdir(mode=0o700)
        fp = Flowplane(conf={"database.url": pg.url(sslmode="require")}, env={"HOME": str(home)})
        tap.is_(fp.get("/healthz", token=None).status, 200, "started by root in a home of its own: works too")
