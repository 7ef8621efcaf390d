#!/usr/bin/env python3
"""Client identity and live certificates on the xDS port (contract §9.4, §9.5; I-9, E-7)."""
import os
import shutil

import grpc

import fp_tap as tap
import fp_xds as xds
from fp_certs import Certs
from fp_harness import Flowplane, Postgres, wait_until

PATTERN = "spiffe://mesh.test/team/{team}"


def cluster(name):
    return {"name": name, "endpoints": [{"host": "127.0.0.1", "port": 8080}]}


def route(name, cluster_name):
    return {"name": name, "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
        {"name": "all", "match": {"path": {"type": "prefix", "value": "/"}},
         "action": {"type": "forward", "cluster": cluster_name}}]}]}


def listener(name, port, team):
    return {"name": name, "team": team, "address": "127.0.0.1", "port": port, "filterChains": [{"name": "c", "filters": [
        {"name": "envoy.filters.network.http_connection_manager", "type": "httpConnectionManager",
         "routeConfigName": name}]}]}


def stream(fp, tls, **more):
    """(channel, stream) with LDS asked for."""
    ch = xds.Channel(fp.xds_port, tls=tls, ca=certs.ca_file)
    s = ch.ads(**more)
    s.subscribe("listener")
    return ch, s


def sees(fp, tls, **more):
    ch, s = stream(fp, tls, **more)
    with ch:
        return xds.names(s.expect("listener"))


def refused(fp, tls, **more):
    ch, s = stream(fp, tls, **more)
    with ch:
        return s.expect_end().code


def serial_of(port, ca):
    """Subject of the server's certificate as a new client sees it."""
    import socket
    import ssl
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    context.load_cert_chain(*pay)
    with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw) as s:
        return s.getpeercert()["serialNumber"]


def put(path, new):
    """A file replaced as tools do it: at once."""
    shutil.copy(new, f"{path}.new")
    os.chmod(f"{path}.new", 0o644)
    os.replace(f"{path}.new", path)


with tap.run():
    certs = Certs()
    pay, ops = (certs.client(t, [f"URI:spiffe://mesh.test/team/{t}"]) for t in ("pay", "ops"))
    nobody, other = certs.client("nobody"), certs.client("other", ["URI:spiffe://elsewhere/team/pay"])
    dns = certs.client("dns", ["DNS:x.test", "URI:spiffe://mesh.test/team/pay"])
    live = certs.dir / "live"
    live.mkdir()
    names = {k: live / k for k in ("cert.pem", "key.pem", "ca.pem", "crl.pem")}
    crt, key = certs.server()
    for name, path in (("cert.pem", crt), ("key.pem", key), ("ca.pem", certs.ca_file), ("crl.pem", certs.crl())):
        put(names[name], path)
    conf = {"xds.tls.cert_path": names["cert.pem"], "xds.tls.key_path": names["key.pem"],
            "xds.tls.client_ca_path": names["ca.pem"], "xds.tls.crl_path": names["crl.pem"],
            "xds.team_from_san": PATTERN, "xds.require_client_identity": True,
            "process.worker_shutdown_timeout": "1h", "bootstrap.default_gateway": False}
    pg = Postgres()
    fp = Flowplane(pg, conf=conf, certs=certs)
    fp.api("POST", "/clusters", cluster("c"), want=201)
    for i, team in enumerate(("ops", "pay")):
        fp.api("POST", "/routes", route(team, "c"), want=201)
        fp.api("POST", "/listeners", listener(team, 18080 + i, team), want=201)
    fp.settle()

    tap.diag("who is who")
    tap.is_(sees(fp, pay), ["pay"], "the team of the certificate is the scope")
    tap.is_(sees(fp, dns), ["pay"], "any of its names may say it")
    tap.is_(sees(fp, ops, metadata={"team": "pay"}), ["ops"], "I-9: whatever the metadata says")
    tap.is_(sees(fp, ops, metadata={"listener_allowlist": ["pay", "ops"]}), ["ops"], "an allow-list is cut to the team")
    tap.ok(fp.wait_log("says team pay, its certificate says ops"), "I-9: a mismatch is told")
    tap.is_(refused(fp, nobody), grpc.StatusCode.PERMISSION_DENIED, "E-7: a certificate without a team")
    tap.is_(refused(fp, other), grpc.StatusCode.PERMISSION_DENIED, "nor with the name of somewhere else")
    ch, s = stream(fp, pay, node_id="")
    tap.is_(xds.names(s.expect("listener")), ["pay"], "I-4: no node.id with an identity")
    node = wait_until(lambda: [n for n in fp.api("GET", "/nodes") if n["id"] == "CN=pay"], 10, "the node is shown")[0]
    tap.is_((node["team"], node["scope"], node["tls"]["subject"], node["tls"]["sans"]),
            ("pay", "team", "CN=pay", ["URI:spiffe://mesh.test/team/pay"]), "§10: by its certificate")
    tap.like(node["tls"]["notAfter"], r"^\d{4}-\d\d-\d\dT", "notAfter")
    ch.close()

    tap.diag("expiry")
    def expires(scale):
        short = certs.short(f"short{scale}", 4 * scale, ["URI:spiffe://mesh.test/team/pay"])
        ch, s = stream(fp, short)
        with ch:
            s.expect("listener")
            tap.is_(s.expect_end().code, grpc.StatusCode.UNAVAILABLE, "§9.5: expiry of the certificate ends its streams")
    tap.patiently(expires)

    tap.diag("files that change")
    before = serial_of(fp.xds_port, certs.ca_file)
    (ch, s), (ch2, s2) = stream(fp, pay), stream(fp, ops)
    s.expect("listener"), s2.expect("listener")
    crt2, key2 = certs.server()
    at = len(fp.log())
    put(names["cert.pem"], crt2)
    fp.wait_log("the new files are refused, those before stay: .*cert.pem", 20, at)
    tap.is_(serial_of(fp.xds_port, certs.ca_file), before, "all or nothing: a certificate without its key changes nothing")
    at = len(fp.log())
    put(names["key.pem"], key2)
    put(names["crl.pem"], certs.crl(ops[0]))
    end = s2.expect_end()
    tap.is_(end.code, grpc.StatusCode.UNAVAILABLE, "§9.5: a revoked certificate loses its streams")
    fp.wait_log("xds.tls: new files are in use", start=at)
    tap.ok(True, "when the files are in use")
    wait_until(lambda: serial_of(fp.xds_port, certs.ca_file) != before, 10, "the new certificate is served")
    tap.is_(s.ended, None, "others go on")
    fp.api("PUT", "/listeners/pay", listener("pay", 18099, "pay"), want=200)
    s.expect("listener")
    tap.ok(True, "and get what changes")
    ch3, s3 = stream(fp, ops)
    tap.is_(s3.expect_end().code, grpc.StatusCode.UNAVAILABLE, "it does not come back in")
    ch3.close(), ch2.close()
    fp.allow("TLS handshake failed")
    tap.is_(len(fp.workers()), 2, "no process was restarted")

    tap.diag("reload")
    ch2, s2 = stream(fp, dns)
    s2.expect("listener")
    put(names["crl.pem"], certs.crl(ops[0], dns[0]))
    at = len(fp.log())
    fp.reload()
    fp.wait_log("configuration reloaded", 20, at)
    s2.expect_end()  # with the drain it would end in an hour
    tap.ok(True, "§9.5: revoked by SIGHUP: ends with the reload")
    ch3, s3 = stream(fp, dns)
    s3.expect_end()
    ch3.close(), ch2.close(), ch.close()
    tap.is_(sees(fp, pay), ["pay"], "others are served by the new generation")

    tap.diag("optional certificates")
    fp.write_conf({"xds.require_client_identity": False, "xds.tls.require_client_cert": False})
    at = len(fp.log())
    fp.reload()
    fp.wait_log("configuration reloaded", 20, at)

    def let_in():  # a worker of the old generation may still have taken the connection
        try:
            return sees(fp, None)
        except xds.Ended:
            return None
    tap.is_(wait_until(let_in, 10, "a client without a certificate"), ["ops", "pay"], "without a certificate: the node's own word, here scope all")
    tap.is_(sees(fp, None, metadata={"team": "ops"}), ["ops"], "or its team")
    tap.is_(sees(fp, pay, metadata={"team": "ops"}), ["pay"], "with one: the certificate's team")
