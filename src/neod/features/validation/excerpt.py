"""A line of the file with a caret below what an error is about, for people. Pure."""

from itertools import accumulate
from typing import Final
from unicodedata import combining, east_asian_width

from neod.observability.streams import printable

COLUMNS: Final = 72
BEFORE: Final = 48
"""Columns of a longer line that are shown before the caret, at most."""

MOST_CHARACTERS: Final = 8 * COLUMNS
"""That are looked at on either side of the caret: most take a column, some none."""

CUT: Final = "…"


def excerpt(line: str, number: int, column: int) -> str:
    """Return line *number* of the file, and a caret below *column*, from 1, as a terminal shows both."""
    text = line.rstrip("\r\n")
    start = max(0, column - 1 - MOST_CHARACTERS)  # a line may be the whole file
    before, after = (_plain(part) for part in (text[start : column - 1], text[column - 1 :][:MOST_CHARACTERS]))
    before = _last(before, BEFORE)
    shown = _first(before + after, COLUMNS)
    return f"{number:>5} | {shown}\n      | {' ' * width(before)}^"


def width(text: str) -> int:
    """Return how many columns a terminal needs for *text*."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _plain(text: str) -> str:
    return printable(text.replace("\t", " "))


def _first(text: str, columns: int) -> str:
    return text if width(text) <= columns else _fitting(text, columns - 1) + CUT


def _last(text: str, columns: int) -> str:
    return text if width(text) <= columns else CUT + _fitting(text[::-1], columns - 1)[::-1]


def _fitting(text: str, columns: int) -> str:
    """Return the beginning of *text* that has room in *columns*."""
    widths = accumulate(map(width, text[:columns]))
    return text[: sum(1 for one in widths if one <= columns)]
