#!/usr/bin/env python3
"""Differential: our parser against llhttp (PyPI httptools) on thousands of mutated requests. We may refuse more; what both
take must mean the same, and what we take llhttp must take too, or two hops would see different requests."""
import random
import re

import fp_tap as tap
import fp_util as util
from fp_echo import Echo

httptools = util.need_module("httptools", "httptools")

SEEDS = [
    b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n",
    b"PUT /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nHost: x:80\r\nX: y\r\nConnection: close\r\n\r\n",
    b"OPTIONS /a HTTP/1.1\r\nhost:x\r\nA:\r\nB: \t c \r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\\\"c\";d\r\nabc\r\n0;e\r\nT: v\r\nContent-Type: x\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\nTE: trailers\r\n\r\nabc",
]
BITS = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b",", b"chunked", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n", b"Host: y\r\n", b"0", b"1", b"a", b"-", b"+", b"\x7f", b"\xff", b";", b"0\r\n\r\n", b"HTTP/1.0",
        b"HTTP/1.1", b"close", b"gzip, chunked", b"\x0b", b"\x0c", b"_", b"GET / HTTP/1.1\r\n"]


class Theirs:
    def __init__(self):
        self.body, self.url, self.done, self.fields = b"", b"", False, []

    def on_url(self, u):
        self.url += u

    def on_body(self, b):
        self.body += b

    def on_header(self, n, v):
        self.fields.append((n, v))

    def on_message_complete(self):
        self.done = True


def theirs(data):
    """(method, target, body) of the first request, None when refused, False when it is not complete."""
    t = Theirs()
    p = httptools.HttpRequestParser(t)
    try:
        for i in range(len(data)):
            p.feed_data(data[i:i + 1])
            if t.done:
                return p.get_method(), t.url, t.body
    except httptools.HttpParserUpgrade:
        return p.get_method(), t.url, t.body
    except httptools.HttpParserError:
        return None
    return False


def mutate(r, data):
    data = bytearray(data)
    for _ in range(r.randint(1, 3)):
        at = r.randrange(len(data) + 1)
        kind = r.randrange(4)
        if kind == 0:
            data[at:at] = r.choice(BITS)
        elif kind == 1:
            del data[at:at + r.randint(1, 4)]
        elif kind == 2 and at < len(data):
            data[at] = r.randrange(256)
        else:
            data[at:at + r.randint(1, 3)] = r.choice(BITS)
    return bytes(data)


def listed():
    """{our words: an example} of llhttp.txt."""
    out = {}
    for line in (util.TOP / "t/30-http/llhttp.txt").read_text().splitlines():
        if line[0] != "#":
            words, example, reason = line.split(" | ")
            assert reason
            data = example.encode().decode("unicode_escape").encode("latin-1")
            data = data.replace(b"<101>", b"".join(b"X%d: y\r\n" % i for i in range(101)))
            out[words] = re.sub(rb"<(\d+)>", lambda m: b"a" * int(m[1]), data)
    return out


def ours(data):
    """The response; None when the request is not complete for us."""
    c = e.connect()
    try:
        c.send(data)
        c.sock.shutdown(1)
        r = c.response()
        return c.response() if r.status == 100 else r
    except (EOFError, OSError):
        return None
    finally:
        c.close()


with tap.run():
    e = Echo(header_timeout=3000, request_timeout=3000)
    r = random.Random(util.seed(20301102))
    cases = [mutate(r, r.choice(SEEDS)) for _ in range(util.rounds(3000))]
    both = refused = 0
    wrong, looser, unlisted, reasons = [], [], [], listed()
    for words, data in reasons.items():
        a = ours(data)
        tap.ok(a and a.body.decode().strip() == words and theirs(data), f"stricter, with a reason: {words}",
               (a and a.body, theirs(data), data[:200]))
    for data in cases:
        t = theirs(data)
        a = ours(data)
        if a is None or a.status >= 400:
            if t:
                refused += 1
                words = a.body.decode().strip() if a else "not complete"
                if words not in reasons:
                    unlisted.append((words, data, t))
            continue
        both += 1
        method = a["x-method"].encode()
        if t is None or t is False:
            looser.append((data, t))
        elif t[0] != method or (t[1].split(b"?")[0] == b"/echo" and a.body != t[2]) or (a.body.startswith(method) and
                                                                             b"body=%d\n" % len(t[2]) not in a.body):
            wrong.append((data, t, a.body))
    tap.is_(wrong, [], "what both take means the same")
    tap.is_(unlisted, [], "what we alone refuse is listed in llhttp.txt")
    # llhttp knows only registered methods
    looser = [(d, t) for d, t in looser if d.lstrip(b"\r\n").split(b" ")[0] in (b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS")]
    tap.is_(looser, [], "we take nothing that llhttp refuses (unknown methods aside)")
    tap.ok(both > 300 and refused > 10, f"the mutations say something: {both} taken by both, {refused} refused by us alone")
