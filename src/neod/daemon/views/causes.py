"""Why what is waited for does not come, as far as it is known of the NIC: one sentence, the same in every reply. Pure.

What the kernel refused has its cause with it, see ``neod.model.errors.Obstacle``.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final

from neod.daemon.controller import Controller
from neod.dhcp.runner import LeaseStatus
from neod.features.parts import PathInfo
from neod.features.path import router_for
from neod.kinds import KINDS
from neod.kinds.link_obstacles import altname_of, port_text
from neod.model.facts import Followed
from neod.model.key import Key, LinkKey
from neod.model.kind import path_of
from neod.model.status import ObjectPhase
from neod.model.want import FactKey
from neod.model.words import A_LEASE, LEASE_FOR, WAITS_FOR, by_reason, wait_for

SILENT_AFTER: Final = 3
"""So many DISCOVERs without an offer: a server that is there has had the time to answer."""

ADMITS: Final = "admits only some MACs (port security of a switch, a hypervisor's MAC filter, Wi-Fi)"


def if_down(controller: Controller) -> str:
    """Return what there is to say of anything after ``neodctl down``; empty else."""
    return "neod is down: neodctl resume brings it back" if controller.state.desired.suspended else ""


def of_nics(controller: Controller) -> Callable[[str], str]:
    """Return what tells what is wrong with a NIC, empty for nothing; it looks once at each."""
    return cache(lambda name: _of_nic(controller, name))


def of_needs(of_nic: Callable[[str], str], needs: Iterable[Key]) -> str:
    """Return why the first of *needs* that something is known of is not there."""
    names = (KINDS[need.kind].interface(need) for need in needs if need.kind in KINDS and not need.netns)
    return next((cause for name in names if name and (cause := of_nic(name))), "")


def _of_nic(controller: Controller, name: str) -> str:
    state, key = controller.state, LinkKey("", name)
    if (status := state.status.out_of_sync.get(key)) is not None:  # one of ours
        if status.error is not None:
            return status.error.obstacle.text if status.error.obstacle else str(status.error)
        if status.phase is ObjectPhase.CONFLICT and status.change is not None:
            return state.kind_of(key).conflict(status.change.before)
        if controller.reconciler.mode == "paused" and key not in state.observed:
            return f"neod is paused, and makes no {name}: neodctl resume"
        return of_needs(lambda below: _of_nic(controller, below), (need for need in status.waits_for if need != key))
    if key in state.desired.specs and (cause := _of_parts(controller, name)):
        return cause
    seen = state.observed.get(key)
    if seen is None:
        links = state.observed.named_by(LinkKey, "")
        real = altname_of(name, ((other.name, one.spec) for other, one in links.items()))
        return f"{name} is another name of {real}: write {real}" if real else f"there is no {name}"
    if not seen.spec.up:
        return f"{name} is down: `ip link set {name} up`"
    if seen.spec.master and key not in state.desired.specs:
        return port_text(name, seen.spec.master)
    return "" if seen.spec.carrier else f"no carrier on {name}"


def _of_parts(controller: Controller, name: str) -> str:
    """Return what is in the way of what belongs to a link of ours: the ports of a bridge, say."""
    state = controller.state
    errors = (
        status.error.obstacle.text
        for key, status in state.status.out_of_sync.items()
        if status.error and status.error.obstacle and status.change
        if path_of(state.kind_of(key), key, status.change.after, {}) == name
    )
    return next(errors, "")


def of_leases(controller: Controller) -> Mapping[str, str]:
    """Return, by link, the sentence that says why its lease does not come, cannot be kept, or is of no use.

    There is no other: its NIC's trouble goes first, then its own, what is heard on the NIC, what its client knows.
    """
    of_nic, silence, down = of_nics(controller), of_silence(controller), if_down(controller)
    found = {one.link: down or _of_lease(one, of_nic, silence) for one in controller.dhcp.service.status()}
    return {link: cause for link, cause in found.items() if cause}


def _of_lease(one: LeaseStatus, of_nic: Callable[[str], str], silence: Mapping[str, str]) -> str:
    if cause := of_nic(one.parent) or of_nic(one.link) or silence.get(one.link) or one.last_error:
        return cause
    return f"{WAITS_FOR}{router_for(one.lease)}" if one.lease is not None and one.lease.no_router else ""


def of_waiting(controller: Controller) -> list[str]:
    """Return what parts of the file wait for: links that wait for the same, for the same reason, together."""
    reasons = of_leases(controller) if controller.waiting() else {}
    paths = {path.name for path in controller.intents.of(PathInfo)}
    found: dict[tuple[str, str], list[str]] = {}
    for unit, texts in controller.waiting().items():
        for text in texts:
            link = text.removeprefix(LEASE_FOR) if text.startswith(LEASE_FOR) else path_in(unit)
            what = (A_LEASE, reasons.get(link, "")) if text.startswith(LEASE_FOR) else (text, "")
            found.setdefault(what, []).extend({link} & paths)
    return [wait_for(links, *what) for what, links in found.items()]


def path_in(unit: str) -> str:
    """Return the path in the name of a fragment: ``macvlans.neo/neo3/path`` is neo3's, ``uplinks.ens3`` ens3's."""
    parts = unit.split("/")
    return parts[1] if len(parts) > 1 else unit.partition(".")[2]


def without_lease(controller: Controller) -> dict[str, list[str]]:
    """Return which links wait for a lease, by the reason why it does not come."""
    texts = (text for waits in controller.waiting().values() for text in waits)
    links = dict.fromkeys(text.removeprefix(LEASE_FOR) for text in texts if text.startswith(LEASE_FOR))
    reasons = of_leases(controller) if links else {}
    return by_reason((reasons.get(link, ""), link) for link in links)


def of_silence(controller: Controller) -> Mapping[str, str]:
    """Return, by link, why nobody answers its DISCOVERs, where others on the same NIC show it."""
    statuses = controller.dhcp.service.status()
    found: dict[str, str] = {}
    for nic in {status.parent for status in statuses if is_silent(status)}:
        together = [status for status in statuses if nic in (status.parent, status.link)]
        followed = controller.facts.known.get(FactKey("followed", nic))
        cause = why_silent(nic, together, isinstance(followed, Followed) and bool(followed.addresses))
        found |= {status.link: cause for status in together if cause and is_silent(status)}
    return found


def is_silent(status: LeaseStatus) -> bool:
    """Whether a client has asked in vain for a while; with an answer that cannot be used it has not."""
    return (
        status.lease is None and status.state == "selecting" and status.unanswered and status.attempts >= SILENT_AFTER
    )


def is_answered(status: LeaseStatus) -> bool:
    """Whether a client has a lease, and does not ask in vain to keep it."""
    return status.lease is not None and not status.unanswered


def why_silent(nic: str, together: Iterable[LeaseStatus], has_address: bool) -> str:
    """Return what the clients of one NIC tell together; *has_address*: somebody else configured the NIC."""
    answered = [status.link for status in together if is_answered(status)]
    if answered == [nic]:
        return f"{nic} itself gets answers, and no macvlan on it does: it seems that its port {ADMITS}"
    if answered:
        names = f"{answered[0]} and {len(answered) - 1} more" if len(answered) > 1 else answered[0]
        why = f"its port {ADMITS}, or the server has no address left, or answers nobody any more"
        return f"no answer, while {names} on {nic} got one: {why}"
    if has_address:
        return f"no answer to any macvlan on {nic}, which has an address: no DHCP server is there, or its port {ADMITS}"
    return ""


def of_path(path: PathInfo, of_nic: Callable[[str], str], leases: Mapping[str, str]) -> str:
    """Return what keeps a path from working; empty where nothing is known."""
    return leases.get(path.name) or of_nic(path.parent or path.name)
