"""Text for a terminal: clean, aligned, cut to its width. Pure."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, TextIO, TypeVar

from neod.observability.streams import printable

T = TypeVar("T")

UNBOUNDED: Final = 1_000_000  # columns of what is no terminal: cut nothing that a program reads
GAP: Final = "  "

COLOURS: Final = {"green": "32", "yellow": "33", "red": "31", "bold": "1", "dim": "2"}


@dataclass(frozen=True, slots=True)
class Screen:
    width: int = 80  # columns
    colour: bool = False

    def paint(self, text: str, colour: str) -> str:
        """Return *text* in *colour*, or as it is where there are none."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.colour and colour else text


def screen_of(out: TextIO, environ: Mapping[str, str]) -> Screen:
    """Return what *out* can show. COLUMNS and NO_COLOR are respected."""
    terminal = out.isatty()
    colour = terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    if environ.get("COLUMNS", "").isdecimal() and int(environ["COLUMNS"]):
        return Screen(int(environ["COLUMNS"]), colour)
    try:
        return Screen(os.get_terminal_size(out.fileno()).columns if terminal else UNBOUNDED, colour)
    except OSError:
        return Screen(80, colour)


def cleaned(value: T) -> T:
    """Return *value*, a tree of dataclasses, tuples and mappings, with every string clean."""
    return _cleaned(value)  # type: ignore[no-any-return]


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        return tuple(map(_cleaned, value))
    if isinstance(value, Mapping):
        return {printable(name): _cleaned(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return _cleaned_fields(value)
    return value


def _cleaned_fields(value: Any) -> Any:
    """Return *value* itself where nothing had to be cleaned, which is nearly always."""
    changed = {}
    for item in fields(value):
        before = getattr(value, item.name)
        if before.__class__ is str and before.isprintable():
            continue
        if (after := _cleaned(before)) != before:
            changed[item.name] = after
    return replace(value, **changed) if changed else value


def cut(text: str, width: int) -> str:
    """Return *text* in at most *width* columns; an ellipsis says that something is missing."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def wrap(text: str, screen: Screen, indent: int) -> list[str]:
    """Return *text* as lines indented by *indent*, broken at spaces."""
    margin = " " * indent
    if indent + len(text) <= screen.width:
        return [margin + text]
    import textwrap  # rarely needed, and not free

    return textwrap.wrap(
        text, max(screen.width, indent + 20), initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    )


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    right: bool = False  # numbers
    least: int | None = None  # columns it may be cut to; None: never cut
    optional: bool = False  # left out where even that is too much
    painted: bool = False  # it and what follows have the colour of the row


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], screen: Screen, colours: Sequence[str] = ()
) -> list[str]:
    """Return heading and rows as lines; row *i* is painted in ``colours[i]``, from the painted column on."""
    titles = [column.title for column in columns]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    _fit(columns, widths, screen.width)
    kept = [i for i, width in enumerate(widths) if width]
    head = sum(widths[i] + len(GAP) for i in kept if i < _painted(columns))
    lines = [screen.paint(_line(columns, titles, widths, kept, screen), "bold")]
    for row, colour in zip(rows, colours or [""] * len(rows), strict=True):
        line = _line(columns, row, widths, kept, screen)
        lines.append(line[:head] + screen.paint(line[head:], colour) if colour and screen.colour else line)
    return lines


def _painted(columns: Sequence[Column]) -> int:
    return next((i for i, column in enumerate(columns) if column.painted), len(columns))


def _fit(columns: Sequence[Column], widths: list[int], width: int) -> None:
    """Lower *widths* until the table fits, to 0 for what is left out: optional columns first, the last first."""
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    for i in reversed(range(len(columns))):
        if excess > 0 and columns[i].optional and widths[i]:
            narrow = widths[i] - excess
            after = narrow if narrow >= (columns[i].least or widths[i]) else 0
            excess -= widths[i] - after + (0 if after else len(GAP))
            widths[i] = after
    while excess > 0:
        loose = [i for i, column in enumerate(columns) if column.least is not None and widths[i] > column.least]
        if not loose:
            return
        widths[max(loose, key=lambda i: widths[i])] -= 1
        excess -= 1


def _line(columns: Sequence[Column], cells: Sequence[str], widths: list[int], kept: list[int], screen: Screen) -> str:
    parts = [
        cut(cells[i], widths[i]).rjust(widths[i]) if columns[i].right else cut(cells[i], widths[i]).ljust(widths[i])
        for i in kept
    ]
    return cut(GAP.join(parts).rstrip(), screen.width)


def span(seconds: float) -> str:
    """Return a duration in its two greatest units: ``58min 3s``, ``2d 4h``."""
    left = max(0, round(seconds))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


# Instants come from neod with the offset of its zone, and are shown in the reader's: the rule of journalctl.


def _local(instant: str) -> tuple[str, str]:
    from datetime import datetime  # not free, and most pages have no instant

    try:
        found = datetime.fromisoformat(instant).astimezone()
    except ValueError:
        return "", instant
    milliseconds = f".{found.microsecond // 1000:03}" if "." in instant else ""
    return f"{found:%Y-%m-%d}", f"{found:%H:%M:%S}{milliseconds}"


def date(instant: str) -> str:
    """Return the local date of an ISO 8601 instant."""
    return _local(instant)[0]


def clock(instant: str) -> str:
    """Return the local time of day of an ISO 8601 instant, with its milliseconds where it has them."""
    return _local(instant)[1]


def moment(instant: str) -> str:
    """Return local date and time of an ISO 8601 instant, to the second."""
    day, time = _local(instant)
    return f"{day} {time.partition('.')[0]}".lstrip()


def pairs(values: Mapping[str, str]) -> str:
    """Return ``a=1 b=2``."""
    return " ".join(f"{name}={value}" for name, value in values.items())


def page(view: Callable[[T, Screen], Iterable[str]], reply: T, screen: Screen) -> str:
    """Return *reply* as text. The only way from a reply to a terminal: nothing gets there uncleaned."""
    return "".join(f"{line}\n" for line in view(cleaned(reply), screen))
