#!/usr/bin/env python3
"""xds.max_streams and xds.first_response_rate hold for the instance, over its workers; what a killed worker held comes back."""
import os
import re
import signal

import grpc
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, ok, run

MOST = 20


def connections():
    return int(float(re.search(r"^flowplane_xds_connections(?:\{.*\})? (\S+)$", fp.get("/metrics").text, re.M).group(1)))


def dial():
    """A stream on a connection of its own, thus of either worker; None: refused."""
    s = xds.Channel(fp.xds_port).ads()
    s.subscribe("cluster")
    try:
        s.ack(s.expect("cluster", 20))
        return s
    except xds.Ended as e:
        is_(e.code, grpc.StatusCode.RESOURCE_EXHAUSTED, "E-3: refused")
        return None


with run():
    fp = Flowplane(Postgres(), conf={"xds.max_streams": MOST, "xds.first_response_rate": 100, "process.worker_shutdown_timeout": "1s"})
    streams = [dial() for _ in range(MOST)]
    is_(connections(), MOST, "as many streams as are allowed, over two workers")
    for _ in range(4):
        is_(dial(), None, "one more on either worker is too many")

    os.kill(fp.workers()[0], signal.SIGKILL)
    fp.allow("was killed by signal 9")
    wait_until(lambda: any(s.ended for s in streams), 10, "a worker's streams end")
    wait_until(lambda: connections() == sum(not s.ended for s in streams), 10, "what it held is given back")
    wait_until(lambda: len(fp.workers()) == 2, 10, "a new worker")
    gone = sum(1 for s in streams if s.ended)
    ok(0 < gone < MOST, f"both had some: {gone} were lost")
    again = [dial() for _ in range(gone)]
    ok(all(again), "as many as were lost find room")
    is_(dial(), None, "and no more")
    streams = [s for s in streams if not s.ended] + again

    mark = len(fp.log())
    fp.write_conf({"xds.max_streams": MOST + 5})
    fp.reload()
    fp.wait_log("configuration reloaded", 30, mark)
    wait_until(lambda: all(s.ended for s in streams), 30, "a reload ends them")
    wait_until(lambda: connections() == 0, 10, "old workers and new ones are counted each for itself")
    ok(all(dial() for _ in range(MOST + 5)), "the limit follows a reload")
    is_(connections(), MOST + 5, "and the count")

    # one worker has them all, and as many connections more whose streams were refused: each is told why
    mark = len(fp.log())
    fp.write_conf({"xds.max_streams": 2, "process.workers": 1})
    fp.reload()
    fp.wait_log("configuration reloaded", 30, mark)
    wait_until(lambda: connections() == 0, 30, "those before are gone")
    ok(all(dial() for _ in range(2)), "two streams of one worker")
    is_([dial(), dial()], [None, None], "a connection that is one too many is not cut, its stream is refused")
