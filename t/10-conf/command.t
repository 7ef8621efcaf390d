#!/usr/bin/env python3
"""The command line (contract §13.1): options, exit codes, -g, -V, -s without a server; TLS files under -t."""
import os
import re

import fp_conf
import fp_tap as tap
import fp_util as util
from fp_conf import conf, run, value

PLAIN = "database : { embedded = true; };\n"

with tap.run():
    r = run("-v")
    tap.is_(r.returncode, 0, "-v")
    tap.like(r.stdout, r"^flowplane \d+\.\d+\.\d+\n$", "-v prints the version alone")
    r = run("-V")
    tap.is_(r.returncode, 0, "-V")
    tap.like(r.stdout, r"^flowplane \d.*compiler: .*configure: ", "-V prints the build")
    r = run("-h")
    tap.is_(r.returncode, 0, "-h")
    tap.like(r.stdout, "^Usage: flowplane", "-h prints help")
    for args in (("-x",), ("-c",), ("extra",), ("-s", "kill")):
        r = run(*args)
        tap.is_(r.returncode, 2, f"{' '.join(args)}: bad usage")
        tap.is_(r.stdout, "", f"{' '.join(args)}: nothing on stdout")
    path = conf(PLAIN)
    r = run("-t", "-c", path)
    tap.is_((r.returncode, r.stdout), (0, ""), "-t")
    tap.contains(r.stderr, f"flowplane: configuration {path} test is successful", "-t: success is told")
    for args in (("-t", "-c", "/nonexistent/x.conf"), ("-t", "-c", "/"), ("-c", "/nonexistent/x.conf")):
        r = run(*args)
        tap.is_(r.returncode, 1, f"{' '.join(args)}: fails")
        tap.contains(r.stderr, f"cannot read {args[-1]}: ", "with the path")
    # -g
    for text, name, want in (("api.port = 18080", "api.port", "18080"), ("api.port=18081;", "api.port", "18081"),
                             ("api.port : 18082", "api.port", "18082"),
                             ('process.instance_id = "a = b"', "process.instance_id", '"a = b"'),
                             ("process.instance_id = plain", "process.instance_id", '"plain"'),
                             ('xds.bind_address = ["::1", "127.0.0.1"]', "xds.bind_address", '[ "::1", "127.0.0.1" ]'),
                             ("xds.bind_address = ::1,127.0.0.1", "xds.bind_address", '[ "::1", "127.0.0.1" ]'),
                             ("xds.keepalive_time = 45", "xds.keepalive_time", '"45s"'),
                             ("xds.keepalive_time = 2m", "xds.keepalive_time", '"2m"'),
                             ("api.gzip = no", "api.gzip", "false")):
        r = run("-T", "-c", path, "-g", text)
        tap.is_(value(r.stdout, name), (want, "command line"), f"-g {text}") or tap.diag(r.stderr)
    r = run("-T", "-c", path, "-g", "api.port = 1", "-g", "api.port = 2")
    tap.is_(value(r.stdout, "api.port")[0], "2", "-g: the last one wins")
    for text, why in (("api.prot = 1", 'command line: unknown directive "api.prot"; did you mean "api.port"?'),
                      ("api.port = x", "command line: api.port must be an integer"),
                      ("api.port", "command line: -g needs 'directive = value'"),
                      ('api.port = "1', "command line: api.port: syntax error"),
                      ("api.port = 99999999999999999999", "command line: api.port is out of range")):
        r = run("-t", "-c", path, "-g", text)
        tap.is_(r.returncode, 1, f"-g {text}: refused")
        tap.contains(r.stderr, why, f"-g {text}: {why}")
    # what flowplane.conf(5) gives as a default can be written like that, and is it
    manual = (util.OBJS / "man" / "flowplane.conf.5").read_text().replace("\n", " ").replace("\\(dq", '"').replace("\\-", "-")
    defaults = re.findall(r"\.It Ic (\S+) (?:(?!\.It ).)* default ([^;]*); class", manual)
    tap.ok(len(defaults) > 80, "the manual has the defaults", len(defaults))
    written = [(name, what) for name, what in defaults  # the user may not exist here
               if what not in ("unset", "empty") and name not in ("process.user", "process.group")]
    own = conf('database : { url = "postgresql:///x"; };\n', "own.conf")
    usual = run("-T", "-c", own).stdout
    for i in range(0, len(written), 30):
        r = run("-T", "-c", own, *(a for d in written[i:i + 30] for a in ("-g", " = ".join(d))))
        tap.is_((r.returncode, r.stderr.count("command line")), (0, 0), f"defaults of the manual from {written[i][0]}") or tap.diag(r.stderr)
        for name, what in written[i:i + 30]:
            tap.is_(value(r.stdout, name), (value(usual, name)[0], "command line"), f"manual: {name} = {what}")
    # a feature of a later version says so
    r = run("-t", "-c", conf(PLAIN + "xds : { advertised_address = \"cp.example.test:50051\"; };\n", "later.conf"))
    tap.is_(r.returncode, 0, "a directive whose feature comes later is accepted")
    tap.like(r.stderr, r"warning: .*later\.conf:2: xds\.advertised_address is accepted, but its feature is not in this version", "and says so")
    # -s without a server
    run_dir = fp_conf.tmp() / "run"
    run_dir.mkdir()
    idle = conf(f'process : {{ runtime_dir = "{run_dir}"; }};\n', "idle.conf")
    for sig in ("stop", "quit", "reload", "reopen"):
        r = run("-s", sig, "-c", idle)
        tap.is_(r.returncode, 3, f"-s {sig}: none is running") or tap.diag(r.stderr)
    (run_dir / "flowplane.pid").write_text(f"{os.getpid()}\n")
    r = run("-s", "stop", "-c", idle)
    tap.is_(r.returncode, 3, "-s: a stale pid file is not believed")
    bad = conf("api : { port = 0; };\n", "bad.conf")
    r = run("-s", "reload", "-c", bad)
    tap.is_(r.returncode, 1, "-s reload: checks first")
    tap.contains(r.stderr, "nothing was sent", "-s reload: says that nothing was sent")
    # files
    secret = conf("postgresql:///x\n", "url")
    secret.chmod(0o640)
    r = run("-t", "-c", conf(f'database : {{ url_file = "{secret}"; }};\n', "url_file.conf"))
    tap.is_(r.returncode, 1, "url_file readable by others: refused")
    tap.contains(r.stderr, "has mode 0640, must be 0600 or stricter", "with its mode")
    secret.chmod(0o600)
    r = run("-t", "-c", conf(f'database : {{ url_file = "{secret}"; }};\n', "url_file.conf"))
    tap.is_(r.returncode, 0, "url_file 0600") or tap.diag(r.stderr)
    secret.write_text("mysql:///x\n")
    r = run("-t", "-c", conf(f'database : {{ url_file = "{secret}"; }};\n', "url_file.conf"))
    tap.contains(r.stderr, "database.url_file holds no postgresql:// URL", "url_file with another scheme")
    pem = conf("not a certificate\n", "x.pem")
    r = run("-t", "-c", conf(PLAIN + f'xds : {{ tls : {{ cert_path = "{pem}"; key_path = "{pem}"; }}; }};\n', "tls.conf"))
    tap.is_(r.returncode, 1, "-t: a certificate that is none is refused")
    tap.contains(r.stderr, str(pem), "with its path")
    # --dev
    if os.geteuid() == 0:
        r = run("--dev", cwd=fp_conf.tmp())
        tap.is_(r.returncode, 1, "--dev refuses root")
        tap.contains(r.stderr, "--dev does not run as root", "and says so")
    r = run("-T", "--dev", "-c", conf(""), cwd=fp_conf.tmp())
    tap.is_(value(r.stdout, "database.embedded")[0], "true", "--dev: embedded PostgreSQL") or tap.diag(r.stderr)
    tap.is_(value(r.stdout, "xds.bind_address")[0], '[ "127.0.0.1" ]', "--dev: loopback")
    tap.is_(value(r.stdout, "process.state_dir")[0], f'"{fp_conf.tmp()}/run/state"', "--dev: below ./run")
