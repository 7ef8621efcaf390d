#!/usr/bin/env python3
"""Every file of good/ passes -t, prints back with -T and loads again to the same values; every file of
bad/ fails with the one message its first line expects: `# expect [LINE: ]TEXT` (contract §12.1)."""
import pathlib
import re

import fp_conf
import fp_tap as tap

HERE = pathlib.Path(__file__).parent


def values(text):
    """{directive: value} of -T."""
    out = {}
    for line in text.splitlines():
        m = re.match(r"^\s*(?:# )?\w+ = (.*);  # ([\w.]+): .*, class ([LWR])$", line)
        if m:
            out[m.group(2)] = m.group(1)
    return out


with tap.run():
    for path in sorted((HERE / "good").glob("*.conf")):
        r = fp_conf.run("-t", "-c", path)
        tap.is_(r.returncode, 0, f"good/{path.name}: accepted") or tap.diag(r.stderr)
        tap.like(r.stderr, r"test is successful\n$", f"good/{path.name}: says so")
        first = fp_conf.run("-T", "-c", path)
        back = fp_conf.tmp() / f"back-{path.name}"
        back.write_text(first.stdout)
        second = fp_conf.run("-T", "-c", back, env=fp_conf.masked_env(first.stdout))
        tap.is_(values(second.stdout), values(first.stdout), f"good/{path.name}: round trip") or tap.diag(second.stderr)
        tap.ok(len(values(first.stdout)) > 90, f"good/{path.name}: every directive is printed")
    for path in sorted((HERE / "bad").glob("*.conf")):
        expect = path.read_text().splitlines()[0].removeprefix("# expect ").replace("@DIR@", str(path.parent))
        m = re.match(r"(\d+): (.*)", expect)
        if m:
            expect = m.group(2)
        r = fp_conf.run("-t", "-c", path)
        tap.is_(r.returncode, 1, f"bad/{path.name}: refused")
        hits = [line for line in r.stderr.splitlines() if expect in line]
        tap.ok(len(hits) == 1, f"bad/{path.name}: {expect}", r.stderr)
        if m and hits:
            tap.like(hits[0], rf"^[^:]*:{m.group(1)}: ", f"bad/{path.name}: at line {m.group(1)}")
        tap.like(r.stderr, r"test failed\n$", f"bad/{path.name}: says so")
        errors = [line for line in r.stderr.splitlines() if not line.startswith(("warning: ", "note: "))]
        tap.is_(len(errors), 2 if path.stem != "file_missing" else 3, f"bad/{path.name}: one error") or tap.diag(r.stderr)
