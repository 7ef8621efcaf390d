#!/usr/bin/env python3
"""proto/ against two oracles, field by field: the descriptors inside the Envoy binary under test and xds-protos."""
import fp_tap as tap

try:
    import fp_protos as protos
except ImportError as e:
    tap.skip_all(f"needs the Python package protobuf: {e}")


def oneof(m, f):
    """A proto3 `optional` is a oneof of one member; we write it so."""
    return m.oneof_decl[f.oneof_index].name if f.HasField("oneof_index") else None


def camel(name):
    head, *rest = name.split("_")
    return head + "".join(w[:1].upper() + w[1:] for w in rest)


def compare_message(name, ours, theirs, wrong, absent):
    by_number = {f.number: f for f in theirs.field}
    for f in ours.field:
        o = by_number.get(f.number)
        where = f"{name[1:]}.{f.name}"
        if o is None:
            absent.append(where)
            continue
        mine = (f.name, f.type, f.label == 3, f.type_name, oneof(ours, f), f.json_name or camel(f.name))
        their = (o.name, o.type, o.label == 3, o.type_name, oneof(theirs, o), o.json_name or camel(o.name))
        if mine != their:
            wrong.append(f"{where}: {mine} is {their}")
        if f.label == 3 and (f.options.packed, f.options.HasField("packed")) != (
                o.options.packed, o.options.HasField("packed")):
            wrong.append(f"{where}: packed differs")
    if ours.options.map_entry != theirs.options.map_entry:
        wrong.append(f"{name}: map entry")


def compare_enum(name, ours, theirs, wrong, absent):
    numbers = {v.name: v.number for v in theirs.value}
    for v in ours.value:
        if v.name not in numbers:
            absent.append(f"{name[1:]}.{v.name}")
        elif numbers[v.name] != v.number:
            wrong.append(f"{name[1:]}.{v.name}: {v.number} is {numbers[v.name]}")


def compare_service(name, ours, theirs, wrong, absent):
    methods = {m.name: m for m in theirs.method}
    for m in ours.method:
        o = methods.get(m.name)
        if o is None:
            absent.append(f"{name[1:]}/{m.name}")
        elif (m.input_type, m.output_type, m.client_streaming, m.server_streaming) != (
                o.input_type, o.output_type, o.client_streaming, o.server_streaming):
            wrong.append(f"{name[1:]}/{m.name}: {m} is {o}")


COMPARE = {"message": compare_message, "enum": compare_enum, "service": compare_service}


def compare(ours, theirs):
    wrong, absent, same = [], [], 0
    for name, (kind, d) in ours.items():
        if name not in theirs:
            absent.append(name[1:])
        elif theirs[name][0] != kind:
            wrong.append(f"{name[1:]}: {kind} is {theirs[name][0]}")
        else:
            COMPARE[kind](name, d, theirs[name][1], wrong, absent)
            same += len(d.field) if kind == "message" else 0
    return wrong, absent, same


def compare_rules(ours, theirs, our_rules, their_rules):
    """Validate rules of the fields and oneofs that both have: (differences, equal rules)."""
    wrong, same = [], 0

    def one(where, mine, their):
        nonlocal same
        if mine != their:
            wrong.append(f"{where}: {mine} is {their}")
        elif mine is not None:
            same += 1

    for name, (kind, d) in ours.items():
        if kind != "message" or name not in theirs:
            continue
        by_number = {f.number: f for f in theirs[name][1].field}
        for f in d.field:
            if f.number in by_number:
                mine, their = our_rules.field(f), their_rules.field(by_number[f.number])
                one(f"{name[1:]}.{f.name}", mine and str(mine), their and str(their))
        required = {o.name: their_rules.required(o) for o in theirs[name][1].oneof_decl}
        for o in d.oneof_decl:
            one(f"{name[1:]}.{o.name}", our_rules.required(o) or None, required.get(o.name) or None)
    return wrong, same


def entries(file_set, wanted):
    keep = protos.descriptor_pb2.FileDescriptorSet()
    keep.file.extend(f for f in file_set.file if wanted(f.name))
    return keep


# Not Envoy's to define; the binary has an older health.proto and no server of these.
# protoc brings descriptor.proto, which validate.proto imports.
def not_envoys(name):
    return name.startswith("grpc/") or name == "google/protobuf/descriptor.proto"


with tap.run():
    ours_set = protos.our_set()
    ours = protos.flatten(entries(ours_set, lambda n: not not_envoys(n)))
    n = sum(len(m.field) for kind, m in ours.values() if kind == "message")

    binary = protos.envoy_binary()
    if binary is None:
        tap.skip("no Envoy binary", 5)
    else:
        envoy = protos.envoy_set(binary)
        tap.ok(len(envoy.file) > 400, f"{len(envoy.file)} files inside the Envoy binary")
        wrong, absent, same = compare(ours, protos.flatten(envoy))
        tap.is_(wrong, [], f"{same} of {n} fields are as in Envoy")
        tap.is_(absent, [], "nothing is invented: Envoy has every message, field, value and method of proto/")
        wrong, same = compare_rules(ours, protos.flatten(envoy), protos.Rules(ours_set), protos.Rules(envoy))
        tap.is_(wrong, [], f"{same} fields and oneofs have Envoy's validate rules")
        tap.ok(same > 700, "and these are not few")
        envoy_files = {f.name for f in envoy.file}
        mine = {f.name for f in ours_set.file if not not_envoys(f.name)}
        tap.is_(sorted(mine - envoy_files), [], "files have Envoy's names")

    try:
        import envoy as _  # noqa: F401
        other = protos.xds_protos_set(f.name for f in ours_set.file)
    except ImportError:
        other = None
    if other is None or not other.file:
        tap.skip("no xds-protos", 2)
    else:
        wrong, absent, same = compare(ours, protos.flatten(other))
        tap.is_(wrong, [], f"{same} of {n} fields are as in xds-protos")
        # The package follows another release of Envoy: new fields may be missing there.
        tap.ok(len(absent) < n // 10, f"xds-protos lacks {len(absent)} of what we have", "\n".join(absent))

    try:
        from grpc_reflection.v1alpha import reflection_pb2
        file = protos.descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        theirs = protos.descriptor_pb2.FileDescriptorSet(file=[file])
        mine = protos.flatten(entries(ours_set, lambda n: n == "grpc/reflection/v1alpha/reflection.proto"))
        tap.is_(compare(mine, protos.flatten(theirs))[:2], ([], []), "reflection v1alpha is as in grpcio")
    except ImportError:
        tap.skip("no grpcio-reflection")
    v1, v1alpha = ([f for f in ours_set.file if f.name == f"grpc/reflection/{v}/reflection.proto"][0]
                   for v in ("v1", "v1alpha"))
    tap.is_(str(v1).replace("reflection/v1/", "reflection/v1alpha/").replace("reflection.v1.", "reflection.v1alpha.")
            .replace('reflection.v1"', 'reflection.v1alpha"'), str(v1alpha), "reflection v1 differs in its name only")
    with open("proto/protobuf-c.list") as f:
        listed = f.read().split()
    needed = {d for g in ours_set.file if g.name in listed for d in g.dependency} - {"validate/validate.proto"}
    tap.is_(sorted(needed - set(listed)), [], "protobuf-c.list has all that its files import, but for options")
