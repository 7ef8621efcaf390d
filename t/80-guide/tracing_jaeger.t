#!/usr/bin/env python3
"""§16 "FLOWPLANE_ENABLE_TRACING, FLOWPLANE_JAEGER_ENDPOINT, FLOWPLANE_SERVICE_NAME": spans in an unmodified Jaeger, by Thrift
over HTTP and by OTLP; each story is one trace.  There is no import yet: the third story is what it will be built on, a set
that is applied, then its generation."""
import fp_guide as guide
import fp_tap as tap
import fp_xds as xds
from fp_harness import Postgres, wait_until
from fp_jaeger import Jaeger
from fp_tap import is_, ok


def server_span(r):
    """The trace of an answer."""
    return r.headers["traceparent"].split("-")[1]


def stories(fp, jaeger, service):
    def arrives(trace, want, what):
        """Audit rows of uses are written once a minute: on a slow machine they are where they are not asked for."""
        names = {name for name, _ in want}
        want = sorted(((service, name, parent) for name, parent in want), key=str)

        def spans():
            return [s for s in jaeger.trace(trace) if s[1] in names or s[1] != "audit_write"]
        wait_until(lambda: len(spans()) >= len(want), 60, what)
        is_(spans(), want, f"{service}: {what}: one trace")

    request = [("http_request", None), ("auth", "http_request")]
    written = [*request, ("db_transaction", "http_request"), ("snapshot_build", "http_request")]
    with xds.Channel(fp.xds_port) as channel:
        s = channel.ads(node_id="envoy-1")
        s.subscribe("cluster")
        s.ack(s.expect("cluster"))
        r = fp.post("/api/v1/clusters", {"name": f"{service}-a", "endpoints": [{"host": "127.0.0.1", "port": 80}]})
        is_(r.status, 201, "a write, in a trace of its own")
        s.ack(s.expect("cluster"))
        arrives(server_span(r), [*written, ("xds_push", "snapshot_build"), ("xds_ack", "xds_push")],
                "write → database → push → ACK")
    token = fp.api("POST", "/tokens", {"name": service, "scopes": ["clusters:read"]})["token"]
    r = fp.get("/api/v1/clusters", token=token)
    arrives(server_span(r), [*request, ("audit_write", "auth")], "authentication → audit write")
    r = fp.post("/api/v1/apply", [{"kind": "cluster", "name": f"{service}-{n}", "endpoints": [{"host": "127.0.0.1", "port": 80}]}
                                  for n in ("x", "y")])
    is_(r.status, 200, "a set")
    arrives(server_span(r), written, "a set → its generation")


with tap.run():
    jaeger = Jaeger()
    pg = Postgres()
    fp = guide.Instance(pg, FLOWPLANE_ENABLE_TRACING="true", FLOWPLANE_SERVICE_NAME="shop-control-plane",
                        FLOWPLANE_JAEGER_ENDPOINT=f"http://localhost:{jaeger.thrift_port}/api/traces")
    fp.get("/api/v1/clusters")  # the first use of the token
    stories(fp, jaeger, "shop-control-plane")
    ok("shop-control-plane" in jaeger.get("/services"), "Jaeger lists the service")
    operations = {"auth", "db_transaction", "http_request", "snapshot_build", "xds_push", "xds_ack", "audit_write"}
    wait_until(lambda: set(jaeger.get("/services/shop-control-plane/operations")) >= operations, 60, "the operations")
    is_(set(jaeger.get("/services/shop-control-plane/operations")), operations, "and its operations")
    failed = fp.get("/api/v1/clusters", token="fp_pat_00000000-0000-4000-8000-000000000000.no-such-secret-anywhere-at-all")
    wait_until(lambda: len(jaeger.trace(server_span(failed))) == 3, 60, "a failure with its audit row")
    tags = {t["key"]: t["value"] for s in jaeger.get(f"/traces/{server_span(failed)}")[0]["spans"]
            if s["operationName"] == "http_request" for t in s["tags"]}
    is_((tags["method"], tags["path"], tags["status"], tags["span.kind"]), ("GET", "/api/v1/clusters", 401, "server"), "tags")

    otlp = guide.Instance(pg, api=8081, xds=50052, name="otlp", FLOWPLANE_ENABLE_TRACING="true", FLOWPLANE_SERVICE_NAME="by-otlp",
                          FLOWPLANE_OTLP_ENDPOINT=f"http://localhost:{jaeger.otlp_port}")
    otlp.token = fp.token
    fp.stop()  # else its push of the same write is in the trace too
    otlp.get("/api/v1/clusters")
    stories(otlp, jaeger, "by-otlp")
