#!/usr/bin/env python3
"""What a process is (design.md §2): titles, user, no_new_privs, descriptors."""
import os

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres


def status(pid):
    return dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)


with tap.run():
    secret = "geheimgeheimgeheimgeheimgeheim_42"
    pg = Postgres()
    fp = Flowplane(pg, conf={"database.url": None}, env={"DATABASE_URL": pg.url(), "BOOTSTRAP_TOKEN": secret})
    tap.contains(fp.token or "", secret, "BOOTSTRAP_TOKEN is the secret part of the seeded token")
    fp.wait_log("flowplane is up")  # every process has confined itself
    titles = ["flowplane: watcher", "flowplane: worker 0", "flowplane: worker 1"]
    util.wait_until(lambda: sorted(map(util.cmdline, fp.children())) == titles, what="titles of the children")
    tap.is_(util.cmdline(fp.master_pid), "flowplane: master", "title of the master")
    for pid in fp.children():
        title, s = util.cmdline(pid), status(pid)
        if util.ROOT:
            uid, gid = util.unprivileged()
            tap.is_(s["Uid"].split(), [str(uid)] * 4, f"{title}: all four user ids are the service user's")
            tap.is_(s["Gid"].split(), [str(gid)] * 4, f"{title}: all four group ids too")
            tap.is_(int(s["CapEff"], 16), 0, f"{title}: no capabilities")
        tap.is_(s["NoNewPrivs"], "1", f"{title}: no_new_privs")
        links = util.fd_links(pid)
        tap.ok(not any(str(fp.state_dir / "lock") in x or "flowplane.pid" in x for x in links.values()),
               f"{title}: holds neither lock nor pid file")
        tap.ok(len(links) < 40, f"{title}: few descriptors", links)
    for pid in [fp.master_pid, *fp.children()]:
        environ = open(f"/proc/{pid}/environ", "rb").read() if os.access(f"/proc/{pid}/environ", os.R_OK) else b""
        tap.ok(secret.encode() not in environ and b"postgresql://" not in environ,
               f"{util.cmdline(pid)}: no secret in its environment")
    # a reload still knows both
    mark = len(fp.log())
    fp.reload()
    fp.wait_log("configuration reloaded", 20, mark)
    tap.is_(fp.get("/readyz", token=None).status, 200, "a reload still has the secrets")
    # descriptors do not grow with reloads and respawns
    util.wait_until(lambda: len(fp.children()) == 3, 10, "the old ones are gone")
    before = util.wait_until(lambda: (lambda a: a == util.open_fds(fp.master_pid) and a)(util.open_fds(fp.master_pid)))
    for _ in range(5):
        mark = len(fp.log())
        fp.reload()
        fp.wait_log("configuration reloaded", 20, mark)
        util.wait_until(lambda: len(fp.children()) == 3, 10, "the old ones are gone")
    util.wait_until(lambda: util.open_fds(fp.master_pid) <= before, what=f"{before} descriptors, as before")
    tap.ok(True, "five reloads leave no descriptor in the master")
