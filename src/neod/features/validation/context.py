"""What a table may ask about the whole file while it is checked, and where it reports problems."""

from bisect import bisect_right
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from neod.features.validation.excerpt import excerpt
from neod.features.validation.text import Path, path_text
from neod.model.want import Origin
from neod.observability.streams import printable

MOST_LINES: Final = 200
UNPLACED: Final = (0, 0)


@dataclass(slots=True)
class Positions:
    """Offsets of keys and values by path, and what line and column an offset is."""

    keys: dict[Path, int] = field(default_factory=dict)
    values: dict[Path, int] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)  # the offset at which each line starts
    text: str = ""

    def of_key(self, path: Path) -> tuple[int, int]:
        """Return line and column, from 1, of the key of *path* or of its nearest parent; (0, 0) without one."""
        while path and path not in self.keys:
            path = path[:-1]
        return self.at(self.keys[path]) if path else (0, 0)

    def of_value(self, path: Path) -> tuple[int, int]:
        """Return line and column of the value of *path*; of a table, where its header or first key stands."""
        return self.at(self.values[path]) if path in self.values else self.of_key(path)

    def excerpt(self, line: int, column: int) -> str:
        """Return the line with a caret, for people; empty for what stands nowhere."""
        if not 0 < line <= len(self.lines):
            return ""
        end = self.lines[line] - 1 if line < len(self.lines) else len(self.text)
        return excerpt(self.text[self.lines[line - 1] : end], line, column)

    def at(self, offset: int) -> tuple[int, int]:
        """Return line and column, both from 1, of an offset into the text."""
        line = bisect_right(self.lines, offset)
        return line, offset - self.lines[line - 1] + 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of a ConfigError, and where it sorts."""

    line: int
    column: int
    text: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that only one part of the file may have: the table 33, the name neo1, a MAC."""

    what: str
    value: Hashable
    holder: str  # as an error names it
    path: Path
    place: tuple[int, int]
    hint: str


class Context:
    """The file as a whole: positions, the other sections, problems and warnings."""

    def __init__(self, source: PurePath | str, positions: Positions, variables: Mapping[Path, str]) -> None:
        self.source = str(source)
        self.sections: dict[str, Any] = {}  # what every other table says, validated; an invalid entry is absent
        self.problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._positions, self._variables = positions, variables
        self._claims: list[Claim] = []
        self._reported: set[Path] = set()
        self._paths: dict[str, Path] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line each, in the order of the file."""
        return _in_order(self._warnings)[0]

    @property
    def errors(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """One line each, in the order of the file, the same line only once; and the excerpt of each."""
        return _in_order(self.problems)

    def origin(self, *path: str | int) -> Origin:
        """Return the place of *path* in the file, for ``why``."""
        variable = self.variable(path)
        line = 0 if variable else self._positions.of_key(path)[0]
        found = Origin(path_text(path), line)
        self._paths[found.path] = path
        return found

    def variable(self, path: Path) -> str:
        """Return the environment variable that says what stands at *path*; empty if the file does."""
        found = [name for place, name in self._variables.items() if path[: len(place)] == place]
        if not found and self._variables and path[:-1] not in self._positions.keys:  # the entry is not of the file
            found = [
                name for place, name in self._variables.items() if len(path) > 1 and place[: len(path) - 1] == path[:-1]
            ]
        return found[0] if found else ""

    def problem(self, path: Path, problem: str, hint: str = "", *, at_key: bool = False, once: bool = False) -> None:
        """Note an error at the value of *path*, or at its key; with *once* only if nothing is wrong there yet."""
        if not (once and path in self._reported):
            self.problems.append(self._line(path, f"{problem}; {hint}" if hint else problem, at_key))
            self._reported.add(path)

    def warn(self, path: Path, text: str) -> None:
        """Note what works, and probably not as meant."""
        self._warnings.append(self._line(path, text, True))

    def problem_at(self, origin: Origin, problem: str, hint: str) -> None:
        """Note an error at the place of something that was compiled."""
        self.problem(self._paths.get(origin.path, ()), problem, hint)

    def claim(self, what: str, value: Hashable, holder: str, path: Path, hint: str) -> None:
        """Note that *holder* has *what* *value*; that two have one is an error, once all tables were read."""
        self._claims.append(Claim(what, value, holder, path, self._place(path, False), hint))

    def settle(self) -> None:
        """Report the claims that were made twice, where the later one stands: one for each two places."""
        first: dict[tuple[str, Hashable], Claim] = {}
        reported: set[tuple[str, Path, Path]] = set()
        for claim in sorted(self._claims, key=lambda claim: claim.place):
            other = first.setdefault((claim.what, claim.value), claim)
            pair = (claim.what, claim.path, other.path)
            if other is not claim and pair not in reported:
                reported.add(pair)
                line = f" (line {other.place[0]})" if other.place[0] else ""
                problem = f"{claim.holder} would have {claim.what} {claim.value}, which {other.holder}{line} has"
                self.problem(claim.path, problem, claim.hint)

    def _place(self, path: Path, at_key: bool) -> tuple[int, int]:
        if self.variable(path):
            return UNPLACED
        return self._positions.of_key(path) if at_key else self._positions.of_value(path)

    def _line(self, path: Path, text: str, at_key: bool) -> Problem:
        key = f"{path_text(path)}: " if path else ""
        if variable := self.variable(path):
            return Problem(*UNPLACED, f"{variable}: {key}{text}")
        line, column = self._place(path, at_key)
        place = f"{self.source}:{line}:{column}" if line else self.source
        return Problem(line, column, f"{printable(place)}: {key}{text}", self._positions.excerpt(line, column))


def _in_order(problems: list[Problem]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    placed = sorted(problems, key=lambda problem: (problem.line, problem.column))
    lines = {problem.text: problem.excerpt for problem in placed}
    rest = len(lines) - MOST_LINES
    shown = (*list(lines)[:MOST_LINES], *((f"and {rest} more",) if rest > 0 else ()))
    return shown, tuple(lines.get(line, "") for line in shown)
