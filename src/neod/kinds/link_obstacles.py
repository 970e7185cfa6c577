"""Who is in the way of a link or a port that the kernel refused, in plain words and with a remedy. Pure.

Asked after a refusal, with all links as they are then.

Source: drivers/net/macvlan.c, net/8021q/vlan.c, net/bridge/br_if.c, net/core/rtnetlink.c.
"""

import errno
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from neod.kinds.link_codec import ARPHRD_ETHER, Links, LinkSpec, Reading
from neod.model.errors import KernelError, Obstacle
from neod.model.key import LinkKey

MODULES: Final = {"vlan": "8021q", "bond": "bonding"}
ALONE: Final = ("ipvlan", "ipvtap", "macsec", "hsr", "team_port")
"""Links that take all that a NIC receives: what else wants it is refused with EBUSY."""


def in_use(error: KernelError) -> bool:
    """Whether the MAC is that of another link of the parent."""
    return error.code == errno.EADDRINUSE


def mac_elsewhere(spec: LinkSpec, holders: Mapping[str, str]) -> Obstacle:
    """Return that the MAC is in use, by whom of *holders*, links in other namespaces by MAC."""
    holder = holders.get(spec.mac or "", "a link in a namespace that neod does not see")
    return Obstacle(
        f"{spec.mac} is in use on {spec.parent} by {holder}: write another, or take that away", foreign=True
    )


def of_link(netns: str, spec: LinkSpec, error: KernelError, links: Links) -> Obstacle | None:
    """Return what is in the way of the link *spec* of *netns*."""
    found = next((found for look in LOOKS.get(error.code, ()) if (found := look(spec, links))), None)
    if found is None:
        return None
    text, holder = found
    foreign = holder in links and not links[holder].seen.owned and error.code in HELD
    return Obstacle(text, LinkKey(netns, holder) if holder else None, foreign)


def of_port(netns: str, nic: str, master: str, error: KernelError, links: Links) -> Obstacle | None:
    """Return what is in the way of *nic* as a port of *master*."""
    there = links.get(nic)
    if there is None:
        return Obstacle(f"there is no {nic}", LinkKey(netns, nic))
    if error.code == errno.EPERM:
        return Obstacle(NOT_ALLOWED)
    if there.seen.spec.master not in ("", master):
        text = f"{nic} is a port of {there.seen.spec.master}: take it out, or write another NIC"
        return Obstacle(text, LinkKey(netns, nic))
    above = [name for name, one in links.items() if one.seen.spec.parent == nic]
    if error.code in (errno.EBUSY, errno.EINVAL) and above:
        text = f"{nic} carries {_some(above)}, and a port carries nothing: put that on {master}"
        return Obstacle(text, LinkKey(netns, above[0]))
    if there.type != ARPHRD_ETHER or there.seen.spec.driver == "bridge":
        return Obstacle(f"{nic} is {_what(there)}, which cannot be a port: write an Ethernet NIC")
    return None


NOT_ALLOWED: Final = "neod may not change this namespace: it needs CAP_NET_ADMIN here"

Found = tuple[str, str]
"""What is in the way, and the link that is; empty where it is none."""


def _altname(spec: LinkSpec, links: Links) -> Found | None:
    other = altname_of(spec.name, ((name, one.seen.spec) for name, one in links.items()))
    if not other:
        return None
    remedy = f"`ip link property del dev {other} altname {spec.name}` takes it away"
    return f"{spec.name} is another name of {other}: {remedy}, or use another name in the file", other


def altname_of(name: str, links: Iterable[tuple[str, LinkSpec]]) -> str:
    """Return the link that has *name* as an alternative one; empty for none."""
    return next((real for real, spec in links if name in spec.altnames), "")


def _name(spec: LinkSpec, links: Links) -> Found | None:
    if spec.name not in links:
        return None
    return f"another link is called {spec.name}: rename it, or use another name in the file", spec.name


def _vlan(spec: LinkSpec, links: Links) -> Found | None:
    if spec.driver != "vlan":
        return None
    number = dict(spec.options).get("id", "")
    vlans = (name for name, one in _on_parent(spec, links).items() if one.driver == "vlan")
    same = next((name for name in vlans if ("id", number) in links[name].seen.spec.options), "")
    holder = f"{same} has it" if same else "a link in another namespace has it"
    return f"VLAN {number} of {spec.parent} is there already: {holder}; take that away, or write another id", same


def _on_parent(spec: LinkSpec, links: Links) -> dict[str, LinkSpec]:
    """Return the other links on the same parent."""
    others = ((name, one.seen.spec) for name, one in links.items() if spec.parent and name != spec.name)
    return {name: other for name, other in others if other.parent == spec.parent}


def _mac(spec: LinkSpec, links: Links) -> Found | None:
    name, parent = _parent_of(spec, links)
    if parent is not None and parent.seen.spec.mac == spec.mac:
        return f"{spec.mac} is the MAC of {name} itself: write another", name
    other = next((name for name, one in _on_parent(spec, links).items() if one.mac == spec.mac), "")
    if not other:
        return None
    return f"{spec.mac} is in use on {spec.parent} by {other}: write another, or take {other} away", other


def _parent_of(spec: LinkSpec, links: Links) -> tuple[str, Reading | None]:
    return spec.parent or "", links.get(spec.parent or "")


def _no_parent(spec: LinkSpec, links: Links) -> Found | None:
    name, parent = _parent_of(spec, links)
    return (f"there is no {name}", name) if name and parent is None else None


def _parent_down(spec: LinkSpec, links: Links) -> Found | None:
    name, parent = _parent_of(spec, links)
    return (f"{name} is down: `ip link set {name} up`", name) if parent and not parent.seen.spec.up else None


def _port(spec: LinkSpec, links: Links) -> Found | None:
    name, parent = _parent_of(spec, links)
    return (port_text(name, parent.seen.spec.master), name) if parent and parent.seen.spec.master else None


def port_text(nic: str, master: str) -> str:
    """Return what people are told of a NIC that is a port, and cannot be used itself."""
    return f"{nic} is a port of {master}: use {master}"


def _alone(spec: LinkSpec, links: Links) -> Found | None:
    """Find who has the parent for itself: an ipvlan, say, or a macvlan in mode passthru."""
    for name, one in _on_parent(spec, links).items():
        if one.driver in ALONE or one.mode == "passthru":
            what = "macvlan in mode passthru" if one.mode else one.driver
            return f"{name} ({what}) has {spec.parent} for itself: take it away, or use another NIC", name
    return None


def _no_ethernet(spec: LinkSpec, links: Links) -> Found | None:
    name, parent = _parent_of(spec, links)
    if parent is None or parent.type == ARPHRD_ETHER:
        return None
    return f"{name} is {_what(parent)}, and a {spec.driver} needs an Ethernet NIC: write another parent", name


def _stacked(spec: LinkSpec, links: Links) -> Found | None:
    """Find a macvlan as the parent of a macvlan: the kernel takes the NIC below instead, and says nothing."""
    name, parent = _parent_of(spec, links)
    if parent is None or (spec.driver, parent.seen.spec.driver) != ("macvlan", "macvlan"):
        return None
    below = parent.seen.spec.parent
    return f"{name} is a macvlan itself, and the kernel would put {spec.name} on {below}: write {below}", name


def _mtu(spec: LinkSpec, links: Links) -> Found | None:
    name, parent = _parent_of(spec, links)
    largest = parent.seen.spec.mtu if parent else None
    if not spec.mtu or not largest or spec.mtu <= largest:
        return None
    return f"mtu {spec.mtu} is more than {name} has: that is {largest}", name


def _no_driver(spec: LinkSpec, links: Links) -> Found:
    module = MODULES.get(spec.driver, spec.driver)
    return f"this kernel makes no {spec.driver} links here: load the module (modprobe {module}), or install it", ""


def _not_allowed(spec: LinkSpec, links: Links) -> Found:
    return NOT_ALLOWED, ""


def _bad_mac(spec: LinkSpec, links: Links) -> Found:
    return f"{spec.mac} is no MAC that a link can have: write another", ""


HELD: Final = (errno.EEXIST, errno.EADDRINUSE)
"""Of these, the one in the way has what is wanted."""

LOOKS: Final[Mapping[int, tuple[Callable[[LinkSpec, Links], Found | None], ...]]] = {
    errno.EEXIST: (_altname, _name, _vlan),
    errno.EADDRINUSE: (_mac,),
    errno.EADDRNOTAVAIL: (_bad_mac,),
    errno.EBUSY: (_port, _alone),
    errno.EINVAL: (_no_parent, _stacked, _no_ethernet, _alone, _mtu, _port),
    errno.ERANGE: (_mtu,),
    errno.ENODEV: (_no_parent,),
    errno.ENETDOWN: (_parent_down,),
    errno.EOPNOTSUPP: (_no_ethernet, _no_driver),
    errno.EPERM: (_not_allowed,),
}
"""Where to look, by what the kernel said; the first that finds something counts."""


def _what(one: Reading) -> str:
    return f"a {one.seen.spec.driver}" if one.seen.spec.driver else "no Ethernet device"


def _some(names: Iterable[str]) -> str:
    first, *more = sorted(names)
    return f"{first} and {len(more)} more" if more else first
