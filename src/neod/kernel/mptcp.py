"""The kernel's MPTCP path manager over generic netlink: requests, and its events.

Nothing is opened before it is needed: a host without MPTCP pays nothing.
"""

import errno
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Final

from neod.kernel.errors import from_os_error, refused
from neod.kernel.multicast import Multicast
from neod.kernel.rtnl import SO_RCVBUFFORCE, NetlinkRtnl, messages
from neod.model.errors import KernelError
from neod.netlink.mptcp_pm import COMMANDS, Event, event_of
from neod.wire import attr_text, attrs, text, u32

NETLINK_GENERIC: Final = 16
GENL_ID_CTRL: Final = 16
CTRL_CMD_GETFAMILY: Final = 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS = 1, 2, 7
CTRL_ATTR_MCAST_GRP_NAME, CTRL_ATTR_MCAST_GRP_ID = 1, 2
FAMILY: Final = "mptcp_pm"
EVENTS: Final = "mptcp_pm_events"
VERSION: Final = 1
GENL: Final = Struct("=BBH")  # genlmsghdr: command, version, reserved
EVENT_BUFFER_BYTES: Final = 8 << 20


def open_generic(receive_buffer_bytes: int) -> socket.socket:
    """Return a bound NETLINK_GENERIC socket of the calling thread's namespace.

    Raises:
        KernelError: no permission, or no descriptors left.
    """
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC)
    except OSError as error:
        raise from_os_error("socket(NETLINK_GENERIC)", error) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer_bytes)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.bind((0, 0))
    return sock


def _release(text: str) -> tuple[int, int]:
    numbers = [int(part) for part in re.findall(r"[0-9]+", text)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


class NetlinkMptcp:
    """The port ``Mptcp`` on a real kernel; opened at the first request. ``writes`` counts what asked for a change."""

    def __init__(self, opener: Callable[[int], socket.socket] = open_generic) -> None:
        self._opener = opener
        self._plane: NetlinkRtnl | None = None
        self._family = 0
        self.groups: dict[str, int] = {}
        self.writes = 0
        self.release = _release(os.uname().release)

    async def _ready(self) -> NetlinkRtnl:
        if self._plane is None:
            self._plane = NetlinkRtnl(self._opener)
        if not self._family:
            await self._resolve(self._plane)
        return self._plane

    async def _resolve(self, plane: NetlinkRtnl) -> None:
        asked = GENL.pack(CTRL_CMD_GETFAMILY, 1, 0) + attr_text(CTRL_ATTR_FAMILY_NAME, FAMILY)
        (answer,) = await plane.get([(GENL_ID_CTRL, asked)])
        if isinstance(answer, KernelError):
            absent = answer.code == errno.ENOENT
            raise KernelError("mptcp", errno.EOPNOTSUPP, "this kernel has no MPTCP") if absent else answer
        found = attrs(answer[1], GENL.size)
        self._family = int.from_bytes(found[CTRL_ATTR_FAMILY_ID][:2], "little")
        for entry in attrs(found[CTRL_ATTR_MCAST_GROUPS]).values() if CTRL_ATTR_MCAST_GROUPS in found else ():
            group = attrs(entry)
            self.groups[text(group[CTRL_ATTR_MCAST_GRP_NAME])] = u32(group[CTRL_ATTR_MCAST_GRP_ID])

    async def send(self, requests: Sequence[tuple[int, bytes]]) -> Sequence[KernelError | None]:
        """Send ``(command, attributes)`` in few system calls; one answer each, in order."""
        self.writes += len(requests)
        try:
            plane = await self._ready()
        except KernelError as error:
            return [error] * len(requests)
        answers = await plane.send([(self._family, 0, GENL.pack(c, VERSION, 0) + body) for c, body in requests])
        return [_named(command, answer) for (command, _), answer in zip(requests, answers, strict=True)]

    async def dump(self, command: int) -> Sequence[memoryview]:
        """Return the attributes of every object of a dump.

        Raises:
            KernelError: refused, or this kernel has no MPTCP.
        """
        plane = await self._ready()
        dumped = await plane.dump(self._family, GENL.pack(command, VERSION, 0))
        return [payload[GENL.size :] for _, payload in dumped]

    async def get(self, command: int) -> memoryview:
        """Return the attributes of the one answer to *command*.

        Raises:
            KernelError: refused, or this kernel has no MPTCP.
        """
        plane = await self._ready()
        (answer,) = await plane.get([(self._family, GENL.pack(command, VERSION, 0))])
        if isinstance(answer, KernelError):
            raise _named(command, answer) or answer
        return answer[1][GENL.size :]

    async def group(self) -> int:
        """Return the number of the group that the events come from.

        Raises:
            KernelError: this kernel has no MPTCP, or one older than its events (5.14).
        """
        await self._ready()
        if EVENTS not in self.groups:
            raise refused("mptcp events", errno.ENOENT, "this kernel's path manager sends no events")
        return self.groups[EVENTS]

    def close(self) -> None:
        """Close what was opened; the namespace is no longer held."""
        if self._plane is not None:
            self._plane.close()
            self._plane = None


def _named(command: int, error: KernelError | None) -> KernelError | None:
    """Return *error* in the words of ``ip mptcp``."""
    return error and KernelError(f"mptcp {COMMANDS.get(command, command)}", error.code, error.why)


class PathEvents(Multicast):
    """The events of the path manager of one namespace, as values.

    While it is open, the kernel accepts joins to connections that a
    userspace manager serves: it looks for a listener of the group.

    Source: net/mptcp/pm_userspace.c, genl_has_listeners.
    """

    def __init__(
        self,
        take: Callable[[Event], None],
        lost: Callable[[], None],
        group: int,
        opener: Callable[[int], socket.socket] = open_generic,
    ) -> None:
        super().__init__(opener(EVENT_BUFFER_BYTES), [group], self._take_all, lost)
        self._take = take
        self.received = 0

    def _take_all(self, datagrams: Iterator[bytes]) -> None:
        for data in datagrams:
            for _type, _flags, _sequence, payload in messages(data):
                self.received += 1
                said = event_of(payload[0], payload[GENL.size :])
                if said is not None:
                    self._take(said)
