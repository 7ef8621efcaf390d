#!/usr/bin/env python3
"""The first token (contract §4.6): printed or written, once for all instances, and never when its secret is bad."""
import os
import re
import stat

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres, wait_until

GOOD = "abcdefghijklmnopqrstuvwxyz-_0123456789"


def tokens(pg, database):
    return pg.psql("SELECT count(*) FROM tokens", database)


def never_starts(fp, name, why):
    fp.start(wait=None)
    tap.is_(fp.process.wait(util.patience()), 1, f"{name}: status 1") or tap.diag(fp.log())
    fp.process = None
    tap.contains(fp.log(), f"Error: {why}\n", f"{name}: {why}")


with tap.run():
    pg = Postgres()

    # printed: the banner, and exactly one match for the guide's grep, in both forms of the log
    for form in ("json", "text"):
        pg.createdb(form)
        fp = Flowplane(pg, database=form, name=form, conf={"observability.log_format": form})
        fp.stop()
        log = fp.log()
        found = re.findall(r"token: (fp_pat_[^\s]+)", log)
        tap.is_(len(found), 1, f"{form}: `token: fp_pat_` occurs once in both streams")
        bar = "=" * 80
        tap.like(log, rf"{bar}\n.*BOOTSTRAP ADMIN TOKEN.*\n{bar}\nToken: {re.escape(found[0])}\n.+\n.+\n{bar}\n", f"{form}: the banner")
        tap.like(found[0], r"^fp_pat_[0-9a-f-]{36}\.[A-Za-z0-9_-]{32,}$", f"{form}: nothing but the token")
    event = [e for e in Flowplane.log_events(fp) if "token" in e["fields"].get("message", "")]
    fp.start()
    tap.is_(fp.log().count("BOOTSTRAP ADMIN TOKEN"), 1, "a second start prints nothing")
    tap.is_(fp.get("/api/v1/clusters", token=found[0]).status, 200, "the token works")
    fp.stop()

    # written
    pg.createdb("written")
    fp = Flowplane(pg, database="written", name="written", start=False, conf={"bootstrap.print": False})
    file = fp.state_dir / "bootstrap-token"
    (fp.state_dir / "bootstrap-token.new").write_text("of one that was killed before the commit\n")
    fp.start()
    value = file.read_text().strip()
    tap.is_(stat.S_IMODE(file.stat().st_mode), 0o600, "token_file: mode 0600")
    if util.ROOT:
        tap.is_(file.stat().st_uid, util.unprivileged()[0], "token_file: the service user's")
    tap.ok(not (fp.state_dir / "bootstrap-token.new").exists(), "token_file: nothing beside it")
    tap.unlike(fp.log(), re.escape(value), "token_file: the value is in no log")
    tap.contains(fp.log(), f"the bootstrap admin token was written to {file}", "token_file: its path is")
    tap.is_(fp.get("/api/v1/clusters", token=value).status, 200, "token_file: the token works")
    fp.stop()

    # a file that is there already: no token is made, and the start fails
    pg.createdb("exists")
    fp = Flowplane(pg, database="exists", name="exists", start=False, conf={"bootstrap.print": False})
    (fp.state_dir / "bootstrap-token").write_text("mine\n")
    never_starts(fp, "token_file exists", f"bootstrap.token_file: cannot write {fp.state_dir}/bootstrap-token: File exists")
    tap.is_(tokens(pg, "exists"), "0", "token_file exists: no token was made")
    tap.is_((fp.state_dir / "bootstrap-token").read_text(), "mine\n", "token_file exists: untouched")
    (fp.state_dir / "bootstrap-token").unlink()
    fp.start()
    fp.stop()
    tap.is_(tokens(pg, "exists"), "1", "and made at the next start")

    # auto: under a service manager it goes to the file
    pg.createdb("auto")
    fp = Flowplane(pg, database="auto", name="auto", conf={"bootstrap.print": "auto"}, env={"NOTIFY_SOCKET": "/nonexistent/notify"})
    tap.ok((fp.state_dir / "bootstrap-token").exists(), "auto under a service manager: to the file")
    fp.stop()
    pg.createdb("auto2")
    fp = Flowplane(pg, database="auto2", name="auto2", conf={"bootstrap.print": "auto"})
    tap.like(fp.log(), "BOOTSTRAP ADMIN TOKEN", "auto in the foreground: printed")
    fp.stop()

    # the secret
    pg.createdb("secret")
    for secret in ("short", "a" * 40, GOOD + "!", GOOD + " "+ GOOD):
        fp = Flowplane(pg, database="secret", start=False, env={"BOOTSTRAP_TOKEN": secret})
        never_starts(fp, f"secret {secret}", "BOOTSTRAP_TOKEN must be 32 to 256 characters of A-Z a-z 0-9 _ -, not all the same")
        tap.is_(tokens(pg, "secret"), "0", f"secret {secret}: no token was made")
    fp = Flowplane(pg, database="secret", name="good", env={"BOOTSTRAP_TOKEN": GOOD})
    tap.ok(fp.token.endswith("." + GOOD), "BOOTSTRAP_TOKEN is the secret part")
    tap.is_(fp.get("/api/v1/clusters").status, 200, "and authenticates")
    fp.stop()
    fp = Flowplane(pg, database="secret", name="later", env={"BOOTSTRAP_TOKEN": "short"})
    tap.is_(fp.get("/readyz", token=None).status, 200, "a bad secret is not looked at when there is a token")
    fp.stop()
    pg.createdb("whole")
    fp = Flowplane(pg, database="whole", name="whole", env={"BOOTSTRAP_TOKEN": "fp_pat_" + GOOD})
    tap.ok(fp.token and GOOD not in fp.token, "a whole token is ignored")
    tap.contains(fp.log(), "BOOTSTRAP_TOKEN holds a whole token, not a secret: ignored", "with a warning")
    fp.stop()
    pg.createdb("file")
    path = util.tmp() / "secret"
    path.write_text(GOOD + "\n")
    path.chmod(0o600)
    fp = Flowplane(pg, database="file", name="file", conf={"bootstrap.secret_file": path})
    tap.ok(fp.token.endswith("." + GOOD), "bootstrap.secret_file, readable by root only")
    fp.stop()

    # many instances on an empty database: one token, printed once
    pg.createdb("many")
    many = [Flowplane(pg, database="many", name=f"many{i}", start=False, conf={"process.workers": 1}) for i in range(4)]
    for fp in many:
        fp.start(wait=None)
    for fp in many:
        wait_until(lambda: fp._answers("/readyz"), 30, "ready")
        fp.find_token()
    tap.is_(tokens(pg, "many"), "1", "four instances at once: one token")
    printed = [fp.token for fp in many if fp.token]
    tap.is_(len(printed), 1, "printed by one of them")
    wait_until(lambda: all(fp.get("/api/v1/clusters", token=printed[0]).status == 200 for fp in many), 10, "valid everywhere")
    tap.is_(pg.psql("SELECT count(*) FROM audit_logs WHERE event_type = 'auth.token.seeded'", "many"), "1", "one auth.token.seeded row")
