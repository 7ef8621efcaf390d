#!/usr/bin/env python3
"""§16 "nginx in front (proxy_pass, X-Real-IP, X-Forwarded-*)" and "two or more instances behind a balancer"."""
import http.client
import json

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_util as util
from fp_harness import Postgres, wait_until
from fp_nginx import Nginx

guide.need("curl")
CLIENT = "198.51.100.7"


def audit(pg, where):
    return pg.psql(f"SELECT client_ip FROM audit_logs WHERE {where} ORDER BY id").splitlines()


def remote(fp, path):
    return [e["fields"].get("remote") for e in fp.log_events() if e["fields"].get("path") == path]


def proxied(nginx, fp, method, path, body=None, connection=None, **headers):
    c = connection or http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=util.patience())
    c.request(method, path, json.dumps(body) if body else None,
              {"Authorization": f"Bearer {fp.token}", "Content-Type": "application/json", **headers})
    r = c.getresponse()
    data = r.read()
    if not connection:
        c.close()
    return r, data


with tap.run():
    pg = Postgres()
    env = {"FLOWPLANE_API_TRUSTED_PROXIES": "127.0.0.1"}
    a = guide.Instance(pg, **env)
    b = guide.Instance(pg, api=8081, xds=50052, **env)
    b.token = a.token

    for keepalive, words in (False, "HTTP/1.0"), (True, "HTTP/1.1 with keep-alive"):
        nginx = Nginx(a.api_port, b.api_port, keepalive=keepalive)
        tap.is_(a.sh("curl -s $URL/healthz", URL=nginx.url), '{"status":"ok"}', f"{words}: healthz by curl")
        before = [fp.metric("http_requests_total", path="/api/v1/clusters") or 0 for fp in (a, b)]
        c = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=util.patience())  # kept by the client
        for i in range(20):
            r, data = proxied(nginx, a, "GET", "/api/v1/clusters", connection=c)
            assert r.status == 200 and json.loads(data), (r.status, data)
        c.close()
        after = [fp.metric("http_requests_total", path="/api/v1/clusters") for fp in (a, b)]
        tap.is_([y - x for x, y in zip(before, after)], [10, 10], f"{words}: 20 requests, each instance took its half")

        name = f"by-{'keep' if keepalive else 'one'}"
        r, data = proxied(nginx, a, "POST", "/api/v1/clusters", fleet.cluster(name, 80), **{"X-Forwarded-For": CLIENT})
        tap.is_(r.status, 201, f"{words}: a write")
        # nginx appends the peer it sees, a trusted one here; the client is the right-most hop that is not trusted
        tap.is_(audit(pg, f"resource_name = '{name}'"), [CLIENT], f"{words}: the audit row has the real client")
        wait_until(lambda: all(fp.get(f"/api/v1/clusters/{name}").status == 200 for fp in (a, b)), 5, "on both")
        for claimed in CLIENT, f"203.0.113.99, {CLIENT}":
            proxied(nginx, a, "GET", f"/api/v1/clusters/{name}", **{"X-Forwarded-For": claimed})
        got = [x for fp in (a, b) for x in remote(fp, f"/api/v1/clusters/{name}") if x != "127.0.0.1"]
        tap.is_(got, [CLIENT, CLIENT], f"{words}: the log too; what a client claims before it is not believed")
        big = {"name": f"big-{keepalive}", "endpoints": [{"host": f"10.0.{i // 250}.{i % 250 + 1}", "port": 80} for i in range(4000)]}
        r, data = proxied(nginx, a, "POST", "/api/v1/clusters", big)
        tap.is_(r.status, 201, f"{words}: a large body")
        r, data = proxied(nginx, a, "GET", f"/api/v1/clusters/big-{keepalive}",
                          **{"Accept-Encoding": "gzip", "Flowplane-Revision": r.getheader("Flowplane-Revision")})
        tap.is_((r.status, r.getheader("Content-Encoding")), (200, "gzip"), f"{words}: a large answer, gzip")
        r, data = proxied(nginx, a, "HEAD", "/api/v1/clusters")
        tap.is_((r.status, data), (200, b""), f"{words}: HEAD")
        nginx.stop()

    # ---- one address for all: what is made on one is valid and served on the other within a second
    for here, there in ((a, b), (b, a)):
        t = here.api("POST", "/tokens", {"name": "made-here", "scopes": ["clusters:read"]})
        wait_until(lambda: there.get("/api/v1/clusters", token=t["token"]).status == 200, 5, "the token on the other")
        here.api("POST", "/clusters", fleet.cluster(f"on-{here.api_port}", 80))
        wait_until(lambda: there.get(f"/api/v1/clusters/on-{here.api_port}").status == 200, 5, "the cluster on the other")
        here.api("DELETE", f"/tokens/{t['id']}")
        wait_until(lambda: there.get("/api/v1/clusters", token=t["token"]).status == 401, 5, "revoked on the other")
        tap.ok(True, f"made on {here.dir.name}: token and cluster hold on the other, and their end too")

    # ---- one instance dies: requests go on
    nginx = Nginx(a.api_port, b.api_port, keepalive=True)
    statuses = [proxied(nginx, a, "GET", "/api/v1/clusters")[0].status for _ in range(10)]
    b.kill()
    wait_until(lambda: not util.port_open(b.api_port), 20, "its children end too")
    statuses += [proxied(nginx, a, "GET", "/api/v1/clusters")[0].status for _ in range(30)]
    tap.is_(set(statuses), {200}, "one instance is killed: all requests are answered")
    r, data = proxied(nginx, a, "POST", "/api/v1/clusters", fleet.cluster("after", 80))
    tap.is_(r.status, 201, "writes too")
    b.start()
    b.token = a.token
    # where the database is slow it begins with its cache: a write through another instance is asked for by its revision (§2.5)
    tap.ok(wait_until(lambda: b.get("/api/v1/clusters/after", headers={"Flowplane-Revision": r.getheader("Flowplane-Revision")}).status == 200),
           "the instance that comes back has it")

    # ---- without trusted_proxies nobody is believed
    plain = guide.Instance(pg, api=8082, xds=50053)
    plain.token = a.token
    nginx = Nginx(plain.api_port)
    r, data = proxied(nginx, plain, "POST", "/api/v1/clusters", fleet.cluster("untrusted", 80), **{"X-Forwarded-For": CLIENT})
    tap.is_((r.status, audit(pg, "resource_name = 'untrusted'")), (201, ["127.0.0.1"]), "without trusted_proxies: the peer itself")
