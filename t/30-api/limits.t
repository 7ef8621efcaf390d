#!/usr/bin/env python3
"""Rate limits, penalties, trusted proxies, CORS (contract §2.2, §2.9); shared by all workers."""
import time

from fp_harness import Flowplane, Postgres, wait_until
from fp_tap import is_, like, ok, run


def cluster(n):
    return {"name": f"c{n}", "endpoints": [f"127.0.0.1:{1000 + n}"]}


with run():
    pg = Postgres()
    fp = Flowplane(pg, conf={"api.write_rate_token": 12, "api.write_burst": 5, "auth.failure_limit": 8,
                             "api.trusted_proxies": ["127.0.0.0/8", "10.1.0.0/16"],
                             "api.cors_origins": ["https://ui.test"]})

    def client_of(headers):
        """The address that the audit row of a write has."""
        name = f"p{abs(hash(str(sorted(headers.items()))))}"
        r = fp.post("/api/v1/endpoints", {"name": name, "endpoints": []}, headers=headers)
        assert r.status == 201, r.text
        return pg.psql(f"SELECT client_ip FROM audit_logs WHERE resource_name = '{name}'").strip()

    # ---- proxies: each write takes one of the burst of five
    start = time.monotonic()
    is_(client_of({"X-Forwarded-For": "198.51.100.7, 203.0.113.9, 10.1.2.3"}), "203.0.113.9", "X-Forwarded-For: the right-most untrusted hop")
    is_(client_of({"X-Forwarded-For": "198.51.100.7", "Forwarded": 'for=192.0.2.1;proto=https, for="[2001:db8::17]:4711"'}),
        "2001:db8::17", "Forwarded wins, quoted IPv6 with a port")
    is_(client_of({"X-Real-IP": "198.51.100.8"}), "198.51.100.8", "X-Real-IP")
    is_(client_of({"X-Forwarded-For": "198.51.100.7, unknown"}), "127.0.0.1", "an unreadable hop: nothing beyond it is believed")

    # ---- writes
    got = [fp.post("/api/v1/clusters", cluster(n)).status for n in range(6)]
    allowed = 5 + (time.monotonic() - start) * 12 / 60  # the burst, and what has come since at 12 a minute
    ok(4 + got.count(201) <= allowed and got[0] == 201, "beyond the burst: 429, whichever worker takes it", f"{got}, {allowed:.1f}")
    r = wait_until(lambda: (lambda r: r.status == 429 and r)(fp.post("/api/v1/clusters", cluster(9))))
    is_((r.status, r.json["error"]), (429, "too_many_requests"), "429 too_many_requests")
    like(r.headers["Retry-After"], r"^[1-9]\d*$", "with Retry-After")
    is_(fp.get("/api/v1/clusters").status, 200, "reads are not limited")
    ok(wait_until(lambda: fp.post("/api/v1/clusters", cluster(10)).status == 201), "the bucket refills")

    # ---- bad credentials
    bad = "fp_pat_9c41f0de-2f6c-4b39-8f53-1d4b7e1c20a7." + "x" * 48
    there = {"X-Forwarded-For": "198.51.100.99"}
    got = [fp.get("/api/v1/clusters", token=bad, headers=there).status for _ in range(8)]
    is_(got, [401] * 8, "failures up to the limit: 401")
    wait_until(lambda: fp.get("/api/v1/clusters", token=bad, headers=there).status == 429, what="then 429")
    is_(fp.get("/api/v1/clusters", headers=there).status, 200, "a valid token from there passes")
    is_(fp.get("/api/v1/clusters", token=bad, headers={"X-Forwarded-For": "198.51.100.98"}).status, 401, "another address is not punished")
    six = iter(range(1, 1 << 16))
    wait_until(lambda: fp.get("/api/v1/clusters", token=bad, headers={"X-Forwarded-For": f"2001:db8:0:7::{next(six):x}"}).status == 429,
               what="an IPv6 /64 counts as one address")

    # ---- CORS
    r = fp.get("/api/v1/clusters", headers={"Origin": "https://ui.test"})
    is_(r.headers["Access-Control-Allow-Origin"], "https://ui.test", "a listed origin is allowed")
    like(r.headers["Access-Control-Expose-Headers"], "Flowplane-Revision", "and may read our fields")
    is_(r.headers["Access-Control-Allow-Credentials"], None, "credentials are never allowed")
    is_(fp.get("/api/v1/clusters", headers={"Origin": "https://evil.test"}).headers["Access-Control-Allow-Origin"], None, "another is not")
    r = fp.request("OPTIONS", "/api/v1/clusters/x", token=None, headers={"Origin": "https://ui.test", "Access-Control-Request-Method": "PUT"})
    is_((r.status, r.headers["Access-Control-Max-Age"]), (204, "600"), "preflight")
    like(r.headers["Access-Control-Allow-Methods"], "PUT", "with the path's methods")
    like(r.headers["Access-Control-Allow-Headers"], "Authorization", "and fields")

    off = Flowplane(pg, conf={"auth.failure_limit": 0}, name="off")
    off.token = fp.token
    is_(off.get("/api/v1/clusters", headers={"Origin": "https://ui.test"}).headers["Access-Control-Allow-Origin"], None, "off by default")
    off.api("POST", "/endpoints", {"name": "direct", "endpoints": []}, headers={"X-Forwarded-For": "198.51.100.7"})
    is_(pg.psql("SELECT client_ip FROM audit_logs WHERE resource_name = 'direct'").strip(), "127.0.0.1", "without trusted proxies the fields are not believed")
    is_({off.get("/api/v1/clusters", token=bad).status for _ in range(30)}, {401}, "failure_limit = 0: no penalties")
