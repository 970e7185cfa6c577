"""MPTCP connections as text, with a bar a path. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from neod.cli.text import GAP, Column, Screen, cut, table, wrap
from neod.control.verbs.paths import ConnectionRow, PathsReply, SubflowRow
from neod.model.words import count

BAR_COLUMNS: Final = 24
LEAST_BAR: Final = 8
BLOCKS: Final = " ▏▎▍▌▋▊▉█"
COLOUR_OF: Final = {
    "established": "green",
    "backup": "dim",
    "connecting": "yellow",
    "closing": "yellow",
    "stalled": "red",
}
COLUMNS: Final = (
    Column("PATH"),
    Column("SOURCE", least=9),
    Column("TO", least=7, optional=True),
    Column("RTT", right=True),
    Column("SENT", right=True),
    Column("RECEIVED", right=True, optional=True),
    Column("RATE", right=True),
    Column("", painted=True, least=LEAST_BAR, optional=True),
    Column("STATE", painted=True),
)
Key = tuple[str, int, str, int, str, int]


def rated(before: PathsReply, after: PathsReply) -> PathsReply:
    """Return *after* with the rates between the two; a new subflow keeps the kernel's rate."""
    elapsed_s = after.at_s - before.at_s
    old = {_key(row, flow): flow for row in before.connections for flow in row.subflows}
    if elapsed_s <= 0:
        return after
    return replace(
        after,
        connections=tuple(
            replace(row, subflows=tuple(_rated(flow, old.get(_key(row, flow)), elapsed_s) for flow in row.subflows))
            for row in after.connections
        ),
    )


def _key(row: ConnectionRow, flow: SubflowRow) -> Key:
    return row.netns, row.token, flow.source, flow.source_port, flow.to, flow.to_port


def _rated(flow: SubflowRow, old: SubflowRow | None, elapsed_s: float) -> SubflowRow:
    if old is None:
        return flow
    moved = flow.sent_bytes - old.sent_bytes + flow.received_bytes - old.received_bytes
    return replace(flow, rate_bytes_s=max(0, moved) / elapsed_s)


def paths(reply: PathsReply, screen: Screen) -> Iterator[str]:
    """Heading with the sum, then each connection with a line and a bar for each subflow."""
    flows = [flow for row in reply.connections for flow in row.subflows]
    if not reply.connections:
        yield "No MPTCP connections."
        return
    total = sum(flow.rate_bytes_s for flow in flows)
    used = len({flow.path or flow.source for flow in flows})
    parts = (count(len(reply.connections), "connection"), count(len(flows), "subflow"), f"{count(used, 'path')}")
    line = cut(" · ".join([*parts, mbit(total)]), screen.width - 2)
    yield f"{screen.paint('●', 'green' if flows else 'yellow')} {screen.paint(line, 'bold')}"
    fastest = max((flow.rate_bytes_s for flow in flows), default=0.0)
    for row in reply.connections:
        yield ""
        yield from _connection(row, fastest, screen)


def _connection(row: ConnectionRow, fastest: float, screen: Screen) -> Iterator[str]:
    arrow = {"client": "→", "server": "←"}.get(row.side, "–")
    rate = sum(flow.rate_bytes_s for flow in row.subflows)
    where = f"{row.netns}: " if row.netns else ""
    ends = f"{where}{row.local} {arrow} {row.remote}"
    parts = [count(len(row.subflows), "subflow"), mbit(rate), *([row.state] if row.state != "established" else [])]
    line = cut(f"{ends}  {' · '.join(parts)}", screen.width)
    yield screen.paint(line, "red" if row.state == "fallback" else "bold")
    if row.state == "fallback":
        yield from wrap(f"this is one TCP connection: {row.reason or 'MPTCP was not agreed, or given up'}", screen, 2)
    inner = Screen(max(screen.width - 2, 20), screen.colour)
    rows = [_cells(flow, fastest, BAR_COLUMNS) for flow in row.subflows]
    if rows:
        room = BAR_COLUMNS + inner.width - table_width(COLUMNS, rows)
        rows = [_cells(flow, fastest, min(max(room, LEAST_BAR), BAR_COLUMNS)) for flow in row.subflows]
        colours = [COLOUR_OF.get(flow.state, "") for flow in row.subflows]
        for text in table(COLUMNS, rows, inner, colours):
            yield f"  {text}"


def table_width(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    """Return how wide a table would like to be."""
    cells = zip((column.title for column in columns), *rows, strict=True)
    return sum(max(map(len, column)) + len(GAP) for column in cells) - len(GAP)


def _cells(flow: SubflowRow, fastest: float, bar_columns: int) -> tuple[str, ...]:
    return (
        flow.path or "-",
        flow.source,
        flow.to,
        f"{flow.rtt_ms:.0f} ms" if flow.rtt_ms >= 10 else f"{flow.rtt_ms:.1f} ms",
        size(flow.sent_bytes),
        size(flow.received_bytes),
        mbit(flow.rate_bytes_s),
        bar(flow.rate_bytes_s, fastest, bar_columns),
        flow.state,
    )


def bar(value: float, largest: float, columns: int = BAR_COLUMNS) -> str:
    """Return *value* as a bar of eighths of a column, padded to the length of *largest*."""
    eighths = round(columns * 8 * value / largest) if largest > 0 else 0
    full, rest = divmod(eighths, 8)
    return ("█" * full + (BLOCKS[rest] if rest else "")).ljust(columns)


def mbit(bytes_s: float) -> str:
    """Return a rate: ``9.4 Mbit/s``, ``1.21 Gbit/s``."""
    bits = bytes_s * 8
    if bits >= 1e9:
        return f"{bits / 1e9:.2f} Gbit/s"
    return f"{bits / 1e6:.1f} Mbit/s" if bits >= 1e5 or not bits else f"{bits / 1e3:.0f} kbit/s"


def size(number: int) -> str:
    """Return bytes in their decimal unit: ``51.2 MB``."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} TB"
