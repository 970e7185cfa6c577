"""Plans and what came of them as text. Pure.

The signs are those of ``plan`` everywhere: what will happen to the kernel.
netplan and git read the other way round, so every page states its direction.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from neod.cli.text import Screen, cut, pairs, span, wrap
from neod.control.verbs.plan import (
    ApplyReply,
    BlockedRow,
    ChangeRow,
    OutcomeRow,
    PlanReply,
    ReloadReply,
)
from neod.model.words import count, waits_for

SIGNS: Final = {"create": "+", "update": "~", "delete": "-", "recreate": "±", "conflict": "!"}
COLOUR_OF: Final = {"create": "green", "update": "yellow", "delete": "red", "recreate": "yellow", "conflict": "red"}
VERBS: Final = {"create": "create", "update": "change", "delete": "remove", "recreate": "re-create"}
NONE: Final[Mapping[str, str]] = {}


def plan(reply: PlanReply, screen: Screen) -> Iterator[str]:
    """One line a change, in the order of the pass."""
    yield from _warnings(reply, screen)
    if not (reply.changes or reply.blocked or reply.conflicts):
        yield f"Nothing to do: the kernel is what {reply.file} says."
        return
    yield cut(f"What a pass would do to the kernel, so that it is what {reply.file} says:", screen.width)
    yield from _steps(reply, screen)


def _steps(reply: PlanReply, screen: Screen) -> Iterator[str]:
    for change in (*reply.changes, *reply.conflicts):
        yield _one_line(change, screen)
    yield from _blocked(reply.blocked, screen)
    yield from wrap(_summary(reply), screen, 0)
    yield from impact(reply, screen)
    yield from _until_resume(reply)


def impact(reply: PlanReply, screen: Screen) -> Iterator[str]:
    """What goes, and whether the caller's own connection comes in by it."""
    found = reply.impact
    if found is None:
        return
    if goes := str(found):
        yield from wrap(f"Impact: {goes}.", screen, 0)
    if found.caller:
        back = "`neodctl reload --confirm 60s` goes back by itself"
        text = f"warning: your own connection comes in {found.caller}; {back}"
        yield from (screen.paint(line, "red") for line in wrap(text, screen, 0))


def _until_resume(reply: PlanReply) -> Iterator[str]:
    if reply.mode != "running":
        yield f"neod is {reply.mode}: it does nothing of this until neodctl resume."


def diff(reply: PlanReply, screen: Screen) -> Iterator[str]:
    """Every field that differs, in the order of the pass."""
    yield from _warnings(reply, screen)
    if not (reply.changes or reply.blocked or reply.conflicts):
        yield f"No difference: the kernel is what {reply.file} says."
        return
    yield "From the kernel as it is (-) to what is desired (+):"
    for change in (*reply.changes, *reply.conflicts):
        yield _head(change, screen)
        for line in _fields(change):
            yield screen.paint(cut(f"    {line}", screen.width), COLOUR_OF.get(change.op, ""))
    yield from _blocked(reply.blocked, screen)
    yield from wrap(_summary(reply), screen, 0)
    yield from _until_resume(reply)


def reload(reply: ReloadReply, screen: Screen) -> Iterator[str]:
    """What the file leads to, which is being done, and how long one has to confirm it."""
    found = reply.plan
    yield from _warnings(found, screen)
    if found.changes or found.blocked or found.conflicts:
        yield cut(f"{found.file} is in force. What neod does to the kernel for it now:", screen.width)
        yield from _steps(found, screen)
    else:
        yield f"{found.file} is in force. Nothing to do: the kernel is what it says."
    yield from _until_confirmed(reply)


def reloaded(reply: ReloadReply, screen: Screen) -> Iterator[str]:
    """The same where the plan was shown already."""
    yield cut(f"{reply.plan.file} is in force.", screen.width)
    yield from _until_resume(reply.plan)
    yield from _until_confirmed(reply)


def _until_confirmed(reply: ReloadReply) -> Iterator[str]:
    if reply.confirm_s is not None:
        yield f"Undone in {span(reply.confirm_s)}, unless: neodctl confirm"


def apply(reply: ApplyReply, screen: Screen) -> Iterator[str]:
    """What was done, what was not, and where that leaves us."""
    yield from _warnings(reply, screen)
    for outcome in reply.outcomes:
        yield from _outcome(outcome, screen)
    for conflict in reply.conflicts:
        yield _one_line(conflict, screen)
    yield from _blocked(reply.blocked, screen)
    results = Counter(outcome.result for outcome in reply.outcomes)
    parts = [count(results["done"], "change"), *(f"{results[r]} {r}" for r in ("failed", "skipped") if results[r])]
    parts += [f"{len(reply.blocked)} blocked"] if reply.blocked else []
    end = "converged" if reply.converged else "not converged"
    if reply.mode == "down":
        end = "nothing of neo's is left" if reply.converged else "not all is removed"
    yield f"Pass {reply.number}: {', '.join(parts)} in {reply.duration_ms:.1f} ms; {end}."
    if reply.mode == "down":
        yield "neod is down: neodctl resume, reload or a restart brings everything back."


def _warnings(reply: PlanReply | ApplyReply, screen: Screen) -> Iterator[str]:
    for warning in reply.warnings:
        yield from wrap(f"warning: {warning}", screen, 0)


def _head(change: ChangeRow, screen: Screen) -> str:
    line = cut(f"{SIGNS.get(change.op, '?')} {change.object}", screen.width)
    return screen.paint(line, COLOUR_OF.get(change.op, ""))


def _one_line(change: ChangeRow, screen: Screen) -> str:
    head = cut(f"  {SIGNS.get(change.op, '?')} {change.object}", screen.width)
    rest = _in_short(change)
    room = screen.width - len(head) - 2
    painted = screen.paint(head, COLOUR_OF.get(change.op, ""))
    return f"{painted}  {cut(rest, room)}" if rest and room > 8 else painted


def _in_short(change: ChangeRow) -> str:
    if change.op == "conflict":
        return f"held by {change.by}" if change.by else "somebody else's, left alone"
    if change.op == "delete":
        return "not desired"
    if change.op == "create":
        return pairs(change.after or NONE)
    return ", ".join(_turns(change))


def _turns(change: ChangeRow) -> Iterator[str]:
    """``mtu: 1500 → 1400``, for every field that differs."""
    before, after = change.before or NONE, change.after or NONE
    for name in change.fields:
        yield f"{name}: {before.get(name, '-')} → {after.get(name, '-')}"


def _fields(change: ChangeRow) -> Iterator[str]:
    if change.op == "create":
        yield from (f"+ {name}: {value}" for name, value in (change.after or NONE).items())
    elif change.op == "delete":
        yield from (f"- {name}: {value}" for name, value in (change.before or NONE).items())
    else:
        yield from (f"~ {turn}" for turn in _turns(change))
    if change.op == "conflict":
        yield _in_short(change)


def _blocked(rows: tuple[BlockedRow, ...], screen: Screen) -> Iterator[str]:
    for row in rows:
        waits = waits_for(row.waits_for)
        head = cut(f"  … {row.object}", screen.width)
        room = screen.width - len(head) - 2
        if len(waits) <= room:
            yield f"{screen.paint(head, 'yellow')}  {waits}"
        else:
            yield screen.paint(head, "yellow")
            yield from wrap(waits, screen, 8)


def _summary(reply: PlanReply) -> str:
    ops = Counter(change.op for change in reply.changes)
    kinds = ", ".join(f"{ops[op]} to {verb}" for op, verb in VERBS.items() if ops[op])
    parts = [count(len(reply.changes), "change") + (f" ({kinds})" if kinds else "")]
    parts += [f"{len(reply.blocked)} blocked"] if reply.blocked else []
    parts += [count(len(reply.conflicts), "conflict")] if reply.conflicts else []
    return ", ".join(parts) + "."


def _outcome(outcome: OutcomeRow, screen: Screen) -> Iterator[str]:
    colour = COLOUR_OF.get(outcome.op, "") if outcome.result == "done" else "red"
    suffix = "" if outcome.result == "done" else f"  {outcome.result}"
    object_ = cut(f"  {SIGNS.get(outcome.op, '?')} {outcome.object}", screen.width - len(suffix))
    yield screen.paint(object_ + suffix, colour)
    if outcome.error:
        yield from wrap(outcome.error, screen, 8)
    if outcome.skipped_for:
        yield from wrap(f"because of {', '.join(outcome.skipped_for)}", screen, 8)
