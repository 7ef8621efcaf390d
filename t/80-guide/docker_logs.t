#!/usr/bin/env python3
"""§16 "docker logs --tail": logs are line-buffered and never block, whoever reads them or not."""
import os
import subprocess

import fp_guide as guide
import fp_tap as tap
import fp_util as util
from fp_harness import Postgres, wait_until
from fp_server import PROGRAM

with tap.run():
    pg = Postgres()
    fp = guide.Instance(pg, start=False)
    read, write = os.pipe()
    user = util.unprivileged()
    more = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
    fp.process = subprocess.Popen([util.reachable(PROGRAM)], stdin=subprocess.DEVNULL, stdout=write, stderr=write, cwd=fp.dir,
                                  env={**fp.environment(), "HOME": str(fp.dir)}, start_new_session=True, **more)
    os.close(write)
    wait_until(lambda: fp._answers("/readyz"), 30, "ready")
    first = os.read(read, 1 << 20).decode()
    tap.ok("\n" in first and "flowplane" in first, "lines arrive at once, before anything ends")
    # nobody reads any more: a pipe holds 64 KiB, this is some 600 KiB
    statuses = {fp.get("/healthz", token=None).status for _ in range(3000)}
    tap.is_(statuses, {200}, "3,000 requests are answered while nobody reads the log")
    wait_until(lambda: (fp.metric("flowplane_log_lines_dropped_total") or 0) > 1000, 10, "what did not fit is counted")
    text = os.read(read, 1 << 20).decode()
    whole = text.split("\n")[:-1]
    tap.ok(len(whole) > 5, "what fitted is there", len(whole))
    tap.is_([line for line in whole if not (line.startswith("{") and line.endswith("}}"))], [], "no line is torn")
    fp.get("/healthz", token=None)
    wait_until(lambda: b"API request processed" in os.read(read, 1 << 20), 10, "lines again")
    tap.ok(True, "read again, lines go on")
    tap.is_(fp.stop(), 0, "stops")
    os.close(read)
