"""Links of any kind, by names instead of numbers: what is off the first pass and off the hot path.

pyroute2 knows the attributes of every kind of link, so that a kind here is a few names and no codec. It is imported
inside the functions: 67 ms and 10 MB that a host pays when it first asks for such a link.

Source: pyroute2.netlink.rtnl.ifinfmsg.
"""

import errno
from collections.abc import Iterable, Mapping
from typing import Any

from neod.netlink.message import HEADER, message
from neod.netlink.rtnetlink import IFINFO, RTM_NEWLINK


def link_info(kind: str, data: Mapping[str, int]) -> bytes:
    """Return the attribute IFLA_LINKINFO of a *kind* of link, with *data* by the names of its attributes."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    info: list[tuple[str, Any]] = [("IFLA_INFO_KIND", kind)]
    if data:
        info.append(("IFLA_INFO_DATA", {"attrs": list(data.items())}))
    made = ifinfmsg()
    made["attrs"] = [("IFLA_LINKINFO", {"attrs": info})]
    made.encode()
    return bytes(made.data[HEADER.size + IFINFO.size :])


def link_data(payload: memoryview, names: Iterable[str]) -> Mapping[str, int]:
    """Return the attributes *names* of the kind of link that an RTM_NEWLINK payload is about; what is absent is not."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    link = ifinfmsg(message(RTM_NEWLINK, 0, 0, bytes(payload)))
    link.decode()
    data = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    found = {name: data.get_attr(name) for name in names} if data is not None else {}
    return {name: value for name, value in found.items() if value is not None}


def link_drivers(kinds: Iterable[str]) -> Mapping[str, bool]:
    """Return which *kinds* of links the kernel can make: it is asked for one of each in the calling thread's namespace.

    Any answer but "not supported" is a yes: a vlan without a parent is wrong, and known.
    """
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    found: dict[str, bool] = {}
    with IPRoute() as route:
        for number, kind in enumerate(kinds):
            try:
                route.link("add", ifname=f"probe{number}", kind=kind)
                found[kind] = True
            except NetlinkError as error:
                found[kind] = error.code != errno.EOPNOTSUPP
    return found
