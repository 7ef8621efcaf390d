#!/usr/bin/env python3
"""HTTP/1.x on the wire (contract §2.1): strictness, order, keep-alive, limits, early answers."""
import gzip
import time

import fp_tap as tap
from fp_echo import Echo

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n"
BAD = [  # what a request must not look like; each is answered, then the connection ends
    (400, "bare LF in the request line", b"GET /x HTTP/1.1\nHost: a\r\n\r\n"),
    (400, "bare LF behind a field", b"GET /x HTTP/1.1\r\nHost: a\n\r\n"),
    (400, "bare CR in a field", GET + b"X: a\rb\r\n\r\n"),
    (400, "folded field", GET + b"X: a\r\n b\r\n\r\n"),
    (400, "TE with CL", GET + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
    (400, "CL with TE", GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (400, "two different CLs", GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
    (400, "two equal CLs", GET + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
    (400, "a list of CLs", GET + b"Content-Length: 1, 1\r\n\r\n"),
    (400, "negative CL", GET + b"Content-Length: -1\r\n\r\n"),
    (400, "signed CL", GET + b"Content-Length: +1\r\n\r\n"),
    (400, "hexadecimal CL", GET + b"Content-Length: 0x1\r\n\r\n"),
    (400, "empty CL", GET + b"Content-Length:\r\n\r\n"),
    (400, "huge CL", GET + b"Content-Length: 99999999999999999999\r\n\r\n"),
    (400, "TE other than chunked", GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
    (400, "TE identity", GET + b"Transfer-Encoding: identity\r\n\r\n"),
    (400, "TE twice", GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (400, "TE with a vertical tab", GET + b"Transfer-Encoding: \x0bchunked\r\n\r\n"),
    (400, "TE in HTTP/1.0", b"GET /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (400, "NUL in a field", GET + b"X: a\0b\r\n\r\n"),
    (400, "DEL in a field", GET + b"X: a\x7fb\r\n\r\n"),
    (400, "control character in the target", b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "8-bit target", b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "fragment in the target", b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "no target", b"GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "relative target", b"GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "asterisk with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "CONNECT", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "two blanks", b"GET /x  HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "HTTP/0.9", b"GET /x\r\n\r\n"),
    (400, "lower-case protocol", b"GET /x http/1.1\r\nHost: a\r\n\r\n"),
    (400, "two-digit version", b"GET /x HTTP/1.10\r\nHost: a\r\n\r\n"),
    (505, "HTTP/2.0 as a version", b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n"),
    (505, "HTTP/3.1", b"GET /x HTTP/3.1\r\nHost: a\r\n\r\n"),
    (400, "blank before the colon", GET + b"X : a\r\n\r\n"),
    (400, "empty field name", GET + b": a\r\n\r\n"),
    (400, "no colon", GET + b"X\r\n\r\n"),
    (400, "8-bit field name", GET + b"X\xe9: a\r\n\r\n"),
    (400, "no Host in 1.1", b"GET /x HTTP/1.1\r\n\r\n"),
    (400, "two Hosts", GET + b"Host: a\r\n\r\n"),
    (400, "Host with a path", b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    (400, "Host with a user", b"GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    (400, "method with a control character", b"G\x01T /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "endless method", b"G" * 64),
    (400, "TLS on a clear-text port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    (417, "unknown expectation", GET + b"Expect: 200-ok\r\n\r\n"),
    (414, "request line above 8 KiB", b"GET /" + b"a" * 8192),
    (431, "fields above 32 KiB", GET + b"X: " + b"a" * 32768),
    (431, "101 fields", GET + b"".join(b"X%d: a\r\n" % i for i in range(101)) + b"\r\n"),
    (400, "malformed chunk size", GET + b"Transfer-Encoding: chunked\r\n\r\nz\r\n"),
    (400, "chunk size with a sign", GET + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"),
    (400, "chunk size with a prefix", GET + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\n"),
    (400, "chunk size with a blank", GET + b"Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n"),
    (400, "endless chunk size", GET + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 17),
    (400, "bare LF behind a chunk size", GET + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n"),
    (400, "chunk longer than its size", GET + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"),
    (400, "bare LF behind a chunk", GET + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n"),
    (400, "endless chunk extension", GET + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 1100),
    (400, "malformed trailer", GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\na b: c\r\n\r\n"),
    (400, "folded trailer", GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n"),
    (400, "endless trailers", GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"b" * 8192),
]

with tap.run():
    e = Echo()

    for status, name, data in BAD:
        c = e.connect().send(data)
        r = c.response()
        tap.ok((r.status, r["connection"]) == (status, "close") and c.at_end(), f"{name}: {status} and close",
               f"got {r.status} {r.body!r}")
        c.close()

    # one byte at a time
    c = e.connect()
    for b in b"POST /echo?a=1 HTTP/1.1\r\nhOsT:  a:80\t \r\nContent-Length: 5\r\n\r\nhello":
        c.send(bytes([b]))
    tap.is_(c.response().body, b"hello", "a request in single bytes is understood")

    c = e.connect()
    for part in b"GET /x HTTP/1.1\r\nHost: a\r\n", *[b"X%d: " % i + b"y" * 9000 + b"\r\n" for i in range(3)], b"\r\n":
        c.send(part)
        time.sleep(0.02)
    tap.is_(c.response().status, 200, "a large head in parts")
    c.close()
    c = e.connect()

    # pipelining, in order, with a handler that answers later
    c.send(b"GET /late?n=50 HTTP/1.1\r\nHost: a\r\n\r\n" + b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
           b"\r\n3;x=\"y\"\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n" + b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n"
           + b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    tap.is_([c.response().body, c.response().body], [b"late\n", b"abcde"], "pipelined requests are answered in order")
    r = c.response(head=True)
    tap.ok(r.status == 200 and int(r["content-length"]) > 0, "HEAD has the length of GET and no body")
    tap.like(c.response().body, rb"GET /x".decode(), "what follows HEAD is in step")

    # 100 requests in one write
    c.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
    tap.is_([c.response().status for _ in range(1000)], [200] * 1000, "1000 pipelined requests")
    c.close()

    # targets
    r = e.connect().send(b"GET http://example.org:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n").response()
    tap.is_(r.body, b"GET /p ?q host=example.org:81 v=11 body=0\n", "an absolute target: its authority wins")
    r = e.connect().send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").response()
    tap.is_(r.body, b"OPTIONS * ? host=a v=11 body=0\n", "OPTIONS *")
    r = e.connect().send(b"\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n").response()
    tap.is_(r.status, 200, "one empty line before the request line is forgiven")

    # HTTP/1.0 and connection management
    c = e.connect().send(b"GET /x HTTP/1.0\r\n\r\n")
    r = c.response()
    tap.ok(r["connection"] == "close" and c.at_end(), "HTTP/1.0 closes")
    c = e.connect().send(b"GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
    tap.is_(c.response()["connection"], "keep-alive", "HTTP/1.0 with keep-alive stays")
    tap.is_(c.send(b"GET /x HTTP/1.0\r\n\r\n").response().status, 200, "and takes the next request")
    c = e.connect().send(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: foo, close\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    r = c.response()
    tap.ok(r["connection"] == "close" and c.at_end(), "Connection: close ends it, whatever follows")
    c = e.connect().send(b"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                         b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
    tap.is_(c.response().status, 200, "Upgrade: h2c is ignored")
    c = e.connect().send(b"GET /late?n=30 HTTP/1.1\r\nHost: a\r\n\r\n")
    c.sock.shutdown(1)
    tap.is_(c.response().body, b"late\n", "a half-closed client still gets its answer")
    tap.ok(c.at_end(), "and the end")

    # 100-continue
    c = e.connect().send(b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    tap.is_(c.response().status, 100, "100-continue comes before the body")
    tap.is_(c.send(b"ok").response().body, b"ok", "then the answer")
    c.send(b"POST /refuse HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    r = c.response()
    tap.ok((r.status, r["connection"]) == (401, "close") and c.at_end(),
           "a refusal comes instead of 100 and closes: nobody knows whether a body follows")

    # bodies and limits
    c = e.connect().request("POST", "/echo", b"", ["X: y"])
    tap.is_(c.response().status, 200, "an empty body")
    c = e.connect().send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n")
    r = c.response()
    tap.is_((r.status, r["connection"]), (413, "close"), "413 is decided before a byte of the body has come")
    c = e.connect()
    c.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n")
    c.send(b"x" * 0x100001)
    tap.is_(c.response().status, 413, "413 in the middle of a chunked body")
    c = e.connect()
    c.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n")
    sent = 0
    try:
        while sent < 20000000:
            sent += c.sock.send(b"x" * 65536)
    except OSError:
        pass
    tap.is_(c.response().status, 413, "a client that sends on reads the answer all the same (lingering close)")
    c = e.connect().request("POST", "/refuse", b"y" * 1000)
    c.request("GET", "/x")
    tap.is_([c.response().status, c.response().status], [401, 200], "a small unwanted body is read over, the connection stays")
    body = bytes(range(256)) * 4096
    tap.ok(e.get("/echo", body).body == body, "a body of exactly the limit comes back unharmed")
    r = e.get("/big?n=20000000")
    tap.ok(r.body == b"x" * 20000000, "a response of 20 MB")

    # responses
    r = e.connect().request("GET", "/big?n=1024", headers=["Accept-Encoding: br, gzip;q=0.5"]).response()
    tap.ok(r["content-encoding"] == "gzip" and gzip.decompress(r.body) == b"x" * 1024, "1 KiB is compressed when allowed")
    tap.is_(r["vary"], "accept-encoding", "and says what it varies by")
    for accept in "gzip;q=0", "identity", "gzip;q=0.000, *", "br":
        r = e.connect().request("GET", "/big?n=2000", headers=[f"Accept-Encoding: {accept}"]).response()
        tap.is_((r["content-encoding"], r["vary"]), (None, "accept-encoding"), f"not compressed for {accept!r}")
    r = e.connect().request("GET", "/big?n=1023", headers=["Accept-Encoding: gzip"]).response()
    tap.is_((r["content-encoding"], r["vary"]), (None, None), "1023 bytes are not compressed")
    for status in 204, 304:
        c = e.connect().request("GET", f"/status?n={status}")
        r = c.response()
        tap.is_((r.status, r["content-length"]), (status, None), f"{status} has no body and no length")
        tap.is_(c.request("GET", "/x").response().status, 200, "and the connection is in step")
    tap.like(r["date"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$", "Date")

    # a client that goes away
    c = e.connect().request("GET", "/late?n=60000")
    import socket
    import struct
    import fp_util as util
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    util.wait_until(lambda: e.stats()["connections"][0] > 1)
    c.close()
    util.wait_until(lambda: e.stats()["aborts"] == 1, what="the abort")
    tap.ok(True, "a handler hears of a client that is gone")
