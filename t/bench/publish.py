#!/usr/bin/env python3
"""Publishing: one change in the database to served, with 100, 1,000 and 10,000 clusters."""
import statistics
import time

import fp_bench as bench
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until

with bench.run("Publishing (COMMIT of one change to received on a stream)"):
    pg = Postgres()
    fp = Flowplane(pg, conf={"bootstrap.default_gateway": False})
    have = 0
    db = pg.connect()
    for total in (100, 1000, 10000):
        # copies of a row that the API made, encoded by the watcher
        if not have:
            fp.api("POST", "/clusters", {"name": "c0", "endpoints": [{"host": "a.test", "port": 80}]})
            have = 1
        cursor = db.cursor()
        cursor.execute("INSERT INTO clusters (name, service_name, form, configuration) SELECT 'c' || n, 'c' || n, form, "
                       "jsonb_set(configuration, '{name}', to_jsonb('c' || n)) FROM clusters, generate_series(%s, %s) n "
                       "WHERE name = 'c0'", (have, total - 1))
        have = total
        with xds.Channel(fp.xds_port) as channel:
            s = channel.ads()
            s.subscribe("cluster")
            s.expect_until("cluster", lambda r: len(r.resources) >= total, 60)
            times = []
            for n in range(5):
                time.sleep(0.5)
                began = time.monotonic()
                cursor.execute("UPDATE clusters SET configuration = jsonb_set(configuration, '{connectTimeoutSeconds}', "
                               "to_jsonb(%s::int)) WHERE name = 'c0'", (7 + n + total,))
                s.ack(s.expect("cluster", 20))
                times.append((time.monotonic() - began) * 1000)
        bench.figure(f"{total:,} clusters, median of {len(times)}", statistics.median(times), "ms")
