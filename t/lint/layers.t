#!/usr/bin/env python3
"""The laws of the rooms (design.md §3): who may include whom, who alone may use what."""
import pathlib
import re

import fp_tap as tap

# What only these rooms may use; the pattern meets code without comments and strings.  `main` is the
# program's face and may write to stderr.
ALONE = [
    (r"\b(malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf|getline|alloca)\s*\(",
     {"core"}, "memory"),
    (r"\bstderr\b", {"core", "main", "ctl"}, "stderr"),
    (r"<sys/epoll\.h>|\bepoll_\w+\s*\(", {"event"}, "epoll"),
    (r"\b(v?fork|clone3?|posix_spawnp?|exec(v|ve|vp|l|lp|le))\s*\(", {"os"}, "processes"),
    (r"\bmemfd_create\s*\(", {"os"}, "memfd"),
    (r"\bset(e|re|res|fs)?[ug]id\s*\(|\b(set|init)groups\s*\(", {"os"}, "identity"),
    (r"<seccomp\.h>|<linux/(seccomp|landlock)\.h>|\bSYS_landlock\w+|\bprctl\s*\(", {"os"}, "sandbox"),
    (r"<libpq-fe\.h>|<libpq/", {"store"}, "libpq"),
    (r"<nghttp2/", {"http"}, "nghttp2"),
    (r"<openssl/(ssl|x509\w*|bio|pem)\.h>", {"tls"}, "TLS"),
    (r"<openssl/(evp|sha|hmac|crypto)\.h>", {"codec", "tls"}, "hashes"),
    (r"<protobuf-c/", {"pb"}, "protobuf-c"),
    (r"\.pb-c\.h\"", {"pb", "xds", "grpc"}, "generated messages"),
    (r"<libconfig\.h>", {"conf"}, "libconfig"),
    (r"<yaml\.h>|<zlib\.h>|<pcre2\.h>", {"codec"}, "YAML, zlib, PCRE2"),
    (r"\bjson_set_alloc_funcs2?\s*\(", {"codec"}, "jansson's allocator"),
    (r"<assert\.h>", set(), "assert(3); FP_ASSERT stays on in production"),
    (r"\b(sleep|usleep|nanosleep)\s*\(", set(), "sleeping"),
    (r"\b(system|popen|strcpy|strcat|sprintf|gets|strtok|atoi|atol)\s*\(", set(), "what nobody should"),
]
# design.md §3: what must hold whatever the table says, directly or through another room.
LAWS = [("api", {"xds"}), ("xds", {"store", "model"}), ("master", {"snap", "tls", "store", "http"}),
        ("model", {"store", "http", "event"})]


def read_layers():
    rooms, forbidden = {}, {}
    for line in pathlib.Path("auto/layers").read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        room, _, rest = line.partition(":")
        words = rest.split()
        rooms[room] = {w for w in words if not w.startswith("!")}
        forbidden[room] = {w[1:] for w in words if w.startswith("!")}
    return rooms, forbidden


def code_of(text):
    """Without comments; strings emptied, but for include lines."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    lines = []
    for line in text.split("\n"):
        if not re.match(r"\s*#\s*include", line):
            line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
        lines.append(line)
    return "\n".join(lines)


def closure(rooms, room):
    seen, todo = set(), [room]
    while todo:
        for r in rooms.get(todo.pop(), ()):
            if r not in seen:
                seen.add(r)
                todo.append(r)
    return seen


def complaints(path, room, rooms, forbidden):
    code = code_of(path.read_text())
    basic = set() if room == "core" else {"core", "os"}
    for n, line in enumerate(code.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if m and "/" in m.group(1) and not m.group(1).endswith(".pb-c.h"):
            other = m.group(1).split("/")[0]
            if other != room and other not in basic | rooms[room]:
                yield f"{path}:{n}: {room} may not include {m.group(1)}"
            elif other != room and m.group(1).endswith("_int.h"):
                yield f"{path}:{n}: {m.group(1)} is private to {other}"
            elif m.group(1) in forbidden[room]:
                yield f"{path}:{n}: {room} may not include {m.group(1)}"
        for pattern, owners, what in ALONE:
            if room not in owners and re.search(pattern, line):
                yield f"{path}:{n}: {what}: only {', '.join(sorted(owners)) or 'nobody'}: {line.strip()}"


with tap.run():
    rooms, forbidden = read_layers()
    found = sorted(p for p in pathlib.Path("src").iterdir() if p.is_dir())
    for room in found:
        if not tap.ok(room.name in rooms, f"{room.name}: has a line in auto/layers"):
            continue
        bad = []
        for path in sorted(room.glob("*.[ch]")):
            bad += complaints(path, room.name, rooms, forbidden)
        tap.ok(not bad, f"{room.name}: includes and uses only what it may", "\n".join(bad))
    for room, never in LAWS:
        tap.is_(closure(rooms, room) & never, set(), f"{room} reaches none of {sorted(never)}")
