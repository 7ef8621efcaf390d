#!/usr/bin/env python3
"""Sizes (design.md §8): 900 lines a file, 120 a function; nesting beyond 4 is reported."""
import pathlib
import re

import fp_tap as tap

FILE_LINES, FUNCTION_LINES, NESTING = 900, 120, 4


def functions(lines):
    """(first line, last line, name, deepest nesting); the format puts a function's braces in column 0."""
    start = name = None
    depth = deepest = 0
    for n, line in enumerate(lines, 1):
        if line == "{":
            start, depth, deepest = n, 0, 0
            head = "\n".join(lines[max(0, n - 8):n - 1])
            names = re.findall(r"(\w+)\s*\(", head)
            name = names and [x for x in re.findall(r"^[^\s#/*}].*?(\w+)\(", head, re.M)][-1:]
            name = name[0] if name else "?"
        elif line.startswith("}") and start is not None:
            yield start, n, name, deepest
            start = None
        elif start is not None:
            code = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'|/\*.*?\*/|//.*', "", line)
            # a switch's braces nest no logic of their own
            depth += code.count("{") - code.count("}")
            deepest = max(deepest, depth)


with tap.run():
    for path in sorted(pathlib.Path("src").glob("*/*.[ch]")):
        lines = path.read_text().split("\n")
        bad = []
        if len(lines) - 1 > FILE_LINES:
            bad.append(f"{path}: {len(lines) - 1} lines, more than {FILE_LINES}")
        for first, last, name, deepest in functions(lines):
            if last - first - 1 > FUNCTION_LINES:
                bad.append(f"{path}:{first}: {name} has {last - first - 1} lines, more than {FUNCTION_LINES}")
            if deepest > NESTING:
                tap.diag(f"{path}:{first}: {name} nests {deepest} deep")
        tap.ok(not bad, f"{path}: sizes", "\n".join(bad))
    for path in sorted([*pathlib.Path("t").rglob("*.[ch]"), *pathlib.Path("t").rglob("*.t"),
                        *pathlib.Path("t").rglob("*.py")]):
        n = path.read_text(errors="replace").count("\n")
        tap.ok(n <= FILE_LINES, f"{path}: at most {FILE_LINES} lines", f"{n} lines")
