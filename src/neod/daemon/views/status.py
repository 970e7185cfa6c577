"""``status``: what holds, what does not, and why. Pure reading; decides and changes nothing."""

import os
from collections import Counter
from collections.abc import Callable

from neod import __version__
from neod.control.verbs.status import Drift, FileState, PassSummary, StatusReply
from neod.daemon.config_store import ConfigStore
from neod.daemon.controller import Controller
from neod.daemon.describe import iso
from neod.daemon.views import causes, roles
from neod.daemon.views.names import Meaning, meaning_of
from neod.daemon.views.objects import DOWN, drift_row, object_rows
from neod.daemon.views.path_rows import path_rows, reasons_down, unit_rows
from neod.model.change import Report
from neod.model.status import SEVERITY, ObjectPhase
from neod.model.words import folded
from neod.observability.metrics_server import MetricsServer


def status_reply(
    controller: Controller,
    config: ConfigStore,
    metrics: MetricsServer,
    name: str | None,
    times: tuple[str, str],
    warnings: tuple[str, ...],
) -> StatusReply:
    """Return the state after the last pass; with *name*, of what it stands for.

    *times*: the start, and the end of a pause. *warnings*: what of the host is in the way of the file.
    """
    since, until = times
    means = meaning_of(controller, name) if name else Meaning()
    last = controller.event_log.last
    return StatusReply(
        converged=controller.converged and not config.problems,
        mode=controller.reconciler.mode,
        version=__version__,
        pid=os.getpid(),
        since=since,
        file=file_state(config, warnings),
        counts=counts(controller),
        until=until,
        confirm_s=config.trial_left_s,
        notes=notes(controller, config, metrics),
        last_pass=pass_summary(last) if last else None,
        paths=path_rows(controller, name, means.keys),
        forwards=tuple(row for row in roles.forward_rows(controller) if name in (None, row.name)),
        namespaces=tuple(row for row in roles.namespace_rows(controller) if name in (None, row.name)),
        drifts=tuple(_drifts_of(controller, name, {*map(str, means.keys), *means.units})),
        objects=object_rows(controller, means.keys),
    )


def file_state(config: ConfigStore, more: tuple[str, ...]) -> FileState:
    """Return which file is in force with its warnings and *more*, and what is wrong with the one on disk."""
    current = config.current
    loaded = iso(current.wall) if current else ""
    warnings = (*(current.intents.warnings if current else ()), *more)
    state = "stale" if config.problems else "ok"
    return FileState(str(config.path), state, loaded, config.problems, warnings, config.unconfirmed)


def notes(controller: Controller, config: ConfigStore, metrics: MetricsServer) -> tuple[str, ...]:
    """Return what people should know beside the state of objects."""
    found = [
        *config.degraded,
        controller.dhcp.service.degraded,
        _metrics_note(metrics),
        *(f"not read: {error}" for error in controller.reconciler.unreadable),
        *roles.driver_notes(controller),
        *controller.mptcp.notes(),
        *controller.dwellers.notes(),
        *controller.state.desired.remarks(controller.facts.known),
        "" if controller.ready else "the first pass is not over yet",
        "the file is being read again" if controller.queue.expected else "",
    ]
    return tuple(dict.fromkeys(note for note in found if note))


def _metrics_note(metrics: MetricsServer) -> str:
    if metrics.error:
        return f"metrics: cannot listen on {metrics.error}; tried again"
    return f"metrics: http://{metrics.address}/metrics" if metrics.address else ""


def missing(controller: Controller) -> tuple[str, ...]:
    """Return what keeps the host from being converged, the first 20 things."""
    if not controller.ready:
        return ()
    if controller.state.desired.suspended:
        return ("neodctl resume (neod is down)",)
    texts = causes.of_waiting(controller)
    texts += [f"{folded(paths)}: {reason}" for reason, paths in reasons_down(controller).items()]
    return (*texts, *map(_in_words, _out_of_sync(controller, causes.of_nics(controller))))[:20]


def _in_words(drift: Drift) -> str:
    return f"{drift.object} ({drift.phase}: {drift.reason})" if drift.reason else f"{drift.object} ({drift.phase})"


def pass_summary(report: Report) -> PassSummary:
    done = sum(1 for outcome in report.outcomes if not outcome.error and not outcome.skipped)
    failures = sum(1 for outcome in report.outcomes if outcome.error)
    took_ms = round(report.duration_s * 1000, 2)
    return PassSummary(report.number, iso(report.wall_time), took_ms, done, failures, report.cause)


def _out_of_sync(controller: Controller, of_nic: Callable[[str], str]) -> list[Drift]:
    found = controller.state.status.standing().items()
    return [
        drift_row(controller, key, status, of_nic)
        for key, status in sorted(found, key=lambda kt: (SEVERITY[kt[1].phase], str(kt[0])))
    ]


def drifts(controller: Controller) -> list[Drift]:
    """Return everything that is not what the file says, worst first."""
    return [*_out_of_sync(controller, causes.of_nics(controller)), *unit_rows(controller)]


def counts(controller: Controller) -> dict[str, int]:
    """Return how many desired objects are in each phase."""
    desired, standing = controller.state.desired, controller.state.status.standing()
    found = Counter(str(status.phase) for key, status in standing.items() if key in desired.written)
    found[DOWN if desired.suspended else str(ObjectPhase.IN_SYNC)] = len(desired.written) - found.total()
    return dict(found)


def _drifts_of(controller: Controller, name: str | None, objects: set[str]) -> list[Drift]:
    return [drift for drift in drifts(controller) if name is None or drift.object in objects]
