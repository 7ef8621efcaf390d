"""A fleet as the guide has it: one upstream, cluster, route, listener and a real Envoy that follows."""
import http.client
import socket
import time
import threading

import fp_util as util

HCM = "envoy.filters.network.http_connection_manager"


def cluster(name, port, **more):
    return {"name": name, "endpoints": [{"host": "127.0.0.1", "port": port}], **more}


def route(name, target, **action):
    return {"name": name, "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
        {"name": "all", "match": {"path": {"type": "prefix", "value": "/"}},
         "action": {"type": "forward", "cluster": target, **action}}]}]}


def listener(name, port, routes):
    return {"name": name, "address": "127.0.0.1", "port": port, "filterChains": [{"filters": [
        {"name": HCM, "type": "httpConnectionManager", "routeConfigName": routes}]}]}


def lay(fp, port, backend, name="shop"):
    """Cluster, route and listener, all called `name`."""
    fp.api("POST", "/clusters", cluster(name, backend.port), want=201)
    fp.api("POST", "/routes", route(name, name), want=201)
    fp.api("POST", "/listeners", listener(name, port, name), want=201)


class Load:
    """Requests through Envoy at a rate, until the end of the with; counts by status and body.
    keep: on connections that are kept, as pools of clients do; a request on one that the server closed meanwhile goes out once more."""

    THREADS = 4  # a slow answer does not slow the others

    def __init__(self, envoy, port, per_second=200, keep=False):
        self.keep, self.closed = keep, 0
        self.envoy, self.port, self.pause = envoy, port, self.THREADS / per_second
        self.seen, self.lock, self.done = {}, threading.Lock(), threading.Event()

    def __enter__(self):
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self._run, args=(self.pause * i / self.THREADS,)) for i in range(self.THREADS)]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for t in self.threads:
            t.join()
        self.took = time.monotonic() - self.began

    def total(self):
        with self.lock:
            return sum(self.seen.values())

    def rate(self):
        """Requests a second, after the end of the with."""
        return self.total() / self.took

    def failed(self):
        with self.lock:
            return {k: n for k, n in self.seen.items() if k[0] != 200}

    def more(self, n=20):
        """Waits for n further requests."""
        passed = self.total() + n
        util.wait_until(lambda: self.total() >= passed, 20, f"{n} further requests")

    def _run(self, offset):
        due = time.monotonic() + offset
        kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=util.patience())
        while not self.done.wait(max(0, due - time.monotonic())):
            try:
                status, body = self._get_kept(kept) if self.keep else self.envoy.get(self.port)
            except Exception as e:  # refused, reset: a failure like a 503
                status, body = 0, type(e).__name__
                kept.close()
            with self.lock:
                self.seen[status, body] = self.seen.get((status, body), 0) + 1
            due = max(due + self.pause, time.monotonic() - 1)  # a second is caught up with, not more
        kept.close()

    def _get_kept(self, c):
        used = c.sock is not None
        try:
            c.request("GET", "/", headers={"Host": "localhost"})
            r = c.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            c.close()
            if not used:
                raise
            with self.lock:
                self.closed += 1
            return self._get_kept(c)
        return r.status, r.read().decode()


class Relay:
    """A port that passes TCP on to another: an Envoy behind it can be moved to another Flowplane."""

    def __init__(self, target):
        self.target, self.open = target, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def move(self, target):
        """Cuts what is connected; what comes then goes to the new target."""
        self.target = target
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:  # closed by itself
                pass
        self.open = []

    def _accept(self):
        while True:
            here, _ = self.server.accept()
            try:
                there = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                here.close()
                continue
            self.open += [here, there]
            for a, b in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    @staticmethod
    def _pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass
