#!/usr/bin/env python3
"""§16 "RUST_LOG=info,flowplane=debug; the sample log event", "Fluentd time_format %Y-%m-%dT%H:%M:%S%z",
"RUST_LOG=debug,flowplane::xds_server=trace, RUST_LOG=sqlx=debug", "docker logs --tail"."""
import json
import time

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_util as util
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until

guide.need("curl", "jq")


def stream(fp):
    with xds.Channel(fp.xds_port) as ch:
        s = ch.ads(node_id="traced-node")
        s.subscribe("cluster")
        s.ack(s.expect("cluster"))
        s.fence()


with tap.run():
    pg = Postgres()
    fp = guide.Instance(pg, RUST_LOG="info,flowplane=debug")
    fp.sh('curl -s -o /dev/null $API/api/v1/clusters -H "Authorization: Bearer $TOKEN"')
    fp.sh("curl -s -o /dev/null $API/healthz")
    text = fp.log()
    text = text[:text.rindex("\n") + 1]  # it goes on growing
    (fp.dir / "log.now").write_text(text)
    lines = [line for line in text.splitlines() if line.startswith("{")]
    events = [json.loads(line) for line in lines]
    banner = [line for line in text.splitlines() if not line.startswith("{")]
    tap.ok(len(banner) <= 10 and "BOOTSTRAP" in "".join(banner), "one JSON line per event, but for the banner", banner)
    tap.is_([e for e in events if sorted(e) != ["fields", "level", "target", "timestamp"]], [], "exactly the four keys")
    tap.is_([e for e in events if not (isinstance(e["timestamp"], str) and e["level"] in ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
                                       and isinstance(e["target"], str) and isinstance(e["fields"], dict)
                                       and isinstance(e["fields"].get("message"), str))], [], "of these types")
    (event,) = [e for e in events if e["fields"].get("path") == "/api/v1/clusters"]
    f = event["fields"]
    tap.is_((event["level"], event["target"], f["message"], f["method"], f["status"], type(f["duration_ms"]), f["user_id"]),
            ("INFO", "flowplane::api", "API request processed", "GET", 200, int, "fp_pat_" + fp.token[7:43]), "the sample event")
    tap.is_([e["fields"]["user_id"] for e in events if e["fields"].get("path") == "/healthz"][-1], None, "user_id null without a token")
    tap.is_(fp.sh("grep '^{' $LOG | jq -r .level | sort -u | grep -c .", LOG=fp.dir / "log.now"), str(len({e["level"] for e in events})), "jq reads each")
    bad = []
    for e in events:
        try:
            time.strptime(e["timestamp"], "%Y-%m-%dT%H:%M:%S%z")
        except ValueError:
            bad.append(e["timestamp"])
    tap.is_(bad, [], f"Fluentd's time_format parses each of {len(events)} timestamps")
    fp.stop()

    # ---- per-message lines of xDS, statements
    fp = guide.Instance(pg, RUST_LOG="debug,flowplane::xds_server=trace")
    stream(fp)
    trace = [e["fields"] for e in fp.log_events() if e["target"] == "flowplane::xds_server" and e["level"] == "TRACE"]
    tap.ok(len(trace) >= 3, "flowplane::xds_server=trace: a line per message", trace)
    tap.ok(all(e["target"].startswith("flowplane::xds_server") for e in fp.log_events() if e["level"] == "TRACE"), "of that target alone")
    fp.stop()
    token = pg.psql("SELECT token_id FROM tokens")
    fp = guide.Instance(pg, RUST_LOG="sqlx=debug")
    wait_until(lambda: [e for e in fp.log_events() if e["target"] == "sqlx::query"], 10, "statements")
    queries = [e for e in fp.log_events() if e["target"] == "sqlx::query"]
    tap.is_([e for e in queries if e["level"] != "DEBUG" or not ({"usec", "duration_ms", "duration_us", "elapsed"} & set(e["fields"]))], [],
            "sqlx=debug: each statement with its duration")
    tap.is_([e for e in fp.log_events() if e["target"] != "sqlx::query"], [], "and nothing else")
    tap.unlike(fp.log(), token, "no parameter value")
    fp.stop()

    # ---- live, by a reload of the file
    fp = Flowplane(pg, conf={"observability.log_filter": "info"})
    fp.token = None
    stream(fp)
    tap.unlike(fp.log(), '"level":"TRACE"', "info: no trace")
    fp.write_conf({"observability.log_filter": "info,flowplane::xds_server=trace,sqlx=debug"})
    start = len(fp.log())
    fp.reload()
    fp.wait_log("configuration reloaded", 30, start)

    def traced():
        try:
            stream(fp)
        except xds.Ended:  # it came to a worker that drains
            return False
        return '"level":"TRACE","target":"flowplane::xds_server"' in fp.log() and '"target":"sqlx::query"' in fp.log()
    wait_until(traced, 20, "trace lines after the reload", every=0.2)
    tap.ok(True, "the reload of the file takes the new filter up")
