"""What this kernel and this host can do, found out by trying or by looking. Changes nothing that stays."""

import errno
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from neod.kernel.rtnl import messages, open_netlink
from neod.netlink.netns import in_new_netns
from neod.wire import (
    HEADER,
    IFINFO,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    RTM_NEWLINK,
    attr,
    nest,
)

IFLA_LINKINFO, IFLA_INFO_KIND = 18, 1
PROC: Final = Path("/proc")


def link_drivers(names: Iterable[str]) -> Mapping[str, bool]:
    """Return which drivers of links the kernel has: each is asked for one, in a namespace that is gone afterwards."""
    found: dict[str, bool] = {}

    def try_all() -> None:
        with open_netlink(1 << 16) as sock:
            sock.settimeout(5)
            for number, name in enumerate(names, 1):
                body = IFINFO.pack(0, 0, 0, 0, 0) + nest(IFLA_LINKINFO, [attr(IFLA_INFO_KIND, name.encode())])
                flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
                sock.send(HEADER.pack(16 + len(body), RTM_NEWLINK, flags, number, 0) + body)
                for type_, _, _, payload in messages(sock.recv(1 << 16)):
                    if type_ == NLMSG_ERROR:
                        found[name] = -int.from_bytes(payload[:4], "little", signed=True) != errno.EOPNOTSUPP

    in_new_netns(try_all)
    return found


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
