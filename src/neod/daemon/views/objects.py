"""Rows about single objects, for ``status``, ``show`` and ``why``. Pure reading; decides and changes nothing."""

from collections.abc import Callable, Iterable

from neod.control.verbs.objects import Resource, ShowReply
from neod.control.verbs.status import ASKED as ASKED_WORDS
from neod.control.verbs.status import Drift, ObjectRow
from neod.daemon.controller import Controller
from neod.daemon.describe import flat
from neod.daemon.views import causes
from neod.kinds import KINDS
from neod.model.key import Key
from neod.model.status import ASKED, ObjectPhase, ObjectStatus
from neod.model.words import ANOTHER, waits_for

DOWN = "down"
REASONS = {
    ObjectPhase.FAILED: "the kernel refuses it",
    ObjectPhase.RETRYING: "the kernel refused it for now",
    ObjectPhase.BLOCKED: "",  # what it waits for says it
    ObjectPhase.CHANGING: "differs, but neod is paused",
}


def origin_of(controller: Controller, key: Key) -> str:
    """Return the place in the file that asks for *key*."""
    want = controller.state.desired.wants.get(key)
    return str(want.origin) if want else ""


def drift_row(controller: Controller, key: Key, status: ObjectStatus, of_nic: Callable[[str], str]) -> Drift:
    """Return one object that is not in sync as people read it; *of_nic* tells what is wrong with a NIC."""
    now = controller.clock.boottime()
    next_s = None if status.next_at is None else round(max(0.0, status.next_at - now), 1)
    shown = controller.state.status.of  # what is shown of these is in a row of their own
    reason = _meaning(status) or causes.of_needs(of_nic, (need for need in status.waits_for if not shown(need)))
    return Drift(
        str(key),
        str(status.phase),
        str(status.drift or ""),
        reason,
        tuple(map(str, status.waits_for)),
        status.error.refusal if status.error else "",
        next_s,
        str(status.actor or ""),
        origin_of(controller, key),
    )


def phase_of(controller: Controller, key: Key) -> str:
    """Return the phase of one key; an object that only others need is in-sync when it is there."""
    if status := controller.state.status.of(key):
        return str(status.phase)
    if controller.state.desired.suspended and key in controller.state.desired.written:
        return DOWN
    return str(ObjectPhase.IN_SYNC if controller.state.observed.present(key) else ObjectPhase.BLOCKED)


def object_rows(controller: Controller, keys: Iterable[Key]) -> tuple[ObjectRow, ...]:
    return tuple(
        ObjectRow(str(key), phase_of(controller, key), origin_of(controller, key)) for key in sorted(keys, key=str)
    )


def resource(controller: Controller, key: Key, spec: object, owned: bool = True) -> Resource:
    return Resource(str(key), key.kind, flat(spec, controller.clock.boottime()), owned, origin_of(controller, key))


def why_not_in_sync(status: ObjectStatus) -> str:
    """Return what is in the way, the error, what it waits for, or the meaning of the phase."""
    if status.error is not None:
        return _meaning(status) if status.error.obstacle else str(status.error)
    if status.waits_for:
        return waits_for(status.waits_for)
    return _meaning(status)


def _meaning(status: ObjectStatus) -> str:
    if status.error is not None and status.error.obstacle:
        return status.error.obstacle.text
    if status.phase is ObjectPhase.CONTESTED:
        who = status.actor or ANOTHER
        return f"{who} keeps undoing it: repaired {status.attempts} times within a minute; repairs slow down"
    if status is ASKED:
        return ASKED_WORDS
    if status.phase is ObjectPhase.CONFLICT and status.change is not None:
        return KINDS[status.change.key.kind].conflict(status.change.before)
    return REASONS.get(status.phase, "")


def show_reply(controller: Controller, which: str, kind: str | None) -> ShowReply:
    """Return the desired or the observed resources, of one kind or of all."""
    if which == "desired":
        found = [resource(controller, key, spec) for key, spec in controller.state.desired.written.items()]
    else:
        seen = controller.state.observed
        found = [resource(controller, key, seen[key].spec, seen[key].owned) for key in seen]
    chosen = [r for r in found if kind in (None, r.kind)]
    return ShowReply(which, tuple(sorted(chosen, key=lambda r: (r.kind, r.object))))
