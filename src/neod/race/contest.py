"""One ``[races]`` table at work: candidates on one side, the entrance on the other."""

import socket
from collections.abc import Callable, Collection
from typing import Final, Protocol

from neod.netlink.netns import NetnsEntry
from neod.race.circles import Node, Target
from neod.race.dial import Dialer, Opener
from neod.race.field import Field
from neod.race.limits import Descriptors
from neod.race.listen import Entrance
from neod.race.loop import Loop
from neod.race.metrics import Stats
from neod.race.settings import RaceSettings
from neod.race.sockets import SockAddr, connecting, listener
from neod.race.splice import Scratch
from neod.race.story import Story

FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 15.0


class House(Protocol):
    """What the races of one process share."""

    loop: Loop
    story: Story
    scratch: Scratch
    descriptors: Descriptors

    def sources(self) -> tuple[str, ...]:
        """Return what ``sources = "auto"`` stands for now; empty: leave it to the kernel."""
        ...

    def retarget(self) -> None:
        """Something that candidates are made of has changed."""
        ...

    def in_netns(self, name: str) -> NetnsEntry:
        """Return the way into a namespace."""
        ...


class Contest:
    """A race that is on: candidates kept up to date, connections accepted."""

    def __init__(self, house: House, settings: RaceSettings) -> None:
        self._house, self._log = house, house.story.log.bind(race=settings.name)
        self.stats = Stats()
        self.dialer = Dialer(house.loop, settings, opener(settings.netns, house.in_netns), self.stats.note_failure)
        self.field = Field(self.dialer, self._log, house.sources, house.retarget)
        self.entrance = Entrance(self.dialer, house.scratch, house.descriptors, self.stats, house.story)
        self.error = ""  # why nothing comes in
        self._retry_s = FIRST_RETRY_S
        self._over = False

    @property
    def settings(self) -> RaceSettings:
        """What the file says."""
        return self.dialer.settings

    def apply(self, settings: RaceSettings) -> None:
        """Go by other settings; what is open stays open, and a listening socket that need not change stays, too.

        One that must is closed here and opened by :meth:`listen`, so that
        races may exchange addresses.
        """
        before = self.settings
        self.dialer.open = opener(settings.netns, self._house.in_netns)
        self.entrance.apply(settings)
        self.field.follow()
        doors = [(s.listen, s.listen_mptcp, s.listen_netns) for s in (before, settings)]
        if doors[0] != doors[1]:
            self.entrance.retire()

    def retire(self) -> None:
        """Let nothing more in."""
        self._over = True
        self.entrance.retire()
        self.field.close()

    def node(self) -> Node:
        """Return what the search for circles needs to know."""
        settings = self.settings
        return Node(self.entrance.address, settings.listen_netns, self.field.targets(), settings.netns)

    def enter(self, refused: Collection[Target]) -> None:
        """Race between all candidates but those whose target is *refused*, because it leads back here."""
        self.field.enter(refused)

    def listen(self) -> None:
        """Listen as the settings say, now or as soon as that is possible; nothing happens where it does."""
        if self._over or self.entrance.address is not None:
            return
        settings = self.settings
        make: Callable[[], socket.socket] = lambda: listener(settings)  # noqa: E731
        try:
            netns = settings.listen_netns
            self.entrance.listen_on(self._house.in_netns(netns).inside(make) if netns else make())
        except OSError as error:
            why = f"{settings.listen}: {error.strerror or error}"
            if why != self.error:
                self._log.error("cannot listen", why=why)
            self.error = why
            self._house.loop.call_later(self._retry_s, self.listen)
            self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
            return
        self.error, self._retry_s = "", FIRST_RETRY_S
        host, port = self.entrance.address or ("", 0)
        self._log.info("listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        self._house.retarget()


def opener(netns: str, way: Callable[[str], NetnsEntry]) -> Opener:
    """Return how to start connecting: from here, or from the namespace that *way* leads into."""
    if not netns:
        return connecting

    def there(family: int, local: SockAddr | None, remote: SockAddr, mptcp: bool) -> socket.socket:
        return way(netns).inside(lambda: connecting(family, local, remote, mptcp))

    return there
