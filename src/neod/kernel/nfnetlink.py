"""The few words of nfnetlink that are worth saying without ``nft``: what changed, what exists, whose it is.

Source: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h.
"""

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final

from neod.kernel.errors import from_os_error, refused
from neod.kernel.rtnl import messages
from neod.model.errors import KernelError
from neod.wire import HEADER, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, attr, attrs, text

NETLINK_NETFILTER: Final = 12
SUBSYSTEM: Final = 10 << 8
NEWTABLE, GETTABLE, DELTABLE, GETCHAIN, NEWGEN, GETGEN = 0, 1, 2, 4, 15, 16
BATCH_BEGIN, BATCH_END = 0x10, 0x11
TABLE_NAME, TABLE_FLAGS, TABLE_USE = 1, 2, 3
CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_POLICY, HOOK_NUMBER = 1, 3, 4, 5, 1
GEN_ID: Final = 1
F_DORMANT, F_OWNER, F_PERSIST = 1, 2, 4
NF_INET_FORWARD: Final = 2
NF_DROP: Final = 0
FAMILIES: Final = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
INET: Final = 1
GENMSG_BYTES: Final = 4
TIMEOUT_S: Final = 2.0
DUMP_TRIES: Final = 5


def open_nfnetlink() -> socket.socket:
    """Return a bound NETLINK_NETFILTER socket of the calling thread's namespace."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    sock.bind((0, 0))
    sock.settimeout(TIMEOUT_S)
    return sock


def be32(data: memoryview) -> int:
    """Return the number in *data*, which nftables writes big-endian."""
    value: int = struct.unpack_from(">I", data)[0]
    return value


def genmsg(family: int, resource: int = 0) -> bytes:
    """Return the head of every nfnetlink payload."""
    return struct.pack(">BBH", family, 0, resource)


class Nfnetlink:
    """Questions about the nftables of one namespace, and the hold on a table. Each takes microseconds."""

    def __init__(self, opener: Callable[[], socket.socket] = open_nfnetlink) -> None:
        self._opener = opener
        self._sock: socket.socket | None = None
        self._holder: socket.socket | None = None
        self._sequence = 0
        self._known = False

    def close(self) -> None:
        """Close the sockets; a table that was held stays, and belongs to nobody."""
        self.let_go()
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def known(self) -> bool:
        """Whether the kernel has nftables at all."""
        if not self._known:
            try:
                self.generation()
            except KernelError as error:
                if error.code not in (errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP):
                    raise
                return False
            self._known = True
        return True

    def generation(self) -> int:
        """Return the number of the ruleset, which every change of it counts up."""
        (payload,) = self._ask(GETGEN, genmsg(0))
        return be32(attrs(payload, GENMSG_BYTES)[GEN_ID])

    def has_table(self, name: str) -> bool:
        """Whether there is a table ``inet`` *name*."""
        try:
            self._ask(GETTABLE, genmsg(INET) + attr(TABLE_NAME, name.encode() + b"\0"))
        except KernelError as error:
            if error.code == errno.ENOENT:
                return False
            raise
        return True

    def tables(self) -> list[tuple[str, str]]:
        """Return family and name of the tables that hold chains."""
        found = []
        for payload in self._ask(GETTABLE, genmsg(0), NLM_F_DUMP):
            told = attrs(payload, GENMSG_BYTES)
            if be32(told[TABLE_USE]):
                found.append((FAMILIES.get(payload[0], "?"), text(told[TABLE_NAME])))
        return found

    def forward_drops(self) -> list[tuple[str, str, str]]:
        """Return family, table and name of the chains that drop by default what is forwarded."""
        found = []
        for payload in self._ask(GETCHAIN, genmsg(0), NLM_F_DUMP):
            told = attrs(payload, GENMSG_BYTES)
            if payload[0] not in (INET, 2, 10) or CHAIN_HOOK not in told or CHAIN_POLICY not in told:
                continue
            hook = be32(attrs(told[CHAIN_HOOK])[HOOK_NUMBER])
            if (hook, be32(told[CHAIN_POLICY])) == (NF_INET_FORWARD, NF_DROP):
                found.append((FAMILIES[payload[0]], text(told[CHAIN_TABLE]), text(told[CHAIN_NAME])))
        return found

    def hold(self, table: str) -> bool:
        """Make the table ours alone, creating it if need be; false where the kernel cannot.

        Nobody else can change or flush it then; and it outlives us.

        Source: Linux 5.12 for ``owner``, 6.9 for ``persist``.
        """
        if self._holder is not None:
            return True
        holder = self._opener()
        flags = struct.pack(">I", F_OWNER | F_PERSIST)
        body = genmsg(INET) + attr(TABLE_NAME, table.encode() + b"\0") + attr(TABLE_FLAGS, flags)
        answer = self._transact(holder, NEWTABLE, NLM_F_CREATE, body)
        if answer is not None:
            holder.close()
            return False
        self._holder = holder
        return True

    def let_go(self) -> None:
        """Let others change the table again."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    def delete_table(self, table: str) -> None:
        """Delete the table ``inet`` *table*; already gone counts as done."""
        body = genmsg(INET) + attr(TABLE_NAME, table.encode() + b"\0")
        error = self._transact(self._holder or self._socket(), DELTABLE, 0, body)
        if error is not None and error.code != errno.ENOENT:
            raise error
        self.let_go()

    def _socket(self) -> socket.socket:
        if self._sock is None:
            self._sock = self._opener()
        return self._sock

    def _transact(self, sock: socket.socket, type_: int, flags: int, body: bytes) -> KernelError | None:
        """Send one request as a batch of its own, as changes of nftables have to be."""
        self._sequence += 1
        number = self._sequence
        edge = genmsg(0, SUBSYSTEM >> 8)
        parts = (
            (BATCH_BEGIN, 0, 0, edge),
            (SUBSYSTEM | type_, flags | NLM_F_ACK, number, body),
            (BATCH_END, 0, 0, edge),
        )
        datagram = b"".join(HEADER.pack(16 + len(b), t, f | NLM_F_REQUEST, n, 0) + b for t, f, n, b in parts)
        try:
            sock.send(datagram)
            while True:
                for kind, _, sequence, payload in messages(sock.recv(1 << 16)):
                    if sequence in (number, 0) and kind == 2:
                        code = -int.from_bytes(payload[:4], "little", signed=True)
                        return refused(f"nftables message {type_}", code) if code else None
        except OSError as error:
            self._reset()
            return from_os_error("nfnetlink", error if error.errno else OSError(errno.ETIMEDOUT, "no answer"))

    def _reset(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _ask(self, type_: int, body: bytes, flags: int = NLM_F_ACK) -> list[memoryview]:
        for _ in range(DUMP_TRIES):
            try:
                if (found := self._ask_once(type_, body, flags)) is not None:
                    return found
            except OSError as error:
                self._reset()
                problem = error if error.errno else OSError(errno.ETIMEDOUT, "no answer")
                raise from_os_error("nfnetlink", problem) from error
        raise refused("nfnetlink dump", errno.EINTR, "the tables kept changing while they were read")

    def _ask_once(self, type_: int, body: bytes, flags: int) -> list[memoryview] | None:
        sock = self._socket()
        self._sequence += 1
        number = self._sequence
        sock.send(HEADER.pack(16 + len(body), SUBSYSTEM | type_, flags | NLM_F_REQUEST, number, 0) + body)
        found: list[memoryview] = []
        interrupted = False
        while True:
            for kind, told, sequence, payload in self._messages(sock):
                if sequence != number:
                    continue
                interrupted |= bool(told & NLM_F_DUMP_INTR)
                if kind == 2 and (code := -int.from_bytes(payload[:4], "little", signed=True)):
                    if code == errno.EINTR:
                        return None
                    raise refused(f"nftables question {type_}", code)
                if kind in (2, 3):
                    return None if interrupted else found
                found.append(payload)

    @staticmethod
    def _messages(sock: socket.socket) -> Iterator[tuple[int, int, int, memoryview]]:
        return messages(sock.recv(1 << 17))
