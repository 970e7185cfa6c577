"""The port ``Rtnl``: rtnetlink of one namespace, and the names of its links."""

import errno
from collections.abc import Mapping, Sequence
from typing import Final

from neod.kernel.errors import from_os_error, kernel_call, refused
from neod.model.errors import KernelError
from neod.netlink.async_connection import AsyncConnection
from neod.netlink.message import NLM_F_ACK, Answer, NetlinkError, Object, Request
from neod.netlink.rtnetlink import RTM_DELLINK
from neod.netlink.socket import NETLINK_ROUTE, Connection, Opener, open_socket

NO_VERBS: Final[Mapping[int, str]] = {}

SLOW: Final = (RTM_DELLINK,)
"""A deletion waits for an RCU grace period, 90 ms for a macvlan: not on the loop."""


class NetlinkRtnl:
    """rtnetlink on a real kernel. ``writes`` counts the messages that asked for a change.

    *verbs*: what requests are called in error texts, by message type.
    """

    def __init__(self, opener: Opener = open_socket, verbs: Mapping[int, str] = NO_VERBS) -> None:
        self._verbs = verbs
        with kernel_call("open rtnetlink"):
            self._connection = AsyncConnection(Connection(NETLINK_ROUTE, opener), SLOW)
        self._names: dict[int, str] = {}
        self._indexes: dict[str, int] = {}
        self._moved: set[str] = set()
        self.writes = 0

    @property
    def port_id(self) -> int:
        """The netlink port our writes come from; events carry it."""
        return self._connection.port_id

    def close(self) -> None:
        """Close the socket; the namespace is no longer held."""
        self._connection.close()

    async def send(self, requests: Sequence[Request]) -> Sequence[KernelError | None]:
        self.writes += len(requests)
        answers = await self._connection.exchange([(t, flags | NLM_F_ACK, body) for t, flags, body in requests])
        return [
            self._named(request[0], answer) if isinstance(answer, NetlinkError) else None
            for request, answer in zip(requests, answers, strict=True)
        ]

    async def get(self, requests: Sequence[tuple[int, bytes]]) -> Sequence[Object | KernelError]:
        answers = await self._connection.exchange([(type_, 0, body) for type_, body in requests])
        return [self._object(request[0], answer) for request, answer in zip(requests, answers, strict=True)]

    async def dump(self, type_: int, payload: bytes) -> Sequence[Object]:
        try:
            return await self._connection.dump(type_, payload)
        except NetlinkError as error:
            raise self._named(type_, error) from error

    def _object(self, type_: int, answer: Answer) -> Object | KernelError:
        if isinstance(answer, NetlinkError):
            return self._named(type_, answer)
        return answer if answer is not None else refused(self._verbs.get(type_, "rtnetlink"), errno.EPROTO)

    def _named(self, type_: int, error: NetlinkError) -> KernelError:
        return from_os_error(self._verbs.get(type_, "rtnetlink"), error)

    def index_of(self, link: str) -> int | None:
        return self._indexes.get(link)

    def name_of(self, index: int) -> str | None:
        return self._names.get(index)

    def known(self) -> int:
        return len(self._names)

    def note_moved(self, link: str) -> None:
        self._moved.add(link)

    def take_moved(self, link: str) -> bool:
        moved = link in self._moved
        self._moved.discard(link)
        return moved

    def learn(self, index: int, link: str | None) -> None:
        before = self._names.pop(index, None)
        if before is not None and self._indexes.get(before) == index:
            del self._indexes[before]
        if link is not None:
            self._names[index] = link
            self._indexes[link] = index
