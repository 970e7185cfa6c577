"""Reading ``/etc/network/interfaces``, as far as interfaces(5) is needed to replace it. Pure.

It keeps every line that it does not understand, with its place, so that nothing is dropped silently. What the lines
mean for neo is not known here: see ``ifupdown_paths``.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

Sources = Callable[[str, str], Iterable[tuple[str, str]]]
"""Given the keyword (``source``, ``source-directory``) and its pattern: the files meant, by name, with their text."""

MOST_NESTED: Final = 16
"""Limit for files that source each other in a circle; ifupdown itself reads until it runs out of memory."""


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line: its first word, the rest, and where it stands."""

    word: str
    rest: str
    place: str  # FILE:LINE


@dataclass(slots=True)
class Stanza:
    """One ``iface`` and the options below it."""

    name: str
    family: str
    method: str
    place: str
    options: list[Line] = field(default_factory=list)

    def values(self, *words: str) -> Iterator[Line]:
        """Yield the options of these names."""
        return (option for option in self.options if option.word in words)


@dataclass(slots=True)
class Interfaces:
    """All that was read."""

    stanzas: list[Stanza] = field(default_factory=list)
    auto: set[str] = field(default_factory=set)
    others: list[Line] = field(default_factory=list)  # neither iface nor auto nor source, and what belongs to them


def parse(text: str, name: str, sources: Sources) -> Interfaces:
    """Return what *text*, the file *name*, and all that it sources say."""
    found = Interfaces()
    _read(text, name, sources, found, 0)
    return found


def _read(text: str, name: str, sources: Sources, found: Interfaces, depth: int) -> None:
    stanza: Stanza | None = None
    for line in logical_lines(text, name):
        if line.word == "iface":
            stanza = _iface(line)
            found.stanzas.append(stanza)
        elif line.word == "auto" or line.word.startswith("allow-"):
            stanza = None
            found.auto.update(line.rest.split())
        elif line.word in ("source", "source-directory"):
            stanza = None
            if depth < MOST_NESTED:
                for path, content in sources(line.word, line.rest):
                    _read(content, path, sources, found, depth + 1)
        elif line.word in ("mapping", "template", "rename", "no-auto-down", "no-scripts"):
            stanza = None
            found.others.append(line)
        elif stanza is not None:
            stanza.options.append(line)
        else:
            found.others.append(line)


def _iface(line: Line) -> Stanza:
    name, family, method, *_ = [*line.rest.split(), "", "", ""]
    return Stanza(name, family, method, line.place)


def logical_lines(text: str, name: str) -> Iterator[Line]:
    """Yield the lines that say something: joined where they end in a backslash, without comments and blanks."""
    pending, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        first = first if pending else number
        if not pending and raw.lstrip().startswith("#"):
            continue
        pending += raw.removesuffix("\\") if (more := raw.endswith("\\")) else raw
        if more:
            continue
        word, _, rest = pending.strip().replace("\t", " ").partition(" ")
        pending = ""
        if word:
            yield Line(word, rest.strip(), f"{name}:{first}")
    if pending.strip():  # the last line ended in a backslash
        word, _, rest = pending.strip().partition(" ")
        yield Line(word, rest.strip(), f"{name}:{first}")
