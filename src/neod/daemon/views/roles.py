"""Rows of ``status`` for the relay's and the proxy server's roles. Pure, over the daemon's state."""

from collections.abc import Collection, Iterable

from neod.control.verbs.status import ForwardRow, NamespaceRow
from neod.daemon.controller import Controller
from neod.daemon.views.causes import if_down
from neod.daemon.views.objects import DOWN, why_not_in_sync
from neod.features.forwards.compile import ForwardInfo
from neod.features.namespaces.compile import NamespaceInfo
from neod.model.key import Key, NetnsKey
from neod.model.status import SEVERITY, ObjectPhase


def forward_rows(controller: Controller) -> tuple[ForwardRow, ...]:
    """Return a row for each forward: all share one resource, and its state."""
    state, detail = _worst(controller, [key for key in translation_keys(controller) if not key.netns])
    return tuple(
        ForwardRow(one.name, one.protocol, one.ports, one.to, one.snat, state, detail)
        for one in controller.intents.of(ForwardInfo)
    )


def namespace_rows(controller: Controller) -> tuple[NamespaceRow, ...]:
    """Return a row for each namespace: its state is the worst among all that is in it, its link, and NAT."""
    return tuple(
        NamespaceRow(
            one.name,
            one.uplink,
            one.subnet,
            one.expose,
            one.relay_addresses,
            *_state_of(controller, one),
        )
        for one in controller.intents.of(NamespaceInfo)
    )


def _state_of(controller: Controller, row: NamespaceInfo) -> tuple[str, str]:
    """Return state and reason; where all is in sync, whether programs live in an older one."""
    state, detail = _worst(controller, namespace_keys(controller, row.name, row.links))
    older = controller.dwellers.older(row.name)
    return ("degraded", older) if older and state == ObjectPhase.IN_SYNC else (state, detail)


def namespace_keys(controller: Controller, name: str, links: Iterable[str]) -> list[Key]:
    outside = set(links)
    return [
        key
        for key, spec in controller.state.desired.written.items()
        if name == key.netns or key == NetnsKey("", name) or (not key.netns and _serves(controller, key, spec, outside))
    ]


def _serves(controller: Controller, key: Key, spec: object, links: Collection[str]) -> bool:
    """Whether an object outside belongs to one of *links*, or translates."""
    kind = controller.state.kind_of(key)
    return kind.translates or kind.path(key, spec, {}) in links


def translation_keys(controller: Controller) -> list[Key]:
    """Return what forwards depend on as a whole."""
    return [key for key in controller.state.desired.written if controller.state.kind_of(key).translates]


def _worst(controller: Controller, keys: Iterable[Key]) -> tuple[str, str]:
    if down := if_down(controller):
        return DOWN, down
    found = [(key, status) for key in keys if (status := controller.state.status.of(key))]
    if not found:
        return str(ObjectPhase.IN_SYNC), ""
    key, status = min(found, key=lambda one: (SEVERITY[one[1].phase], str(one[0])))
    return str(status.phase), f"{key}: {why_not_in_sync(status)}".rstrip(": ")


def driver_notes(controller: Controller) -> tuple[str, ...]:
    """Return what drivers say for people: the NAT backend and why, and what blocks forwarded packets."""
    notes: list[str] = []
    drivers = controller.reconciler.drivers
    for place in drivers.places():
        notes += getattr(drivers.driver(place), "notes", ())
    return tuple(notes)
