#!/usr/bin/env python3
"""The whole program over TLS (contract §9.5): REST over HTTPS, a real Envoy over mTLS, certificates exchanged by a reload."""
import shutil
import ssl
import subprocess

import fp_tap as tap
import fp_util as util
from fp_certs import Certs
from fp_envoy import Backend, Envoy
from fp_harness import Flowplane, Postgres


def serial(port, ca, alpn="http/1.1", cert=None):
    """Of the certificate that the server shows, None when it will not talk."""
    ctx = ssl.create_default_context(cafile=str(ca.ca_file))
    ctx.set_alpn_protocols([alpn])
    if cert:
        ctx.load_cert_chain(*map(str, cert))
    import socket
    try:
        with socket.create_connection(("127.0.0.1", port), util.patience()) as s, ctx.wrap_socket(s, server_hostname="localhost") as t:
            return int(t.getpeercert()["serialNumber"], 16)
    except (ssl.SSLError, OSError):
        return None


with tap.run():
    ca = Certs()
    crt, key = ca.server()
    live = [util.tmp() / n for n in ("live.pem", "live.key")]

    def install(pair):
        for a, b in zip(pair, live):
            shutil.copy(a, b)

    install((crt, key))
    fp = Flowplane(Postgres(), certs=ca, conf={
        "api.tls.enabled": True, "api.tls.cert_path": live[0], "api.tls.key_path": live[1],
        "xds.tls.cert_path": live[0], "xds.tls.key_path": live[1], "xds.tls.client_ca_path": ca.ca_file,
        "process.worker_shutdown_timeout": "2s"})
    first = serial(fp.api_port, ca)
    backend, port = Backend("one"), util.free_port()
    fp.api("POST", "/clusters", {"name": "c", "endpoints": [{"host": "127.0.0.1", "port": backend.port}]})
    fp.api("POST", "/routes", {"name": "r", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
        {"name": "all", "match": {"path": {"type": "prefix", "value": "/"}}, "action": {"type": "forward", "cluster": "c"}}]}]})
    hcm = "envoy.filters.network.http_connection_manager"
    fp.api("POST", "/listeners", {"name": "l", "address": "127.0.0.1", "port": port, "filterChains": [{"name": "f", "filters": [
        {"name": hcm, "type": "httpConnectionManager", "routeConfigName": "r", "httpFilters": [{"filter": {"type": "router"}}]}]}]})
    envoy = Envoy(fp.xds_port, tls=ca.client("envoy"), ca=ca.ca_file)
    tap.is_(envoy.wait_get(port)[1], "one", "Envoy follows over mTLS and traffic flows")
    r = subprocess.run(["curl", "-sS", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "--cacert", ca.ca_file,
                        "-H", f"Authorization: Bearer {fp.token}", f"https://localhost:{fp.api_port}/api/v1/clusters"],
                       capture_output=True, text=True)
    tap.is_(r.stdout, "2 200", "curl speaks HTTP/2 over TLS")
    r = subprocess.run(["curl", "-sS", f"http://localhost:{fp.api_port}/healthz"], capture_output=True, text=True)
    tap.like(r.stdout, '"error":"bad_request"', "plain HTTP on the TLS port: an error body that says so")
    fp.allow("TLS handshake failed")
    tap.is_(serial(fp.xds_port, ca, "h2", ca.client("x")), first, "the xDS port shows the same certificate")

    second = ca.server()
    install(second)
    mark = len(fp.log())
    fp.reload()
    fp.wait_log("configuration reloaded", start=mark)  # the old workers accept no more
    me = ca.client("y")

    def shown():
        """What several connections see."""
        return {serial(fp.api_port, ca) for _ in range(8)} | {serial(fp.xds_port, ca, "h2", me) for _ in range(8)}

    new = serial(fp.api_port, ca)
    tap.ok(new not in (first, None) and shown() == {new}, "a reload exchanges the certificate on both ports")
    two = Backend("two")
    fp.api("PUT", "/clusters/c", {"name": "c", "endpoints": [{"host": "127.0.0.1", "port": two.port}]})
    util.wait_until(lambda: envoy.get(port)[1] == "two", 20, "the change")
    tap.ok(True, "Envoy follows on, through the drain of the old workers")

    install((second[0], key))  # a key of another certificate
    mark = len(fp.log())
    fp.reload()
    fp.wait_log("does not match the certificate", 15, mark)
    tap.is_(shown(), {new}, "a key that does not match: refused with its reason, the old certificate stays")
    tap.is_(envoy.get(port)[1], "two", "and Envoy has noticed nothing")
