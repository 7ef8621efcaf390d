"""TAP for Python tests: plan or done, ok, is_, like, diag, skip_all; an exception is a failed test.

    import fp_tap as tap
    with tap.run():            # prints the plan at the end, catches what the test did not
        tap.is_(1 + 1, 2, "sums")
"""
import contextlib
import os
import re
import sys
import traceback

_count = 0
_failed = 0
_planned = None
_trial = None  # lines of an attempt of patiently() that may still be taken back
_at_end = []  # hidden checks: callables run before the plan is printed


def _write(line):
    if _trial is not None:
        _trial.append(line)
        return
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def plan(n):
    global _planned
    _planned = n
    _write(f"1..{n}")


def diag(text):
    for line in str(text).splitlines():
        sys.stderr.write(f"# {line}\n")
    sys.stderr.flush()


def ok(cond, name, why=None):
    global _count, _failed
    if _trial is not None and not cond:
        raise _Missed(f"{name}: {why}")
    _count += 1
    name = str(name).replace("#", "\\#")
    _write(f"{'ok' if cond else 'not ok'} {_count} - {name}")
    if not cond:
        _failed += 1
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        diag(f"failed: {name}, {os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}")
        if why is not None:
            diag(why)
    return bool(cond)


def is_(got, want, name):
    return ok(got == want, name, f"     got: {got!r}\nexpected: {want!r}")


def isnt(got, unwanted, name):
    return ok(got != unwanted, name, f"got what must not be: {got!r}")


def like(text, pattern, name):
    return ok(re.search(pattern, str(text), re.S) is not None, name,
              f"     got: {text!r}\nno match: {pattern!r}")


def unlike(text, pattern, name):
    return ok(re.search(pattern, str(text), re.S) is None, name,
              f"     got: {text!r}\n matches: {pattern!r}")


def contains(container, item, name):
    return ok(item in container, name, f"{item!r} is not in {container!r}")


def skip(why, n=1):
    global _count
    for _ in range(n):
        _count += 1
        _write(f"ok {_count} # SKIP {why}")


def skip_all(why):
    """Ends the program.  In CI nothing is skipped: what is missing there is a failure."""
    if os.environ.get("CI") == "true":
        ok(False, f"needed in CI: {why}")
        done()
    _write(f"1..0 # SKIP {why}")
    sys.stdout.flush()
    os._exit(0)


class _Missed(Exception):
    """A check failed in an attempt that is not the last."""


def patiently(scenario, scales=(1, 4, 16)):
    """Runs scenario(scale), whose times (scaled by it) a busy machine may miss: what fails is tried again with longer
    ones, and only the last attempt counts.  A broken program fails in all of them."""
    global _trial, _count
    for scale in scales:
        count, _trial = _count, [] if scale != scales[-1] else None
        try:
            scenario(scale)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as e:
            if _trial is None:
                raise
            _trial, _count = None, count
            diag(f"once more with longer times, after {type(e).__name__}: {str(e)[:300]}")
        else:
            lines, _trial = _trial, None
            for line in lines or ():
                _write(line)
            return


def at_end(check):
    """check() runs when the test's body is over, last registered first; it may call ok()."""
    _at_end.append(check)


def done():
    while _at_end:
        check = _at_end.pop()
        try:
            check()
        except BaseException:  # the others must still clean up
            ok(False, "hidden check died", traceback.format_exc())
    if _planned is None:
        _write(f"1..{_count}")
    sys.stdout.flush()
    sys.exit(1 if _failed or (_planned not in (None, _count)) else 0)


@contextlib.contextmanager
def run():
    try:
        yield
    except SystemExit:
        raise
    except BaseException:
        ok(False, "the test died", traceback.format_exc())
    done()
