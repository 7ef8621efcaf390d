"""A temporary PostgreSQL: its own cluster in the test's directory, UNIX socket and TCP on a free port."""
import pathlib
import re
import signal
import subprocess

import fp_tap as tap
import fp_util as util


def bindir():
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"),
                     key=lambda p: -int(re.sub(r"\D", "", p.parent.name) or 0))
    folders += [pathlib.Path("/usr/pgsql-15/bin"), pathlib.Path("/usr/bin")]
    return pathlib.Path(util.find_program("initdb", None, folders)
                        if not _env() else _env() + "/initdb").resolve().parent


def _env():
    import os
    return os.environ.get("FP_PG_BINDIR", "")


class Postgres:
    count = 0

    def __init__(self, start=True, conf=None, database="flowplane"):
        Postgres.count += 1
        self.bin = bindir()
        self.dir = util.tmp() / f"pg{Postgres.count}"
        self.dir.mkdir()
        self.user = util.unprivileged()
        if self.user:
            import os
            os.chown(self.dir, *self.user)
        self.data, self.log = self.dir / "data", self.dir / "log"
        self.port = util.free_port()
        self.conf = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "16MB",
                     "dynamic_shared_memory_type": "mmap",  # kill -9 leaves nothing in /dev/shm
                     "max_connections": "100", "log_min_messages": "warning", **(conf or {})}
        self.process = None
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--no-locale", "--no-sync", "--no-instructions")
        # not kill -9: each would leave a System V segment behind, of which a system has 4096
        tap.at_end(lambda: self.stop(immediate=True))
        if start:
            self.start()
            self.createdb(database)
        self.database = database

    def _run(self, program, *args, **more):
        if self.user:
            more.update(user=self.user[0], group=self.user[1], extra_groups=[])
        r = subprocess.run([str(self.bin / program), *map(str, args)], capture_output=True, text=True,
                           cwd=self.dir, stdin=subprocess.DEVNULL, **more)
        if r.returncode != 0:
            raise RuntimeError(f"{program}: {r.stderr}{r.stdout}")
        return r.stdout

    def start(self, wait=True):
        argv = [self.bin / "postgres", "-D", self.data, "-p", self.port, "-k", self.dir,
                "-c", "listen_addresses=127.0.0.1"]
        for key, value in self.conf.items():
            argv += ["-c", f"{key}={value}"]
        self.process = util.spawn(argv, self.log, user=self.user, cwd=self.dir)
        if wait:
            util.wait_until(self.is_up, 30, "PostgreSQL answers")

    def is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError("postgres ended:\n" + self.log.read_text()[-3000:])
        return subprocess.run([str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                              stdin=subprocess.DEVNULL).returncode == 0

    def stop(self, immediate=False):
        """Fast: connections are cut, transactions roll back."""
        if self.process:
            util.stop_process(self.process, signal.SIGQUIT if immediate else signal.SIGINT)
            self.process = None

    def kill(self):
        """kill -9 of the postmaster; returns when its children, which notice, are gone too."""
        if self.process:
            left = util.descendants(self.process.pid)
            self.process.kill()
            self.process.wait()
            util.wait_until(lambda: not any(util.same_alive(p, s) for p, s in left.items()), 20,
                            "PostgreSQL's children are gone")
            self.process = None

    def restart(self):
        self.stop()
        self.start()

    def createdb(self, name):
        self.psql(f'CREATE DATABASE "{name}"', "postgres")
        return self.url(name)

    def dropdb(self, name):
        self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', "postgres")

    def url(self, database=None, tcp=True, **params):
        database = database or self.database
        query = "&".join(f"{k}={v}" for k, v in params.items())
        if tcp:
            return f"postgresql://postgres@127.0.0.1:{self.port}/{database}" + (f"?{query}" if query else "")
        return (f"postgresql:///{database}?host={self.dir}&port={self.port}&user=postgres"
                + (f"&{query}" if query else ""))

    def psql(self, sql, database=None):
        """The rows as text, tab between columns; an SQL error raises."""
        return self._run("psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                         "-h", self.dir, "-p", self.port, "-U", "postgres",
                         "-d", database or self.database, "-c", sql).rstrip("\n")

    def psql_file(self, path, database=None):
        return self._run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", self.dir, "-p", self.port,
                         "-U", "postgres", "-d", database or self.database, "-f", path)

    def connect(self, database=None, autocommit=True):
        """A psycopg2 connection, for tests that hold transactions open."""
        psycopg2 = util.need_module("psycopg2", "psycopg2-binary")
        c = psycopg2.connect(self.url(database))
        c.autocommit = autocommit
        return c

    def cut(self, where="true"):
        """Terminates client connections: WHERE over pg_stat_activity."""
        return self.psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> "
                         f"pg_backend_pid() AND backend_type = 'client backend' AND ({where})", "postgres")
