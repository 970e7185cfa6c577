"""Who may come in: how many in all, how many from one address, and while there are descriptors left."""

import os
import resource
from ipaddress import IPv6Address
from typing import Final

RESERVE: Final = 128
"""Descriptors kept for races under way, pipes, metrics and reloading: nothing is accepted that would need them."""


def client_of(host: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 that a host with IPv6 chooses from at will."""
    if ":" not in host or host.startswith("::ffff:"):
        return host
    return str(IPv6Address(int(IPv6Address(host.partition("%")[0])) >> 64 << 64))


class Limits:
    """Counts connections of one race by client. Pure."""

    __slots__ = ("_by_host", "count", "most", "most_per_client")

    def __init__(self, most: int, most_per_client: int) -> None:
        self.most, self.most_per_client = most, most_per_client
        self.count = 0
        self._by_host: dict[str, int] = {}

    @property
    def full(self) -> bool:
        """Whether nobody at all may come in now."""
        return self.count >= self.most

    def admit(self, host: str) -> bool:
        """Count one in, unless its address has its share already."""
        client = client_of(host)
        have = self._by_host.get(client, 0)
        if have >= self.most_per_client > 0:
            return False
        self._by_host[client] = have + 1
        self.count += 1
        return True

    def leave(self, host: str) -> None:
        """Count one out that was admitted."""
        client = client_of(host)
        self.count -= 1
        left = self._by_host[client] - 1
        if left:
            self._by_host[client] = left
        else:
            del self._by_host[client]


def raise_descriptor_limit() -> int:
    """Lift the soft limit of open files to the hard one and return it.

    The soft limit is 1024 for the sake of ``select``, which nothing here uses.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except OSError:  # a sandbox that filters the call
        return soft
    return hard


class Descriptors:
    """How near the limit of open files is. Asks nobody: a new descriptor has the lowest number that is free."""

    __slots__ = ("ceiling",)

    def __init__(self, limit: int) -> None:
        self.ceiling = limit - min(RESERVE, limit // 4)

    def scarce(self, fd: int) -> bool:
        """Whether *fd*, just opened, is among the last."""
        return fd >= self.ceiling

    def scarce_now(self) -> bool:
        """Whether the next one would be among the last."""
        try:
            fd = os.dup(2)
        except OSError:
            return True
        os.close(fd)
        return self.scarce(fd)
