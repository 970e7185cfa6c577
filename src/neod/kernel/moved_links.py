"""Links of ours that somebody moved to another namespace, deleted there.

A macvlan keeps its MAC on the parent wherever it is moved, and a vlan its id,
so that a new one cannot come up, or not be made, while it exists.
"""

import asyncio
import contextlib
import functools
from collections.abc import Mapping
from typing import Any

from neod.model.marks import LINK_GROUP
from neod.netlink import generic
from neod.netlink.netns import in_netns, named_elsewhere


def is_moved_link(alias: str, mac: str, parent_index: int, link: Mapping[str, Any]) -> bool:
    """Whether *link* is ours beyond doubt: mark, alias and MAC, and a parent with that index elsewhere."""
    return "IFLA_LINK_NETNSID" in link and (LINK_GROUP, alias, mac, parent_index) == tuple(
        link.get(f"IFLA_{name}") for name in ("GROUP", "IFALIAS", "ADDRESS", "LINK")
    )


class NamedStrays:
    """The port ``Strays``, over the namespaces that have a name."""

    async def remove(self, alias: str, mac: str, parent_index: int) -> bool:
        """Delete the link wherever a named namespace holds it; True if one was found."""
        is_it = functools.partial(is_moved_link, alias, mac, parent_index)
        return await asyncio.to_thread(_remove, functools.partial(generic.delete_link, is_it))


def _remove(delete: "functools.partial[bool]") -> bool:
    for path in named_elsewhere():
        with contextlib.suppress(OSError):  # that namespace cannot be read; another may hold it
            if in_netns(path, delete):
                return True
    return False
