"""Removes tracked connections of one namespace. Blocks: the table may hold a million, so it has a thread of its own."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final

from neod.kernel.errors import kernel_call
from neod.netlink.attributes import AF_INET, AF_INET6
from neod.netlink.conntrack import IPCTNL_MSG_CT_GET, TrackedFlow, dump_request, flow_in, removal
from neod.netlink.host_addresses import HostAddress, host_addresses
from neod.netlink.message import NetlinkError, Object
from neod.netlink.netns import in_netns
from neod.netlink.socket import NETLINK_NETFILTER, Connection

AT_ONCE: Final = 200

Judge = Callable[[TrackedFlow], bool]


def cut_flows(netns: Path | None, judge: Callable[[list[HostAddress]], Judge]) -> list[TrackedFlow]:
    """Remove the connections that the judge, who is told the host's addresses, condemns; return those that went.

    Raises:
        KernelError: they cannot be read.
    """
    with kernel_call("read the tracked connections"):
        return in_netns(netns, lambda: _cut(judge)) if netns else _cut(judge)


def _cut(judge: Callable[[list[HostAddress]], Judge]) -> list[TrackedFlow]:
    contradicts = judge(host_addresses())
    gone: list[TrackedFlow] = []
    with Connection(NETLINK_NETFILTER) as connection:
        condemned = [flow for family in (AF_INET, AF_INET6) for flow in tracked(connection, family, contradicts)]
        for begin in range(0, len(condemned), AT_ONCE):
            part = condemned[begin : begin + AT_ONCE]
            answers = connection.exchange([removal(flow) for flow in part])
            gone += [flow for flow, answer in zip(part, answers, strict=True) if answer is None]
    return gone


def tracked(connection: Connection, family: int, wanted: Judge) -> list[TrackedFlow]:
    """Return the connections of an address family that are *wanted*; none where the kernel tracks nothing.

    Raises:
        OSError: they cannot be read.
    """
    found: list[TrackedFlow] = []

    def take(answer: Object) -> None:
        if (flow := flow_in(answer[1])) is not None and wanted(flow):
            found.append(flow)

    try:
        connection.dump_each(IPCTNL_MSG_CT_GET, dump_request(family), take)
    except NetlinkError as error:
        if error.code not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT):
            raise
    return found
