#!/usr/bin/env python3
"""Start to ready with a running database, memory when idle."""
import socket
import time

import fp_bench as bench
from fp_harness import Flowplane, Postgres

with bench.run("Start and memory"):
    pg = Postgres()
    fp = Flowplane(pg)
    bench.figure("PSS of all processes, idle, 2 workers", fp.pss_kib() / 1024, "MiB", 20)
    times = []
    for _ in range(10):
        fp.stop()
        began = time.monotonic()
        fp.start(wait=None)
        while True:
            try:
                if fp.get("/readyz", token=None).status == 200:
                    break
            except OSError:
                pass
            time.sleep(0.001)
        times.append((time.monotonic() - began) * 1000)
    bench.quantiles("start to GET /readyz = 200", times, "ms", 60)
