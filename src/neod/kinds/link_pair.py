"""Pairs of links, one end in another namespace: veth."""

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from neod.model.errors import KernelError
from neod.model.key import LinkKey
from neod.model.marks import LINK_GROUP
from neod.model.ports import Namespaces, Rtnl
from neod.netlink.attributes import attr, attr_text, attr_u32, attrs, u32
from neod.netlink.rtnetlink import IFINFO, NETNSA_FD, NETNSA_NSID, RTGENMSG, RTM_GETNSID

IFLA_IFNAME, IFLA_GROUP, IFLA_NET_NS_FD, IFLA_LINK_NETNSID = 3, 27, 28, 37
VETH_INFO_PEER: Final = 1
ELSEWHERE: Final = "?"
"""The other end is in a namespace that is none of those we made."""


class Pairs:
    """Where the other ends are. The kernel numbers the namespaces that links of one lead to."""

    def __init__(self, rtnl: Rtnl, port: Namespaces | None) -> None:
        self._rtnl, self._port = rtnl, port

    async def namespaces(self, payloads: Sequence[memoryview]) -> Mapping[int, str]:
        """Return, by index, the namespace of the other end of every link of ours that has one elsewhere."""
        numbers: dict[int, int] = {}
        for payload in payloads:
            found = attrs(payload, IFINFO.size)
            if IFLA_LINK_NETNSID in found and IFLA_GROUP in found and u32(found[IFLA_GROUP]) == LINK_GROUP:
                numbers[IFINFO.unpack_from(payload)[2]] = u32(found[IFLA_LINK_NETNSID])
        made = self._port.names() if numbers and self._port else ()
        if not made:
            return {}
        names = {number: name for name in made if (number := await self._number_of(name)) is not None}
        return {index: names.get(number, ELSEWHERE) for index, number in numbers.items()}

    async def _number_of(self, name: str) -> int | None:
        try:
            descriptor = self._open(name)
        except KernelError:
            return None
        try:
            body = RTGENMSG.pack(0) + attr_u32(NETNSA_FD, descriptor)
            (answer,) = await self._rtnl.get([(RTM_GETNSID, body)])
        finally:
            os.close(descriptor)
        if isinstance(answer, KernelError):
            return None
        found = attrs(answer[1], RTGENMSG.size)
        return u32(found[NETNSA_NSID]) if NETNSA_NSID in found else None

    def _open(self, netns: str) -> int:
        if self._port is None:
            raise KernelError("netns", errno.EOPNOTSUPP, "namespaces are made from neod's own")
        return self._port.open(netns)

    def other_end(self, peer: LinkKey, until: ExitStack) -> bytes:
        """Return the attribute that makes *peer* together with the link, marked as well; good until *until* ends.

        It is down: an end cannot be up before it has another one.

        Raises:
            KernelError: the namespace of the other end is not there.
        """
        descriptor = self._open(peer.netns)
        until.callback(os.close, descriptor)
        parts = [
            IFINFO.pack(0, 0, 0, 0, 0),
            attr_text(IFLA_IFNAME, peer.name),
            attr_u32(IFLA_GROUP, LINK_GROUP),
            attr_u32(IFLA_NET_NS_FD, descriptor),
        ]
        return attr(VETH_INFO_PEER, b"".join(parts))
