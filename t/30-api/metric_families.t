#!/usr/bin/env python3
"""Each metric family of contract §11.2: name, type and labels; its value after traffic that feeds it; counters never go down,
whoever is scraped, over workers and watchers that are killed, and reloads."""
import os
import re
import signal

import fp_util as util
import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_metrics import scrape, series, value
from fp_tap import is_, ok, run

C, G, H = "counter", "gauge", "histogram"
FAMILIES = {
    "http_requests_total": (C, "method path status"), "http_responses_total": (C, "status"),
    "http_request_duration_seconds": (H, "method path"),
    "flowplane_active_tokens": (G, ""), "flowplane_xds_connections": (G, ""), "xds_connections_total": (G, ""),
    "auth_tokens_active_total": (G, "state"),
    "flowplane_db_connection_pool_size": (G, ""), "flowplane_db_connection_pool_max": (G, ""), "db_connections_active": (G, ""),
    "xds_requests_total": (C, "type_url"), "xds_responses_total": (C, "type_url status"), "xds_stream_duration_seconds": (H, ""),
    "db_queries_total": (C, "operation table status"), "db_query_duration_seconds": (H, "operation"),
    "config_updates_total": (C, "resource_type operation"), "config_objects_total": (G, "resource_type"),
    "system_uptime_seconds": (G, ""), "memory_usage_bytes": (G, ""),
    "flowplane_audit_log_writes": (C, ""), "auth_tokens_created_total": (C, ""), "auth_tokens_revoked_total": (C, ""),
    "auth_tokens_rotated_total": (C, ""), "auth_authentications_total": (C, "status"),
    "flowplane_xds_streams": (G, "type mode"),
    "flowplane_xds_pushes_total": (C, "type"), "flowplane_xds_acks_total": (C, "type"), "flowplane_xds_nacks_total": (C, "type"),
    "flowplane_xds_stale_nonces_total": (C, ""), "flowplane_xds_coalesced_pushes_total": (C, ""),
    "flowplane_xds_write_timeouts_total": (C, ""), "flowplane_xds_identity_mismatches_total": (C, ""),
    "flowplane_xds_repeated_nodes_total": (C, ""),
    "flowplane_xds_held_removals": (G, ""), "flowplane_xds_open_nacks": (G, "type"),
    "flowplane_config_unbuildable_resources": (G, "type"), "flowplane_config_propagation_seconds": (H, "stage"),
    "flowplane_snapshot_revision": (G, ""), "flowplane_snapshot_bytes": (G, ""), "flowplane_snapshot_age_seconds": (G, ""),
    "flowplane_snapshot_resources": (G, "type"),
    "flowplane_config_last_reload_successful": (G, ""), "flowplane_database_up": (G, ""), "flowplane_database_listen_up": (G, ""),
    "flowplane_worker_restarts_total": (C, "role"), "flowplane_log_lines_dropped_total": (C, ""),
    "flowplane_trace_spans_dropped_total": (C, ""),
    "flowplane_build_info": (G, "version revision compiler"),
    "process_cpu_seconds_total": (C, ""), "process_resident_memory_bytes": (G, ""), "process_virtual_memory_bytes": (G, ""),
    "process_open_fds": (G, ""), "process_max_fds": (G, ""), "process_start_time_seconds": (G, ""),
}
# with TLS only: t/80-guide/prometheus_scrape.t
TLS_ONLY = {"flowplane_certificate_expiry_timestamp_seconds"}
USUAL = ["0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
AUTHENTICATIONS = ("success", "missing_bearer", "malformed", "not_found", "inactive", "expired", "invalid_secret")


def cluster(name):
    return {"name": name, "endpoints": [{"host": "127.0.0.1", "port": 80}]}


def listener(name, target):
    return {"name": name, "address": "127.0.0.1", "port": util.free_port(), "filterChains": [
        {"filters": [{"name": "tcp", "type": "tcpProxy", "cluster": target}]}]}


def counters(text):
    """{series: number} of everything that may only grow."""
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)", text, re.M))
    out = {}
    for name, labels, number in series(text):
        family = re.sub(r"_(bucket|sum|count)$", "", name) if name not in types else name
        if types[family] in (C, H):
            out[(name, *sorted(labels.items()))] = number
    return out


def eventually(fp, want, what, name, **labels):
    wait_until(lambda: value(scrape(fp), name, **labels) == want, 20, f"{name} {labels} {want}")
    ok(True, f"{name}{labels or ''}: {what}")


def check_form(text):
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)", text, re.M))
    is_({n: types.get(n) for n in FAMILIES}, {n: t for n, (t, _) in FAMILIES.items()}, "every family, of its type")
    is_(set(types) - set(FAMILIES) - TLS_ONLY, set(), "and no others")
    wrong, seen, keys = [], set(), []
    for name, labels, _ in series(text):
        family = re.sub(r"_(bucket|sum|count)$", "", name) if name not in types else name
        want = {"service", *FAMILIES[family][1].split()} | ({"le"} if name.endswith("_bucket") and family != name else set())
        seen.add(family)
        keys.append((name, *sorted(labels.items())))
        if set(labels) != want:
            wrong.append((name, labels))
    is_(wrong, [], "each series has the labels of its family and service")
    is_(sorted(set(FAMILIES) - seen), [], "every family has series after this traffic")
    is_([k for k in set(keys) if keys.count(k) > 1], [], "no series twice")
    for family in (n for n, (t, _) in FAMILIES.items() if t == H):
        les = list(dict.fromkeys(l["le"] for n, l, _ in series(text) if n == family + "_bucket"))
        more = ["30", "60"] if "propagation" in family else []
        is_(les, USUAL[:-1] + more + USUAL[-1:], f"{family}: le")


def authentications(fp):
    revoked = fp.api("POST", "/tokens", {"name": "gone", "scopes": ["clusters:read"]})["token"]
    fp.api("DELETE", "/tokens/" + revoked.split(".")[0][7:])
    expired = fp.api("POST", "/tokens", {"name": "old", "scopes": ["clusters:read"], "expiresAt": "2001-01-01T00:00:00Z"})["token"]
    rotated = fp.api("POST", "/tokens", {"name": "turn", "scopes": ["clusters:read"]})
    fp.api("POST", f"/tokens/{rotated['id']}/rotate")
    wrong = fp.token.split(".")[0] + "." + "x" * len(fp.token.split(".")[1])
    unknown = "fp_pat_00000000-0000-4000-8000-000000000000." + "x" * len(fp.token.split(".")[1])
    for token in (None, "nonsense", unknown, revoked, expired, wrong):
        fp.get("/api/v1/clusters", token=token)


with run():
    pg = Postgres()
    fp = Flowplane(pg, conf={"xds.nack_policy": "hold", "xds.ordering_timeout": "60s"})

    # ---- tokens
    authentications(fp)
    text = scrape(fp)
    is_([value(text, "auth_authentications_total", status=s) is not None for s in AUTHENTICATIONS], [True] * len(AUTHENTICATIONS),
        "authentications by each outcome")
    is_([value(text, f"auth_tokens_{what}_total") for what in ("created", "revoked", "rotated")], [3, 1, 1], "tokens created, revoked, rotated")

    # ---- xDS: pushes, ACKs, NACKs, holds; how long a commit takes
    fp.api("POST", "/clusters", cluster("a"))
    fp.api("POST", "/listeners", listener("l", "a"))
    fp.settle()  # by the stream's worker too: else they are pushes, whose ACKs count
    with xds.Channel(fp.xds_port) as channel:
        s = channel.ads(node_id="n1")
        for t in ("cluster", "listener"):
            s.subscribe(t)
            s.ack(s.expect(t))
        eventually(fp, 1, "one stream", "flowplane_xds_streams", type="ADS", mode="sotw")
        acked = value(scrape(fp), "flowplane_config_propagation_seconds_count", stage="acked") or 0
        fp.api("POST", "/clusters", cluster("b"))
        first = s.expect("cluster")
        s.ack(first)
        eventually(fp, acked + 1, "commit → ACK of a node and type", "flowplane_config_propagation_seconds_count", stage="acked")
        ok(value(scrape(fp), "flowplane_config_propagation_seconds_count", stage="published") >= 1, "commit → served")
        fp.api("DELETE", "/listeners/l")
        held = s.expect("listener")  # its ACK is not sent yet
        fp.api("DELETE", "/clusters/a")
        eventually(fp, 1, "a removal waits for the listener's ACK", "flowplane_xds_held_removals")
        s.ack(held)
        s.ack(s.expect("cluster"))
        eventually(fp, 0, "none any more", "flowplane_xds_held_removals")
        fp.api("POST", "/clusters", cluster("c"))
        s.nack(s.expect("cluster"), "no")
        eventually(fp, 1, "a rejection", "flowplane_xds_open_nacks", type="CDS")
        text = scrape(fp)
        is_((value(text, "flowplane_xds_nacks_total", type="CDS"), value(text, "xds_responses_total", type_url=xds.TYPES["cluster"], status="error")),
            (1, 1), "counted")
        fp.api("POST", "/clusters", cluster("d"))
        s.ack(s.expect("cluster"))
        eventually(fp, 0, "taken back", "flowplane_xds_open_nacks", type="CDS")
        s.ack(first)  # of an older answer
        eventually(fp, 1, "a stale nonce", "flowplane_xds_stale_nonces_total")
        is_(value(scrape(fp), "flowplane_xds_repeated_nodes_total") or 0, 0, "the node came once, as it should")
        s.send("route", ["r"], node=True)
        eventually(fp, 1, "I-7: and again: a client without set_node_on_first_message_only", "flowplane_xds_repeated_nodes_total")
        is_(value(scrape(fp), "flowplane_xds_streams", type="ADS", mode="delta"), 0, "no delta stream")
    eventually(fp, 0, "the stream is gone", "flowplane_xds_streams", type="ADS", mode="sotw")

    # ---- a row that cannot be built
    pg.psql("""UPDATE clusters SET configuration = '{"endpoints": 7}' WHERE name = 'b'""")
    fp.allow("cannot be built")
    eventually(fp, 1, "a row edited to nonsense", "flowplane_config_unbuildable_resources", type="CDS")
    is_(value(scrape(fp), "flowplane_config_unbuildable_resources"), 1, "and of no other type")
    pg.psql("DELETE FROM clusters WHERE name = 'b'")
    eventually(fp, 0, "gone", "flowplane_config_unbuildable_resources", type="CDS")
    check_form(scrape(fp))

    # ---- counters never go down
    def grows(what):
        """Both workers are asked, whichever answers."""
        global before
        for _ in range(8):
            now = counters(scrape(fp))
            less = {k: (v, now.get(k)) for k, v in before.items() if now.get(k, -1) < v}
            if less:
                ok(False, f"{what}: no counter goes down", str(less))
                return
            before = now
        ok(True, f"{what}: no counter goes down")

    before = {}
    grows("at rest")
    fp.allow(r"worker .*(signal|killed|SIGKILL)|watcher .*(signal|killed|SIGKILL)")
    for pid in fp.workers():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(fp.workers()) == 2 and fp._answers("/readyz"), 20, "new workers")
    eventually(fp, 2, "two killed", "flowplane_worker_restarts_total", role="worker")
    grows("workers killed")
    watcher = [p for p in fp.children() if p not in fp.workers()]
    os.kill(watcher[0], signal.SIGKILL)
    eventually(fp, 1, "the watcher too", "flowplane_worker_restarts_total", role="watcher")
    grows("watcher killed")
    start = len(fp.log())
    fp.reload()
    fp.wait_log("configuration reloaded", start=start)
    wait_until(lambda: fp._answers("/readyz"), 20, "ready")
    grows("reload")
    is_(value(scrape(fp), "flowplane_worker_restarts_total", role="worker"), 2, "a reload is no restart")
    fp.api("POST", "/clusters", cluster("after"))
    grows("a write behind it")
