"""The text in which Prometheus reads counts. Pure.

Written out here because it is one page: the client library would cost a
registry, locks around every count, 8 MB, and a tenth of a second at start.

Source: the exposition format, version 0.0.4.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]  # what follows the family's name, labels, value


class Family(NamedTuple):
    """One name on the page, with everything that has it."""

    name: str
    type: str  # counter | gauge | histogram
    about: str
    samples: Iterable[Sample]


def page(families: Iterable[Family]) -> str:
    """Return the whole page; a family without samples shows that it exists."""
    return "\n".join(line for family in families for line in _lines(family)) + "\n"


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.about}"
    yield f"# TYPE {family.name} {family.type}"
    for suffix, labels, value in family.samples:
        yield sample(family.name + suffix, labels, value)


def sample(name: str, labels: Labels, value: float) -> str:
    """Return one line."""
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {number(value)}" if inner else f"{name} {number(value)}"


def number(value: float) -> str:
    """Return a number as Prometheus writes it."""
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)


def plain(value: float, **labels: str) -> Iterable[Sample]:
    """Return the one sample of a family that has no more."""
    return (("", labels, value),)


def by(counts: Mapping[str, float], label: str) -> Iterable[Sample]:
    """Return a sample a key of *counts*, in order."""
    return [("", {label: key}, counts[key]) for key in sorted(counts)]


def by_two(counts: Mapping[tuple[str, str], float], first: str, second: str) -> Iterable[Sample]:
    """Return a sample a key of *counts*, in order, with two labels."""
    return [("", {first: a, second: b}, counts[a, b]) for a, b in sorted(counts)]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
