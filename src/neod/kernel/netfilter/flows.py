"""Removes tracked connections of one namespace. Blocks: the table may hold a million, so it has a thread of its own."""

import errno
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from neod.kernel.errors import kernel_call
from neod.netlink.attributes import AF_INET, AF_INET6
from neod.netlink.conntrack import IPCTNL_MSG_CT_GET, TrackedFlow, dump_request, flow_in, removal
from neod.netlink.host_addresses import HostAddress, host_addresses
from neod.netlink.message import NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, error_of, message, messages
from neod.netlink.netns import in_netns
from neod.netlink.socket import NETLINK_NETFILTER, Connection, open_socket

DATAGRAM_BYTES: Final = 1 << 17
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
    condemned = [flow for family in (AF_INET, AF_INET6) for flow in tracked(family) if contradicts(flow)]
    gone: list[TrackedFlow] = []
    with Connection(NETLINK_NETFILTER) as connection:
        for begin in range(0, len(condemned), AT_ONCE):
            part = condemned[begin : begin + AT_ONCE]
            answers = connection.exchange([removal(flow) for flow in part])
            gone += [flow for flow, answer in zip(part, answers, strict=True) if answer is None]
    return gone


def tracked(family: int) -> Iterator[TrackedFlow]:
    """Yield the connections of an address family, a datagram at a time; none where the kernel tracks nothing.

    Raises:
        OSError: they cannot be read.
    """
    with closing(open_socket(NETLINK_NETFILTER)) as sock:
        sock.send(message(IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, 1, dump_request(family)))
        while True:
            for type_, flags, _, _, payload in messages(sock.recv(DATAGRAM_BYTES)):
                if type_ in (NLMSG_DONE, NLMSG_ERROR):
                    error = error_of(type_, flags, payload)
                    if error is not None and error.code not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT):
                        raise error
                    return
                if (flow := flow_in(payload)) is not None:
                    yield flow
