"""The port ``MptcpPort``, the path manager's events, and the connections that exist.

Nothing is opened before it is needed: a host without MPTCP pays nothing.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from neod.kernel.errors import from_os_error, kernel_call, refused
from neod.model.errors import KernelError
from neod.netlink import sock_diag
from neod.netlink.async_connection import AsyncConnection
from neod.netlink.attributes import Ip
from neod.netlink.genl import GENL, Family, family_in, family_request, genl
from neod.netlink.message import NLM_F_ACK, Answer, Message, NetlinkError
from neod.netlink.mptcp_pm import EVENTS, FAMILY, Event, event_of
from neod.netlink.multicast import Subscription
from neod.netlink.sock_diag import ConnectionSeen, OpenSocket
from neod.netlink.socket import NETLINK_GENERIC, NETLINK_SOCK_DIAG, Connection, Opener, open_socket

EVENT_BUFFER_BYTES: Final = 8 << 20

VERBS: Final = {
    1: "endpoint add",
    2: "endpoint delete",
    3: "endpoint show",
    5: "limits set",
    6: "limits show",
    7: "endpoint change",
    8: "announce",
    9: "remove",
    10: "subflow create",
    11: "subflow destroy",
}
"""What the commands are called: the words of ``ip mptcp``, where it has one."""


def _release(text: str) -> tuple[int, int]:
    numbers = [int(part) for part in re.findall(r"[0-9]+", text)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


class NetlinkMptcp:
    """The path manager of a real kernel; opened at the first request. ``writes`` counts what asked for a change."""

    def __init__(self, opener: Opener = open_socket) -> None:
        self._opener = opener
        self._connection: AsyncConnection | None = None
        self._family: Family | None = None
        self.writes = 0
        self.release = _release(os.uname().release)

    async def send(self, requests: Sequence[tuple[int, bytes]]) -> Sequence[KernelError | None]:
        self.writes += len(requests)
        try:
            connection, family = await self._ready()
        except KernelError as error:
            return [error] * len(requests)
        answers = await connection.exchange([(family.id, NLM_F_ACK, genl(command, body)) for command, body in requests])
        return [_error(command, answer) for (command, _), answer in zip(requests, answers, strict=True)]

    async def dump(self, command: int) -> Sequence[memoryview]:
        connection, family = await self._ready()
        with kernel_call(_verb(command)):
            found = await connection.dump(family.id, genl(command))
        return [payload[GENL.size :] for _, payload in found]

    async def get(self, command: int) -> memoryview:
        connection, family = await self._ready()
        (answer,) = await connection.exchange([(family.id, 0, genl(command))])
        if answer is None or isinstance(answer, NetlinkError):
            raise _error(command, answer) or refused(_verb(command), errno.EPROTO)
        return answer[1][GENL.size :]

    async def group(self) -> int:
        """Return the number of the group that the events come from.

        Raises:
            KernelError: this kernel has no MPTCP, or one older than its events (5.14).
        """
        _, family = await self._ready()
        if EVENTS not in family.groups:
            raise refused("mptcp events", errno.ENOENT, "this kernel's path manager sends no events")
        return family.groups[EVENTS]

    def close(self) -> None:
        """Close what was opened; the namespace is no longer held."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _ready(self) -> tuple[AsyncConnection, Family]:
        """Return the connection and the family, asked for once."""
        if self._connection is None:
            with kernel_call("mptcp"):
                self._connection = AsyncConnection(Connection(NETLINK_GENERIC, self._opener))
        if self._family is None:
            self._family = await _resolve(self._connection)
        return self._connection, self._family


async def _resolve(connection: AsyncConnection) -> Family:
    (answer,) = await connection.exchange([family_request(FAMILY)])
    with kernel_call("mptcp"):
        if isinstance(answer, tuple):
            return family_in(answer[1])
    if answer is not None and answer.code == errno.ENOENT:
        raise refused("mptcp", errno.EOPNOTSUPP, "this kernel has no MPTCP")
    raise from_os_error("mptcp", answer or NetlinkError(errno.EPROTO))


def _verb(command: int) -> str:
    return f"mptcp {VERBS.get(command, command)}"


def _error(command: int, answer: Answer) -> KernelError | None:
    return from_os_error(_verb(command), answer) if isinstance(answer, NetlinkError) else None


class PathEvents(Subscription):
    """The events of the path manager of one namespace, as values.

    While it is open, the kernel accepts joins to connections that a
    userspace manager serves: it looks for a listener of the group.

    Source: net/mptcp/pm_userspace.c, genl_has_listeners.
    """

    def __init__(
        self, take: Callable[[Event], None], lost: Callable[[], None], group: int, opener: Opener = open_socket
    ) -> None:
        self._take = take
        with kernel_call("subscribe to mptcp events"):
            super().__init__(opener(NETLINK_GENERIC, EVENT_BUFFER_BYTES), [group], self._take_all, lost)

    def _take_all(self, messages: Iterator[Message]) -> None:
        for _, _, _, _, payload in messages:
            event = event_of(payload[0], payload[GENL.size :]) if len(payload) >= GENL.size else None
            if event is not None:
                self._take(event)


def open_sockets(opener: Opener, wanted: Callable[[Ip, Ip], bool]) -> list[OpenSocket]:
    """Return the open TCP sockets of a namespace whose addresses, local and remote, are *wanted*. Blocks.

    Raises:
        KernelError: the sockets could not be read.
    """
    with kernel_call("sock_diag"), Connection(NETLINK_SOCK_DIAG, opener) as connection:
        return sock_diag.open_sockets(connection.dump_each, wanted)


def dump_connections(opener: Opener) -> list[ConnectionSeen]:
    """Return all MPTCP connections of the namespace that *opener* opens sockets in. Blocks for milliseconds.

    Raises:
        KernelError: the sockets could not be read.
    """
    with (
        kernel_call("sock_diag"),
        Connection(NETLINK_SOCK_DIAG, opener, receive_buffer_bytes=sock_diag.RECEIVE_BUFFER_BYTES) as connection,
    ):
        return sock_diag.dump_connections(connection.dump)
