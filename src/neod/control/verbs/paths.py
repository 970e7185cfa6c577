"""``Paths``: the MPTCP connections and their subflows."""

from dataclasses import dataclass
from typing import Protocol

from neod.control.errors import ApplyFailed
from neod.control.verb import Right, verb


@dataclass(frozen=True, slots=True)
class SubflowRow:
    """One subflow of a connection, as its TCP socket tells it. Bytes are those the other side has acknowledged."""

    path: str  # neo3: the link that has the source; empty: no link has it any more
    source: str  # "10.8.0.5"
    source_port: int
    to: str  # "192.0.2.10"
    to_port: int
    id: int  # of the source address in this connection; 0: the first subflow's
    state: str  # established | stalled | backup | connecting | closing
    rtt_ms: float
    sent_bytes: int
    received_bytes: int
    rate_bytes_s: float  # what the kernel delivered last
    retransmitted_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """One MPTCP connection."""

    token: int
    netns: str
    local: str  # "10.8.0.5:52344"
    remote: str
    side: str  # client | server | unknown
    state: str  # established | fallback: it is one TCP connection | closing
    sent_bytes: int
    received_bytes: int
    subflows: tuple[SubflowRow, ...] = ()
    reason: str = ""  # of a fallback: as far as the handshake, and other connections to the same server, tell


@dataclass(frozen=True, slots=True)
class PathsReply:
    """Every MPTCP connection of the namespaces that neod manages."""

    at_s: float  # CLOCK_BOOTTIME: two replies give rates
    connections: tuple[ConnectionRow, ...] = ()


class PathVerbs(Protocol):
    """Verbs on connections."""

    @verb(Right.READ, ApplyFailed)
    async def paths(self) -> PathsReply:
        """Every MPTCP connection with its subflows, read from their sockets now."""
        ...
