"""One netlink socket for requests and dumps, of any protocol.

Synchronous, because the kernel handles a request inside ``send``: when that returns, the answers lie in the receive
buffer, and waiting is only a guard. Not for events: a request socket that also receives multicast can lose answers in a
storm (see ``multicast``). ``async_connection`` is for event loops.
"""

import errno
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from neod.netlink.message import (
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_MIN_TYPE,
    Answer,
    NetlinkError,
    Object,
    Request,
    error_of,
    message,
    messages,
)

NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_NETFILTER, NETLINK_GENERIC = 0, 4, 12, 16

SOL_NETLINK: Final = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 10, 11, 12
SO_RCVBUFFORCE: Final = 33

RECEIVE_BUFFER_BYTES: Final = 8 << 20
DATAGRAM_BYTES: Final = 1 << 17
TIMEOUT_S: Final = 5.0

DUMP_PAUSES_S: Final = (0.0, 0.02, 0.04, 0.08, 0.16)
"""Before each try of a dump, where the caller can pause."""

Opener = Callable[[int, int], socket.socket]  # protocol, bytes of receive buffer


def open_socket(protocol: int, receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES) -> socket.socket:
    """Return a socket of the calling thread's network namespace: strict checks, extended acks, kernel messages only.

    Connected to the kernel, it refuses what other processes send to its port.

    Raises:
        NetlinkError: no such protocol, no permission, or no descriptors left.
    """
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        raise _netlink_error(error) from error
    try:
        _configure(sock, receive_buffer_bytes)
    except OSError as error:
        sock.close()
        raise _netlink_error(error) from error
    return sock


def _configure(sock: socket.socket, receive_buffer_bytes: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer_bytes)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
        sock.setsockopt(SOL_NETLINK, option, 1)
    sock.bind((0, 0))
    sock.connect((0, 0))


def _netlink_error(error: OSError) -> NetlinkError:
    return NetlinkError(error.errno or errno.EIO, error.strerror or "")


class Connection:
    """Requests and dumps, their answers matched by sequence number. One caller at a time.

    A time-out or an overrun (ENOBUFS) fails what is still unanswered; the
    next request then has a new socket, so that late answers reach nobody.
    """

    def __init__(
        self,
        protocol: int,
        opener: Opener = open_socket,
        *,
        receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Open the socket.

        Raises:
            OSError: what *opener* raises.
        """
        self._protocol, self._opener = protocol, opener
        self._receive_buffer_bytes, self._timeout_s = receive_buffer_bytes, timeout_s
        self._sequence = 0
        self._sock: socket.socket | None = self._open()

    def _open(self) -> socket.socket:
        sock = self._opener(self._protocol, self._receive_buffer_bytes)
        seconds, fraction = divmod(self._timeout_s, 1)
        # Not settimeout: that costs a poll() before each recv().
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(seconds), int(fraction * 1e6)))
        return sock

    def _socket(self) -> socket.socket:
        if self._sock is None:
            self._sock = self._open()
        return self._sock

    @property
    def port_id(self) -> int:
        """Return the netlink port that the requests come from; the events they cause carry it."""
        port: int = self._socket().getsockname()[0]
        return port

    def close(self) -> None:
        """Close the socket; its namespace is no longer held."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exchange(self, requests: Sequence[Request], frame: tuple[Request, Request] | None = None) -> list[Answer]:
        """Send *requests* at once and return one answer each, in order; each must ask for one (NLM_F_ACK, or a get).

        *frame* is sent before and after them. It is not answered unless it is
        refused; that is then the answer to the first request.
        """
        first = self._take_numbers(len(requests))
        numbered = [(number, *request) for number, request in enumerate(requests, first)]
        if frame is not None:
            numbered = [(first, *frame[0]), *numbered, (first, *frame[1])]
        datagram = b"".join([message(t, flags | NLM_F_REQUEST, number, body) for number, t, flags, body in numbered])
        numbers, answers = range(first, first + len(requests)), dict[int, Answer]()
        try:
            self._collect(datagram, numbers, answers)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self._collect_queued(numbers, answers)
            failed = self._failed(error)
            return [answers.get(number, failed) for number in numbers]
        return [answers[number] for number in numbers]

    def _collect(self, datagram: bytes, numbers: range, answers: dict[int, Answer]) -> None:
        """Send *datagram* and fill *answers* until each of *numbers* has one."""
        if numbers:
            self._socket().send(datagram)
        while len(answers) < len(numbers):
            _match(self._socket().recv(DATAGRAM_BYTES), numbers, answers)

    def _collect_queued(self, numbers: range, answers: dict[int, Answer]) -> None:
        """Fill *answers* with those that found room: the kernel reports an overrun before it hands them out."""
        with suppress(OSError):
            sock = self._socket()
            sock.setblocking(False)
            while True:
                _match(sock.recv(DATAGRAM_BYTES), numbers, answers)

    def dump(self, type_: int, payload: bytes) -> list[Object]:
        """Return every object of a dump that was consistent; tries again at once where it was not.

        Raises:
            NetlinkError: refused, unanswered, or interrupted at every try (EINTR).
        """
        for _ in DUMP_PAUSES_S:
            if (found := self.dump_once(type_, payload)) is not None:
                return found
        raise interrupted()

    def dump_once(self, type_: int, payload: bytes) -> list[Object] | None:
        """Return every object of a dump; None if the objects changed while they were read.

        Raises:
            NetlinkError: refused at its begin or half way, or unanswered.
        """
        found: list[Object] = []
        consistent, error = self._dump(type_, payload, found.append)
        if not consistent or (error is not None and error.code == errno.EINTR):
            return None
        if error is not None:
            raise error
        return found

    def dump_each(self, type_: int, payload: bytes, take: Callable[[Object], None]) -> None:
        """Hand every object of a dump to *take* as it comes: for tables too large to be held, which change meanwhile.

        Raises:
            NetlinkError: refused at its begin or half way, or unanswered.
        """
        _, error = self._dump(type_, payload, take)
        if error is not None:
            raise error

    def _dump(self, type_: int, payload: bytes, take: Callable[[Object], None]) -> tuple[bool, NetlinkError | None]:
        number = self._take_numbers(1)
        try:
            self._socket().send(message(type_, NLM_F_REQUEST | NLM_F_DUMP, number, payload))
            return self._read_dump(number, take)
        except OSError as problem:
            raise self._failed(problem) from problem

    def _read_dump(self, number: int, take: Callable[[Object], None]) -> tuple[bool, NetlinkError | None]:
        """Read up to the end of the dump; return whether it is consistent, and the error it ended with."""
        receive, consistent = self._socket().recv, True
        while True:
            for type_, flags, sequence, _, payload in messages(receive(DATAGRAM_BYTES)):
                if sequence != number:
                    continue
                if flags & NLM_F_DUMP_INTR:
                    consistent = False
                if type_ >= NLMSG_MIN_TYPE:
                    take((type_, payload))
                elif type_ == NLMSG_DONE:
                    return consistent, error_of(type_, flags, payload)
                elif type_ == NLMSG_ERROR:
                    return consistent, error_of(type_, flags, payload) or NetlinkError(errno.EPROTO)

    def _take_numbers(self, count: int) -> int:
        """Return the first of *count* sequence numbers that were not used lately."""
        if self._sequence + count > 0xFFFFFFFF:
            self._sequence = 0
        first = self._sequence + 1
        self._sequence += count
        return first

    def _failed(self, error: OSError) -> NetlinkError:
        """Close the socket, for late answers may come to it, and return what to report."""
        self.close()
        if error.errno in (None, errno.EAGAIN):
            return NetlinkError(errno.ETIMEDOUT, f"no answer from the kernel within {self._timeout_s:g} s")
        return _netlink_error(error)


def _match(datagram: bytes, numbers: range, answers: dict[int, Answer]) -> None:
    """Put the answers in *datagram* to the requests with *numbers* into *answers*."""
    for type_, flags, number, _, payload in messages(datagram):
        if number in numbers:
            if type_ >= NLMSG_MIN_TYPE:
                answers[number] = (type_, payload)
            elif type_ == NLMSG_ERROR:
                answers[number] = error_of(type_, flags, payload)


def interrupted() -> NetlinkError:
    """Return the error of a dump that was interrupted at every try."""
    return NetlinkError(errno.EINTR, "the objects kept changing while they were read")
