#!/usr/bin/env python3
"""What was taken comes back (contract §2.6, §5.8, §7.2): texts and numbers at their edges through the database, GET,
PUT, restart, export as YAML and JSON, apply, and another database."""
import random
import string

from fp_harness import Flowplane, Postgres
from fp_tap import is_, ok, run

TEXTS = ["yes", "no", "null", "~", "", "1e3", "0x10", "0o7", "010", "1_000", "1:30", "+1", "1.", "-0", ".inf", ".nan", "true", "on", "y",
         "1e400", "123456789012345678901234567890", "9007199254740993", "2001-01-01", "=", "<<", "-", "- a", "? a", "a: b", "a #b", "#x",
         ":", ": ", "::", "2001:db8::1", "[", "]", "{", "}", ",", "!t", "&a", "*a", "%d", "@x", "`x", "|", ">", "---", "...", "--- a",
         "'q'", '"q"', "a'b\"c", "a\\n", " lead", "trail ", "\n", "a\nb", "a\nb\n", "a\n\n\nb\n\n", " \n x", "\n\nx", "a\r\nb", "\t", "tab\tx",
         "\x01", "\x1b[0m", "\x7f", "\u0085", "\u00a0", "\u200b", "\u2028", "\ufeffbom", "\ufffd", "\ufffe", "\uffff", "é", "\U0001F600",
         "a" * 3000, "word " * 600]
NUMBERS = [0, 1, -1, 1.5, 0.1, 1 / 3, 1e-7, 5e-324, 2**53, 1e15, 1e16, 1e17, 1e18, 9.2e18, 9.3e18, 1e19, -1e19, 1e20, 1e21, 1.7976931348623157e308]
YAML = {"Content-Type": "application/yaml"}


def raw(name, value):
    return {"name": name, "envoy": {"type": "STATIC", "connectTimeout": "1s", "metadata": {"filterMetadata": {"m": {"v": value}}}}}


def value(cluster):
    return cluster["envoy"]["metadata"]["filterMetadata"]["m"]["v"]


with run():
    pg = Postgres()
    fp = Flowplane(pg)
    rows = {f"t{i}": [s, {"in": s, s or "empty": s}] for i, s in enumerate(TEXTS)} | {f"n{i}": [v] for i, v in enumerate(NUMBERS)}
    for name, v in rows.items():
        r = fp.post("/api/v1/clusters", raw(name, v))
        if r.status != 201:
            ok(False, f"{v!r:.60} is taken", r)

    def served(what):
        bad = {}
        for name, v in rows.items():
            r = fp.get(f"/api/v1/clusters/{name}")
            got = value(r.json) if r.status == 200 else r
            if got != v or fp.put(f"/api/v1/clusters/{name}", r.json).headers["ETag"] != '"1"':
                bad[name] = (v, got)
        is_(bad, {}, what)

    served("each is served as it was sent, and sent back it is no change")
    is_(len(fp.get("/api/v1/clusters").json), len(rows) + 1, "none is missing in the list")
    fp.restart()
    served("read from the database again")
    pg.psql("UPDATE clusters SET encoded = NULL, content_hash = NULL, encoder_version = NULL")
    fp.restart()
    served("and encoded again from what is stored")
    text, items = fp.get("/api/v1/export").raw, fp.get("/api/v1/export?format=json").raw
    is_(fp.post("/api/v1/apply", text, headers=YAML).json["summary"]["unchanged"], len(rows), "its YAML applied: nothing changes")
    is_(fp.post("/api/v1/apply", items).json["summary"]["unchanged"], len(rows), "its JSON: nothing")
    pg.createdb("other")
    other = Flowplane(pg, database="other")
    is_(other.post("/api/v1/apply", text, headers=YAML).json["summary"]["created"], len(rows), "into another database")
    ok(other.get("/api/v1/export").raw == text, "the same bytes come out of it")
    ok(other.get("/api/v1/export?format=json").raw == items, "as JSON too")
    # rows of then are read from the history
    n = int(fp.get("/api/v1/clusters").headers["Flowplane-Revision"])
    is_(fp.post("/api/v1/clusters", raw("late", [1e20])).status, 201, "one more")
    is_(fp.put("/api/v1/clusters/late", raw("late", [1e22])).status, 200, "changed")
    diff = fp.get(f"/api/v1/revisions/{n + 2}").json["items"][0]["diff"]
    is_([(d["from"], d["value"]) for d in diff], [(1e20, 1e22)], "the history tells its difference")
    r = fp.request("POST", f"/api/v1/revisions/{n + 1}/rollback")
    is_((r.status, value(fp.get("/api/v1/clusters/late").json)), (200, [1e20]), "a rollback restores it")

    # numbers of 64 bits in fields of that type: exact, or refused where they stand
    def keepalive(v):
        return fp.post("/api/v1/clusters?dryRun=true", {"name": "k", "envoy": {"upstreamBindConfig": {"socketOptions": [
            {"level": v, "name": 1, "intValue": 1}]}}})

    is_(keepalive(2**63 - 1).status, 200, "the largest int64")
    for v in (2**63, 2**64, -2**63 - 1, 10**30):
        r = keepalive(v)
        is_((r.status, r.json["details"][0]["code"], r.json["details"][0]["pointer"]),
            (400, "out_of_range", "/envoy/upstreamBindConfig/socketOptions/0/level"), f"{v}: 400 with its pointer")
    r = fp.post("/api/v1/clusters", {"name": "k", "endpoints": ["10.0.0.1:80"], "connectTimeoutSeconds": 10**30, "lbPolicy": "no"})
    is_(sorted(d["pointer"] for d in r.json["details"]), ["/connectTimeoutSeconds", "/lbPolicy"], "a huge number is one problem among others")
    is_(fp.post("/api/v1/clusters", b'{"name": "k", "connectTimeoutSeconds": 1e999}').json["details"][0]["code"], "out_of_range", "what no real holds is refused")

    # ---- texts longer than an index of the database holds: taken where any length is one, else 400 where they stand
    def texts(n):
        return "".join(random.choice(string.ascii_letters) for _ in range(n))  # nothing that compresses

    def web(route):
        return {"name": "web", "address": "127.0.0.1", "port": 18444, "filterChains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "type": "httpConnectionManager", "routeConfigName": route}]}]}

    def rule(match, action):
        return {"name": "long", "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [{"match": match, "action": action}]}]}

    any_path, direct = {"path": {"type": "prefix", "value": "/"}}, {"type": "direct", "status": 204}
    for kind, body, pointer in (
            ("route", rule(any_path, {"type": "forward", "cluster": texts(4000)}), "/virtualHosts/0/routes/0/action/cluster"),
            ("route", {"name": "long", "envoy": {"virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": texts(256)}}]}]}}, "/envoy/virtualHosts/0/routes/0/route/cluster"),
            ("listener", web(texts(4000)), "/filterChains/0/filters/0/routeConfigName"),
            ("cluster", {"name": "long", "envoy": {"type": "EDS", "edsClusterConfig": {"serviceName": texts(4000), "edsConfig": {"ads": {}}}}},
             "/envoy/edsClusterConfig/serviceName"),
            ("listener", {"name": "long", "envoy": {"address": {"socketAddress": {"address": texts(4000), "portValue": 18500}}}}, "/envoy/address")):
        for query in ("?allowMissing=true&dryRun=true", "?allowMissing=true"):
            r = fp.post(f"/api/v1/{kind}s{query}", body)
            is_((r.status, [(d["pointer"], d["code"]) for d in r.json["details"]]), (400, [(pointer, "too_long")]), f"{pointer}{query}: 400")
            r = fp.post(f"/api/v1/apply{query}", [{"kind": kind, **body}])
            is_((r.status, [(d["pointer"], d["code"]) for d in r.json["details"]]), (400, [("/0" + pointer, "too_long")]), "in a set too")
    is_(fp.post("/api/v1/listeners", web("😀" * 255)).status, 201, "a name of 255 characters")
    path = "/" + texts(6000)
    r = fp.post("/api/v1/routes", rule({"path": {"type": "prefix", "value": path}}, direct))
    is_((r.status, r.json.get("pathPrefix")), (201, path), "a path of 6,000 characters")
    r = fp.post("/api/v1/apply", [{"kind": "route", **rule({"path": {"type": "exact", "value": path}}, direct)}])
    is_(r.json.get("summary", r.json), {"created": 0, "updated": 1, "deleted": 0, "unchanged": 0}, "in a set too")
    for address, port in (({"socketAddress": {"address": "127.0.0.1", "portValue": 0}}, None), ({"socketAddress": {"address": "127.0.0.1", "namedPort": "x"}}, None),
                          ({"pipe": {"path": "/run/x"}}, None), ({"socketAddress": {"address": "127.0.0.1", "portValue": 65535}}, 65535)):
        r = fp.post("/api/v1/listeners", {"name": f"at-{address}", "envoy": {"address": address}})
        is_((r.status, r.json.get("port")), (201, port), f"a raw listener at {address}")
        is_(fp.put(r.headers["Location"], r.json).headers["ETag"], '"1"', "its answer sent back is no change")

    # ---- a token that came where none belongs is not told back (§4.1)
    secret = fp.token.split(".")[1]
    for r in (fp.get(f"/api/v1/clusters/{fp.token}"), fp.get(f"/api/v1/tokens/{fp.token}"), fp.get(f"/api/v1/clusters?{fp.token}=%ff"),
              fp.post("/api/v1/clusters", {fp.token: 1, "name": "x", "lbPolicy": fp.token, "endpoints": [f"{fp.token} and {fp.token}:1"]}),
              fp.post("/api/v1/routes", rule(any_path, {"type": "forward", "cluster": fp.token}))):
        ok(r.status in (400, 404) and secret not in r.text, f"{r.status}: without the secret", r)
    is_(fp.get(f"/api/v1/clusters/a{fp.token}b/x").status, 404, "a path that is none")
    is_(fp.get(f"/api/v1/clusters/fp_pat_{'0' * 36}").json["message"], f"Cluster with name 'fp_pat_{'0' * 36}' not found", "an id alone is no secret")

    # ---- a warning may quote the body: its field stays one that any proxy takes
    for text in ("é" * 9000, "x" * 9000, "a\r\nX-Evil: 1"):
        r = fp.put("/api/v1/clusters/t0", {"envoy": {"type": "STATIC", "typedExtensionProtocolOptions": {"a": {
            "type_url": f"type.googleapis.com/{text}.C", "value": "AAAA"}}}})
        field = r.headers["Flowplane-Warning"]
        ok(r.status == 200 and field.startswith("unchecked_config ") and len(field) < 300 and "X-Evil" not in r.headers, "one bounded field", r.headers.items())
        ok(field.encode("latin1").decode().startswith(f"unchecked_config {text[:1]}"), "of whole characters")
