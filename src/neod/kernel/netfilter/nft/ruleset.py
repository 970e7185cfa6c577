"""Questions about the nftables of one namespace that need no ``nft``, and the claim on a table."""

import errno
from collections.abc import Sequence
from typing import Final

from neod.kernel.errors import from_os_error, kernel_call
from neod.model.errors import KernelError
from neod.netlink import nfnetlink
from neod.netlink.message import NLM_F_ACK, NLM_F_CREATE, NetlinkError, Request
from neod.netlink.nfnetlink import ChainSeen, TableSeen
from neod.netlink.socket import NETLINK_NETFILTER, Connection, Opener, open_socket

TIMEOUT_S: Final = 2.0
CAN_FORWARD: Final = ("inet", "ip", "ip6")


class NftRuleset:
    """nftables of one namespace; opened at the first question, each of which takes microseconds."""

    def __init__(self, opener: Opener = open_socket) -> None:
        self._opener = opener
        self._connection: Connection | None = None
        self._claim: Connection | None = None
        self._supported = False

    def close(self) -> None:
        """Close the sockets; a table that was claimed stays, and belongs to nobody."""
        self.release_table()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def supported(self) -> bool:
        """Whether the kernel has nftables at all."""
        if not self._supported:
            try:
                self.generation()
            except KernelError as error:
                if error.code not in (errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP):
                    raise
                return False
            self._supported = True
        return True

    def generation(self) -> int:
        """Return the number of the ruleset, which every change of it counts up."""
        payload = self._get("read the nftables generation", nfnetlink.NFT_MSG_GETGEN, nfnetlink.nfgenmsg(0))
        return nfnetlink.generation_in(payload)

    def table(self, name: str) -> TableSeen | None:
        """Return the table ``inet`` *name*; None if there is none."""
        found = self._look(nfnetlink.NFT_MSG_GETTABLE, nfnetlink.inet_table(name))
        return nfnetlink.table_in(found) if found is not None else None

    def has(self, type_: int, payload: bytes) -> bool:
        """Whether there is what a GET request names."""
        return self._look(type_, payload) is not None

    def _look(self, type_: int, payload: bytes) -> memoryview | None:
        try:
            return self._get("look into nftables", type_, payload)
        except KernelError as error:
            if error.code == errno.ENOENT:
                return None
            raise

    def dump(self, type_: int, payload: bytes) -> list[memoryview]:
        with kernel_call("read nftables"):
            return [found for _, found in self._connected().dump(type_, payload)]

    def transact(self, requests: Sequence[Request]) -> KernelError | None:
        """Make all changes, or none; return the first error."""
        asked = [(type_, flags | NLM_F_ACK, body) for type_, flags, body in requests]
        answers = self._connected().exchange(asked, nfnetlink.TRANSACTION)
        errors = [answer for answer in answers if isinstance(answer, NetlinkError)]
        return from_os_error("change nftables", errors[0]) if errors else None

    def tables(self) -> list[TableSeen]:
        with kernel_call("list the nftables tables"):
            found = self._connected().dump(nfnetlink.NFT_MSG_GETTABLE, nfnetlink.nfgenmsg(0))
        return [table for _, payload in found if (table := nfnetlink.table_in(payload)).used]

    def forward_drops(self) -> list[ChainSeen]:
        """Return the chains that drop by default what is forwarded."""
        with kernel_call("list the nftables chains"):
            found = self._connected().dump(nfnetlink.NFT_MSG_GETCHAIN, nfnetlink.nfgenmsg(0))
        chains = [nfnetlink.chain_in(payload) for _, payload in found]
        drops = nfnetlink.NF_INET_FORWARD, nfnetlink.NF_DROP
        return [chain for chain in chains if chain.family in CAN_FORWARD and (chain.hook, chain.policy) == drops]

    def claim_table(self, table: str) -> bool:
        """Make the table ours alone, creating it if need be; false where the kernel cannot.

        Nobody else can change or flush it then; and it outlives us.

        Source: Linux 5.12 for ``owner``, 6.9 for ``persist``.
        """
        if self._claim is not None:
            return True
        flags = nfnetlink.NFT_TABLE_F_OWNER | nfnetlink.NFT_TABLE_F_PERSIST
        claim = self._open()
        if _transact(claim, (nfnetlink.NFT_MSG_NEWTABLE, NLM_F_CREATE, nfnetlink.inet_table(table, flags))) is not None:
            claim.close()
            return False
        self._claim = claim
        return True

    def release_table(self) -> None:
        """Let others change the table again."""
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def delete_table(self, table: str) -> None:
        """Delete the table ``inet`` *table*, claimed or not; already gone counts as done.

        Raises:
            KernelError: the kernel returned an error.
        """
        self.release_table()
        error = _transact(self._connected(), (nfnetlink.NFT_MSG_DELTABLE, 0, nfnetlink.inet_table(table)))
        if error is not None and error.code != errno.ENOENT:
            raise from_os_error(f"delete table inet {table}", error)

    def _get(self, call: str, type_: int, body: bytes) -> memoryview:
        (answer,) = self._connected().exchange([(type_, 0, body)])
        if isinstance(answer, tuple):
            return answer[1]
        raise from_os_error(call, answer or NetlinkError(errno.EPROTO))

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> Connection:
        with kernel_call("open nfnetlink"):
            return Connection(NETLINK_NETFILTER, self._opener, timeout_s=TIMEOUT_S)


def _transact(connection: Connection, request: Request) -> NetlinkError | None:
    """Send one change as a transaction of its own; return the error."""
    type_, flags, body = request
    (answer,) = connection.exchange([(type_, flags | NLM_F_ACK, body)], nfnetlink.TRANSACTION)
    return answer if isinstance(answer, NetlinkError) else None
