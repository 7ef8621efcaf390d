#!/usr/bin/env python3
"""Each value of bodies that use every field (fp_model), of another type, and each object with a field too many: refused with the one
code (contract §2.4) at the one pointer."""
import json
import re

import fp_model
import fp_tap as tap

SAMPLES = [("cluster", fp_model.RICH_CLUSTER), ("route", fp_model.RICH_ROUTE), ("listener", fp_model.RICH_LISTENER),
           ("endpoint", fp_model.ENDPOINTS)]


def nodes(value, pointer=""):
    """(pointer, value) of all values below."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, v in items:
        at = f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
        yield at, v
        yield from nodes(v, at)


def at(body, pointer):
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


def changed(body, pointer, value):
    body = json.loads(json.dumps(body))  # the samples share parts
    holder, _, key = pointer.rpartition("/")
    key = key.replace("~1", "/").replace("~0", "~")
    holder = at(body, holder)
    holder[int(key) if isinstance(holder, list) else key] = value
    return body


# Where another value than a member of a fixed name is expected, and what another rule says of the same mistake.
MAPS = re.compile(r"/(typedPerFilterConfig|jsonFormat)$")
DISABLED = re.compile(r"/typedPerFilterConfig/envoy.filters.http.buffer$")  # of a filter we do not know: this alone is taken
BESIDE = {("/endpoints", "/dnsLookupFamily", "mutually_exclusive"), ("/clusters", "/totalWeight", "invalid_value")}


def check(kind, body, pointer, code):
    """Refused with this problem; another is only what BESIDE says."""
    r = model.parse(kind, body)
    rest = [tuple(p[:2]) for p in r.get("problems", [])]
    found = (pointer, code) in rest
    if found:
        rest.remove((pointer, code))
    rest = [(p, c) for p, c in rest if not any(part in pointer and p.endswith(end) and c == its for part, end, its in BESIDE)]
    if not found or rest:
        tap.ok(False, f"{kind} {pointer}: {code}", f"found: {found}, besides: {rest}")


with tap.run():
    model = fp_model.Model()
    n = 0
    for kind, sample in SAMPLES:
        for pointer, value in nodes(sample):
            wrong = 5 if isinstance(value, (str, dict, list)) else "x"
            if not isinstance(value, str) or not pointer.endswith("/typedConfig/maxConnections"):  # 64 bits: a string or a number
                check(kind, changed(sample, pointer, wrong), pointer, "invalid_type")
                n += 1
            if isinstance(value, dict):
                more = changed(sample, pointer, {**value, "zzz": 1})
                check(kind, more, *((pointer, "unsupported") if DISABLED.search(pointer) else
                                    (f"{pointer}/zzz", "invalid_type" if MAPS.search(pointer) else "unknown_field")))
                n += 1
    tap.ok(n > 500, f"{n} bodies")
    tap.is_(model.close(), 0, "the model ends well")
