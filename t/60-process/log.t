#!/usr/bin/env python3
"""USR1: every process goes on in the newly opened file (contract §13.1); the form of the lines (§11.3)."""
import json
import os
import re
import signal

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres, wait_until

with tap.run():
    folder = util.tmp() / "logs"
    folder.mkdir()
    file = folder / "flowplane.log"
    fp = Flowplane(Postgres(), conf={"observability.log_target": f"file:{file}", "observability.log_level": "debug"})
    tap.is_(fp.get("/healthz", token=None).status, 200, "serves")
    wait_until(lambda: "API request processed" in file.read_text(), what="workers write to the file")
    file.rename(folder / "old.log")
    fp.signal(signal.SIGUSR1)
    wait_until(lambda: file.exists() and "log files reopened" in file.read_text(), 5, "the master reopened")
    everyone = [fp.master_pid, *fp.children()]
    wait_until(lambda: all(str(file) in util.fd_links(p).values() for p in everyone), 5, "all processes have the new file")
    wait_until(lambda: not any(link.startswith(str(folder / "old.log")) for p in everyone for link in util.fd_links(p).values()),
               what="nobody holds the old one")
    size = (folder / "old.log").stat().st_size
    wait_until(lambda: fp.get("/healthz", token=None).status == 200 and "API request processed" in file.read_text(), 5,
               "requests are logged in the new file")
    tap.is_((folder / "old.log").stat().st_size, size, "and not in the old one")
    # a new worker and a new generation use it too
    os.kill(fp.workers()[0], signal.SIGKILL)
    wait_until(lambda: len(fp.workers()) == 2, 5, "respawned")
    fp.reload()
    wait_until(lambda: "configuration reloaded" in file.read_text(), 20, "reloaded")
    for line in file.read_text().splitlines():
        event = json.loads(line)
        if set(event) != {"timestamp", "level", "target", "fields"} or \
                not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["timestamp"]):
            tap.ok(False, "a JSON line has exactly the four keys", line)
    tap.ok(True, "every line is JSON of the four keys")
    tap.is_(util.tmp().joinpath("fp1", "log").read_text().count('"timestamp"'), 0, "nothing goes to stdout")
