"""Words for people: values, paths and texts of the file, safe to print on any terminal. Pure."""

import difflib
import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final

from neod.observability.streams import printable

Path = tuple[str | int, ...]
"""Where something stands in the file: ``("macvlans", "neo", "count")``; a number is an index of an array."""

SHOWN_CHARACTERS: Final = 40
MOST_GUESSES: Final = 64
BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def show(value: object) -> str:
    """Return a wrong value as an error names it: short, in one line, without control characters."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            cut = value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "…"
            return f"'{printable(cut)}'"
        case int() | float():
            return str(value)
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def toml(value: object) -> str:
    """Return *value* as it is written in the file."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{printable(escaped)}"'
        case list() | tuple():
            return f"[{', '.join(toml(item) for item in value)}]"
        case dict():
            return f"{{ {', '.join(f'{key_text(str(key))} = {toml(item)}' for key, item in value.items())} }}"
        case _:
            return str(value)


def key_text(key: str) -> str:
    """Return one part of a key, quoted where TOML wants quotes."""
    return key if BARE_KEY.fullmatch(key) else toml(key)


def path_text(path: Sequence[str | int]) -> str:
    """Return a path as people write it: ``macvlans.neo.macs[3]``; an array counts from 1 here."""
    parts = (f"[{part + 1}]" if isinstance(part, int) else f".{key_text(part)}" for part in path)
    return "".join(parts).lstrip(".")


def any_of(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the known word that *word* resembles, as a question; else all that is known, if it is not too much."""
    words = sorted(known)
    if len(words) > MOST_GUESSES:
        return ""
    if close := difflib.get_close_matches(word, words, n=1, cutoff=0.6):
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(words)}" if words else "nothing is known here"


def natural_sort_key(entry: tuple[str, object]) -> list[tuple[str, int, str]]:
    """Return what sorts the entries of a table by name the way people count: f2 before f10."""
    parts = re.split(r"([0-9]+)", entry[0])
    return [(text, len(n), n) for text, n in zip_longest(parts[::2], parts[1::2], fillvalue="")]
