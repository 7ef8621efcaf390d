"""A fleet as the guide has it: one upstream, cluster, route, listener and a real Envoy that follows."""
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
    """Requests through Envoy at a rate, until the end of the with; counts by status and body."""

    def __init__(self, envoy, port, per_second=200):
        self.envoy, self.port, self.pause = envoy, port, 1 / per_second
        self.seen, self.done = {}, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def total(self):
        return sum(self.seen.values())

    def failed(self):
        return {k: n for k, n in self.seen.items() if k[0] != 200}

    def more(self, n=20):
        """Waits for n further requests."""
        passed = self.total() + n
        util.wait_until(lambda: self.total() >= passed, 20, f"{n} further requests")

    def _run(self):
        due = time.monotonic()
        while not self.done.is_set():
            try:
                status, body = self.envoy.get(self.port)
            except Exception as e:  # refused, reset: a failure like a 503
                status, body = 0, type(e).__name__
            self.seen[status, body] = self.seen.get((status, body), 0) + 1
            due += self.pause
            self.done.wait(max(0, due - time.monotonic()))
