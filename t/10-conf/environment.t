#!/usr/bin/env python3
"""The environment (contract §12.1, §16): names, precedence, words, strays, link variables."""
import fp_conf
import fp_tap as tap
from fp_conf import conf, run, value

PLAIN = "database : { embedded = true; };\napi : { port = 8090; };\n"
URL = {"DATABASE_URL": "postgresql://u:geheim@h/db"}


def printed(env, *args, text=PLAIN):
    r = run("-T", "-c", conf(text), *args, env=env)
    return r


def check(env, name, want, origin=None, text=PLAIN, args=()):
    r = printed(env, *args, text=text)
    v, o = value(r.stdout, name)
    label = " ".join(f"{k}={x}" for k, x in env.items())
    tap.is_(v, want, f"{label}: {name} = {want}") or tap.diag(r.stderr)
    if origin:
        tap.is_(o, origin, f"{label}: {name} comes from {origin}")


def refused(env, text, conf_text=PLAIN):
    r = printed(env, text=conf_text)
    label = " ".join(f"{k}={x}" for k, x in env.items())
    tap.is_(r.returncode, 1, f"{label}: refused")
    tap.contains(r.stderr, text, f"{label}: {text}")


with tap.run():
    # the rule's name, nested groups, further names and who wins
    check({"FLOWPLANE_API_PORT": "9001"}, "api.port", "9001", "env FLOWPLANE_API_PORT")
    check({"FLOWPLANE_API_TLS_CHAIN_PATH": "/etc/passwd"}, "api.tls.chain_path", '"/etc/passwd"')
    check({"FLOWPLANE_API_BIND_ADDRESS": "0.0.0.0"}, "api.bind_address", '[ "0.0.0.0" ]')
    check({"FLOWPLANE_API_BIND_ADDRESS": "0.0.0.0"}, "xds.bind_address", '[ "0.0.0.0" ]', "default")
    check({"FLOWPLANE_XDS_BIND_ADDRESS": "127.0.0.1, ::1"}, "xds.bind_address", '[ "127.0.0.1", "::1" ]')
    check({"DATABASE_MAX_CONNECTIONS": "25"}, "database.max_connections", "25", "env DATABASE_MAX_CONNECTIONS")
    check({"FLOWPLANE_DATABASE_MAX_CONNECTIONS": "26"}, "database.max_connections", "26")
    check({"DATABASE_MAX_CONNECTIONS": "25", "FLOWPLANE_DATABASE_MAX_CONNECTIONS": "26"},
          "database.max_connections", "25", "env DATABASE_MAX_CONNECTIONS")
    check({"DATABASE_CONNECT_TIMEOUT_SECONDS": "15"}, "database.connect_timeout", '"15s"')
    check({"DATABASE_IDLE_TIMEOUT_SECONDS": "0"}, "database.idle_timeout", "0")
    check({"FLOWPLANE_LOG_LEVEL": "debug"}, "observability.log_level", '"debug"')
    check({"RUST_LOG": "info,flowplane=debug"}, "observability.log_filter", '"info,flowplane=debug"')
    check({"FLOWPLANE_JSON_LOGGING": "true"}, "observability.log_format", '"json"', "env FLOWPLANE_JSON_LOGGING")
    check({"FLOWPLANE_JSON_LOGGING": "0"}, "observability.log_format", '"auto"', "default")
    check({"FLOWPLANE_TRACE_SAMPLING_RATIO": "0.5"}, "observability.trace_sampling_ratio", "0.5")
    check({"FLOWPLANE_METRICS_PORT": "9090"}, "observability.metrics_port", "9090")
    # command line wins over the environment, that over the file; empty counts as unset
    check({"FLOWPLANE_API_PORT": "9001"}, "api.port", "9002", "command line", args=("-g", "api.port = 9002"))
    check({"FLOWPLANE_API_PORT": ""}, "api.port", "8090")
    # words
    for word in ("1", "true", "YES", "On"):
        check({"FLOWPLANE_API_GZIP": word}, "api.gzip", "true", "env FLOWPLANE_API_GZIP")
    for word in ("0", "false", "No", "OFF"):
        check({"FLOWPLANE_API_GZIP": word}, "api.gzip", "false", "env FLOWPLANE_API_GZIP")
    refused({"FLOWPLANE_API_GZIP": "maybe"}, "FLOWPLANE_API_GZIP: api.gzip must be one of 1 true yes on, 0 false no off")
    check({"FLOWPLANE_API_TLS_ENABLED": "enabled"}, "api.tls.enabled", "false", "env FLOWPLANE_API_TLS_ENABLED")
    check({"DATABASE_AUTO_MIGRATE": "nope"}, "database.auto_migrate", "false")
    check({"DATABASE_AUTO_MIGRATE": "1"}, "database.auto_migrate", "true", "env DATABASE_AUTO_MIGRATE")
    refused({"FLOWPLANE_API_PORT": "80a"}, "FLOWPLANE_API_PORT: api.port must be an integer")
    refused({"FLOWPLANE_API_PORT": "70000"}, "FLOWPLANE_API_PORT: api.port is out of range, must be 1..65535")
    refused({"FLOWPLANE_API_TLS_ENABLED": "true", "FLOWPLANE_API_TLS_CERT_PATH": "/x", "FLOWPLANE_API_TLS_KEY_PATH": ""},
            "api.tls.key_path (FLOWPLANE_API_TLS_KEY_PATH) is required with api.tls.enabled")
    refused({"FLOWPLANE_XDS_TLS_CERT_PATH": "/x"}, "xds.tls.key_path (FLOWPLANE_XDS_TLS_KEY_PATH) is required")
    refused({"RUST_LOG": "a=b=c"}, "RUST_LOG: observability.log_filter")
    # the database: one layer's choice replaces an earlier one as a whole; secrets are masked
    r = printed(URL)
    tap.is_(value(r.stdout, "database.url"), ('"postgresql://u:***@h/db"', "env DATABASE_URL"), "DATABASE_URL is masked")
    tap.is_(value(r.stdout, "database.embedded")[0], "false", "DATABASE_URL replaces the file's embedded mode")
    tap.unlike(r.stdout + r.stderr, "geheim", "the password is nowhere")
    r = printed({**URL, "FLOWPLANE_DATABASE_URL": "postgresql:///other"})
    tap.is_(value(r.stdout, "database.url")[1], "env DATABASE_URL", "DATABASE_URL wins over the rule's name")
    refused({"DATABASE_URL": "mysql://h"}, "DATABASE_URL: DATABASE_URL (database.url): the scheme \"mysql\"")
    refused({}, "DATABASE_URL is not set", "api : { port = 8080; };\n")
    r = printed({"BOOTSTRAP_TOKEN": "x" * 40})
    tap.is_(value(r.stdout, "bootstrap.secret"), ('"***"', "env BOOTSTRAP_TOKEN"), "BOOTSTRAP_TOKEN is masked")
    # strays
    r = printed({"FLOWPLANE_API_PROT": "1"})
    tap.is_(r.returncode, 0, "an unknown variable is no error")
    tap.contains(r.stderr, "warning: unknown variable FLOWPLANE_API_PROT; did you mean FLOWPLANE_API_PORT?", "but a warning")
    for name in ("CLUSTER_NAME", "ROUTE_NAME", "LISTENER_NAME", "BACKEND_ADDRESS", "BACKEND_PORT", "LISTENER_PORT"):
        r = printed({f"FLOWPLANE_{name}": "1"})
        tap.contains(r.stderr, f"warning: FLOWPLANE_{name} is read no more and ignored", f"{name}: ignored with a warning")
    r = printed({"FLOWPLANE_TOKEN": "t", "FLOWPLANE_BASE_URL": "u", "FLOWPLANE_TIMEOUT": "3"})
    tap.unlike(r.stderr, "FLOWPLANE_", "flowplanectl's variables are not our business")
    # Kubernetes' links to the Services flowplane-api and flowplane-xds, and to one named flowplane
    links = {}
    for service, port in (("FLOWPLANE_API", 8080), ("FLOWPLANE_XDS", 50051), ("FLOWPLANE", 8080)):
        tcp = f"{service}_PORT_{port}_TCP"
        links.update({f"{service}_SERVICE_HOST": "10.0.0.7", f"{service}_SERVICE_PORT": str(port),
                      f"{service}_SERVICE_PORT_HTTP": str(port), f"{service}_PORT": f"tcp://10.0.0.7:{port}",
                      tcp: f"tcp://10.0.0.7:{port}", f"{tcp}_PROTO": "tcp", f"{tcp}_PORT": str(port),
                      f"{tcp}_ADDR": "10.0.0.7"})
    r = printed(links, text="database : { embedded = true; };\n")
    tap.is_(r.returncode, 0, "link variables: accepted") or tap.diag(r.stderr)
    tap.is_(value(r.stdout, "api.port"), ("8080", "default"), "link variables: api.port stays at its default")
    tap.is_(value(r.stdout, "xds.port"), ("50051", "default"), "link variables: xds.port stays at its default")
    tap.is_(len([x for x in r.stderr.splitlines() if x.startswith("note: ")]), 1, "link variables: one line")
    tap.unlike(r.stderr, "unknown variable", "link variables: no warning")
    # the guide's environment block, all at once, without a file
    guide = {"DATABASE_URL": "postgresql://flowplane:pw@postgres:5432/flowplane", "DATABASE_MAX_CONNECTIONS": "20",
             "DATABASE_MIN_CONNECTIONS": "2", "DATABASE_CONNECT_TIMEOUT_SECONDS": "10",
             "DATABASE_IDLE_TIMEOUT_SECONDS": "600", "DATABASE_AUTO_MIGRATE": "true",
             "FLOWPLANE_API_BIND_ADDRESS": "0.0.0.0", "FLOWPLANE_API_PORT": "8080", "FLOWPLANE_XDS_PORT": "50051",
             "FLOWPLANE_ENABLE_METRICS": "true", "FLOWPLANE_METRICS_PORT": "9090", "FLOWPLANE_ENABLE_TRACING": "false",
             "FLOWPLANE_SERVICE_NAME": "flowplane", "FLOWPLANE_LOG_LEVEL": "info", "RUST_LOG": "info,flowplane=debug",
             "FLOWPLANE_JSON_LOGGING": "true", "FLOWPLANE_CLUSTER_NAME": "x", "FLOWPLANE_BACKEND_PORT": "80"}
    r = run("-T", "-c", conf(""), env=guide)
    tap.is_(r.returncode, 0, "the guide's environment block is accepted") or tap.diag(r.stderr)
    tap.is_(value(r.stdout, "database.min_connections")[0], "2", "and taken up")
