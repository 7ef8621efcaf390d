#!/usr/bin/env python3
"""Formatted as .clang-format says.  Versions differ in what they make of it: 14 is the one."""
import pathlib
import shutil
import subprocess

import fp_tap as tap

VERSION = "14."

with tap.run():
    program = shutil.which("clang-format-14") or shutil.which("clang-format")
    version = program and subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    if not program or f"version {VERSION}" not in version:
        tap.skip_all(f"clang-format {VERSION}x is not here")
    for top in ("src", "t"):
        for folder in sorted({p.parent for p in pathlib.Path(top).rglob("*.[ch]")}):
            bad = []
            for path in sorted(folder.glob("*.[ch]")):
                r = subprocess.run([program, "--dry-run", "-Werror", str(path)], capture_output=True, text=True)
                if r.returncode != 0:
                    bad.append(f"clang-format -i {path}")
            tap.ok(not bad, f"{folder}: formatted", "\n".join(bad))
