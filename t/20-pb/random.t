#!/usr/bin/env python3
"""Random messages both ways against Google's library: equal bytes, equal messages, over our set and all of Envoy's.

FP_SEED repeats a run; FP_LONG=1, FP_ROUNDS: a longer one."""
import base64
import json
import re

import fp_tap as tap
import fp_util as util

try:
    import fp_protos as protos
    from google.protobuf import json_format
except ImportError as e:
    tap.skip_all(f"needs the Python package protobuf: {e}")

SEED = util.seed()
ROUNDS = util.rounds(600)


def to_json(maker, m):
    r = maker.random
    return json_format.MessageToJson(m, preserving_proto_field_name=r.random() < 0.3,
                                     use_integers_for_enums=r.random() < 0.2, indent=None,
                                     descriptor_pool=maker.pool)


def shuffled(r, v):
    """The same JSON with its members in another order."""
    if isinstance(v, dict):
        items = [(k, shuffled(r, x)) for k, x in v.items()]
        r.shuffle(items)
        return dict(items)
    return [shuffled(r, x) for x in v] if isinstance(v, list) else v


def same_message(maker, m, text):
    """Compared as JSON: Google's parser packs an Any without sorting the maps inside."""
    back = maker.of(m.DESCRIPTOR.full_name)
    try:
        json_format.Parse(text, back, descriptor_pool=maker.pool)
    except json_format.ParseError as e:
        tap.diag(f"{e}: {text}")
        return False
    return json.loads(json_format.MessageToJson(back, descriptor_pool=maker.pool)) == \
        json.loads(json_format.MessageToJson(m, descriptor_pool=maker.pool))


def check(tool, maker, title):
    encoded = decoded = 0
    for i in range(ROUNDS):
        name = maker.random.choice(maker.plain)
        m = maker.message(name)
        want = m.SerializeToString(deterministic=True)
        text = json.dumps(shuffled(maker.random, json.loads(to_json(maker, m))), ensure_ascii=False)
        good, answer = tool.ask("E", name, text)
        if good and bytes.fromhex(answer) == want:
            encoded += 1
        elif encoded == i:  # the first difference is told
            tap.diag(f"{title}, message {i} of {name}, seed {SEED}\n{text}\nwant {want.hex()}\ngot  {answer}")
        good, answer = tool.ask("D", name, want.hex())
        if good and same_message(maker, m, answer) and tool.ask("E", name, answer) == (True, want.hex()):
            decoded += 1
        elif decoded == i:
            tap.diag(f"{title}, message {i} of {name}, seed {SEED}\nfrom {want.hex()}\ngot  {answer}")
    tap.is_(encoded, ROUNDS, f"{title}: JSON to the bytes Google's library writes")
    tap.is_(decoded, ROUNDS, f"{title}: bytes to JSON that is the same message")


def check_truncated(tool, maker):
    """Every truncation of bytes is refused or a valid message; never a crash."""
    answered = 0
    names = ["envoy.config.listener.v3.Listener", "envoy.config.cluster.v3.Cluster"]
    total = 0
    for name in names:
        data = maker.message(name, 4).SerializeToString(deterministic=True)[:1500]
        for n in range(len(data)):
            total += 1
            answered += len(tool.ask("D", name, data[:n].hex())[1]) > 0
    tap.is_(answered, total, f"{total} truncations are answered")


def check_base64_any(tool, maker):
    same = n = 0
    while n < 100:
        inner = maker.message(maker.random.choice(maker.plain), 2)
        data = inner.SerializeToString(deterministic=True)
        url = "type.googleapis.com/" + inner.DESCRIPTOR.full_name
        whole = maker.of("google.protobuf.Any")
        whole.type_url, whole.value = url, data
        encode = maker.random.choice([base64.b64encode, base64.urlsafe_b64encode])
        body = {maker.random.choice(["type_url", "typeUrl"]): url, "value": encode(data).decode()}
        good, answer = tool.ask("E", "google.protobuf.Any", json.dumps(body))
        same += good and bytes.fromhex(answer) == whole.SerializeToString(deterministic=True)
        n += 1
    tap.is_(same, n, "the base64 form of an Any keeps its bytes")


with tap.run():
    ours = protos.Maker(protos.our_set(), SEED)
    tool = protos.Tool(rules=False)
    check(tool, ours, "built-in set")
    check_truncated(tool, ours)
    check_base64_any(tool, ours)
    tap.is_(tool.close(), 0, "the tool ends well")

    binary = protos.envoy_binary()
    if binary is None:
        tap.skip("no Envoy binary", 2)
    else:
        envoy = protos.envoy_set(binary)
        path = util.tmp() / "envoy.pb"
        path.write_bytes(envoy.SerializeToString())
        tool = protos.Tool(path, rules=False)
        check(tool, protos.Maker(envoy, SEED), f"all {len(envoy.file)} files of Envoy")
        tap.is_(tool.close(), 0, "the tool ends well")
