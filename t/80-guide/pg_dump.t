#!/usr/bin/env python3
"""§16 "pg_dump … | gzip" and "restore by gunzip -c … | psql into an empty database, restart"."""
import threading

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_util as util
import fp_xds as xds
from fp_harness import Backend, Envoy, Postgres, wait_until

guide.need("pg_dump", "psql", "gzip", "gunzip")
DUMP = 'pg_dump "$DATABASE_URL" | gzip > backup.sql.gz'
RESTORE = 'gunzip -c backup.sql.gz | psql -v ON_ERROR_STOP=1 "$DATABASE_URL"'
COUNTS = "SELECT (SELECT count(*) FROM clusters), (SELECT count(*) FROM tokens), (SELECT count(*) FROM audit_logs)"


def epoch(pg):
    return pg.psql("SELECT epoch FROM config_revision")


def names(fp):
    return {c["name"] for c in fp.api("GET", "/clusters")}


def new_database(pg):
    pg.dropdb("flowplane")
    pg.psql("CREATE DATABASE flowplane OWNER service", "postgres")


with tap.run():
    pg = Postgres()
    pg.psql("CREATE ROLE service LOGIN; ALTER DATABASE flowplane OWNER TO service", "postgres")
    url = pg.url().replace("postgres@", "service@")
    fp = guide.Instance(DATABASE_URL=url)
    backend, port = Backend("one"), util.free_port()
    fleet.lay(fp, port, backend)
    t = fp.api("POST", "/tokens", {"name": "kept-token", "scopes": ["clusters:read"]})

    # ---- dumped while it serves and writes
    done = threading.Event()

    def write():
        i = 0
        while not done.is_set():
            fp.api("PUT", "/clusters/shop", fleet.cluster("shop", backend.port, connectTimeoutSeconds=1 + i % 9))
            i += 1

    writer = threading.Thread(target=write)
    writer.start()
    out = fp.sh(DUMP)
    done.set()
    writer.join()
    tap.is_(out, "", "pg_dump as the service's role, while it writes: nothing to say")
    text = fp.sh("gunzip -c backup.sql.gz")
    tap.like(text, r"(?s)COPY .*clusters .*shop", "a plain dump")
    tap.unlike(text, "CREATE EXTENSION", "no extension needed")
    fp.api("PUT", "/clusters/shop", fleet.cluster("shop", backend.port, connectTimeoutSeconds=5))
    fp.sh(DUMP)
    counts, at_dump, was = pg.psql(COUNTS), names(fp), epoch(pg)

    # ---- what comes after the backup, seen by an Envoy and by a client that will return
    fp.api("POST", "/clusters", fleet.cluster("later", 1))
    fp.api("PUT", "/clusters/shop", fleet.cluster("shop", backend.port, connectTimeoutSeconds=77))
    later = fp.api("POST", "/tokens", {"name": "later-token", "scopes": ["clusters:read"]})
    envoy = Envoy(fp.xds_port)
    envoy.wait_for(lambda d: "later" in d["clusters"] and d["clusters"]["shop"]["connect_timeout"] == "77s", 20)
    with xds.Channel(fp.xds_port) as ch:
        s = ch.ads(node_id="returning")
        s.subscribe("cluster")
        r = s.expect_until("cluster", lambda r: "later" in xds.names(r))
        held = r.version_info

    def converged(words):
        envoy.wait_for(lambda d: "later" not in d["clusters"] and d["clusters"].get("shop", {}).get("connect_timeout") == "5s", 40,
                       f"{words}: Envoy has the restored content")
        tap.ok(True, f"{words}: a connected Envoy converges to the restored content")
        tap.is_(envoy.wait_get(port)[1], "one", f"{words}: traffic flows")
        with xds.Channel(fp.xds_port) as ch:
            s = ch.ads(node_id="returning")
            s.send("cluster", version=held)
            r = s.expect("cluster", 10)
            tap.is_(set(xds.names(r)), at_dump, f"{words}: a returning one is given the restored content")

    # ---- into an empty database, which takes the place of the running instance's: in an empty one of its own
    # name the watcher would begin to make its tables beside psql
    revision = int(fp.get("/api/v1/clusters").headers["Flowplane-Revision"])
    pg.psql("CREATE DATABASE restored OWNER service", "postgres")
    out = fp.sh(RESTORE, DATABASE_URL=pg.url("restored").replace("postgres@", "service@"))
    pg.dropdb("flowplane")
    pg.psql("ALTER DATABASE restored RENAME TO flowplane", "postgres")
    tap.unlike(out, "ERROR", "restore into an empty database: no error")
    wait_until(lambda: names(fp) == at_dump, 40, "REST has the restored content")
    converged("running")
    tap.isnt(epoch(pg), was, "an instance had seen a later revision: a new epoch")
    tap.ok(int(fp.get("/api/v1/clusters").headers["Flowplane-Revision"]) > revision, "with a revision beyond all seen")
    tap.is_(pg.psql(COUNTS).split("\t")[:2], counts.split("\t")[:2], "clusters and tokens as they were")
    tap.ok(int(pg.psql(COUNTS).split("\t")[2]) >= int(counts.split("\t")[2]), "the audit trail too")
    tap.is_(pg.psql("SELECT count(*) FROM audit_logs WHERE event_type = 'auth.token.seeded'"), "1", "no second bootstrap token")
    tap.is_([fp.get("/api/v1/clusters", token=x["token"]).status for x in (t, later)], [200, 401], "tokens of then are valid, later ones are not")

    # ---- and with a restart, as the guide says
    fp.api("POST", "/clusters", fleet.cluster("later", 1))
    fp.api("PUT", "/clusters/shop", fleet.cluster("shop", backend.port, connectTimeoutSeconds=78))
    envoy.wait_for(lambda d: "later" in d["clusters"], 20)
    fp.stop()
    new_database(pg)
    fp.sh(RESTORE)
    fp.start()
    tap.is_(names(fp), at_dump, "restarted: the restored content")
    converged("restarted")
    fp.api("POST", "/clusters", fleet.cluster("goes-on", 1))
    tap.contains(names(fp), "goes-on", "writes go on")
