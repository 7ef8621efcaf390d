"""Figures: the harness without its tests; each figure is a line with its aim, if it has one."""
import contextlib
import statistics
import sys

import fp_tap as tap


def figure(name, value, unit, aim=None, note="", more=False):
    """aim: at most, or with `more` at least."""
    text = (f"{value:,.0f}" if value >= 100 else f"{value:.3g}") if isinstance(value, float) else str(value)
    ratio = f"  (aim {'≥' if more else '≤'} {aim:,g}, ratio {value / aim:.2f})" if aim else ""
    print(f"{name:<52} {text:>9} {unit}{ratio}{'  ' + note if note else ''}", flush=True)


def quantiles(name, values, unit, aim=None, aim99=None):
    """p50 against the aim, and p99."""
    ordered = sorted(values)
    figure(f"{name}, p50 of {len(values)}", statistics.median(ordered), unit, aim)
    figure(f"{name}, p99", ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], unit, aim99)


@contextlib.contextmanager
def run(title):
    """The harness's hidden tests are told only when they fail."""
    print(f"\n{title}", flush=True)
    tap._write = lambda line: sys.stderr.write(line + "\n") if line.startswith("not ok") else None
    with tap.run():
        yield
