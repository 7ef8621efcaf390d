#!/usr/bin/env python3
"""A dry run tells what the real write does then (contract §2.8): the same error, or the change it makes."""
from fp_harness import Flowplane, Postgres
from fp_tap import is_, ok, run


def cluster(name, port=80, **more):
    return {"name": name, "endpoints": [{"host": "10.0.0.1", "port": port}], **more}


def listener(name, port, target="one", **more):
    return {"name": name, "address": "127.0.0.1", "port": port, "filterChains": [{"filters": [
        {"name": "tcp", "type": "tcpProxy", "cluster": target}]}], **more}


with run():
    pg = Postgres()
    fp = Flowplane(pg)

    def token(*scopes):
        return fp.api("POST", "/tokens", {"name": "team", "scopes": list(scopes)}, want=201)["token"]

    def version(path):
        r = fp.get(path)
        return r.json["version"] if r.status == 200 and isinstance(r.json, dict) else None

    def both(what, method, path, body=None, want=200, action=None, row=None, **more):
        """First dry, then in earnest.  row: the path of the row it is about."""
        before = version(row or path)
        dry = fp.request(method, path + "?dryRun=true", body, **more)
        is_(version(row or path), before, f"{what}: a dry run changes nothing")
        real = fp.request(method, path, body, **more)
        after = version(row or path)
        is_(real.status, want, f"{what}: the real write")
        if want >= 400:
            is_((dry.status, dry.json["error"], dry.json["message"], dry.json.get("details")),
                (real.status, real.json["error"], real.json["message"], real.json.get("details")), f"{what}: the dry run has its error")
            return
        done = "delete" if after is None else "create" if before is None else "unchanged" if before == after else "update"
        change = dry.json["changes"][0] if dry.status == 200 else dry
        is_((change["action"], change["fromVersion"]), (done, before), f"{what}: the dry run says what is done")
        is_(done, action, f"{what}: {action}")

    C, L, E = "/api/v1/clusters", "/api/v1/listeners", "/api/v1/endpoints"
    gateway = f"{C}/default-gateway-cluster"
    both("a create", "POST", C, cluster("one"), 201, "create", row=f"{C}/one")
    both("of a listener", "POST", L, listener("edge", 18001), 201, "create", row=f"{L}/edge")
    both("a name that is taken", "POST", C, cluster("one", 81), 409, row=f"{C}/one")
    both("an address that is taken", "POST", L, listener("edge2", 18001), 409)
    both("… and a reference that is missing", "POST", L, listener("edge2", 18001, "ghost"), 400)
    both("a taken name and a missing reference", "POST", L, listener("edge", 18002, "ghost"), 400)
    both("another address, taken", "PUT", f"{L}/default-gateway-listener", listener("default-gateway-listener", 18001), 409)
    both("… and a missing reference", "PUT", f"{L}/default-gateway-listener", listener("default-gateway-listener", 18001, "ghost"), 400)
    both("nothing new", "PUT", f"{C}/one", cluster("one"), 200, "unchanged")
    both("content", "PUT", f"{C}/one", cluster("one", 81), 200, "update")
    both("the service name alone", "PUT", f"{C}/one", cluster("one", 81, serviceName="label"), 200, "update")
    both("the team alone", "PUT", f"{C}/one", cluster("one", 81, serviceName="label", team="red"), 200, "update")
    both("and back", "PUT", f"{C}/one", cluster("one", 81, serviceName="label"), 200, "update")
    both("the protocol of a listener", "PUT", f"{L}/edge", listener("edge", 18001, protocol="TCP"), 200, "update")
    fp.api("POST", "/apply?source=git", [{"kind": "cluster", **cluster("labelled")}])
    both("a row of a label, taken over", "PUT", f"{C}/labelled", cluster("labelled"), 200, "update")
    fp.api("POST", "/clusters", {"name": "raw", "envoy": {"type": "STATIC", "connectTimeout": "5s"}}, want=201)
    both("the same in the raw form", "PUT", f"{C}/raw", {"envoy": {"type": "STATIC", "connectTimeout": "5s"}}, 200, "unchanged")
    both("of another form", "PUT", f"{C}/raw", cluster("raw"), 200, "update")
    both("a stale version", "PUT", f"{C}/one", cluster("one"), 412, headers={"If-Match": '"1"'})
    both("a version of nothing", "PUT", f"{C}/none", cluster("none"), 404, headers={"If-Match": '"1"'})
    both("a deletion of what is used", "DELETE", f"{C}/one", None, 409)
    both("a stale deletion of it", "DELETE", f"{C}/one", None, 412, headers={"If-Match": '"1"'})
    both("a deletion of nothing", "DELETE", f"{C}/none", None, 404)
    both("a deletion", "DELETE", f"{C}/raw", None, 204, "delete")

    # ---- the default gateway
    both("a default row that is as it was made", "DELETE", gateway, None, 409)
    row = fp.get(gateway).json
    row["config"]["connectTimeoutSeconds"] = 9
    both("replaced", "PUT", gateway, row, 200, "update")
    both("a default row that was replaced", "DELETE", gateway, None, 409)

    # ---- singular paths
    both("the singular path: a create", "POST", "/api/v1/cluster", cluster("two"), 201, "create", row=f"{C}/two")
    both("… the same content", "POST", "/api/v1/cluster", cluster("two"), 200, "unchanged", row=f"{C}/two")
    both("… another content", "POST", "/api/v1/cluster", cluster("two", 81), 409)
    both("… another service name", "POST", "/api/v1/cluster", cluster("two", serviceName="label"), 409)
    both("… another team", "POST", "/api/v1/cluster", cluster("two", team="red"), 409)
    both("… over a default row that was touched", "POST", "/api/v1/cluster", cluster("default-gateway-cluster"), 409)
    both("… over one that was not", "POST", "/api/v1/listener", listener("default-gateway-listener", 18003), 200, "update",
         row=f"{L}/default-gateway-listener")
    r = fp.post("/api/v1/cluster", cluster("two"))
    is_((r.headers["ETag"], r.headers["Flowplane-Revision"]), ('"1"', fp.get(C).headers["Flowplane-Revision"]), "unchanged: the current revision and the tag")
    r = fp.post("/api/v1/cluster", cluster("tls", endpoints=["a.test:443"]))
    again = fp.post("/api/v1/cluster", cluster("tls", endpoints=["a.test:443"]))
    ok(r.headers["Flowplane-Warning"] and r.headers["Flowplane-Warning"] == again.headers["Flowplane-Warning"], "and its warnings")

    # ---- teams
    red = token("team:red:clusters:*")
    fp.api("POST", "/clusters", cluster("red", team="red"), want=201)
    fp.api("POST", "/clusters", cluster("blue", team="blue"), want=201)
    both("a team's create", "POST", C, cluster("red2"), 201, "create", row=f"{C}/red2", token=red)
    both("in another team", "POST", C, cluster("red3", team="blue"), 403, token=red)
    both("a name of another team", "POST", C, cluster("blue"), 409, token=red)
    both("its singular path", "POST", "/api/v1/cluster", cluster("blue"), 409, token=red)
    both("a row of another team", "PUT", f"{C}/blue", cluster("blue"), 404, token=red)
    both("a deletion of it", "DELETE", f"{C}/blue", None, 404, token=red)
    both("its own row", "PUT", f"{C}/red", cluster("red", 81), 200, "update", token=red)
    both("its deletion", "DELETE", f"{C}/red", None, 204, "delete", token=red)
    two = token("team:red:clusters:*", "team:blue:clusters:*")
    fp.api("POST", "/clusters", cluster("moves", team="red"), want=201)
    both("from one of its teams to another", "PUT", f"{C}/moves", cluster("moves", team="blue"), 403, token=two)
    both("… with a stale version", "PUT", f"{C}/moves", cluster("moves", team="blue"), 403, token=two, headers={"If-Match": '"9"'})
    both("in its team", "PUT", f"{C}/moves", cluster("moves", 81, team="red"), 200, "update", token=two)
    both("moved by an unscoped token", "PUT", f"{C}/moves", cluster("moves", 81, team="blue"), 200, "update")
    r = fp.post("/api/v1/apply", [{"kind": "cluster", **cluster("moves", 81, team="red")}], token=two)
    is_((r.status, r.json["details"][0]["pointer"]), (403, "/0/team"), "a set moves none either")

    # ---- an endpoint set is a row, or generated by a cluster (§5.2.2)
    both("a set that a cluster generates", "POST", E, {"name": "one", "endpoints": []}, 409)
    both("a set of its own", "POST", E, {"name": "set", "endpoints": []}, 201, "create", row=f"{E}/set")
    both("a cluster that would generate it", "POST", C, cluster("set"), 409)
    both("… under its service name", "POST", C, cluster("by-name", type="EDS", serviceName="set"), 409)
    both("a cluster that uses it", "POST", C, {"name": "set", "type": "EDS"}, 201, "create", row=f"{C}/set")
    both("… then with endpoints of its own", "PUT", f"{C}/set", cluster("set"), 409)
    both("its name, with endpoints", "POST", C, cluster("set"), 409)
    for what, items, pointers in (
            ("the row", [{"kind": "endpoint", "name": "one", "endpoints": []}], ["/0/name"]),
            ("the cluster", [{"kind": "cluster", **cluster("x")}, {"kind": "cluster", **cluster("set")}], ["/1/name"]),
            ("both", [{"kind": "endpoint", "name": "new", "endpoints": []}, {"kind": "cluster", **cluster("new")}], ["/0/name", "/1/name"])):
        for query in ("?dryRun=true", ""):
            r = fp.post("/api/v1/apply" + query, items)
            is_((r.status, [d["pointer"] for d in r.json["details"]]), (409, pointers), f"apply{query}: {what}")
    r = fp.post("/api/v1/apply?source=git", [{"kind": "endpoint", "name": "moving", "endpoints": []}])
    r = fp.post("/api/v1/apply?source=git&prune=true", [{"kind": "cluster", **cluster("moving")}])
    is_((r.status, r.json["summary"]["deleted"]), (200, 1), "a set that goes in the same set makes room")
    both("deleted", "DELETE", f"{E}/set", None, 204, "delete")
    both("now the cluster may generate it", "PUT", f"{C}/set", cluster("set"), 200, "update")
