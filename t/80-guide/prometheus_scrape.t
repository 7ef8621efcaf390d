#!/usr/bin/env python3
"""§16 "Prometheus targets: flowplane-cp:8080, path /metrics; pod annotations" and the rows of its metrics: a real Prometheus scrapes
without a token and answers the guide's queries."""
import json
import re
import urllib.parse
import urllib.request

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_util as util
import fp_xds as xds
from fp_harness import Postgres, wait_until

guide.need("prometheus", "promtool", "curl", "grep")

CONFIG = """global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: 'flowplane'
    static_configs:
      - targets: ['localhost:{port}']
    metrics_path: '/metrics'
"""
RULES = """groups:
  - name: flowplane
    rules:
      - alert: HighErrorRate
        expr: sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.05
      - alert: HighLatency
        expr: histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket[5m])) by (le)) > 1
      - alert: DatabaseConnectionPoolExhausted
        expr: flowplane_db_connection_pool_size / flowplane_db_connection_pool_max > 0.9
      - alert: NoXdsConnections
        expr: flowplane_xds_connections == 0
"""


class Prometheus:
    def __init__(self, target):
        folder = util.tmp() / "prometheus"
        folder.mkdir()
        (folder / "prometheus.yml").write_text(CONFIG.format(port=target) + "rule_files: [rules.yml]\n")
        (folder / "rules.yml").write_text(RULES)
        guide.sh(f"promtool check rules {folder}/rules.yml")
        self.url, self.log = f"http://localhost:{util.free_port()}", folder / "log"
        self.process = util.spawn(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                   f"--web.listen-address=127.0.0.1:{self.url.rpartition(':')[2]}", "--log.level=warn"], self.log, cwd=folder)
        tap.at_end(lambda: util.stop_process(self.process))
        wait_until(self._is_ready, 60, "Prometheus is ready")

    def _is_ready(self):
        try:
            return urllib.request.urlopen(f"{self.url}/-/ready", timeout=util.patience()).status == 200
        except OSError:  # refused, 503
            return False

    def query(self, expr):
        with urllib.request.urlopen(f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": expr}), timeout=util.patience()) as r:
            return json.load(r)["data"]["result"]

    def value(self, expr):
        result = self.query(expr)
        return float(result[0]["value"][1]) if result else None

    def wait(self, expr, want, name):
        """The guide's expression comes to what it must be."""
        seen = []
        try:
            wait_until(lambda: seen.append(self.value(expr)) or (want(seen[-1]) if callable(want) else seen[-1] == want), 60, every=0.2)
            tap.ok(True, name)
        except util.Timeout:
            tap.ok(False, name, f"{expr}: {seen[-1]}; {self.log.read_text()[-1000:]}")


def sums(text, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))


with tap.run():
    pg = Postgres()
    fp = guide.Instance(pg)

    # ---- by curl and grep
    tap.is_(fp.sh("curl -s $API/metrics | grep flowplane_xds_connections | grep -v '^#' | sed 's/.* //'"), "0", "flowplane_xds_connections: 0 without streams")
    fp.get("/api/v1/clusters")
    tap.like(fp.sh("curl -s $API/metrics | grep http_request_duration"), r"http_request_duration_seconds_bucket\{.*le=\"\+Inf\".*\} \d",
             "grep http_request_duration: lines after the first request")
    for i in range(3):
        a, b = fp.sh("curl -s $API/metrics"), fp.sh("curl -s -o /dev/null $API/healthz; curl -s $API/metrics")
        tap.is_(sums(b, "http_requests_total") - sums(a, "http_requests_total"), 2, "http_requests_total: one per request, the scrape's own too")

    # ---- by Prometheus
    prometheus = Prometheus(fp.api_port)
    prometheus.wait('up{job="flowplane"}', 1, "the scrape succeeds without a token")
    for i in range(60):
        fp.get("/api/v1/clusters")
    total = sums(fp.sh("curl -s $API/metrics"), "http_requests_total")
    prometheus.wait("sum(http_requests_total)", lambda v: v and v >= total, "http_requests_total")
    prometheus.wait("histogram_quantile(0.99, sum(http_request_duration_seconds_bucket) by (le))", lambda v: v is not None and 0 < v <= 10,
                    "histogram_quantile(0.99, http_request_duration_seconds_bucket)")
    prometheus.wait("histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket[1m])) by (le))", lambda v: v is not None and 0 < v <= 10,
                    "and over a rate")
    prometheus.wait("flowplane_active_tokens", 1, "flowplane_active_tokens")
    fp.api("POST", "/tokens", {"name": "second-one", "scopes": ["clusters:read"]})
    fp.api("POST", "/tokens", {"name": "past-one", "scopes": ["clusters:read"], "expiresAt": "2020-01-01T00:00:00Z"})
    prometheus.wait("flowplane_active_tokens", 2, "one more, an expired one does not count")
    fp.api("POST", "/clusters", fleet.cluster("a", 80))
    rows = int(pg.psql("SELECT count(*) FROM audit_logs"))
    prometheus.wait("flowplane_audit_log_writes", lambda v: v and v >= rows, "flowplane_audit_log_writes")
    prometheus.wait("flowplane_db_connection_pool_size / flowplane_db_connection_pool_max", lambda v: v is not None and 0 < v <= 1,
                    "pool_size / pool_max")
    with xds.Channel(fp.xds_port) as ch:
        streams = [ch.ads(node_id=f"envoy-{i}") for i in range(3)]
        for s in streams:
            s.subscribe("cluster")
            s.ack(s.expect("cluster"))
        prometheus.wait("flowplane_xds_connections", 3, "flowplane_xds_connections: open streams")
    wait_until(lambda: fp.metric("flowplane_xds_connections") == 0, 10, "none again")
    prometheus.wait("flowplane_xds_connections", 0, "drops after a disconnect")
    # A scrape that a busy machine makes late is a failed one, without any sample: the next is as good.
    prometheus.wait('scrape_samples_scraped{job="flowplane"}', lambda v: v and v >= 50, "every sample was taken")

    def lacking():
        names = {m["metric"]["__name__"] for m in prometheus.query('{job="flowplane"}')}
        text = fp.sh("curl -s $API/metrics")
        return [f for f in re.findall(r"^# TYPE (\w+)", text, re.M) if sums(text, f) and not any(n == f or n.startswith(f + "_") for n in names)]
    wait_until(lambda: not lacking(), what="a scrape with all families")
    tap.ok(True, "all families that have series are there by their names")
    types = fp.sh(f"curl -s '{prometheus.url}/api/v1/targets/metadata?match_target=%7Bjob%3D%22flowplane%22%7D'")
    wrong = [m["metric"] for m in json.loads(types)["data"] if m["type"] == "unknown" or not m["help"]]
    tap.is_(wrong, [], "each with its type and help")
    tap.unlike(prometheus.log.read_text(), "(?i)error|duplicate|invalid", "nothing in Prometheus' log")
