"""Steady clients for the fault tests: writers and readers over REST, a follower over ADS, and what each of them saw.

    with Writers(fp, 2) as w: ...        # POSTs clusters until the end of the with, each name until it is there
    w.acknowledged()                     # {name: revision of its commit}
"""
import collections
import http.client
import threading
import time

import fp_util as util
import fp_xds as xds


def cluster(name, port=8080, **more):
    return {"name": name, "endpoints": [{"host": "127.0.0.1", "port": port}], **more}


Answer = collections.namedtuple("Answer", "time took name status retry error revision")


class Threads:
    """Base: n threads that call step(i) until the end of the with; an exception of one is raised there."""

    def __init__(self, n=1, pause=0.005):
        self.n, self.pause, self.stop, self.died = n, pause, threading.Event(), None

    def __enter__(self):
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(self.n)]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, kind, *_):
        self.stop.set()
        for t in self.threads:
            t.join(util.patience())
        if self.died and kind is None:
            raise self.died

    def _run(self, i):
        try:
            while not self.stop.is_set():
                self.step(i)
                self.stop.wait(self.pause)
        except BaseException as e:
            self.died = e


class Writers(Threads):
    """Each creates clusters <prefix><writer>-<n>; a name is tried again until it is created or known to exist."""

    def __init__(self, fp, n=2, prefix="w", pause=0.005):
        super().__init__(n, pause)
        self.fp, self.prefix, self.answers, self.next = fp, prefix, [], [0] * n

    def step(self, i):
        a = self.write(f"{self.prefix}{i}-{self.next[i]}")
        if a.status in (201, 409):
            self.next[i] += 1

    def write(self, name):
        start = time.monotonic()
        try:
            r = self.fp.post("/api/v1/clusters", cluster(name))
            body = r.json
            a = Answer(start, time.monotonic() - start, name, r.status, r.headers["Retry-After"], body.get("error"),
                       int(r.headers["Flowplane-Revision"] or 0))
        except (OSError, http.client.HTTPException) as e:
            a = Answer(start, time.monotonic() - start, name, 0, None, type(e).__name__, 0)
        self.answers.append(a)
        return a

    def acknowledged(self):
        return {a.name: a.revision for a in list(self.answers) if a.status == 201}

    def statuses(self, since=0.0, until=float("inf")):
        return collections.Counter(a.status for a in list(self.answers) if since <= a.time < until)


class Readers(Threads):
    """GET of a path over fresh connections."""

    def __init__(self, fp, path, n=1, pause=0.02):
        super().__init__(n, pause)
        self.fp, self.path, self.answers = fp, path, []

    def step(self, _):
        start = time.monotonic()
        try:
            status = self.fp.get(self.path).status
        except (OSError, http.client.HTTPException) as e:
            status = type(e).__name__
        self.answers.append((start, time.monotonic() - start, status))

    def statuses(self):
        return collections.Counter(s for _, _, s in list(self.answers))

    def slowest(self):
        return max((took for _, took, _ in list(self.answers)), default=0)


class Follower(Threads):
    """An ADS stream that subscribes to all clusters (or listeners) and ACKs what comes.

    .names: of the newest answer; .sets: sizes of all answers; .ended: how the stream ended, or None."""

    def __init__(self, port, node_id="follower", type_="cluster", channel=None):
        super().__init__(1, 0)
        self.type, self.names, self.version, self.sets, self.ended = type_, None, None, [], None
        self.bytes = {}
        self.channel = channel or xds.Channel(port)
        self.stream = self.channel.ads(node_id=node_id)
        self.stream.subscribe(type_)

    def step(self, _):
        if self.ended:
            self.stop.wait(0.05)
            return
        try:
            r = self.stream.within(0.1, self.type)
        except util.Timeout:
            return
        except xds.Ended as e:
            self.ended = e
            return
        self.bytes = xds.raw(r)
        self.version = r.version_info
        self.names = set(self.bytes)
        self.sets.append(len(self.names))
        self.stream.ack(r)

    def wait(self, cond, deadline=0, what=None):
        """Until cond(set of names); the time it took."""
        start = time.monotonic()
        util.wait_until(lambda: self.names is not None and cond(self.names), deadline, what or "the follower's set")
        return time.monotonic() - start


def snapshot_of(port, node_id="probe", type_="cluster", deadline=0):
    """What a new stream is given: the response."""
    with xds.Channel(port) as ch:
        s = ch.ads(node_id=node_id)
        s.subscribe(type_)
        return s.expect(type_, deadline)
