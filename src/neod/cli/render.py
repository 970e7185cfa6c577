"""``status`` as text. Pure: reply and screen in, lines out; ``text.page`` cleans what comes in."""

from collections.abc import Iterable, Iterator
from typing import Final

from neod.cli.exits import FINE, of_status
from neod.cli.text import Column, Screen, cut, moment, span, table, wrap
from neod.control.verbs.status import ASKED, Drift, ForwardRow, NamespaceRow, PathRow, StatusReply
from neod.model.words import LEASE_FOR, by_reason, count, folded, wait_for, waited_for, waits_for

COLOUR_OF: Final = {
    "in-sync": "green",
    "degraded": "yellow",
    "changing": "yellow",
    "blocked": "yellow",
    "retrying": "yellow",
    "failed": "red",
    "conflict": "red",
    "contested": "red",
    "down": "red",
}
WORST_FIRST: Final = ("failed", "conflict", "contested", "retrying", "blocked", "changing")

PATH_COLUMNS: Final = (
    Column("PATH"),
    Column("ADDRESS"),
    Column("LEASE"),
    Column("TABLE", right=True),
    Column("RULE", right=True),
    Column("MPTCP", least=7),
    Column("STATE", painted=True),
    Column("", least=12, optional=True),
)
FORWARD_COLUMNS: Final = (
    Column("FORWARD", least=8),
    Column("PORTS", least=9),
    Column("TO"),
    Column("SNAT", least=6),
    Column("STATE", painted=True),
    Column("", least=12, optional=True),
)
NAMESPACE_COLUMNS: Final = (
    Column("NAMESPACE", least=9),
    Column("UPLINK"),
    Column("SUBNET"),
    Column("EXPOSES", least=7),
    Column("RELAYS", least=8),
    Column("STATE", painted=True),
    Column("", least=12, optional=True),
)


def status(reply: StatusReply, screen: Screen) -> Iterator[str]:
    """Heading, what needs attention, the tables, the drifts."""
    yield _heading(reply, screen)
    yield from _attention(reply, screen)
    if reply.paths:
        yield ""
        yield from table(PATH_COLUMNS, [_path(row) for row in reply.paths], screen, _colours(reply.paths))
    if reply.forwards:
        yield ""
        yield from table(FORWARD_COLUMNS, [_forward(row) for row in reply.forwards], screen, _colours(reply.forwards))
    if reply.namespaces:
        yield ""
        rows = [_namespace(row) for row in reply.namespaces]
        yield from table(NAMESPACE_COLUMNS, rows, screen, _colours(reply.namespaces))
    if reply.objects:
        yield ""
        objects = [(row.object, row.origin, row.phase) for row in reply.objects]
        columns = (Column("OBJECT", least=24), Column("ASKED FOR BY", optional=True), Column("STATE", painted=True))
        yield from table(columns, objects, screen, _colours(reply.objects, "phase"))
    if reply.drifts:
        yield ""
        yield screen.paint(count(len(reply.drifts), "drift").upper(), "bold")
        asked = [drift.object for drift in reply.drifts if drift.reason == ASKED]
        for drift, links in _folded(drift for drift in reply.drifts if drift.reason != ASKED).items():
            yield from _drift(drift, links, screen)
        if asked:
            others = f" and {len(asked) - 1} more" if asked[1:] else ""
            yield f"  {cut(asked[0], screen.width - 26)}{others}  {screen.paint('changing', COLOUR_OF['changing'])}"
            yield f"      {ASKED}"


def _heading(reply: StatusReply, screen: Screen) -> str:
    overall, colour = _overall(reply)
    down = sum(1 for row in reply.paths if row.reason or reply.mode == "down")
    paths = count(len(reply.paths), "path")
    paths = f"{len(reply.paths) - down} of {paths} up" if down else paths
    parts = [f"neod {overall}", paths, count(len(reply.drifts), "drift")]
    line = cut(" · ".join([*parts, f"file {reply.file.path}"]), screen.width - 2)
    head = f"neod {overall}"
    return f"{screen.paint('●', colour)} {screen.paint(line[: len(head)], 'bold')}{line[len(head) :]}"


def _overall(reply: StatusReply) -> tuple[str, str]:
    """Return the overall state and its colour: those of the worst object."""
    if reply.mode != "running":
        return reply.mode, "yellow"
    if reply.converged:
        return "converged", "green" if of_status(reply) == FINE else "yellow"
    if reply.file.state != "ok" and not reply.drifts:
        return reply.file.state, "yellow"
    worst = next((phase for phase in WORST_FIRST if any(d.phase == phase for d in reply.drifts)), "changing")
    return worst, COLOUR_OF[worst]


def _attention(reply: StatusReply, screen: Screen) -> Iterator[str]:
    """What must be known to read the tables."""
    if reply.mode == "paused":
        until = f"until {moment(reply.until)}" if reply.until else "until neodctl resume"
        yield f"  changes nothing {until}"
    if reply.mode == "down":
        yield "  everything owned was removed; neodctl resume, reload or a restart brings it back"
    if reply.confirm_s is not None:
        yield f"  the last reload is undone in {span(reply.confirm_s)}, unless: neodctl confirm"
    if reply.file.state != "ok":
        loaded = f", read at {moment(reply.file.loaded)}" if reply.file.loaded else ""
        why = "the last reload was not confirmed" if reply.file.unconfirmed else "the file has errors"
        for line in wrap(f"{why}; neod goes on with the one before{loaded}:", screen, 2):
            yield screen.paint(line, "red")
        for problem in reply.file.problems:
            yield from wrap(problem, screen, 4)
    for warning in reply.file.warnings:
        yield from wrap(f"warning: {warning}", screen, 2)
    for reason, names in by_reason((row.reason, row.name) for row in reply.paths if row.reason).items():
        yield from wrap(f"{folded(names)}: {reason}", screen, 2)
    for note in reply.notes:
        yield from wrap(note, screen, 2)


def _colours(
    rows: tuple[PathRow, ...] | tuple[ForwardRow, ...] | tuple[NamespaceRow, ...] | tuple[object, ...],
    field: str = "state",
) -> list[str]:
    return [COLOUR_OF.get(getattr(row, field), "") for row in rows]


def _path(row: PathRow) -> tuple[str, ...]:
    return (
        row.name,
        row.address or "-",
        _lease(row),
        str(row.table),
        "-" if row.rule_priority is None else str(row.rule_priority),
        _endpoint(row),
        row.state,
        row.detail,
    )


def _lease(row: PathRow) -> str:
    if row.ipv4 != "dhcp":
        return row.ipv4
    if row.lease_left_s is None:
        return "forever" if row.address else "-"
    return span(row.lease_left_s)


def _endpoint(row: PathRow) -> str:
    if not row.mptcp:
        return "-"
    flags = ",".join(row.mptcp)
    if row.mptcp_id is not None:
        return f"{flags} {row.mptcp_id}"
    if row.mptcp_state == "neod":
        return f"{flags} neod"
    return f"({flags}) {row.mptcp_state}".rstrip()


def _forward(row: ForwardRow) -> tuple[str, ...]:
    return (row.name, f"{row.protocol} {','.join(row.ports)}", row.to, row.snat, row.state, row.detail)


def _namespace(row: NamespaceRow) -> tuple[str, ...]:
    exposes, relays = ",".join(row.expose) or "-", ",".join(row.relay_addresses) or "-"
    return (row.name, row.uplink, row.subnet, exposes, relays, row.state, row.detail)


def _folded(drifts: Iterable[Drift]) -> dict[Drift, list[str]]:
    """Return *drifts* with the links that wait for leases: of those that say the same, the first stands for all.

    For none of them, there are no links.
    """
    found: dict[object, tuple[Drift, list[str]]] = {}
    for drift in drifts:
        link = _waiting(drift)
        same: object = (drift.phase, drift.reason, drift.origin) if link else drift
        found.setdefault(same, (drift, []))[1].extend([link] if link else ())
    return dict(found.values())


def _waiting(drift: Drift) -> str:
    """Return the link that waits for a lease, or for what a lease has not; empty for anything else."""
    first = next(iter(drift.waits_for), "")
    unit, *parts = drift.object.split("/")
    of_path = parts[0] if first and ":" not in unit and parts[1:] == ["path"] else ""
    return first.removeprefix(LEASE_FOR) if first.startswith(LEASE_FOR) else of_path


def _drift(drift: Drift, links: list[str], screen: Screen) -> Iterator[str]:
    """The object and its phase on one line; why, and what happens next, below it. *links* wait for leases."""
    colour = COLOUR_OF.get(drift.phase, "")
    phase = f"{drift.phase} ({drift.kind})" if drift.kind else drift.phase
    room = screen.width - len(phase) - 4
    yield f"  {cut(folded(links) if len(links) > 1 else drift.object, room)}  {screen.paint(phase, colour)}"
    by = f"by {drift.by}" if drift.by and drift.by not in drift.reason else ""
    reason = wait_for(links, *waited_for(drift.reason)) if links else drift.reason
    for line in (" · ".join(filter(None, (reason, by))), drift.error):
        if line:
            yield from wrap(line, screen, 6)
    if drift.waits_for and not links:
        yield from wrap(waits_for(drift.waits_for), screen, 6)
    following = "" if drift.next_attempt_s is None else f"next attempt in {span(max(1.0, drift.next_attempt_s))}"
    origin = f"asked for by {drift.origin}" if drift.origin else ""
    if last := " · ".join(filter(None, (following, origin))):
        yield from wrap(last, screen, 6)
