"""A real Jaeger all-in-one, as it comes: memory storage, Thrift over HTTP and OTLP, its query API."""
import json
import urllib.request

import fp_tap as tap
import fp_util as util


class Jaeger:
    def __init__(self):
        program = util.find_program("jaeger", "FP_JAEGER")
        self.thrift_port, self.otlp_port, self.query_port = util.free_port(), util.free_port(), util.free_port()
        http = {"collector.http-server": self.thrift_port, "collector.otlp.http": self.otlp_port,
                "query.http-server": self.query_port}
        other = ("collector.grpc-server", "collector.otlp.grpc", "query.grpc-server", "admin.http")  # not asked
        self.log_path = util.tmp() / "jaeger.log"
        self.process = util.spawn([program, *(f"--{k}.host-port=127.0.0.1:{v}" for k, v in http.items()),
                                   *(f"--{k}.host-port=127.0.0.1:{util.free_port()}" for k in other)], self.log_path)
        tap.at_end(self.stop)
        util.wait_until(self._is_up, 60, "Jaeger listens")

    def _is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"Jaeger ended with {self.process.returncode}: {self.log_path.read_text()[-2000:]}")
        return all(util.port_open(p) for p in (self.thrift_port, self.otlp_port, self.query_port))

    def get(self, path):
        """What the query API answers as `data`; None when it has no such trace."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.query_port}/api{path}", timeout=util.patience()) as r:
                return json.load(r)["data"]
        except urllib.error.HTTPError as e:
            if e.code == 404:
                return None
            raise

    def trace(self, id_):
        """[(service, span, name of its parent or None)] of a trace, sorted."""
        found = self.get(f"/traces/{id_}")
        if not found:
            return []
        spans = {s["spanID"]: s for s in found[0]["spans"]}
        out = []
        for s in spans.values():
            parent = next((r["spanID"] for r in s["references"] if r["refType"] == "CHILD_OF"), None)
            out.append((found[0]["processes"][s["processID"]]["serviceName"], s["operationName"],
                        spans[parent]["operationName"] if parent in spans else None))
        return sorted(out, key=str)

    def stop(self):
        if self.process:
            self.process.kill()  # in order it takes 15 s, and nothing is kept
            self.process.wait()
            self.process = None
