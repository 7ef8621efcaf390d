#!/usr/bin/env python3
"""Rejections whose instance died (contract §10): open in the database until their node ACKs, here or anywhere."""
import fp_tap as tap
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until


SECONDS = iter(range(10, 1000))  # each makes another cluster


def cluster(seconds):
    return {"name": "a", "connectTimeoutSeconds": seconds, "endpoints": [{"host": "127.0.0.1", "port": 8080}]}


def connect(fp, node_id):
    """A node that has said nothing of what it was sent."""
    s = xds.Channel(fp.xds_port).ads(node_id=node_id)
    s.subscribe("cluster")
    return s, s.expect("cluster")


def open_nodes(fp):
    return sorted(n["nodeId"] for n in fp.api("GET", "/nacks"))


def resolved_by_acks(fp, stream, response, what):
    """The first ACK may come before the rows are read; then a later one does it."""
    stream.ack(response)

    def ask():
        if not open_nodes(fp):
            return True
        fp.api("PUT", "/clusters/a", cluster(next(SECONDS)))
        stream.ack(stream.expect("cluster"))
        return False
    wait_until(ask, what=what, every=0.2)
    tap.ok(True, what)


with tap.run():
    pg = Postgres()
    fp = Flowplane(pg, conf={"bootstrap.default_gateway": False})
    fp.api("POST", "/clusters", cluster(1), want=201)
    fp.settle()
    s, r = connect(fp, "mine")
    s.nack(r, "no")
    wait_until(lambda: open_nodes(fp) == ["mine"], what="an open rejection")
    fp.kill()
    fp.start()
    tap.is_(open_nodes(fp), ["mine"], "kill -9 of the instance: open still")
    s, r = connect(fp, "mine")
    resolved_by_acks(fp, s, r, "its node comes back and ACKs: resolved")

    pg.psql("INSERT INTO xds_nacks (instance, node_id, type_url, resource_names, version_rejected, code, message, first_seen, last_seen, count)"
            f" VALUES ('dead', 'moved', '{xds.TYPES['cluster']}', '{{a}}', 'v', 3, 'no', now(), now(), 1)")
    fp.restart()
    tap.is_(open_nodes(fp), ["moved"], "one of another instance")
    s, r = connect(fp, "other")
    s.ack(r)
    s, r = connect(fp, "moved")
    resolved_by_acks(fp, s, r, "its node comes here and ACKs: resolved")
    s.nack(s.expect("cluster") if fp.api("PUT", "/clusters/a", cluster(next(SECONDS))) else None, "no")
    wait_until(lambda: open_nodes(fp) == ["moved"], what="a new one")
    tap.ok(True, "and a new rejection is open")
