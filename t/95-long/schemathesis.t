#!/usr/bin/env python3
"""A schema-driven fuzzer, all its checks, against the running server: finds nothing (contract §3).

FP_LONG=1: half an hour instead of two minutes.  FP_SEED=n repeats a run."""
import importlib.util
import os
import subprocess
import sys

import fp_tap as tap
import fp_util as util
from fp_harness import Flowplane, Postgres
from fp_tap import is_, ok, run

if not importlib.util.find_spec("schemathesis"):
    tap.skip_all("no schemathesis")

SECONDS = 1800 if os.environ.get("FP_LONG") else 110
CONF = '''
# A NUL is refused in any text (contract 2.1); a schema cannot say so without a pattern everywhere.
[generation]
allow-x00 = false

# What the schema of a body or the parameters of these operations allow and rules between fields forbid is a
# documented 400; of all other operations valid requests must be taken.
[[operations]]
include-method = ["POST", "PUT", "PATCH"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 412]

[[operations]]
include-method = ["DELETE"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 412]
'''

with run():
    # Requests without a token are part of the run; the penalty for them (2.9) has its own test.
    fp = Flowplane(Postgres(), conf={"auth.failure_limit": 0})
    conf = util.tmp() / "schemathesis.toml"
    conf.write_text(CONF)
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(conf), "run",
               f"http://127.0.0.1:{fp.api_port}/api-docs/openapi.json", "--header", f"Authorization: Bearer {fp.token}",
               "--checks", "all", "--phases", "coverage,fuzzing,stateful", "--max-time", str(SECONDS), "--workers", "1",
               "--continue-on-failure", "--no-shrink", "--generation-database", "none", "--warnings", "off"]
    if os.environ.get("FP_SEED"):
        command += ["--seed", os.environ["FP_SEED"]]
    r = subprocess.run(command, capture_output=True, text=True, cwd=util.tmp(), timeout=SECONDS * 2 + 100)
    ok(r.returncode == 0, "schemathesis, all checks: finds nothing", r.stdout[-8000:] + r.stderr[-2000:])
    ok("Operations:" in r.stdout, "it ran")
    tap.diag("\n".join(line for line in r.stdout.splitlines() if "generated" in line or line.startswith("Seed")))
    is_(fp.get("/healthz", token=None).status, 200, "the server is well afterwards")
