"""Links of ours that somebody moved to another namespace, deleted there.

A macvlan keeps its MAC on the parent wherever it is moved, so that a new one
with the same MAC cannot come up while it lives.
"""

from pathlib import Path
from typing import Final

from neod.kernel.rtnl import NetlinkRtnl
from neod.model.errors import KernelError
from neod.model.marks import LINK_GROUP
from neod.netlink.attributes import attr_u32, attrs, mac_text, text, u32
from neod.netlink.netns import named_elsewhere, opener_in
from neod.netlink.rtnetlink import IFINFO, RTM_DELLINK, RTM_GETLINK

IFLA_ADDRESS, IFLA_LINK, IFLA_IFALIAS, IFLA_GROUP, IFLA_EXT_MASK, IFLA_LINK_NETNSID = 1, 5, 20, 27, 29, 37
SKIP_STATS: Final = attr_u32(IFLA_EXT_MASK, 1 << 3)


def is_stray(payload: memoryview, alias: str, mac: str, parent_index: int) -> bool:
    """Whether the link is ours beyond doubt: mark, alias and MAC, and a parent with that index elsewhere."""
    found = attrs(payload, IFINFO.size)
    if not {IFLA_ADDRESS, IFLA_LINK, IFLA_IFALIAS, IFLA_GROUP, IFLA_LINK_NETNSID} <= found.keys():
        return False
    return (
        u32(found[IFLA_GROUP]),
        text(found[IFLA_IFALIAS]),
        mac_text(found[IFLA_ADDRESS]),
        u32(found[IFLA_LINK]),
    ) == (
        LINK_GROUP,
        alias,
        mac,
        parent_index,
    )


class NamedStrays:
    """The port ``Strays``, over the namespaces that have a name."""

    async def remove(self, alias: str, mac: str, parent_index: int) -> bool:
        """Delete the link wherever a named namespace holds it; True if one was found."""
        for path in named_elsewhere():
            try:
                if await self._remove_in(path, alias, mac, parent_index):
                    return True
            except KernelError:  # that namespace cannot be read; another may hold it
                continue
        return False

    async def _remove_in(self, path: Path, alias: str, mac: str, parent_index: int) -> bool:
        rtnl = NetlinkRtnl(opener_in(path))
        try:
            for _, payload in await rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + SKIP_STATS):
                if is_stray(payload, alias, mac, parent_index):
                    index = IFINFO.unpack_from(payload)[2]
                    return (await rtnl.send([(RTM_DELLINK, 0, IFINFO.pack(0, 0, index, 0, 0))]))[0] is None
        finally:
            rtnl.close()
        return False
