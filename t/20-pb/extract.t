#!/usr/bin/env python3
"""flowplanectl descriptors: what it finds inside an Envoy is what Python finds, in an order that can be loaded."""
import json
import pathlib
import re
import subprocess

import fp_tap as tap
import fp_util as util

try:
    import fp_protos as protos
except ImportError as e:
    tap.skip_all(f"needs the Python package protobuf: {e}")

CTL = util.OBJS / "flowplanectl"


def ctl(*args):
    r = subprocess.run([CTL, *map(str, args)], capture_output=True, text=True, timeout=util.patience())
    return r.returncode, r.stdout, r.stderr


def a_file(name, *imports, message="M", package=""):
    f = protos.descriptor_pb2.FileDescriptorProto(name=name, package=package, dependency=imports, syntax="proto3")
    f.message_type.add(name=message)
    return f.SerializeToString()


def program_of(*parts):
    """A program with these bytes between others."""
    path = util.tmp() / "program"
    path.write_bytes(b"\x7fELF" + b"\0".join(parts) + b"\0\x0a\x07a.proto\x0a\xff")
    return path


def command_line():
    code, out, _ = ctl("--help")
    tap.is_(code, 0, "--help")
    commands = re.findall(r"^  ([a-z]+(?: [a-z]+)?)(?=$| [\[-])", out, re.M)
    tap.is_(commands, ["descriptors extract", "descriptors show", "audit verify", "tokens bootstrap", "version", "help"], "it lists the commands")
    tap.is_(ctl("help")[1], out, "help is the same")
    version = ctl("--version")
    tap.ok(version[0] == 0 and version[1].startswith("flowplanectl "), "--version", version)
    tap.is_(json.loads(ctl("version", "--json")[1])["version"], version[1].split()[1], "version as JSON")
    for args, what in [((), "no command"), (("descriptors",), 'no command "descriptors"'), (("frobnicate", "x"), 'no command "frobnicate x"'),
                       (("--frob",), "unrecognized option"), (("-o", "xml", "version"), 'no format "xml"'),
                       (("descriptors", "extract", "--envoy", "x"), "extract needs --output"),
                       (("descriptors", "show", "a", "b"), 'unexpected argument "b"'),
                       (("version", "--envoy", "x"), "version takes no --envoy"),
                       (("descriptors", "show", "-c", "x", "y"), "a file or -c, not both")]:
        code, out, err = ctl(*args)
        tap.ok(code == 2 and out == "" and what in err, f"usage: {what}", (code, err))
    code, out, err = ctl("descriptors", "show", "/no/such", "--json")
    tap.is_((code, json.loads(err)), (1, {"error": "failed", "message": "/no/such: No such file or directory", "details": [],
                                          "exitCode": 1}), "an error as JSON")
    manual = pathlib.Path("man/flowplanectl.8.in").read_text()
    words = manual.replace("\\-", "-")
    missing = [c for c in commands if f".It Ic {c}" not in words] + \
        [o for o in ("o", "-json", "-quiet", "-version", "-help", "-envoy", "-output", "-database-url", "c") if f"Fl {o}" not in words]
    tap.is_(missing, [], "all of it is in the manual")


def programs():
    out = util.tmp() / "out.pb"

    def extract(path):
        return ctl("descriptors", "extract", "--envoy", path, "--output", out)

    tap.is_(extract("/no/such")[0::2], (1, "flowplanectl: /no/such: No such file or directory\n"), "no program")
    tap.is_(extract(util.tmp())[0], 1, "a directory")
    script = util.tmp() / "script"
    script.write_text("#!/bin/sh\nexec envoy # a.proto\n")
    code, _, err = extract(script)
    tap.ok(code == 1 and "no descriptors in it" in err, "a script", err)
    code, _, err = extract(program_of(a_file("a.proto")))
    tap.ok(code == 1 and "not an Envoy" in err, "a program with other descriptors", err)
    code, _, err = extract(program_of(a_file("a.proto"), a_file("b.proto")))
    tap.ok(code == 1 and "M is defined twice" in err, "descriptors that do not go together", err)
    tap.ok(not out.exists(), "nothing was written")
    listener = a_file("l.proto", "z.proto", message="Listener", package="envoy.config.listener.v3")
    cut = a_file("z.proto", message="Z")[:-4]
    code, _, err = extract(program_of(listener, a_file("b.proto", "gone.proto"), cut, a_file("z.proto", message="Z"),
                                      a_file("c.proto", "d.proto"), a_file("d.proto", "c.proto")))
    tap.is_(code, 0, "a small one")
    tap.ok("3 files left out: b.proto imports gone.proto" in err, "files are left out when an import is not there, or is a circle", err)
    made = protos.descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    tap.is_([f.name for f in made.file], ["z.proto", "l.proto"], "imports come first; the longest of one name wins")
    code, _, err = ctl("descriptors", "extract", "--envoy", util.tmp() / "program", "--output", "/no/such/dir/x")
    tap.is_((code, err.strip()), (1, "flowplanectl: /no/such/dir/x: No such file or directory"), "nowhere to write")


def real(binary):
    out = util.tmp() / "envoy.pb"
    code, stdout, err = ctl("descriptors", "extract", "--envoy", binary, "--output", out)
    tap.is_((code, stdout), (0, ""), "extracted")
    made = protos.descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    theirs = protos.envoy_set(binary)
    tap.ok(f"{len(theirs.file)} files" in err, "how many is told", err)
    tap.is_({f.name: f.SerializeToString() for f in made.file} == {f.name: f.SerializeToString() for f in theirs.file}, True,
            f"all {len(theirs.file)} files, byte for byte")
    seen, early = set(), []
    for f in made.file:
        early += [d for d in f.dependency if d not in seen]
        seen.add(f.name)
    tap.is_(early, [], "each after what it imports")
    before = out.read_bytes()
    tap.is_(ctl("--quiet", "descriptors", "extract", "--envoy", binary, "--output", out), (0, "", ""), "--quiet")
    tap.is_(out.read_bytes() == before, True, "the same again")

    shown = json.loads(ctl("descriptors", "show", out, "--json")[1])
    fields = sum(len(m.field) for kind, m in protos.flatten(theirs).values() if kind == "message")
    tap.is_((shown["source"], shown["fields"], [f["name"] for f in shown["files"]]), (str(out), fields, [f.name for f in made.file]),
            "shown")
    tap.ok(shown["rules"] > 1500, f"{shown['rules']} validate rules")
    conf = util.tmp() / "flowplane.conf"
    conf.write_text(f'xds : {{ descriptor_set = "{out}"; }};\n')
    tap.is_(json.loads(ctl("descriptors", "show", "-c", conf, "--json")[1]), shown, "the one a configuration names")
    conf.write_text("")
    tap.is_(json.loads(ctl("descriptors", "show", "-c", conf, "-o", "json")[1])["source"], "built-in", "else the built-in one")
    tap.ok("source: built-in" in ctl("descriptors", "show", "-c", conf, "-o", "yaml")[1], "as YAML")
    last = ctl("descriptors", "show", out)[1].splitlines()[-1]
    tap.ok(f"{len(theirs.file)} files" in last and f"{fields} fields" in last, "as a table", last)


with tap.run():
    command_line()
    programs()
    binary = protos.envoy_binary()
    if binary is None:
        tap.skip("no Envoy binary", 12)
    else:
        real(binary)
