#!/usr/bin/env python3
"""TLS (contract §9.5, §2.1): versions, ALPN, client certificates, revocation, who the peer is, and what failed handshakes log."""
import re
import ssl
import subprocess

import fp_tap as tap
import fp_util as util
from fp_certs import Certs
from fp_echo import Echo, Raw
from fp_h2 import Client, ev


def context(ca, alpn=None, cert=None, low=None, high=None, ciphers=None):
    ctx = ssl.create_default_context(cafile=str(ca.ca_file))
    if alpn:
        ctx.set_alpn_protocols(alpn)
    if cert:
        ctx.load_cert_chain(*map(str, cert))
    if low:
        ctx.minimum_version = low
    if high:
        ctx.maximum_version = high
    if ciphers:
        ctx.set_ciphers(ciphers)
    return ctx


def refused(e, grpc, ctx):
    """The handshake, or the first read after it, fails (TLS 1.3 tells late)."""
    try:
        c = e.connect(grpc, tls=ctx)
        c.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        return c.fill() == b""
    except (ssl.SSLError, OSError):
        return True


def failures(e):
    return [l for l in e.text().splitlines() if "TLS handshake failed" in l]


with tap.run():
    ca, other = Certs(), Certs("Other CA")
    crt, key = ca.server()
    server_key = key
    client = ca.client("envoy", ["URI:spiffe://x/team/a", "DNS:envoy.example"])
    h1, h2 = ["http/1.1"], ["h2"]

    e = Echo(cert=crt, key=key)
    tap.is_(e.connect(tls=context(ca)).request("GET", "/x").response().status, 200, "HTTP/1.1 without ALPN")
    tap.is_(e.connect(tls=context(ca, h1)).request("GET", "/x").response().status, 200, "ALPN http/1.1")
    raw = e.connect(tls=context(ca, ["h2", "http/1.1"]))
    tap.is_(raw.sock.selected_alpn_protocol(), "h2", "ALPN prefers h2")
    c = Client(e, raw=raw)
    tap.is_(c.answer(c.open())[0], 200, "HTTP/2 over TLS")
    body = bytes(range(256)) * 4000
    st = c.open("POST", "/echo", end=False)
    data = body
    while data:
        n = min(len(data), c.h.max_outbound_frame_size, c.h.local_flow_control_window(st))
        if n:
            c.h.send_data(st, data[:n])
            data = data[n:]
            c.flush()
        else:
            c.pump()
    c.h.end_stream(st)
    c.flush()
    tap.ok(c.answer(st)[1] == body, "a megabyte both ways over TLS")
    r = e.connect(tls=context(ca)).request("GET", "/big?n=20000000").response()
    tap.ok(r.body == b"x" * 20000000, "20 MB over TLS")
    c = e.connect(tls=context(ca)).request("GET", "/late?n=200")
    c.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 4000)
    tap.ok([c.response().status for _ in range(4001)] == [200] * 4001, "100 KB of pipelined requests behind a slow one, over TLS")
    before = e.stats()["turns"]
    c.request("GET", "/late?n=500").send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 4000)
    c.response()
    turns = e.stats()["turns"] - before
    tap.ok(turns < 1000, "no busy loop meanwhile", turns)
    c.close()
    for text, want in (b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200), (b"GET /x HTTP/1.1\r\n\r\n", 400):
        inc, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        obj, c = context(ca).wrap_bio(inc, out, server_hostname="localhost"), e.connect()
        while True:
            try:
                obj.do_handshake()
                break
            except ssl.SSLWantReadError:
                c.send(out.read())
                inc.write(c.sock.recv(65536))
        obj.write(text)
        try:
            obj.unwrap()
        except ssl.SSLWantReadError:
            pass
        c.send(out.read())  # request and close_notify in one segment
        while data := c.sock.recv(65536):
            inc.write(data)
        tap.like(obj.read(65536).decode(), f"^HTTP/1.1 {want} ", f"a client that closes its side at once still gets its {want}")
        c.close()
    tap.ok(refused(e, False, context(ca, ["spdy/3"])), "ALPN without anything we speak is refused")
    tap.ok(refused(e, True, context(ca, h1)) and refused(e, True, context(ca)), "the xDS port insists on ALPN h2")
    raw = e.connect(True, tls=context(ca, h2))
    c = Client(e, raw=raw)
    tap.is_(c.status(c.call("Echo", b"x", end=True))[0], 0, "gRPC over TLS")
    tap.is_(e.connect(tls=context(ca, low=ssl.TLSVersion.TLSv1_3)).sock.version(), "TLSv1.3", "TLS 1.3")
    s = e.connect(tls=context(ca, high=ssl.TLSVersion.TLSv1_2)).sock
    tap.like(f"{s.version()} {s.cipher()[0]}", "^TLSv1.2 ECDHE-.*(GCM|CHACHA20)", "TLS 1.2 with ECDHE and AEAD")
    tap.ok(refused(e, False, context(ca, high=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-SHA256:AES128-SHA")),
           "TLS 1.2 without AEAD is refused")

    util.wait_until(lambda: len(failures(e)) == 4, what="the log lines of the four refused above")
    before = 4
    c = e.connect().send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    r = c.response()
    tap.ok(r.status == 400 and c.at_end(), "plain HTTP on a TLS port: 400, close")
    c.close()
    c = e.connect(True).send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    tap.is_(c.response().status, 400, "plain HTTP/2 too")
    silent = e.connect()  # until the end of this server
    tap.is_(e.connect(tls=context(ca)).request("GET", "/x").response().status, 200, "a handshake that never comes delays nobody")
    e.connect().send(b"\x16\x03\x01\x00\x05hello").at_end()
    e.connect().send(b"\x00garbage").at_end()
    util.wait_until(lambda: len(failures(e)) >= before + 4, what="the log lines")
    lines = failures(e)[before:]
    tap.is_(len(lines), 4, "each failed handshake logs one line")
    tap.ok(all(re.search(r'"remote":"127\.0\.0\.1:\d+"', l) and '"error":"' in l for l in lines), "with peer and reason", lines)
    t = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{e.port}", "-tls1_2"], input="R\n", capture_output=True, text=True)
    tap.is_(e.connect(tls=context(ca)).request("GET", "/x").response().status, 200, "alive after a renegotiation attempt")
    e.stop()

    e = Echo(cert=crt, key=key, tls13=1)
    tap.ok(refused(e, False, context(ca, high=ssl.TLSVersion.TLSv1_2)), "min_tls13 refuses TLS 1.2")
    e.stop()

    # client certificates
    e = Echo(cert=crt, key=key, client_ca=ca.ca_file)
    tap.ok(refused(e, True, context(ca, h2)), "without a client certificate: refused")
    tap.ok(refused(e, True, context(ca, h2, other.client("stranger"))), "of another CA: refused")
    util.wait_until(lambda: len(failures(e)) == 2, what="the log lines")
    lines = "\n".join(failures(e))
    tap.like(lines, "peer did not return a certificate", "the log says that it is missing")
    tap.like(lines, "certificate verify failed: (unable to get|self.signed)", "and why it is not trusted")
    c = Client(e, raw=e.connect(True, tls=context(ca, h2, client)))
    st = c.call("Identity", b"x", end=True)
    c.status(st)
    tap.is_(c.data(st)[5:].decode(), "CN=envoy\nURI:spiffe://x/team/a\nDNS:envoy.example", "subject and SANs of the peer")
    grpc = util.need_module("grpc", "grpcio")
    creds = grpc.ssl_channel_credentials(ca.ca_file.read_bytes(), client[1].read_bytes(), client[0].read_bytes())
    with grpc.secure_channel(f"localhost:{e.grpc_port}", creds) as ch:
        tap.is_(list(ch.stream_stream("/test.Echo/Echo")(iter([b"m" * 100000]))), [b"m" * 100000], "grpcio with mTLS")
    e.allowed = []
    e.stop()
    e = Echo(cert=crt, key=key, client_ca=ca.ca_file, optional_client=1)
    c = Client(e, raw=e.connect(True, tls=context(ca, h2)))
    st = c.call("Identity", b"x", end=True)
    c.status(st)
    tap.is_(c.data(st)[5:], b"\n", "require_client_cert off: nobody is somebody without a name")
    e.stop()

    # revocation
    def crl(*revoked):
        db = ca.dir / "index.txt"
        db.write_text("".join(f"R\t350101000000Z\t250101000000Z\t{serial:04X}\tunknown\t/CN=x\n" for serial in revoked))
        conf = ca.dir / "crl.cnf"
        conf.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={db}\ndefault_md=sha256\ndefault_crl_days=30\n")
        out = ca.dir / "crl.pem"
        subprocess.run(["openssl", "ca", "-gencrl", "-config", conf, "-cert", ca.ca_file, "-keyfile", ca.ca_key, "-out", out],
                       check=True, capture_output=True)
        return out

    serial = int(subprocess.run(["openssl", "x509", "-serial", "-noout", "-in", client[0]], capture_output=True, text=True)
                 .stdout.split("=")[1], 16)
    e = Echo(cert=crt, key=key, client_ca=ca.ca_file, crl=crl(serial))
    tap.ok(refused(e, True, context(ca, h2, client)), "a revoked certificate is refused")
    util.wait_until(lambda: failures(e), what="the log line")
    tap.like(failures(e)[-1], "certificate revoked", "and the log says so")
    c = Client(e, raw=e.connect(True, tls=context(ca, h2, ca.client("second"))))
    tap.is_(c.status(c.call("Echo", b"x", end=True))[0], 0, "another one is not")
    e.stop()

    # a certificate whose time ends while it is in use
    import datetime
    import time
    key, csr, out = (ca.dir / f"brief.{x}" for x in ("key", "csr", "pem"))
    run = lambda *a: subprocess.run(["openssl", *map(str, a)], check=True, capture_output=True)
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=brief", "-keyout", key, "-out", csr)
    (ca.dir / "index.txt").write_text("")
    (ca.dir / "serial").write_text("0F00\n")
    conf = ca.dir / "ca.cnf"
    conf.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={ca.dir}/index.txt\nserial={ca.dir}/serial\nnew_certs_dir={ca.dir}\n"
                    "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
    e = Echo(cert=crt, key=server_key, client_ca=ca.ca_file, optional_client=1)

    def expires(scale):
        (ca.dir / "index.txt").write_text("")  # the same subject once more
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3 * scale * util.SLOW)
        run("ca", "-batch", "-config", conf, "-in", csr, "-cert", ca.ca_file, "-keyfile", ca.ca_key, "-out", out, "-notext",
            "-startdate", "20200101000000Z", "-enddate", end.strftime("%Y%m%d%H%M%SZ"))
        before = e.closed("expired")
        c = Client(e, raw=e.connect(True, tls=context(ca, h2, (out, key))))
        c.wait(ev.DataReceived, c.call("Echo", b"x"))
        c.wait_eof()
        tap.ok(time.time() > int(end.timestamp()) - 1 and e.closed("expired") == before + 1,
               "expiry of a client certificate ends its streams, and is counted")
    tap.patiently(expires)
    e.stop()
