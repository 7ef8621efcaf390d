#!/usr/bin/env python3
"""§16 "PostgreSQL max_connections = 100, pool 25" and "flowplane_db_connection_pool_size … the 90 % alert"."""
import threading

import fp_guide as guide
import fp_tap as tap
from fp_harness import Postgres, wait_until

guide.need("psql", "curl", "grep")
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('flowplane', 'flowplane-listen')"

with tap.run():
    pg = Postgres(conf={"max_connections": "100"})
    tap.is_(pg.psql("SHOW max_connections"), "100", "max_connections = 100")
    fp = guide.Instance(pg, DATABASE_MAX_CONNECTIONS=25, FLOWPLANE_PROCESS_WORKERS=4, FLOWPLANE_DATABASE_STATEMENT_TIMEOUT="300s")
    seen, failed, sizes = [], [], []

    def read():
        for i in range(5):
            r = fp.get("/api/v1/audit-logs?limit=5", timeout=300)
            if r.status != 200:
                failed.append(r)

    # a lock that these queries wait for: each connection is wanted
    holder = pg.connect(autocommit=False)
    holder.cursor().execute("LOCK audit_logs IN ACCESS EXCLUSIVE MODE")
    threads = [threading.Thread(target=read) for k in range(40)]
    for t in threads:
        t.start()

    def sample():
        seen.append(int(pg.psql(COUNT)))
        sizes.append(fp.metric("flowplane_db_connection_pool_size"))
        return seen[-1]

    wait_until(lambda: sample() > 10 and sizes[-1] > 0, 20, "connections are wanted, and counted at a heartbeat")
    for _ in range(10):
        sample()
    holder.rollback()
    while any(t.is_alive() for t in threads):
        sample()
    for t in threads:
        t.join()
    tap.is_(failed, [], "200 queries by 40 clients: all answered")
    tap.ok(max(seen) <= 26, f"an instance opens at most database.max_connections + 1 ({max(seen)} at once)", seen)
    tap.is_(fp.metric("flowplane_db_connection_pool_max"), 25, "flowplane_db_connection_pool_max")
    tap.ok(0 < max(sizes) <= 25, f"flowplane_db_connection_pool_size: {max(sizes):g} at once, the ratio is at most 1", sizes)
    tap.like(fp.sh("curl -s $API/metrics | grep flowplane_db_connection_pool"), r"pool_size\{.*\n.*pool_max\{|pool_max\{.*\n(.*\n)*.*pool_size\{",
             "both by grep")
