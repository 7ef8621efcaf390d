"""The test server of the xds room (xds_serve.c): snapshots at will, the real wire.

    x = XdsServe()
    x.cluster("c1"); x.endpoint("c1"); x.publish()
    with x.channel() as ch: ...
"""
import json
import queue
import re
import subprocess
import threading

import fp_tap as tap
import fp_util as util
import fp_xds as xds

ADS = {"ads": {}, "resourceApiVersion": "V3"}


class XdsServe:
    count = 0

    def __init__(self, wait="published", **options):
        XdsServe.count += 1
        self.program = util.OBJS / "t/lib/xds_serve"
        if not self.program.exists():
            tap.skip_all(f"{self.program} is not built (make tests)")
        self.log = util.tmp() / f"xds_serve{XdsServe.count}.log"
        self._log_file = open(self.log, "wb")
        self.process = subprocess.Popen([self.program, *(f"{k}={v}" for k, v in options.items())],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log_file)
        tap.at_end(self.stop)
        self._lines = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.port = int(self._line())

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line.decode().strip())
        self._lines.put(None)

    def _line(self):
        line = self._lines.get(timeout=util.patience())
        if line is None:
            raise RuntimeError(f"xds_serve ended:\n{self.text()[-2000:]}")
        return line

    def text(self):
        return self.log.read_text(errors="replace")

    def stop(self):
        if self.process is None:
            return
        self.process.stdin.close()
        status = self.process.wait(util.patience())
        self.process = None
        tap.is_(status, 0, "the server ends in order, without a leak")
        bad = [line for line in self.text().splitlines()
               if re.search(r"assert|Sanitizer|runtime error", line, re.I)]
        tap.is_(bad, [], "its log has no assert and no sanitizer line")

    def _command(self, *fields):
        self.process.stdin.write(("\t".join(fields) + "\n").encode())
        self.process.stdin.flush()
        line = self._line()
        assert line == f"ok {fields[0]}", line

    def put(self, kind, name, envoy, refs=(), team=None):
        self._command("put", f"{kind}@{team}" if team else kind, name, " ".join(refs), json.dumps(envoy))

    def delete(self, kind, name):
        self._command("del", kind, name)

    def publish(self):
        self._command("publish")

    def drain(self):
        self._command("drain")

    def channel(self, **options):
        return xds.Channel(self.port, **options)

    # ---- resources; `mark` changes the bytes and nothing that matters

    def cluster(self, name, mark=1, eds=True, service=None):
        body = {"name": name, "connectTimeout": f"{mark}s", "type": "EDS" if eds else "STATIC"}
        if eds:
            body["edsClusterConfig"] = {"edsConfig": ADS, **({"serviceName": service} if service else {})}
        self.put("cluster", name, body, [f"endpoint/{service or name}"] if eds else [])

    def endpoint(self, name, port=80, hosts=("127.0.0.1",)):
        lb = [{"endpoint": {"address": {"socketAddress": {"address": h, "portValue": port}}}} for h in hosts]
        self.put("endpoint", name, {"clusterName": name, "endpoints": [{"lbEndpoints": lb}] if lb else []})

    def listener(self, name, port, route, mark="s", team=None):
        hcm = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
                        "HttpConnectionManager",
               "statPrefix": mark, "rds": {"routeConfigName": route, "configSource": ADS},
               "httpFilters": [{"name": "router", "typedConfig": {
                   "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}
        self.put("listener", name,
                 {"name": name, "address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}},
                  "filterChains": [{"filters": [{"name": "hcm", "typedConfig": hcm}]}]}, [f"route/{route}"], team)

    def route(self, name, cluster, prefix="/"):
        self.put("route", name,
                 {"name": name, "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
                     {"match": {"prefix": prefix}, "route": {"cluster": cluster}}]}]}, [f"cluster/{cluster}"])
