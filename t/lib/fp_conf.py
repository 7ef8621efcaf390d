"""The program's command line for tests of the configuration: a clean environment, no default files."""
import os
import re
import subprocess

import fp_util as util

PROGRAM = util.OBJS / "flowplane"
tmp = util.tmp


def run(*args, env=None, cwd=None, timeout=0):
    clean = {k: v for k, v in os.environ.items()
             if not k.startswith(("FLOWPLANE_", "DATABASE_", "RUST_LOG", "BOOTSTRAP_", "KUBERNETES", "PG"))}
    clean.update(env or {})
    return subprocess.run([str(PROGRAM), *map(str, args)], capture_output=True, text=True, env=clean, cwd=cwd,
                          stdin=subprocess.DEVNULL, timeout=util.patience(timeout))


def conf(text, name="test.conf"):
    path = tmp() / name
    path.write_text(text)
    return path


def masked_env(printed):
    """What -T leaves out because it is secret: the database's URLs."""
    env = {}
    for name, variable in (("database.url", "DATABASE_URL"),
                           ("database.listen_url", "FLOWPLANE_DATABASE_LISTEN_URL")):
        m = re.search(rf'# url = "(.*)";  # {re.escape(name)}: ', printed)
        if m:
            env[variable] = m.group(1)
    return env


def value(printed, name):
    """The value of a directive in -T's output, and its origin."""
    m = re.search(rf"^\s*(?:# )?\w+ = (.*);  # {re.escape(name)}: (.*), class ([LWR])$", printed, re.M)
    return (m.group(1), m.group(2)) if m else (None, None)
