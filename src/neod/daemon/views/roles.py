"""Rows of ``status`` for the relay's and the proxy server's roles. Pure, over the daemon's state."""

from collections.abc import Iterable

from neod.control.reply_status import ForwardRow, NamespaceRow
from neod.daemon.controller import Core
from neod.model.key import Key, NetnsKey
from neod.model.status import RANK, Phase

NAT = "nat"


def forward_rows(core: Core) -> tuple[ForwardRow, ...]:
    """Return a row for each forward: all share one resource, and its state."""
    state, detail = _worst(core, [key for key in core.reconciler.specs if key.kind == NAT and not key.netns])
    return tuple(
        ForwardRow(one.name, one.protocol, one.ports, one.to, one.snat, state, detail) for one in core.intents.forwards
    )


def namespace_rows(core: Core) -> tuple[NamespaceRow, ...]:
    """Return a row for each namespace: its state is the worst among all that lives in it, its link, and translation."""
    return tuple(
        NamespaceRow(
            one.name,
            one.uplink,
            one.subnet,
            one.expose,
            one.relay_addresses,
            *_worst(core, namespace_keys(core, one.name, one.links)),
        )
        for one in core.intents.namespaces
    )


def namespace_keys(core: Core, name: str, links: Iterable[str]) -> list[Key]:
    """Return what belongs to a namespace."""
    outside = set(links)
    return [
        key
        for key in core.reconciler.specs
        if name == key.netns
        or key == NetnsKey("", name)
        or (not key.netns and (key.kind == NAT or getattr(key, "link", getattr(key, "name", "")) in outside))
    ]


def _worst(core: Core, keys: Iterable[Key]) -> tuple[str, str]:
    """Return phase and reason of the worst of *keys*."""
    if core.reconciler.down:
        return "down", "neodctl resume brings it back"
    troubles = core.reconciler.ledger.troubles
    found = [(key, troubles[key]) for key in keys if key in troubles]
    if not found:
        return str(Phase.IN_SYNC), ""
    key, trouble = min(found, key=lambda one: (RANK[one[1].phase], str(one[0])))
    waits = "waits for " + ", ".join(map(str, trouble.waits_for)) if trouble.waits_for else ""
    return str(trouble.phase), f"{key}: {trouble.error or waits}".rstrip(": ")


def nat_notes(core: Core) -> tuple[str, ...]:
    """Return which backend keeps the translation and why, and what stands in the way of forwarded packets."""
    notes: list[str] = []
    for place in core.spaces.places():
        if place[1] == NAT:
            notes += getattr(core.spaces.driver(place), "notes", ())
    return tuple(notes)
