"""Limits on accepting: connections in all, connections of one client, and file descriptors."""

import os
import resource
from ipaddress import IPv6Address
from typing import Final

RESERVE: Final = 128
"""Descriptors reserved for attempts under way, pipes, metrics and reloading; accepting stops before they are used."""


def client_of(host: str) -> str:
    """Return what counts as one client: an IPv4 address, or an IPv6 /64, within which a host may use any address."""
    if ":" not in host:
        return host
    return str(IPv6Address(int(IPv6Address(host.partition("%")[0])) >> 64 << 64))


class ConnectionLimits:
    """Counts connections of one race by client. Pure."""

    __slots__ = ("_by_host", "count", "most", "most_per_client")

    def __init__(self, most: int, most_per_client: int) -> None:
        self.most, self.most_per_client = most, most_per_client
        self.count = 0
        self._by_host: dict[str, int] = {}

    def change(self, most: int, most_per_client: int) -> None:
        """Admit as many from now on; those that are admitted stay."""
        self.most, self.most_per_client = most, most_per_client

    @property
    def full(self) -> bool:
        """True if no connection may be accepted now."""
        return self.count >= self.most

    def admit(self, host: str) -> bool:
        """Count a connection and return True, unless its client has reached the limit."""
        client = client_of(host)
        have = self._by_host.get(client, 0)
        if have >= self.most_per_client > 0:
            return False
        self._by_host[client] = have + 1
        self.count += 1
        return True

    def leave(self, host: str) -> None:
        """Count the end of an admitted connection."""
        client = client_of(host)
        self.count -= 1
        left = self._by_host[client] - 1
        if left:
            self._by_host[client] = left
        else:
            del self._by_host[client]


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard limit and return it.

    The soft limit of 1024 exists for ``select``, which is not used here.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except OSError:  # a sandbox that filters the call
        return soft
    return hard


class DescriptorBudget:
    """How close the limit of open files is. No system call needed: a new descriptor is the lowest free number."""

    __slots__ = ("ceiling",)

    def __init__(self, limit: int) -> None:
        self.ceiling = limit - min(RESERVE, limit // 4)

    def scarce(self, fd: int) -> bool:
        """True if *fd*, just opened, is one of the reserved numbers."""
        return fd >= self.ceiling

    def scarce_now(self) -> bool:
        """True if the next descriptor would be one of the reserved numbers."""
        try:
            fd = os.dup(2)
        except OSError:
            return True
        os.close(fd)
        return self.scarce(fd)
