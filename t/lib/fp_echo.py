"""The test server of the HTTP and gRPC rooms (http_echo.c), and raw clients for it.

    e = Echo(header_timeout=300)
    c = e.connect(); c.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"); c.response().status
"""
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess

import fp_tap as tap
import fp_util as util


class Echo:
    count = 0

    def __init__(self, **options):
        Echo.count += 1
        self.program = pathlib.Path(os.environ.get("FP_OBJS", "objs"), "t/lib/http_echo")
        if not self.program.exists():
            tap.skip_all(f"{self.program} is not built (make tests)")
        self.tls = "cert" in options
        self.log = util.tmp() / f"echo{Echo.count}.log"
        self.allowed = []
        nofile = options.pop("nofile", None)
        argv = [self.program] + [f"{k}={v}" for k, v in options.items()]
        limit = ["prlimit", f"--nofile={nofile}:{nofile}"] if nofile else []
        self.process = util.spawn([*limit, *argv], self.log)
        tap.at_end(self.stop)
        ports = util.wait_until(lambda: re.search(r"^(\d+) (\d+)$", self.text(), re.M), what="the ports of http_echo")
        self.port, self.grpc_port = int(ports[1]), int(ports[2])

    def text(self):
        return self.log.read_text(errors="replace")

    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process is None:
            return
        status = util.stop_process(self.process)
        self.process = None
        tap.is_(status, 0, "the server ends in order, without a leak")
        bad = [l for l in self.text().splitlines()
               if re.search(r"assert|Sanitizer|runtime error", l, re.I)]
        tap.is_(bad, [], "the server's log has no assert and no sanitizer line")

    def connect(self, grpc=False, tls=None, rcvbuf=None):
        return Raw(self.grpc_port if grpc else self.port, tls=tls, rcvbuf=rcvbuf)

    def get(self, path, body=None, headers=()):
        c = self.connect(tls=self._any_tls())
        c.request("POST" if body is not None else "GET", path, body, headers)
        r = c.response()
        c.close()
        return r

    def _any_tls(self):
        if not self.tls:
            return None
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        return ctx

    def stats(self, connection=None):
        r = connection.request("GET", "/stats").response() if connection else self.get("/stats")
        return json.loads(r.body)

    def closed(self, reason):
        return self.stats()["closed"][reason]


class Response:
    def __init__(self, status, headers, body, version):
        self.status, self.headers, self.body, self.version = status, headers, body, version

    def __getitem__(self, name):
        return next((v for n, v in self.headers if n == name), None)


class Raw:
    """A socket that says exactly what the test wants."""

    def __init__(self, port, tls=None, rcvbuf=None, address="127.0.0.1"):
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(util.patience())
        self.sock.connect((address, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.data = b""

    def send(self, data):
        self.sock.sendall(data)
        return self

    def request(self, method, path, body=None, headers=()):
        lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def fill(self):
        more = self.sock.recv(65536)
        self.data += more
        return more

    def line(self):
        while b"\r\n" not in self.data:
            if not self.fill():
                raise EOFError(f"closed after {self.data!r}")
        line, self.data = self.data.split(b"\r\n", 1)
        return line.decode("latin-1")

    def take(self, n):
        while len(self.data) < n:
            if not self.fill():
                raise EOFError(f"closed after {len(self.data)} of {n} bytes")
        part, self.data = self.data[:n], self.data[n:]
        return part

    def response(self, head=False):
        version, status, _ = (self.line() + " ").split(" ", 2)
        headers = []
        while line := self.line():
            name, value = line.split(":", 1)
            headers.append((name.lower(), value.strip()))
        r = Response(int(status), headers, b"", version)
        n = int(r["content-length"] or 0)
        if not head and r.status >= 200 and r.status not in (204, 304):
            r.body = self.take(n)
        return r

    def at_end(self):
        """True when the server closes in order without another byte."""
        try:
            return not self.data and self.fill() == b""
        except ConnectionResetError:
            return False

    def close(self):
        self.sock.close()
