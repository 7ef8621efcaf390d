"""Descriptors as others have them: inside an Envoy binary, in xds-protos, and our own set; random messages."""
import importlib
import pathlib
import random
import re
import struct
import subprocess

import fp_envoy
import fp_util as util
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

TOOL = util.OBJS / "t" / "lib" / "pb_tool"
OURS = util.OBJS / "gen" / "descriptors.pb"


def our_set():
    return descriptor_pb2.FileDescriptorSet.FromString(OURS.read_bytes())


def envoy_binary():
    """The executable itself; PyPI's `envoy` is a script beside it."""
    program = fp_envoy.program()
    if program is None:
        return None
    path = pathlib.Path(program).resolve()
    if path.read_bytes()[:4] == b"\x7fELF":
        return path
    found = sorted(pathlib.Path(program).parent.parent.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    return found[0] if found else None


def _fields_end(data, at):
    """Where the run of fields of a FileDescriptorProto that begins at `at` ends."""
    first = at
    while True:
        tag, pos = data[at], at + 1
        field, wire = tag >> 3, tag & 7
        if not (tag < 0x80 and 1 <= field <= 14 and (field > 1 or at == first)):
            return at
        value, shift = 0, 0
        while True:
            byte = data[pos]
            pos += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 35:
                return at
        if wire == 2:
            pos += value
        elif wire != 0:
            return at
        if pos > len(data):
            return at
        at = pos


def envoy_set(path):
    """Every FileDescriptorProto embedded in the binary: each begins with its own name."""
    data = path.read_bytes()
    files = {}
    for m in re.finditer(rb"\x0a([\x07-\x7f]|[\x80-\xff]\x01)[A-Za-z0-9_/.-]+?\.proto", data):
        length = m[1][0] if len(m[1]) == 1 else (m[1][0] & 0x7f) | 0x80
        if m.end() - m.end(1) != length:
            continue
        try:
            file = descriptor_pb2.FileDescriptorProto.FromString(data[m.start():_fields_end(data, m.start())])
        except Exception:
            continue
        if file.message_type or file.package:
            files.setdefault(file.name, file)
    out = descriptor_pb2.FileDescriptorSet()
    out.file.extend(files[name] for name in sorted(files))
    return out


def xds_protos_set(names):
    """The same files as the PyPI package has them; those it lacks are left out."""
    out = descriptor_pb2.FileDescriptorSet()
    for name in names:
        module = name[:-len(".proto")].replace("/", ".").replace("-", "_") + "_pb2"
        try:
            importlib.import_module(module).DESCRIPTOR.CopyToProto(out.file.add())
        except ImportError:
            del out.file[-1]
    return out


def flatten(file_set):
    """name → (kind, descriptor) of messages, enums, services."""
    out = {}

    def walk(prefix, m):
        name = f"{prefix}.{m.name}"
        out[name] = ("message", m)
        for x in m.nested_type:
            walk(name, x)
        for e in m.enum_type:
            out[f"{name}.{e.name}"] = ("enum", e)

    for f in file_set.file:
        prefix = f".{f.package}" if f.package else ""
        for m in f.message_type:
            walk(prefix, m)
        for e in f.enum_type:
            out[f"{prefix}.{e.name}"] = ("enum", e)
        for s in f.service:
            out[f"{prefix}.{s.name}"] = ("service", s)
    return out


def pool_of(file_set):
    """A pool of its own, whatever order the files have."""
    pool = descriptor_pool.DescriptorPool()
    files = {f.name: f for f in file_set.file}
    done = set()

    def add(name):
        if name in done:
            return
        done.add(name)
        for d in files[name].dependency:
            add(d)
        pool.Add(files[name])

    for name in files:
        add(name)
    return pool


class Rules:
    """The validate rules of a set, read by Google's library along the set's own validate.proto."""

    def __init__(self, file_set):
        pool = pool_of(file_set)

        def extension(options, name):
            options = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.protobuf.{options}"))
            return options, pool.FindExtensionByName(f"validate.{name}")

        self.fields, self.oneofs = extension("FieldOptions", "rules"), extension("OneofOptions", "required")

    @staticmethod
    def _get(options, message):
        known = options[0].FromString(message.options.SerializeToString())
        return known.Extensions[options[1]] if known.HasExtension(options[1]) else None

    def field(self, f):
        """The validate.FieldRules of a FieldDescriptorProto, or None."""
        return self._get(self.fields, f)

    def required(self, oneof):
        return bool(self._get(self.oneofs, oneof))


class Tool:
    """objs/t/lib/pb_tool as a coprocess."""

    def __init__(self, descriptor_set=None, rules=True):
        args = [str(TOOL)] + ([] if rules else ["-n"]) + ([str(descriptor_set)] if descriptor_set else [])
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, verb, type_name, rest):
        self.process.stdin.write(f"{verb} {type_name} {rest}\n".encode())
        self.process.stdin.flush()
        status, _, answer = self.process.stdout.readline().decode().rstrip("\n").partition(" ")
        return status == "ok", answer

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(20)


class Maker:
    """Random messages of a descriptor set, as Google's library holds them."""

    LETTERS = "aA0 _-./\"\\\x01\x7fäß€\U0001f600"

    def __init__(self, file_set, seed):
        self.random = random.Random(seed)
        self.pool = pool_of(file_set)
        self.plain = [n[1:] for n, (kind, m) in sorted(flatten(file_set).items())
                      if kind == "message" and not m.options.map_entry and not n.startswith(".google.protobuf.")]

    def of(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))()

    def message(self, name, depth=5):
        m = self.of(name)
        self.fill(m, depth)
        return m

    def text(self):
        return "".join(self.random.choice(self.LETTERS) for _ in range(self.random.randrange(12)))

    def map_key(self):
        """No key is another's head: such pairs, and numbers, are in another order in Google's Python library
        than in its C++ one (seen with protobuf 7.36).  t/00-unit/pb_encode.c has those cases."""
        return self.text() + "!"

    def scalar(self, f):
        r = self.random
        t = f.type
        if t in (f.TYPE_INT64, f.TYPE_SINT64, f.TYPE_SFIXED64):
            return r.choice([0, 1, -1, 2**63 - 1, -2**63, r.randrange(-2**40, 2**40)])
        if t in (f.TYPE_UINT64, f.TYPE_FIXED64):
            return r.choice([0, 1, 127, 128, 2**53 + 1, 2**64 - 1])
        if t in (f.TYPE_INT32, f.TYPE_SINT32, f.TYPE_SFIXED32):
            return r.choice([0, 1, -1, 300, 2**31 - 1, -2**31])
        if t in (f.TYPE_UINT32, f.TYPE_FIXED32):
            return r.choice([0, 1, 127, 128, 65535, 2**32 - 1])
        if t == f.TYPE_BOOL:
            return r.random() < 0.5
        if t == f.TYPE_STRING:
            return self.text()
        if t == f.TYPE_BYTES:
            return r.randbytes(r.randrange(10))
        if t == f.TYPE_ENUM:
            return r.choice(f.enum_type.values).number
        if t == f.TYPE_FLOAT:
            odd = [0.0, -0.0, 0.1, 1e-40, float("inf"), float("-inf")]
            return struct.unpack("f", struct.pack("f", r.choice(odd + [r.uniform(-1e6, 1e6)])))[0]
        return r.choice([0.0, -0.0, 0.1, 3.0, 1e300, 5e-324, float("inf"), r.uniform(-1e9, 1e9)])

    def value(self, m, depth):
        r = self.random
        kind = r.randrange(4 if depth <= 0 else 6)
        if kind == 0:
            m.null_value = 0
        elif kind == 1:
            m.number_value = r.choice([0.0, 1.0, -2.5, 1e21, r.uniform(-9, 9)])
        elif kind == 2:
            m.string_value = self.text()
        elif kind == 3:
            m.bool_value = r.random() < 0.5
        elif kind == 4:
            m.struct_value.SetInParent()
            self.struct(m.struct_value, depth - 1)
        else:
            m.list_value.SetInParent()
            for _ in range(r.randrange(3)):
                self.value(m.list_value.values.add(), depth - 1)

    def struct(self, m, depth):
        for _ in range(self.random.randrange(4)):
            self.value(m.fields[self.map_key()], depth - 1)

    def well_known(self, m, name, depth):
        r = self.random
        if name == "Duration":
            sign = r.choice([1, -1])
            m.seconds, m.nanos = sign * r.choice([0, 1, 3600, 315576000000 - 1]), sign * r.choice([0, 5 * 10**8, 1, 123000])
        elif name == "Timestamp":
            m.seconds, m.nanos = r.choice([0, -1, -62135596800, 253402300799, 951782400]), r.choice([0, 1, 10**6, 999999999])
        elif name == "FieldMask":
            m.paths.extend(r.choice(["foo_bar", "a.b_c", "x"]) for _ in range(r.randrange(3)))
        elif name == "Struct":
            self.struct(m, depth)
        elif name == "Value":
            self.value(m, depth)
        elif name == "ListValue":
            for _ in range(r.randrange(3)):
                self.value(m.values.add(), depth - 1)
        elif name == "Any":
            if depth > 0 and r.random() < 0.9:
                wkt = ["Duration", "Struct", "UInt32Value", "Timestamp", "StringValue", "Any", "Value", "FieldMask"]
                inner = "google.protobuf." + r.choice(wkt) if r.random() < 0.2 else r.choice(self.plain)
                m.Pack(self.message(inner, depth - 1), deterministic=True)
        else:
            return False
        return True

    def fill(self, m, depth):
        r = self.random
        d = m.DESCRIPTOR
        if d.file.package == "google.protobuf" and self.well_known(m, d.name, depth):
            return
        chosen = {o.name: r.choice(o.fields).name if r.random() < 0.8 else None for o in d.oneofs}
        for f in d.fields:
            if f.containing_oneof is not None and chosen[f.containing_oneof.name] != f.name:
                continue
            if f.containing_oneof is None and r.random() < 0.6:
                continue
            if f.message_type is not None and depth <= 0 and f.containing_oneof is None:
                continue
            self.field(m, f, depth)

    def field(self, m, f, depth):
        r = self.random
        n = r.randrange(4)
        if f.message_type is not None and f.message_type.GetOptions().map_entry:
            entry = f.message_type.fields_by_name
            strings = entry["key"].type == f.TYPE_STRING
            for _ in range(n if strings else min(n, 1)):
                key = self.map_key() if strings else self.scalar(entry["key"])
                if entry["value"].message_type is not None:
                    self.fill(getattr(m, f.name)[key], depth - 1)
                else:
                    getattr(m, f.name)[key] = self.scalar(entry["value"])
        elif f.is_repeated:
            for _ in range(n):
                if f.message_type is not None:
                    self.fill(getattr(m, f.name).add(), depth - 1)
                else:
                    getattr(m, f.name).append(self.scalar(f))
        elif f.message_type is not None:
            getattr(m, f.name).SetInParent()
            if depth > -3:
                self.fill(getattr(m, f.name), depth - 1)
        else:
            setattr(m, f.name, self.scalar(f))
