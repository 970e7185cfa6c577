"""Links as rtnetlink has them: what one should be, and its messages. Pure.

Macvlans, pairs and links without options are packed here: the hot path. What
has options (vlan, bond, bridge) goes through pyroute2, see ``link_options``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from neod.kinds import link_options
from neod.kinds.link_options import Options
from neod.model.change import Seen
from neod.model.key import LinkKey
from neod.model.kind import Names
from neod.model.marks import LINK_GROUP
from neod.model.shown import IF_UNUSUAL, NEVER
from neod.netlink import generic
from neod.netlink.attributes import attr, attr_text, attr_u32, attrs, each_attr, mac_bytes, mac_text, nest, text, u32
from neod.netlink.rtnetlink import IFINFO

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_LINKINFO = 1, 3, 4, 5, 18
IFLA_MASTER, IFLA_IFALIAS, IFLA_GROUP = 10, 20, 27
IFLA_PROP_LIST, IFLA_ALT_IFNAME = 52, 53
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_MACVLAN_MODE = 1, 2, 1
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
MODES: Final = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
MODE_NAMES: Final = {number: name for name, number in MODES.items()}
ALIAS_PREFIX: Final = "neo:"
LOOPBACK: Final = "lo"
ARPHRD_ETHER: Final = 1
ELSEWHERE: Final = "?"
"""A link whose name is not known."""


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """What a link should be. ``None`` leaves the kernel's choice alone."""

    driver: str  # macvlan, veth, dummy, vlan … (IFLA_INFO_KIND); empty for a physical NIC and the loopback
    name: str  # the name it has; differs from the key's only when somebody renamed it
    parent: str | None = None  # link name
    mode: str | None = None  # macvlan: private | vepa | bridge
    mac: str | None = None  # lower case, colons
    mtu: int | None = None  # bytes
    up: bool = True
    peer: LinkKey | None = None  # veth: the other end; of one that is observed, only its namespace is known
    options: Options = ()  # of a kind in ``link_options``; observed of our own links alone
    # It has no IPv6 from its first moment on; a sysctl that is wanted as well keeps it so.
    quiet: bool = field(default=False, metadata=NEVER)
    master: str = ""  # the bond or bridge that it is a port of; wanted: the one that it may be a port of
    altnames: tuple[str, ...] = ()  # other names; of no link is one wanted
    carrier: bool = field(default=True, metadata=IF_UNUSUAL)  # observed of others' links alone: of ours it follows
    marked: bool = field(default=True, metadata=IF_UNUSUAL)  # group and alias are those that tell ours, and which
    displaced: bool = field(default=False, metadata=NEVER)  # a link of somebody else has its name

    @property
    def may_be_parent(self) -> bool:
        """Whether macvlans can be put on it: on any link but a macvlan."""
        return self.driver != "macvlan"


def missing(have: LinkSpec, want: LinkSpec) -> Options:
    return tuple(pair for pair in want.options if pair not in have.options)


def create_request(spec: LinkSpec, parent_index: int, other_end: bytes = b"") -> bytes:
    """Return the RTM_NEWLINK payload that makes the link, marked from its first moment.

    A quiet one is left down, see ``up_request``.
    """
    parts = [IFINFO.pack(0, 0, 0, IFF_UP if spec.up and not spec.quiet else 0, IFF_UP)]
    parts += [attr_text(IFLA_IFNAME, spec.name), attr_u32(IFLA_GROUP, LINK_GROUP)]
    if parent_index:
        parts.append(attr_u32(IFLA_LINK, parent_index))
    if spec.mac:
        parts.append(attr(IFLA_ADDRESS, mac_bytes(spec.mac)))
    if spec.mtu:
        parts.append(attr_u32(IFLA_MTU, spec.mtu))
    if spec.options:
        asked = link_options.not_default(spec.driver, spec.options)
        parts.append(generic.link_info(spec.driver, link_options.to_wire(spec.driver, asked)))
    else:
        parts.append(_link_info(spec, other_end))
    return b"".join(parts)


def _link_info(spec: LinkSpec, other_end: bytes = b"") -> bytes:
    kind = attr(IFLA_INFO_KIND, spec.driver.encode())
    data = [attr_u32(IFLA_MACVLAN_MODE, MODES[spec.mode])] if spec.mode else [other_end] if other_end else []
    return nest(IFLA_LINKINFO, [kind, nest(IFLA_INFO_DATA, data)] if data else [kind])


def change_request(index: int, key: LinkKey, have: LinkSpec, want: LinkSpec) -> bytes:
    """Return the RTM_NEWLINK payload that turns *have* into *want*; only what differs is named.

    Flags without a mask are all the flags to the kernel: IFF_UP alone would clear IFF_MULTICAST and IFF_ALLMULTI.

    Source: net/core/rtnetlink.c, rtnl_dev_get_flags.
    """
    flags, mask = (IFF_UP if want.up else 0, IFF_UP) if have.up != want.up else (0, 0)
    parts = [IFINFO.pack(0, 0, index, flags, mask)]
    if have.name != want.name:
        parts.append(attr_text(IFLA_IFNAME, want.name))
    if want.mac and have.mac != want.mac:
        parts.append(attr(IFLA_ADDRESS, mac_bytes(want.mac)))
    if want.mtu and have.mtu != want.mtu:
        parts.append(attr_u32(IFLA_MTU, want.mtu))
    if want.mode and have.mode != want.mode:
        parts.append(_link_info(want))
    if have.master not in ("", want.master):
        parts.append(attr_u32(IFLA_MASTER, 0))
    if not have.marked:
        parts += [attr_u32(IFLA_GROUP, LINK_GROUP), _alias(key)]
    if changed := missing(have, want):
        parts.append(generic.link_info(want.driver, link_options.to_wire(want.driver, changed)))
    return b"".join(parts)


def up_request(key: LinkKey, spec: LinkSpec) -> bytes:
    """Return the payload that sets a link up that was just made, and notes the key on it."""
    parts = [IFINFO.pack(0, 0, 0, IFF_UP if spec.up else 0, IFF_UP), attr_text(IFLA_IFNAME, spec.name)]
    return b"".join([*parts, _alias(key)])


def aside_mac(index: int) -> str:
    """Return a MAC that a link of ours can have while two of them exchange theirs."""
    return (b"\x06neo" + index.to_bytes(4, "big")[2:]).hex(":")


def alias_request(index: int, key: LinkKey) -> bytes:
    """Return the payload that notes the key on the link: a rename is then seen as a rename."""
    return IFINFO.pack(0, 0, index, 0, 0) + _alias(key)


def _alias(key: LinkKey) -> bytes:
    """Return the attribute; that of a loopback says what its namespace is."""
    return b"" if key.name == LOOPBACK else attr(IFLA_IFALIAS, (ALIAS_PREFIX + key.name).encode())


@dataclass(frozen=True, slots=True)
class Reading:
    """One link as a message shows it."""

    index: int
    alias: str
    seen: Seen[LinkSpec]
    type: int = ARPHRD_ETHER  # of hardware: what takes macvlans, or can be a port, is Ethernet

    def marked_as(self, key: LinkKey) -> "Reading":
        """Return the reading with whether group and alias say that it is *key*'s link of ours."""
        spec, owned = self.seen.spec, self.seen.owned
        marked = owned if spec.name == LOOPBACK else (self.alias == ALIAS_PREFIX + key.name) == owned
        if marked == spec.marked:
            return self
        return replace(self, seen=replace(self.seen, spec=replace(spec, marked=marked)))


Links = Mapping[str, Reading]
"""All links that are there, by name."""


def from_wire(payload: memoryview, found: Mapping[int, memoryview], names: Names) -> Reading:
    """Return the link that an RTM_NEWLINK payload with the attributes *found* describes."""
    _, type_, index, flags, _ = IFINFO.unpack_from(payload)
    driver, mode, name = "", None, text(found[IFLA_IFNAME])
    alias = text(found[IFLA_IFALIAS]) if IFLA_IFALIAS in found else ""
    if IFLA_LINKINFO in found:
        info = attrs(found[IFLA_LINKINFO])
        driver = text(info[IFLA_INFO_KIND]) if IFLA_INFO_KIND in info else ""
        if driver == "macvlan" and IFLA_INFO_DATA in info:
            mode = MODE_NAMES.get(u32(attrs(info[IFLA_INFO_DATA])[IFLA_MACVLAN_MODE]))
    parent = names(u32(found[IFLA_LINK])) if IFLA_LINK in found and driver != "veth" else None
    master = names(u32(found[IFLA_MASTER])) or ELSEWHERE if IFLA_MASTER in found else ""
    owned = IFLA_GROUP in found and u32(found[IFLA_GROUP]) == LINK_GROUP
    spec = LinkSpec(
        driver,
        name,
        parent,
        mode,
        mac_text(found[IFLA_ADDRESS]) if IFLA_ADDRESS in found else None,
        u32(found[IFLA_MTU]) if IFLA_MTU in found else None,
        bool(flags & IFF_UP),
        master=master,
        altnames=_altnames(found[IFLA_PROP_LIST]) if IFLA_PROP_LIST in found else (),
        carrier=owned or bool(flags & IFF_LOWER_UP),
        marked=not owned or name == LOOPBACK or alias in ("", ALIAS_PREFIX + name),  # a new link gets it afterwards
    )
    return Reading(index, alias, Seen(spec, owned), type_)


def _altnames(properties: memoryview) -> tuple[str, ...]:
    return tuple(text(value) for type_, value in each_attr(properties) if type_ == IFLA_ALT_IFNAME)


def with_options(payload: memoryview, reading: Reading, *, foreign: bool = False) -> Reading:
    """Return a link of ours with its options, also one that lost its group.

    Those of others are rarely our business, and cost 0.1 ms each.
    """
    driver = reading.seen.spec.driver
    ours = reading.seen.owned or reading.alias.startswith(ALIAS_PREFIX)
    if not (ours or foreign) or driver not in link_options.OPTIONS:
        return reading
    options = link_options.from_wire(driver, generic.link_data(payload, link_options.attributes(driver)))
    return replace(reading, seen=replace(reading.seen, spec=replace(reading.seen.spec, options=options)))


def by_key(netns: str, readings: Iterable[Reading], known: Mapping[int, LinkKey]) -> dict[LinkKey, Reading]:
    """Return the links by key: one of ours that was renamed keeps its key, whatever link has that name now.

    *known*: the keys of ours by index. Where that says nothing, the alias
    does. The name of a link of others is that link's key.
    """
    found: dict[LinkKey, Reading] = {}
    ours: list[tuple[bool, LinkKey, LinkKey, Reading]] = []
    for reading in readings:
        name = LinkKey(netns, reading.seen.spec.name)
        key = known.get(reading.index) or _told_by_alias(netns, reading)
        if reading.seen.owned and key is not None and key != name:
            ours.append((reading.index not in known, key, name, reading))
        else:
            found[name] = reading
    for _, key, name, reading in sorted(ours, key=lambda one: one[0]):
        there = found.get(key)
        if there is not None and not there.seen.owned:
            reading = replace(reading, seen=replace(reading.seen, spec=replace(reading.seen.spec, displaced=True)))
        found[name if there is not None and there.seen.owned else key] = reading
    return {key: reading.marked_as(key) for key, reading in found.items()}


def _told_by_alias(netns: str, reading: Reading) -> LinkKey | None:
    prefix, name = reading.alias[: len(ALIAS_PREFIX)], reading.alias[len(ALIAS_PREFIX) :]
    return LinkKey(netns, name) if prefix == ALIAS_PREFIX and name else None


def named(name: str) -> bytes:
    """Return the payload that names a link and says no more."""
    return IFINFO.pack(0, 0, 0, 0, 0) + attr_text(IFLA_IFNAME, name)
