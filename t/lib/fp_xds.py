"""A scripted xDS client that does nothing by itself: no ACK, no subscription that the test did not ask for.

    with xds.Channel(fp.xds_port) as ch:
        s = ch.ads(node_id="n1")
        s.subscribe("cluster")
        r = s.expect("cluster")
        s.ack(r)
        s.expect_nothing()
"""
import os
import queue
import threading
import time
import warnings

import fp_tap as tap
import fp_util as util

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # its fork handlers abort where a test starts psql
grpc = util.need_module("grpc", "grpcio")
util.need_module("envoy.service.discovery.v3.ads_pb2", "xds-protos")
from envoy.config.cluster.v3 import cluster_pb2  # noqa: E402
from envoy.config.core.v3 import base_pb2  # noqa: E402
from envoy.config.endpoint.v3 import endpoint_pb2  # noqa: E402
from envoy.config.listener.v3 import listener_pb2  # noqa: E402
from envoy.config.route.v3 import route_pb2  # noqa: E402
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2  # noqa: E402
from envoy.service.discovery.v3 import discovery_pb2  # noqa: E402

warnings.filterwarnings("ignore", module="google.protobuf")

MESSAGES = {
    "cluster": cluster_pb2.Cluster,
    "endpoint": endpoint_pb2.ClusterLoadAssignment,
    "listener": listener_pb2.Listener,
    "route": route_pb2.RouteConfiguration,
    "secret": secret_pb2.Secret,
}
TYPES = {k: "type.googleapis.com/" + m.DESCRIPTOR.full_name for k, m in MESSAGES.items()}
SHORT = {v: k for k, v in TYPES.items()}
ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
# Per-type services: Stream/Delta + plural, Fetch + plural.
SERVICES = {
    "cluster": ("envoy.service.cluster.v3.ClusterDiscoveryService", "Clusters"),
    "endpoint": ("envoy.service.endpoint.v3.EndpointDiscoveryService", "Endpoints"),
    "listener": ("envoy.service.listener.v3.ListenerDiscoveryService", "Listeners"),
    "route": ("envoy.service.route.v3.RouteDiscoveryService", "Routes"),
    "secret": ("envoy.service.secret.v3.SecretDiscoveryService", "Secrets"),
}


def url_of(type_):
    return TYPES.get(type_, type_)


def names(response):
    """Sorted names of a response's resources (delta: those sent, not the removed ones)."""
    return sorted(unpack(response))


def _name(message):
    return message.cluster_name if isinstance(message, endpoint_pb2.ClusterLoadAssignment) else message.name


def unpack(response):
    """{name: message} of a SotW or delta response."""
    out = {}
    for item in response.resources:
        any_ = getattr(item, "resource", item)
        message = MESSAGES[SHORT[any_.type_url]]()
        any_.Unpack(message)
        out[_name(message)] = message
    return out


def raw(response):
    """{name: bytes}: the resources' serialized form, for byte equality."""
    out = {}
    for item in response.resources:
        any_ = getattr(item, "resource", item)
        message = MESSAGES[SHORT[any_.type_url]].FromString(any_.value)
        out[_name(message)] = any_.value
    return out


class Ended(Exception):
    """The stream ended; .code and .details are gRPC's."""

    def __init__(self, error):
        self.code = error.code() if hasattr(error, "code") else None
        self.details = error.details() if hasattr(error, "details") else str(error)
        super().__init__(f"{self.code}: {self.details}")


class Channel:
    """One HTTP/2 connection."""

    def __init__(self, port, tls=None, ca=None, address="127.0.0.1", options=()):
        """tls: (certificate, key) paths or (); ca: path.  Without them: clear text."""
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.enable_retries", 0), *options]
        if tls is None and ca is None:
            self.channel = grpc.insecure_channel(f"{address}:{port}", options)
        else:
            read = [open(p, "rb").read() for p in (ca, *(tls or ()))]
            self.channel = grpc.secure_channel(
                f"{address}:{port}",
                grpc.ssl_channel_credentials(read[0], *([read[2], read[1]] if len(read) == 3 else [])),
                [*options, ("grpc.ssl_target_name_override", "localhost")])
        self.streams = []
        tap.at_end(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for s in self.streams:
            s.close()
        self.channel.close()

    def wait_ready(self, deadline=0):
        grpc.channel_ready_future(self.channel).result(util.patience(deadline))
        return self

    def stream(self, path, request_type, response_type, **node):
        s = Stream(self, path, response_type, request_type, **node)
        self.streams.append(s)
        return s

    def ads(self, node_id="test", delta=False, **node):
        request, response = _messages(delta)
        return self.stream(ADS + ("DeltaAggregatedResources" if delta else "StreamAggregatedResources"),
                           request, response, node_id=node_id, **node)

    def single(self, type_, node_id="test", delta=False, **node):
        """The per-type service of a type."""
        request, response = _messages(delta)
        service, plural = SERVICES[type_]
        return self.stream(f"/{service}/{'Delta' if delta else 'Stream'}{plural}", request, response,
                           node_id=node_id, only=type_, **node)

    def unary(self, path, request=b"", deadline=0):
        """(grpc.StatusCode, bytes) of a unary call, whatever it says."""
        call = self.channel.unary_unary(path, request_serializer=_bytes, response_deserializer=bytes)
        try:
            return grpc.StatusCode.OK, call(request, timeout=util.patience(deadline))
        except grpc.RpcError as e:
            return e.code(), e.details()


def _messages(delta):
    return ((discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DeltaDiscoveryResponse) if delta
            else (discovery_pb2.DiscoveryRequest, discovery_pb2.DiscoveryResponse))


def _bytes(message):
    return message if isinstance(message, bytes) else message.SerializeToString()


class Stream:
    def __init__(self, channel, path, response_type, request_type, node_id="test", cluster="test", metadata=None,
                 only=None, node=None):
        self.ch, self.request_type, self.only = channel, request_type, only
        self.delta = request_type is discovery_pb2.DeltaDiscoveryRequest
        self.node = node or base_pb2.Node(id=node_id, cluster=cluster)
        if metadata:
            self.node.metadata.update(metadata)
        self._node_sent = False
        self._out, self._queued, self._asked = queue.SimpleQueue(), 0, 0
        self._in = []  # (arrival, short type, response), not yet expected
        self.log = []  # the same, all of them
        self._news = threading.Condition()
        self.ended = None
        self._call = channel.channel.stream_stream(path, request_serializer=_bytes,
                                                   response_deserializer=response_type.FromString)(
            self._requests())
        threading.Thread(target=self._read, daemon=True).start()

    def _requests(self):
        """What gRPC takes one by one: it asks for the next when the one before is on the wire."""
        while True:
            with self._news:
                self._asked += 1
                self._news.notify_all()
            request = self._out.get()
            if request is None:
                return
            yield request

    def _put(self, request):
        self._queued += 1
        self._out.put(request)

    def _read(self):
        error = None
        try:
            for response in self._call:
                with self._news:
                    item = (time.monotonic(), SHORT.get(response.type_url, response.type_url), response)
                    self.log.append(item)
                    self._in.append(item)
                    self._news.notify_all()
        except Exception as e:  # grpc.RpcError, which says so by status
            error = e
        with self._news:
            self.ended = Ended(error if error is not None else self._call)
            self._news.notify_all()

    # ---- out

    def send(self, type_=None, names=(), version="", nonce="", error=None, node=None, raw=None, code=3, **fields):
        """A SotW request exactly as said; node: None = on the first message only."""
        if raw is not None:
            self._put(raw)
            return
        request = self.request_type(type_url=url_of(type_ or self.only or ""), response_nonce=nonce, **fields)
        if not self.delta:
            request.version_info = version
            request.resource_names.extend(names)
        if error is not None:
            request.error_detail.code = code
            request.error_detail.message = error
        if node or (node is None and not self._node_sent):
            request.node.CopyFrom(self.node)
        self._node_sent = True
        self._put(request)

    def subscribe(self, type_=None, names=(), initial=None):
        """The first request of a type (delta: initial_resource_versions too)."""
        if self.delta:
            self.send(type_, resource_names_subscribe=list(names), initial_resource_versions=initial or {})
        else:
            self.send(type_, names)

    def change(self, type_, subscribe=(), unsubscribe=(), nonce=""):
        """Delta: changes a subscription."""
        self.send(type_, nonce=nonce, resource_names_subscribe=list(subscribe),
                  resource_names_unsubscribe=list(unsubscribe))

    def ack(self, response, names=()):
        """SotW: the names are the subscription from now on, so repeat them."""
        if self.delta:
            self.send(response.type_url, nonce=response.nonce)
        else:
            self.send(response.type_url, names, version=response.version_info, nonce=response.nonce)

    def nack(self, response, message="no", names=(), version=""):
        """version: the last accepted one."""
        if self.delta:
            self.send(response.type_url, nonce=response.nonce, error=message)
        else:
            self.send(response.type_url, names, version=version, nonce=response.nonce, error=message)

    def half_close(self):
        self._out.put(None)

    def close(self):
        self._out.put(None)
        self._call.cancel()

    # ---- in

    def _take(self, match, seconds, what):
        end = time.monotonic() + seconds
        with self._news:
            while True:
                for i, item in enumerate(self._in):
                    if match(item):
                        del self._in[i]
                        return item[2]
                if self.ended:
                    raise self.ended
                left = end - time.monotonic()
                if left <= 0:
                    raise util.Timeout(f"no {what} within {seconds:g} s; waiting are "
                                       f"{[t for _, t, _ in self._in]}")
                self._news.wait(left)

    def expect(self, type_=None, deadline=0):
        """The oldest response of that type not yet taken."""
        return self.within(util.patience(deadline), type_)

    def within(self, seconds, type_=None):
        """The same, for those who go on without one: Timeout after exactly so long."""
        short = SHORT.get(url_of(type_ or self.only), type_)
        return self._take(lambda item: item[1] == short, seconds, f"{short} response")

    def expect_any(self, deadline=0):
        """The oldest response of any type."""
        return self._take(lambda item: True, util.patience(deadline), "response")

    def expect_until(self, type_, cond, deadline=0, ack=True):
        """Takes responses of the type, ACKing each, until cond(response)."""
        end = time.monotonic() + util.patience(deadline)
        while True:
            response = self.within(max(0.001, end - time.monotonic()), type_)
            if ack:
                self.ack(response)
            if cond(response):
                return response

    def fence(self):
        """When all our requests are sent: a call on the same connection, thus answered by the same worker after them, and
        after what it had queued for us."""
        with self._news:
            self._news.wait_for(lambda: self._asked > self._queued or self.ended, util.patience())
        self.ch.unary("/grpc.health.v1.Health/Check")
        with self._news:
            return list(self._in)

    def pending(self):
        """Short types of what arrived and was not taken."""
        with self._news:
            return [t for _, t, _ in self._in]

    def expect_nothing(self, name="nothing was sent", type_=None, settle=0.0):
        """A test: nothing (of that type) has arrived when two fences passed.  settle: seconds in which something
        timed would come (debounce, retry)."""
        self.fence()
        if settle:
            end = time.monotonic() + settle
            with self._news:
                self._news.wait_for(lambda: self._matching(type_) or self.ended, end - time.monotonic())
        self.fence()
        with self._news:
            found = self._matching(type_)
        return tap.ok(not found, name, f"arrived: {found}")

    def _matching(self, type_):
        return [t for _, t, _ in self._in if type_ is None or t == SHORT.get(url_of(type_), type_)]

    def expect_end(self, deadline=0):
        """The Ended with which the server ended the stream."""
        end = time.monotonic() + util.patience(deadline)
        with self._news:
            self._news.wait_for(lambda: self.ended, max(0, end - time.monotonic()))
            if not self.ended:
                raise util.Timeout(f"the stream goes on after {util.patience(deadline):g} s")
            return self.ended
