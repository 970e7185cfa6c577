"""One ``[races.NAME]`` table: its candidates and its acceptor, kept in line with the file."""

import errno
import socket
from collections.abc import Callable, Collection
from functools import partial
from typing import Final, Protocol

from neod.netlink.netns import NetnsEntry
from neod.race.acceptor import Acceptor
from neod.race.byte_flow import SharedBuffers
from neod.race.candidate_set import CandidateSet
from neod.race.dialer import Dialer, OpenSocket
from neod.race.forwarding_loops import RaceNode, Target
from neod.race.limits import DescriptorBudget
from neod.race.loop import Loop, Timer
from neod.race.metrics import RaceStats
from neod.race.race_log import RaceLog
from neod.race.settings import RaceSettings
from neod.race.sockets import SockAddr, connecting, listener

FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 15.0

TRIED_AGAIN: Final = f"it is tried again, at least every {LONGEST_RETRY_S:g} s"
REMEDIES: Final = {
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE: the drop-in for neo-race.service is in docs/race.md",
    errno.EADDRINUSE: f"`ss -ltnp` names who listens there; {TRIED_AGAIN}",
    errno.EADDRNOTAVAIL: "this host does not have the address now; it is listened on as soon as it comes",
    errno.ENOENT: f"there is no such namespace now; {TRIED_AGAIN}",
    errno.EPERM: "netns and listen_netns need CAP_SYS_ADMIN, or a service inside the namespace: see docs/race.md",
}
"""What people can do, by the errno of listening."""


class RaceContext(Protocol):
    """What the races of one process share."""

    loop: Loop
    race_log: RaceLog
    scratch: SharedBuffers
    descriptors: DescriptorBudget

    def sources(self) -> tuple[str, ...]:
        """Return the addresses that ``sources = "auto"`` means now; empty: the kernel chooses."""
        ...

    def schedule_update(self) -> None:
        """Recompute the candidates of all races soon."""
        ...

    def netns_entry(self, name: str) -> NetnsEntry:
        """Return the entry into a network namespace."""
        ...


class RaceRunner:
    """Runs one race: keeps candidates up to date, listens, applies changed settings."""

    def __init__(self, context: RaceContext, settings: RaceSettings) -> None:
        self._context, self._log = context, context.race_log.log.bind(race=settings.name)
        self.stats = RaceStats()
        opener_in = partial(socket_opener, context.netns_entry)
        self.dialer = Dialer(context.loop, settings, opener_in, self.stats.note_failure)
        self.candidates = CandidateSet(self.dialer, self._log, context.sources, context.schedule_update)
        self.acceptor = Acceptor(self.dialer, context.scratch, context.descriptors, self.stats, context.race_log)
        self.error = ""  # why it does not listen
        self._retry_s = FIRST_RETRY_S
        self._retrying: Timer | None = None
        self._stopped = False

    @property
    def settings(self) -> RaceSettings:
        return self.dialer.settings

    def apply(self, settings: RaceSettings) -> None:
        """Use other settings; open connections stay, and so does a listening socket that need not change.

        One that must change is closed here and opened by :meth:`listen`, so that races may exchange addresses.
        """
        before = self.settings
        self.acceptor.apply(settings)
        self.candidates.follow_names()
        sockets = [(s.listen, s.listen_mptcp, s.listen_netns) for s in (before, settings)]
        if sockets[0] != sockets[1]:
            self.acceptor.stop_listening()

    def stop_accepting(self) -> None:
        """Stop accepting for good; open connections go on."""
        self._stopped = True
        self.acceptor.stop_listening()
        self.candidates.close()

    def node(self) -> RaceNode:
        """Return where the race listens and connects to, for the search for forwarding loops."""
        settings = self.settings
        return RaceNode(self.acceptor.address, settings.listen_netns, self.candidates.targets(), settings.netns)

    def update_candidates(self, refused: Collection[Target]) -> None:
        """Recompute the candidates, without targets in *refused*, which lead back to this race."""
        self.candidates.update(refused)

    def listen(self) -> None:
        """Listen as the settings say; if that fails, retry later. Does nothing if it listens already."""
        if self._stopped or self.acceptor.address is not None:
            return
        settings = self.settings
        make: Callable[[], socket.socket] = lambda: listener(settings)  # noqa: E731
        try:
            netns = settings.listen_netns
            self.acceptor.listen_on(self._context.netns_entry(netns).inside(make) if netns else make())
        except OSError as error:
            self._retry(f"{settings.listen}: {error.strerror or error}", REMEDIES.get(error.errno or 0, TRIED_AGAIN))
            return
        self.error, self._retry_s = "", FIRST_RETRY_S
        host, port = self.acceptor.address or ("", 0)
        self._log.info("listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        self._context.schedule_update()

    def _retry(self, why: str, remedy: str) -> None:
        """Listen later; say why not now, once."""
        if why != self.error:
            self._log.error("cannot listen", why=why, next=remedy)
        self.error = why
        if self._retrying is not None:
            self._retrying.cancel()
        self._retrying = self._context.loop.call_later(self._retry_s, self.listen)
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)


def socket_opener(entry: Callable[[str], NetnsEntry], netns: str) -> OpenSocket:
    """Return how to open a connecting socket: here, or in *netns* through *entry*."""
    if not netns:
        return connecting

    def inside(family: int, local: SockAddr | None, remote: SockAddr, mptcp: bool) -> socket.socket:
        return entry(netns).inside(lambda: connecting(family, local, remote, mptcp))

    return inside
