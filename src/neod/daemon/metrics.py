"""The daemon's state as Prometheus reads it. Pure reading; decides and changes nothing.

Numbers of objects, never their names: a page that grows with every address
would make a series of each lease.
"""

from collections import Counter
from collections.abc import Iterator

from neod import __version__
from neod.daemon.config_store import FileKeeper
from neod.daemon.controller import Core
from neod.model.facts import FOREVER, Lease
from neod.model.status import Phase
from neod.observability.exposition import Family, by, by_two, page, plain


def metrics(core: Core, file: FileKeeper) -> str:
    """Return the page."""
    return page((*_state(core), *_work(core), *_leases(core), *_file(core, file), *_paths(core)))


def _state(core: Core) -> Iterator[Family]:
    reconciler = core.reconciler
    modes = {"down": reconciler.down, "paused": not (reconciler.writing or reconciler.down)}
    modes["running"] = not any(modes.values())
    yield Family("neod_build_info", "gauge", "What runs.", plain(1, version=__version__))
    yield Family("neod_converged", "gauge", "Whether the kernel is what the file says.", plain(core.converged))
    yield Family("neod_mode", "gauge", "1 for the mode it is in.", by(modes, "mode"))
    counts = by_two(resources(core), "kind", "phase")
    yield Family("neod_resources", "gauge", "Objects that are desired or in trouble, by kind and phase.", counts)
    waiting = plain(len(core.waiting()))
    yield Family("neod_waiting", "gauge", "Parts of the file that wait for a lease or a NIC.", waiting)


def resources(core: Core) -> Counter[tuple[str, str]]:
    """Return how many objects of each kind are in each phase; an orphan that cannot go counts, too."""
    specs, troubles = core.reconciler.specs, core.reconciler.ledger.troubles
    found: Counter[tuple[str, str]] = Counter()
    for kind, count in Counter(key.kind for key in specs).items():
        found[kind, str(Phase.IN_SYNC)] = count
    for key, trouble in troubles.items():
        found[key.kind, str(trouble.phase)] += 1
        if key in specs:
            found[key.kind, str(Phase.IN_SYNC)] -= 1
    return found


def _work(core: Core) -> Iterator[Family]:
    tally = core.journal.tally
    yield Family("neod_passes_total", "counter", "Passes.", plain(tally.passes))
    yield Family("neod_pass_seconds_total", "counter", "Time spent in passes.", plain(tally.passing_s))
    yield Family("neod_last_pass_seconds", "gauge", "How long the last pass took.", plain(tally.last_pass_s))
    writes = by_two(tally.writes, "kind", "op")
    yield Family("neod_writes_total", "counter", "Changes made, by kind and operation.", writes)
    refusals = by(tally.refusals, "kind")
    yield Family("neod_write_failures_total", "counter", "Changes that the kernel refused.", refusals)
    repairs = by_two(tally.repairs, "kind", "drift")
    yield Family("neod_repairs_total", "counter", "Changes that undid what somebody else did.", repairs)
    overruns = plain(core.wakeup.overruns)
    yield Family("neod_event_overruns_total", "counter", "Events lost; each led to a full look.", overruns)


def _leases(core: Core) -> Iterator[Family]:
    states = Counter(status.state for status in core.dhcp.status())
    yield Family("neod_leases", "gauge", "DHCP clients, by state.", by(states, "state"))
    ends = [fact.expires_at for fact in core.facts.values() if isinstance(fact, Lease) and fact.expires_at != FOREVER]
    left = plain(round(min(ends) - core.clock.boottime(), 3)) if ends else ()
    yield Family("neod_lease_expiry_seconds", "gauge", "Until the first lease runs out, renewals apart.", left)


def _file(core: Core, file: FileKeeper) -> Iterator[Family]:
    reloads = by(core.journal.tally.reloads, "result")
    yield Family("neod_reloads_total", "counter", "Reloads: used, invalid, or undone as unconfirmed.", reloads)
    stale = plain(bool(file.problems))
    yield Family("neod_file_stale", "gauge", "Whether an older file than the one on disk is in force.", stale)
    left = () if file.trial_left_s is None else plain(round(file.trial_left_s, 3))
    yield Family("neod_unconfirmed_seconds", "gauge", "Until the reload on trial is undone.", left)


def _paths(core: Core) -> Iterator[Family]:
    managed = core.multipath.managed if core.multipath else {}
    connections = {netns: float(len(one.manager.connections)) for netns, one in managed.items()}
    subflows = {netns: float(one.manager.subflows) for netns, one in managed.items()}
    about = "of MPTCP where neod is the path manager, by namespace."
    yield Family("neod_mptcp_connections", "gauge", f"Connections {about}", by(connections, "netns"))
    yield Family("neod_mptcp_subflows", "gauge", f"Subflows {about}", by(subflows, "netns"))
