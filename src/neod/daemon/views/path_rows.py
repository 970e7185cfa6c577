"""Rows of the path table in ``status``. Pure reading."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from neod.control.verbs.status import ConditionRow, Drift, PathRow
from neod.daemon.controller import Controller
from neod.daemon.describe import iso
from neod.daemon.views import causes
from neod.daemon.views.objects import DOWN, why_not_in_sync
from neod.features.parts import PathInfo, paths_by_table
from neod.model.facts import FOREVER
from neod.model.key import Key
from neod.model.kind import path_of
from neod.model.status import SEVERITY, ObjectPhase
from neod.model.want import FactKey
from neod.model.words import by_reason, waits_for

LESS_THAN_THE_NIC: Final = (ObjectPhase.BLOCKED, ObjectPhase.IN_SYNC)
"""The states that say less than what is known of the NIC; so does an errno alone."""


def path_keys(controller: Controller) -> dict[str, list[Key]]:
    """Return what the file asks for of every path: its link, addresses, table, rules and sysctls."""
    tables = paths_by_table(controller.intents)
    found: dict[str, list[Key]] = {path.name: [] for path in controller.intents.of(PathInfo)}
    for key, spec in controller.state.desired.written.items():
        name = path_of(controller.state.kind_of(key), key, spec, tables)
        if name in found:
            found[name].append(key)
    return found


def keys_under(controller: Controller, name: str) -> list[Key]:
    """Return what the file asks for that is shown under a link, such as the ports of a bridge."""
    tables, kind_of = paths_by_table(controller.intents), controller.state.kind_of
    written = controller.state.desired.written
    return [key for key, spec in written.items() if path_of(kind_of(key), key, spec, tables) == name]


def columns_of(controller: Controller, keys: Iterable[Key]) -> dict[str, Any]:
    """Return the fields of a path's row that its objects fill; of two that fill the same one, the first counts."""
    found: dict[str, Any] = {}
    for key in keys:
        for name, value in controller.state.kind_of(key).columns(key, controller.state.observed.get(key)).items():
            found.setdefault(name, value)
    return found


def mptcp_state(controller: Controller, path: PathInfo, columns: Mapping[str, Any], address: str) -> str:
    """Return how a path stands with MPTCP."""
    if "mptcp_id" in columns:
        return "" if columns["mptcp_id"] is None else "endpoint"
    if not path.mptcp or not address:
        return ""
    return "neod" if "" in controller.mptcp.managed else "waiting"


def waits_by_path(controller: Controller) -> dict[str, tuple[str, ...]]:
    """Return what the units of each path wait for."""
    found: dict[str, tuple[str, ...]] = {}
    for unit, texts in controller.waiting().items():
        name = causes.path_in(unit)
        found[name] = (*found.get(name, ()), *texts)
    return found


def unit_rows(controller: Controller, chosen: Collection[str] | None = None) -> list[Drift]:
    """Return the *chosen* parts of the file that wait for a fact, None for all; the reason is that of their path."""
    of_nic, leases = causes.of_nics(controller), causes.of_leases(controller)
    paths = {path.name: path for path in controller.intents.of(PathInfo)}
    rows: list[Drift] = []
    for unit, texts in controller.waiting().items():
        if chosen is None or unit in chosen:
            path = paths.get(causes.path_in(unit))
            cause, origin = (causes.of_path(path, of_nic, leases), str(path.origin)) if path else ("", "")
            rows.append(Drift(unit, str(ObjectPhase.BLOCKED), "", cause, texts, origin=origin))
    return rows


def path_row(controller: Controller, path: PathInfo, keys: list[Key], waits: tuple[str, ...], cause: str) -> PathRow:
    """Return one row of the path table; its state is the worst among its objects. *cause*: what is known of its NIC."""
    standing = filter(None, map(controller.state.status.of, keys))
    worst = min(standing, key=lambda t: SEVERITY[t.phase], default=None)
    state, detail = str(ObjectPhase.IN_SYNC), controller.dhcp.trouble(path.name)
    if worst:
        state, detail = str(worst.phase), why_not_in_sync(worst)
    if waits and (worst is None or worst.phase is ObjectPhase.BLOCKED):
        state, detail = str(ObjectPhase.BLOCKED), waits_for(waits)
    if cause and (state in LESS_THAN_THE_NIC or (worst is not None and worst.error and not worst.error.obstacle)):
        detail = cause
    if down := causes.if_down(controller):
        state, detail = DOWN, down
    client = controller.dhcp.service.status_of(path.name)  # it knows sooner than facts that a lease ends earlier
    lease = client.lease if client else None
    columns = columns_of(controller, keys)
    address = columns.get("address", "")
    followed = controller.facts.known.get(FactKey("followed", path.name))
    if not address and followed is not None:
        address = next((f"{ip}/{length}" for ip, length in getattr(followed, "addresses", ())), "")
    left = None
    if lease is not None and lease.expires_at != FOREVER:
        left = round(lease.expires_at - controller.clock.boottime(), 1)
    priority, number = columns.get("rule_priority"), columns.get("mptcp_id")
    mptcp = mptcp_state(controller, path, columns, address)
    conditions = condition_rows(controller, path.name)
    reason = next((one.evidence for one in conditions if one.status is False), "")
    if reason and state == ObjectPhase.IN_SYNC:
        state, detail = DOWN, reason
    return PathRow(
        path.name,
        path.parent,
        path.ipv4,
        address,
        left,
        path.table,
        priority,
        path.mptcp,
        number,
        state,
        detail,
        mptcp,
        reason,
        conditions,
    )


def condition_rows(controller: Controller, path: str) -> tuple[ConditionRow, ...]:
    """Return what is known of a path beside its objects."""
    routed = controller.routes.condition(path)
    return (ConditionRow(routed.name, routed.status, iso(routed.since), routed.evidence),) if routed else ()


def reasons_down(controller: Controller) -> dict[str, list[str]]:
    """Return why paths whose objects may all be in sync carry nothing, each with the paths that it is true of."""
    paths = controller.intents.of(PathInfo)
    rows = ((one, path.name) for path in paths for one in condition_rows(controller, path.name))
    return by_reason((one.evidence, name) for one, name in rows if one.status is False)


def is_up(controller: Controller) -> bool:
    """Whether everything is in sync and, where the file has paths, no condition of at least one is false."""
    paths = controller.intents.of(PathInfo)
    down = sum(map(len, reasons_down(controller).values()))
    return controller.in_sync and (not paths or down < len(paths))


def path_rows(controller: Controller, name: str | None = None, keys: Collection[Key] = ()) -> tuple[PathRow, ...]:
    """Return a row for each path, or for the one called *name* and those that one of *keys* belongs to."""
    belongs, waits = path_keys(controller), waits_by_path(controller)
    of_nic, leases = causes.of_nics(controller), causes.of_leases(controller)
    return tuple(
        path_row(controller, path, belongs[path.name], waits.get(path.name, ()), causes.of_path(path, of_nic, leases))
        for path in controller.intents.of(PathInfo)
        if name in (None, path.name) or not set(belongs[path.name]).isdisjoint(keys)
    )


def one_is_ready(controller: Controller) -> bool:
    """Whether one path can be used; a file without paths has nothing to wait for once a pass is over."""
    return bool(ready_paths(controller)) or (controller.ready and not controller.intents.of(PathInfo))


def ready_paths(controller: Controller) -> tuple[str, ...]:
    """Return the names of the paths that can be used."""
    if not controller.ready:
        return ()
    return tuple(row.name for row in path_rows(controller) if row.state == ObjectPhase.IN_SYNC and row.address)
