#!/usr/bin/env python3
"""/swagger-ui in a real browser (contract §2.3): one self-contained page under its own policy."""
import base64
import hashlib
import os
import re
import shutil
import subprocess

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres
from fp_tap import is_, like, ok, run, unlike

BROWSER = os.environ.get("FP_CHROMIUM") or shutil.which("chromium")
if not BROWSER:
    tap.skip_all("no chromium")


def dom(url):
    """What the page has become, and what the browser had to say."""
    home = util.tmp() / "chromium"
    run_ = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", f"--user-data-dir={home}", "--enable-logging=stderr", "--v=0",
         "--virtual-time-budget=10000", "--dump-dom", url],
        capture_output=True, text=True, timeout=2 * util.patience(), env={**os.environ, "HOME": str(util.tmp())})
    console = [line for line in run_.stderr.splitlines() if ":CONSOLE" in line]
    return run_.stdout, console


with run():
    fp = Flowplane(Postgres())
    for path in ("/swagger-ui", "/swagger-ui/"):
        r = fp.get(path, token=None)
        is_((r.status, r.headers["Content-Type"], r.headers["X-Content-Type-Options"]), (200, "text/html; charset=utf-8", "nosniff"), path)
    policy = dict(p.strip().split(" ", 1) for p in r.headers["Content-Security-Policy"].split(";"))
    is_((policy["default-src"], policy["connect-src"]), ("'none'", "'self'"), "nothing is loaded but the document")
    for tag in ("script", "style"):
        text, = re.findall(f"<{tag}>(.*?)</{tag}>", r.text, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        is_(policy[f"{tag}-src"], f"'sha256-{digest}'", f"{tag}: by its hash only")
    unlike(r.text, r"https?://|\bsrc=|@import|url\(|innerHTML|eval\(", "no external resource, no markup from text")
    is_(fp.get("/swagger-ui", token=None, headers={"If-None-Match": r.headers["ETag"]}).status, 304, "ETag")

    base = f"http://127.0.0.1:{fp.api_port}"
    doc = fp.get("/api-docs/openapi.json", token=None).json
    html, console = dom(base + "/swagger-ui")
    is_(console, [], "the console is silent: no violation of the policy, no error")
    unlike(html, r'id="problem"', "the document was read")
    like(html, rf'id="version">{re.escape(doc["info"]["version"])}<', "its version is shown")
    for path, item in doc["paths"].items():
        for method in item:
            ok(re.search(rf'class="method {method}">{method}</span><span class="path">{re.escape(path)}</span>', html), f"shown: {method} {path}")
    html, console = dom(base + "/swagger-ui#putClustersName")
    is_(console, [], "an operation opened: the console is silent")
    for text in ("If-Match", "dryRun", "ClusterReplace", "Send", "412", 'aria-label="body"'):
        ok(text in html, f"an operation opened shows {text}")
