"""What neo-race takes from the file: read and validated by the child process ``neod.config``, decoded here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from neod.config.reader import ConfigError, ReadingFailed, answer_of, spawn

__all__ = ["ConfigError", "HostPort", "RaceConfig", "RaceSettings", "ReadingFailed", "decode", "read_config"]


class HostPort(NamedTuple):
    """An address or a name, and a port: ``198.51.100.10:443``, ``[2001:db8::1]:443``, ``proxy.example:443``."""

    host: str  # without brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an accepted connection may be silent."""

    first_byte_s: float = 60.0  # of the upstream, once asked; of the client, where it is waited for; 0: none
    idle_s: float = 7440.0  # without a byte either way; 0: none
    keepalive_s: float = 60.0  # silence before the kernel probes; 0: none
    user_s: float = 300.0  # unacknowledged data before the kernel gives up; 0: the kernel's own


@dataclass(frozen=True, slots=True)
class RaceSettings:
    """One race: where connections come in, and the paths between which each race is decided."""

    name: str
    listen: HostPort
    upstreams: tuple[HostPort, ...]
    sources: tuple[str, ...] | None = None  # None: auto; empty: the kernel chooses
    mptcp: bool = False  # towards the upstreams
    listen_mptcp: bool = False
    stagger_s: float = 0.0  # 0: all at once
    timeout_s: float = 5.0  # from accept to the first connection established
    dial: str = "accept"  # first-byte: connect when the client has sent something
    max_attempts: int = 16  # under way at the same time, in one race
    netns: str = ""  # connects from this namespace; empty: neo-race's own
    listen_netns: str = ""
    timeouts: Timeouts = Timeouts()
    max_connections: int = 10_000
    max_connections_per_client: int = 0  # by address; 0: none


@dataclass(frozen=True, slots=True)
class RaceConfig:
    """All that one file says to neo-race."""

    races: tuple[RaceSettings, ...]
    paths: tuple[str, ...] = ()  # links of the host's paths, for ``sources = "auto"``
    log_level: str = "info"
    log_format: str = "auto"
    metrics_listen: str = ""  # neod's; neo-race's is at the next port
    warnings: tuple[str, ...] = ()


def read_config(path: str) -> RaceConfig:
    """Return what the file at *path* says; blocks until the child has read it.

    Raises:
        ConfigError: the file cannot be used.
        ReadingFailed: it was not read to its end.
    """
    return decode(answer_of(spawn(path, answer="races")))


def decode(answer: Mapping[str, Any]) -> RaceConfig:
    """Return the reader's *answer*, plain values, as settings; a key more or less is a ``TypeError``."""
    return RaceConfig(**{**answer, "races": tuple(_race(**race) for race in answer["races"])})


def _race(
    listen: tuple[str, int], upstreams: tuple[tuple[str, int], ...], timeouts: Mapping[str, float], **rest: Any
) -> RaceSettings:
    ends = tuple(HostPort(*u) for u in upstreams)
    return RaceSettings(listen=HostPort(*listen), upstreams=ends, timeouts=Timeouts(**timeouts), **rest)
