"""Source addresses of ``sources = "auto"``: those of the host's paths that are usable."""

from collections.abc import Callable, Iterable
from typing import Final

from neod.race import addresses
from neod.race.addresses import AddressWatch, LocalAddress
from neod.race.loop import Loop
from neod.race.path_status import PathStatusClient, States

IN_SYNC: Final = "in-sync"

RETRY_S: Final = 1.0


def usable(links: Iterable[str], local: Iterable[LocalAddress], states: States | None) -> tuple[str, ...]:
    """Return the source addresses that ``auto`` means, in the order of *links*.

    These are the usable addresses of *links*; if neod reports a path, its IPv4 address counts only while the path is
    in-sync. If none is left, all of them whatever neod reports: a path that is being repaired may still work, and the
    race shows whether it does.
    """
    fit = {link: [a for a in local if a.link == link and a.fit and not a.loopback] for link in links}
    ready = [a.ip for found in fit.values() for a in found if ":" in a.ip or _in_sync(a, states)]
    return tuple(ready or (a.ip for found in fit.values() for a in found))


def _in_sync(address: LocalAddress, states: States | None) -> bool:
    if states is None or address.link not in states:
        return True
    return states[address.link] == (address.ip, IN_SYNC)


class AutoSources:
    """Follows the addresses of the host, and calls *changed* when they change, with whether the usable ones did.

    ``local`` is every address of the host, whether usable or not.
    """

    def __init__(self, loop: Loop, runtime_dir: str, links: tuple[str, ...], changed: Callable[[bool], None]) -> None:
        self.local: tuple[LocalAddress, ...] = ()
        self.addresses: tuple[str, ...] = ()
        self._loop, self._links, self._changed = loop, links, changed
        self._closed = False
        self._watch = AddressWatch(loop, self._on_addresses)
        self._path_status = PathStatusClient(loop, runtime_dir, self._on_path_status)
        self._read()
        self._recompute()

    def close(self) -> None:
        self._closed = True
        self._watch.close()
        self._path_status.close()

    def _read(self) -> None:
        """Read the addresses, or retry later."""
        try:
            self.local = addresses.read()
        except OSError:
            self._loop.call_later(RETRY_S, self._on_addresses)

    def _recompute(self) -> bool:
        before, self.addresses = self.addresses, usable(self._links, self.local, self._path_status.states)
        return before != self.addresses

    def _on_addresses(self) -> None:
        """Read the addresses again, and query neod's paths."""
        if self._closed:
            return
        self._path_status.query()
        before = self.local
        self._read()
        usable_changed = self._recompute()
        if usable_changed or before != self.local:
            self._changed(usable_changed)

    def _on_path_status(self) -> None:
        """Apply the states that neod has reported."""
        if self._recompute():
            self._changed(True)
