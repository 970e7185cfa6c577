"""``[races.NAME]``: what neo-race needs to know of the file. neod itself makes nothing of it."""

from dataclasses import dataclass
from typing import Final

IDLE_TIMEOUT_S: Final = 2 * 3600.0 + 4 * 60.0
"""No NAT may forget an established connection sooner (RFC 5382, REQ-5); neither do we."""

USER_TIMEOUT_S: Final = 300.0
"""Linux counts a receiver that has closed its window as unacknowledged, too (since 5.11): a reader that
pauses longer than this loses its connection. Hence minutes, not seconds."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address or a name, and a port: ``198.51.100.10:443``, ``[2001:db8::1]:443``, ``proxy.example:443``."""

    host: str  # without brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RaceSettings:
    """One race: where connections come in, and between which paths they are decided."""

    name: str
    listen: Endpoint
    upstreams: tuple[Endpoint, ...]
    sources: tuple[str, ...] | None = None  # None: auto; empty: whatever the kernel chooses
    mptcp: bool = False  # towards the upstreams
    listen_mptcp: bool = False
    stagger_s: float = 0.0  # 0: all at once
    timeout_s: float = 5.0  # from accept to the first connection established
    max_attempts: int = 16  # under way at the same time, in one race
    netns: str = ""  # connects from this namespace; empty: neo-race's own
    listen_netns: str = ""
    first_byte_timeout_s: float = 60.0  # of either side, once joined; 0: none
    idle_timeout_s: float = IDLE_TIMEOUT_S  # without a byte either way; 0: none
    keepalive_s: float = 60.0  # silence before the kernel probes; 0: none
    user_timeout_s: float = USER_TIMEOUT_S  # unacknowledged data before the kernel gives up; 0: the kernel's own
    max_connections: int = 10_000
    max_connections_per_client: int = 0  # by address; 0: none
