"""``Wait``, ``Pause`` and ``Resume``: whether neod has converged, and whether it writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from neod.control.errors import TimedOut
from neod.control.verb import PositiveSeconds, Right, Seconds, verb


@dataclass(frozen=True, slots=True)
class WaitReply:
    """What was waited for has come."""

    converged: bool  # False with --any: at least one path is ready
    waited_s: float
    paths: tuple[str, ...] = ()  # names of those that are ready


@dataclass(frozen=True, slots=True)
class ModeReply:
    """The mode after ``pause`` or ``resume``."""

    mode: str  # running | paused | down
    until: str = ""  # end of the pause; empty: until ``resume``
    changes: Mapping[str, int] = field(default_factory=dict)  # drift by phase that waits for ``resume``


class ModeVerbs(Protocol):
    """Verbs on convergence and mode."""

    @verb(Right.READ, TimedOut, ends_with_caller=True)
    async def wait(self, any: bool = False, timeout_s: Seconds = 120.0) -> WaitReply:
        """Answer when everything is converged, or with any when one path is.

        At once if it is so already, but never before the first pass. With *any*, a file without paths has nothing to
        wait for.
        """
        ...

    @verb(Right.WRITE)
    async def pause(self, for_s: PositiveSeconds | None = None) -> ModeReply:
        """Observe and report, change nothing.

        A pass that runs is finished first. Leases are renewed, and the kernel keeps their addresses as long as they
        are. Resumes by itself after *for_s*, and with a restart of neod.
        """
        ...

    @verb(Right.WRITE)
    async def resume(self) -> ModeReply:
        """Change again.

        Also after ``down``; starts with a full pass.
        """
        ...
