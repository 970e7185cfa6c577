"""The bytes that transfers of the lab send, and what it says of bytes that arrive in the wrong place.

Linux puts bytes of MPTCP in the wrong place (seen with 6.18.44; no neod needed). A subflow that joins while the
accepting end copies data in recv(), and so owns the connection's socket, joins for good only when that call ends. Its
first data may be there before, as with virtual links, where a whole round trip is one softirq. Then
``mptcp_subflow_joined`` sets ``map_seq`` to where the connection stands, under the mapping of the data that waits:

* what waits is read as if it were the next data of the connection: one mapping, at most 65535 bytes, takes the place
  of as many right bytes, and behind it all is right again. Mostly it is data that was sent ahead; behind, where the
  connection has gone on meanwhile;
* or more of that mapping comes, no longer matches, and the subflow is reset (``MPTcpExtDSSNotMatching``).

The end that connects is not concerned: there the subflow has joined before its first data. A receiver that is held in
recv() for more than a round trip while subflows join shows it (tests/system/test_misplaced.py); for less, it does not.
``net.mptcp.checksum_enabled`` and offloads change nothing.

Source: net/mptcp/protocol.c, mptcp_finish_join, __mptcp_flush_join_list, mptcp_subflow_joined; measured.
"""

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass

CHUNK = 1 << 18
PERIOD = 16_777_213
"""What is sent repeats itself after so many bytes: a prime, and more than a connection of the lab has under way."""

KEY_BYTES = 8  # tell where in the stream they belong
MAPPING_BYTES = 0xFFFF
"""The most that one mapping places: its length has 16 bits (RFC 8684, 3.3)."""


@functools.cache
def stream() -> bytes:
    """Return what is sent, and as much of its beginning again as one call takes."""
    once = random.Random(0).randbytes(PERIOD)
    return once + once[:CHUNK]


def sent(at: int, length: int) -> bytes:
    """Return the bytes that belong to a place of the transfer."""
    found = b""
    while len(found) < length:
        begin = (at + len(found)) % PERIOD
        found += stream()[begin : begin + length - len(found)]
    return found


@dataclass(frozen=True, slots=True)
class Wrong:
    """Bytes that are not those of their place, but belong so far ahead of it, or behind (negative); 0: nowhere."""

    at: int
    length: int
    distance: int

    def __str__(self) -> str:
        whence = f"are those of {self.distance:+d} bytes" if self.distance else "belong nowhere"
        return f"{self.length} bytes at {self.at} {whence}"

    @property
    def by_kernel(self) -> bool:
        """Whether it is what the kernel's defect looks like: one mapping of data from elsewhere in the connection."""
        return bool(self.distance) and self.length <= MAPPING_BYTES


def wrong(arrived: bytes, at: int) -> list[Wrong]:
    """Return what of *arrived*, which begins at a place of the transfer, does not belong there."""
    wanted, found = sent(at, len(arrived)), []
    begin = _agreement(arrived, wanted)
    while begin < len(arrived):
        distance = _distance(arrived[begin : begin + KEY_BYTES], at + begin)
        rest = arrived[begin:]
        length = _agreement(rest, sent(at + begin + distance, len(rest))) if distance else len(rest)
        found.append(Wrong(at + begin, length, distance))
        begin += length
        begin += _agreement(arrived[begin:], wanted[begin:])
    return found


def _distance(key: bytes, at: int) -> int:
    """Return how far ahead of a place some bytes belong; 0 if nowhere, or if they are too few to tell."""
    place = stream().find(key) if len(key) == KEY_BYTES else -1
    return (place - at + PERIOD // 2) % PERIOD - PERIOD // 2 if place >= 0 else 0


def _agreement(one: bytes, other: bytes) -> int:
    """Return how many bytes two of the same length have in common from the beginning on."""
    low, high = 0, len(one)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def misplaced_by_kernel(found: Sequence[Wrong], joined: int) -> bool:
    """Whether all of it is the kernel's defect: every subflow that joined misplaces its first data only."""
    return all(one.by_kernel for one in found) and len(found) <= joined
