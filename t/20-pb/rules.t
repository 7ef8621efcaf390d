#!/usr/bin/env python3
"""Every validate rule of every field: values around its limits, judged by Python from the descriptors and by src/pb.

Over our set, and over all of Envoy's as `xds.descriptor_set` gives it."""
import collections
import json
import re

import fp_tap as tap
import fp_util as util

try:
    import fp_protos as protos
    import fp_rules
    from google.protobuf import json_format
except ImportError as e:
    tap.skip_all(f"needs the Python package protobuf: {e}")

RULE = re.compile(r"\(rule ([a-z0-9_.]+)\)$")


class Run:
    def __init__(self, file_set, tool):
        self.legal = fp_rules.Legal(file_set)
        self.tool = tool
        self.wrong = []
        self.asked = self.fields = 0
        self.seen = collections.defaultdict(lambda: [0, 0])  # rule → kept, broken
        self.never = []

    def check(self, name, body, want, what):
        """want: {(pointer, rule)}, all of them and nothing else."""
        self.asked += 1
        good, answer = self.tool.ask("E", name, json.dumps(body))
        problems = [] if good else json.loads(answer)
        got = {(p, m[1] if (m := RULE.search(text)) and code == "constraint" else f"{code}: {text}")
               for p, code, text in problems}
        if got != want:
            self.wrong.append(f"{name} {what}: {sorted(got)}, expected {sorted(want)}\n  {json.dumps(body)[:400]}")

    def count(self, f, rules, broken_by_value):
        kind, r = fp_rules.kind_of(rules)
        for d, _ in r.ListFields():
            if d.name in fp_rules.ASIDE:
                continue
            rule = f"{kind}.{d.name}"
            hits = [rule in b for b in broken_by_value]
            self.seen[rule][0] += not all(hits)
            self.seen[rule][1] += any(hits)
            # No unsigned number or length is less than 0; one that may be empty is never shorter than 1.
            least = getattr(r, d.name) if d.name in ("gte", "min_len") else None
            idle = least == 0 or (least == 1 and r.ignore_empty)
            if all(hits) or not (any(hits) or idle):
                self.never.append(f"{f.full_name} {rule}")

    def scalar(self, name, f, rules):
        """A field of one value: candidates one after the other."""
        inner = f.message_type.fields_by_name["value"] if f.message_type and f.message_type.full_name in fp_rules.WRAPPERS else f
        results = []
        for v in fp_rules.candidates(rules, inner):
            m = self.legal.message(name)
            try:
                fp_rules.set_value(m, f, v)
            except (ValueError, TypeError):
                continue
            b = fp_rules.broken(rules, v, inner)
            results.append(b)
            body = self.legal.json(m)
            if f.containing_oneof is not None:  # its default is a choice, too
                body.setdefault(f.json_name, fp_rules.json_value(f, v))
            self.check(name, body, {(f"/{f.json_name}", x) for x in b}, f"{f.name} = {v!r}"[:120])
        self.count(f, rules, results)

    def without(self, name, f, rule):
        m = self.legal.message(name)
        m.ClearField(f.name)
        self.check(name, self.legal.json(m), {(f"/{f.json_name}", rule)} if rule else set(), f"without {f.name}")
        self.seen[rule][1] += 1

    def sized(self, name, f, rules, kind, least, most):
        """Numbers of items around the limits."""
        r = getattr(rules, kind)
        for limit, word in ((least, "min"), (most, "max")):
            rule = f"{kind}.{word}_{'pairs' if kind == 'map' else 'items'}"
            if not r.HasField(rule.split(".")[1]):
                continue
            for n in {max(limit - 1, 0), limit, limit + 1}:
                m = self.legal.message(name)
                m.ClearField(f.name)
                for i in range(n):
                    self.legal.add(m, f, rules, i)
                bad = {(f"/{f.json_name}", f"{kind}.{w}_{'pairs' if kind == 'map' else 'items'}")
                       for w, out in (("min", n < least and not (r.ignore_empty and n == 0)), ("max", most is not None and n > most)) if out}
                if len(self.legal.json(m).get(f.json_name, [])) == n:
                    self.check(name, self.legal.json(m), bad | self.twice(f, rules, m), f"{f.name} of {n}")
                    self.seen[rule][bool(bad)] += 1

    def twice(self, f, rules, m):
        """Items that a `unique` list has twice: a list of few values cannot be long."""
        if not rules.repeated.unique:
            return set()
        seen, out = [], set()
        for i, v in enumerate(getattr(m, f.name)):
            if v in seen:
                out.add((f"/{f.json_name}/{i}", "repeated.unique"))
            seen.append(v)
        return out

    def items(self, name, f, rules):
        """Values of items: one candidate put behind the legal ones."""
        results = []
        for v in fp_rules.candidates(rules.repeated.items, f):
            m = self.legal.message(name)
            if len(getattr(m, f.name)) == rules.repeated.max_items > 0:
                del getattr(m, f.name)[-1]
            try:
                getattr(m, f.name).append(v)
            except (ValueError, TypeError):
                continue
            b = fp_rules.broken(rules.repeated.items, v, f)
            results.append(b)
            last = len(getattr(m, f.name)) - 1
            if not self.twice(f, rules, m):
                self.check(name, self.legal.json(m), {(f"/{f.json_name}/{last}", x) for x in b}, f"an item {v!r}"[:120])
        self.count(f, rules.repeated.items, results)

    def unique(self, name, f, rules):
        m = self.legal.message(name)
        m.ClearField(f.name)
        for _ in range(2):
            self.legal.add(m, f, rules, 0)
        self.check(name, self.legal.json(m), {(f"/{f.json_name}/1", "repeated.unique")}, f"{f.name} with the same twice")
        self.seen["repeated.unique"][1] += 1

    def pairs(self, name, f, rules):
        """Keys and values of a map."""
        value = f.message_type.fields_by_name["value"]
        for part, d in (("keys", f.message_type.fields_by_name["key"]), ("values", value)):
            r = getattr(rules.map, part)
            if fp_rules.kind_of(r)[1] is None:
                continue
            results = []
            for v in fp_rules.candidates(r, d):
                m = self.legal.message(name)
                if value.message_type is not None:
                    self.legal.put(getattr(m, f.name)[v], value, rules.map.values, 0)
                elif part == "keys":
                    getattr(m, f.name)[v] = self.legal.value(value, rules.map.values) or "v"
                else:
                    getattr(m, f.name)["k"] = v
                b = fp_rules.broken(r, v, d)
                results.append(b)
                key = (v if part == "keys" else "k").replace("~", "~0").replace("/", "~1")
                self.check(name, self.legal.json(m), {(f"/{f.json_name}/{key}", x) for x in b}, f"{part} {v!r}"[:120])
            self.count(d, r, results)

    def field(self, name, f, rules):
        self.fields += 1
        kind, r = fp_rules.kind_of(rules)
        if kind == "repeated":
            self.sized(name, f, rules, kind, r.min_items, r.max_items if r.HasField("max_items") else None)
            if r.unique:
                self.unique(name, f, rules)
            if fp_rules.kind_of(r.items)[1] is not None:
                self.items(name, f, rules)
        elif kind == "map":
            self.sized(name, f, rules, kind, r.min_pairs, r.max_pairs if r.HasField("max_pairs") else None)
            self.pairs(name, f, rules)
        elif kind and kind != "any":
            self.scalar(name, f, rules)
        if f.containing_oneof is None:
            if rules.message.required:
                self.without(name, f, "message.required")
            elif getattr(r, "required", False):
                self.without(name, f, f"{kind}.required")

    def message(self, name, proto):
        rules = [(f, self.legal.rules.field(f)) for f in proto.field]
        oneofs = [o for o in proto.oneof_decl if self.legal.rules.required(o)]
        if not oneofs and not any(r is not None for _, r in rules):
            return
        base = self.legal.message(name)
        self.check(name, self.legal.json(base), set(), "at its smallest")
        for f, r in rules:
            if r is not None:
                self.field(name, base.DESCRIPTOR.fields_by_name[f.name], r)
        for o in oneofs:
            m = self.legal.message(name)
            m.ClearField(o.name)
            self.check(name, self.legal.json(m), {("", "oneof.required")}, f"without {o.name}")
            self.seen["oneof.required"][1] += 1

    def all(self, title):
        for name, (kind, m) in sorted(self.legal.flat.items()):
            if kind == "message" and not m.options.map_entry and not name.startswith((".google.", ".validate.")):
                try:
                    self.message(name[1:], m)
                except fp_rules.NoMessage as e:
                    self.wrong.append(f"{name}: no legal message ({e})")
        tap.is_(self.wrong[:8], [], f"{title}: {self.asked} messages, {self.fields} fields with rules, judged alike")
        tap.is_(self.never, [], f"{title}: each rule was kept and broken")
        tap.diag(", ".join(f"{k} {n[1]}" for k, n in sorted(self.seen.items())))


def nested(tool):
    """Rules below other messages, in both forms of an Any, all at once."""
    any_of = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    body = {"name": "l", "filterChains": [{"filters": [
        {"name": "", "typedConfig": {"@type": any_of, "name": "", "connect_timeout": "0s"}},
        {"name": "x", "typedConfig": {"type_url": any_of, "value": "GgA="}}]}]}
    good, answer = tool.ask("E", "envoy.config.listener.v3.Listener", json.dumps(body))
    tap.is_(good, False, "broken rules are refused")
    tap.is_([(p, c) for p, c, _ in json.loads(answer)],
            [("/filterChains/0/filters/0/name", "constraint"),
             ("/filterChains/0/filters/0/typedConfig/name", "constraint"),
             ("/filterChains/0/filters/0/typedConfig/connect_timeout", "constraint"),
             ("/filterChains/0/filters/1/typedConfig/value", "constraint")], "all at once, at the pointers as sent")
    tap.is_(json.loads(answer)[3][2], "in the envoy.config.cluster.v3.Cluster at /name: must not be empty (rule string.min_len)",
            "what base64 hides is told")
    # The one message whose rules are switched off where it is used.
    good, _ = tool.ask("E", "envoy.config.core.v3.KeyValueAppend", json.dumps({"entry": {"key": ""}}))
    tap.ok(good, "message.skip")


with tap.run():
    tool = protos.Tool()
    nested(tool)
    Run(protos.our_set(), tool).all("built-in set")
    tap.is_(tool.close(), 0, "the tool ends well")
    binary = protos.envoy_binary()
    if binary is None:
        tap.skip("no Envoy binary", 3)
    else:
        envoy = protos.envoy_set(binary)
        path = util.tmp() / "envoy.pb"
        path.write_bytes(envoy.SerializeToString())
        tool = protos.Tool(path)
        Run(envoy, tool).all(f"all {len(envoy.file)} files of Envoy")
        tap.is_(tool.close(), 0, "the tool ends well")
