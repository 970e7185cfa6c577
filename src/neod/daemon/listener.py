"""From netlink messages to hints. Nothing in a message is believed: it only says where to look."""

from collections.abc import Callable
from typing import Final

from neod.daemon.dhcp_binding import DhcpBinding
from neod.daemon.uplink_follower import UplinkFollower
from neod.kinds import REGISTRY
from neod.kinds.link import LinkKind, LinkSpec, name_in
from neod.kinds.link import from_wire as link_from_wire
from neod.model.change import Actor, Seen
from neod.model.key import AddressKey, Key, LinkKey
from neod.model.ports import Rtnl
from neod.netlink.attributes import attrs
from neod.netlink.rtnetlink import IFINFO, RTM_DELADDR, RTM_DELLINK, RTM_NEWLINK
from neod.reconcile.queue import HintQueue
from neod.reconcile.reconciler import Reconciler

IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
LINKS: Final = LinkKind()
LINK_MESSAGES: Final = (RTM_NEWLINK, RTM_DELLINK)


class Listener:
    """Takes the multicast of every open namespace."""

    def __init__(
        self,
        reconciler: Reconciler,
        queue: HintQueue,
        follower: UplinkFollower,
        dhcp_binding: DhcpBinding,
        rtnl_of: Callable[[str], Rtnl],
    ) -> None:
        self._reconciler, self._queue, self._follower, self._dhcp_binding = reconciler, queue, follower, dhcp_binding
        self._rtnl_of = rtnl_of
        self._kinds = {type_: entry.kind for entry in REGISTRY for type_ in entry.kind.messages}

    def on_message(self, netns: str, type_: int, payload: memoryview, actor: Actor | None) -> None:
        """Turn one message into hints."""
        kind, rtnl = self._kinds.get(type_), self._rtnl_of(netns)
        if kind is None or (type_ == RTM_NEWLINK and self._known_already(netns, payload, rtnl)):
            return
        gone = type_ == RTM_DELADDR or (type_ in LINK_MESSAGES and _is_down(type_, payload))
        for key, owned in kind.keys_of_event(netns, type_, payload, rtnl.name_of):
            self._hint(key, owned, actor, type_, gone=gone)
        if type_ in LINK_MESSAGES:
            self._learn(netns, type_, payload)

    def _hint(self, key: Key, owned: bool, actor: Actor | None, type_: int, *, gone: bool) -> None:
        reconciler, cause = self._reconciler, f"{key.kind} event"
        followed = self._follower.concerns(key)
        self._follower.dirty |= followed
        watched = key in reconciler.desire.specs or key in reconciler.observed or reconciler.desire.is_required(key)
        if owned or watched or (followed and key.kind != "route"):
            self._queue.hint(key, cause, actor, deep=gone, gone=owned and type_ in self._kinds[type_].deletions)
            if gone and isinstance(key, AddressKey):  # its routes go with it, and no event says so
                self._queue.hint(LinkKey(key.netns, key.link), cause, actor, deep=True)
        elif followed:
            self._queue.hint_facts("default route event")

    def _known_already(self, netns: str, payload: memoryview, rtnl: Rtnl) -> bool:
        """Whether a link event tells what was read before: a new link sends several, and its carrier more."""
        _, _, index, flags, _ = IFINFO.unpack_from(payload)
        name = name_in(payload)
        if not netns:
            self._dhcp_binding.carrier(name, bool(flags & IFF_LOWER_UP))
        if not flags & IFF_UP:
            return False
        seen = self._reconciler.observed.get(LinkKey(netns, name))
        reading = link_from_wire(payload, attrs(payload, IFINFO.size), rtnl.name_of)
        if seen is None:  # made by the pass that is under way
            return self._reconciler.stuck(0.0) and self._as_asked(LinkKey(netns, name), reading.seen)
        if rtnl.index_of(name) != index:
            return False
        return bool(seen == reading.seen or (seen.owned and self._as_asked(LinkKey(netns, name), reading.seen)))

    def _as_asked(self, key: LinkKey, told: Seen[LinkSpec]) -> bool:
        """Whether a link of ours is what is desired; what we noted when we made it has less detail."""
        want = self._reconciler.specs.get(key)
        return told.owned and isinstance(want, LinkSpec) and LINKS.matches(told.spec, want)

    def _learn(self, netns: str, type_: int, payload: memoryview) -> None:
        index, name = IFINFO.unpack_from(payload)[2], name_in(payload)
        self._rtnl_of(netns).learn(index, None if type_ == RTM_DELLINK else name)
        if type_ == RTM_DELLINK and not netns:
            self._dhcp_binding.carrier(name, False)


def _is_down(type_: int, payload: memoryview) -> bool:
    """Whether the link lost its routes: the kernel drops them with it and tells nobody."""
    return type_ == RTM_DELLINK or not IFINFO.unpack_from(payload)[3] & IFF_UP
