#!/usr/bin/env python3
"""§16 "Services flowplane-api, flowplane-xds": the variables Kubernetes injects are ignored with one INFO line."""
import fp_guide as guide
import fp_tap as tap
from fp_harness import Postgres


def links(service, port, host="10.96.12.7"):
    name = service.upper().replace("-", "_")
    tcp = f"{name}_PORT_{port}_TCP"
    return {f"{name}_SERVICE_HOST": host, f"{name}_SERVICE_PORT": str(port), f"{name}_PORT": f"tcp://{host}:{port}",
            tcp: f"tcp://{host}:{port}", f"{tcp}_PROTO": "tcp", f"{tcp}_PORT": str(port), f"{tcp}_ADDR": host}


with tap.run():
    fp = guide.Instance(Postgres(), start=False, **links("flowplane-api", 8080), **links("flowplane-xds", 50051))
    if not guide.OWN:  # the default ports may be somebody else's
        fp.args = ["-g", f"api.port = {fp.api_port}", "-g", f"xds.port = {fp.xds_port}"]
    fp.start()
    tap.is_(fp.get("/healthz", token=None).status, 200, f"the API at port {fp.api_port}")
    tap.ok(guide.util.port_open(fp.xds_port), f"xDS at port {fp.xds_port}")
    events = [e for e in fp.log_events() if "SERVICE" in e["fields"]["message"] or "Kubernetes" in e["fields"]["message"]]
    tap.is_([e["level"] for e in events], ["INFO"], "one INFO line") or tap.diag(fp.log()[:3000])
    tap.is_([e for e in fp.log_events() if e["level"] in ("WARN", "ERROR") and "FLOWPLANE_" in e["fields"]["message"]], [], "no warning")
