"""HTTP/2 as bytes: frames and header blocks that no library would send, on a socket that says exactly what the test wants."""
import select
import socket
import struct

import fp_util as util

DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(*fields):
    """HPACK: literals without indexing."""
    return b"".join(b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in fields)


def head(method=b"GET", path=b"/healthz", *more):
    return block((b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"test"), *more)


def connect(port, rcvbuf=None):
    s = socket.socket()
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.settimeout(util.patience())
    s.connect(("127.0.0.1", port))
    return s


def connect2(port, rcvbuf=None):
    """The same, behind the preface and empty SETTINGS."""
    s = connect(port, rcvbuf)
    s.sendall(PREFACE + frame(SETTINGS))
    return s


def drop(*sockets):
    """Closed with a reset: nothing stays in TIME_WAIT."""
    for s in sockets:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()


def hung_up(s):
    """The server has closed its side, whatever of its words is unread."""
    p = select.poll()
    p.register(s, select.POLLRDHUP)
    return bool(p.poll(0))


def flood(s, data, most):
    """Sends data again and again, not reading, until the server hangs up; true when it did so before `most` bytes were taken."""
    sent = 0
    try:
        while sent < most:
            s.sendall(data)
            sent += len(data)
    except OSError:
        return True
    return hung_up(s)


def read_all(s, most=1 << 24):
    """What comes until the end, however that is."""
    got = b""
    try:
        while len(got) < most and (more := s.recv(1 << 16)):
            got += more
    except ConnectionError:
        pass
    return got


def frames(data):
    """[(kind, flags, stream, payload)] of whole frames."""
    out, at = [], 0
    while len(data) - at >= 9:
        n = int.from_bytes(data[at:at + 3], "big")
        out.append((data[at + 3], data[at + 4], int.from_bytes(data[at + 5:at + 9], "big"), data[at + 9:at + 9 + n]))
        at += 9 + n
    return out
