#!/usr/bin/env python3
"""The OpenAPI document as a client gets it (contract §2.3, §3): the catalogue's operations, parameters, answers."""
import importlib.util
import os
import re
import subprocess

from fp_harness import OBJS, Flowplane, Postgres
from fp_tap import is_, like, ok, run, skip

NATIVE = ("clusters", "routes", "listeners", "endpoints")
EVERY = {"400", "405", "413", "415", "429", "500", "503"}
# What §3 says of operations beyond the common answers; written here from the contract.
OTHER = {("post", "/api/v1/tokens"): {"201", "200"}, ("get", "/api/v1/tokens"): {"200"},
         ("get", "/api/v1/tokens/{id}"): {"200", "304", "404"}, ("patch", "/api/v1/tokens/{id}"): {"200", "404", "409", "412"},
         ("delete", "/api/v1/tokens/{id}"): {"200", "404", "409", "412"}, ("get", "/api/v1/tokens/self"): {"200"},
         ("post", "/api/v1/tokens/{id}/rotate"): {"200", "404", "409", "412"}, ("post", "/api/v1/apply"): {"200", "404", "409", "412"},
         ("get", "/api/v1/export"): {"200"}, ("get", "/api/v1/nodes"): {"200"}, ("get", "/api/v1/nodes/{id}"): {"200", "404"},
         ("get", "/api/v1/nacks"): {"200"}, ("get", "/api/v1/audit-logs"): {"200"}, ("get", "/api/v1/revisions"): {"200"},
         ("get", "/api/v1/revisions/{n}"): {"200", "404"}, ("post", "/api/v1/revisions/{n}/rollback"): {"200", "404", "409"},
         ("get", "/readyz"): {"200", "503"}, ("get", "/metrics"): {"200", "404"}}
for kind in NATIVE:
    OTHER |= {("post", f"/api/v1/{kind}"): {"201", "200", "409"}, ("get", f"/api/v1/{kind}"): {"200", "304"},
              ("get", f"/api/v1/{kind}/{{name}}"): {"200", "304", "404"},
              ("put", f"/api/v1/{kind}/{{name}}"): {"200", "404", "409", "412"},
              ("delete", f"/api/v1/{kind}/{{name}}"): {"204", "200", "404", "409", "412"}}
for kind in ("cluster", "route", "listener"):
    OTHER[("post", f"/api/v1/{kind}")] = {"201", "200", "409"}

with run():
    pg = Postgres()
    fp = Flowplane(pg)
    r = fp.get("/api-docs/openapi.json", token=None)
    is_((r.status, r.headers["Content-Type"]), (200, "application/json; charset=utf-8"), "without a token")
    doc = r.json
    like(doc["openapi"], r"^3\.1\.", "OpenAPI 3.1")
    version = subprocess.run([OBJS / "flowplane", "-v"], capture_output=True, text=True, check=True).stdout.split()[1]
    is_(doc["info"]["version"], version, "info.version is the product's")
    again = fp.get("/api-docs/openapi.json", token=None, headers={"If-None-Match": r.headers["ETag"]})
    is_((again.status, again.raw), (304, b""), "ETag, If-None-Match")
    is_(doc["components"]["securitySchemes"]["bearerAuth"]["scheme"], "bearer", "bearerAuth")
    is_({t["name"] for t in doc["tags"]} >= {"tokens", *NATIVE}, True, "a tag per path group")

    # what somebody else's validator says of it
    if importlib.util.find_spec("openapi_spec_validator"):
        from openapi_spec_validator import OpenAPIV31SpecValidator
        is_([str(e)[:500] for e in OpenAPIV31SpecValidator(doc).iter_errors()], [], "valid by OpenAPI's own schema and JSON Schema 2020-12")
    elif os.environ.get("CI") == "true":
        ok(False, "openapi-spec-validator is installed")
    else:
        skip("no openapi-spec-validator")

    def resolve(v):
        while "$ref" in v:
            at = doc
            for step in v["$ref"][2:].split("/"):
                at = at[step]
            v = at
        return v

    tool = subprocess.run([OBJS / "t/lib/route_tool"], capture_output=True, text=True, check=True).stdout
    routes = {(m.lower(), p) for m, p in (line.split()[:2] for line in tool.splitlines())}
    operations = {(m, p): op for p, item in doc["paths"].items() for m, op in item.items()}
    is_(set(operations), routes, "exactly the operations that are dispatched")
    is_(len({op["operationId"] for op in operations.values()}), len(operations), "operation ids are unique")
    for (method, path), op in sorted(operations.items()):
        public = not path.startswith("/api/v1")
        codes = set(op["responses"])
        want = OTHER.get((method, path))
        secured = set() if public else {"401", "403"}
        if want is not None:
            is_(codes - {"414", "431"}, want | EVERY | secured, f"{method} {path}: its answers")
        is_(op.get("security") == [], public, f"{method} {path}: bearerAuth unless it is public")
        params = [resolve(p) for p in op["parameters"]]
        is_({p["name"] for p in params if p["in"] == "path"}, set(re.findall(r"\{(\w+)\}", path)), f"{method} {path}: path parameters")
        if method != "get":
            ok({p["name"] for p in params} >= {"dryRun", "wait", "timeout", "allowMissing"}, f"{method} {path}: options of writes (§2.6)")
        empty = [c for c, a in op["responses"].items() if c not in ("204", "304") and
                 not all("schema" in x for x in (resolve(a).get("content") or {"": {}}).values())]
        is_(empty, [], f"{method} {path}: each answer has a schema")

    # links: what an answer leads to is there, takes that parameter, and is reached by what the answer says
    links = [(m, p, status, op["operationId"], link) for (m, p), op in operations.items() for status, a in op["responses"].items()
             for link in a.get("links", {}).values()]
    ids = {op["operationId"]: (m, p) for (m, p), op in operations.items()}
    wrong = [link for *_, link in links if not {f"{{{n}}}" for n in link["parameters"]} == set(re.findall(r"\{\w+\}", ids[link["operationId"]][1]))]
    is_(wrong, [], "each link names an operation and the parameters of its path")
    def to(method, path):
        return {ids[link["operationId"]] for m, p, _, _, link in links if (m, p) == (method, path)}
    for kind in NATIVE:
        item = f"/api/v1/{kind}/{{name}}"
        is_(to("post", f"/api/v1/{kind}"), {("get", item), ("put", item), ("delete", item)}, f"what was created in {kind} is read, replaced, deleted")
        is_(to("get", f"/api/v1/{kind}"), {("get", item)}, f"the list of {kind} leads to one")
    for kind in ("cluster", "route", "listener"):
        is_(to("post", f"/api/v1/{kind}"), to("post", f"/api/v1/{kind}s"), f"the alias {kind} leads where the plural does")
    token = "/api/v1/tokens/{id}"
    is_(to("post", "/api/v1/tokens"), {(m, token) for m in ("get", "patch", "delete")} | {("post", token + "/rotate")}, "a new token")
    n = "/api/v1/revisions/{n}"
    for path in ("/api/v1/apply", n + "/rollback"):
        is_(to("post", path), {("get", n), ("get", n + "/status"), ("post", n + "/rollback")}, f"{path} leads to its revision")
    is_(to("get", "/api/v1/nodes"), {("get", "/api/v1/nodes/{id}")}, "the nodes lead to one")

    # headers: those an answer declares as always there are there
    r = fp.post("/api/v1/clusters", {"name": "linked", "endpoints": ["127.0.0.1:80"]})
    declared = operations["post", "/api/v1/clusters"]["responses"]["201"]["headers"]
    always = {h for h, v in declared.items() if resolve(v).get("required")}
    is_(always >= {"Location", "Flowplane-Revision", "X-Request-Id"}, True, "201: says which headers are always there")
    is_([h for h in always | {"ETag"} if h not in declared or h not in r.headers], [], "and they are, with the ETag")
    for path in [f"/api/v1/{k}{x}" for k in NATIVE for x in ("", "/{name}")] + ["/api/v1/nodes", "/api/v1/nodes/{id}", n + "/status"]:
        op = operations["get", path]
        ok("Flowplane-Revision" in {resolve(p)["name"] for p in op["parameters"]} and "Flowplane-Revision" in op["responses"]["200"]["headers"],
           f"{path}: a snapshot read takes and tells the revision (§2.2)")

    # additionalProperties: false in bodies and in what they hold, wherever an object has properties of its own
    loose, seen = [], set()

    def closed(v, where):
        if isinstance(v, list):
            for x in v:
                closed(x, where)
        if not isinstance(v, dict):
            return
        if "$ref" in v:
            if v["$ref"] not in seen:
                seen.add(v["$ref"])
                closed(resolve(v), v["$ref"])
            return
        if v.get("properties") and v.get("additionalProperties") is not False:
            loose.append(where)
        for key, x in v.items():
            if key != "allOf":  # rules between fields that are declared beside it
                closed(x, where)

    for op in operations.values():
        for c in op.get("requestBody", {}).get("content", {}).values():
            closed(c["schema"], op["operationId"])
    is_(loose, ["#/components/schemas/TypedConfig"], "additionalProperties: false in every body (an Any holds its message's fields)")
    ok(len(seen) > 60, f"{len(seen)} schemas are reached from bodies")

    # Issue: the pointer of "host:port" outlived the memory it was in
    r = fp.post("/api/v1/clusters", {"name": "a", "endpoints": ["0:0"], "tlsServerName": "0"})
    is_([d["pointer"] for d in r.json["details"][:2]], ["/endpoints/0"] * 2, "a problem of a host:port text points at it")
    r = fp.get("/api/v1/export?kinds=endpoint")
    is_((r.status, r.raw, r.headers["Content-Type"]), (200, b"", "application/yaml"), "an empty export has a type too")
