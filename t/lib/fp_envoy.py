"""A real Envoy that follows a Flowplane over ADS, and a small HTTP server to put behind it."""
import http.client
import http.server
import json
import pathlib
import re
import sys
import threading

import fp_tap as tap
import fp_util as util


def program():
    return util.find_program("envoy", "FP_ENVOY", [pathlib.Path(sys.executable).parent])


class Envoy:
    count = 0

    def __init__(self, xds_port, node_id=None, cluster="test", delta=False, metadata=None, tls=None, ca=None,
                 start=True, static=None, log_level="info", drain_s=1):
        """tls: (certificate, key) of the client, or () for TLS without one; ca: file that verifies the server.
        static: static_resources merged into the bootstrap."""
        Envoy.count += 1
        self.program = program()
        self.dir = util.tmp() / f"envoy{Envoy.count}"
        self.dir.mkdir()
        self.log_path = self.dir / "log"
        self.log_path.touch()
        self.admin_port = util.free_port()
        self.node_id = node_id or f"envoy-{Envoy.count}"
        self.log_level, self.drain_s = log_level, drain_s
        self.process = None
        self._allowed = []
        self.bootstrap = self._bootstrap(xds_port, cluster, delta, metadata, tls, ca, static or {})
        tap.at_end(self._finish)
        if start:
            self.start()

    def _bootstrap(self, xds_port, cluster, delta, metadata, tls, ca, static):
        options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        xds = {
            "name": "xds_cluster", "type": "STATIC", "connect_timeout": "30s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options, "explicit_http_config": {"http2_protocol_options": {
                    "connection_keepalive": {"interval": "30s", "timeout": "30s"}}}}},
            "load_assignment": {"cluster_name": "xds_cluster", "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": xds_port}}}}]}]},
        }
        if tls is not None:
            common = {"validation_context": {"trusted_ca": {"filename": str(ca)}}} if ca else {}
            if tls:
                common["tls_certificates"] = [{"certificate_chain": {"filename": str(tls[0])},
                                               "private_key": {"filename": str(tls[1])}}]
            xds["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": common, "sni": "localhost"}}
        ads = {"ads": {}, "resource_api_version": "V3"}
        return {
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.admin_port}}},
            "node": {"id": self.node_id, "cluster": cluster, **({"metadata": metadata} if metadata else {})},
            "dynamic_resources": {
                "ads_config": {"api_type": "DELTA_GRPC" if delta else "GRPC", "transport_api_version": "V3",
                               "grpc_services": [{"envoy_grpc": {"cluster_name": "xds_cluster"}}],
                               "set_node_on_first_message_only": True},
                "cds_config": ads, "lds_config": ads},
            "static_resources": {**static, "clusters": [xds, *static.get("clusters", [])]},
            # nothing but the test decides how fast it ends
            "layered_runtime": {"layers": [{"name": "static", "static_layer": {
                "overload.global_downstream_max_connections": 50000}}]},
        }

    def start(self, wait=True):
        """Waits until the admin port answers: Envoy is LIVE only when its first configuration came."""
        path = self.dir / "bootstrap.json"
        path.write_text(json.dumps(self.bootstrap, indent=1))
        self.process = util.spawn([self.program, "-c", path, "--disable-hot-restart", "--concurrency", "1",
                                   "-l", self.log_level, "--drain-time-s", str(self.drain_s)],
                                  self.log_path)
        if wait:
            util.wait_until(self._answers, 30, "Envoy's admin port answers")
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"envoy ended with {self.process.returncode}:\n{self.log()[-3000:]}")
        try:
            return self.admin("/server_info") is not None
        except OSError:
            return False

    def stop(self):
        if self.process:
            status = util.stop_process(self.process)
            self.process = None
            return status

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self):
        self.kill()
        return self.start()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def allow(self, pattern):
        self._allowed.append(re.compile(pattern))

    # ---- what it knows

    def admin(self, path, method="GET"):
        c = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=util.patience())
        try:
            c.request(method, path)
            return c.getresponse().read().decode()
        finally:
            c.close()

    def is_live(self):
        return json.loads(self.admin("/server_info"))["state"] == "LIVE"

    def wait_live(self, deadline=0):
        return util.wait_until(self.is_live, deadline, "Envoy is LIVE")

    def config_dump(self, eds=False):
        """{"clusters": {name: resource}, "listeners": …, "routes": …, "endpoints": …}, dynamic ones only."""
        out = {"clusters": {}, "listeners": {}, "routes": {}, "endpoints": {}, "warming": [], "errors": {}}
        for part in json.loads(self.admin("/config_dump" + ("?include_eds" if eds else "")))["configs"]:
            for c in part.get("dynamic_active_clusters", []):
                out["clusters"][c["cluster"]["name"]] = c["cluster"]
            for c in part.get("dynamic_warming_clusters", []):
                out["warming"].append(c["cluster"]["name"])
            for entry in part.get("dynamic_listeners", []):
                if "active_state" in entry:
                    out["listeners"][entry["name"]] = entry["active_state"]["listener"]
                if "error_state" in entry:
                    failed = entry["error_state"].get("failed_configuration", {})  # a new one has no name of its own
                    out["errors"][entry.get("name") or failed.get("name", "?")] = entry["error_state"].get("details", "")
            for r in part.get("dynamic_route_configs", []):
                if "route_config" in r:
                    out["routes"][r["route_config"]["name"]] = r["route_config"]
            for e in part.get("dynamic_endpoint_configs", []):
                if "endpoint_config" in e:
                    out["endpoints"][e["endpoint_config"]["cluster_name"]] = e["endpoint_config"]
        return out

    def stats(self, pattern=""):
        """{name: number} of counters and gauges that match."""
        out = {}
        for line in self.admin("/stats" + (f"?filter={pattern}" if pattern else "")).splitlines():
            name, _, value = line.partition(": ")
            if value.isdigit():
                out[name] = int(value)
        return out

    def gave_up(self):
        """Subscriptions whose first answer it waited for in vain (15 s): {name: times}."""
        found = self.stats("init_fetch_timeout")
        assert found, "Envoy has no such counters any more"
        return {name: n for name, n in found.items() if n}

    def stat(self, name):
        return self.stats("^" + name.replace(".", "\\.") + "$").get(name, 0)

    def wait_for(self, cond, deadline=0, what=None):
        """cond(config_dump()) becomes true."""
        return util.wait_until(lambda: cond(self.config_dump()), deadline, what or "Envoy's configuration")

    def wait_stat(self, name, cond, deadline=0):
        return util.wait_until(lambda: cond(self.stat(name)), deadline, f"Envoy's {name}")

    def get(self, port, path="/", host="localhost", headers=None, timeout=0):
        """(status, body) of a request through a listener."""
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=util.patience(timeout))
        try:
            c.request("GET", path, headers={"Host": host, **(headers or {})})
            r = c.getresponse()
            return r.status, r.read().decode()
        finally:
            c.close()

    def wait_get(self, port, path="/", want=200, deadline=0, **more):
        def answered():
            try:
                status, body = self.get(port, path, **more)
                return (status, body) if status == want else None
            except (OSError, http.client.HTTPException):
                return None
        return util.wait_until(answered, deadline, f"GET :{port}{path} is {want}")

    def _finish(self):
        was = self.process is not None
        dead = was and self.process.poll() is not None
        self.stop()
        if was:
            tap.ok(not dead, f"{self.dir.name}: lived to the end", self.log()[-3000:])
        bad = [line for line in self.log().splitlines() if re.search(r"\]\[critical\]|panic:|assert failure", line)
               and not any(p.search(line) for p in self._allowed)]
        tap.ok(not bad, f"{self.dir.name}: no critical line", "\n".join(bad[:10]))
        if tap._failed:
            tap.diag(util.log_tail(self.log_path))


class Backend:
    """Answers every request with its name; counts them."""

    def __init__(self, name="backend", port=None, status=200):
        self.name, self.port, self.hits = name, port or util.free_port(), 0
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else head and body are 40 ms apart

            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                backend.hits += 1
                body = backend.name.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Path", self.path)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a proxy that drops a connection is its own business
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        tap.at_end(self.stop)

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
