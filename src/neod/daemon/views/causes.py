"""Why what is waited for does not come, as far as it is known of the NIC: one sentence, the same in every reply. Pure.

What the kernel refused has its cause with it, see ``neod.model.errors.Obstacle``.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final

from neod.daemon.controller import Controller
from neod.dhcp.runner import LeaseStatus
from neod.features.parts import PathInfo
from neod.kinds import KINDS
from neod.kinds.link_obstacles import altname_of, port_text
from neod.model.facts import Followed
from neod.model.key import Key, LinkKey
from neod.model.kind import path_of
from neod.model.want import FactKey

SILENT_AFTER: Final = 3
"""So many DISCOVERs without an offer: a server that is there has had the time to answer."""

ADMITS: Final = "admits only some MACs (port security of a switch, a hypervisor's MAC filter, Wi-Fi)"


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
        if status.error is not None and status.error.obstacle:
            return status.error.obstacle.text
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
    """Return, by link, why its lease does not come or cannot be kept, where its NIC or what is heard there tells."""
    of_nic, silence = of_nics(controller), of_silence(controller)
    causes = {one.link: of_nic(one.parent) or silence.get(one.link, "") for one in controller.dhcp.service.status()}
    return {link: cause for link, cause in causes.items() if cause}


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
        return f"no answer, while {names} on {nic} got one: its port {ADMITS}, or the server has no address left"
    if has_address:
        return f"no answer to any macvlan on {nic}, which has an address: no DHCP server is there, or its port {ADMITS}"
    return ""


def of_path(path: PathInfo, of_nic: Callable[[str], str], silence: Mapping[str, str]) -> str:
    """Return what keeps a path from working; empty where nothing is known."""
    return of_nic(path.parent or path.name) or silence.get(path.name, "")
