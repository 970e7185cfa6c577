"""Where connections start from: the addresses of the host's paths that can carry them."""

from collections.abc import Callable, Iterable
from typing import Final

from neod.race import addresses
from neod.race.addresses import AddressWatch, LocalAddress
from neod.race.loop import Loop
from neod.race.neod import Neod, States

IN_SYNC: Final = "in-sync"

RETRY_S: Final = 1.0


def usable(links: Iterable[str], local: Iterable[LocalAddress], told: States | None) -> tuple[str, ...]:
    """Return the source addresses that ``auto`` stands for, in the order of *links*.

    Of the fit addresses of *links*; where neod has told of a path, its IPv4
    address only while everything about it is in-sync. If that leaves none,
    those without regard to neod: a path that is being repaired may still work,
    and whether it does the race will show.
    """
    fit = {link: [a for a in local if a.link == link and a.fit and not a.loopback] for link in links}
    ready = [a.ip for found in fit.values() for a in found if ":" in a.ip or _in_sync(a, told)]
    return tuple(ready or (a.ip for found in fit.values() for a in found))


def _in_sync(address: LocalAddress, told: States | None) -> bool:
    if told is None or address.link not in told:
        return True
    return told[address.link] == (address.ip, IN_SYNC)


class AutoSources:
    """Follows the usable addresses of *links*, and calls *changed* when there are others.

    ``local`` is every address of the host, whether usable or not.
    """

    def __init__(self, loop: Loop, runtime_dir: str, links: tuple[str, ...], changed: Callable[[], None]) -> None:
        self.local: tuple[LocalAddress, ...] = ()
        self.addresses: tuple[str, ...] = ()
        self._loop, self._links, self._changed = loop, links, changed
        self._closed = False
        self._watch = AddressWatch(loop, self._look)
        self._neod = Neod(loop, runtime_dir, self._judge)
        self._read()

    def close(self) -> None:
        """Follow no more."""
        self._closed = True
        self._watch.close()
        self._neod.close()

    def _read(self) -> bool:
        """Read the kernel; later again if it does not answer. True: there are other addresses than before."""
        try:
            self.local = addresses.read()
        except OSError:
            self._loop.call_later(RETRY_S, self._look)
            return False
        return self._weigh()

    def _weigh(self) -> bool:
        before, self.addresses = self.addresses, usable(self._links, self.local, self._neod.states)
        return before != self.addresses

    def _look(self) -> None:
        """Read the kernel again, and ask neod what it makes of that."""
        if self._closed:
            return
        self._neod.ask()
        if self._read():
            self._changed()

    def _judge(self) -> None:
        """Take what neod says into account."""
        if self._weigh():
            self._changed()
