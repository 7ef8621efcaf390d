#!/usr/bin/env python3
"""§16 "POST /api/v1/tokens with its body" and "DELETE /api/v1/tokens/$BOOTSTRAP_TOKEN_ID with another token"."""
import json

import fp_guide as guide
import fp_tap as tap
from fp_harness import Postgres

guide.need("curl", "jq")
CREATE = """curl -s -i -X POST $API/api/v1/tokens \\
  -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "envoy-readonly",
    "description": "Read-only token for Envoy proxies",
    "scopes": ["clusters:read", "routes:read", "listeners:read"],
    "expiresAt": "%s"
  }'"""
STATUS = "curl -s -o /dev/null -w '%{http_code}' "


def answer(text):
    head, _, body = text.replace("\r", "").partition("\n\n")
    return int(head.split()[1]), head, json.loads(body)


with tap.run():
    fp = guide.Instance(Postgres())
    status, head, body = answer(fp.sh(CREATE % "2099-12-31T23:59:59Z"))
    tap.is_((status, sorted(body)), (201, ["id", "token"]), "envoy-readonly: 201 {id, token}")
    tap.like(body["token"], rf"^fp_pat_{body['id']}\.[A-Za-z0-9]{{48}}$", "the token's form")
    tap.is_(fp.sh(STATUS + "$API/api/v1/clusters -H \"Authorization: Bearer $T\"", T=body["token"]), "200", "it reads")
    readonly = body

    status, head, body = answer(fp.sh(CREATE % "2024-12-31T23:59:59Z"))
    tap.is_((status, sorted(body)), (201, ["id", "token"]), "a date that has passed: 201 too")
    tap.like(head, r"(?i)\nflowplane-warning: already_expired ", "with a warning")
    status, _, body = answer(fp.sh("curl -s -i $API/api/v1/clusters -H \"Authorization: Bearer $T\"", T=body["token"]))
    tap.is_((status, body["message"]), (401, "unauthorized: token expired"), "401 unauthorized: token expired on use")

    admin = fp.sh("""curl -s -X POST $API/api/v1/tokens -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
        -d '{"name": "second-admin", "scopes": ["tokens:read", "tokens:write"]}' | jq -r .token""")
    boot = fp.token[7:43]
    delete = "curl -s -i -X DELETE $API/api/v1/tokens/$BOOTSTRAP_TOKEN_ID -H \"Authorization: Bearer $T\""
    status, _, body = answer(fp.sh(delete, BOOTSTRAP_TOKEN_ID=boot, T=readonly["token"]))
    tap.is_((status, body["error"]), (403, "forbidden"), "DELETE with read scopes only: 403")
    status, _, body = answer(fp.sh(delete, BOOTSTRAP_TOKEN_ID=boot, T=admin))
    tap.is_((status, body["id"], body["status"], body["scopes"]), (200, boot, "revoked", []), "DELETE with tokens:write: 200 and the revoked record")
    tap.is_(fp.sh(STATUS + "$API/api/v1/clusters -H \"Authorization: Bearer $TOKEN\""), "401", "the bootstrap token is refused from then on")
    status, _, body = answer(fp.sh(delete, BOOTSTRAP_TOKEN_ID=f"fp_pat_{boot}", T=admin))
    tap.is_((status, body["id"]), (200, boot), "the id may be fp_pat_<uuid>")
