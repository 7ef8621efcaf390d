#!/usr/bin/env python3
"""§16 "xDS TLS variables", "openssl s_client -connect host:50051 -cert -key -CAfile; openssl x509 … -noout -dates",
"TLS handshake failed"."""
import calendar
import re
import time

import fp_guide as guide
import fp_tap as tap
import fp_xds as xds
from fp_certs import Certs
from fp_harness import Postgres, wait_until

guide.need("openssl", "curl", "grep")


def failures(fp):
    return [e["fields"] for e in fp.log_events() if "TLS handshake failed" in e["fields"]["message"]]


def served(fp, tls):
    """An ADS stream over TLS gets its clusters; False when it is refused."""
    with xds.Channel(fp.xds_port, tls=tls, ca=ca.ca_file) as ch:
        s = ch.ads()
        s.subscribe("cluster")
        try:
            s.expect("cluster", 5)
            return True
        except xds.Ended:
            return False


with tap.run():
    pg, ca = Postgres(), Certs()
    crt, key = ca.server()
    client = ca.client("envoy")
    env = {"FLOWPLANE_XDS_TLS_CERT_PATH": crt, "FLOWPLANE_XDS_TLS_KEY_PATH": key, "FLOWPLANE_XDS_TLS_CLIENT_CA_PATH": ca.ca_file}
    for words, more, without in (("the variable absent, as in the compose file", {}, False),
                                 ("REQUIRE_CLIENT_CERT=true", {"FLOWPLANE_XDS_TLS_REQUIRE_CLIENT_CERT": "true"}, False),
                                 ("REQUIRE_CLIENT_CERT=false", {"FLOWPLANE_XDS_TLS_REQUIRE_CLIENT_CERT": "false"}, True)):
        fp = guide.Instance(pg, **env, **more)
        tap.is_(served(fp, client), True, f"{words}: mTLS is served")
        tap.is_(served(fp, ()), without, f"{words}: without a certificate {'served' if without else 'refused'}")
        fp.allow("TLS handshake failed")
        if words.startswith("REQUIRE_CLIENT_CERT=false"):
            break
        fp.stop()

    # ---- the guide's openssl commands
    s_client = f"openssl s_client -connect $XDS -cert {client[0]} -key {client[1]} -CAfile {ca.ca_file}"
    out = fp.sh(f"{s_client} < /dev/null")
    tap.contains(out, "Verify return code: 0 (ok)", "openssl s_client: verifies")
    out = fp.sh(f"{s_client} -alpn h2 < /dev/null")
    tap.contains(out, "ALPN protocol: h2", "ALPN h2 can be selected")
    dates = fp.sh(f"{s_client} < /dev/null 2> /dev/null | openssl x509 -noout -dates")
    tap.is_(dates, fp.sh(f"openssl x509 -in {crt} -noout -dates"), "x509 -noout -dates: of the file")
    end = calendar.timegm(time.strptime(re.search(r"notAfter=(.*) GMT", dates)[1], "%b %d %H:%M:%S %Y"))
    wait_until(lambda: fp.metric("flowplane_certificate_expiry_timestamp_seconds", use="xds") == end, 15,
               "flowplane_certificate_expiry_timestamp_seconds")
    tap.ok(True, "flowplane_certificate_expiry_timestamp_seconds agrees")
    fp.stop()

    # ---- TLS handshake failed: once per failed one, on both ports, with peer and reason
    fp = guide.Instance(pg, certs=ca, FLOWPLANE_API_TLS_ENABLED="true", FLOWPLANE_API_TLS_CERT_PATH=crt, FLOWPLANE_API_TLS_KEY_PATH=key, **env)
    fp.allow("TLS handshake failed")
    for words, command in (("API, an unknown CA", "curl -s $API/healthz"),
                           ("API, TLS 1.1", f"openssl s_client -connect localhost:{fp.api_port} -tls1_1 -cipher ALL:@SECLEVEL=0 < /dev/null"),
                           ("xDS, no certificate", f"openssl s_client -connect $XDS -alpn h2 -CAfile {ca.ca_file} -tls1_2 < /dev/null"),
                           ("xDS, no ALPN", f"{s_client} -tls1_2 < /dev/null")):
        before = len(failures(fp))
        fp.sh(command, want=None)
        wait_until(lambda: len(failures(fp)) > before, 10, f"{words}: the line")
        fp.sh(f"curl -sf --cacert {ca.ca_file} $API/healthz")  # a whole request later there is still one
        got = failures(fp)[before:]
        tap.is_(len(got), 1, f"{words}: TLS handshake failed, once") or tap.diag(got)
        tap.ok(re.search(r"127\.0\.0\.1:\d+|\[?::1\]?:\d+", got[0].get("remote", "")) and got[0].get("error"), f"{words}: with peer and reason", got)
    tap.is_(int(fp.sh("grep -c 'TLS handshake failed' $LOG")), 4, "grep finds them")
