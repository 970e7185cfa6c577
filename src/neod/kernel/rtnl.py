"""rtnetlink requests of one namespace: many messages in one send, answers matched by number.

Not for events: a request socket that also listens can lose answers to a
storm. The kernel handles a request inside ``send``, so that the answers lie
in the receive buffer when it returns; the socket's time-out is only a guard.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from neod.kernel.errors import from_os_error, refused
from neod.model.errors import KernelError
from neod.wire import (
    HEADER,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    RTM_DELLINK,
    attrs,
    text,
)

SOL_NETLINK: Final = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 10, 11, 12
SO_RCVBUFFORCE: Final = 33
NLMSGERR_ATTR_MSG: Final = 1
NLM_F_CAPPED: Final = 0x100

BATCH: Final = 64
"""Messages a send: 64 new macvlans take the kernel 15 ms, the longest that the loop may wait."""

RECEIVE_BUFFER_BYTES: Final = 8 << 20
TIMEOUT_S: Final = 5.0
DUMP_TRIES: Final = 5

Message = tuple[int, int, int, memoryview]  # type, flags, sequence, payload


def open_netlink(receive_buffer_bytes: int) -> socket.socket:
    """Return a bound NETLINK_ROUTE socket of the calling thread's namespace.

    Raises:
        KernelError: no permission, or no descriptors left.
    """
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    except OSError as error:
        raise from_os_error("socket(NETLINK_ROUTE)", error) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer_bytes)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.bind((0, 0))
    return sock


def messages(data: bytes) -> Iterator[Message]:
    """Yield the netlink messages of one datagram; stops at the first malformed one."""
    view, offset, end = memoryview(data), 0, len(data)
    unpack = HEADER.unpack_from
    while offset + 16 <= end:
        length, type_, flags, sequence, _ = unpack(data, offset)
        if length < 16 or offset + length > end:
            return
        yield type_, flags, sequence, view[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _refusal(call: str, flags: int, payload: memoryview) -> KernelError | None:
    code = -int.from_bytes(payload[:4], "little", signed=True)
    if code == 0:
        return None
    offset = 20 if flags & NLM_F_CAPPED else 4 + int.from_bytes(payload[4:8], "little")
    found = attrs(payload, (offset + 3) & ~3)
    return refused(call, code, text(found[NLMSGERR_ATTR_MSG]) if NLMSGERR_ATTR_MSG in found else "")


NO_VERBS: Final[Mapping[int, str]] = {}


class NetlinkRtnl:
    """The port ``Rtnl`` on a real kernel. ``writes`` counts the messages that asked for a change.

    *verbs*: what requests are called in error texts, by message type.
    """

    def __init__(
        self, opener: Callable[[int], socket.socket] = open_netlink, verbs: Mapping[int, str] = NO_VERBS
    ) -> None:
        self._opener, self._verbs = opener, verbs
        self._sock = self._open()
        self._sequence = 0
        self._turn = asyncio.Lock()  # one request or dump at a time on the socket
        self._names: dict[int, str] = {}
        self._indexes: dict[str, int] = {}
        self.writes = 0

    def _open(self) -> socket.socket:
        sock = self._opener(RECEIVE_BUFFER_BYTES)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            sock.setsockopt(SOL_NETLINK, option, 1)
        sock.settimeout(TIMEOUT_S)
        return sock

    @property
    def port_id(self) -> int:
        """The netlink port our writes come from; events carry it."""
        port: int = self._sock.getsockname()[0]
        return port

    def close(self) -> None:
        """Close the socket; the namespace is no longer held."""
        self._sock.close()

    async def send(self, requests: Sequence[tuple[int, int, bytes]]) -> Sequence[KernelError | None]:
        """Send the requests in few system calls; one answer each, in order."""
        self.writes += len(requests)
        answers: list[KernelError | None] = []
        for start in range(0, len(requests), BATCH):
            if start:
                await asyncio.sleep(0)
            batch = [(t, f | NLM_F_ACK, p) for t, f, p in requests[start : start + BATCH]]
            async with self._turn:
                # A deletion waits for an RCU grace period, 90 ms for a macvlan: not on the loop.
                slow = any(t == RTM_DELLINK for t, _, _ in batch)
                exchanged = await asyncio.to_thread(self._exchange, batch) if slow else self._exchange(batch)
            answers += [a if isinstance(a, KernelError) else None for a in exchanged]
        return answers

    async def get(self, requests: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, memoryview] | KernelError]:
        """Return one object, or the refusal, for each ``(type, payload)``."""
        answers: list[tuple[int, memoryview] | KernelError] = []
        for start in range(0, len(requests), BATCH):
            if start:
                await asyncio.sleep(0)
            async with self._turn:
                exchanged = self._exchange([(t, 0, p) for t, p in requests[start : start + BATCH]])
            answers += [answer if answer is not None else refused("get", errno.EPROTO) for answer in exchanged]
        return answers

    def _exchange(self, batch: Sequence[tuple[int, int, bytes]]) -> list[tuple[int, memoryview] | KernelError | None]:
        """Send *batch* at once and collect one answer each; a broken socket is replaced and says so to all."""
        first = self._sequence + 1
        self._sequence += len(batch)
        datagram = bytearray()
        for number, (type_, flags, body) in enumerate(batch, first):
            datagram += HEADER.pack(16 + len(body), type_, flags | NLM_F_REQUEST, number, 0) + body
            datagram += b"\0" * (-len(body) & 3)
        answers: dict[int, tuple[int, memoryview] | KernelError | None] = {}
        try:
            self._sock.send(datagram)
            while len(answers) < len(batch):
                for type_, flags, number, payload in messages(self._sock.recv(1 << 17)):
                    if first <= number < first + len(batch):
                        failed_call = self._verbs.get(batch[number - first][0], "rtnetlink")
                        answers[number] = (
                            _refusal(failed_call, flags, payload) if type_ == NLMSG_ERROR else (type_, payload)
                        )
        except OSError as error:
            self._reopen()
            failed = from_os_error("rtnetlink", error if error.errno else OSError(errno.ETIMEDOUT, "no answer"))
            return [answers.get(number, failed) for number in range(first, first + len(batch))]
        return [answers[number] for number in range(first, first + len(batch))]

    def _reopen(self) -> None:
        """Take a new socket: after an overrun or a time-out late answers would be mistaken for new ones."""
        self._sock.close()
        self._sock = self._open()

    async def dump(self, type_: int, payload: bytes) -> Sequence[tuple[int, memoryview]]:
        """Return every object of a dump that was consistent.

        Raises:
            KernelError: refused, or still interrupted after several tries (EINTR).
        """
        for attempt in range(DUMP_TRIES):
            if attempt:
                await asyncio.sleep(0.01 * 2**attempt)
            async with self._turn:
                found = self._dump_once(type_, payload)
            if found is not None:
                return found
        raise refused(self._verbs.get(type_, "dump"), errno.EINTR, "the objects kept changing while they were read")

    def _dump_once(self, type_: int, payload: bytes) -> list[tuple[int, memoryview]] | None:
        self._sequence += 1
        number, sock, call = self._sequence, self._sock, self._verbs.get(type_, "dump")
        found: list[tuple[int, memoryview]] = []
        interrupted = False
        try:
            sock.send(HEADER.pack(16 + len(payload), type_, NLM_F_REQUEST | NLM_F_DUMP, number, 0) + payload)
            while True:
                for kind, flags, sequence, body in messages(sock.recv(1 << 17)):
                    if sequence != number:
                        continue
                    interrupted |= bool(flags & NLM_F_DUMP_INTR)
                    if kind == NLMSG_DONE:
                        self._raise_for_done(type_, body)
                        return None if interrupted else found
                    if kind == NLMSG_ERROR:
                        raise _refusal(call, flags, body) or refused(call, errno.EPROTO)
                    found.append((kind, body))
        except OSError as error:
            self._reopen()
            raise from_os_error(call, error if error.errno else OSError(errno.ETIMEDOUT, "")) from error

    def _raise_for_done(self, type_: int, body: memoryview) -> None:
        """Raise what the last message says: a dump can fail half way."""
        code = -int.from_bytes(body[:4], "little", signed=True)
        if code > 0:
            raise refused(self._verbs.get(type_, "dump"), code)

    def index_of(self, link: str) -> int | None:
        """Return the index last seen for the name of a link."""
        return self._indexes.get(link)

    def name_of(self, index: int) -> str | None:
        """Return the name last seen for an index."""
        return self._names.get(index)

    def known(self) -> int:
        """Return how many links have been seen."""
        return len(self._names)

    def learn(self, index: int, link: str | None) -> None:
        """Note what an index is called now; None forgets it."""
        before = self._names.pop(index, None)
        if before is not None and self._indexes.get(before) == index:
            del self._indexes[before]
        if link is not None:
            self._names[index] = link
            self._indexes[link] = index
