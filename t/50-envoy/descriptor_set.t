#!/usr/bin/env python3
"""xds.descriptor_set extracted from the Envoy that follows: what our own set does not have is taken, served, and runs there."""
import subprocess
import sys

import fp_fleet as fleet
import fp_tap as tap
import fp_util as util
from fp_harness import Backend, Envoy, Flowplane, Postgres, free_port

sys.path.insert(0, "t/20-pb")
util.need_module("google.protobuf", "protobuf")
util.need_module("grpc_reflection.v1alpha.proto_reflection_descriptor_database", "grpcio-reflection")
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as reflection  # noqa: E402
import fp_protos as protos  # noqa: E402
import fp_xds as xds  # noqa: E402

URL = "type.googleapis.com/envoy.extensions."
HCM = "envoy.filters.network.http_connection_manager"
STATE = "filters.http.set_filter_state.v3.Config"
TYPED = "/envoy/filterChains/0/filters/0/typedConfig/httpFilters/0/typedConfig"

binary = protos.envoy_binary()
if binary is None:
    tap.skip_all("needs the program envoy")


def listener(name, port, typed):
    return {"name": name, "envoy": {
        "address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}},
        "filterChains": [{"filters": [{"name": HCM, "typedConfig": {
            "@type": URL + "filters.network.http_connection_manager.v3.HttpConnectionManager", "statPrefix": "x",
            "routeConfig": {"name": "r", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": "shop"}}]}]},
            "httpFilters": [{"name": "one", "typedConfig": typed},
                            {"name": "envoy.filters.http.router", "typedConfig": {"@type": URL + "filters.http.router.v3.Router"}}],
            "accessLog": []}}]}]}}


def state(**more):
    return {"@type": URL + STATE, "onRequestHeaders": [{"objectKey": "test.who", "factoryKey": "envoy.string", "formatString": {
        "textFormatSource": {"inlineString": "%REQ(who)%"}}, **more}]}


with tap.run():
    set_file = util.tmp() / "envoy.pb"
    r = subprocess.run([util.OBJS / "flowplanectl", "descriptors", "extract", "--envoy", binary, "--output", set_file],
                       capture_output=True, text=True, timeout=util.patience())
    tap.is_(r.returncode, 0, "flowplanectl descriptors extract") or tap.diag(r.stderr)
    ours = protos.flatten(protos.our_set())
    tap.ok(f".envoy.extensions.{STATE}" not in ours, "a filter that our own set does not have")

    fp = Flowplane(Postgres(), conf={"xds.descriptor_set": set_file})
    back, port = Backend("one"), free_port()
    fp.api("POST", "/clusters", fleet.cluster("shop", back.port), want=201)
    envoy = Envoy(fp.xds_port)
    r = fp.post("/api/v1/listeners?wait=acked&timeout=60s", listener("edge", port, state()))
    tap.is_((r.status, r.headers.get("Flowplane-Wait")), (201, "acked"), "accepted, served, and accepted by Envoy")
    envoy.wait_get(port)
    tap.ok(True, "traffic flows through it")
    there = envoy.config_dump()["listeners"]["edge"]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]
    tap.is_((there["typed_config"]["@type"], there["typed_config"]["on_request_headers"][0]["object_key"]), (URL + STATE, "test.who"),
            "it is what Envoy runs")
    r = fp.get("/api/v1/listeners/edge?view=envoy")
    tap.ok('"objectKey":"test.who"' in r.text.replace(" ", ""), "and what REST shows", r.text[:500])

    r = fp.post("/api/v1/listeners", listener("bad", free_port(), {"@type": URL + STATE, "onRequestHeaders": [{"objectKey": ""}]}))
    tap.is_([(d["pointer"], d["code"]) for d in r.json["details"]],
            [(TYPED + "/onRequestHeaders/0", "constraint"), (TYPED + "/onRequestHeaders/0/objectKey", "constraint")],
            "its own validate rules hold") or tap.diag(r.text)
    r = fp.post("/api/v1/listeners", listener("bad", free_port(), state(nonsense=1)))
    tap.is_([(d["pointer"], d["code"]) for d in r.json["details"]], [(TYPED + "/onRequestHeaders/0/nonsense", "unknown_field")],
            "its fields are known")
    for kind in ("clusters", "listeners", "routes"):
        tap.is_(fp.get(f"/api/v1/{kind}").status, 200, f"{kind}: what was made before them is there")
    with xds.Channel(fp.xds_port) as ch:
        db = reflection.ProtoReflectionDescriptorDatabase(ch.channel)
        tap.is_([db.FindFileContainingSymbol(s).package for s in (f"envoy.extensions.{STATE}", "grpc.reflection.v1.ServerReflection")],
                ["envoy.extensions.filters.http.set_filter_state.v3", "grpc.reflection.v1"],
                "reflection knows both, the set and what only servers have")
    # Native resources go through the same set.
    route_port = free_port()
    fp.api("POST", "/routes", fleet.route("plain", "shop"), want=201)
    r = fp.post("/api/v1/listeners?wait=acked&timeout=60s", fleet.listener("plain", route_port, "plain"))
    tap.is_((r.status, r.headers.get("Flowplane-Wait")), (201, "acked"), "a listener of the high-level form")
    envoy.wait_get(route_port)
    tap.is_(envoy.stat("listener_manager.lds.update_rejected"), 0, "Envoy rejected nothing")
