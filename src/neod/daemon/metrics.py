"""The daemon's state as Prometheus reads it. Pure reading; decides and changes nothing.

Numbers of objects, never their names: a page that grows with every address would make a series of each lease.
"""

from collections import Counter
from collections.abc import Iterator

from neod import __version__
from neod.daemon.config_store import ConfigStore
from neod.daemon.controller import Controller
from neod.daemon.views import causes
from neod.daemon.views.objects import DOWN
from neod.model.facts import FOREVER, Lease
from neod.model.status import ObjectPhase
from neod.observability.exposition import Metric, by, by_two, page, plain


def metrics(controller: Controller, file: ConfigStore) -> str:
    """Return the page."""
    return page(
        (*_state(controller), *_work(controller), *_leases(controller), *_file(controller, file), *_paths(controller))
    )


def _state(controller: Controller) -> Iterator[Metric]:
    reconciler = controller.reconciler
    modes = {mode: reconciler.mode == mode for mode in ("down", "paused", "running")}
    yield Metric("neod_build_info", "gauge", "What runs.", plain(1, version=__version__))
    yield Metric("neod_converged", "gauge", "Whether the kernel is what the file says.", plain(controller.converged))
    yield Metric("neod_mode", "gauge", "1 for the mode it is in.", by(modes, "mode"))
    counts = by_two(resources(controller), "kind", "phase")
    yield Metric("neod_resources", "gauge", "Objects that are desired or in trouble, by kind and phase.", counts)
    waiting = plain(len(controller.waiting()))
    yield Metric("neod_waiting", "gauge", "Parts of the file that wait for a lease or a NIC.", waiting)


def resources(controller: Controller) -> Counter[tuple[str, str]]:
    """Return how many objects of each kind are in each phase; an orphan that cannot go counts, too."""
    desired, standing = controller.state.desired, controller.state.status.standing()
    specs, rest = desired.written, DOWN if desired.suspended else str(ObjectPhase.IN_SYNC)
    found: Counter[tuple[str, str]] = Counter()
    for kind, count in Counter(key.kind for key in specs).items():
        found[kind, rest] = count
    for key, status in standing.items():
        found[key.kind, str(status.phase)] += 1
        if key in specs:
            found[key.kind, rest] -= 1
    return found


def _work(controller: Controller) -> Iterator[Metric]:
    counters = controller.event_log.counters
    yield Metric("neod_passes_total", "counter", "Passes.", plain(counters.passes))
    yield Metric("neod_pass_seconds_total", "counter", "Time spent in passes.", plain(counters.passing_s))
    yield Metric("neod_last_pass_seconds", "gauge", "How long the last pass took.", plain(counters.last_pass_s))
    writes = by_two(counters.writes, "kind", "op")
    yield Metric("neod_writes_total", "counter", "Changes made, by kind and operation.", writes)
    refusals = by(counters.refusals, "kind")
    yield Metric("neod_write_failures_total", "counter", "Changes that the kernel refused.", refusals)
    repairs = by_two(counters.repairs, "kind", "drift")
    yield Metric("neod_repairs_total", "counter", "Changes that undid what somebody else did.", repairs)
    overruns = plain(controller.queue.overruns)
    yield Metric("neod_event_overruns_total", "counter", "Events lost; each led to a full look.", overruns)


def _leases(controller: Controller) -> Iterator[Metric]:
    states = Counter(status.state for status in controller.dhcp.service.status())
    yield Metric("neod_leases", "gauge", "DHCP clients, by state.", by(states, "state"))
    without = {reason: float(len(links)) for reason, links in causes.without_lease(controller).items()}
    about = "Links that wait for a lease, by the reason why it does not come."
    yield Metric("neod_without_lease", "gauge", about, by(without, "reason"))
    ends = [
        fact.expires_at
        for fact in controller.facts.known.values()
        if isinstance(fact, Lease) and fact.expires_at != FOREVER
    ]
    left = plain(round(min(ends) - controller.clock.boottime(), 3)) if ends else ()
    yield Metric("neod_lease_expiry_seconds", "gauge", "Until the first lease runs out, renewals apart.", left)


def _file(controller: Controller, file: ConfigStore) -> Iterator[Metric]:
    reloads = by(controller.event_log.counters.reloads, "result")
    yield Metric("neod_reloads_total", "counter", "Reloads: used, invalid, or undone as unconfirmed.", reloads)
    stale = plain(bool(file.problems))
    yield Metric("neod_file_stale", "gauge", "Whether an older file than the one on disk is in force.", stale)
    left = () if file.trial_left_s is None else plain(round(file.trial_left_s, 3))
    yield Metric("neod_unconfirmed_seconds", "gauge", "Until the reload on trial is undone.", left)


def _paths(controller: Controller) -> Iterator[Metric]:
    managed = controller.mptcp.managed
    connections = {netns: float(len(one.manager.connections)) for netns, one in managed.items()}
    subflows = {netns: float(one.manager.subflows) for netns, one in managed.items()}
    about = "of MPTCP where neod is the path manager, by namespace."
    yield Metric("neod_mptcp_connections", "gauge", f"Connections {about}", by(connections, "netns"))
    yield Metric("neod_mptcp_subflows", "gauge", f"Subflows {about}", by(subflows, "netns"))
