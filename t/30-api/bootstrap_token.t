#!/usr/bin/env python3
"""The seeded token and gateway seen through the API (contract §4.6); t/60-process/bootstrap.t has the modes."""
import os
import re
import stat

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres, wait_until

SCOPES = ["admin:all", "clusters:read", "clusters:write", "gateways:import", "listeners:read", "listeners:write", "routes:read", "routes:write",
          "tokens:read", "tokens:write"]
LIMIT = "BOOTSTRAP_TOKEN must be 32 to 256 characters of A-Z a-z 0-9 _ -, not all the same"


def secret_of(n):
    return ("abcDEF019_-" * 30)[:n]


with tap.run():
    pg = Postgres()

    # ---- its record, its audit rows
    fp = Flowplane(pg)
    me = fp.get("/api/v1/tokens/self").json
    tap.is_({k: me[k] for k in ("name", "description", "status", "expiresAt", "createdBy", "scopes", "version")},
            {"name": "bootstrap-admin", "description": "Initial bootstrap token", "status": "active", "expiresAt": None, "createdBy": "system",
             "scopes": SCOPES, "version": 1}, "the record of the bootstrap token")
    events = fp.get(f"/api/v1/audit-logs?resourceType=auth.token&resourceName=bootstrap-admin").json
    seeded = [e for e in events if e["userId"] == "system"]
    tap.is_(sorted(e["eventType"] for e in seeded), ["auth.token.created", "auth.token.seeded"], "auth.token.created and auth.token.seeded")
    tap.is_([e["metadata"] for e in seeded if e["eventType"] == "auth.token.seeded"], [{"name": "bootstrap-admin"}], "its metadata")
    secret = fp.token.split(".")[1]
    tap.is_([p for p in [fp.master_pid, *fp.children()] if secret in util.cmdline(p)], [], "in no process title")
    tap.unlike(fp.get("/metrics", token=None).text, secret, "nor in the metrics")

    # ---- the default gateway (§4.6): values, replaceable, not deletable
    c = fp.get("/api/v1/clusters/default-gateway-cluster").json
    tap.is_((c["config"]["endpoints"], c["config"]["connectTimeoutSeconds"], c["config"].get("useTls", False)),
            ([{"host": "127.0.0.1", "port": 65535}], 5, False), "default-gateway-cluster") or tap.diag(c)
    listener = fp.get("/api/v1/listeners/default-gateway-listener").json
    tap.is_((listener["address"], listener["port"], listener["protocol"]), ("0.0.0.0", 10000, "HTTP"), "default-gateway-listener") or tap.diag(listener)
    route = fp.get("/api/v1/routes/default-gateway-routes").json
    tap.like(route, r"default-gateway-vhost.*default-gateway-route", "default-gateway-routes")
    for kind, name in (("clusters", "cluster"), ("routes", "routes"), ("listeners", "listener")):
        path = f"/api/v1/{kind}/default-gateway-{name}"
        r = fp.delete(path)
        tap.is_((r.status, r.json["details"][0]["code"]), (409, "protected"), f"DELETE {path}: 409 protected")
        tap.is_(fp.delete(path + "?dryRun=true").status, 409, "dry too")
    mine = {"name": "default-gateway-cluster", "endpoints": ["10.0.0.1:80"]}
    tap.is_(fp.put("/api/v1/clusters/default-gateway-cluster", mine).status, 200, "PUT replaces it")
    r = fp.delete("/api/v1/clusters/default-gateway-cluster")
    tap.is_((r.status, r.json["details"][0]["code"]), (409, "protected"), "replaced it is protected all the same")
    fp.restart()
    tap.is_(fp.get("/api/v1/clusters/default-gateway-cluster").json["config"]["endpoints"], [{"host": "10.0.0.1", "port": 80}], "a restart keeps what was replaced")
    # the token too: any row of any status is enough
    fp.delete(f"/api/v1/tokens/{me['id']}?force=true")
    fp.restart()
    tap.is_((fp.get("/api/v1/clusters").status, pg.psql("SELECT count(*) FROM tokens")), (401, "1"), "a revoked one is not made anew")
    fp.stop()

    pg.createdb("bare")
    fp = Flowplane(pg, database="bare", conf={"bootstrap.default_gateway": False})
    tap.is_([fp.get(f"/api/v1/{k}").json for k in ("clusters", "routes", "listeners")], [[], [], []], "bootstrap.default_gateway = false: none")
    fp.stop()

    # ---- BOOTSTRAP_TOKEN: lengths and alphabet at their edges
    def never_starts(fp, name, why):
        fp.start(wait=None)
        tap.is_(fp.process.wait(util.patience()), 1, f"{name}: status 1") or tap.diag(fp.log())
        fp.process = None
        tap.like(fp.log(), why, f"{name}: says why")

    pg.createdb("edges")
    for secret in (secret_of(31), secret_of(257), "ä" * 40, secret_of(40) + "\t"[:0] + ".", "-" * 32):
        fp = Flowplane(pg, database="edges", start=False, env={"BOOTSTRAP_TOKEN": secret})
        never_starts(fp, f"{len(secret)} of {secret[-3:]}", re.escape(LIMIT))
        tap.unlike(fp.log(), re.escape(secret), "the secret itself is not printed")
    tap.is_(pg.psql("SELECT count(*) FROM tokens", "edges"), "0", "none was made")
    for n in (32, 256):
        pg.createdb(f"long{n}")
        fp = Flowplane(pg, database=f"long{n}", env={"BOOTSTRAP_TOKEN": secret_of(n)})
        tap.is_((fp.token.split(".")[1], fp.get("/api/v1/tokens/self").status), (secret_of(n), 200), f"{n} characters")
        seen = [p for p in [fp.master_pid, *fp.children()] if secret_of(n).encode() in open(f"/proc/{p}/environ", "rb").read()]
        tap.is_(seen, [], "wiped from the environment of every process")
        fp.stop()

    # ---- bootstrap.secret_file
    def file(text, mode=0o600, name="secret"):
        path = util.tmp() / name
        path.write_text(text)
        path.chmod(mode)
        return path

    pg.createdb("files")
    fp = Flowplane(pg, database="files", start=False, conf={"bootstrap.secret_file": file(secret_of(40), 0o644, "open")})
    never_starts(fp, "secret_file 0644", "must be 0600 or stricter")
    fp = Flowplane(pg, database="files", start=False, conf={"bootstrap.secret_file": util.tmp() / "missing"})
    never_starts(fp, "secret_file missing", "No such file")
    fp = Flowplane(pg, database="files", start=False, conf={"bootstrap.secret_file": file("too-short\n")})
    never_starts(fp, "secret_file too short", re.escape(LIMIT))
    tap.is_(pg.psql("SELECT count(*) FROM tokens", "files"), "0", "none was made")
    fp = Flowplane(pg, database="files", conf={"bootstrap.secret_file": file("fp_pat_" + secret_of(60))})
    tap.ok(secret_of(60) not in fp.token, "a whole token in the file is ignored")
    tap.like(fp.log(), "BOOTSTRAP_TOKEN holds a whole token, not a secret: ignored", "with a warning")
    fp.stop()
    pg.createdb("which")
    fp = Flowplane(pg, database="which", env={"BOOTSTRAP_TOKEN": secret_of(33)}, conf={"bootstrap.secret_file": file(secret_of(44))})
    tap.is_(fp.token.split(".")[1], secret_of(33), "the environment wins over the file")
    fp.stop()

    # ---- bootstrap.token_file
    pg.createdb("nowhere")
    fp = Flowplane(pg, database="nowhere", start=False, conf={"bootstrap.print": False, "bootstrap.token_file": util.tmp() / "no" / "such" / "dir"})
    never_starts(fp, "token_file in no directory", "bootstrap.token_file|No such file")
    # the schema may not even be there yet
    tap.is_(pg.psql("SELECT coalesce((SELECT n_live_tup FROM pg_stat_user_tables WHERE relname = 'tokens'), 0)", "nowhere"), "0", "no token was made")
    pg.createdb("mine")
    fp = Flowplane(pg, database="mine", start=False, name="mine", conf={"bootstrap.print": False})
    path = fp.state_dir / "my-token"
    fp.write_conf({"bootstrap.token_file": path})
    fp.start()
    value = path.read_text().strip()
    tap.is_((stat.S_IMODE(path.stat().st_mode), fp.get("/api/v1/tokens/self", token=value).json["name"]), (0o600, "bootstrap-admin"),
            "bootstrap.token_file: of that name, 0600, and it works")
    tap.unlike(fp.log(), "fp_pat_[0-9a-f-]{36}\\.|BOOTSTRAP ADMIN", "nothing printed")
    path.unlink()
    fp.restart()
    tap.ok(not path.exists(), "once is once")
    fp.stop()

    # a link in its place is not followed
    pg.createdb("link")
    fp = Flowplane(pg, database="link", start=False, name="link", conf={"bootstrap.print": False})
    target = util.tmp() / "target"
    os.symlink(target, fp.state_dir / "bootstrap-token")
    never_starts(fp, "token_file is a link", "bootstrap.token_file: cannot write")
    tap.ok(not target.exists(), "a link is not followed")

    # ---- auto, as a daemon: to the file
    pg.createdb("daemon")
    fp = Flowplane(pg, database="daemon", start=False, name="daemon", conf={
        "process.daemon": True, "bootstrap.print": "auto", "observability.log_target": f"file:{util.tmp()}/daemon/log"})
    if util.ROOT:
        os.chown(fp.dir, *util.unprivileged())
    r = fp.command()
    tap.is_(r.returncode, 0, "auto, daemonised") or tap.diag(r.stderr + fp.log())
    pid = int((fp.run_dir / "flowplane.pid").read_text())
    value = (fp.state_dir / "bootstrap-token").read_text().strip()
    tap.unlike(r.stdout + r.stderr + fp.log(), "BOOTSTRAP ADMIN|" + re.escape(value), "printed nowhere")
    tap.is_(fp.get("/api/v1/tokens/self", token=value).status, 200, "the file's token works")
    fp.command("-s", "quit")
    wait_until(lambda: not util.alive(pid), 20, "gone")
