"""Validate rules judged by Python, and messages that keep them: what src/pb/pb_check.c is compared with."""
import base64
import re

import fp_protos as protos
from google.protobuf import json_format, message_factory

WRAPPERS = {f"google.protobuf.{t}Value" for t in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")}
TIMES = {"google.protobuf.Duration", "google.protobuf.Timestamp"}
HEADER_NAME = re.compile(r":?[0-9a-zA-Z!#$%&'*+,\-.^_|~`]+")
HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
LOOSE = re.compile(r"[^\x00\n\r]*")
TEXTS = ["", "a", "/a", "%a%", "%", "a%", "http", "x.mmdb", "a b", "a\tb", "a\x01b", "a\nb", "a,b", "a:", ":a", "é", "/", "a?b", "a#",
         "a" * 35, "a" * 45, "é" * 40, "Aa"]


class NoMessage(Exception):
    pass


def nanos(m):
    return m.seconds * 10**9 + m.nanos


def as_value(v):
    """A rule's operand or a field's value as something that compares."""
    return nanos(v) if hasattr(v, "seconds") else v


def header_ok(rules, v):
    if not rules.strict:
        return LOOSE.fullmatch(v) is not None
    return (HEADER_NAME if rules.well_known_regex == 1 else HEADER_VALUE).fullmatch(v) is not None


# (rules, operand, value, descriptor) → holds
HOLDS = {
    "const": lambda r, x, v, f: v == x, "lt": lambda r, x, v, f: v < x, "lte": lambda r, x, v, f: v <= x,
    "gt": lambda r, x, v, f: v > x, "gte": lambda r, x, v, f: v >= x,
    "in": lambda r, x, v, f: v in x, "not_in": lambda r, x, v, f: v not in x,
    "len": lambda r, x, v, f: len(v) == x, "min_len": lambda r, x, v, f: len(v) >= x, "max_len": lambda r, x, v, f: len(v) <= x,
    "min_bytes": lambda r, x, v, f: len(v.encode()) >= x, "max_bytes": lambda r, x, v, f: len(v.encode()) <= x,
    "pattern": lambda r, x, v, f: re.fullmatch(x, v) is not None,
    "prefix": lambda r, x, v, f: v.startswith(x), "suffix": lambda r, x, v, f: v.endswith(x),
    "well_known_regex": lambda r, x, v, f: header_ok(r, v),
    "defined_only": lambda r, x, v, f: v in {e.number for e in f.enum_type.values},
}
# What no rule of its own is, or is about messages and lists.
ASIDE = {"ignore_empty", "strict", "required", "skip", "min_items", "max_items", "unique", "items", "min_pairs", "max_pairs", "keys", "values"}


LIMITS = {"lt", "lte", "gt", "gte"}


def wrong_way_round(r):
    """A lower limit above the upper one: what lies outside of them is legal."""
    limits = {d.name: as_value(v) for d, v in r.ListFields() if d.name in LIMITS}
    low, high = limits.get("gt", limits.get("gte")), limits.get("lt", limits.get("lte"))
    return low is not None and high is not None and low > high


def kind_of(rules):
    """("string", StringRules) of a FieldRules; ("", None) when there is only `message`."""
    name = rules.WhichOneof("type")
    return (name, getattr(rules, name)) if name else ("", None)


def broken(rules, v, f):
    """Names of the rules that a value breaks."""
    kind, r = kind_of(rules)
    if r is None or (getattr(r, "ignore_empty", False) and not v):
        return set()
    out = set()
    for d, operand in r.ListFields():
        if d.name in ASIDE:
            continue
        operand = [as_value(x) for x in operand] if d.is_repeated else as_value(operand)
        if not HOLDS[d.name](r, operand, v, f):
            out.add(d.name)
    if wrong_way_round(r) and len(out & LIMITS) < 2:
        out -= LIMITS
    return {f"{kind}.{name}" for name in out}


def candidates(rules, f):
    """Values around every limit of the rules, as Python has them."""
    kind, r = kind_of(rules)
    if kind in ("duration", "timestamp"):
        near = [nanos(getattr(r, n)) for n in ("lt", "lte", "gt", "gte", "const") if r.HasField(n)]
        return sorted({v + d for v in near for d in (-1, 0, 1)} | {0, 10**9})
    if kind == "bool":
        return [False, True]
    if kind == "string":
        texts = TEXTS + list(getattr(r, "in")) + [r.prefix + r.suffix, r.prefix + "a" + r.suffix]
        for n in ("min_len", "max_len", "len", "min_bytes", "max_bytes"):
            if r.HasField(n):
                x = getattr(r, n)
                texts += ["a" * (x + d) for d in (-1, 0, 1) if x + d >= 0]
        return list(dict.fromkeys(texts))
    if kind == "bytes":
        sizes = {getattr(r, n) + d for n in ("min_len", "max_len", "len") if r.HasField(n) for d in (-1, 0, 1)}
        return [b"a" * n for n in sorted(sizes | {0}) if n >= 0]
    near = [getattr(r, n) for n in ("lt", "lte", "gt", "gte", "const") if hasattr(r, n) and r.HasField(n)] if r is not None else []
    if kind == "enum":
        return sorted({e.number for e in f.enum_type.values} | {9999})
    if kind in ("float", "double"):
        return sorted({v + d for v in near for d in (-0.5, 0.0, 0.5)} | {0.0})
    low = {"uint32": 0, "uint64": 0, "int32": -2**31, "int64": -2**63}[kind]
    high = {"uint32": 2**32, "uint64": 2**64, "int32": 2**31, "int64": 2**63}[kind] - 1
    return sorted(v for v in {v + d for v in near for d in (-1, 0, 1)} | {0, 1} if low <= v <= high)


class Legal:
    """Messages of a set that keep their rules, as small as they can be."""

    def __init__(self, file_set):
        self.pool = protos.pool_of(file_set)
        self.rules = protos.Rules(file_set)
        self.flat = protos.flatten(file_set)
        self.made = {}

    def of(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))()

    def field_rules(self, f):
        m = self.flat.get("." + f.containing_type.full_name)
        return self.rules.field(next(x for x in m[1].field if x.number == f.number)) if m else None

    def message(self, name, depth=0):
        if depth > 10:
            raise NoMessage(name)
        if name not in self.made:
            m = self.of(name)
            self.fill(m, depth)
            self.made[name] = m
        out = self.of(name)
        out.CopyFrom(self.made[name])
        return out

    def fill(self, m, depth):
        proto = self.flat["." + m.DESCRIPTOR.full_name][1]
        for f in m.DESCRIPTOR.fields:
            rules = self.field_rules(f)
            if rules is None or f.containing_oneof is not None:
                continue
            kind, r = kind_of(rules)
            required = rules.message.required or getattr(r, "required", False)
            least = max(getattr(r, "min_items", 0), getattr(r, "min_pairs", 0))
            if f.is_repeated:
                for i in range(least):
                    self.add(m, f, rules, i, depth)
            elif f.message_type is None or required:
                self.set(m, f, rules, depth)
        for o, declared in zip(m.DESCRIPTOR.oneofs, proto.oneof_decl):
            if self.rules.required(declared):
                self.choose(m, o, depth)

    def choose(self, m, oneof, depth):
        for f in sorted(oneof.fields, key=lambda f: f.message_type is not None):
            try:
                self.set(m, f, self.field_rules(f), depth)
                return
            except NoMessage:
                m.ClearField(f.name)
        raise NoMessage(m.DESCRIPTOR.full_name)

    def value(self, f, rules):
        if rules is None or kind_of(rules)[1] is None:
            return None
        scalar = f.message_type.fields_by_name["value"] if f.message_type and f.message_type.full_name in WRAPPERS else f
        good = [v for v in candidates(rules, scalar) if not broken(rules, v, scalar)]
        if not good:
            raise NoMessage(f.full_name)
        return next((v for v in good if v), good[0])

    def set(self, m, f, rules, depth):
        if f.message_type is None:
            v = self.value(f, rules)
            if v is None:
                v = {f.CPPTYPE_STRING: b"a" if f.type == f.TYPE_BYTES else "a", f.CPPTYPE_BOOL: True}.get(f.cpp_type, 0)
            setattr(m, f.name, v)
        else:
            self.put(getattr(m, f.name), f, rules, depth)

    def put(self, sub, f, rules, depth):
        """Fills the message of field f."""
        name = f.message_type.full_name
        sub.SetInParent()
        if name in WRAPPERS:
            v = self.value(f, rules)
            if v is not None:
                sub.value = v
        elif name in TIMES:
            v = self.value(f, rules) if rules is not None and kind_of(rules)[0] in ("duration", "timestamp") else None
            sub.seconds, sub.nanos = divmod(v if v is not None else 10**9, 10**9)
        elif name == "google.protobuf.Any":
            sub.Pack(self.of("google.protobuf.Duration"))
        elif not name.startswith("google.protobuf.") and not (rules is not None and rules.message.skip):
            sub.CopyFrom(self.message(name, depth + 1))

    def add(self, m, f, rules, i, depth=0):
        """One more item, or pair, that is unlike the others."""
        kind, r = kind_of(rules)
        if f.message_type is not None and f.message_type.GetOptions().map_entry:
            value = f.message_type.fields_by_name["value"]
            if value.message_type is not None:
                self.put(getattr(m, f.name)[f"k{i}"], value, r.values, depth)
            else:
                getattr(m, f.name)[f"k{i}"] = self.value(value, r.values) or "v"
        elif f.message_type is not None:
            self.put(getattr(m, f.name).add(), f, r.items, depth)
        else:
            good = [v for v in candidates(r.items, f) if not broken(r.items, v, f)] if kind_of(r.items)[1] is not None else []
            plain = f"i{i}" if f.type == f.TYPE_STRING else i
            getattr(m, f.name).append(good[i % len(good)] if good else plain)

    def json(self, m):
        return json_format.MessageToDict(m, descriptor_pool=self.pool)


def set_value(m, f, v):
    """Puts a candidate where it belongs: a scalar, a wrapper or a time."""
    if f.message_type is None:
        setattr(m, f.name, v)
    elif f.message_type.full_name in TIMES:
        sub = getattr(m, f.name)
        sub.SetInParent()
        sub.seconds, sub.nanos = (abs(v) // 10**9, abs(v) % 10**9) if v >= 0 else (-(-v // 10**9), -(-v % 10**9))
    else:
        getattr(m, f.name).SetInParent()
        getattr(m, f.name).value = v


def json_value(f, v):
    """One candidate as JSON, for items and maps; times and bytes as their texts."""
    return base64.b64encode(v).decode() if isinstance(v, bytes) else v
