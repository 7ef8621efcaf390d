#!/usr/bin/env python3
"""A schema-driven fuzzer, all its checks, against the running server: finds nothing (contract §3).

Here the same few thousand requests at every run.  FP_LONG=1: FP_LONG_SECONDS (900) of random ones; FP_SEED=n repeats a run."""
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

SECONDS = int(os.environ.get("FP_LONG_SECONDS", 900))
# What the fuzzer calls valid may still be refused with what is said here, and nothing else.
CONF = '''
# A NUL is refused in any text (contract 2.1); a schema cannot say so without a pattern everywhere.
[generation]
allow-x00 = false

# Rules between the fields of a resource (section 5), and of a rollback's pairs of kind and name.
[[operations]]
include-method = ["POST", "PUT"]
include-path-regex = "/(cluster|route|listener|endpoint)s?(/|$)|/apply$|/rollback$"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 412]
{bodies}

# A revision that is not known, of the newest or too old ones.
[[operations]]
include-path = "/api/v1/export"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403]

[[operations]]
include-method = ["POST", "PATCH", "DELETE"]
include-path-regex = "/tokens"
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 412]

[[operations]]
include-method = "DELETE"
include-path-regex = "/(clusters|routes|listeners|endpoints)/"
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 412]
'''
# Each edge of each member of a big body is some ten thousand requests.
SHORT = "phases.coverage.enabled = false"

with run():
    # Requests without a token are part of the run; the penalty for them (2.9) has its own test.
    fp = Flowplane(Postgres(), conf={"auth.failure_limit": 0})
    conf = util.tmp() / "schemathesis.toml"
    conf.write_text(CONF.format(bodies="" if util.LONG else SHORT))
    # How long the making of a request takes is no finding: the machine may be slow.
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(conf), "run",
               f"http://127.0.0.1:{fp.api_port}/api-docs/openapi.json", "--header", f"Authorization: Bearer {fp.token}",
               "--checks", "all", "--phases", "coverage,fuzzing,stateful", "--workers", "1", "--suppress-health-check", "all",
               "--continue-on-failure", "--no-shrink", "--warnings", "off"]
    if util.LONG:
        command += ["--max-time", str(SECONDS), "--seed", str(util.seed()), "--generation-database", "none"]
    else:
        command += ["--max-examples", "4", "--generation-deterministic"]
    r = subprocess.run(command, capture_output=True, text=True, cwd=util.tmp())
    ok(r.returncode == 0, "schemathesis, all checks: finds nothing", r.stdout[-8000:] + r.stderr[-2000:])
    ok("Operations:" in r.stdout, "it ran")
    tap.diag("\n".join(line for line in r.stdout.splitlines() if "generated" in line))
    is_(fp.get("/healthz", token=None).status, 200, "the server is well afterwards")
