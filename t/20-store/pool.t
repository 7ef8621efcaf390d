#!/usr/bin/env python3
"""The pool: bounds, time limits, a server that stops and comes back, a standby, locks.  Nothing acknowledged is lost."""
import os
import re
import signal
import threading

import fp_tap as tap
from fp_follower import Follower
from fp_harness import Postgres, wait_until


class Writer(Follower):
    def __init__(self, url, **more):
        super().__init__(url, program="store_writer", **more)

    def send(self, *names):
        self.process.stdin.write("".join(f"{n}\n" for n in names))
        self.process.stdin.flush()

    def write(self, name, deadline=15):
        """(outcome, ms)"""
        self.send(name)
        m = self.expect(f"^{re.escape(name)} (\\S+) \\d+ (\\d+)", deadline)
        return m[1], int(m[2])

    def answers(self):
        return dict(line.split(" ")[:2] for line in list(self.lines) if not line.startswith("up "))

    def up(self):
        self.send("?")
        return self.expect(r"^up (\d)")[1] == "1"


def connections():
    return int(pg.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flowplane'", "postgres"))


def names():
    return set(pg.psql("SELECT name FROM clusters").splitlines())


with tap.run():
    pg = Postgres()
    f = Follower(pg.url(), no_seed=1)
    f.expect("^loaded ok")
    f.stop()

    w = Writer(pg.url(), pool=3, idle_ms=300)
    w.send(*[f"p{i}" for i in range(90)])
    wait_until(lambda: len(w.answers()) == 90, 20, "90 answers")
    tap.is_(set(w.answers().values()), {"done"}, "90 writes at once over 3 connections")
    tap.ok(connections() <= 3, "never more than pool_size")
    wait_until(lambda: connections() == 0, 10, "idle connections close")
    tap.ok(w.up(), "idle connections close after idle_timeout; the store is still up")
    w.stop()

    w = Writer(pg.url(), pool=3, min=2, idle_ms=200)
    wait_until(lambda: connections() == 2, 10, "min_connections")
    w.write("m1")
    wait_until(lambda: connections() == 2, what="min_connections are kept")
    w.stop()

    # a lock that somebody holds
    w = Writer(pg.url(), pool=1, statement_ms=3000, queue=3)
    w.write("warm")
    blocker = pg.connect(autocommit=False)
    blocker.cursor().execute("UPDATE config_revision SET updated_at = now()")
    w.send("l1", "l2", "l3", "l4", "l5", "l6")
    wait_until(lambda: len(w.answers()) == 7, 20, "all are answered")
    got = w.answers()
    tap.is_({got[f"l{i}"] for i in range(1, 7)}, {"unavailable"}, "a held lock: unavailable within the time limit")
    tap.is_([n for n in ("l5", "l6") if w.lines.index(next(x for x in w.lines if x.startswith(n))) < w.lines.index(next(x for x in w.lines if x.startswith("l1")))],
            ["l5", "l6"], "beyond queue_max: refused at once")
    blocker.rollback()
    tap.is_(w.write("free")[0], "done", "free again")
    tap.is_({n for n in names() if n.startswith("l")}, set(), "what was unavailable was not written behind our back")
    tap.is_(pg.psql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND application_name = 'flowplane'"), "0",
            "no connection is left in a transaction")
    w.stop()

    # the server stops under load
    w = Writer(pg.url(), statement_ms=3600000)
    w.write("before")
    stop = threading.Event()

    def load():
        i = 0
        while not stop.is_set():
            w.send(f"s{i}")
            i += 1
            stop.wait(0.01)
    writer = threading.Thread(target=load)
    writer.start()
    wait_until(lambda: "s20" in w.answers(), 10, "load")
    pg.stop()
    wait_until(lambda: "unavailable" in w.answers().values(), 10, "the stop is seen")
    wait_until(lambda: not w.up(), what="down, when the last connection is lost too")
    seen = len(w.answers())
    wait_until(lambda: len(w.answers()) > seen + 50, 20, "answers go on")
    tap.ok(True, "and do not wait for the time limit")
    pg.start()
    last = len(w.lines)
    wait_until(lambda: any(" done " in line for line in w.lines[last:]), 15, "writes work again by themselves")
    tap.ok(w.up(), "up")
    stop.set()
    writer.join()
    w.stop()
    done = {n for n, outcome in w.answers().items() if outcome == "done"}
    tap.is_(done - names(), set(), f"nothing acknowledged is lost ({len(done)} writes)")
    tap.is_(set(w.answers().values()) - {"done", "unavailable"}, set(), "nothing but done and unavailable")

    # kill -9 of the server
    w = Writer(pg.url())
    w.write("k0")
    pg.kill()
    tap.is_(w.write("k1")[0], "unavailable", "a killed server: unavailable")
    pg.start()
    wait_until(lambda: w.write("k" + str(len(w.lines)))[0] == "done", 15, "writes work again")
    tap.ok(True, "and done when it is back")

    # a server that hangs
    h = Writer(pg.url(), pool=1, statement_ms=2000)
    wait_until(lambda: h.write("z" + str(len(h.lines)))[0] == "done", what="a connection")  # a slow machine may need another
    pids = [int(p) for p in pg.psql("SELECT pid FROM pg_stat_activity WHERE application_name = 'flowplane'", "postgres").split()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    outcome, ms = h.write("y1")
    tap.ok(outcome == "unavailable" and ms >= 1900, f"a server that hangs: unavailable after statement_timeout ({ms} ms)")
    wait_until(lambda: h.write("y" + str(len(h.lines)))[0] == "done", 15, "another connection works")
    tap.ok(True, "another connection is used")
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    h.stop()

    # a server that does not accept writes
    pg.psql("ALTER DATABASE flowplane SET default_transaction_read_only = on")
    pg.cut("application_name = 'flowplane'")
    wait_until(lambda: w.write("r" + str(len(w.lines)))[0] == "unavailable" and "read-only" in w.log(), 10, "read-only")
    tap.ok(True, "a read-only server: unavailable, connecting anew")
    pg.psql("ALTER DATABASE flowplane RESET default_transaction_read_only", "postgres")
    wait_until(lambda: w.write("r" + str(len(w.lines)))[0] == "done", 15, "writable again")
    tap.ok(True, "and done when it is writable again")
    w.stop()

    # host list: the one that takes writes is found
    standby = Postgres()
    standby.psql("ALTER DATABASE flowplane SET default_transaction_read_only = on")
    hosts = f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:{pg.port}/flowplane"
    w = Writer(hosts)
    tap.is_(w.write("h1")[0], "done", "of a host list the writable one is used")
    w.stop()

    # a host that does not answer, and nothing there at all
    w = Writer(f"postgresql://postgres@127.0.0.1:1,127.0.0.1:{pg.port}/flowplane")
    tap.is_(w.write("h2")[0], "done", "a dead first host is passed over")
    w.stop()
    w = Writer("postgresql://postgres@127.0.0.1:1/flowplane")
    tap.is_(w.write("h3")[0], "unavailable", "no server")
    tap.ok(not w.up(), "not up")
    w.stop()
    tap.like(w.log(), "refused", "the log says why")
