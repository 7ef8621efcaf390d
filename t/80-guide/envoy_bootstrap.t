#!/usr/bin/env python3
"""§16 "Envoy bootstrap of the ConfigMap": SotW ADS over (m)TLS, V3, no metadata, id envoy-{POD_NAME}; also in clear text."""
import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_util as util
from fp_certs import Certs
from fp_harness import Backend, Envoy, Postgres, wait_until

BOOTSTRAP = """node:
  id: envoy-{pod}
  cluster: production
dynamic_resources:
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services:
      - envoy_grpc:
          cluster_name: xds_cluster
  cds_config:
    resource_api_version: V3
    ads: {{}}
  lds_config:
    resource_api_version: V3
    ads: {{}}
static_resources:
  clusters:
    - name: xds_cluster
      type: STRICT_DNS
      connect_timeout: 5s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config:
            http2_protocol_options: {{}}
      load_assignment:
        cluster_name: xds_cluster
        endpoints:
          - lb_endpoints:
              - endpoint:
                  address:
                    socket_address:
                      address: 127.0.0.1
                      port_value: {port}
{tls}admin:
  address:
    socket_address:
      address: 127.0.0.1
      port_value: {admin}
"""
TLS = """      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          common_tls_context:
            tls_certificates:
              - certificate_chain:
                  filename: {crt}
                private_key:
                  filename: {key}
            validation_context:
              trusted_ca:
                filename: {ca}
"""


class Pod(Envoy):
    """An Envoy with the guide's file."""

    def start(self, wait=True):
        path = self.dir / "envoy.yaml"
        path.write_text(self.text.replace("ADMIN_PORT", str(self.admin_port)))
        self.process = util.spawn([self.program, "-c", path, "--disable-hot-restart", "--concurrency", "1"], self.log_path)
        if wait:
            util.wait_until(self._answers, 30, "Envoy's admin port answers")
        return self


def follow(fp, pod, tls=""):
    envoy = Pod(fp.xds_port, start=False)
    envoy.text = BOOTSTRAP.format(pod=pod, port=fp.xds_port, tls=tls, admin="ADMIN_PORT")
    envoy.start()
    envoy.wait_for(lambda d: {f"shop{i}" for i in range(20)} <= set(d["clusters"]) and {"shop", "default-gateway-listener"} <= set(d["listeners"]),
                   30, "all clusters and listeners")
    tap.ok(True, f"{pod}: all clusters and listeners arrive")

    def node():
        r = fp.get(f"/api/v1/nodes/envoy-{pod}", timeout=30)
        return r.json if r.status == 200 and r.json["state"] == "synced" else None
    n = wait_until(node, 20, "acknowledged")
    tap.is_((n["id"], n["cluster"], n["scope"], n["mode"], n["types"]["CDS"]["subscribed"]), (f"envoy-{pod}", "production", "all", "sotw", "*"),
            f"{pod}: acknowledged, as the node it says it is")
    tap.is_({t["sentVersion"] == t["ackedVersion"] for t in n["types"].values() if t["subscribed"]}, {True}, f"{pod}: every type")
    tap.is_(envoy.wait_get(port)[1], "one", f"{pod}: traffic flows")
    return envoy


with tap.run():
    pg, ca, backend, port = Postgres(), Certs(), Backend("one"), util.free_port()
    fp = guide.Instance(pg)
    for i in range(20):
        fp.api("POST", "/clusters", fleet.cluster(f"shop{i}", backend.port))
    fp.api("POST", "/routes", fleet.route("shop", "shop3"))
    fp.api("POST", "/listeners", fleet.listener("shop", port, "shop"))
    envoy = follow(fp, "clear-7d9f")
    envoy.stop()
    fp.stop()
    crt, key = ca.server()
    env = {"FLOWPLANE_XDS_TLS_CERT_PATH": crt, "FLOWPLANE_XDS_TLS_KEY_PATH": key}
    token = fp.token
    for pod, more in ("mtls-5c2a", {"FLOWPLANE_XDS_TLS_CLIENT_CA_PATH": ca.ca_file}), ("tls-81bb", {}):
        fp = guide.Instance(pg, **env, **more)
        fp.token = token
        client = ca.client("envoy")
        follow(fp, pod, TLS.format(crt=client[0], key=client[1], ca=ca.ca_file)).stop()
        fp.stop()
