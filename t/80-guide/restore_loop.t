#!/usr/bin/env python3
"""§16 "curl …/clusters > clusters.json and routes, listeners, tokens" and "restore loop: jq -c '.[]', POST to /api/v1/cluster …"."""
import json

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_util as util
from fp_harness import Postgres

guide.need("curl", "jq")
N = 1200  # more than any page
OURS = ("id", "createdAt", "updatedAt", "version", "source")
AUTH = '-H "Authorization: Bearer $TOKEN"'
BACKUP = f"""for kind in clusters routes listeners tokens; do
    curl -sf $API/api/v1/$kind {AUTH} > $kind.json || exit 1
done"""
# the guide's loop; the status of each answer is what the test wants to know besides
RESTORE = f"""for pair in clusters:cluster routes:route listeners:listener; do
    jq -c '.[]' ${{pair%:*}}.json | while read -r item; do
        curl -s -o answer -w '%{{http_code}} ' -X POST $API/api/v1/${{pair#*:}} {AUTH} -H "Content-Type: application/json" -d "$item"
        grep -q '"error"' answer && cat answer
    done
done; true"""


def content(fp):
    return {kind: [{k: v for k, v in row.items() if k not in OURS} for row in fp.api("GET", f"/{kind}")]
            for kind in ("clusters", "routes", "listeners")}


with tap.run():
    pg = Postgres()
    a = guide.Instance(pg)
    port = util.free_port()
    for i in range(12):
        a.api("POST", "/clusters", fleet.cluster(f"shop-{i}", 8000 + i, lbPolicy="LEAST_REQUEST", connectTimeoutSeconds=i + 1,
                                                 healthChecks=[{"path": "/up", "intervalSeconds": 3}]))
    a.api("POST", "/clusters", {"name": "by-name", "endpoints": [{"host": "backend.shop.test", "port": 443}], "useTls": False})
    a.api("POST", "/clusters", {"name": "guide-tls", "endpoints": [{"host": "backend.shop.test", "port": 443}]})
    a.api("POST", "/clusters", {"name": "raw", "envoy": {"type": "STATIC", "connectTimeout": "2s"}})
    a.api("POST", "/routes", fleet.route("shop", "shop-1", timeoutSeconds=7))
    a.api("POST", "/listeners", fleet.listener("shop", port, "shop"))
    a.sh(BACKUP)
    rows = {kind: json.loads((util.tmp() / f"{kind}.json").read_text()) for kind in ("clusters", "routes", "listeners", "tokens")}
    tap.is_({k: len(v) for k, v in rows.items()}, {"clusters": 16, "routes": 2, "listeners": 2, "tokens": 1}, "bare arrays of all there is")

    tap.is_(set(a.sh(RESTORE).split()), {"200"}, "over itself: each element 200, unchanged")
    pg.createdb("empty")
    b = guide.Instance(pg, api=8081, xds=50052, database="empty")
    got = b.sh(RESTORE).split()
    tap.is_((set(got), got.count("201"), got.count("200")), ({"200", "201"}, 17, 3), "into an empty one: 201, or 200 for the untouched default")
    tap.is_(content(b), content(a), "the configuration equals the backup")
    b.stop()

    a.api("POST", "/apply", [{"kind": "cluster", **fleet.cluster(f"many-{i:04}", 9000)} for i in range(N)])
    a.sh(BACKUP)
    tap.is_(a.sh("jq length clusters.json"), str(N + 16), "complete whatever the number")
    tap.is_(a.sh("jq -r '.[].name' clusters.json | LC_ALL=C sort -u | wc -l").strip(), str(N + 16), "each once")
