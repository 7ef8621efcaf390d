#!/usr/bin/env python3
"""Health (contract §11.1): liveness from the first answer on, readiness with reasons, and what ?verbose tells."""
from fp_certs import Certs
from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, ok, run

LIVE = ("/healthz", "/health", "/livez")
VERBOSE = {"status", "checks", "revision", "databaseRevision", "lagMs", "source"}
CHECKS = {"snapshot", "database", "listen", "migrations", "workers", "certificates"}


def live(fp, when):
    is_({(r.status, r.text) for r in (fp.get(p, token=None) for p in LIVE)}, {(200, '{"status":"ok"}')}, f"{when}: alive")


def ready(fp, want, what):
    r = fp.get("/readyz", token=None)
    is_((r.status, r.json), want, what)


def verbose(fp):
    return fp.get("/readyz?verbose", token=None).json


with run():
    pg = Postgres()
    pg.stop()
    fp = Flowplane(pg, conf={"database.startup": "retry"}, wait="alive")
    live(fp, "no database yet")
    ready(fp, (503, {"status": "unready", "reason": "no snapshot yet"}), "not ready, and why")
    v = verbose(fp)
    is_((set(v), set(v["checks"])), (VERBOSE | {"reason"}, CHECKS), "?verbose: its keys")
    is_((v["status"], v["checks"]["snapshot"], v["checks"]["database"], v["checks"]["listen"], v["checks"]["migrations"]),
        ("unready", "missing", "degraded", "degraded", "unknown"), "what is missing")

    pg.start()
    wait_until(lambda: fp._answers("/readyz"), 30, "ready")
    wait_until(lambda: verbose(fp)["checks"]["listen"] == "ok" and verbose(fp)["checks"]["workers"] == "2", 30, "all is well")
    fp.find_token()
    live(fp, "serving")
    ready(fp, (200, {"status": "ok"}), "ready")
    v = verbose(fp)
    is_((set(v), v["checks"]), (VERBOSE, {"snapshot": "ok", "database": "ok", "listen": "ok", "migrations": "ok", "workers": "2",
                                          "certificates": "ok"}), "?verbose: every check")
    is_((v["status"], v["lagMs"], v["source"], v["revision"]), ("ok", 0, "database", v["databaseRevision"]), "nothing is behind")
    r = fp.post("/api/v1/clusters?wait=published", {"name": "a", "endpoints": [{"host": "127.0.0.1", "port": 80}]})
    wait_until(lambda: verbose(fp)["revision"] == int(r.headers["Flowplane-Revision"]) and verbose(fp)["lagMs"] == 0, 10,
               "the revision follows")
    ok(True, "revision and lag follow a write")

    # ---- an outage is degraded, not unready
    pg.stop()
    fp.allow("database|following")
    wait_until(lambda: verbose(fp)["checks"]["database"] == "degraded", 30, "noticed")
    live(fp, "database away")
    ready(fp, (200, {"status": "ok"}), "an outage of the database: still ready")
    is_(verbose(fp)["checks"]["snapshot"], "ok", "it serves")
    fp.stop()
    fp.start()
    wait_until(lambda: verbose(fp)["source"] == "cache", 30, "from the cache")
    is_((verbose(fp)["status"], verbose(fp)["checks"]["database"]), ("ok", "degraded"), "a start without database: ready, from the cache")
    pg.start()
    wait_until(lambda: verbose(fp)["source"] == "database", 30, "from the database again")
    ok(True, "and from the database when it is back")

    # ---- certificates
    certs, tls = Certs(), Flowplane(pg, name="tls", start=False)
    for seconds in (6, 30, 150):  # one whose time is over is refused at the start: on a slow machine it takes a longer one
        cert, key = certs.short("brief", seconds)
        tls.write_conf({"xds.tls.cert_path": cert, "xds.tls.key_path": key})
        try:
            tls.start()
            break
        except RuntimeError as e:
            if "expired" not in str(e):
                raise
            tls.process = None
    wait_until(lambda: verbose(tls)["checks"]["certificates"] == "expired", 200, "its time is over")
    is_((verbose(tls)["status"], tls.get("/readyz", token=None).status), ("ok", 200), "a certificate whose time is over is told, not unready")
