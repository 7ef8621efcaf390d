#!/usr/bin/env python3
"""§16 "every variable of its environment block … all at once, from environment alone without a file", "compose file" and
"docker exec … env | grep FLOWPLANE": read-only certificates, TLS on both ports, a container's user."""
import json
import os

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_util as util
from fp_certs import Certs
from fp_harness import Backend, Envoy, Postgres, wait_until

guide.need("curl", "jq", "grep")

with tap.run():
    ca = Certs()
    (api_crt, api_key), (xds_crt, xds_key) = ca.server(), ca.server()
    pg = Postgres()
    block = {
        "DATABASE_URL": pg.url(), "DATABASE_MAX_CONNECTIONS": "25", "DATABASE_MIN_CONNECTIONS": "5",
        "DATABASE_CONNECT_TIMEOUT_SECONDS": "10", "DATABASE_IDLE_TIMEOUT_SECONDS": "600", "DATABASE_AUTO_MIGRATE": "true",
        "FLOWPLANE_API_BIND_ADDRESS": "0.0.0.0", "FLOWPLANE_API_PORT": None, "FLOWPLANE_API_TLS_ENABLED": "true",
        "FLOWPLANE_API_TLS_CERT_PATH": api_crt, "FLOWPLANE_API_TLS_KEY_PATH": api_key, "FLOWPLANE_API_TLS_CHAIN_PATH": ca.ca_file,
        "FLOWPLANE_XDS_BIND_ADDRESS": "0.0.0.0", "FLOWPLANE_XDS_PORT": None, "FLOWPLANE_XDS_TLS_CERT_PATH": xds_crt,
        "FLOWPLANE_XDS_TLS_KEY_PATH": xds_key, "FLOWPLANE_XDS_TLS_CLIENT_CA_PATH": ca.ca_file,
        "FLOWPLANE_XDS_TLS_REQUIRE_CLIENT_CERT": "true",
        "FLOWPLANE_ENABLE_METRICS": "true", "FLOWPLANE_ENABLE_TRACING": "false", "FLOWPLANE_SERVICE_NAME": "flowplane-production",
        "FLOWPLANE_LOG_LEVEL": "info", "FLOWPLANE_JSON_LOGGING": "true", "RUST_LOG": "info,flowplane=debug",
        "FLOWPLANE_CLUSTER_NAME": "default_cluster", "FLOWPLANE_ROUTE_NAME": "default_route", "FLOWPLANE_LISTENER_NAME": "default_listener",
        "FLOWPLANE_BACKEND_ADDRESS": "127.0.0.1", "FLOWPLANE_BACKEND_PORT": "8000", "FLOWPLANE_LISTENER_PORT": "10000",
        "BOOTSTRAP_TOKEN": "c2VjcmV0LW9mLWEtY29tcG9zZS1maWxlLTEyMzQ1",
    }
    fp = guide.Instance(pg, certs=ca, **block)
    tap.ok(fp.token.endswith("." + block["BOOTSTRAP_TOKEN"]), "BOOTSTRAP_TOKEN is the seeded secret")
    curl = f"curl -sf --cacert {ca.ca_file} "
    tap.is_(fp.sh(curl + "$API/healthz"), '{"status":"ok"}', "HTTPS on the API port")
    tap.is_(fp.sh(curl + '$API/api/v1/clusters -H "Authorization: Bearer $TOKEN" | jq -r ".[0].name"'), "default-gateway-cluster", "and a token")
    tap.like(fp.sh(curl + "$API/metrics | grep flowplane_build_info"), 'service="flowplane-production"', "metrics under the service's name")
    tap.is_(fp.metric("flowplane_db_connection_pool_max"), 25, "DATABASE_MAX_CONNECTIONS")
    wait_until(lambda: int(pg.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flowplane'")) >= 5, 20, "DATABASE_MIN_CONNECTIONS")
    for name in ("CLUSTER", "ROUTE", "LISTENER"):
        tap.like(fp.log(), rf"FLOWPLANE_{name}_NAME", f"FLOWPLANE_{name}_NAME: warned about")
    tap.is_([e for e in fp.log_events() if e["level"] == "ERROR"], [], "no error in the log")

    backend, port = Backend("one"), util.free_port()
    fleet.lay(fp, port, backend)
    envoy = Envoy(fp.xds_port, tls=ca.client("envoy"), ca=ca.ca_file)
    tap.is_(envoy.wait_get(port)[1], "one", "an Envoy follows over mTLS")

    # ---- docker exec: the variables of our name hold no secret, and the real ones are wiped
    ours = "".join(f"{k}={v}\n" for k, v in fp.env.items() if k.startswith("FLOWPLANE_"))
    tap.unlike(ours, "postgresql://|" + block["BOOTSTRAP_TOKEN"], "env | grep FLOWPLANE shows no secret")
    for pid in [fp.master_pid, *fp.children()]:
        text = open(f"/proc/{pid}/environ", "rb").read()
        tap.ok(block["BOOTSTRAP_TOKEN"].encode() not in text and pg.url().encode() not in text,
               f"the environment of {util.cmdline(pid).split()[1] if ' ' in util.cmdline(pid) else pid} holds neither URL nor secret")

    # ---- the compose file's container: nobody's user, certificates that nobody may write
    tap.is_({os.stat(f"/proc/{p}").st_uid for p in [fp.master_pid, *fp.children()]}, {util.unprivileged()[0] if util.ROOT else os.getuid()},
            "all processes are the unprivileged user's")
    fp.restart()
    tap.is_(fp.sh(curl + '$API/api/v1/clusters/shop -H "Authorization: Bearer $TOKEN" | jq -r .name'), "shop", "data survive a new container")
    tap.is_(envoy.wait_get(port)[1], "one", "Envoy goes on")
