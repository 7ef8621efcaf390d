"""An HTTP/2 client on the `h2` library that keeps every event, for the tests of HTTP/2 and gRPC."""
import time

import fp_util as util

h2 = util.need_module("h2", "h2")
import h2.config
import h2.connection
import h2.events as ev
import h2.exceptions
import h2.settings

S = h2.settings.SettingCodes


class Client:
    def __init__(self, server, grpc=False, raw=None, rcvbuf=None):
        self.raw = raw or server.connect(grpc, rcvbuf=rcvbuf)
        self.h = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False))
        self.h.initiate_connection()
        self.events, self.eof, self.input = [], False, b""
        self.acknowledge = True  # give flow control back
        self.flush()

    def flush(self):
        data = self.h.data_to_send()
        if data:
            self.raw.send(data)

    def open(self, method="GET", path="/x", headers=(), end=True):
        st = self.h.get_next_available_stream_id()
        self.h.send_headers(st, [(":method", method), (":path", path), (":scheme", "http"), (":authority", "test"),
                                 *headers], end_stream=end)
        self.flush()
        return st

    def call(self, method, *messages, end=False, headers=()):
        path = method if method.startswith("/") else "/test.Echo/" + method
        st = self.open("POST", path, [("content-type", "application/grpc"), ("te", "trailers"), *headers], end=False)
        for m in messages:
            self.message(st, m)
        if end:
            self.h.end_stream(st)
        self.flush()
        return st

    def message(self, st, m):
        data = b"\0" + len(m).to_bytes(4, "big") + m
        while data:
            n = min(len(data), self.h.max_outbound_frame_size, self.h.local_flow_control_window(st))
            if n == 0:
                self.pump()
                continue
            self.h.send_data(st, data[:n])
            data = data[n:]
            self.flush()

    def pump(self, wait=True):
        if not wait:
            self.raw.sock.setblocking(False)
        try:
            data = self.raw.sock.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        finally:
            if not wait:
                self.raw.sock.setblocking(True)
        if not data:
            self.eof = True
            return
        self.input += data
        new = []
        while len(self.input) >= 9 and len(self.input) >= (n := 9 + int.from_bytes(self.input[:3], "big")):
            new += self.h.receive_data(self.input[:n])
            self.input = self.input[n:]
            if new and isinstance(new[-1], ev.ConnectionTerminated) and new[-1].error_code == 0:
                # the library thinks that GOAWAY ends the connection; open streams go on
                self.h.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        for e in new:
            if self.acknowledge and isinstance(e, ev.DataReceived) and e.flow_controlled_length:
                self.h.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
        self.events += new
        try:
            self.flush()
        except OSError:
            pass

    def all(self, kind, stream=None):
        return [e for e in self.events if isinstance(e, kind) and (stream is None or e.stream_id == stream)]

    def wait(self, kind, stream=None, deadline=0, n=1):
        """The n-th event of a kind."""
        end = time.monotonic() + util.patience(deadline)
        while len(self.all(kind, stream)) < n:
            if self.eof:
                raise EOFError(f"closed before {kind.__name__}; had {self.events[-5:]}")
            self.raw.sock.settimeout(max(0.01, end - time.monotonic()))
            self.pump()
        return self.all(kind, stream)[n - 1]

    def wait_eof(self):
        while not self.eof:
            self.pump()
        return True

    def settings(self):
        self.wait(ev.SettingsAcknowledged)
        return {k: v.new_value for e in self.all(ev.RemoteSettingsChanged) for k, v in e.changed_settings.items()}

    def data(self, stream):
        return b"".join(e.data for e in self.all(ev.DataReceived, stream))

    def answer(self, stream):
        self.wait(ev.StreamEnded, stream)
        return int(dict(self.wait(ev.ResponseReceived, stream).headers)[b":status"]), self.data(stream)

    def status(self, stream):
        """(grpc-status, grpc-message, was it trailers-only) of an ended call."""
        self.wait(ev.StreamEnded, stream)
        t = self.all(ev.TrailersReceived, stream)
        h = dict((t or self.all(ev.ResponseReceived, stream))[0].headers)
        return int(h[b"grpc-status"]), h.get(b"grpc-message", b"").decode(), not t
