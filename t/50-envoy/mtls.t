#!/usr/bin/env python3
"""xDS over mTLS with a real Envoy: it follows, certificates are renewed under it; who has none, or another's, gets nothing."""
import fp_fleet as fleet
from fp_harness import Backend, Certs, Envoy, Flowplane, Postgres, free_port, wait_until
from fp_tap import is_, ok, run

def refused(envoy, what, *why):
    """It tried again, and was given nothing."""
    envoy.wait_stat("cluster.xds_cluster.upstream_cx_total", lambda n: n >= 2, 20)
    dump = envoy.config_dump()
    is_((envoy.stat("cluster_manager.cds.update_success"), dump["clusters"], dump["listeners"]), (0, {}, {}), f"{what}: nothing")
    ok(any(envoy.stat(f"cluster.xds_cluster.{s}") for s in why), f"{what}: its connection was closed", envoy.stats("cluster.xds_cluster"))


with run():
    ca, stranger = Certs(), Certs("Other CA")
    fp = Flowplane(Postgres(), conf={**ca.xds_conf(), "process.worker_shutdown_timeout": "2s"})
    one, two, port = Backend("one"), Backend("two"), free_port()
    mine = ca.client("envoy", ("URI:spiffe://example.test/team/web/envoy",))
    fleet.lay(fp, port, one)
    envoy = Envoy(fp.xds_port, tls=mine, ca=ca.ca_file)
    is_(envoy.wait_get(port), (200, "one"), "mTLS: created with three calls, a request goes through")

    def follows(backend, what):
        fp.api("PUT", "/clusters/shop", fleet.cluster("shop", backend.port))
        wait_until(lambda: envoy.get(port) == (200, backend.name), 20, what)
        ok(True, what)

    follows(two, "mTLS: Envoy follows")
    node = next(n for n in fp.api("GET", "/nodes") if n["id"] == envoy.node_id)
    is_(node["tls"]["sans"], ["URI:spiffe://example.test/team/web/envoy"], "REST knows it by its certificate")

    # ---- who may not
    anonymous = Envoy(fp.xds_port, tls=(), ca=ca.ca_file)
    others = Envoy(fp.xds_port, tls=stranger.client("envoy"), ca=ca.ca_file)
    clear = Envoy(fp.xds_port)
    distrusting = Envoy(fp.xds_port, tls=mine, ca=stranger.ca_file)
    ends = ("upstream_cx_connect_fail", "upstream_cx_destroy_remote", "ssl.connection_error")
    refused(anonymous, "without a certificate", *ends)
    refused(others, "with a certificate of another CA", *ends)
    refused(clear, "in clear text", "upstream_cx_protocol_error", "upstream_cx_destroy")
    refused(distrusting, "an Envoy that does not trust the server", "ssl.fail_verify_error")
    is_({n["id"] for n in fp.api("GET", "/nodes")}, {envoy.node_id}, "and none of them is a node")

    # ---- renewal: a new server certificate and a reload; the old generation drains, Envoy comes back over the new one
    shaken = envoy.stat("cluster.xds_cluster.ssl.handshake")
    crt, key = ca.server()
    fp.write_conf({"xds.tls.cert_path": crt, "xds.tls.key_path": key})
    with fleet.Load(envoy, port, 50) as load:
        fp.reload()
        envoy.wait_stat("cluster.xds_cluster.ssl.handshake", lambda n: n > shaken, 40)
        envoy.wait_stat("control_plane.connected_state", lambda n: n == 1, 20)
        follows(one, "a new server certificate and a reload: Envoy follows")
    is_(load.failed(), {}, "no request failed meanwhile")

    # ---- certificates optional
    fp.stop()
    fp.write_conf({"xds.tls.require_client_cert": False})
    fp.start()
    anonymous.restart()  # its back-off has grown by now
    anonymous.wait_for(lambda d: "shop" in d["clusters"] and "shop" in d["listeners"], 30)
    ok(True, "require_client_cert off: one without a certificate follows")
    node = next(n for n in fp.api("GET", "/nodes") if n["id"] == anonymous.node_id)
    is_((node["tls"] or {}).get("sans", []), [], "and has no identity")
    follows(two, "beside the one that has one")
