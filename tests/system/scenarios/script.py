"""The form of a scenario: what it is about, where it can be played, its lines, and its files.

A scenario is one text file; ``README.md`` beside it has the vocabulary.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_SECTION = re.compile(r"^-- (\S+) --$")
STAGES = ("kernel", "fake")


class Misread(Exception):
    """A scenario that says what cannot be understood."""


@dataclass(frozen=True)
class Line:
    """One line of a script, and where it stands."""

    path: Path
    number: int  # from 1
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.text}"


@dataclass(frozen=True)
class Script:
    """A scenario as it was written."""

    path: Path
    stages: tuple[str, ...]  # where it can be played: kernel, fake
    lab: tuple[str, ...]  # what is built for it: ("campus", "dnsmasq"), ("relays",)
    lines: tuple[Line, ...]
    files: Mapping[str, str]


def read(path: Path) -> Script:
    """Return the scenario in *path*.

    Raises:
        Misread: it names no stage or no lab, or a stage that there is not.
    """
    lines, files = _parts(path)
    head: dict[str, tuple[str, ...]] = {}
    script: list[Line] = []
    for line in lines:
        word, _, rest = line.text.partition(" ")
        if word in ("on", "lab"):
            head[word] = tuple(rest.replace(",", " ").split())
        else:
            script.append(line)
    if "on" not in head or "lab" not in head or not set(head["on"]) <= set(STAGES):
        raise Misread(f"{path}: begin with `on kernel`, `on fake` or both, and `lab …`")
    return Script(path, head["on"], head["lab"], tuple(script), files)


def _parts(path: Path) -> tuple[list[Line], dict[str, str]]:
    """Return the lines that say something, and the files that follow them."""
    lines: list[Line] = []
    files: dict[str, list[str]] = {}
    current: list[str] | None = None
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        if found := _SECTION.match(raw):
            current = files.setdefault(found[1], [])
        elif current is not None:
            current.append(raw)
        elif text := raw.partition("#")[0].strip():
            lines.append(Line(path, number, text))
    return lines, {name: "\n".join(text) + "\n" for name, text in files.items()}


def for_stage(script: Script, stage: str) -> Iterator[Line]:
    """Yield the lines that are meant for *stage*: all but those that begin with the name of another in brackets."""
    for line in script.lines:
        marked = re.match(r"^\[(\w+)\]\s*(.*)$", line.text)
        if marked is None:
            yield line
        elif marked[1] not in STAGES:
            raise Misread(f"{line}: there is no stage {marked[1]}")
        elif marked[1] == stage:
            yield Line(line.path, line.number, marked[2])
