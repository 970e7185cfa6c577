"""Plans and what came of them, for ``plan``, ``diff``, ``reload``, ``apply`` and ``down``. Pure reading."""

from collections.abc import Sequence

from neod.control.verbs.plan import ApplyReply, BlockedRow, ChangeRow, OutcomeRow, PlanReply
from neod.daemon.controller import Controller
from neod.daemon.describe import differing, sides
from neod.daemon.views.objects import origin_of
from neod.model.change import Change, Op, Outcome, Plan, Report
from neod.model.key import Key
from neod.reconcile.desired import DesiredState


def change_row(controller: Controller, change: Change, desired: DesiredState | None = None) -> ChangeRow:
    """Return one change; *desired* says where it comes from, before what is in force does."""
    now = controller.clock.boottime()
    there, wanted = sides(change, now)
    before, after = None if change.before is None else there, None if change.after is None else wanted
    names = differing(before, after) if change.op in (Op.UPDATE, Op.RECREATE, Op.CONFLICT) else ()
    names = tuple(name for name in names if after and name in after)
    origin = _origin(controller, change.key, desired)
    return ChangeRow(str(change.op), str(change.key), before, after, names, origin)


def _origin(controller: Controller, key: Key, desired: DesiredState | None) -> str:
    want = desired.wants.get(key) if desired else None
    return str(want.origin) if want else origin_of(controller, key)


def blocked_rows(controller: Controller, plan: Plan, desired: DesiredState | None = None) -> tuple[BlockedRow, ...]:
    """Return what of *plan* cannot be done yet."""
    return tuple(
        BlockedRow(str(key), tuple(map(str, needs)), _origin(controller, key, desired))
        for key, needs in plan.blocked.items()
    )


def plan_reply(
    controller: Controller, plan: Plan, desired: DesiredState, file: str, warnings: tuple[str, ...]
) -> PlanReply:
    """Return *plan*, which leads to *desired*, as a reply; fragments that wait for a fact count as blocked."""
    waiting = tuple(BlockedRow(unit, texts) for unit, texts in desired.waiting().items())
    return PlanReply(
        file,
        tuple(change_row(controller, change, desired) for change in plan.changes),
        (*blocked_rows(controller, plan, desired), *waiting),
        tuple(change_row(controller, change, desired) for change in plan.conflicts),
        warnings,
        controller.reconciler.mode,
    )


def outcome_row(outcome: Outcome) -> OutcomeRow:
    result = "failed" if outcome.error else "skipped" if outcome.skipped else "done"
    skipped = tuple(map(str, outcome.skipped))
    return OutcomeRow(
        str(outcome.change.op), str(outcome.change.key), result, str(outcome.error or ""), skipped_for=skipped
    )


def apply_reply(controller: Controller, report: Report, converged: bool) -> ApplyReply:
    return ApplyReply(
        converged,
        report.number,
        round(report.duration_s * 1000, 2),
        tuple(outcome_row(outcome) for outcome in report.outcomes),
        blocked_rows(controller, report.plan),
        tuple(change_row(controller, change) for change in report.plan.conflicts),
        controller.reconciler.mode,
    )


def joined(reports: Sequence[Report]) -> Report:
    """Return the reports as one: the last outcome of each object counts."""
    last, outcomes = reports[-1], {o.change.key: o for report in reports for o in report.outcomes}
    duration_s = sum(report.duration_s for report in reports)
    return Report(last.number, last.wall_time, duration_s, last.cause, last.plan, tuple(outcomes.values()))
