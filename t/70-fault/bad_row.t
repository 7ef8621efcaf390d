#!/usr/bin/env python3
"""Rows edited with psql, to nonsense and back (issue 3, contract §14 "direct SQL", rule P18)."""
import json

import fp_xds as xds
from fp_harness import Flowplane, Postgres, wait_until
from fp_load import Follower, cluster, snapshot_of
from fp_tap import is_, like, ok, run


def sql(value):
    return "'" + value.replace("'", "''") + "'"


class World:
    def __init__(self, pg, fp, follower):
        self.pg, self.fp, self.follower, self.marks = pg, fp, follower, 0

    def mark(self):
        """Something else changes; when it has arrived, what was committed before it has been dealt with."""
        self.marks += 1
        name = f"mark{self.marks}"
        self.fp.api("POST", "/clusters", cluster(name))
        self.follower.wait(lambda names: name in names, 5, "all else flows")

    def settle(self):
        """What psql has committed is everywhere: nobody's own write, no worker waits for it by itself."""
        self.fp.settle(int(self.pg.psql("SELECT revision FROM config_revision")))

    def configuration(self, text, name="victim"):
        self.pg.psql(f"UPDATE clusters SET configuration = {sql(text)} WHERE name = {sql(name)}")

    def warnings(self, name, start=0):
        return [e for e in self.fp.log_events()[start:]
                if e["level"] == "WARN" and f"'{name}'" in e["fields"]["message"]]

    def bytes(self, name="victim"):
        return self.follower.bytes.get(name)


NONSENSE = {
    "an object of something else": '{"nonsense": true}',
    "an empty object": "{}",
    "an array": "[]",
    "a string": '"x"',
    "null": "null",
    "a number": "1e400",
    "wrong types": '{"endpoints": 7, "connectTimeoutSeconds": []}',
    "a value out of range": '{"endpoints": [{"host": "127.0.0.1", "port": 99999}]}',
    "nested 3,000 deep": "[" * 3000 + "]" * 3000,
    "raw Envoy fields in the model": '{"endpoints": ["a:1"], "loadAssignment": {}}',
}


def nonsense(w):
    """Each in its turn: last good bytes stay, one warning, all else flows; the repaired row flows again."""
    good = w.pg.psql("SELECT configuration FROM clusters WHERE name = 'victim'")
    for i, (what, text) in enumerate(NONSENSE.items()):
        before, seen = w.bytes(), len(w.fp.log_events())
        w.configuration(text)
        w.mark()
        is_(w.bytes(), before, f"{what}: keeps its last good bytes, all else flows")
        r = w.fp.get("/api/v1/clusters/victim")
        is_((r.status, r.json["config"]["connectTimeoutSeconds"]), (200, 10 + i), "REST, too, shows the last good one")
        w.mark()
        got = w.warnings("victim", seen)
        is_(len(got), 1, "reported once, as a warning")
        like(got[0]["fields"]["message"], "cluster 'victim' cannot be built and keeps its last good bytes: .+", "with the reason")
        w.configuration(json.dumps({**json.loads(good), "connectTimeoutSeconds": 11 + i}))
        wait_until(lambda: w.bytes() != before, 5, "repaired")
        w.settle()
        is_(w.fp.api("GET", "/clusters/victim")["config"]["connectTimeoutSeconds"], 11 + i, "the repaired row flows again")


def hollow(w):
    """Rows that never were good are left out."""
    w.pg.psql("INSERT INTO clusters (name, service_name, configuration) VALUES ('hollow', 'hollow', '[]')")
    w.pg.psql("INSERT INTO listeners (name, address, configuration) VALUES ('hollow-l', 'nowhere', '{\"port\": -1}')")
    w.pg.psql("INSERT INTO routes (name, configuration) VALUES ('hollow-r', '{\"virtualHosts\": {}}')")
    w.mark()
    ok("hollow" not in w.follower.names, "a new row of nonsense is left out")
    for kind in ("clusters/hollow", "listeners/hollow-l", "routes/hollow-r"):
        is_(w.fp.get(f"/api/v1/{kind}").status, 404, f"{kind} is not there for REST either")
    is_([len(w.warnings(n)) for n in ("hollow", "hollow-l", "hollow-r")], [1, 1, 1], "each reported once")
    with xds.Channel(w.fp.xds_port) as ch:
        s = ch.ads(node_id="l")
        s.subscribe("listener")
        is_(xds.names(s.expect("listener")), ["default-gateway-listener"], "the other listeners are served")
    whole = w.warnings("hollow")[0]["fields"]["message"]
    like(whole, "left out: [^:/]", "a problem of the whole has no pointer")
    w.pg.psql("INSERT INTO clusters (name, service_name, configuration) VALUES (repeat('n', 9000), 'x', '[]')")
    w.mark()
    long = [e["fields"]["message"] for e in w.fp.log_events() if "cluster 'nnnn" in e["fields"]["message"]]
    is_(len(long), 1, "one with a name of 9,000 characters is reported too")
    ok(whole.split(" cannot ")[1] in long[0], "with the reason", long[0])
    w.pg.psql("DELETE FROM clusters WHERE name LIKE 'nnnn%'")
    is_(w.fp.put("/api/v1/clusters/hollow", cluster("hollow")).status, 200, "PUT repairs it")
    w.follower.wait(lambda names: "hollow" in names, 5)
    ok(True, "and it is served")
    w.pg.psql("DELETE FROM listeners WHERE name = 'hollow-l'; DELETE FROM routes WHERE name = 'hollow-r'")


def endpoints(w):
    """(host, port) of the endpoint set that is generated from the victim."""
    with xds.Channel(w.fp.xds_port) as ch:
        s = ch.ads(node_id="e")
        s.subscribe("endpoint", ["victim"])
        e = xds.unpack(s.expect("endpoint"))["victim"].endpoints[0].lb_endpoints[0].endpoint.address.socket_address
    return e.address, e.port_value


def spoilt_bytes(w):
    """The encoded form is edited: nothing but what the configuration says may be served, now and after a restart."""
    for i, value in enumerate(("'\\xdeadbeef'", "''", "encoded || '\\x00'", "substr(encoded, 1, 20)",
                               "(SELECT encoded FROM clusters WHERE name = 'default-gateway-cluster')",
                               # one byte, somewhere; mostly all frames stay whole
                               *(f"set_byte(encoded, {n} * length(encoded) / 16, get_byte(encoded, {n} * length(encoded) / 16) # 1)"
                                 for n in range(16)))):
        w.pg.psql("UPDATE clusters SET configuration = configuration || '{\"connectTimeoutSeconds\": 49}' WHERE name = 'victim'")
        wait_until(lambda: w.pg.psql("SELECT content_hash = sha256(encoded) FROM clusters WHERE name = 'victim'") == "t", 5,
                   "the watcher stores what it had to encode")
        w.pg.psql(f"UPDATE clusters SET encoded = {value}, configuration = configuration || "
                  f"'{{\"connectTimeoutSeconds\": {50 + i}}}' WHERE name = 'victim'")
        wait_until(lambda: w.fp.api("GET", "/clusters/victim")["config"]["connectTimeoutSeconds"] == 50 + i, 5)
        w.mark()
        r = xds.cluster_pb2.Cluster.FromString(w.bytes())
        is_((r.name, r.connect_timeout.seconds, endpoints(w)), ("victim", 50 + i, ("127.0.0.1", 8080)),
            f"encoded = {value[:40]}: served as the configuration says")
    wait_until(lambda: w.pg.psql("SELECT content_hash = sha256(encoded) FROM clusters WHERE name = 'victim'") == "t", 5,
               "spoilt bytes are replaced in the row, too")
    is_(w.follower.ended, None, "the stream lives")


def renamed(w):
    w.pg.psql("UPDATE clusters SET name = 'victor' WHERE name = 'victim'")
    w.follower.wait(lambda names: "victor" in names, 5, "the new name")
    ok("victim" not in w.follower.names, "renamed: the old name is gone with it")
    is_(xds.cluster_pb2.Cluster.FromString(w.bytes("victor")).name, "victor", "the resource has the new name inside")
    w.settle()
    is_((w.fp.get("/api/v1/clusters/victim").status, w.fp.get("/api/v1/clusters/victor").status), (404, 200), "REST agrees")
    is_(w.fp.post("/api/v1/clusters", cluster("victim")).status, 201, "the old name is free")
    w.follower.wait(lambda names: {"victim", "victor"} <= names, 5)
    w.pg.psql("UPDATE clusters SET name = 'tmp' WHERE name = 'victim'; UPDATE clusters SET name = 'victim' WHERE name = 'victor';"
              "UPDATE clusters SET name = 'victor' WHERE name = 'tmp'")
    w.mark()
    is_(w.fp.api("GET", "/clusters/victim")["config"]["connectTimeoutSeconds"], 70, "two rows swap their names in one transaction")
    ok("tmp" not in w.follower.names, "the name between was never served")


def odd_names(w):
    """Names that the API would not take."""
    for name in ("", "a\nb", "x" * 5000, "tab\tand \\ \" quotes", "ü/%2F"):
        w.pg.psql(f"INSERT INTO clusters (name, service_name, configuration) SELECT {sql(name)}, 's', configuration "
                  "FROM clusters WHERE name = 'mark1'")
        w.mark()
        in_rest = name in [c["name"] for c in w.fp.api("GET", "/clusters")]
        is_(in_rest, name in w.follower.names, f"a row named {name[:20]!r}: served and listed, or neither")
        w.pg.psql(f"DELETE FROM clusters WHERE name = {sql(name)}")
        w.mark()
        ok(name not in w.follower.names, "and gone")


def removed(w):
    w.pg.psql("DELETE FROM clusters WHERE name = 'victim'")
    w.follower.wait(lambda names: "victim" not in names, 5, "the deletion")
    w.settle()
    is_(w.fp.get("/api/v1/clusters/victim").status, 404, "DELETE with psql propagates")
    w.pg.psql("DELETE FROM clusters WHERE name LIKE 'mark%'")
    w.follower.wait(lambda names: not any(n.startswith("mark") for n in names), 5, "many at once")
    w.pg.psql("TRUNCATE clusters CASCADE")
    w.follower.wait(lambda names: names == set(), 5, "nothing is left")
    w.settle()
    is_(w.fp.api("GET", "/clusters"), [], "TRUNCATE propagates, to REST too")
    w.fp.api("POST", "/clusters", cluster("new"))
    w.follower.wait(lambda names: names == {"new"}, 5)
    ok(True, "and life goes on")


def restarted(w):
    """P18 over a restart: the last good bytes come from the snapshot cache; without one the row is left out."""
    w.fp.api("POST", "/clusters", cluster("sick"))
    w.follower.wait(lambda names: "sick" in names, 5)
    w.configuration('{"nonsense": 1}', "sick")
    w.mark()
    ok(w.warnings("sick"), "reported")
    good, sick = w.bytes("new"), w.bytes("sick")
    w.pg.psql("UPDATE clusters SET encoded = set_byte(encoded, 120, get_byte(encoded, 120) # 1) WHERE name = 'new'")
    w.fp.restart()
    is_(xds.raw(snapshot_of(w.fp.xds_port)).get("new"), good, "bytes spoilt without a change of revision are not served")
    is_(xds.raw(snapshot_of(w.fp.xds_port)).get("sick"), sick, "a bad row keeps its last good bytes over a restart")
    w.fp.stop()
    for f in w.fp.state_dir.glob("snapshot*"):
        f.unlink()
    w.fp.start()
    is_(sorted(c["name"] for c in w.fp.api("GET", "/clusters") if c["name"] in ("new", "sick")), ["new"],
        "without a cache it is left out, the others are there")
    is_(w.pg.psql("SELECT configuration FROM clusters WHERE name = 'sick'"), '{"nonsense": 1}', "the row was not touched")


with run():
    pg = Postgres()
    fp = Flowplane(pg)
    fp.api("POST", "/clusters", cluster("victim", connectTimeoutSeconds=10))
    with Follower(fp.xds_port) as follower:
        w = World(pg, fp, follower)
        follower.wait(lambda names: "victim" in names)
        pids = fp.workers() + [fp.watcher()]
        nonsense(w)
        hollow(w)
        spoilt_bytes(w)
        renamed(w)
        odd_names(w)
        removed(w)
        is_(follower.ended, None, "the stream lived through all of it")
        is_(fp.workers() + [fp.watcher()], pids, "and all processes")
        restarted(w)
