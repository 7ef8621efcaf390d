#!/usr/bin/env python3
"""xds.descriptor_set (contract §5.8, §12.2): what it decides, which files are refused, and that a reload takes it or leaves all."""
import base64

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres

util.need_module("google.protobuf", "protobuf")
from google.protobuf import descriptor_pb2  # noqa: E402

EXT = "envoy.extensions.filters."
BUFFER = EXT + "http.buffer.v3.Buffer"
HCM = "envoy.filters.network.http_connection_manager"
TYPED = "/envoy/filterChains/0/filters/0/typedConfig/httpFilters/0/typedConfig"


def set_without(*names):
    """Our own set, but for these files."""
    full = descriptor_pb2.FileDescriptorSet.FromString((util.OBJS / "gen" / "descriptors.pb").read_bytes())
    out = descriptor_pb2.FileDescriptorSet()
    out.file.extend(f for f in full.file if f.name not in names)
    return out.SerializeToString()


def listener(name, port, typed):
    url = "type.googleapis.com/" + EXT
    return {"name": name, "envoy": {
        "address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}},
        "filterChains": [{"filters": [{"name": HCM, "typedConfig": {
            "@type": url + "network.http_connection_manager.v3.HttpConnectionManager", "statPrefix": "x",
            "routeConfig": {"name": "r", "virtualHosts": [{"name": "v", "domains": ["*"]}]},
            "httpFilters": [{"name": "one", "typedConfig": typed},
                            {"name": "router", "typedConfig": {"@type": url + "http.router.v3.Router"}}]}}]}]}}


def details(r):
    return [(d["pointer"], d["code"]) for d in r.json.get("details", [])]


with tap.run():
    fp = Flowplane(Postgres(), start=False)
    small, full = fp.dir / "small.pb", fp.dir / "full.pb"
    small.write_bytes(set_without("envoy/extensions/filters/http/buffer/v3/buffer.proto"))
    full.write_bytes(set_without())

    for title, content, why in [
            ("empty", b"", "no messages in it"), ("a text", b"syntax = proto3;\n", "not a google.protobuf.FileDescriptorSet"),
            ("cut off", full.read_bytes()[:-7], "not a google.protobuf.FileDescriptorSet"),
            ("without a kind", set_without("envoy/service/runtime/v3/rtds.proto"), "envoy.service.runtime.v3.Runtime is not in it"),
            ("with holes", set_without("envoy/type/v3/percent.proto"), "field ")]:
        bad = fp.dir / "bad.pb"
        bad.write_bytes(content)
        fp.write_conf({"xds.descriptor_set": bad})
        r = fp.command("-t")
        tap.ok(r.returncode == 1 and f"xds.descriptor_set: {bad}: {why}" in r.stderr, f"-t: {title}", r.stderr)
    fp.process = fp.spawn()
    tap.is_(fp.process.wait(60 * util.SLOW), 1, "no start with a bad one")
    tap.like(fp.log(), rf"xds.descriptor_set: {bad}: field ", "and the log says why")
    fp.process = None
    fp.write_conf({"xds.descriptor_set": fp.dir / "none.pb"})
    r = fp.command("-t")
    tap.ok(r.returncode == 1 and f"xds.descriptor_set: cannot open {fp.dir}/none.pb" in r.stderr, "-t: no such file", r.stderr)

    fp.write_conf({"xds.descriptor_set": small})
    tap.is_(fp.command("-t").returncode, 0, "-t: a good one")
    fp.start()
    buffer = {"@type": "type.googleapis.com/" + BUFFER, "maxRequestBytes": 5}
    r = fp.post("/api/v1/listeners", listener("one", 20001, buffer))
    tap.is_((r.status, details(r)), (400, [(TYPED + "/@type", "unsupported")]), "a type outside the set")
    text = r.json["details"][0]["message"]
    tap.ok(BUFFER in text and "xds.descriptor_set" in text, "names the type and the directive", text)
    opaque = {"type_url": "type.googleapis.com/" + BUFFER, "value": base64.b64encode(b"\x0a\x02\x08\x05").decode()}
    r = fp.post("/api/v1/listeners", listener("two", 20002, opaque))
    tap.ok(r.status == 201 and "unchecked_config" in r.headers.get("Flowplane-Warning", ""), "as base64 it is taken, with a warning",
           (r, r.headers))
    r = fp.post("/api/v1/listeners", listener("bad", 20003, {"@type": f"type.googleapis.com/{EXT}http.lua.v3.Lua", "statPrefix": 1}))
    tap.is_(details(r), [(TYPED + "/statPrefix", "invalid_type")], "types inside the set are checked")
    r = fp.post("/api/v1/clusters", {"name": "c", "envoy": {"connectTimeout": "0s", "healthChecks": [{"timeout": "1s"}]}})
    tap.is_(r.status, 400, "validate rules")
    tap.is_(sorted({c for _, c in details(r)}), ["constraint"], "are constraints")
    tap.is_(("/envoy/connectTimeout", "constraint") in details(r) and ("/envoy/healthChecks/0/interval", "constraint") in details(r), True,
            "all of them at once")

    # A reload with a broken file keeps everything, the set included.
    mark = len(fp.log())
    fp.write_conf({"xds.descriptor_set": bad, "process.workers": 3})
    fp.reload()
    fp.wait_log("reload failed, the configuration stays as it was", 20, mark)
    tap.like(fp.log()[mark:], f"xds.descriptor_set: {bad}: field ", "a reload with a broken file says why")
    tap.is_(len(fp.workers()), 2, "and changes nothing")
    r = fp.post("/api/v1/listeners", listener("one", 20001, buffer))
    tap.is_(details(r), [(TYPED + "/@type", "unsupported")], "the old set is in use")
    tap.is_(fp.get("/api/v1/listeners/two").status, 200, "what was stored is there")

    mark = len(fp.log())
    fp.write_conf({"xds.descriptor_set": full, "process.workers": 2})
    fp.reload()
    fp.wait_log(r"configuration reloaded, generation \d+ serves", 30, mark)
    r = fp.post("/api/v1/listeners", listener("one", 20001, buffer))
    tap.is_(r.status, 201, "a reload with a larger one: accepted now")
    r = fp.post("/api/v1/listeners", listener("three", 20004, dict(opaque, value="CgA=")))
    tap.is_(details(r), [(TYPED + "/value", "constraint")], "base64 of a known type is checked, rules and all")
    tap.like(r.json["details"][0]["message"], r"^in the envoy.extensions.filters.http.buffer.v3.Buffer at /maxRequestBytes: ",
             "and says where inside")
    r = fp.get("/api/v1/listeners/two?view=envoy")
    tap.is_(r.status, 200, "what was opaque is read with it")
    tap.ok('"maxRequestBytes":5' in r.text.replace(" ", ""), "as JSON", r.text[:600])
