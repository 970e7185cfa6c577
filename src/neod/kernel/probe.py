"""What this kernel and this host can do, found out by trying or by looking. Changes nothing that stays."""

import errno
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from neod.netlink.attributes import attr, nest
from neod.netlink.message import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NetlinkError, Request
from neod.netlink.netns import in_new_netns
from neod.netlink.rtnetlink import IFINFO, RTM_NEWLINK
from neod.netlink.socket import NETLINK_ROUTE, Connection

IFLA_LINKINFO, IFLA_INFO_KIND = 18, 1
PROC: Final = Path("/proc")


def link_drivers(names: Iterable[str]) -> Mapping[str, bool]:
    """Return which drivers of links the kernel has: each is asked for one, in a namespace that is gone afterwards."""
    names, found = tuple(names), {}

    def try_all() -> None:
        with Connection(NETLINK_ROUTE) as connection:
            answers = connection.exchange([_new_link(name) for name in names])
        for name, answer in zip(names, answers, strict=True):
            found[name] = not isinstance(answer, NetlinkError) or answer.code != errno.EOPNOTSUPP

    in_new_netns(try_all)
    return found


def _new_link(driver: str) -> Request:
    body = IFINFO.pack(0, 0, 0, 0, 0) + nest(IFLA_LINKINFO, [attr(IFLA_INFO_KIND, driver.encode())])
    return RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, body


def programs() -> Mapping[str, int]:
    """Return the names of the processes of this host, each with one of its ids."""
    found: dict[str, int] = {}
    for directory in PROC.iterdir():
        if directory.name.isdigit():
            try:
                found.setdefault((directory / "comm").read_text().strip(), int(directory.name))
            except OSError:
                continue
    return found


def installed(*names: str) -> tuple[str, ...]:
    """Return which of the programs are there."""
    return tuple(name for name in names if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin"))
