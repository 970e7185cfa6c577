"""Where in a TOML text every key and value stands; and whether the text is safe to parse.

``tomllib`` keeps no positions, and takes minutes and gigabytes over a few kilobytes of deeply dotted keys. This scanner
goes over the text once, in linear time, before the parser sees it. It accepts more than TOML does and stops without a
word where it meets what it does not understand: the parser then says what is wrong there.
"""

import re
import tomllib
from contextlib import suppress
from typing import Final

from neod.features.validation.context import Positions
from neod.features.validation.text import Path

MAX_PARTS: Final = 16
"""Parts of one dotted key. The parser's time grows with their square."""

MAX_DEPTH: Final = 8
"""Arrays and inline tables in each other. The parser recurses into them."""

MAX_ENTRIES: Final = 50_000
"""Keys, tables and array elements of a file: 4000 interfaces with ten overrides each stay below."""

MAX_SCALAR: Final = 100
"""Characters of a number or date; ``int()`` takes time that grows with the square."""

BLANK: Final = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
SPACE: Final = re.compile(r"[ \t]*+")
REST_OF_LINE: Final = re.compile(r"[ \t]*+(?:#[^\n]*+)?(?:\n|\Z)")
BARE: Final = re.compile(r"[A-Za-z0-9_-]++")
BASIC: Final = re.compile(r'"(?:[^"\\\n]++|\\[^\n])*+"')
LITERAL: Final = re.compile(r"'[^'\n]*+'")
ESCAPE_OR_END: Final = re.compile(r'\\.|"""', re.DOTALL)
SCALAR: Final = re.compile(r"[^\s,\[\]{}#\"'=]++(?: [^\s,\[\]{}#\"'=]++)*+")


class Unsafe(Exception):
    """The text would cost too much to parse; *offset* is where that shows."""

    def __init__(self, offset: int, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.offset, self.problem, self.hint = offset, problem, hint


class _Stop(Exception):
    """Something that is not TOML."""


def scan(text: str) -> Positions:
    """Return where everything in *text* stands, as far as it is TOML.

    Raises:
        Unsafe: parsing the text would cost too much.
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))
    with suppress(_Stop):
        scanner.document()
    return scanner.found


class _Scanner:
    """One walk over the text; ``pos`` is the offset of what comes next."""

    def __init__(self, text: str) -> None:
        self.text, self.pos, self.entries, self.depth = text, 0, 0, 0
        self.elements: dict[Path, int] = {}  # array of tables -> how many so far
        self.found = Positions(lines=[0, *(match.end() for match in re.finditer("\n", text))], text=text)

    def document(self) -> None:
        """Headers and ``key = value`` lines up to the end."""
        prefix: Path = ()
        while True:
            self.skip(BLANK)
            if self.pos == len(self.text):
                return
            if self.text[self.pos] == "[":
                prefix = self.header()
            else:
                self.pair(prefix)
            self.need(REST_OF_LINE)

    def header(self) -> Path:
        """``[a.b]`` or ``[[a.b]]``; returns the path of the table that it opens."""
        brackets = 2 if self.text.startswith("[[", self.pos) else 1
        self.pos += brackets
        self.skip(SPACE)
        *parents, (last, offset) = self.key()
        self.skip(SPACE)
        self.expect("]" * brackets)
        path = self.note_parents((), parents)
        path = (*path, last)
        if brackets == 2:
            self.note(path, offset)
            index = self.elements[path] = self.elements.get(path, -1) + 1
            path = (*path, index)
        else:
            path = self.within(path)
        self.note(path, offset)
        return path

    def within(self, path: Path) -> Path:
        """The last element of an array of tables stands for the array."""
        return (*path, self.elements[path]) if path in self.elements else path

    def note_parents(self, prefix: Path, parts: list[tuple[str, int]]) -> Path:
        for part, offset in parts:
            prefix = self.within((*prefix, part))
            self.found.keys.setdefault(prefix, offset)
        return prefix

    def note(self, path: Path, offset: int) -> None:
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise Unsafe(offset, f"more than {MAX_ENTRIES} keys, tables and elements", "a file for neo has far fewer")
        self.found.keys.setdefault(path, offset)

    def pair(self, prefix: Path) -> None:
        """``a.b = value``."""
        *parents, (last, offset) = self.key()
        self.skip(SPACE)
        self.expect("=")
        self.skip(SPACE)
        path = (*self.note_parents(prefix, parents), last)
        self.note(path, offset)
        self.value(path)

    def key(self) -> list[tuple[str, int]]:
        """The parts of a dotted key, each with its offset."""
        parts = [self.key_part()]
        while True:
            after = self.pos
            self.skip(SPACE)
            if not self.text.startswith(".", self.pos):
                self.pos = after
                return parts
            self.pos += 1
            self.skip(SPACE)
            if len(parts) == MAX_PARTS:
                raise Unsafe(parts[0][1], f"a key of more than {MAX_PARTS} dotted parts", "no key of neo has so many")
            parts.append(self.key_part())

    def key_part(self) -> tuple[str, int]:
        start = self.pos
        if match := BARE.match(self.text, start):
            self.pos = match.end()
            return match[0], start
        match = BASIC.match(self.text, start) or LITERAL.match(self.text, start)
        if match is None:
            raise _Stop
        self.pos = match.end()
        return _unquoted(match[0]), start

    def value(self, path: Path) -> None:
        """Any value; arrays and inline tables note what is inside."""
        self.found.values.setdefault(path, self.pos)
        opening = self.text[self.pos : self.pos + 1]
        if opening in ("[", "{"):
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise Unsafe(self.pos, f"more than {MAX_DEPTH} brackets in each other", "no value of neo nests so deep")
            self.array(path) if opening == "[" else self.inline_table(path)
            self.depth -= 1
        elif opening in ('"', "'"):
            self.string(opening)
        else:
            start = self.pos
            if self.need(SCALAR) - start > MAX_SCALAR:
                raise Unsafe(start, f"a value of more than {MAX_SCALAR} characters", "texts stand in quotes")

    def array(self, path: Path) -> None:
        self.pos += 1
        index = 0
        while True:
            self.skip(BLANK)
            if self.text.startswith("]", self.pos):
                break
            self.note((*path, index), self.pos)
            self.value((*path, index))
            index += 1
            self.skip(BLANK)
            if not self.text.startswith(",", self.pos):
                break
            self.pos += 1
        self.expect("]")

    def inline_table(self, path: Path) -> None:
        self.pos += 1
        while True:
            self.skip(BLANK)  # TOML 1.1 allows new lines here
            if self.text.startswith("}", self.pos):
                break
            self.pair(path)
            self.skip(BLANK)
            if not self.text.startswith(",", self.pos):
                break
            self.pos += 1
        self.expect("}")

    def string(self, quote: str) -> None:
        if not self.text.startswith(quote * 3, self.pos):
            self.need(BASIC if quote == '"' else LITERAL)
            return
        end = self.long_basic_end() if quote == '"' else self.text.find("'''", self.pos + 3)
        if end < 0:
            raise _Stop
        self.pos = end + 3
        for _ in range(2):  # up to two quotes may stand before the closing three
            if self.text.startswith(quote, self.pos):
                self.pos += 1

    def long_basic_end(self) -> int:
        ends = (m.start() for m in ESCAPE_OR_END.finditer(self.text, self.pos + 3) if m[0] == '"""')
        return next(ends, -1)

    def skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self.text, self.pos):
            self.pos = match.end()

    def need(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.pos)
        if match is None:
            raise _Stop
        self.pos = match.end()
        return self.pos

    def expect(self, token: str) -> None:
        if not self.text.startswith(token, self.pos):
            raise _Stop
        self.pos += len(token)


def _unquoted(quoted: str) -> str:
    """Return what a quoted part of a key says; the parser knows the escapes."""
    if "\\" not in quoted:
        return quoted[1:-1]
    try:
        return str(tomllib.loads(f"key = {quoted}")["key"])
    except ValueError:
        raise _Stop from None
