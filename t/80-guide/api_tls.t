#!/usr/bin/env python3
"""§16 "API TLS variables: HTTPS on 8080 with leaf + chain; half a pair: start error naming the variable"."""
import shutil

import fp_guide as guide
import fp_tap as tap
import fp_util as util
from fp_certs import Certs
from fp_harness import Postgres

guide.need("curl", "openssl")

with tap.run():
    pg = Postgres()
    root = Certs("Root")
    sub = Certs("Root")  # becomes an intermediate one: its key, signed by the root
    csr, ext, middle = util.tmp() / "sub.csr", util.tmp() / "sub.ext", util.tmp() / "sub.pem"
    ext.write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n")
    guide.sh(f"openssl req -new -key {sub.ca_key} -subj '/CN=Intermediate' -out {csr} && "
             f"openssl x509 -req -in {csr} -CA {root.ca_file} -CAkey {root.ca_key} -set_serial 77 -days 30 -extfile {ext} -out {middle}")
    shutil.copy(middle, sub.ca_file)
    crt, key = sub.server()
    tls = {"FLOWPLANE_API_TLS_ENABLED": "true", "FLOWPLANE_API_TLS_CERT_PATH": crt, "FLOWPLANE_API_TLS_KEY_PATH": key,
           "FLOWPLANE_API_TLS_CHAIN_PATH": middle}
    fp = guide.Instance(pg, certs=root, **tls)
    tap.is_(fp.sh(f"curl -sf --cacert {root.ca_file} $API/healthz"), '{"status":"ok"}', "curl that trusts the root alone")
    shown = fp.sh(f"openssl s_client -connect localhost:{fp.api_port} -CAfile {root.ca_file} -showcerts < /dev/null")
    tap.is_(shown.count("BEGIN CERTIFICATE"), 2, "leaf and chain are sent")
    tap.contains(shown, "Verify return code: 0 (ok)", "and verify")
    tap.is_(fp.sh(f"curl -s -o /dev/null -w '%{{http_code}}' http://localhost:{fp.api_port}/healthz"), "400", "plain HTTP there: 400")
    fp.allow("TLS handshake failed")
    fp.stop()
    for missing in "FLOWPLANE_API_TLS_CERT_PATH", "FLOWPLANE_API_TLS_KEY_PATH":
        half = guide.Instance(pg, start=False, **{k: v for k, v in tls.items() if k != missing})
        half.fails(missing)
