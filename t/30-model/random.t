#!/usr/bin/env python3
"""Bodies mutated at random: refused with problems that point into the body, or accepted and stable (response = request).

FP_SEED repeats a run; FP_LONG=1, FP_ROUNDS: a longer one."""
import copy
import random

import fp_model
import fp_tap as tap
import fp_util as util

ROUNDS = util.rounds(1500)
VALUES = [None, True, False, 0, 1, -1, 2**32, 2**53, 2**53 + 1, 1.5, 1e300, "", " ", "x", "/", "ü", "\u0001", "a.b", "10.0.0.1", "[::1]",
          "(", "{", [], {}, [None], [[]], {"": 1}, {"type": "x"}, {"@type": "x"}, {"type_url": "a/b", "value": ""}, {"disabled": True},
          {"Cluster": {"name": "a"}}, {"Exact": "/"}, {"Redirect": {}}, {"Typed": {}}, {"name": "a", "filter_type": {"TcpProxy": {"cluster": "c"}}}]
SAMPLES = [("cluster", fp_model.RICH_CLUSTER), ("route", fp_model.RICH_ROUTE), ("listener", fp_model.RICH_LISTENER),
           ("endpoint", fp_model.ENDPOINTS)]


def nodes(value, found=None):
    found = [] if found is None else found
    for key in value if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], (dict, list)):
            nodes(value[key], found)
    return found


def mutate(r, body):
    body = copy.deepcopy(body)
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        all_ = nodes(body)
        if not all_:
            break
        holder, key = r.choice(all_)
        what = r.randrange(5)
        if what == 0:
            del holder[key]
        elif what == 1:
            other, k = r.choice(all_)
            holder[key] = copy.deepcopy(other[k]) if k in other or isinstance(other, list) and k < len(other) else None
        elif what == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif what == 2:
            holder[str(key) + r.choice(("x", "_x", "/"))] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(r.choice(VALUES))
    return body


def resolves(body, pointer):
    """Points at a member of the body, or at one missing from an object of it."""
    here = body
    parts = pointer.split("/")[1:]
    for i, part in enumerate(parts):
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, list):
            if not part.isdigit() or int(part) >= len(here):
                return False
            here = here[int(part)]
        elif isinstance(here, dict):
            if part not in here:
                return i == len(parts) - 1
            here = here[part]
        else:
            return False
    return True


with tap.run():
    r = random.Random(util.seed())
    model = fp_model.Model()
    accepted = refused = 0
    bad = []
    for i in range(ROUNDS):
        kind, sample = r.choice(SAMPLES)
        base = sample
        if r.random() < 0.4:  # the other shapes of the same: a response, the stored row, Envoy's
            a = model.parse(kind, sample)
            base = r.choice([a["response"], {"name": "n", "envoy": a["elements"][0]}])
        body = mutate(r, base)
        a = model.parse(kind, body)
        if a["ok"]:
            accepted += 1
            b, c = model.parse(kind, a["response"]), model.stored(kind, a)
            if not (b["ok"] and b["hash"] == a["hash"] and b["configuration"] == a["configuration"]):
                bad.append(("response", kind, body, b.get("problems")))
            if not (c["ok"] and c["hash"] == a["hash"] and c["configuration"] == a["configuration"]):
                bad.append(("stored", kind, body, c.get("problems")))
        else:
            refused += 1
            lost = [p for p in a["problems"] if not resolves(body, p[0])]
            if lost:
                bad.append(("pointer", kind, body, lost))
            if [p for p in a["problems"] if p[0] == "" and "Envoy message" in p[2]]:
                bad.append(("left to the encoder", kind, body, a["problems"]))
    tap.is_(bad[:3], [], "accepted bodies are stable, problems point into the body")
    tap.ok(accepted > ROUNDS / 20, f"{accepted} accepted")
    tap.ok(refused > ROUNDS / 20, f"{refused} refused")
    tap.is_(model.close(), 0, "the model ends well")
