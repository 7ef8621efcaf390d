#!/usr/bin/env python3
"""--dev and --ephemeral (contract §13.1): one command, everything below ./run, nothing left by --ephemeral."""
import os
import re
import shutil
import signal
import subprocess

import fp_tap as tap
import fp_util as util
from fp_harness import wait_until


def get(port, path):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=util.patience())
    try:
        c.request("GET", path)
        return c.getresponse().status
    except OSError:
        return None
    finally:
        c.close()


with tap.run():
    user = util.unprivileged()
    folder = util.tmp() / "dev"
    folder.mkdir()
    if user:
        os.chown(folder, *user)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FLOWPLANE_", "DATABASE_", "PG"))}
    certs = [f"-gxds.tls.{k}={folder}/run/certs/{v}" for k, v in
             (("cert_path", "server.pem"), ("key_path", "server.key"), ("client_ca_path", "ca.pem"))]
    openssl = shutil.which("openssl")
    for option, kept, more in (("--dev", True, []), ("--dev", True, certs if openssl else []), ("--ephemeral", False, [])):
        api, xds = util.free_port(), util.free_port()
        log = util.tmp() / f"log{api}"
        p = util.spawn([util.OBJS / "flowplane", option, "-g", f"api.port={api}", "-g", f"xds.port={xds}", *more], log,
                       env=env, user=user, cwd=folder)
        wait_until(lambda: p.poll() is not None or get(api, "/readyz") == 200, 40, "ready")
        tap.is_(p.poll(), None, f"{option}: runs as an ordinary user") or tap.diag(log.read_text())
        everyone = util.descendants(p.pid)
        tap.is_({q.name for q in folder.iterdir()}, {"run"}, f"{option}: everything is below ./run")
        listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True).stdout
        tap.like(listening, rf"127\.0\.0\.1:{api}\b", f"{option}: loopback only")
        tap.unlike(listening, rf"(0\.0\.0\.0|\*|\[::\]):({api}|{xds})\b", f"{option}: on no other address")
        if openssl:
            names = {q.name: q.stat().st_mode & 0o77 for q in (folder / "run" / "certs").iterdir()}
            tap.is_(names, {f"{n}.{e}": 0 for n in ("ca", "server", "client") for e in ("pem", "key")},
                    f"{option}: certificates, private")
        if more:
            ask = [openssl, "s_client", "-connect", f"localhost:{xds}", "-alpn", "h2", "-CAfile", f"{folder}/run/certs/ca.pem",
                   "-verify_return_error", "-cert", f"{folder}/run/certs/client.pem", "-key", f"{folder}/run/certs/client.key"]
            r = subprocess.run(ask, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
            tap.like(r.stdout, "ALPN protocol: h2", f"{option}: mTLS with them") or tap.diag(r.stdout + r.stderr)
        tap.is_(util.stop_process(p, signal.SIGINT), 0, f"{option}: Ctrl-C ends it with 0")
        wait_until(lambda: not any(util.same_alive(q, s) for q, s in everyone.items()), what=f"{option}: nobody is left")
        if kept:
            tap.ok((folder / "run" / "state" / "pg" / "PG_VERSION").exists(), f"{option}: the data stay")
        else:
            tap.ok(not (folder / "run").exists(), f"{option}: nothing is left")
    logs = "".join(q.read_text() for q in util.tmp().glob("log*"))
    tap.is_(len(re.findall(r"token: fp_pat_", logs)), 1, "the token is printed by the first start only")
