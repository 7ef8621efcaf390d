#!/usr/bin/env python3
"""External names are fp_<room>_…; core, os, event and codec leave out their room (src/README.md).
What only the room's own files share, declared in a <room>_…_int.h, may be <room>_… without fp_."""
import os
import pathlib
import re
import subprocess

import fp_tap as tap

SHORT = {"core", "os", "event", "codec"}
# Nouns that are known by themselves, with the room they live in.
NOUNS = {"store": ("fp_follow_", "fp_sql_"), "conf": ("fp_child_",),
         "http": ("fp_http1_", "fp_http2_"),
         "obs": ("fp_page_", "fp_limit_", "fp_limits_", "fp_metric_", "fp_metrics_", "fp_status_",
                 "fp_span_", "fp_spans_", "fp_trace_", "fp_export_", "fp_commits_")}
objs = pathlib.Path(os.environ.get("FP_OBJS", "objs"))

with tap.run():
    rooms = sorted(p.name for p in pathlib.Path("src").iterdir() if p.is_dir())
    for room in rooms:
        objects = [str(objs / p.with_suffix(".o")) for p in sorted(pathlib.Path("src", room).glob("*.c"))
                   if (objs / p.with_suffix(".o")).exists()]
        if not objects:
            continue
        out = subprocess.run(["nm", "-g", "--defined-only", "-A", *objects], capture_output=True,
                             text=True, check=True).stdout
        private = set(re.findall(r"\w+", " ".join(
            p.read_text() for p in pathlib.Path("src", room).glob("*_int.h"))))
        bad = []
        for line in out.splitlines():
            where, _, symbol = line.rpartition(" ")
            file = where.split(":")[0].split("/")[-1]
            good = symbol.startswith(("fp_",) if room in SHORT
                                     else (f"fp_{room}_", *NOUNS.get(room, ())))
            good = good or (symbol.startswith(f"{room}_") and symbol in private)
            others = [r for r in rooms if r != room and symbol.startswith(f"fp_{r}_")]
            if not good and not (room in ("main", "ctl") and symbol == "main"):
                bad.append(f"{file}: {symbol}")
            elif others and not good:
                bad.append(f"{file}: {symbol} looks like one of {others[0]}")
        tap.ok(not bad, f"{room}: external names", "\n".join(bad))
