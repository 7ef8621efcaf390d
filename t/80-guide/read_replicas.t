#!/usr/bin/env python3
"""§16 "primary with read replicas": LISTEN and writes go to the primary only, with a host list; and to the next one when it was promoted."""
import shutil

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_xds as xds
from fp_harness import Postgres, wait_until

OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'flowplane%'"


def replica_of(primary):
    pg = Postgres(start=False)
    shutil.rmtree(pg.data)
    pg._run("pg_basebackup", "-h", "127.0.0.1", "-p", primary.port, "-U", "postgres", "-D", pg.data, "-R", "--checkpoint=fast", "--no-sync")
    pg.start()
    wait_until(lambda: pg.psql("SELECT pg_is_in_recovery()", "postgres") == "t", 20, "the replica answers")
    return pg


with tap.run():
    primary = Postgres()
    replica = replica_of(primary)
    # the replica is named first
    url = f"postgresql://postgres@127.0.0.1:{replica.port},127.0.0.1:{primary.port}/flowplane"
    fp = guide.Instance(DATABASE_URL=url, FLOWPLANE_DATABASE_CONNECT_TIMEOUT="30s")
    with xds.Channel(fp.xds_port) as ch:
        s = ch.ads()
        s.subscribe("cluster")
        s.ack(s.expect("cluster"))
        fp.api("POST", "/clusters", fleet.cluster("one", 80), want=201)
        s.expect_until("cluster", lambda r: "one" in xds.names(r))
        tap.is_(primary.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flowplane-listen'"), "1", "LISTEN is at the primary")
        tap.ok(int(primary.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flowplane'")) >= 1, "writes are at the primary")
        wait_until(lambda: replica.psql("SELECT count(*) FROM clusters WHERE name = 'one'") == "1", 20, "replicated")
        wait_until(lambda: replica.psql(OURS) == "0", 20, "no connection of ours stays at the replica")
        tap.ok(True, "no connection of ours at the replica")
        primary.psql("UPDATE clusters SET configuration = configuration || '{\"connectTimeoutSeconds\": 9}' WHERE name = 'one'")
        s.expect_until("cluster", lambda r: "one" in xds.names(r) and xds.unpack(r)["one"].connect_timeout.seconds == 9)
        tap.ok(True, "a change by direct SQL at the primary arrives")

        primary.stop(immediate=True)
        replica._run("pg_ctl", "promote", "-D", replica.data, "-w")

        def written():
            r = fp.post("/api/v1/clusters", fleet.cluster("two", 80))
            return r.status == 201 or (r.status == 409 and "two" in r.text)
        wait_until(written, 60, "a write after the promotion", every=0.2)
        tap.is_(replica.psql("SELECT count(*) FROM clusters WHERE name = 'two'"), "1", "the promoted one takes the writes")
        s.expect_until("cluster", lambda r: "two" in xds.names(r), 30)
        tap.ok(True, "and a connected client follows")
        wait_until(lambda: replica.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flowplane-listen'") == "1", 30, "LISTEN")
        tap.ok(True, "LISTEN is at the promoted one")
