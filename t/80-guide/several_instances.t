#!/usr/bin/env python3
"""§16 "docker service scale, kubectl scale" and "Kubernetes Deployment (2 replicas, rolling, maxUnavailable: 0)"."""
import os
import signal

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_util as util
import fp_xds as xds
from fp_harness import Postgres, wait_until

guide.need("curl")
TYPES = ("cluster", "listener")


def versions(fp):
    with xds.Channel(fp.xds_port) as ch:
        s = ch.ads(node_id="probe")
        out = {}
        for t in TYPES:
            s.subscribe(t)
            r = s.expect(t)
            out[t] = (r.version_info, xds.raw(r))
            s.ack(r)
        return out


with tap.run():
    pg = Postgres()
    pods = [guide.Instance(pg, api=8080 + i, xds=50051 + i, name=f"pod{i}", start=False, FLOWPLANE_PROCESS_WORKERS=1) for i in range(2)]
    for pod in pods:
        pod.start(wait=None)
    for pod in pods:
        wait_until(lambda: pod._answers("/healthz"), 30, "the probe on /healthz passes")
    for pod in pods:
        wait_until(lambda: pod._answers("/readyz"), 30, "ready")
    a, b = sorted(pods, key=lambda p: p.find_token() is None)
    tap.is_([p.token is not None for p in (a, b)], [True, False], "two replicas that start at once: one bootstrap token")
    b.token = a.token
    fleet_port = util.free_port()
    a.api("POST", "/clusters", fleet.cluster("shop", 8000))
    a.api("POST", "/routes", fleet.route("shop", "shop"))
    a.api("POST", "/listeners", fleet.listener("shop", fleet_port, "shop"))
    revision = a.get("/api/v1/clusters").headers["Flowplane-Revision"]
    for pod in a, b:  # else both may be equal at one before
        wait_until(lambda: pod.get("/api/v1/clusters", headers={"Flowplane-Revision": revision}).status == 200, what="served by both")
    tap.is_(versions(b), versions(a), "the same versions")

    # ---- scaled up, while Envoys are connected
    channels = [xds.Channel(p.xds_port) for p in (a, b)]
    streams = [ch.ads(node_id=f"envoy-{i}") for i, ch in enumerate(channels)]
    for s in streams:
        for t in TYPES:
            s.subscribe(t)
            s.ack(s.expect(t))
    third = guide.Instance(pg, api=8082, xds=50053, name="pod2", FLOWPLANE_PROCESS_WORKERS=1)
    third.token = a.token
    tap.is_(third.get("/readyz", token=None).status, 200, "a new instance is ready without action")
    tap.unlike(third.log(), "token: fp_pat_", "and seeds nothing")
    third.token = a.token
    tap.is_(versions(third), versions(a), "it serves the same versions and bytes")
    tap.is_(third.get("/api/v1/clusters").headers["Flowplane-Revision"], revision, "it made no revision")
    for s in streams:
        s.expect_nothing("its coming caused no push")
    with xds.Channel(third.xds_port) as ch:  # an Envoy that moves over with what it has
        s = ch.ads(node_id="envoy-0")
        have = versions(third)
        for t in TYPES:
            s.send(t, version=have[t][0])
        s.expect_nothing("an Envoy that moves to it is sent nothing it has")

    # ---- rolled: each is replaced by a new one; the others serve meanwhile
    for i, old in enumerate((a, b)):
        other = b if old is a else a
        seen = [old.master_pid, *old.children()]
        old.signal(signal.SIGTERM)
        statuses = {other.get("/api/v1/clusters", token=a.token).status for _ in range(20)}
        tap.is_(statuses, {200}, f"rolling, {old.dir.name} ends: the other answers")
        tap.is_(old.stop(deadline=30), 0, f"SIGTERM ends it within the grace period ({i})")
        tap.is_([p for p in seen if util.alive(p)], [], "all of it")
        old.start()
        old.token = a.token
        tap.is_(old.get("/api/v1/clusters/shop").status, 200, "its successor serves")
    tap.is_(pg.psql("SELECT count(*) FROM audit_logs WHERE event_type = 'auth.token.seeded'"), "1", "still one bootstrap token")
    for ch in channels:
        ch.close()

    # ---- no write outside /tmp, /run, /var/lib/flowplane: what processes have open for writing, and what appeared in the program's folder
    allowed = ("/dev/", "/proc/", "/run/", "/var/lib/flowplane/", "/memfd:", str(util.tmp()), "socket:", "pipe:", "anon_inode:")
    found = set()
    for pid in [a.master_pid, *a.children()]:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                flags = int(open(f"/proc/{pid}/fdinfo/{fd}").read().split("flags:")[1].split()[0], 8)
            except OSError:  # closed meanwhile
                continue
            if flags & (os.O_WRONLY | os.O_RDWR) and not target.startswith(allowed):
                found.add(target)
    tap.is_(found, set(), "no file outside /tmp, /run, /var/lib/flowplane is open for writing")
