#!/usr/bin/env python3
"""HTTP abuse of a whole Flowplane, on both ports (issue 4): slow loris, header and body bombs, gzip, request smuggling, HTTP/2
rapid reset, CONTINUATION, SETTINGS, PING and empty-DATA floods, 10,000 idle connections, descriptors exhausted, 1,000
half-open handshakes.  Others are served meanwhile, the log says what happened in a few lines, and memory returns."""
import ctypes
import gzip
import http.client
import json
import resource
import socket
import ssl
import time

import fp_tap as tap
import fp_util as util
import fp_xds as xds
from fp_certs import Certs
from fp_harness import Flowplane, Postgres, wait_until
from fp_load import Follower, cluster, snapshot_of
from fp_wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST,
                     SETTINGS, WINDOW, block, connect, connect2, drop, flood, frame, frames, head, read_all)

BRIEF = int(4 * util.SLOW)  # seconds: header and request timeouts
LINES = 2 * 2 * 5  # workers, ports, and what each says of one reason in ten seconds
ADS = b"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
CALL = head(b"POST", ADS, (b"content-type", b"application/grpc"), (b"te", b"trailers"))
UPLOAD = head(b"POST", b"/api/v1/clusters")


class Scene:
    """One attack: `with Scene(fp, name, says) as s:`.  s.served() proves that others are; at the end the memory must return."""

    def __init__(self, fp, name, says=None, before=False):
        """says: what the log must have; before: also when that was said in an earlier scene, which used up the lines."""
        self.fp, self.name, self.says, self.before_too, self.held = fp, name, says, before, []

    def __enter__(self):
        self.mark, self.pids, self.began = len(self.fp.log()), self.fp.workers(), time.monotonic()
        self.before = self.used()
        return self

    def used(self):
        return sum(map(util.pss_kib, self.fp.workers()))

    def answers(self):
        try:
            return self.fp.get("/api/v1/clusters/c7" if not self.fp.certs else "/api/v1/clusters").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def served(self, rounds=4):
        """New connections to both ports, enough of them to meet each worker."""
        for _ in range(rounds):
            wait_until(self.answers, 10, "REST for others")
        if not self.fp.certs:
            snapshot_of(self.fp.xds_port, deadline=10)
        tap.ok(True, f"{self.name}: others are served meanwhile")

    def hold(self, s):
        self.held.append(s)
        return s

    def __exit__(self, kind, *_):
        if self.says and not kind:
            self.fp.wait_log(self.says, 3 * BRIEF, 0 if self.before_too else self.mark)
        drop(*self.held)
        if kind:
            return
        said = [l for l in self.fp.log()[self.mark:].splitlines() if "connection closed" in l or "handshake failed" in l]
        spans = 2 + int((time.monotonic() - self.began) / 10)  # a scene may begin and end in the middle of one
        tap.ok(len(said) <= LINES * spans, f"{self.name}: the log says so, in {len(said)} lines", "\n".join(said[:30]))
        if not util.SANITIZED:
            wait_until(lambda: self.used() < self.before + 6000, 20, f"memory of {self.name}: {self.before} -> {self.used()} KiB")
        tap.is_(self.fp.workers(), self.pids, f"{self.name}: memory returns, the workers are the same")


def text(*lines):
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def status_of(data):
    return int(data.split(b" ", 2)[1]) if data.startswith(b"HTTP/1.1 ") else None


# ---- HTTP/1


def slow_loris(fp):
    with Scene(fp, "slow loris", r'"reason":"slow_head"') as s:
        drip = [s.hold(connect(fp.api_port)) for _ in range(100)]
        for c in drip:
            flood(c, b"GET /x HTTP/1.1\r\nHost: x\r\nX: ", 1)
        half = [s.hold(connect(fp.xds_port)) for _ in range(100)]
        for c in half:
            flood(c, PREFACE[:20], 1)
        s.served()
        ends = {}
        while len(ends) < len(drip):  # each byte comes in time, the head never ends
            for c in drip:
                if c in ends:
                    continue
                try:
                    c.sendall(b"y")
                    c.settimeout(0.001)
                    ends[c] = status_of(c.recv(4096))
                except TimeoutError:
                    pass
                except OSError:
                    ends[c] = None
        tap.ok(set(ends.values()) <= {408, None}, "slow loris: 408 and close", set(ends.values()))
        tap.ok(all(read_all(c) == b"" for c in half), "slow loris: half a preface on the xDS port is closed")


def header_bombs(fp):
    with Scene(fp, "header bomb", r"header fields too large") as s:
        for name, data in (("a field of 10 MB", b"X: " + b"a" * 10_000_000), ("a million fields", b"X: y\r\n" * 1_000_000),
                           ("an endless name", b"a" * 1_000_000)):
            c = s.hold(connect(fp.api_port))
            flood(c, b"GET / HTTP/1.1\r\nHost: x\r\n" + data, 1)
            got = status_of(read_all(c))
            tap.ok(got in (431, None), f"header bomb, {name}: 431 and close", got)
        for port in fp.api_port, fp.xds_port:
            c = s.hold(connect2(port))
            # HPACK: one entry of 4,000 bytes in the dynamic table, then four thousand references to it
            c.sendall(frame(HEADERS, 0, 1, head() + b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000))
            for _ in range(4):
                flood(c, frame(CONTINUATION, 0, 1, b"\xbe" * 4000), 1)
            flood(c, frame(CONTINUATION, END_HEADERS, 1, b"\xbe"), 1)
        s.served()


def body_bombs(fp):
    with Scene(fp, "body bomb") as s:
        auth = f"Authorization: Bearer {fp.token}"
        post = "POST /api/v1/clusters HTTP/1.1", "Host: x"
        c = s.hold(connect(fp.api_port))
        c.sendall(text(*post, auth, "Content-Length: 1000000000000"))
        tap.is_(status_of(read_all(c)), 413, "body bomb: a terabyte is refused before a byte has come")
        c = s.hold(connect(fp.api_port))
        c.sendall(text(*post, auth, "Transfer-Encoding: chunked"))
        flood(c, b"10000\r\n" + b"x" * 65536 + b"\r\n", 1 << 24)
        tap.ok(status_of(read_all(c)) in (413, None), "body bomb: endless chunks end with 413")
        many = [s.hold(connect(fp.api_port)) for _ in range(40)]
        for c in many:  # 2 MB each, the last byte never comes
            flood(c, text(*post, auth, f"Content-Length: {2 << 20}") + b"x" * ((2 << 20) - 1), 1)
        for c in [s.hold(connect(fp.api_port)) for _ in range(40)]:  # nobody's: not buffered
            flood(c, text(*post, f"Content-Length: {2 << 20}") + b"x" * (2 << 20), 1)
        s.served()
        for name, body, kind in (("nested JSON", b"[" * 1_000_000, "application/json"),
                                 ("a number of a million digits", b'{"name":' + b"9" * 1_000_000 + b"}", "application/json"),
                                 ("a billion laughs", b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
                                     b"%c: &%c [%s]\n" % (i + 1, i + 1, b",".join([b"*%c" % i] * 9)) for i in range(97, 107)),
                                  "application/yaml")):
            r = fp.request("POST", "/api/v1/apply", body, headers={"Content-Type": kind})
            tap.is_(r.status, 400, f"body bomb, {name}: 400")
        tap.ok({status_of(read_all(c)) for c in many} <= {408, None}, "body bomb: bodies that never end get 408")


def gzip_bombs(fp):
    with Scene(fp, "gzip") as s:
        bomb = gzip.compress(b"[" * 10_000_000)
        for encoding in "gzip", "deflate", "x-gzip", "identity, gzip":
            r = fp.request("POST", "/api/v1/apply", bomb, headers={"Content-Encoding": encoding})
            tap.is_(r.status, 415, f"gzip: a body with Content-Encoding {encoding} is not unpacked, 415")
        ask = text("GET /api-docs/openapi.json HTTP/1.1", "Host: x", "Accept-Encoding: gzip")
        slow = [s.hold(connect(fp.api_port, rcvbuf=4096)) for _ in range(100)]
        for c in slow:
            flood(c, ask * 300, 1)
        s.served()
        r = fp.get("/api-docs/openapi.json", token=None, headers={"Accept-Encoding": "gzip"})
        tap.ok(json.loads(gzip.decompress(r.raw))["openapi"], "gzip: one who reads gets it whole")


def pipelined(fp):
    """250 KB of requests for answers of 230 KB each: a gigabyte, if each were made when it is asked for."""
    with Scene(fp, "answers nobody reads", r'"reason":"slow_read"') as s:
        ask = text("GET /api-docs/openapi.json HTTP/1.1", "Host: x")
        for _ in range(4):
            flood(s.hold(connect(fp.api_port, rcvbuf=4096)), ask * 1000, 5 * 1000 * len(ask))
        for _ in range(2):
            c = s.hold(connect2(fp.api_port, rcvbuf=4096))
            c.sendall(b"".join(frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, head(b"GET", b"/api-docs/openapi.json"))
                               for i in range(100)))
        s.served()
        tap.ok(util.SANITIZED or s.used() < s.before + 80_000, "answers nobody reads: a few are made, the others wait",
               f"{s.before} -> {s.used()} KiB")
        c = connect(fp.api_port)
        c.sendall(ask * 100)
        got = 0
        while got < 100:  # the head of each; their bodies hold no such line
            part = c.recv(1 << 16)
            assert part, f"closed after {got} answers"
            got += part.count(b"HTTP/1.1 200 OK\r\n")
        c.close()
        tap.is_(got, 100, "answers nobody reads: who reads gets all hundred")


def full(fp):
    """HTTP/2 makes them all at once: beyond 256 MiB in a worker a large answer is 503."""
    size = len(fp.get("/api/v1/clusters").raw)
    ask = head(b"GET", b"/api/v1/clusters", (b"authorization", fp.token.encode()))
    with Scene(fp, "a thousand large answers", r"answers wait for clients that do not read") as s:
        for _ in range(3 * 256 * 2**20 // (100 * size) + 1):
            c = s.hold(connect2(fp.api_port, rcvbuf=4096))
            c.sendall(b"".join(frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, ask) for i in range(100)))
        fp.wait_log(r"answers wait for clients that do not read", 20, s.mark)
        wait_until(lambda: fp.get("/healthz", token=None).status == 200)
        snapshot_of(fp.xds_port, deadline=10)
        tap.ok(util.SANITIZED or s.used() < s.before + 2 * 300_000, "a thousand large answers: 256 MiB in each worker, no more",
               f"{s.before} -> {s.used()} KiB")


def smuggling(fp):
    """Each tries to hide a second request from a proxy in front of us; none is ever seen."""
    hidden = "GET /api/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    chunked, n = "Transfer-Encoding: chunked", len(hidden)
    cases = {
        "CL.TE": (f"Content-Length: {n + 5}", chunked), "TE.CL": (chunked, "Content-Length: 4"),
        "CL.CL": (f"Content-Length: {n}", "Content-Length: 0"), "CL list": (f"Content-Length: 0, {n}",),
        "TE.TE": (chunked, "Transfer-Encoding: x"), "TE obfuscated": ("Transfer-Encoding: xchunked",),
        "TE with blanks": ("Transfer-Encoding : chunked",), "TE with a tab": ("Transfer-Encoding:\tchunked\t, identity",),
        "TE folded": ("Transfer-Encoding:\r\n chunked",), "TE behind a bare LF": ("X: y\nTransfer-Encoding: chunked",),
        "TE behind a bare CR": ("X: y\rTransfer-Encoding: chunked",), "TE quoted": ('Transfer-Encoding: "chunked"',),
        "TE twice": ("Transfer-Encoding: chunked, chunked",), "CL with a sign": ("Content-Length: +0",),
        "CL with a blank": ("Content-Length: 0 0",), "CL in hex": ("Content-Length: 0x0",), "CL empty": ("Content-Length:",),
        "CL with an underscore": (f"Content_Length: {n}", "Content-Length: 1_0"), "two Hosts": ("Host: y",),
        "NUL": ("X: \0",), "a field without a name": (": x",), "HTTP/1.0 with TE": None,
    }
    with Scene(fp, "request smuggling", r'"reason":"protocol"') as s:
        for name, fields in cases.items():
            line = "POST /healthz HTTP/1.1" if fields is not None else "POST /healthz HTTP/1.0"
            c = s.hold(connect(fp.api_port))
            c.sendall(text(line, "Host: x", *(fields or (chunked,))) + b"0\r\n\r\n" + hidden.encode())
            got = read_all(c)
            tap.ok(status_of(got) == 400 and got.count(b"HTTP/1.1 ") == 1, f"request smuggling, {name}: 400 and close", got[:200])
        # the body's own framing: what follows a bad chunk is never a request
        for name, body in {"chunk size with junk": "0;\n\r\n", "chunk size in 17 digits": "00000000000000000\r\n\r\n",
                           "chunk size negative": "-0\r\n\r\n", "chunk size with LF": "0\n\n", "chunk longer": "1\r\naa\r\n0\r\n\r\n",
                           "trailer without a colon": "0\r\nx\r\n\r\n"}.items():
            c = s.hold(connect(fp.api_port))
            c.sendall(text("POST /api/v1/clusters HTTP/1.1", "Host: x", f"Authorization: Bearer {fp.token}", chunked)
                      + (body + hidden).encode())
            got = read_all(c)
            tap.ok(status_of(got) == 400 and got.count(b"HTTP/1.1 ") == 1, f"request smuggling, {name}: 400 and close", got[:200])
        # an early answer: its body, whatever it looks like, is read over and is no request
        c = s.hold(connect(fp.api_port))
        c.sendall(text("POST /api/v1/clusters HTTP/1.1", "Host: x", f"Content-Length: {n}") + hidden.encode()
                  + text("GET /healthz HTTP/1.1", "Host: x", "Connection: close"))
        got = read_all(c)
        tap.is_([got.count(b"HTTP/1.1 401"), got.count(b"HTTP/1.1 200"), got.count(b"HTTP/1.1 ")], [1, 1, 2],
                "request smuggling: the body of a refused request is no request")
        # HTTP/2: what would be two things once a proxy had written it as HTTP/1
        for name, more in {"content-length": (b"content-length", b"5"), "transfer-encoding": (b"transfer-encoding", b"chunked"),
                           "CR LF in a value": (b"x", b"y\r\nz: 1"), "a field in upper case": (b"Host", b"x"),
                           "a second path": (b":path", b"/api/v1/smuggled"), "connection": (b"connection", b"close")}.items():
            c = s.hold(connect2(fp.api_port))
            c.sendall(frame(HEADERS, END_HEADERS | END_STREAM, 1, head(b"POST", b"/healthz", more)) + frame(PING, 0, 0, b"12345678"))
            got, done = b"", False
            while not done:
                got += c.recv(65536)
                done = any(f[0] in (PING, GOAWAY) for f in frames(got))
            tap.ok(any(f[0] in (RST, GOAWAY) for f in frames(got)) and not any(f[0] == HEADERS for f in frames(got)),
                   f"request smuggling over HTTP/2, {name}: the stream is reset", frames(got))
        s.served()
    tap.unlike(fp.log(), "smuggled", "request smuggling: no hidden request was ever seen")


# ---- HTTP/2 floods


def floods(fp):
    """What is sent without end, on which ports, and what the log calls it."""
    port = {"REST": fp.api_port, "xDS": fp.xds_port}
    request = {"REST": UPLOAD, "xDS": CALL}
    calm = r"ENHANCE_YOUR_CALM|Flooding was detected"
    kinds = {
        "CONTINUATION flood": (True, lambda w, n: frame(CONTINUATION, 0, 1, block((b"x", b"y" * 100)) * 100), "CONTINUATION"),
        "PING flood": (False, lambda w, n: frame(PING, 0, 0, b"12345678") * 1000, calm),
        "SETTINGS flood": (False, lambda w, n: frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff") * 1000, calm),
        "empty-DATA flood": (False, lambda w, n: frame(HEADERS, END_HEADERS, 2 * n + 1, request[w])
                             + frame(DATA, 0, 2 * n + 1) * 1000, calm),
        "PRIORITY flood": (False, lambda w, n: b"".join(frame(2, 0, 2 * i + 1, b"\0\0\0\0\x10") for i in range(1000)), calm),
        "HTTP/2 rapid reset": (False, lambda w, n: b"".join(
            frame(HEADERS, END_HEADERS, i, request[w]) + frame(RST, 0, i, b"\0\0\0\x08")
            for i in range(200 * n + 1, 200 * n + 201, 2)), calm),
        "HTTP/2 resets that we are made to send": (False, lambda w, n: b"".join(
            frame(HEADERS, END_HEADERS, i, request[w]) + frame(WINDOW, 0, i, b"\x7f\xff\xff\xff")
            for i in range(200 * n + 1, 200 * n + 201, 2)), calm),
    }
    for name, (first, more, says) in kinds.items():
        with Scene(fp, name, says, says == calm) as s:
            for which in "REST", "xDS":
                c, turns = s.hold(connect2(port[which])), iter(range(1 << 20))
                if first:
                    c.sendall(frame(HEADERS, 0, 1, request[which]))
                wait_until(lambda: flood(c, more(which, next(turns)), 1), 20, f"the end of a {name}", every=0)
                tap.ok(True, f"{name} on the {which} port is cut off")
            s.served()


def polite(fp):
    """Nobody who behaves is taken for a flood: what they read of us is acknowledged."""
    c = connect2(fp.api_port)
    out = b"".join(frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, head()) + frame(PING, 0, 0, b"%08d" % i) for i in range(90))
    c.sendall(out)
    got = b""
    while sum(f[0] == PING for f in frames(got)) < 90 or sum(f[0] == DATA for f in frames(got)) < 90:
        got += c.recv(65536)
    tap.ok(not any(f[0] in (GOAWAY, RST) for f in frames(got)), "requests and PINGs that are read are no flood")
    c.close()


# ---- many


def idle(fp):
    n = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 300)
    if n < 10_000:
        tap.diag(f"only {n} idle connections: the limit of open files")
    ask = text("GET /healthz HTTP/1.1", "Host: x")
    with Scene(fp, f"{n:,} idle connections") as s:
        rest, grpc = [], []
        for i in range(n):
            if i % 10 == 9:
                grpc.append(s.hold(connect2(fp.xds_port)))
            else:
                rest.append(s.hold(connect(fp.api_port)))
                rest[-1].sendall(ask)
        for c in rest:
            assert status_of(c.recv(4096)) == 200
        for c in grpc:
            assert c.recv(4096)
        s.served()
        fds = sum(map(util.open_fds, fp.workers()))
        tap.ok(fds >= n, f"{s.name}: {fds} descriptors are open", fds)
        grown = s.used() - s.before
        tap.ok(util.SANITIZED or grown < 50_000, f"{s.name}: {grown / 1024:.1f} MiB, {len(grpc)} of them HTTP/2", grown)
        some = rest[::97]
        for c in some:
            c.sendall(ask)
        tap.is_({status_of(c.recv(4096)) for c in some}, {200}, f"{s.name}: each still gets an answer")
    wait_until(lambda: sum(map(util.open_fds, fp.workers())) < 300, 20, "descriptors are given back")


def exhausted(pg):
    """Descriptors run out in both workers: who is connected is served and follows, and accepting recovers."""
    fp = Flowplane(pg, {"process.nofile": 160, "api.header_timeout": "10m"}, database="exhausted")
    fp.allow("Cannot accept")
    mark = len(fp.log())
    kept = http.client.HTTPConnection("127.0.0.1", fp.api_port, timeout=util.patience())
    say = {"Authorization": f"Bearer {fp.token}", "Content-Type": "application/json"}

    def ask(method, path, body=None):
        kept.request(method, path, body and json.dumps(body), say)
        r = kept.getresponse()
        r.read()
        return r.status

    def answers():
        try:
            return fp.get("/api/v1/clusters").status == 200
        except (OSError, http.client.HTTPException):
            return False

    with Follower(fp.xds_port) as follower:
        follower.wait(lambda names: names)
        tap.is_(ask("GET", "/api/v1/clusters"), 200, "descriptors exhausted: before")
        many = [connect(port) for _ in range(300) for port in (fp.api_port, fp.xds_port)]
        wait_until(lambda: len(set(e["fields"]["pid"] for e in fp.log_events() if "Cannot accept" in e["fields"]["message"])) == 2, 20,
                   "both workers say so")
        before = sum(util.open_fds(p) for p in fp.workers())
        for i in range(5):
            tap.is_(ask("POST", "/api/v1/clusters?wait=published", cluster(f"full{i}")), 201,
                    "descriptors exhausted: who is connected writes")
        follower.wait(lambda names: {f"full{i}" for i in range(5)} <= names, 20)
        tap.ok(before > 200, "descriptors exhausted: and who is connected follows, with no descriptor left for others", before)
        drop(*many)
    wait_until(answers, 20, "new connections")
    fp.wait_log("Accepting connections again", 20, mark)
    tap.ok(True, "descriptors exhausted: accepting recovers, and says so")
    lines = fp.log()[mark:].count("Cannot accept connections")
    tap.ok(2 <= lines <= 8, "descriptors exhausted: each port of each worker says it once", lines)
    kept.close()
    fp.stop()


def too_low(pg):
    """The hard limit of open files is below what the configuration wants, and nobody may raise it."""
    ctypes.CDLL(None).prctl(24, 24, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_RESOURCE: not even root
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, min(soft, 4000)) if soft <= 4000 else (4000, 4000))
    fp = Flowplane(pg, database="low")
    tap.like(fp.log(), r"open files are limited to \d+, process.nofile is 65536.*api.max_connections",
             "a limit of open files that is too low for the configuration is said at the start")
    tap.is_(fp.log().count("open files are limited"), 1, "once")
    tap.is_(fp.api("GET", "/clusters") is not None, True, "and it serves all the same")


def half_open(pg):
    ca = Certs()
    crt, key = ca.server()
    fp = Flowplane(pg, certs=ca, database="tls", conf={
        "api.tls.enabled": True, "api.tls.cert_path": crt, "api.tls.key_path": key, "xds.tls.cert_path": crt,
        "xds.tls.key_path": key, "xds.tls.client_ca_path": ca.ca_file, "api.header_timeout": f"{BRIEF}s"})
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(ca.ca_file)).wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = hello.read()
    with Scene(fp, "1,000 half-open handshakes", r"TLS handshake failed.*not complete in time") as s:
        ends = []
        for port in fp.api_port, fp.xds_port:
            for i in range(1000):  # nothing; half a ClientHello; a whole one, and no word after the answer
                c = s.hold(connect(port))
                if i % 3:
                    flood(c, (hello[:100], hello)[i % 3 - 1], 1)
                ends.append(c)
        s.served()
        with xds.Channel(fp.xds_port, tls=ca.client("envoy"), ca=ca.ca_file) as ch:
            stream = ch.ads()
            stream.subscribe("cluster")
            tap.ok(stream.expect("cluster", 10), "1,000 half-open handshakes: a proxy with its certificate is served")
        for c in ends:
            read_all(c)
        tap.ok(True, "1,000 half-open handshakes: all are closed by the header timeout")
    fp.allow("TLS handshake failed")
    fp.stop()


with tap.run():
    util.need_module("grpc", "grpcio")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 12_000) if hard > 0 else 12_000, hard))
    pg = Postgres()
    for name in "exhausted", "low", "tls":
        pg.psql(f"CREATE DATABASE {name}")
    fp = Flowplane(pg, {"api.header_timeout": f"{BRIEF}s", "api.request_timeout": f"{BRIEF}s", "api.idle_timeout": "10m",
                        "xds.keepalive_time": "10m", "xds.write_timeout": f"{BRIEF}s"})
    fp.api("POST", "/apply?wait=published", [cluster(f"c{i}", kind="cluster") for i in range(2000)])
    with Scene(fp, "warm"):
        for _ in range(20):
            fp.get("/api-docs/openapi.json", headers={"Accept-Encoding": "gzip"})
    for attack in (slow_loris, header_bombs, body_bombs, gzip_bombs, pipelined, full, smuggling, floods, polite, idle):
        attack(fp)
    fp.stop()
    half_open(pg)
    exhausted(pg)
    too_low(pg)
