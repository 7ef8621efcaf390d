#!/usr/bin/env python3
"""The build's front doors: configure's messages, the stale-proof makefile, install and uninstall."""
import os
import pathlib
import re
import shutil
import subprocess

import fp_tap as tap
from fp_util import OBJS, tmp

# not the options of the make that runs us
ENV = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def run(*argv, **env):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, env={**ENV, **env},
                          stdin=subprocess.DEVNULL)


def make(*argv):
    makefile = "Makefile" if OBJS.name == "objs" else OBJS / "Makefile"
    return run("make", "-s", "-f", makefile, *argv)


def configure():
    there = tmp() / "o"
    r = run("sh", "./configure", "--wiht-debug")
    tap.is_(r.returncode, 1, "an unknown option is an error")
    tap.like(r.stderr, "unknown option", "which says so")
    r = run("sh", "./configure", "--prefix=here")
    tap.like(r.stderr, "absolute path", "directories are absolute")
    r = run("sh", "./configure", f"--builddir={there}", PKG_CONFIG_LIBDIR="/nonexistent", PKG_CONFIG_PATH="")
    tap.is_(r.returncode, 1, "missing libraries are an error")
    for library, debian, fedora in (("jansson", "libjansson-dev", "jansson-devel"),
                                    ("libpq", "libpq-dev", "libpq-devel"),
                                    ("nghttp2", "libnghttp2-dev", "libnghttp2-devel")):
        tap.like(r.stderr, rf"{library} .*Debian: {debian} +Fedora: {fedora}", f"{library}: its packages are named")
    tap.ok((there / "autoconf.err").exists(), "probes are logged")
    r = run("sh", "./configure", f"--builddir={there}", "CC=/nonexistent/cc", PKG_CONFIG_LIBDIR="/nonexistent", PKG_CONFIG_PATH="")
    tap.like(r.stderr, r"(?s)/nonexistent/cc +Debian: gcc .*jansson .*Debian: libjansson-dev", "without a compiler too all is named")

    r = run("sh", "./configure", f"--builddir={there}", "--prefix=/opt/fp", "--pid-path=/x/y.pid", "--with-debug",
            "CFLAGS=-g -O1 -DX=1")
    tap.is_(r.returncode, 0, "configure into another directory")
    config = (there / "fp_config.h").read_text()
    for macro, value in (("FP_CONF_PATH", "/opt/fp/etc/flowplane/flowplane.conf"), ("FP_PID_PATH", "/x/y.pid"),
                         ("FP_STATE_DIR", "/opt/fp/var/lib/flowplane"), ("FP_PREFIX_SHARE", "/opt/fp/share/flowplane")):
        tap.like(config, f'#define {macro} "{value}"\n', macro)
    tap.like(config, r"#define FP_CONFIGURE_ARGS \".*'CFLAGS=-g -O1 -DX=1'", "the arguments are kept, quoted")
    r = run("make", "-n", "-f", there / "Makefile", f"{there}/flowplane")
    tap.like(r.stdout, "-DX=1", "CFLAGS reach the compiler")
    r = run("sh", "./configure", f"--builddir={there}", "--prefix=/usr")
    config = (there / "fp_config.h").read_text()
    tap.like(config, r'FP_CONF_PATH "/etc/flowplane/flowplane.conf"', "/usr has its configuration in /etc")
    tap.like(config, r'FP_RUNTIME_DIR "/run/flowplane"', "and runs in /run")


def migrations():
    sql = tmp() / "sql"
    sql.mkdir()
    text = "SELECT '\\\"??/' || $$\ttab$$;\n-- last\n"
    (sql / "0001_first.sql").write_text(text)
    (sql / "0012_more_things.sql").write_text("SELECT 1;\n")
    r = run("sh", "auto/gen_migrations", sql / "0001_first.sql", sql / "0012_more_things.sql")
    program = tmp() / "m.c"
    program.write_text(r.stdout + '\n#include <stdio.h>\n#include <string.h>\nint main(void) {\n'
                       'for (size_t i = 0; i < fp_sql_migrations_n; i++)\n'
                       'printf("%d %s %d|", fp_sql_migrations[i].version, fp_sql_migrations[i].name,'
                       ' strlen(fp_sql_migrations[i].text) == fp_sql_migrations[i].text_bytes);\n'
                       'fputs(fp_sql_migrations[0].text, stdout); return 0; }\n')
    r = run("cc", "-std=c11", "-Isrc", "-o", tmp() / "m", program)
    tap.is_(r.returncode, 0, "migrations: the generated table compiles") or tap.diag(r.stderr)
    tap.is_(run(tmp() / "m").stdout, "1 first 1|12 more_things 1|" + text, "migrations: text, number and name survive")


def install():
    stage = tmp() / "stage"
    r = make("install", f"DESTDIR={stage}")
    if not tap.is_(r.returncode, 0, "make install DESTDIR="):
        tap.diag(r.stderr)
        return
    made = {str(p.relative_to(stage)) for p in stage.rglob("*") if not p.is_dir()}
    for end in ("sbin/flowplane", "bin/flowplanectl", "flowplane/flowplane.conf", "flowplane/flowplane.conf.default",
                "man8/flowplane.8", "man8/flowplanectl.8", "man5/flowplane.conf.5", "/LICENSE"):
        tap.ok(any(m.endswith(end) for m in made), f"installs {end}")
    for manual in stage.rglob("*.[58]"):
        tap.unlike(manual.read_text(), "@[A-Z]+@", f"{manual.name}: nothing is left to be filled in")
    conf = next(stage.rglob("flowplane.conf"))
    conf.write_text("# mine\n")
    make("install", f"DESTDIR={stage}")
    tap.is_(conf.read_text(), "# mine\n", "an edited configuration survives an upgrade")
    r = make("uninstall", f"DESTDIR={stage}")
    left = [str(p) for p in stage.rglob("*") if not p.is_dir()]
    tap.is_(left, [str(conf)], "uninstall leaves what the operator wrote, nothing else")


def suites():
    """A part of the suites alone, from nothing: what it needs is made first."""
    there = tmp() / "suites"
    run("sh", "./configure", f"--builddir={there}")
    parts = {p.name[3:] for p in pathlib.Path("t").glob("[0-9][0-9]-*")} | {"root"}
    told = " ".join(run("make", "-s", "-f", there / "Makefile", "help").stdout.split())
    named = re.search(r"check-\{([^}]*)\}", told)
    tap.is_({n.strip() for n in named.group(1).split(",")} | {"issues"}, parts, "make help names a target for each suite")
    for part in sorted(parts - {"issues"}):
        r = run("make", "-n", "V=1", "-f", there / "Makefile", f"check-{part}")
        tap.like(r.stdout, rf"prove .*t/[0-9][0-9]-{part}\b|no tests", f"make check-{part} runs it")
        if part not in ("unit", "fuzz"):
            tap.contains(r.stdout, f"{there}/t/lib/xds_serve", f"make check-{part} makes the test servers first")


def front_doors():
    for script in ("auto/check", "auto/quickstart", "auto/need", "auto/configure", "t/lib/run.sh"):
        shell = shutil.which("dash") or "sh"
        tap.is_(run(shell, "-n", script).stderr, "", f"{script}: POSIX syntax")
    r = run("sh", "auto/quickstart", "--help")
    tap.like(r.stdout, "--no-envoy.*--check", "quickstart --help")
    r = run("sh", "auto/quickstart", "--chekc")
    tap.is_(r.returncode, 2, "quickstart: bad usage")
    bare = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp()), "XDG_CACHE_HOME": "", "FP_ENVOY": ""}
    if not shutil.which("envoy", path=bare["PATH"]):
        r = run("sh", "auto/quickstart", f"--dir={tmp()}/run", **bare)
        tap.is_(r.returncode, 1, "quickstart without -y and without a terminal: installs nothing unasked, Envoy neither")
        tap.like(r.stdout + r.stderr, "Envoy.*(not asked|install first)", "and says so")
        tap.ok(not (tmp() / ".cache").exists() and not (tmp() / "run").exists(), "nothing was made")
    before = sorted(p.name for p in pathlib.Path(".").iterdir())
    run("sh", "auto/quickstart", "--check")
    tap.is_(sorted(p.name for p in pathlib.Path(".").iterdir()), before, "quickstart --check changes nothing")


with tap.run():
    configure()
    migrations()
    install()
    suites()
    front_doors()
