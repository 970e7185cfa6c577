"""Resources, leases, reasons and events as text. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from neod.cli.render import COLOUR_OF
from neod.cli.text import Column, Screen, clock, cut, date, moment, pairs, span, table, wrap
from neod.control.verbs.events import EventRecord
from neod.control.verbs.mode import ModeReply, WaitReply
from neod.control.verbs.objects import LeaseRow, LeasesReply, ShowReply, WhyReply
from neod.model.words import count, maker, waits_for

LEASE_COLUMNS: Final = (
    Column("LINK"),
    Column("ADDRESS"),
    Column("GATEWAY"),
    Column("SERVER", optional=True),
    Column("STATE"),
    Column("RENEW", optional=True),
    Column("EXPIRES"),
)
SHOW_COLUMNS: Final = (Column("OBJECT", least=20), Column("VALUES", least=20))

ALSO: Final = 4
"""So many of the other objects that a name stands for are shown."""

MADE_BY: Final = {"missing": "deleted", "modified": "changed", "orphan": "added"}
ALONE: Final = {"missing": "was missing", "orphan": "was left over"}
EVENT_COLOUR: Final = {"repaired": "yellow", "failed": "red", "conflict": "red", "contested": "red"}


def show(reply: ShowReply, screen: Screen) -> Iterator[str]:
    """One line a resource; an observed one shows whether it is owned."""
    columns: tuple[Column, ...] = SHOW_COLUMNS
    rows: list[tuple[str, ...]] = [(item.object, pairs(item.spec) or "-") for item in reply.resources]
    if reply.which == "observed":
        marks = ["ours" if item.owned else "foreign" for item in reply.resources]
        columns, rows = (Column("MARK"), *columns), [(mark, *row) for mark, row in zip(marks, rows, strict=True)]
    if rows:
        yield from table(columns, rows, screen)
    yield f"{count(len(reply.resources), 'object')} {reply.which}."


def leases(reply: LeasesReply, screen: Screen) -> Iterator[str]:
    """One line a client; below it what keeps it from a lease."""
    if not reply.leases:
        yield "No interface is leased by neod."
        return
    lines = table(LEASE_COLUMNS, [_lease(row) for row in reply.leases], screen)
    yield lines[0]
    for row, line in zip(reply.leases, lines[1:], strict=True):
        yield line
        if row.detail:
            yield from wrap(row.detail, screen, 6)


def _lease(row: LeaseRow) -> tuple[str, ...]:
    renew = "-" if row.renew_in_s is None else span(row.renew_in_s)
    forever = "forever" if row.address else "-"
    expires = forever if row.expires_in_s is None else span(row.expires_in_s)
    return (row.link, row.address or "-", row.gateway or "-", row.server or "-", row.state, renew, expires)


def why(reply: WhyReply, screen: Screen) -> Iterator[str]:
    """Line of the file, lease, values, needs and the last actions."""
    colour = COLOUR_OF.get(reply.phase, "")
    yield f"{cut(reply.object, screen.width - len(reply.phase) - 2)}  {screen.paint(reply.phase, colour)}"
    told: tuple[str, ...] = (reply.drift.reason, reply.drift.error) if reply.drift else ()
    told += (waits_for(reply.drift.waits_for),) if reply.drift and reply.drift.waits_for else ()
    for text in filter(None, dict.fromkeys((reply.reason, *told))):  # what waits may say so twice
        yield from wrap(text, screen, 2)
    for one in reply.conditions:
        if one.status is False:
            yield from wrap(f"not {one.name} since {moment(one.since)}: {one.evidence}", screen, 2)
    if reply.file:
        place = f"{reply.file}:{reply.line}" if reply.line else f"{reply.file}, by default"
        yield cut(f"  asked for by  {place} [{reply.table}]", screen.width)
        if reply.text:
            yield cut(f"                {reply.text.strip()}", screen.width)
    if reply.lease:
        yield from _entry("lease", reply.lease, screen)
    yield from _values(reply, screen)
    for number, need in enumerate(reply.needs):
        yield from _entry("" if number else "needs", f"{need.object} ({need.phase})", screen)
    for number, other in enumerate(reply.also[:ALSO]):
        yield from _entry("" if number else "also", f"{other.object} ({other.phase})", screen)
    if len(reply.also) > ALSO:
        yield from _entry("", "and more: neodctl status OBJECT shows all", screen)
    if reply.actions:
        yield "  last actions"
        for day, record in by_day(reply.actions):
            yield from ([f"    {day}"] if day else [])
            yield from event(record, screen, indent=4)


def _values(reply: WhyReply, screen: Screen) -> Iterator[str]:
    if reply.desired is None and reply.observed is None and (reply.phase not in COLOUR_OF or reply.drift):
        return
    if reply.desired is not None and reply.observed is not None and reply.desired.items() <= reply.observed.items():
        yield from _entry("is", pairs(reply.observed) or "there", screen)
        return
    yield from _entry("desired", _spec(reply.desired, "not desired"), screen)
    whose = "" if reply.owned or reply.observed is None else " (foreign: without our mark)"
    yield from _entry("observed", _spec(reply.observed, "not there") + whose, screen)


def _spec(values: Mapping[str, str] | None, absent: str) -> str:
    return absent if values is None else pairs(values) or "there"


def _entry(name: str, text: str, screen: Screen) -> Iterator[str]:
    first, *rest = wrap(text, screen, 16)
    yield f"  {name:<14}{first[16:]}"
    yield from rest


def by_day(records: Iterable[EventRecord], day: str = "") -> Iterator[tuple[str, EventRecord]]:
    """Yield each event with its date; with an empty one where that is as before, at first as *day*."""
    for record in records:
        now = date(record.time)
        yield ("" if now == day else now), record
        day = now


def event(record: EventRecord, screen: Screen, indent: int = 0) -> Iterator[str]:
    """One line an event, two where the terminal is narrow."""
    margin = " " * indent
    time, what = clock(record.time), f"{record.what:<8}"
    took = "" if record.duration_ms is None else f"{record.duration_ms:.1f} ms"
    rest = "  ".join(filter(None, (_cause(record), record.detail, record.error, took)))
    start = f"{margin}{time}  {screen.paint(what, EVENT_COLOUR.get(record.what, 'green'))}"
    column = len(margin) + len(time) + len(what) + 4
    if column + len(record.object) + 2 + len(rest) <= screen.width:
        yield "  ".join(filter(None, (start, record.object, rest)))
        return
    first, *others = [*([record.object] if record.object else []), *wrap(rest, screen, column)]
    yield f"{start}  {first.strip()}"
    yield from others


def _cause(record: EventRecord) -> str:
    if not record.drift:
        return ""
    if by := maker(record.drift, record.by, record.detail):
        return f"{MADE_BY.get(record.drift, record.drift)} by {by}"
    return ALONE.get(record.drift, record.drift)


def mode(reply: ModeReply, screen: Screen) -> Iterator[str]:
    """What neod does now."""
    if reply.mode == "running":
        yield "neod changes things again."
        return
    until = f"until {moment(reply.until)}" if reply.until else "until neodctl resume"
    yield from wrap(f"neod is {reply.mode}: it observes and reports, and changes nothing {until}.", screen, 0)


def wait(reply: WaitReply, screen: Screen) -> Iterator[str]:
    """What has come."""
    if not (reply.converged or reply.paths):
        yield "ready: the file has no paths to wait for; neodctl status says the rest"
        return
    ready = "converged" if reply.converged else f"ready: {', '.join(reply.paths)}"
    yield cut(f"{ready} after {span(reply.waited_s)}", screen.width)
