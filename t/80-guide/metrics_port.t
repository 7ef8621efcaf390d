#!/usr/bin/env python3
"""§16 "firewall rules … (plus the optional metrics port)", §11.2: FLOWPLANE_METRICS_PORT serves /metrics and nothing else."""
import re

import fp_guide as guide
import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres, wait_until

guide.need("curl", "netstat", "promtool")

with tap.run():
    pg = Postgres()
    port = guide.port(9090)
    fp = guide.Instance(pg, FLOWPLANE_METRICS_PORT=port)
    base = f"http://localhost:{port}"
    text = fp.sh(f"curl -sf {base}/metrics")
    tap.like(text, r"# TYPE http_requests_total counter", "curl …:9090/metrics, without a token")
    tap.is_(re.findall(r"^# TYPE \S+", text, re.M), re.findall(r"^# TYPE \S+", fp.sh("curl -sf $API/metrics"), re.M), "as on the API port")
    for path in "/", "/healthz", "/api/v1/clusters", "/metrics/", "/api-docs/openapi.json":
        tap.is_(fp.sh(f"curl -s -o /dev/null -w '%{{http_code}}' {base}{path} -H \"Authorization: Bearer $TOKEN\""), "404", f"{path}: 404 there")
    tap.is_(fp.sh(f"curl -s -o /dev/null -w '%{{http_code}}' -X POST {base}/metrics"), "405", "POST: 405")
    tap.is_(fp.listening("netstat -tlnp"), {fp.api_port, fp.xds_port, port},
            "flowplane listens on these three and nothing else")
    tap.like(fp.sh("netstat -tln"), rf"0\.0\.0\.0:{port}\s", "on all addresses by default")
    seen = [fp.stop(), util.port_open(port)]
    tap.is_(seen, [0, False], "stops with it")

    # ---- a reload moves it; the workers that drain give it up
    ports = [util.free_port() for _ in range(2)]
    fp = Flowplane(pg, conf={"observability.metrics_port": ports[0], "observability.metrics_bind_address": "127.0.0.1",
                             "process.worker_shutdown_timeout": "2s"})
    tap.is_(guide.sh(f"curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{ports[0]}/metrics"), "200", "metrics_bind_address")
    fp.write_conf({"observability.metrics_port": ports[1]})
    fp.reload()
    wait_until(lambda: util.port_open(ports[1]) and not util.port_open(ports[0]), 30, "the new port instead of the old")
    tap.is_(guide.sh(f"curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{ports[1]}/metrics"), "200", "a reload moves it")
    fp.write_conf({"observability.metrics_port": ports[1], "observability.enable_metrics": False})
    fp.reload()
    wait_until(lambda: not util.port_open(ports[1]), 30, "off")
    tap.ok(True, "enable_metrics = false: no port")
    fp.write_conf({"observability.enable_metrics": True, "observability.metrics_port": fp.api_port})
    r = fp.command("-t")
    tap.is_(r.returncode, 1, "the API's port again: refused")
    tap.contains(r.stderr, f"observability.metrics_port and api.port are both {fp.api_port}", "and says so")
    fp.write_conf({"observability.metrics_port": ports[1], "observability.metrics_bind_address": "localhost"})
    tap.contains(fp.command("-t").stderr, 'observability.metrics_bind_address: "localhost" is not an IP address', "a name is no address")
