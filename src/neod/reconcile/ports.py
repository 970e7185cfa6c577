"""What reconciling needs from outside: drivers of the open namespaces, and facts that the kernel tells."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from neod.model.key import Key, Place
from neod.model.kind import Driver


class Drivers(Protocol):
    """The open namespaces and their drivers; see ``neod.daemon.netns``."""

    def places(self) -> Iterator[Place]:
        """Yield every kind of every open namespace; neod's own first."""
        ...

    def driver(self, place: Place) -> Driver[Any, Any]:
        """Return the driver of a kind, opening its namespace if it is not.

        Raises:
            KernelError: the namespace cannot be entered.
        """
        ...

    def close_stale(self) -> Iterable[str]:
        """Close and return the namespaces whose name is gone or stands for another one now."""
        ...


class FactSource(Protocol):
    """Facts that come from what was observed; see ``neod.daemon.fact_collector``."""

    async def refresh(self) -> Iterable[Key]:
        """Turn what was just read into facts; return the keys whose desired spec changed by that."""
        ...

    def guards(self, key: Key) -> bool:
        """Whether an orphan must stay for now, because a fact that is still missing may ask for it."""
        ...
