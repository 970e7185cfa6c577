"""The Prometheus text format. Pure.

One page of code; the client library would cost a registry, a lock around
every counter, 8 MB, and a tenth of a second at start.

Source: the exposition format, version 0.0.4.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]  # what follows the metric's name, labels, value


class Metric(NamedTuple):
    """One metric: a name and all its samples."""

    name: str
    type: str  # counter | gauge | histogram
    about: str
    samples: Iterable[Sample]


def page(families: Iterable[Metric]) -> str:
    """Return the whole page; a metric without samples still has its help and type."""
    return "\n".join(line for metric in families for line in _lines(metric)) + "\n"


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.about}"
    yield f"# TYPE {metric.name} {metric.type}"
    for suffix, labels, value in metric.samples:
        yield sample(metric.name + suffix, labels, value)


def sample(name: str, labels: Labels, value: float) -> str:
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {number(value)}" if inner else f"{name} {number(value)}"


def number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)


def plain(value: float, **labels: str) -> Iterable[Sample]:
    """Return the only sample of a metric."""
    return (("", labels, value),)


def by(counts: Mapping[str, float], label: str) -> Iterable[Sample]:
    """Return a sample a key of *counts*, in order."""
    return [("", {label: key}, counts[key]) for key in sorted(counts)]


def by_two(counts: Mapping[tuple[str, str], float], first: str, second: str) -> Iterable[Sample]:
    """Return a sample a key of *counts*, in order, with two labels."""
    return [("", {first: a, second: b}, counts[a, b]) for a, b in sorted(counts)]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
