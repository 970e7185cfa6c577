"""Reading ``/etc/network/interfaces``, as far as interfaces(5) is needed to replace it. Pure.

Every line that says something is kept with its place, so that nothing can be dropped silently. What the lines mean for
neo is not known here: see ``ifupdown_paths``. The dialects of ifupdown2 and ifupdown-ng are read by the same words.

Source: config.c of ifupdown; interfaces(5) of ifupdown2 and of ifupdown-ng.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from neod.cli.text import cut
from neod.observability.streams import printable

Sources = Callable[[str, str, str], Iterable[tuple[str, str, str]]]
"""Given the keyword (``source``, ``source-directory``), its pattern and the file it stands in: name and text of the
files meant, or a name (empty: the line's own) and why it cannot be read."""

MOST_NESTED: Final = 16
SPACES: Final = dict.fromkeys(map(ord, "\t\r\v\f"), " ")
"""What ifupdown takes for a space: nothing outside of ASCII is."""

SHOWN: Final = 200  # characters of a line
FAMILIES: Final = ("inet", "inet6", "ipx", "can", "wpan", "x25", "link")
OF_NO_STANZA: Final = ("mapping", "template", "rename", "no-auto-down", "no-scripts", "defaults")
HEREDITARY: Final = ("inherits", "inherit")


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line: its first word, the rest, and where it stands."""

    word: str
    rest: str
    place: str  # FILE:LINE

    @property
    def words(self) -> list[str]:
        """Return the words of the rest, of those that are looked at."""
        return [word for word in self.rest[:MOST_CHARACTERS].split(" ") if word]

    @property
    def text(self) -> str:
        """Return the line as it is shown: in one line, without what could steer a terminal."""
        return cut(printable(" ".join((self.word[:SHOWN], *self.words))), SHOWN).strip()


MOST_CHARACTERS: Final = 1 << 16
"""Limit for a line whose words are looked at: the kernel takes 128 KiB for an argument of a shell."""


@dataclass(slots=True)
class Stanza:
    """One ``iface`` and the options below it."""

    line: Line
    name: str
    family: str
    method: str
    inherits: str = ""
    extra: str = ""  # what else is on its line
    options: list[Line] = field(default_factory=list)

    @property
    def lines(self) -> list[Line]:
        """Return all of it."""
        return [self.line, *self.options]

    @property
    def base(self) -> str:
        """Return what it inherits; ifupdown-ng has an option for it."""
        return self.inherits or next((option.rest for option in self.options if option.word in HEREDITARY), "")


@dataclass(slots=True)
class Interfaces:
    """All that was read."""

    stanzas: list[Stanza] = field(default_factory=list)
    auto: list[Line] = field(default_factory=list)
    strange: list[tuple[Line, str]] = field(default_factory=list)  # what belongs to no stanza, and why it is left out
    lines: list[Line] = field(default_factory=list)  # every line, in the order of reading
    open: list[str] = field(default_factory=list)  # the files that are being read


def parse(text: str, name: str, sources: Sources) -> Interfaces:
    """Return what *text*, the file *name*, and all that it sources say."""
    found = Interfaces()
    _read(text, name, sources, found)
    return found


def _read(text: str, name: str, sources: Sources, found: Interfaces) -> None:
    stanza: Stanza | None = None
    found.open.append(name)
    for line in logical_lines(text, name):
        found.lines.append(line)
        if line.word == "iface":
            found.stanzas.append(stanza := _iface(line))
        elif line.word == "auto" or line.word.startswith("allow-"):
            stanza = None
            found.auto.append(line)
        elif line.word in ("source", "source-directory"):
            stanza = None
            _source(line, name, sources, found)
        elif line.word in OF_NO_STANZA or stanza is None:
            stanza = None
            found.strange.append((line, "neo has no place for it"))
        else:
            stanza.options.append(line)
    found.open.pop()


def _source(line: Line, name: str, sources: Sources, found: Interfaces) -> None:
    for path, content, problem in sources(line.word, line.rest, name):
        if path in found.open or len(found.open) > MOST_NESTED:
            problem = f"{path} is being read already" if path in found.open else "too deep in files that source others"
        if problem:
            found.strange.append((line, problem))
        else:
            _read(content, path, sources, found)


def _iface(line: Line) -> Stanza:
    name, *words = line.words or [""]
    at = next((at for at, word in enumerate(words) if word in HEREDITARY), len(words))
    family, method, *extra = [*([] if words[:1] and words[0] in FAMILIES else [""]), *words[:at], "", ""]
    return Stanza(line, name, family, method, " ".join(words[at + 1 :]), " ".join(extra).strip())


def logical_lines(text: str, name: str) -> Iterator[Line]:
    """Yield the lines that say something: joined where they end in a backslash, without comments and blanks."""
    parts: list[str] = []
    first = 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r")
        first = first if parts else number
        if not parts and line.lstrip(" \t\r\v\f").startswith("#"):
            continue
        parts.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            yield from _logical(parts, name, first)
            parts = []
    yield from _logical(parts, name, first)  # the last line ended in a backslash


def _logical(parts: list[str], name: str, number: int) -> Iterator[Line]:
    word, _, rest = "".join(parts).translate(SPACES).strip(" ").partition(" ")
    if word:
        yield Line(word, rest.strip(" "), f"{name}:{number}")


@dataclass(frozen=True, slots=True)
class Whole:
    """A stanza with what it inherits."""

    stanza: Stanza
    family: str
    method: str
    inherited: list[Line]
    wrong: str  # why it does not inherit


def whole(interfaces: Interfaces) -> Iterator[Whole]:
    """Yield each stanza with what it inherits: options, and family and method where it says none."""
    by_name: dict[str, list[Stanza]] = {}
    for stanza in interfaces.stanzas:
        by_name.setdefault(stanza.name, []).append(stanza)
    for stanza in interfaces.stanzas:
        chain, base = [stanza], stanza.base
        seen = {stanza.name}
        while base and base not in seen and base in by_name:
            seen.add(base)
            chain.append(next((one for one in by_name[base] if one.family == stanza.family), by_name[base][0]))
            base = chain[-1].base
        wrong = f"it inherits {base}, " + ("in a circle" if base in seen else "which is not there") if base else ""
        family = next((one.family for one in chain if one.family), "")
        method = next((one.method for one in chain if one.method), "")
        yield Whole(stanza, family, method, [line for one in reversed(chain[1:]) for line in one.options], wrong)
