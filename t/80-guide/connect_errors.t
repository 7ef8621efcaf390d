#!/usr/bin/env python3
"""§16 "Error: Failed to connect to database", "Error: connection refused", and the compose file's "restart: unless-stopped recovers"."""
import fp_guide as guide
import fp_tap as tap
import fp_util as util
from fp_harness import Postgres

guide.need("grep")

with tap.run():
    pg = Postgres()
    fp = guide.Instance(pg)
    fp.api("POST", "/clusters", {"name": "survives", "endpoints": ["127.0.0.1:80"]})
    fp.stop()
    pg.stop()

    def forget():
        """A container without a volume has no snapshot cache."""
        for f in fp.state_dir.iterdir():
            f.unlink()
    forget()
    fp.env["FLOWPLANE_DATABASE_STARTUP_TIMEOUT"] = "1s"
    start = len(fp.log())
    fp.fails("Error: Failed to connect to database\n")
    log = fp.log()[start:]
    tap.is_(fp.sh("grep -c '^Error: Failed to connect to database$' $LOG"), "1", "the line, once")
    tap.is_(fp.sh("grep -c '^Error: connection refused$' $LOG"), "1", "the cause, once")
    events = [e for e in fp.log_events() if e["level"] == "ERROR"]
    tap.is_([e["fields"]["message"] for e in events if e["fields"]["message"].startswith("Error: ")],
            ["Error: Failed to connect to database", "Error: connection refused"], "the same messages at ERROR in the JSON log") or tap.diag(log)

    # restart: unless-stopped
    pg.start()
    fp.env.pop("FLOWPLANE_DATABASE_STARTUP_TIMEOUT")
    fp.start()
    tap.is_(fp.get("/api/v1/clusters/survives", token=None).status, 401, "the next start works")
    tap.is_(pg.psql("SELECT count(*) FROM clusters WHERE name = 'survives'"), "1", "the data survived")
    fp.stop()

    # a database that comes a little later is waited for
    pg.stop()
    forget()
    fp.env["FLOWPLANE_DATABASE_STARTUP_TIMEOUT"] = "10m"
    fp.start(wait="alive")
    tap.is_(fp.get("/readyz", token=None).status, 503, "the database is awaited: alive, not ready")
    pg.start()
    util.wait_until(lambda: fp.get("/readyz", token=None).status == 200, 30, "ready when it comes")
    tap.ok(True, "and ready when it has come")
