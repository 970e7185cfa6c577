"""Replies of the control socket, made from the daemon's state. Pure reading; decides and changes nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from neod.control.verbs.objects import LeaseRow, Resource
from neod.control.verbs.plan import ApplyReply, BlockedRow, ChangeRow, OutcomeRow, PlanReply
from neod.control.verbs.status import Drift, ObjectRow, PassSummary, PathRow
from neod.daemon.controller import Controller
from neod.daemon.views.describe import differing, flat, iso
from neod.features.intents import PathInfo
from neod.model.change import Change, Op, Outcome, Plan, Report
from neod.model.facts import FOREVER, Lease
from neod.model.key import Key, LinkKey
from neod.model.status import SEVERITY, ObjectStatus, Phase
from neod.model.want import FactKey

REASONS = {
    Phase.FAILED: "the kernel refuses it",
    Phase.CONFLICT: "a foreign object holds this name; neod leaves it alone",
    Phase.CONTESTED: "somebody keeps undoing it; repairs slow down",
    Phase.RETRYING: "the kernel refused it for now",
    Phase.BLOCKED: "",  # what it waits for says it
    Phase.CHANGING: "differs, but neod is paused",
}


def change_row(controller: Controller, change: Change) -> ChangeRow:
    """Return one change as people read it."""
    now = controller.clock.boottime()
    before = None if change.before is None else flat(change.before, now)
    after = None if change.after is None else flat(change.after, now)
    names = differing(before, after) if change.op in (Op.UPDATE, Op.RECREATE, Op.CONFLICT) else ()
    names = tuple(name for name in names if after and name in after)
    return ChangeRow(str(change.op), str(change.key), before, after, names, origin_of(controller, change.key))


def origin_of(controller: Controller, key: Key) -> str:
    """Return the place in the file that asks for *key*, in words."""
    want = controller.reconciler.desire.wants.get(key)
    return str(want.origin) if want else ""


def blocked_rows(controller: Controller, plan: Plan) -> tuple[BlockedRow, ...]:
    """Return what of *plan* cannot be done yet."""
    return tuple(
        BlockedRow(str(key), tuple(map(str, needs)), origin_of(controller, key)) for key, needs in plan.blocked.items()
    )


def plan_reply(controller: Controller, plan: Plan, file: str, warnings: tuple[str, ...]) -> PlanReply:
    """Return *plan* as a reply; units that wait for a fact count as blocked."""
    waiting = tuple(BlockedRow(unit, texts) for unit, texts in controller.waiting().items())
    return PlanReply(
        file,
        tuple(change_row(controller, change) for change in plan.changes),
        (*blocked_rows(controller, plan), *waiting),
        tuple(change_row(controller, change) for change in plan.conflicts),
        warnings,
    )


def outcome_row(outcome: Outcome) -> OutcomeRow:
    """Return what came of one change."""
    result = "failed" if outcome.error else "skipped" if outcome.skipped else "done"
    skipped = tuple(map(str, outcome.skipped))
    return OutcomeRow(
        str(outcome.change.op), str(outcome.change.key), result, str(outcome.error or ""), skipped_for=skipped
    )


def apply_reply(controller: Controller, report: Report, converged: bool) -> ApplyReply:
    """Return what one pass did."""
    return ApplyReply(
        converged,
        report.number,
        round(report.duration_s * 1000, 2),
        tuple(outcome_row(outcome) for outcome in report.outcomes),
        blocked_rows(controller, report.plan),
        tuple(change_row(controller, change) for change in report.plan.conflicts),
    )


def pass_summary(report: Report) -> PassSummary:
    """Return the last pass in short."""
    done = sum(1 for outcome in report.outcomes if not outcome.error and not outcome.skipped)
    failures = sum(1 for outcome in report.outcomes if outcome.error)
    took_ms = round(report.duration_s * 1000, 2)
    return PassSummary(report.number, iso(report.wall_time), took_ms, done, failures, report.cause)


def drift_row(controller: Controller, key: Key, status: ObjectStatus) -> Drift:
    """Return one object that is not in sync as people read it."""
    now = controller.clock.boottime()
    next_s = None if status.next_at is None else round(max(0.0, status.next_at - now), 1)
    reason = REASONS.get(status.phase, "")
    if status.phase is Phase.CONTESTED:
        reason = f"repaired {status.attempts} times within a minute; repairs slow down"
    return Drift(
        str(key),
        str(status.phase),
        str(status.drift or ""),
        reason,
        tuple(map(str, status.waits_for)),
        str(status.error or ""),
        next_s,
        str(status.actor or ""),
        origin_of(controller, key),
    )


def drifts(controller: Controller) -> list[Drift]:
    """Return everything that is not what the file says, worst first."""
    out_of_sync = sorted(
        controller.reconciler.status.out_of_sync.items(), key=lambda kt: (SEVERITY[kt[1].phase], str(kt[0]))
    )
    rows = [drift_row(controller, key, status) for key, status in out_of_sync]
    origins = {path.name: str(path.origin) for path in controller.intents.paths}
    for unit, texts in controller.waiting().items():
        rows.append(Drift(unit, str(Phase.BLOCKED), waits_for=texts, origin=origins.get(path_in(unit), "")))
    return rows


def phase_of(controller: Controller, key: Key) -> str:
    """Return the phase of one key; an object that only others need is in-sync when it is there."""
    if status := controller.reconciler.status.out_of_sync.get(key):
        return str(status.phase)
    return str(Phase.IN_SYNC if controller.reconciler.observed.present(key) else Phase.BLOCKED)


def counts(controller: Controller) -> dict[str, int]:
    """Return how many desired objects are in each phase."""
    specs, out_of_sync = controller.reconciler.specs, controller.reconciler.status.out_of_sync
    found = Counter(str(status.phase) for key, status in out_of_sync.items() if key in specs)
    found[str(Phase.IN_SYNC)] = len(specs) - found.total()
    return dict(found)


def object_rows(controller: Controller, keys: Iterable[Key]) -> tuple[ObjectRow, ...]:
    """Return the phase of each of *keys*."""
    return tuple(
        ObjectRow(str(key), phase_of(controller, key), origin_of(controller, key)) for key in sorted(keys, key=str)
    )


def resource(controller: Controller, key: Key, spec: object, owned: bool = True) -> Resource:
    """Return one resource with its values."""
    return Resource(str(key), key.kind, flat(spec, controller.clock.boottime()), owned, origin_of(controller, key))


def path_keys(controller: Controller) -> dict[str, list[Key]]:
    """Return the desired keys of every path: its link, addresses, table, rules and sysctls."""
    tables = {path.table: path.name for path in controller.intents.paths}
    found: dict[str, list[Key]] = {path.name: [] for path in controller.intents.paths}
    for key, spec in controller.reconciler.specs.items():
        name = controller.kinds[key.kind].path(key, spec, tables)
        if name in found:
            found[name].append(key)
    return found


def columns_of(controller: Controller, keys: Iterable[Key]) -> dict[str, Any]:
    """Return the fields of a path's row that its objects fill; of two that fill the same one, the first counts."""
    found: dict[str, Any] = {}
    for key in keys:
        for name, value in controller.kinds[key.kind].columns(key, controller.reconciler.observed.get(key)).items():
            found.setdefault(name, value)
    return found


def mptcp_state(controller: Controller, path: PathInfo, columns: Mapping[str, Any], address: str) -> str:
    """Return how a path stands with MPTCP."""
    if "mptcp_id" in columns:
        return "" if columns["mptcp_id"] is None else "endpoint"
    if not path.mptcp or not address:
        return ""
    return "neod" if controller.mptcp is not None and "" in controller.mptcp.managed else "waiting"


def path_in(unit: str) -> str:
    """Return the path that a unit's name tells: ``macvlans.neo/neo3/path`` is neo3's, ``uplinks.ens3`` ens3's."""
    parts = unit.split("/")
    return parts[1] if len(parts) > 1 else unit.partition(".")[2]


def waits_by_path(controller: Controller) -> dict[str, tuple[str, ...]]:
    """Return what the units of each path wait for."""
    found: dict[str, tuple[str, ...]] = {}
    for unit, texts in controller.waiting().items():
        name = path_in(unit)
        found[name] = (*found.get(name, ()), *texts)
    return found


def path_row(controller: Controller, path: PathInfo, keys: list[Key], waits: tuple[str, ...] = ()) -> PathRow:
    """Return one row of the path table; its state is the worst among its objects."""
    out_of_sync = controller.reconciler.status.out_of_sync
    worst = min((out_of_sync[key] for key in keys if key in out_of_sync), key=lambda t: SEVERITY[t.phase], default=None)
    state, detail = (str(worst.phase), _detail(worst)) if worst else (str(Phase.IN_SYNC), "")
    if waits and (worst is None or worst.phase is Phase.BLOCKED):
        state, detail = str(Phase.BLOCKED), "waits for " + ", ".join(waits)
    if controller.reconciler.down:
        state, detail = "down", "neodctl resume brings it back"
    lease = controller.facts.get(FactKey("lease", path.name))
    columns = columns_of(controller, keys)
    address = columns.get("address", "")
    followed = controller.facts.get(FactKey("followed", path.name))
    if not address and followed is not None:
        address = next((f"{ip}/{length}" for ip, length in getattr(followed, "addresses", ())), "")
    left = None
    if isinstance(lease, Lease) and lease.expires_at != FOREVER:
        left = round(lease.expires_at - controller.clock.boottime(), 1)
    priority, number = columns.get("rule_priority"), columns.get("mptcp_id")
    mptcp = mptcp_state(controller, path, columns, address)
    return PathRow(
        path.name, path.parent, path.ipv4, address, left, path.table, priority, path.mptcp, number, state, detail, mptcp
    )


def _detail(status: ObjectStatus) -> str:
    if status.error is not None:
        return str(status.error)
    if status.waits_for:
        return "waits for " + ", ".join(map(str, status.waits_for))
    return REASONS.get(status.phase, "")


def lease_row(controller: Controller, status: Any) -> LeaseRow:
    """Return one DHCP client; *status* is the DHCP service's ``LeaseStatus``."""
    now, lease = controller.clock.boottime(), status.lease
    if lease is None:
        tried = f"{status.last_error}" if status.last_error else ""
        return LeaseRow(status.link, status.state, status.parent, status.mac, detail=tried)

    def left(instant: float) -> float | None:
        return None if instant == FOREVER else round(instant - now, 1)

    return LeaseRow(
        status.link,
        status.state,
        status.parent,
        status.mac,
        f"{lease.ip}/{lease.prefix_length}",
        str(lease.gateway or ""),
        str(lease.server),
        iso(controller.clock.wall() - (now - lease.bound_at)),
        left(lease.renew_at),
        left(lease.rebind_at),
        left(lease.expires_at),
        tuple(map(str, lease.dns)),
        lease.domain,
        lease.mtu,
        tuple(f"{destination} via {gateway}" for destination, gateway in lease.routes),
        status.last_error,
    )


def link_key(name: str) -> LinkKey:
    """Return the key of a link of the main namespace."""
    return LinkKey("", name)
