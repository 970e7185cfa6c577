"""Bars for a terminal. Pure."""

from collections.abc import Sequence

EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(value: float, most: float, width: int) -> str:
    """Return a bar of block characters, as exact as an eighth of one."""
    eighths = round(max(0.0, min(1.0, value / most if most else 0.0)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS[rest] if rest else "")


def bars(rows: Sequence[tuple[str, float]], width: int = 48, unit: str = "Mbit/s") -> list[str]:
    """Return a line each: its name, its bar, its value; the longest bar is the largest value."""
    most = max((value for _name, value in rows), default=0.0)
    label = max((len(name) for name, _value in rows), default=0)
    return [f"{name:<{label}}  {bar(value, most, width):<{width}} {value:6.1f} {unit}" for name, value in rows]


def columns(rows: Sequence[tuple[str, float]], most: float, height: int = 3, width: int = 4) -> list[str]:
    """Return standing bars side by side, each with its name below, cut to its place; *most* fills the height."""
    lines = []
    for level in range(height - 1, -1, -1):
        cells = (_cell(value / most * height - level if most else 0.0, width - 1) for _name, value in rows)
        lines.append("".join(cells).rstrip())
    lines.append("".join(f"{name[: width - 1]:<{width}}" for name, _value in rows).rstrip())
    return lines


def _cell(filled: float, width: int) -> str:
    """Return one row of a standing bar: *filled* of it, from below."""
    steps = " ▁▂▃▄▅▆▇█"
    return steps[round(max(0.0, min(1.0, filled)) * 8)] * width + " "


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows with their columns aligned; the first row is the heading, with a line below."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("─" * width for width in widths), *lines[1:]]
