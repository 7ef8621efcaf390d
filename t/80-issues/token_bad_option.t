#!/usr/bin/env python3
"""A bad option of a token write is answered once, and the request's memory is left alone after it (a sanitizer's finding)."""
from fp_harness import Flowplane, Postgres
from fp_tap import is_, run

with run():
    fp = Flowplane(Postgres())
    for _ in range(3):
        r = fp.post("/api/v1/tokens?dryRun=maybe", {"name": "abc", "scopes": ["clusters:read"]})
        is_((r.status, r.json["details"][0]["parameter"]), (400, "dryRun"), "a bad dryRun: 400")
    is_(fp.post("/api/v1/tokens", {"name": "abc", "scopes": ["clusters:read"]}).status, 201, "a good one: 201")
