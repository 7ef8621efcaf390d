#!/usr/bin/env python3
"""§16 "curl …/healthz; …/api/v1/clusters with Bearer $TOKEN; …/api-docs/openapi.json | jq .info.version" and the firewall's
"netstat -tlnp | grep 50051"."""
import re

import fp_guide as guide
import fp_tap as tap
from fp_harness import Postgres

guide.need("curl", "jq", "netstat", "ss")

with tap.run():
    fp = guide.Instance(Postgres(), FLOWPLANE_API_BIND_ADDRESS="0.0.0.0")
    tap.is_(fp.sh("curl -s -o /dev/null -w '%{http_code}' $API/healthz"), "200", "healthz: 200")
    tap.is_(fp.sh("curl -sf $API/healthz | jq -r .status"), "ok", "healthz: ok")
    tap.is_(fp.sh("curl -sf $API/api/v1/clusters -H \"Authorization: Bearer $TOKEN\" | jq -r type"), "array", "clusters: a JSON array")
    version = fp.command("-v")
    tap.like(version.stdout + version.stderr, re.escape(fp.sh("curl -s $API/api-docs/openapi.json | jq -r .info.version")) + r"\b",
             "openapi.json: the product's version")

    for tool in "netstat -tlnp", "ss -tlnp":
        tap.like(fp.sh(f"{tool} | grep {fp.xds_port}"), r"LISTEN.*:%d\b.*flowplane" % fp.xds_port, f"{tool} | grep {fp.xds_port}")
        tap.is_(fp.listening(tool), {fp.api_port, fp.xds_port}, f"{tool}: flowplane listens on these two and nothing else")
    for port in fp.api_port, fp.xds_port:
        tap.like(fp.sh("netstat -tln"), rf"0\.0\.0\.0:{port}\s", f"FLOWPLANE_API_BIND_ADDRESS=0.0.0.0 alone: {port} on all addresses")
