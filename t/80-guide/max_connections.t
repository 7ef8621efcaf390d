#!/usr/bin/env python3
"""§16 "PostgreSQL max_connections = 100, pool 25" and "flowplane_db_connection_pool_size … the 90 % alert"."""
import threading

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
from fp_harness import Postgres, wait_until

guide.need("psql", "curl", "grep")
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('flowplane', 'flowplane-listen')"

with tap.run():
    pg = Postgres(conf={"max_connections": "100"})
    tap.is_(pg.psql("SHOW max_connections"), "100", "max_connections = 100")
    fp = guide.Instance(pg, DATABASE_MAX_CONNECTIONS=25, FLOWPLANE_PROCESS_WORKERS=4)
    seen, failed, stop = [], [], threading.Event()

    def write(k):
        for i in range(8):
            r = fp.post("/api/v1/clusters", fleet.cluster(f"c{k}-{i}", 80))
            if r.status != 201:
                failed.append(r)

    # the lock that every write takes: so many wait that each connection is wanted
    holder = pg.connect(autocommit=False)
    holder.cursor().execute("SELECT 1 FROM config_revision FOR UPDATE")
    threads = [threading.Thread(target=write, args=(k,)) for k in range(40)]
    for t in threads:
        t.start()
    wait_until(lambda: seen.append(int(pg.psql(COUNT))) or seen[-1] > 8, what="more than eight connections")
    sizes = [fp.metric("flowplane_db_connection_pool_size")]
    holder.rollback()
    while any(t.is_alive() for t in threads):
        seen.append(int(pg.psql(COUNT)))
        sizes.append(fp.metric("flowplane_db_connection_pool_size"))
    for t in threads:
        t.join()
    tap.is_(failed, [], "320 writes by 40 clients: all done")
    tap.ok(8 < max(seen) <= 26, f"an instance opens at most database.max_connections + 1 ({max(seen)} at once)", seen)
    tap.is_(fp.metric("flowplane_db_connection_pool_max"), 25, "flowplane_db_connection_pool_max")
    tap.ok(0 < max(sizes) <= 25, f"flowplane_db_connection_pool_size: {max(sizes):g} at once, the ratio is at most 1", sizes)
    tap.like(fp.sh("curl -s $API/metrics | grep flowplane_db_connection_pool"), r"pool_size\{.*\n.*pool_max\{|pool_max\{.*\n(.*\n)*.*pool_size\{",
             "both by grep")
