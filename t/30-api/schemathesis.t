#!/usr/bin/env python3
"""A schema-driven fuzzer, all its checks, against the running server: finds nothing (contract §3).

Here the same few thousand requests at every run.  FP_LONG=1: FP_LONG_SECONDS (900) of random ones; FP_SEED=n repeats a run."""
import importlib.util
import os
import re
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
# A revision nobody has yet is waited for (section 2.5): a known one, or the run would wait for hours.
parameters = {{ "header.Flowplane-Revision" = "1" }}

# Links of the document only (api_link.c): what was created is read, replaced, rotated, deleted, rolled back.
[phases.stateful]
inference.algorithms = []
max-steps = 8

# A NUL is refused in any text (contract 2.1); a schema cannot say so without a pattern everywhere.
[generation]
allow-x00 = false

# Rules between the fields of a resource (section 5), and of a rollback's pairs of kind and name.
[[operations]]
include-method = ["POST", "PUT"]
include-path-regex = "/(cluster|route|listener|endpoint)s?(/|$)|/apply$|/rollback$"
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 401, 403, 404, 409, 412]
{bodies}

# A revision that is not known, of the newest or too old ones.
[[operations]]
include-path = "/api/v1/export"
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 401, 403]

[[operations]]
include-method = ["POST", "PATCH", "DELETE"]
include-path-regex = "/tokens"
# A token that is deleted is revoked: its record stays (section 4.2).
checks.use_after_free.enabled = false
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 401, 403, 404, 409, 412]

[[operations]]
include-method = "DELETE"
include-path-regex = "/(clusters|routes|listeners|endpoints)/"
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 401, 403, 404, 409, 412]
'''
# Each edge of each member of a big body is some ten thousand requests.
SHORT = "phases.coverage.enabled = false"

with run():
    # Requests without a token are part of the run; the penalty for them (2.9) has its own test.
    pg = Postgres()
    fp = Flowplane(pg, conf={"auth.failure_limit": 0})
    # The fuzzer finds the ids of tokens in the answers, and would revoke its own: all the rest would be 401.  Each write of it
    # changes its description alone, so that it has its revision.
    fp.post("/api/v1/tokens", {"name": "another", "scopes": ["clusters:read"]})
    pg.psql("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN OLD.description := random(); RETURN OLD; END';"
            "CREATE TRIGGER a_keep BEFORE UPDATE ON tokens FOR EACH ROW"
            f" WHEN (OLD.token_id = '{fp.token[7:43]}' AND NEW.last_used_at IS NOT DISTINCT FROM OLD.last_used_at) EXECUTE FUNCTION keep()")
    conf = util.tmp() / "schemathesis.toml"
    conf.write_text(CONF.format(bodies="" if util.LONG else SHORT))
    # How long the making of a request takes is no finding: the machine may be slow.
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(conf), "run",
               f"http://127.0.0.1:{fp.api_port}/api-docs/openapi.json", "--header", f"Authorization: Bearer {fp.token}",
               "--checks", "all", "--workers", "1", "--suppress-health-check", "all", "--continue-on-failure", "--no-shrink",
               "--max-response-time", "100000", "--warnings", "off"]
    if util.LONG:
        command += ["--max-time", str(SECONDS // 2), "--seed", str(util.seed()), "--generation-database", "none"]

    def finds_nothing(phases, short):
        """short: options of the short run."""
        r = subprocess.run(command + ["--phases", phases] + ([] if util.LONG else short), capture_output=True, text=True, cwd=util.tmp())
        ok(r.returncode == 0, f"schemathesis, {phases}, all checks: finds nothing", r.stdout[-8000:] + r.stderr[-2000:])
        ok("Operations:" in r.stdout, "it ran")
        tap.diag("\n".join(line for line in r.stdout.splitlines() if "generated" in line or "Links" in line))
        return r.stdout

    finds_nothing("coverage,fuzzing", ["--max-examples", "4", "--generation-deterministic"])
    # The small bodies: those of clusters, routes and listeners take long to make.  What a seed leads to is up to the fuzzer's
    # version: another one is taken until some links were followed.
    covered = 0
    for seed in range(1, 6):
        out = finds_nothing("stateful", ["--max-examples", "25", "--seed", str(seed), "--generation-database", "none",
                                         "--include-path-regex", "/(tokens|endpoints|revisions|nodes)"])
        covered = int(re.search(r"API Links:\s+(\d+) covered", out)[1])
        if covered >= 3:
            break
    ok(covered >= 3, f"the stateful phase follows links: {covered}", out[-3000:])
    is_(fp.get("/api/v1/clusters").status, 200, "the token was good to the end")
    is_(fp.get("/healthz", token=None).status, 200, "the server is well afterwards")
