"""Room for links: names and MACs that others of ours hold. Pure."""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import replace

from neod.kinds.link_codec import LOOPBACK, LinkSpec, aside_mac
from neod.model.errors import KernelError
from neod.model.key import LinkKey

Item = tuple[LinkKey, LinkSpec, LinkSpec | None]
"""What to make so, and how it was when it was read."""


def born_with(spec: LinkSpec) -> bool:
    """Whether the link comes into being with another one, outside, or with its namespace."""
    return spec.name == LOOPBACK or (spec.peer is not None and not spec.peer.netns)


def may_be_held_by_us(error: KernelError, key: LinkKey, spec: LinkSpec, have: LinkSpec | None) -> bool:
    """Whether our own link, elsewhere or half made, may hold name, MAC or id of a vlan; or a rename wants it down."""
    if have is not None:
        renamed, other_mac = have.name != spec.name, spec.mac not in (None, have.mac)
        taken = (error.code == errno.EEXIST and renamed) or (error.code == errno.EADDRINUSE and other_mac)
        return taken or (error.code == errno.EBUSY and renamed)
    return error.code == errno.EADDRINUSE or (error.code == errno.EEXIST and spec.driver == "vlan")


def aside_name(index: int) -> str:
    """Return a name that a link of ours can have while another one takes its own."""
    return f"neo~{index}"


def aside_of(items: Sequence[Item], indexes: Mapping[LinkKey, int]) -> dict[LinkKey, LinkSpec]:
    """Return what has a name or MAC that another of *items* wants, with one to have meanwhile: circles are possible."""
    there = {key: (have, spec) for key, spec, have in items if have is not None}
    names = {spec.name for have, spec in there.values() if have.name != spec.name}
    macs = {spec.mac for have, spec in there.values() if spec.mac and have.mac != spec.mac}
    found = {}
    for key, (have, spec) in there.items():
        index = indexes.get(key, 0)
        name = aside_name(index) if have.name != spec.name and have.name in names else have.name
        mac = aside_mac(index) if have.mac != spec.mac and have.mac in macs else have.mac
        if (name, mac) != (have.name, have.mac):
            found[key] = replace(have, name=name, mac=mac)
    return found
