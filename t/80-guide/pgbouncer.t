#!/usr/bin/env python3
"""§16 "PgBouncer, pool_mode = transaction, through DATABASE_URL": everything works, one warning, polling or listen_url."""
import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_xds as xds
from fp_harness import Postgres, wait_until
from fp_pgbouncer import Bouncer

guide.need("psql")
WARNING = "a pooler stands between"


def walk(fp, name):
    """Each kind of statement once."""
    fp.api("POST", "/clusters", fleet.cluster(name, 80), want=201)
    fp.api("PUT", f"/clusters/{name}", fleet.cluster(name, 81))
    fp.api("POST", "/apply", [{"kind": "cluster", **fleet.cluster(f"{name}-{i}", 80)} for i in range(30)])
    t = fp.api("POST", "/tokens", {"name": "for-a-while", "scopes": ["clusters:read"]}, want=201)
    tap.is_(fp.get("/api/v1/clusters", token=t["token"]).status, 200, f"{name}: a token works at once")
    fp.api("DELETE", f"/tokens/{t['id']}")
    revisions = fp.api("GET", "/revisions?limit=2")
    fp.api("POST", f"/revisions/{revisions[1]['revision']}/rollback", {})
    fp.api("DELETE", f"/clusters/{name}")
    rows = fp.api("GET", "/audit-logs?limit=5")
    tap.is_(len(rows), 5, f"{name}: writes, a set, tokens, a rollback, queries")


with tap.run():
    pg = Postgres()
    bouncer = Bouncer(pg)
    polling = guide.Instance(pg, name="polling", DATABASE_URL=bouncer.url())
    walk(polling, "polled")
    pg.createdb("listened")
    listening = guide.Instance(pg, name="listening", api=8081, xds=50052, DATABASE_URL=bouncer.url("listened"),
                               FLOWPLANE_DATABASE_LISTEN_URL=pg.url("listened"))
    walk(listening, "listened")
    for fp, database, words in (polling, "flowplane", "by polling"), (listening, "listened", "by listen_url"):
        with xds.Channel(fp.xds_port) as ch:
            s = ch.ads()
            s.subscribe("cluster")
            s.ack(s.expect("cluster"))
            pg.psql("INSERT INTO clusters (name, service_name, configuration) VALUES ('by-hand', 'by-hand',"
                    " '{\"endpoints\": [{\"host\": \"127.0.0.1\", \"port\": 80}], \"connectTimeoutSeconds\": 5}')", database)
            s.expect_until("cluster", lambda r: "by-hand" in xds.names(r), 10)
        wait_until(lambda: fp.get("/api/v1/clusters/by-hand").status == 200, 10, "by REST")
        tap.ok(True, f"a change by direct SQL arrives, {words}")
    wait_until(lambda: WARNING in polling.log(), 30, "the warning")
    listening.api("POST", "/clusters", fleet.cluster("one-more", 80))
    tap.is_((polling.log().count(WARNING), listening.log().count(WARNING)), (1, 0), "one warning where LISTEN does not work, none with listen_url")
    tap.is_((polling.metric("flowplane_database_listen_up"), listening.metric("flowplane_database_listen_up")), (0, 1), "the gauge says so too")
