"""A program that follows a database (t/lib/store_follower.c, watch_tool.c): its lines as they come."""
import os
import re
import subprocess
import threading

import fp_tap as tap
import fp_util as util


class Follower:
    """Keywords become FP_TEST_<KEYWORD>."""
    count = 0

    def __init__(self, url, program="store_follower", **options):
        Follower.count += 1
        self.lines, self._new, self._seen, self._ended = [], threading.Condition(), 0, False
        self.log_path = util.tmp() / f"follower{Follower.count}.log"
        env = {**os.environ, "FP_TEST_DATABASE": url, **{f"FP_TEST_{k.upper()}": str(v) for k, v in options.items()}}
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([util.OBJS / "t/lib" / program], env=env, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        tap.at_end(self._finish)

    def _read(self):
        for line in self.process.stdout:
            with self._new:
                self.lines.append(line.rstrip("\n"))
                self._new.notify_all()
        with self._new:
            self._ended = True
            self._new.notify_all()

    def _find(self, pattern):
        for i in range(self._seen, len(self.lines)):
            m = re.search(pattern, self.lines[i])
            if m:
                self._seen = i + 1
                return m
        return None

    def expect(self, pattern, deadline=0):
        """The first match after the lines seen so far; what it passes over is seen too."""
        found = []
        with self._new:
            self._new.wait_for(lambda: found.append(self._find(pattern)) or found[-1] or self._ended,
                               util.patience(deadline))
            if not found[-1]:
                raise util.Timeout(f"no line {pattern!r} in {self.lines[self._seen:]}\n{self.log()}")
        return found[-1]

    def caught_up(self, revision, deadline=0):
        while int(self.expect(r"^loaded ok \S+ (\d+)", deadline)[1]) < revision:
            pass

    def tell(self, word):
        """`rest` or `load`, one at a time."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def loaded(self):
        """The revision of the last load."""
        return max([int(m[1]) for m in (re.match(r"loaded ok \S+ (\d+)", line) for line in self.lines) if m], default=None)

    def rows(self):
        """What its loads say is there now: {(kind, name): the rest of its line}."""
        now, load = {}, {}
        for line in self.lines:
            m = re.match(r"row (\S+) (.*) (there|deleted) (.*)", line)
            if m:
                load[m[1], m[2]] = m[4] if m[3] == "there" else None
            elif line.startswith("loaded"):
                base = {} if line.startswith("loaded ok full") else now
                if line.startswith("loaded ok"):
                    now = {k: v for k, v in {**base, **load}.items() if v}
                load = {}
        return now

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        """Exit status."""
        p, self.process = self.process, None
        p.stdin.close()
        try:
            return p.wait(util.patience())
        except subprocess.TimeoutExpired:
            p.kill()
            return p.wait()
        finally:
            self._reader.join(5)

    def _finish(self):
        if self.process:
            tap.is_(self.stop(), 0, "the follower ended orderly")
        tap.unlike(self.log(), r"assert|Sanitizer|runtime error", "nothing bad in its log")
