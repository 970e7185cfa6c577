"""Leases that the file gives up: given back to their servers, or left to run out, and not before the file is final.

A lease that is kept over a stop or a restart is not given up. While a reload waits for its confirmation the records
stay, so that the file before finds its leases again, also in a new process.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Set
from contextlib import closing, suppress
from random import Random

from neod.dhcp.frame import BROADCAST_MAC, udp_frame
from neod.dhcp.lease_writer import LeaseWriter
from neod.dhcp.packet import RELEASE, Request, encode
from neod.dhcp.rate_limited_log import RateLimitedLog
from neod.dhcp.rawsocket import Packets
from neod.dhcp.segment import Segment
from neod.dhcp.store import StoredLease
from neod.model.ports import Clock


class LeaseReturns:
    """Sends RELEASE for what is given up, at once or when ``let_go`` is called after ``hold``."""

    def __init__(
        self,
        writer: LeaseWriter,
        segments: Mapping[str, Segment],
        packets: Packets,
        clock: Clock,
        rng: Random,
        log: RateLimitedLog,
    ) -> None:
        self._writer, self._segments, self._packets = writer, segments, packets
        self._clock, self._rng, self._log = clock, rng, log
        self._waits = False
        self._aside: set[str] = set()  # given up, but only on trial

    def hold(self) -> None:
        """Send nothing until ``let_go``: what is in force may be undone."""
        self._waits = True

    def let_go(self) -> None:
        """Give back what was given up meanwhile and not taken up again."""
        self._waits = False
        aside, self._aside = self._aside, set()
        self.give_up(aside)

    def take_up(self, link: str) -> None:
        """Have the lease of *link* in force again if it was given up on trial."""
        if link in self._aside:
            self._aside.discard(link)
            self._writer.restore(link)

    def give_up(self, links: Set[str]) -> None:
        """Publish that *links* have no lease any more, and give back what the file does not want kept."""
        if self._waits:
            for link in links - self._aside:
                self._writer.set_aside(link)
            self._aside.update(links)
            return
        frames: defaultdict[str, list[bytes]] = defaultdict(list)
        for link in links:
            record = self._writer.records[link]
            if record.release and record.lease.expires_at > self._clock.boottime():
                frames[record.parent or link].append(release_frame(record, self._rng.getrandbits(32)))
                self._log.say("dhcp.released", link=link, ip=record.lease.ip, server=record.lease.server)
            self._writer.withdraw(link)
        for parent, some in frames.items():
            self._send(parent, some)

    def _send(self, parent: str, frames: Collection[bytes]) -> None:
        """Send on *parent*; what is lost is given back when it runs out."""
        segment = self._segments.get(parent)
        if segment is not None and segment.sockets.is_open:
            for frame in frames:
                segment.sockets.send(frame)
            return
        with suppress(OSError), closing(self._packets.open_dhcp(parent)) as sock:
            for frame in frames:
                sock.send(frame)


def release_frame(record: StoredLease, xid: int) -> bytes:
    """Return the RELEASE of a lease, from its address to its server.

    Source: RFC 2131, 4.4.6 and table 5.
    """
    lease, mac = record.lease, bytes.fromhex(record.mac.replace(":", ""))
    ip, server = int(lease.ip), int(lease.server)
    to = bytes.fromhex(record.server_mac.replace(":", "")) or BROADCAST_MAC
    return udp_frame(to, mac, ip, server, encode(Request(RELEASE, xid, ciaddr=ip, server=server), mac))
