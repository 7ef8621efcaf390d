"""Prometheus text, read strictly."""
import re

_LINE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (NaN|[+-]?Inf|-?[0-9.]+(?:e[+-]?[0-9]+)?)$')


def scrape(fp):
    r = fp.get("/metrics", token=None)
    assert r.status == 200, r.text
    return r.text


def series(text):
    """[(name, {label: value}, number)]; dies on a line that is none."""
    out = []
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        m = _LINE.match(line)
        assert m, f"no series: {line!r}"
        out.append((m.group(1), dict(re.findall(r'(\w+)="([^"]*)"', m.group(2) or "")), float(m.group(3))))
    return out


def value(text, name, **labels):
    """The sum of the series with these labels; None without any."""
    found = [v for n, have, v in series(text) if n == name and all(have.get(k) == x for k, x in labels.items())]
    return sum(found) if found else None
