#!/usr/bin/env python3
"""Each room has its page, each source its head, the top level nothing else, manuals are clean."""
import os
import pathlib
import re
import shutil
import subprocess

import fp_tap as tap

PAGE_LINES, HEAD_LINES = 70, 12
TOP = {"auto", "conf", "src", "proto", "sql", "t", "man", "packaging", "Makefile.in", "configure",
       "README.md", "LICENSE"}


def head_complaint(path):
    lines = path.read_text().split("\n")
    if not lines[0].startswith("/*"):
        return f"{path}: no head comment"
    for n, line in enumerate(lines, 1):
        if line.rstrip().endswith("*/"):
            return f"{path}: the head has {n} lines, more than {HEAD_LINES}" if n > HEAD_LINES + 2 else None
    return f"{path}: the head never ends"


def tracked():
    if shutil.which("git") and pathlib.Path(".git").exists():
        r = subprocess.run(["git", "ls-files"], capture_output=True, text=True)
        if r.returncode == 0 and r.stdout:
            return {line.split("/")[0] for line in r.stdout.splitlines()}
    return {p.name for p in pathlib.Path(".").iterdir() if not re.match(r"Makefile$|run$|objs", p.name)}


with tap.run():
    extra = {name for name in tracked() if not name.startswith(".")} - TOP
    tap.is_(extra, set(), "nothing else at the top level")
    for room in sorted(p for p in pathlib.Path("src").iterdir() if p.is_dir() and list(p.glob("*.c"))):
        page = room / "README.md"
        if tap.ok(page.exists(), f"{room.name}: has a README.md"):
            n = page.read_text().count("\n")
            tap.ok(n <= PAGE_LINES, f"{room.name}: README.md is a page", f"{n} lines")
        bad = [c for c in map(head_complaint, sorted(room.glob("*.[ch]"))) if c]
        tap.ok(not bad, f"{room.name}: heads", "\n".join(bad))
    for page in sorted([pathlib.Path("README.md"), *pathlib.Path("src").rglob("*.md"), *pathlib.Path("t").rglob("*.md")]):
        if not page.exists():
            continue
        links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)[^)]*\)", page.read_text())
        bad = [link for link in links if not (page.parent / link).exists()]
        tap.is_(bad, [], f"{page}: links lead somewhere")
    manuals = sorted(pathlib.Path(os.environ.get("FP_OBJS", "objs"), "man").glob("*.[1-8]"))
    if manuals and not shutil.which("mandoc"):
        tap.ok(os.environ.get("CI") != "true", "mandoc is here to check the manuals")
    elif manuals:
        for manual in manuals:
            r = subprocess.run(["mandoc", "-T", "lint", str(manual)], capture_output=True, text=True)
            # what is installed on this machine is no property of the page
            bad = [line for line in r.stdout.splitlines() if "referenced manual not found" not in line]
            tap.is_(bad, [], f"{manual.name}: mandoc -T lint")
